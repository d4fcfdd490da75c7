"""ModelArgs: the configuration of a model, in Meta's and Hugging Face's names."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from ._errors import ConfigError, MissingFileError

__all__ = ["ModelArgs"]

T = TypeVar("T")

_MAX_FILE = 16 << 20
_DTYPES = ("float32", "float16", "bfloat16")
_SHORT_DTYPES = {
    "f32": "float32", "fp32": "float32", "float": "float32",
    "f16": "float16", "fp16": "float16", "half": "float16", "bf16": "bfloat16",
}  # fmt: skip


class _Field(Generic[T]):
    """A setting: an explicit value, or else a default that may follow other settings."""

    def __init__(self, default: T | None = None, follow: Callable[[ModelArgs], T] | None = None):
        self.default = default
        self.follow = follow

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, obj: None, owner: type) -> _Field[T]: ...
    @overload
    def __get__(self, obj: ModelArgs, owner: type) -> T: ...
    def __get__(self, obj: ModelArgs | None, owner: type) -> T | _Field[T]:
        if obj is None:
            return self
        if self.name in obj._values:
            value: T = obj._values[self.name]
            return value
        return self.follow(obj) if self.follow is not None else self.default  # type: ignore[return-value]

    def __set__(self, obj: ModelArgs, value: T | None) -> None:
        if value is None:
            obj._values.pop(self.name, None)
        else:
            obj._values[self.name] = value


class _Alias(_Field[T]):
    """Another name of a setting."""

    def __init__(self, of: str) -> None:
        super().__init__()
        self.of = of

    @overload
    def __get__(self, obj: None, owner: type) -> _Field[T]: ...
    @overload
    def __get__(self, obj: ModelArgs, owner: type) -> T: ...
    def __get__(self, obj: ModelArgs | None, owner: type) -> T | _Field[T]:
        if obj is None:
            return self
        value: T = getattr(obj, self.of)
        return value

    def __set__(self, obj: ModelArgs, value: T | None) -> None:
        setattr(obj, self.of, value)


class ModelArgs:
    """All configuration of a model.

    Every setting goes by Hugging Face's name and by Meta's, as keyword and as
    attribute. Sizes that are not given follow the others: ``intermediate_size``
    by Meta's formula, ``num_key_value_heads`` and ``head_dim`` from the heads,
    ``max_position_embeddings`` from ``max_seq_len``.

    >>> args = ModelArgs(hidden_size=2048, num_hidden_layers=16)
    >>> args.dim, args.n_layers, args.intermediate_size, args.rms_norm_eps
    (2048, 16, 5632, 1e-06)

    A value that no model can have is a ValueError with the numbers:

    >>> ModelArgs(n_heads=32, n_kv_heads=5)
    Traceback (most recent call last):
    ...
    llama._errors.ConfigError: The number of attention heads (32) is not a multiple of the number \
of key-value heads (5).
    """

    hidden_size = _Field[int](4096)
    num_hidden_layers = _Field[int](32)
    num_attention_heads = _Field[int](32)
    num_key_value_heads = _Field[int](follow=lambda a: a.num_attention_heads)
    head_dim = _Field[int](follow=lambda a: a.hidden_size // max(a.num_attention_heads, 1))
    vocab_size = _Field[int](32000)
    intermediate_size = _Field[int](follow=lambda a: _ffn_size(a))
    multiple_of = _Field[int](256)
    ffn_dim_multiplier = _Field[float | None](None)
    rms_norm_eps = _Field[float](1e-6)
    rope_theta = _Field[float](10000.0)
    rope_scaling = _Field[Mapping[str, Any] | None](None)
    use_scaled_rope = _Field[bool](False)
    max_batch_size = _Field[int](32)
    max_seq_len = _Field[int](
        follow=lambda a: min(2048, a._values.get("max_position_embeddings", 2048))
    )
    max_position_embeddings = _Field[int](follow=lambda a: a.max_seq_len)
    torch_dtype = _Field[str | None](None)
    attention_bias = _Field[bool](False)
    mlp_bias = _Field[bool](False)
    tie_word_embeddings = _Field[bool](False)
    hidden_act = _Field[str]("silu")
    bos_token_id = _Field[int | None](None)
    eos_token_id = _Field[int | list[int] | None](None)
    pad_token_id = _Field[int | None](None)

    dim = _Alias[int]("hidden_size")
    n_layers = _Alias[int]("num_hidden_layers")
    n_heads = _Alias[int]("num_attention_heads")
    n_kv_heads = _Alias[int]("num_key_value_heads")
    norm_eps = _Alias[float]("rms_norm_eps")
    dtype = _Alias[str | None]("torch_dtype")

    def __init__(
        self,
        *,
        hidden_size: int | None = None,
        vocab_size: int | None = None,
        num_hidden_layers: int | None = None,
        num_attention_heads: int | None = None,
        num_key_value_heads: int | None = None,
        max_seq_len: int | None = None,
        rms_norm_eps: float | None = None,
        intermediate_size: int | None = None,
        head_dim: int | None = None,
        rope_theta: float | None = None,
        rope_scaling: Mapping[str, Any] | None = None,
        max_batch_size: int | None = None,
        max_position_embeddings: int | None = None,
        torch_dtype: str | None = None,
        attention_bias: bool | None = None,
        mlp_bias: bool | None = None,
        tie_word_embeddings: bool | None = None,
        hidden_act: str | None = None,
        bos_token_id: int | None = None,
        eos_token_id: int | list[int] | None = None,
        pad_token_id: int | None = None,
        dim: int | None = None,
        n_layers: int | None = None,
        n_heads: int | None = None,
        n_kv_heads: int | None = None,
        multiple_of: int | None = None,
        ffn_dim_multiplier: float | None = None,
        norm_eps: float | None = None,
        use_scaled_rope: bool | None = None,
        dtype: str | None = None,
    ) -> None:
        given = {k: v for k, v in locals().items() if k != "self" and v is not None}
        self._values: dict[str, Any] = {}
        self._assign(given)
        self.validate()

    @classmethod
    def from_config_file(cls, path: str | os.PathLike[str]) -> ModelArgs:
        """Read config.json (Hugging Face), params.json (Meta), or the folder of one.

        Raises FileNotFoundError when it is absent, ValueError when it is not
        valid JSON or has a value that no model can have.
        """
        file = _config_file(Path(path))
        data = _read_json(file)
        values = _from_meta(data, file) if _is_meta(data) else _from_hf(data, file)
        args = cls.__new__(cls)
        args._values = {}
        try:
            args._assign(values)
            args.validate()
        except ConfigError as e:
            raise ConfigError(f"{file}: {e}", hint=e.hint) from None
        return args

    def replace(self, **overrides: Any) -> ModelArgs:
        """Return a copy with other values.

        >>> ModelArgs().replace(max_seq_len=512).max_seq_len
        512
        """
        copy = ModelArgs.__new__(ModelArgs)
        copy._values = dict(self._values)
        for name in overrides:
            if name not in _NAMES:
                raise TypeError(f"ModelArgs has no setting {name!r}")
        copy._assign(overrides)
        copy.validate()
        return copy

    def _assign(self, given: Mapping[str, Any]) -> None:
        names: dict[str, str] = {}
        for name, value in given.items():
            field = _NAMES[name]
            canonical = field.of if isinstance(field, _Alias) else name
            other = names.setdefault(canonical, name)
            if other != name and given[other] != value:
                raise ConfigError(
                    f"{other}={given[other]!r} and {name}={value!r} are the same setting."
                )
            setattr(self, name, value)

    def validate(self) -> None:
        """Raise ValueError, with the numbers, for a configuration that no model can have."""
        for name, most in _SIZES.items():
            _check_int(name, getattr(self, name), 1, most)
        if self.vocab_size != -1:
            _check_int("vocab_size", self.vocab_size, 1, 1 << 24)
        for name in ("rms_norm_eps", "rope_theta"):
            _check_positive(name, getattr(self, name))
        if self.ffn_dim_multiplier is not None:
            _check_positive("ffn_dim_multiplier", self.ffn_dim_multiplier)
        heads, kv, hidden = self.num_attention_heads, self.num_key_value_heads, self.hidden_size
        if "head_dim" not in self._values and hidden % heads:
            raise ConfigError(
                f"The hidden size ({hidden}) is not a multiple of the number of attention heads "
                f"({heads}).",
                hint="pass head_dim if the model really has another head size",
            )
        if heads % kv:
            raise ConfigError(
                f"The number of attention heads ({heads}) is not a multiple of the number of "
                f"key-value heads ({kv})."
            )
        _check_int("head_dim", self.head_dim, 1, 1 << 16)
        if self.head_dim % 2:
            raise ConfigError(f"head_dim must be even for rotary embeddings, got {self.head_dim}.")
        limit = self.max_position_embeddings
        if self.max_seq_len > limit:
            raise ConfigError(
                f"max_seq_len must be between 1 and {limit}, got {self.max_seq_len}.",
                hint=f"max_position_embeddings is {limit}",
            )
        if self.hidden_act not in ("silu", "swish"):
            raise ConfigError(f"hidden_act must be 'silu', got {self.hidden_act!r}.")
        for name in ("attention_bias", "mlp_bias"):
            if getattr(self, name):
                raise ConfigError(f"{name}=True is not supported: a Llama has no biases.")
        if self.torch_dtype is not None:
            normal_dtype(self.torch_dtype)
        for token in _ids(self.eos_token_id):
            _check_int("eos_token_id", token, 0, (1 << 31) - 1)
        if self.bos_token_id is not None:
            _check_int("bos_token_id", self.bos_token_id, 0, (1 << 31) - 1)
        _rope(self)

    def to_config(self) -> dict[str, Any]:
        """Return the configuration in the engine's names (weights.Config)."""
        self.validate()
        if self.vocab_size == -1:
            raise ConfigError(
                "vocab_size is -1, the tokenizer's, and a model without files has no tokenizer.",
                hint="pass vocab_size, or build from the folder with Llama.build",
            )
        bos = self.bos_token_id
        return {
            "architecture": "llama",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": float(self.rms_norm_eps),
            "rope_theta": float(self.rope_theta),
            "rope_scaling": _rope(self),
            "tie_word_embeddings": bool(self.tie_word_embeddings),
            "bos_token_id": -1 if bos is None else bos,
            "eos_token_id": _ids(self.eos_token_id),
            "dtype": normal_dtype(self.torch_dtype or "float16"),
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], *, max_seq_len: int, max_batch_size: int
    ) -> ModelArgs:
        """Make the args of a loaded model from the engine's config."""
        args = cls.__new__(cls)
        args._values = {}
        known = {k: v for k, v in config.items() if k in _NAMES and v is not None}
        known.pop("dtype", None)
        if known.get("bos_token_id") == -1:
            del known["bos_token_id"]
        scaling = known.pop("rope_scaling", None)
        if scaling and scaling.get("rope_type"):
            known["rope_scaling"] = dict(scaling)
        args._assign({**known, "max_seq_len": max_seq_len, "max_batch_size": max_batch_size})
        if config.get("dtype") in _DTYPES:
            args.torch_dtype = config["dtype"]
        return args

    def num_parameters(self) -> int:
        """Count the parameters that a model of this configuration has.

        >>> ModelArgs().num_parameters()
        6738415616
        """
        q = self.num_attention_heads * self.head_dim
        kv = self.num_key_value_heads * self.head_dim
        attention = self.hidden_size * (2 * q + 2 * kv)
        block = attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size
        tables = 1 if self.tie_word_embeddings else 2
        return (
            self.num_hidden_layers * block
            + tables * self.vocab_size * self.hidden_size
            + self.hidden_size
        )

    def to_dict(self) -> dict[str, Any]:
        """Return every setting by its Hugging Face name."""
        return {n: getattr(self, n) for n, f in _NAMES.items() if not isinstance(f, _Alias)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelArgs) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in _SHOWN}
        return f"ModelArgs({', '.join(f'{k}={v!r}' for k, v in shown.items())})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from ._repr import card

        return card("ModelArgs", {k: v for k, v in self.to_dict().items() if v is not None})


_NAMES: dict[str, _Field[Any]] = {k: v for k, v in vars(ModelArgs).items() if isinstance(v, _Field)}
_SHOWN = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "vocab_size", "max_seq_len", "rms_norm_eps",
)  # fmt: skip
_SIZES = {  # the largest value that is still plausible
    "hidden_size": 1 << 20,
    "num_hidden_layers": 1 << 12,
    "num_attention_heads": 1 << 16,
    "num_key_value_heads": 1 << 16,
    "multiple_of": 1 << 20,
    "max_batch_size": 1 << 16,
    "max_seq_len": 1 << 30,
    "max_position_embeddings": 1 << 30,
    "intermediate_size": 1 << 24,
}
# Keys of real files that say nothing about how a Llama computes.
_SILENT = {
    "architectures", "model_type", "transformers_version", "use_cache", "initializer_range",
    "pretraining_tp", "attention_dropout", "hidden_dropout", "attn_implementation",
    "_name_or_path", "auto_map", "quantization_config", "is_llama_config", "rope_interleaved",
    "transformers.js_config", "unsloth_version", "unsloth_fixed", "output_attentions",
    "output_hidden_states", "return_dict", "torchscript", "use_bfloat16", "_attn_implementation",
    "vision_chunk_size", "vision_max_num_chunks", "vision_num_cross_attention_layers",
    "lora_args", "quantization_args",
}  # fmt: skip


def _ffn_size(args: ModelArgs) -> int:
    """Return Meta's feed-forward size (llama/model.py, FeedForward)."""
    size = int(2 * 4 * args.hidden_size / 3)
    if args.ffn_dim_multiplier is not None:
        size = int(args.ffn_dim_multiplier * size)
    return args.multiple_of * ((size + args.multiple_of - 1) // args.multiple_of)


def _check_int(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} must be an integer, got {value!r} ({type(value).__name__}).")
    if not least <= value <= most:
        raise ConfigError(f"{name} must be between {least} and {most}, got {value}.")


def _check_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{name} must be a number, got {value!r} ({type(value).__name__}).")
    if not (0 < value < 1e30 and math.isfinite(value)):
        raise ConfigError(f"{name} must be positive and finite, got {value!r}.")


def normal_dtype(name: object) -> str:
    """Return the canonical name of a dtype: a string, a numpy or a torch dtype.

    >>> normal_dtype("torch.bfloat16"), normal_dtype("f16")
    ('bfloat16', 'float16')
    """
    text = getattr(name, "__name__", None) or str(name)
    text = text.removeprefix("torch.").lower()
    text = _SHORT_DTYPES.get(text, text)
    if text not in _DTYPES:
        raise ConfigError(f"dtype must be one of {', '.join(_DTYPES)}, got {name!r}.")
    return text


def _ids(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _rope(args: ModelArgs) -> dict[str, Any]:
    """Return weights.RopeScaling of the args."""
    scaling = args.rope_scaling
    if scaling is None and args.use_scaled_rope:
        # Meta's code fixes 8; Llama 3.2's small models use 32 (params.json cannot tell).
        small = args.vocab_size == 128256 and args.hidden_size in (2048, 3072)
        scaling = {"rope_type": "llama3", "factor": 32.0 if small else 8.0}
    if scaling is None:
        return {}
    if not isinstance(scaling, Mapping):
        raise ConfigError(f"rope_scaling must be a mapping, got {scaling!r}.")
    kind = scaling.get("rope_type", scaling.get("type", ""))
    if kind in ("", "default"):
        return {}
    if kind not in ("linear", "llama3"):
        raise ConfigError(
            f"rope_scaling of type {kind!r} is not supported; expected 'linear' or 'llama3'."
        )
    result: dict[str, Any] = {"rope_type": kind, "factor": scaling.get("factor")}
    _check_positive("rope_scaling factor", result["factor"])
    result["factor"] = float(result["factor"])
    if kind == "llama3":
        for name, default in (("low_freq_factor", 1.0), ("high_freq_factor", 4.0)):
            value = scaling.get(name, default)
            _check_positive(f"rope_scaling {name}", value)
            result[name] = float(value)
        original = scaling.get("original_max_position_embeddings", 8192)
        _check_int("rope_scaling original_max_position_embeddings", original, 1, 1 << 30)
        result["original_max_position_embeddings"] = original
    return result


def _config_file(path: Path) -> Path:
    if path.is_dir():
        for name in ("config.json", "params.json"):
            if (path / name).is_file():
                return path / name
        raise MissingFileError(
            f"No config.json or params.json in '{path}'.",
            hint="name the folder of a model, or its config file",
        )
    if not path.is_file():
        raise MissingFileError(
            f"Config file '{path}' does not exist.",
            hint="name a config.json (Hugging Face), a params.json (Meta) or their folder",
        )
    return path


def _read_json(file: Path) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            raise ValueError("a key occurs twice")
        return result

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    if file.stat().st_size > _MAX_FILE:
        raise ConfigError(f"{file} has {file.stat().st_size} bytes; a config has fewer.")
    try:
        data = json.loads(
            file.read_text(encoding="utf-8"), object_pairs_hook=pairs, parse_constant=constant
        )
    except (ValueError, RecursionError) as e:
        raise ConfigError(f"{file} is not valid JSON: {e}.") from e
    if not isinstance(data, dict):
        raise ConfigError(f"{file} holds a {type(data).__name__}, expected an object.")
    return data


def _is_meta(data: Mapping[str, Any]) -> bool:
    return "dim" in data and "hidden_size" not in data


def _from_meta(data: Mapping[str, Any], file: Path) -> dict[str, Any]:
    values = _known(data, file)
    if data.get("vision_chunk_size") or data.get("vision_num_cross_attention_layers"):
        raise ConfigError(f"{file} is of a vision model, which is not supported.")
    for name in ("dim", "n_layers", "n_heads"):
        if name not in values:
            raise ConfigError(f"{file} lacks {name!r}.")
    values.setdefault("norm_eps", 1e-5)
    values.setdefault("vocab_size", -1)
    if values["vocab_size"] == 128256:
        values.setdefault("rope_theta", 500000.0)
    return values


def _from_hf(data: Mapping[str, Any], file: Path) -> dict[str, Any]:
    data = dict(data)
    kinds = data.get("architectures") or []
    kind = data.get("model_type", "llama")
    if kind != "llama" or not set(kinds) <= {"LlamaForCausalLM", "LlamaModel"}:
        raise ConfigError(
            f"{file} is of model_type {kind!r}, architectures {kinds!r}; "
            "expected 'llama' and LlamaForCausalLM."
        )
    rope = data.pop("rope_parameters", None)  # transformers v5
    if isinstance(rope, Mapping):
        rope = dict(rope)
        theta = rope.pop("rope_theta", None)
        if theta is not None:
            data.setdefault("rope_theta", theta)
        if rope.get("rope_type", "default") != "default" and not data.get("rope_scaling"):
            data["rope_scaling"] = rope
    elif rope is not None:
        raise ConfigError(f"{file}: rope_parameters must be an object, got {rope!r}.")
    values = _known(data, file)
    if "dtype" in values:
        values["torch_dtype"] = values.pop("dtype")
    values.setdefault("intermediate_size", 11008)
    values.setdefault("max_position_embeddings", 2048)
    return values


def _known(data: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the settings that ModelArgs has; name the rest in one warning."""
    unknown = sorted(k for k in data if k not in _NAMES and k not in _SILENT)
    if unknown:
        warnings.warn(
            f"{file} has keys that are not used: {', '.join(unknown)}", UserWarning, stacklevel=4
        )
    return {k: v for k, v in data.items() if k in _NAMES and v is not None}
