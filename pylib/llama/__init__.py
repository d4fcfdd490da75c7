"""Llama models in a resident Go kernel, behind an interface that feels like PyTorch.

>>> from llama import Llama, ModelArgs, Transformer

The kernel is found or started at first use. It keeps models loaded across
notebooks and their restarts; ``shutdown`` ends it.
"""

from __future__ import annotations

from ._control import shutdown
from ._errors import (
    CheckpointError,
    ConfigError,
    KernelGoneError,
    LlamaError,
    MissingFileError,
    NotEnoughMemoryError,
    ProtocolError,
    RequestError,
    StateDictError,
    TokenIndexError,
    TokenizerError,
)
from ._models import pull
from ._version import __version__
from .generation import (
    ChatPrediction,
    CompletionPrediction,
    GenerationResult,
    Llama,
)
from .model import ModelArgs, Transformer, create_transformer_from_config
from .tokenizer import ChatFormat, Dialog, Message, Tokenizer

OFFLINE = False
"""True forbids pulling models, as ``LLAMA_GO_OFFLINE=1`` does."""

__all__ = [
    "OFFLINE",
    "ChatFormat",
    "ChatPrediction",
    "CheckpointError",
    "CompletionPrediction",
    "ConfigError",
    "Dialog",
    "GenerationResult",
    "KernelGoneError",
    "Llama",
    "LlamaError",
    "Message",
    "MissingFileError",
    "ModelArgs",
    "NotEnoughMemoryError",
    "ProtocolError",
    "RequestError",
    "StateDictError",
    "TokenIndexError",
    "Tokenizer",
    "TokenizerError",
    "Transformer",
    "__version__",
    "create_transformer_from_config",
    "pull",
    "shutdown",
]
