"""The exceptions of this package.

``LlamaError`` is the root. Each other class also derives from the built-in that
callers of PyTorch code catch already, so ``except ValueError`` and ``except
FileNotFoundError`` work. ``str(error)`` says what was found and what was
expected; ``error.hint`` says what to do, and a traceback shows it as a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "CheckpointError",
    "ConfigError",
    "KernelGoneError",
    "LlamaError",
    "MissingFileError",
    "NotEnoughMemoryError",
    "ProtocolError",
    "RequestError",
    "StateDictError",
    "TokenIndexError",
    "TokenizerError",
]


class LlamaError(Exception):
    """Any failure of the kernel or of this library.

    >>> LlamaError("the kernel is busy", hint="try again").hint
    'try again'
    """

    hint: str

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint and hasattr(self, "add_note"):  # Python 3.11
            self.add_note(f"hint: {hint}")


class MissingFileError(LlamaError, FileNotFoundError):
    """A config, checkpoint, tokenizer or binary is not there."""


class ConfigError(LlamaError, ValueError):
    """A configuration has a value that no model can have."""


class CheckpointError(LlamaError, ValueError):
    """A checkpoint file is damaged or not of a kind that can be read."""


class TokenizerError(LlamaError, ValueError):
    """A tokenizer file is damaged, absent or of another model."""


class RequestError(LlamaError, ValueError):
    """An argument is out of range."""


class StateDictError(LlamaError, RuntimeError):
    """A state dict does not fit the model."""


class TokenIndexError(LlamaError, IndexError):
    """A token id is outside the vocabulary."""


class NotEnoughMemoryError(LlamaError, MemoryError):
    """A model does not fit: ``needed`` and ``available`` are bytes."""

    def __init__(
        self, message: str = "", *, hint: str = "", needed: int = 0, available: int = 0
    ) -> None:
        super().__init__(message, hint=hint)
        self.needed = needed
        self.available = available


class KernelGoneError(LlamaError, ConnectionError):
    """The resident kernel died or cannot be reached."""


class ProtocolError(LlamaError, RuntimeError):
    """Library and kernel speak different versions."""


class Cancelled(KeyboardInterrupt):
    """The kernel says that a request was cancelled before it had a result."""


_KINDS: dict[str, type[LlamaError]] = {
    "missing_file": MissingFileError,
    "config": ConfigError,
    "checkpoint": CheckpointError,
    "tokenizer": TokenizerError,
    "request": RequestError,
    "state_dict": StateDictError,
    "token_index": TokenIndexError,
    "kernel_gone": KernelGoneError,
    "protocol": ProtocolError,
}


def from_kind(
    kind: str, message: str, hint: str = "", needed: int = 0, available: int = 0
) -> BaseException:
    """Make the exception of an error kind (kernel/rpc/errors.go)."""
    if kind == "cancelled":
        return Cancelled(message)
    if kind == "not_enough_memory":
        return NotEnoughMemoryError(message, hint=hint, needed=needed, available=available)
    return _KINDS.get(kind, LlamaError)(message, hint=hint)


def from_rpc(error: Mapping[str, Any]) -> BaseException:
    """Make the exception of a JSON-RPC error object.

    >>> from_rpc({"code": -32803, "message": "no", "data": {"kind": "config"}})
    ConfigError('no')
    """
    data = error.get("data") or {}
    return from_kind(
        str(data.get("kind", "internal")),
        str(error.get("message", "unknown error")),
        str(data.get("hint", "")),
        int(data.get("needed", 0)),
        int(data.get("available", 0)),
    )
