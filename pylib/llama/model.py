"""The model: its configuration and the Transformer that the kernel computes.

>>> from llama.model import ModelArgs, Transformer
>>> model = Transformer(ModelArgs(dim=64, n_layers=2, n_heads=4, vocab_size=100, max_seq_len=32))
>>> model.forward([[1, 2, 3]]).shape
(1, 3, 100)
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast, overload

from ._args import ModelArgs, normal_dtype
from ._array import Logits
from ._errors import RequestError
from ._generate import GenerateStats, GenerationResult, Request, generate, stream
from ._handle import ModelHandle, SessionHandle
from ._modules import Module, tree
from ._names import Naming
from ._repr import card, count, size, stored_as
from ._rows import check_ids, to_rows
from ._state import Parameter, StateDict, _IncompatibleKeys, copy_state, load_state

__all__ = ["Logits", "ModelArgs", "Transformer", "create_transformer_from_config"]

Quantize = Literal["int8", "int4"]
"""What the matrices of 32- and 16-bit weights can be converted to when they are loaded."""

_ITEM = {"float32": 4, "float16": 2, "bfloat16": 2}


class Transformer:
    """A Llama whose weights live in the kernel.

    Made from ``ModelArgs`` it has random weights (norms 1, the rest N(0, 0.02)
    from a fixed generator and ``seed``), which the kernel makes at first use:
    ``Transformer(args)`` followed by ``load_state_dict`` never pays for them.
    ``dtype`` is the type they are stored in: the args' own, else float16.

    ``precision`` is ``"exact"`` (float32 activations and cache) or ``"fast"``.
    ``quantize`` ``"int8"`` or ``"int4"`` computes with matrices converted to it: less
    memory and time at a small loss. The weights that ``state_dict`` reads and
    ``load_state_dict`` sets stay in ``dtype``.
    Always in evaluation mode: there is no backward pass.

    >>> small = ModelArgs(dim=64, n_layers=2, n_heads=4, vocab_size=100, max_seq_len=32)
    >>> model = Transformer(small, quantize="int8")
    >>> model.quantize, model.forward([[1, 2, 3]]).shape
    ('int8', (1, 3, 100))
    """

    training = False

    def __init__(
        self,
        args: ModelArgs,
        *,
        dtype: Any = None,
        quantize: Quantize | None = None,
        precision: str = "fast",
        seed: int = 1,
        threads: int | None = None,
    ) -> None:
        if not isinstance(args, ModelArgs):
            raise TypeError(f"Transformer takes a ModelArgs, got {type(args).__name__}.")
        args.validate()
        self.args = args
        self._dtype = normal_dtype(dtype or args.torch_dtype or "float16")
        self._quantize = check_quantize(quantize)
        self._precision = check_precision(precision)
        self._threads = check_threads(threads)
        self._seed = operator.index(seed)
        self._calls = 0
        self._handle: ModelHandle | None = None
        self._session: SessionHandle | None = None
        self._lock = threading.Lock()
        self.last: GenerateStats | None = None

    @classmethod
    def _of(cls, handle: ModelHandle, args: ModelArgs, seed: int) -> Transformer:
        """Wrap a model that is open."""
        model = cls.__new__(cls)
        model.args = args
        model._dtype = str(handle.info["dtype"]).lower()
        model._quantize = handle.info["quantize"] or None
        model._precision = handle.info["precision"]
        model._threads = 0
        model._seed = seed
        model._calls = 0
        model._handle = handle
        model._session = None
        model._lock = threading.Lock()
        model.last = None
        return model

    @property
    def _model(self) -> ModelHandle:
        """The model in the kernel, made at first use."""
        with self._lock:
            if self._handle is None:
                self._handle = self._new(self._dtype)
            return self._handle

    def _new(self, dtype: str) -> ModelHandle:
        return ModelHandle.new(
            {
                "config": {**self.args.to_config(), "dtype": dtype},
                "dtype": dtype,
                **({"quantize": self._quantize} if self._quantize else {}),
                "precision": self._precision,
                "seed": self._seed % (1 << 64),
                **({"threads": self._threads} if self._threads else {}),
                "max_seq_len": self.args.max_seq_len,
                "max_batch_size": self.args.max_batch_size,
            }
        )

    @property
    def _limits(self) -> tuple[int, int]:
        return self.args.max_batch_size, self.args.max_seq_len

    def forward(
        self, sequences: Any, start_pos: int = 0, *, logits_to_keep: int | Sequence[int] = 0
    ) -> Logits:
        """Run rows of token ids and return their logits, (bsz, seqlen, vocab) float32.

        The rows must be equally long. They take the positions from ``start_pos``
        on, overwriting what was there; what lies before them stays and is attended
        to. ``logits_to_keep`` is 0 for all positions, n for the last n, or indices.
        The result stays in the kernel until it is indexed.
        """
        rows = to_rows(sequences, "sequences")
        for row in rows:
            if len(row) != len(rows[0]):
                raise RequestError(
                    f"expected sequence of length {len(rows[0])} at dim 1 (got {len(row)})",
                    hint="forward takes rows of one length; generate takes any",
                )
        check_ids(rows, self.args.vocab_size)
        try:
            start = operator.index(start_pos)
        except TypeError:
            raise RequestError(f"start_pos must be an integer, got {start_pos!r}.") from None
        params = {
            "tokens": rows,
            "start_pos": start,
            "keep": _keep(logits_to_keep, len(rows[0])),
        }
        session = self._forward_session()
        result = session.call("forward", params).result
        return Logits(session.rpc, result["result"], result["shape"])

    __call__ = forward

    def _forward_session(self) -> SessionHandle:
        model = self._model
        model.ensure()
        if self._session is None or self._session.rpc is not model.rpc:
            self._session = model.open_session(*self._limits)
        return self._session

    @overload
    def generate(
        self,
        prompt_tokens: Any,
        max_gen_len: int | None = None,
        temperature: float = 0.6,
        top_p: float = 0.9,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stop_token_ids: Sequence[int] | None = None,
        stream: Literal[False] = False,
    ) -> list[list[int]]: ...
    @overload
    def generate(
        self,
        prompt_tokens: Any,
        max_gen_len: int | None = None,
        temperature: float = 0.6,
        top_p: float = 0.9,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stop_token_ids: Sequence[int] | None = None,
        stream: Literal[True],
    ) -> Iterator[list[GenerationResult]]: ...
    def generate(
        self,
        prompt_tokens: Any,
        max_gen_len: int | None = None,
        temperature: float = 0.6,
        top_p: float = 0.9,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stop_token_ids: Sequence[int] | None = None,
        stream: bool = False,
    ) -> list[list[int]] | Iterator[list[GenerationResult]]:
        """Return the new tokens of each row, or yield them as they come.

        Rows end at the config's eos ids, when it names some, and at
        ``stop_token_ids``. ``max_gen_len=None`` goes to the end of the context.
        """
        request = Request.check(
            prompt_tokens,
            max_gen_len,
            temperature,
            top_p,
            seed=self._next_seed() if seed is None else seed,
            max_batch_size=self.args.max_batch_size,
            max_seq_len=self.args.max_seq_len,
            vocab_size=self.args.vocab_size,
            ignore_eos=ignore_eos,
            stop_token_ids=stop_token_ids,
        )
        if stream:
            return self._stream(request)
        outcome = generate(self._model, self._limits, request)
        self.last = outcome.stats
        return outcome.tokens

    def _stream(self, request: Request) -> Iterator[list[GenerationResult]]:
        model = self._model
        return stream(
            model,
            self._limits,
            request,
            text=model.info.get("tokenizer") is not None,
            done=lambda stats: setattr(self, "last", stats),
        )

    def _next_seed(self) -> int:
        self._calls += 1
        return self._seed + self._calls - 1

    def load_state_dict(
        self, state_dict: Any, strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy weights into the model, by Meta's or Hugging Face's names.

        Values are numpy arrays, torch tensors, nested lists, or ``(bytes, shape[,
        dtype])``. They are cast to the model's dtype, unless ``assign``. All is
        checked before anything changes. A model that was loaded from files becomes
        a private copy; other handles on the same files do not see the change.

        >>> model.load_state_dict({}, strict=False).missing_keys[0]
        'tok_embeddings.weight'
        """
        return load_state(self._model, state_dict, strict=strict, assign=assign)

    def state_dict(self, *, naming: Naming = "meta") -> StateDict:
        """Return the parameters by name, in order, read one at a time.

        ``naming="hf"`` gives Hugging Face's names and its order of Q and K rows.
        """
        return StateDict(self._model, naming)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield each parameter with its name; elements are read when asked for."""
        state = self.state_dict()
        return ((name, state.parameter(name)) for name in state)

    def parameters(self) -> Iterator[Parameter]:
        """Yield each parameter."""
        return (parameter for _, parameter in self.named_parameters())

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield each module with its name, parents first."""
        return tree(self.args).walk()

    def num_parameters(self) -> int:
        """Return the number of parameters."""
        if self._handle is not None:
            return int(self._handle.info["parameters"])
        return self.args.num_parameters()

    def get_memory_footprint(self) -> int:
        """Return the bytes that the weights take when they compute.

        >>> small = ModelArgs(dim=64, n_layers=2, n_heads=4, vocab_size=100, max_seq_len=32)
        >>> model = Transformer(small, quantize="int4")
        >>> model.get_memory_footprint() < Transformer(small).get_memory_footprint() / 2
        True
        """
        if self._handle is not None or self._quantize is not None:  # the kernel knows the types
            return int(self._model.info["bytes"])
        return self.args.num_parameters() * _ITEM[self._dtype]

    def eval(self) -> Transformer:
        """Return self: always in evaluation mode."""
        return self

    def train(self, mode: bool = True) -> Transformer:
        """Return self: training is not done here."""
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Transformer:
        """Return self: there are no gradients."""
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing: there are no gradients."""

    def half(self) -> Transformer:
        """Store the weights as float16."""
        return self._convert("float16")

    def float(self) -> Transformer:
        """Store the weights as float32."""
        return self._convert("float32")

    def bfloat16(self) -> Transformer:
        """Store the weights as bfloat16."""
        return self._convert("bfloat16")

    def cpu(self) -> Transformer:
        """Return self: the model computes on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Transformer:
        """Fail: there is no GPU worker."""
        raise RequestError(
            "This build has no GPU worker; models compute on the CPU.",
            hint="leave out .cuda() and .to('cuda')",
        )

    def to(self, *args: Any, device: Any = None, dtype: Any = None) -> Transformer:
        """Change the dtype; the device can only be the CPU."""
        for value in args:
            if str(getattr(value, "type", value)).split(":")[0] in ("cpu", "cuda", "mps"):
                device = value
            else:
                dtype = value
        if device is not None and str(getattr(device, "type", device)).split(":")[0] != "cpu":
            return self.cuda(device)
        return self if dtype is None else self._convert(normal_dtype(dtype))

    def _convert(self, dtype: str) -> Transformer:
        if dtype != self._dtype:
            if self._handle is not None:
                target = self._new(dtype)
                copy_state(self._handle, target)
                self._handle.close()
                self._handle, self._session = target, None
            self._dtype = dtype
        return self

    @property
    def dtype(self) -> str:
        """The type that the weights are stored in."""
        return self._dtype

    @property
    def quantize(self) -> Quantize | None:
        """What the matrices are converted to for computing, or None."""
        return self._quantize

    @property
    def device(self) -> str:
        """Where the model computes: "cpu"."""
        return "cpu"

    @property
    def config(self) -> ModelArgs:
        """The configuration."""
        return self.args

    @property
    def params(self) -> ModelArgs:
        """The configuration, by Meta's name for it."""
        return self.args

    def __repr__(self) -> str:
        return repr(tree(self.args))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        a = self.args
        stored = stored_as({"dtype": self._dtype, "quantize": self._quantize})
        bundle = card(
            "Transformer",
            {
                "parameters": count(self.num_parameters()),
                "weights": f"{stored}, {size(self.get_memory_footprint())}",
                "precision": self._precision,
                "layers": a.num_hidden_layers,
                "hidden": f"{a.hidden_size} (FFN {a.intermediate_size})",
                "heads": f"{a.num_attention_heads} ({a.num_key_value_heads} KV)",
                "vocabulary": a.vocab_size,
                "context": a.max_seq_len,
            },
        )
        return {**bundle, "text/plain": repr(self)}


def create_transformer_from_config(
    config_path: str | os.PathLike[str],
    *,
    dtype: Any = None,
    quantize: Quantize | None = None,
    precision: str = "fast",
    seed: int = 1,
    threads: int | None = None,
    **overrides: Any,
) -> Transformer:
    """Make a Transformer from a config file; further keywords override its values.

    The weights are random: ``Llama.build`` loads a model with its weights.
    """
    args = ModelArgs.from_config_file(config_path)
    if overrides:
        args = args.replace(**overrides)
    return Transformer(
        args, dtype=dtype, quantize=quantize, precision=precision, seed=seed, threads=threads
    )


def check_precision(precision: str) -> str:
    """Return the precision, or raise ValueError naming the two that exist."""
    if precision not in ("exact", "fast"):
        raise RequestError(f"precision must be 'exact' or 'fast', got {precision!r}.")
    return precision


def check_quantize(quantize: Any) -> Quantize | None:
    """Return quantize, or raise ValueError naming the two types that exist.

    >>> check_quantize("int4"), check_quantize(None)
    ('int4', None)
    """
    if quantize is None or quantize == "int8" or quantize == "int4":
        return cast("Quantize | None", quantize)
    raise RequestError(
        f"quantize must be 'int8', 'int4' or None, got {quantize!r}.",
        hint="None computes from the types of the file",
    )


def check_threads(threads: int | None) -> int:
    """Return the number of threads for the kernel, 0 for all cores."""
    if threads is None:
        return 0
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise RequestError(f"threads must be a positive integer, got {threads!r}.")
    return threads


def _keep(logits_to_keep: Any, length: int) -> list[int] | None:
    """Return rpc.ForwardParams.Keep: None for all positions."""
    if hasattr(logits_to_keep, "tolist"):
        logits_to_keep = logits_to_keep.tolist()
    if isinstance(logits_to_keep, Sequence):
        indices = [operator.index(i) for i in logits_to_keep]
        for i in indices:
            if not -length <= i < length:
                raise RequestError(f"logits_to_keep holds {i}; the rows have {length} positions.")
        return [i % length for i in indices]
    last = operator.index(logits_to_keep)
    if last < 0:
        raise RequestError(f"logits_to_keep must not be negative, got {last}.")
    return None if last == 0 or last >= length else list(range(length - last, length))
