"""Logits: an array that stays in the kernel until its elements are asked for.

The logits of 2,048 positions over 128,256 ids are 1.05 GB; most callers want the
best few ids of the last position.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ._errors import RequestError
from ._rpc import MAX_BUFFER, Response, Rpc, check_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Logits", "TopK"]

_ITEM = 4  # bytes of a float32


class TopK(NamedTuple):
    """The k best logits of each position, best first, both (bsz, kept, k)."""

    values: NDArray[np.float32]
    indices: NDArray[np.int32]


class Logits:
    """Logits of a forward pass, (bsz, positions, vocab) float32, held by the kernel.

    Indexing and ``np.asarray`` read elements, and read no more rows than needed;
    ``argmax``, ``topk`` and ``log_softmax_of`` are computed where the logits are.
    The memory is freed when this object dies.
    """

    ndim = 3

    def __init__(self, rpc: Rpc, result: str, shape: Sequence[int]) -> None:
        self._rpc = rpc
        self._result = result
        bsz, kept, vocab = (int(n) for n in shape)
        self.shape: tuple[int, int, int] = (bsz, kept, vocab)
        self._finalizer = weakref.finalize(self, rpc.forget, "result.free", {"result": result})
        self._finalizer.atexit = False

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """The type of the elements: float32."""
        import numpy as np

        return np.dtype(np.float32)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def nbytes(self) -> int:
        """The number of bytes that the kernel holds for this object."""
        return self.size * _ITEM

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        keys = _expand(keys)
        if not all(_basic(k) for k in keys):
            return self.numpy()[key]  # fancy indexing: numpy's rules on all of it
        picks: list[range] = []
        rest: list[Any] = []
        for k, n in zip((*keys, slice(None), slice(None))[:2], self.shape[:2], strict=True):
            if isinstance(k, slice):
                picks.append(range(*k.indices(n)))
                rest.append(slice(None))
            else:
                i = k.__index__()
                if not -n <= i < n:
                    raise IndexError(f"index {i} is out of bounds for a dimension of size {n}")
                picks.append(range(i % n, i % n + 1))
                rest.append(0)
        index = (*rest, *keys[2:])
        return self._rows(picks[0], picks[1])[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("logits live in the kernel: reading them always copies")
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __buffer__(self, flags: int) -> memoryview:
        array: Any = self.numpy()
        return memoryview(array)

    def numpy(self) -> NDArray[np.float32]:
        """Read all of it."""
        return self._rows(range(self.shape[0]), range(self.shape[1]))

    def tolist(self) -> list[list[list[float]]]:
        """Read all of it as nested lists."""
        nested: list[list[list[float]]] = self.numpy().tolist()
        return nested

    def argmax(self, axis: int = -1, *, dim: int | None = None) -> NDArray[np.int32]:
        """Return the best id of each position, (bsz, positions); the lowest on ties."""
        import numpy as np

        _last_axis(axis if dim is None else dim, "argmax")
        response = self._reduce("argmax")
        (ids,) = self._arrays(response, np.dtype("<i4"))
        return ids.reshape(self.shape[:2])

    def topk(self, k: int, axis: int = -1, *, dim: int | None = None) -> TopK:
        """Return the k best logits of each position and their ids, best first."""
        import numpy as np

        _last_axis(axis if dim is None else dim, "topk")
        if not 1 <= k <= self.shape[2]:
            raise RequestError(f"k must be between 1 and {self.shape[2]}, got {k}.")
        response = self._reduce("topk", k=int(k))
        values, ids = self._arrays(response, np.dtype("<f4"), np.dtype("<i4"))
        shape = (*self.shape[:2], k)
        return TopK(values.reshape(shape), ids.reshape(shape))

    def log_softmax_of(self, ids: Any) -> NDArray[np.float32]:
        """Return the log-probability of one id at each position; ids is (bsz, positions)."""
        import numpy as np

        array = np.asarray(ids)
        if array.shape != self.shape[:2]:
            raise RequestError(f"ids must be of shape {self.shape[:2]}, got {array.shape}.")
        if array.min() < 0 or array.max() >= self.shape[2]:
            raise RequestError(f"ids must be between 0 and {self.shape[2] - 1}.")
        response = self._reduce("log_softmax_of", ids=array.ravel().tolist())
        (values,) = self._arrays(response, np.dtype("<f4"))
        return values.reshape(self.shape[:2])

    def log_softmax(self, axis: int = -1, *, dim: int | None = None) -> NDArray[np.float32]:
        """Read all of it as log-probabilities over the vocabulary."""
        import numpy as np

        _last_axis(axis if dim is None else dim, "log_softmax")
        array = self.numpy()
        array -= array.max(axis=-1, keepdims=True)
        total = np.exp(array.astype(np.float64)).sum(axis=-1, keepdims=True)
        array -= np.log(total).astype(np.float32)
        return array

    def __repr__(self) -> str:
        return f"Logits(shape={self.shape}, dtype=float32, in the kernel)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from ._repr import card, size

        return card(
            "Logits",
            {"shape": self.shape, "dtype": "float32", "in the kernel": size(self.nbytes)},
        )

    def _reduce(self, op: str, **extra: Any) -> Response:
        params = {
            "result": self._result,
            "first": 0,
            "count": self.shape[0] * self.shape[1],
            "op": op,
            **extra,
        }
        return self._rpc.call("result.reduce", params)

    @staticmethod
    def _arrays(response: Response, *dtypes: np.dtype[Any]) -> list[NDArray[Any]]:
        import numpy as np

        tensors = response.result["data"]
        return [
            np.frombuffer(check_tensor(t, response.buffers), d).copy()
            for t, d in zip(tensors, dtypes, strict=True)
        ]

    def _rows(self, batch: range, positions: range) -> NDArray[np.float32]:
        """Read whole positions, (len(batch), len(positions), vocab), in runs."""
        import numpy as np

        vocab = self.shape[2]
        out = np.empty((len(batch) * len(positions), vocab), np.float32)
        flat = [b * self.shape[1] + p for b in batch for p in positions]
        start = 0
        while start < len(flat):
            end = start + 1
            while end < len(flat) and flat[end] == flat[end - 1] + 1:
                end += 1
            self._read(flat[start] * vocab, out[start:end].reshape(-1))
            start = end
        return out.reshape(len(batch), len(positions), vocab)

    def _read(self, offset: int, out: NDArray[np.float32]) -> None:
        """Fill out, (count,), from the flattened logits at offset."""
        import numpy as np

        step = MAX_BUFFER // 4 // _ITEM
        for done in range(0, len(out), step):
            count = min(step, len(out) - done)
            params = {"result": self._result, "offset": offset + done, "count": count}
            response = self._rpc.call("result.read", params)
            view = check_tensor(response.result["data"], response.buffers)
            out[done : done + count] = np.frombuffer(view, np.dtype("<f4"))


def _basic(key: Any) -> bool:
    """Say whether an index is an integer or a slice, and no mask or array."""
    if isinstance(key, (bool, slice)):
        return isinstance(key, slice)
    return hasattr(key, "__index__") and getattr(key, "shape", ()) == ()


def _expand(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    """Write out an ellipsis among basic indices."""
    at = [i for i, k in enumerate(keys) if k is Ellipsis]
    if not at:
        if len(keys) > 3:
            raise IndexError(f"too many indices: logits have 3 dimensions, got {len(keys)}")
        return keys
    i = at[0]
    fill = (slice(None),) * (3 - (len(keys) - 1))
    return (*keys[:i], *fill, *keys[i + 1 :])


def _last_axis(axis: int, op: str) -> None:
    if axis not in (-1, 2):
        raise RequestError(
            f"{op} works on the last dimension in the kernel, got {axis}.",
            hint="np.asarray(logits) reads all of it into numpy",
        )
