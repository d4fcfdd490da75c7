"""State dicts: checking and sending one, and reading a model's parameters lazily."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ._errors import RequestError, StateDictError
from ._handle import ModelHandle
from ._names import Naming, canonical, ignored, spelled
from ._rpc import Call, check_tensor, describe_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Parameter", "StateDict", "copy_state", "load_state"]

_PIECE = 8 << 20  # bytes per message; two are under way at a time
_DTYPES = {
    "f32": "float32", "f16": "float16", "bf16": "bfloat16",
    "float32": "float32", "float16": "float16", "bfloat16": "bfloat16",
    "q8_0": "q8_0", "q4_0": "q4_0", "q4_1": "q4_1", "q5_0": "q5_0", "q5_1": "q5_1",
    "q4_k": "q4_k", "q5_k": "q5_k", "q6_k": "q6_k",
}  # fmt: skip
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
_ITEM = {"float32": 4, "float16": 2, "bfloat16": 2}
_BLOCK = {  # weights and bytes of a block (ggml)
    "q8_0": (32, 34), "q4_0": (32, 18), "q4_1": (32, 20), "q5_0": (32, 22), "q5_1": (32, 24),
    "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210),
}  # fmt: skip


class _IncompatibleKeys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )

    def __str__(self) -> str:
        return repr(self)


@dataclass(frozen=True)
class _Tensor:
    """A value of a state dict, ready to be sent: little-endian, row-major."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True)
class Parameter:
    """A parameter of a model; its elements are read when they are asked for."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    _state: StateDict

    requires_grad = False

    def numel(self) -> int:
        """Return the number of elements."""
        total = 1
        for n in self.shape:
            total *= n
        return total

    def numpy(self) -> NDArray[Any]:
        """Read the elements."""
        return self._state[self.name]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype, copy=False)


class StateDict(Mapping[str, Any]):
    """The parameters of a model by name, in file order, read one at a time.

    float32 and float16 are read as they are stored. numpy has no bfloat16 and no
    quantized types: those are widened to float32, which is exact. (bfloat16 stays
    when ``ml_dtypes`` is imported already.)
    """

    def __init__(self, model: ModelHandle, naming: Naming) -> None:
        if naming not in ("meta", "hf"):
            raise RequestError(f"naming must be 'meta' or 'hf', got {naming!r}.")
        self._model = model
        listed = model.call("state.list", {}).result
        self._interleaved = listed["qk_order"] == "interleaved"
        self._naming = naming
        self._entries = {spelled(e["key"], naming): e for e in listed["entries"]}

    def __getitem__(self, name: str) -> NDArray[Any]:
        entry = self._entries[name]
        array = _decode(_read(self._model, entry), entry)
        return self._reorder(entry["key"], array)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"StateDict({len(self)} parameters, naming={self._naming!r})"

    def parameter(self, name: str) -> Parameter:
        """Return a parameter without reading it."""
        entry = self._entries[name]
        return Parameter(name, _dtype(entry), tuple(entry["shape"]), self)

    def _reorder(self, key: str, array: NDArray[Any]) -> NDArray[Any]:
        """Put the rows of Q and K into the order of the naming (api: Q/K)."""
        want = self._naming == "meta"  # Meta rotates pairs, Hugging Face halves
        if want == self._interleaved:
            return array
        config = self._model.config
        if key.endswith("q_proj.weight"):
            heads = config["num_attention_heads"]
        elif key.endswith("k_proj.weight"):
            heads = config["num_key_value_heads"]
        else:
            return array
        rows, columns = array.shape
        half = rows // heads // 2
        first, second = (2, half) if want else (half, 2)
        turned = array.reshape(heads, first, second, columns).swapaxes(1, 2)
        result: NDArray[Any] = turned.reshape(rows, columns)
        return result


def load_state(
    model: ModelHandle, state_dict: Any, *, strict: bool, assign: bool
) -> _IncompatibleKeys:
    """Check a state dict completely, then send it."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    listed = model.call("state.list", {}).result
    shapes = {e["key"]: tuple(e["shape"]) for e in listed["entries"]}
    tied = bool(model.config.get("tie_word_embeddings"))

    tensors: dict[str, _Tensor] = {}
    seen: dict[str, str] = {}
    unexpected: list[str] = []
    errors: list[str] = []
    style = _detect(state_dict)
    for key, value in state_dict.items():
        if not isinstance(key, str):
            raise TypeError(f"Expected state_dict keys to be strings, got {type(key)}.")
        if ignored(key):
            continue
        name, _ = canonical(key)
        shape = shapes.get(_EMBEDDING if tied and name == _HEAD else name)
        if shape is None:
            unexpected.append(key)
            continue
        if name in seen:
            errors.append(f'"{key}" and "{seen[name]}" name the same parameter.')
        seen[name] = key
        tensor = _as_tensor(value)
        if tensor is None:
            errors.append(
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
                f"object from checkpoint but received {type(value)}"
            )
        elif tensor.shape != shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape "
                f"torch.Size({list(tensor.shape)}) from checkpoint, the shape in current model is "
                f"torch.Size({list(shape)})."
            )
        else:
            tensors[key] = tensor
    missing = [style.spell(name) for name in shapes if name not in seen]
    _raise(errors, missing if strict else [], unexpected if strict else [])
    _send(model, tensors, assign=assign)
    return _IncompatibleKeys(missing, unexpected)


def copy_state(source: ModelHandle, target: ModelHandle) -> None:
    """Copy all parameters from one model to another of the same shape."""
    listed = source.call("state.list", {}).result
    state = StateDict(source, "meta" if listed["qk_order"] == "interleaved" else "hf")
    tensors = {}
    for name in state:
        tensor = _as_tensor(state[name])
        assert tensor is not None
        tensors[name] = tensor
    _send(target, tensors, assign=False)


class _Style(NamedTuple):
    """How a dict writes its names."""

    naming: Naming = "meta"
    prefix: str = ""  # of a wrapper, before every name
    bare: bool = False  # Hugging Face's names without "model."

    def spell(self, name: str) -> str:
        text = spelled(name, self.naming)
        return self.prefix + (text.removeprefix("model.") if self.bare else text)


def _detect(state_dict: Mapping[Any, Any]) -> _Style:
    """Return the dict's style; one that mixes two namings is an error."""
    shown: dict[Naming, str] = {}
    for key in state_dict:
        if isinstance(key, str):
            naming = canonical(key)[1]
            if naming is not None and (naming not in shown or shown[naming].endswith(_HEAD)):
                shown[naming] = key
    if len(shown) == 2:
        raise StateDictError(
            "Error(s) in loading state_dict for Transformer:\n\tThe state_dict mixes Meta's names "
            f'("{shown["meta"]}") and Hugging Face\'s ("{shown["hf"]}").'
        )
    for naming, key in shown.items():
        full = spelled(canonical(key)[0], naming)
        if key.endswith(full):
            return _Style(naming, key.removesuffix(full))
        return _Style(naming, key.removesuffix(full.removeprefix("model.")), bare=True)
    return _Style()


def _raise(errors: list[str], missing: list[str], unexpected: list[str]) -> None:
    for kind, keys in (("Unexpected", unexpected), ("Missing", missing)):
        if keys:
            quoted = ", ".join(f'"{k}"' for k in keys)
            errors.insert(0, f"{kind} key(s) in state_dict: {quoted}. ")
    if errors:
        raise StateDictError(
            "Error(s) in loading state_dict for Transformer:\n\t" + "\n\t".join(errors)
        )


def _send(model: ModelHandle, tensors: Mapping[str, _Tensor], *, assign: bool) -> None:
    upload = {"upload": model.call("state.begin", {}).result["upload"]}
    under_way: list[Call] = []
    try:
        for key, tensor in tensors.items():
            step = _PIECE // _ITEM[tensor.dtype] * _ITEM[tensor.dtype]
            for offset in range(0, max(len(tensor.data), 1), step):
                piece = tensor.data[offset : offset + step]
                params = {
                    **upload,
                    "key": key,
                    "dtype": tensor.dtype,
                    "shape": list(tensor.shape),
                    "offset": offset,
                    "data": describe_tensor(piece, "uint8", [len(piece)]),
                }
                under_way.append(model.rpc.start("state.put", params, [piece]))
                if len(under_way) > 2:
                    _finish(under_way.pop(0))
        while under_way:
            _finish(under_way.pop(0))
        # What is missing or unexpected was judged above, before anything was sent.
        model.rpc.call("state.commit", {**upload, "strict": False, "assign": assign})
    except BaseException:
        model.rpc.forget("state.abort", upload)
        raise


def _finish(call: Call) -> None:
    if call.wait().interrupted:
        raise KeyboardInterrupt


def _as_tensor(value: Any) -> _Tensor | None:
    """Return a value as it travels, or None when it is not tensor-like."""
    import numpy as np

    if isinstance(value, tuple) and len(value) in (2, 3) and isinstance(value[0], _BYTES):
        return _from_bytes(*value)
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            words = value.contiguous().view(sys.modules["torch"].int16).numpy()
            return _Tensor("bfloat16", tuple(words.shape), _flat(words))
        value = value.numpy()
    if isinstance(value, (str, *_BYTES)) or value is None:
        return None
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return None
    if array.dtype.name == "bfloat16":  # ml_dtypes
        words = np.ascontiguousarray(array).view(np.uint16)
        return _Tensor("bfloat16", array.shape, _flat(words))
    if array.dtype.kind not in "fiub":
        return None
    want = "<f2" if array.dtype == np.float16 else "<f4"
    return _Tensor(
        "float16" if want == "<f2" else "float32",
        array.shape,
        _flat(np.ascontiguousarray(array, want).reshape(array.shape)),
    )


_BYTES = (bytes, bytearray, memoryview)


def _from_bytes(data: Any, shape: Sequence[int], dtype: str = "float32") -> _Tensor | None:
    view = memoryview(data).cast("B")
    name = _DTYPES.get(str(dtype).lower())
    if name not in _ITEM:
        return None
    count = 1
    for n in shape:
        count *= n
    if len(view) != count * _ITEM[name]:
        return None
    return _Tensor(name, tuple(shape), view)


def _flat(array: NDArray[Any]) -> memoryview:
    import numpy as np

    flat: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(flat)


def _dtype(entry: Mapping[str, Any]) -> str:
    name = str(entry["dtype"]).lower()
    if name not in _DTYPES:
        raise RequestError(
            f"{entry['key']} is of type {entry['dtype']}, which cannot be read here."
        )
    return _DTYPES[name]


def _read(model: ModelHandle, entry: Mapping[str, Any]) -> bytearray:
    """Read a parameter as it is stored."""
    total = 1
    for n in entry["shape"]:
        total *= n
    dtype = _dtype(entry)
    if dtype in _ITEM:
        total *= _ITEM[dtype]
    else:
        weights, size = _BLOCK[dtype]
        total = total // weights * size
    out = bytearray(total)
    for offset in range(0, total, _PIECE):
        count = min(_PIECE, total - offset)
        response = model.call("state.read", {"key": entry["key"], "offset": offset, "bytes": count})
        out[offset : offset + count] = check_tensor(response.result["data"], response.buffers)
    return out


def _decode(data: bytearray, entry: Mapping[str, Any]) -> Any:
    import numpy as np

    dtype, shape = _dtype(entry), tuple(entry["shape"])
    if dtype in ("float32", "float16"):
        return np.frombuffer(data, f"<f{_ITEM[dtype]}").reshape(shape)
    if dtype == "bfloat16":
        words = np.frombuffer(data, "<u2")
        if "ml_dtypes" in sys.modules:
            return words.view(sys.modules["ml_dtypes"].bfloat16).reshape(shape)
        return (words.astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return _dequantize(np.frombuffer(data, np.uint8), dtype).reshape(shape)


def _dequantize(data: NDArray[np.uint8], dtype: str) -> Any:
    """Return the weights of ggml blocks, a row for each.

    They are d·q, d·(q - middle) or d·q + m, with products and sums in float32. A
    byte of 4 bits holds element i in its low and element i + 16 (of K types i + 32)
    in its high nibble; further bits lie apart.
    """
    import numpy as np

    blocks = data.reshape(-1, _BLOCK[dtype][1])
    if dtype == "q6_k":
        return _dequantize_q6_k(blocks)
    d = _halves(blocks[:, :2])
    if dtype in ("q4_k", "q5_k"):
        return _dequantize_k(blocks, d, high_bits=dtype == "q5_k")
    if dtype == "q8_0":
        return d * blocks[:, 2:].view(np.int8).astype(np.float32)
    q = _nibbles(blocks[:, -16:])
    if dtype in ("q5_0", "q5_1"):
        q |= np.unpackbits(blocks[:, -20:-16], axis=1, bitorder="little") << 4
    numbers = q.astype(np.float32)
    if dtype in ("q4_0", "q5_0"):
        return d * (numbers - (8 if dtype == "q4_0" else 16))
    return d * numbers + _halves(blocks[:, 2:4])


def _dequantize_k(blocks: NDArray[np.uint8], d: Any, *, high_bits: bool) -> Any:
    """Return q4_k or q5_k: d·scale·q - dmin·minimum, 6-bit scales of 32 weights each."""
    import numpy as np

    low, high, rest = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scale = np.concatenate([low & 63, rest & 15 | low >> 6 << 4], axis=1)
    minimum = np.concatenate([high & 63, rest >> 4 | high >> 6 << 4], axis=1)
    q = _nibbles(blocks[:, -128:].reshape(-1, 32)).reshape(-1, 8, 32)
    if high_bits:
        bit = np.arange(8, dtype=np.uint8).reshape(1, 8, 1)
        q |= (blocks[:, None, 16:48] >> bit & 1) << 4
    steps = (d * scale.astype(np.float32))[:, :, None]
    lowest = (_halves(blocks[:, 2:4]) * minimum.astype(np.float32))[:, :, None]
    return (steps * q.astype(np.float32) - lowest).reshape(-1, 256)


def _dequantize_q6_k(blocks: NDArray[np.uint8]) -> Any:
    """Return q6_k: d·scale·(q - 32), int8 scales of 16 weights each."""
    import numpy as np

    low = blocks[:, :128].reshape(-1, 2, 1, 64)
    nibbles = np.concatenate([low & 15, low >> 4], axis=2).reshape(-1, 8, 32)
    shift = np.arange(0, 8, 2, dtype=np.uint8).reshape(1, 1, 4, 1)
    high = (blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shift & 3).reshape(-1, 8, 32)
    q = (nibbles | high << 4).astype(np.float32).reshape(-1, 16, 16) - 32
    steps = _halves(blocks[:, 208:]) * blocks[:, 192:208].copy().view(np.int8).astype(np.float32)
    return (steps[:, :, None] * q).reshape(-1, 256)


def _halves(data: NDArray[np.uint8]) -> Any:
    import numpy as np

    return data.copy().view("<f2").astype(np.float32)


def _nibbles(data: NDArray[np.uint8]) -> Any:
    import numpy as np

    return np.concatenate([data & 15, data >> 4], axis=1)
