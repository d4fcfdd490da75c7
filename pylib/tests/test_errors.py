from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import llama
from llama._errors import from_rpc

GO_KINDS = Path(__file__).resolve().parents[2] / "kernel" / "rpc" / "errors.go"


@pytest.mark.parametrize(
    ("kind", "cls", "builtin"),
    [
        ("missing_file", llama.MissingFileError, FileNotFoundError),
        ("config", llama.ConfigError, ValueError),
        ("checkpoint", llama.CheckpointError, ValueError),
        ("tokenizer", llama.TokenizerError, ValueError),
        ("request", llama.RequestError, ValueError),
        ("state_dict", llama.StateDictError, RuntimeError),
        ("token_index", llama.TokenIndexError, IndexError),
        ("not_enough_memory", llama.NotEnoughMemoryError, MemoryError),
        ("kernel_gone", llama.KernelGoneError, ConnectionError),
        ("protocol", llama.ProtocolError, RuntimeError),
        ("busy", llama.LlamaError, Exception),
        ("a kind of the future", llama.LlamaError, Exception),
    ],
)
def test_kinds(kind: str, cls: type[Exception], builtin: type[Exception]) -> None:
    error = from_rpc({"code": 1, "message": "found 3", "data": {"kind": kind, "hint": "pass 4"}})
    assert type(error) is cls and isinstance(error, builtin)
    assert str(error) == "found 3" and isinstance(error, llama.LlamaError)
    assert error.hint == "pass 4"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls and again.hint == "pass 4"


def test_memory_error_has_numbers() -> None:
    data = {"kind": "not_enough_memory", "needed": 100, "available": 7}
    error = from_rpc({"code": 1, "message": "no", "data": data})
    assert isinstance(error, llama.NotEnoughMemoryError)
    assert (error.needed, error.available) == (100, 7)


def test_cancelled_is_an_interrupt() -> None:
    data = {"kind": "cancelled"}
    assert isinstance(from_rpc({"code": -32800, "message": "", "data": data}), KeyboardInterrupt)


def test_every_kind_of_the_kernel_is_known() -> None:
    import re

    from llama._errors import _KINDS

    kinds = set(re.findall(r'Kind = "(\w+)"', GO_KINDS.read_text()))
    assert len(kinds) > 10
    assert kinds - set(_KINDS) == {"not_enough_memory", "cancelled", "busy", "internal"}
