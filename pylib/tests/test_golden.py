"""The golden messages of kernel/rpc/testdata, which Go's tests check too.

The whole library runs over a transport that answers each request with the golden
result: so every message that it sends is compared with the golden params, and every
golden result and progress goes through the code that reads it.
"""

from __future__ import annotations

import gc
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llama import (
    KernelGoneError,
    Llama,
    ModelArgs,
    NotEnoughMemoryError,
    Transformer,
    _client,
    _control,
    _rpc,
)
from llama._errors import from_rpc
from llama._rpc import Rpc, describe_tensor
from llama.generation import GenerationResult

FOLDER = Path(__file__).resolve().parents[2] / "kernel" / "rpc" / "testdata"
GOLDEN: dict[str, Any] = {}
for _file in sorted(FOLDER.glob("*.json")):
    _data = json.loads(_file.read_text())
    GOLDEN["error" if "error" in _data else _data["method"]] = _data
# Fields that Go leaves out when they are empty, and that pylib may leave out too.
OPTIONAL = {
    "allowed_special", "each", "format", "ids", "k", "max_seq_len", "quantize", "stop_token_ids",
    "threads", "tokenizer_path", "top_logprobs",
}  # fmt: skip
# Numbers that may have a fraction where the golden one has none.
FLOATS = {
    "rope_theta", "factor", "low_freq_factor", "high_freq_factor", "temperature", "top_p",
}  # fmt: skip
# Methods of the Go client alone.
NOT_SENT = {"ps", "stats", "error", "comm_open"}


class Scripted:
    """A transport that answers at once with the golden results."""

    def __init__(self, receiver: _client.Receiver) -> None:
        self.receiver = receiver
        self.sent: dict[str, list[Any]] = defaultdict(list)

    def send(self, channel: str, data: Mapping[str, Any], buffers: Sequence[Any] = ()) -> None:
        method, params = data["method"], data["params"]
        self.sent[method].append(params)
        if "id" not in data:
            return
        answers: list[Any] = []
        result = json.loads(json.dumps(GOLDEN[method]["result"]), object_hook=self._tensor(answers))
        progress = GOLDEN[method].get("progress")
        if progress:
            params = {**progress, "id": data["id"]}
            self.receiver.received({"method": "$/progress", "params": params}, [])
        self.receiver.received({"id": data["id"], "result": result}, answers)
        if method == "shutdown":
            self.receiver.lost(KernelGoneError("it ended"))

    @staticmethod
    def _tensor(buffers: list[Any]) -> Any:
        """Give each tensor of a result a buffer of its size, and its true CRC."""

        def hook(data: dict[str, Any]) -> dict[str, Any]:
            if "crc32c" not in data:
                return data
            buffers.append(memoryview(bytes(data["bytes"])))
            return describe_tensor(buffers[-1], data["dtype"], data["shape"], data["buffer"])

        return hook

    def close(self) -> None:
        pass


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    made: list[Scripted] = []

    def dial(receiver: _client.Receiver) -> Scripted:
        made.append(Scripted(receiver))
        return made[-1]

    rpc = Rpc(dial)
    monkeypatch.setattr(_rpc, "connect", lambda: rpc)
    monkeypatch.setattr(_rpc, "connected", lambda: rpc)
    yield made[0]


def test_there_are_golden_messages() -> None:
    assert len(GOLDEN) > 20


def same_form(sent: Any, golden: Any, where: str) -> None:
    if isinstance(golden, dict):
        assert isinstance(sent, dict), where
        assert not set(sent) - set(golden), f"{where}: unknown fields"
        lacking = set(golden) - set(sent) - OPTIONAL
        assert not lacking or not sent, f"{where}: lacks {lacking}"
        for key, value in sent.items():
            same_form(value, golden[key], f"{where}.{key}")
    elif isinstance(golden, list):
        assert isinstance(sent, list), where
        for item in sent:
            same_form(item, golden[0], f"{where}[]")
    elif isinstance(golden, float) or where.rpartition(".")[2] in FLOATS:
        assert type(sent) in (int, float), f"{where}: {sent!r}"
    elif golden is not None:
        assert type(sent) is type(golden), f"{where}: {sent!r} for {golden!r}"


def use_everything(folder: Path) -> list[list[GenerationResult]]:
    """Make the library send each kind of message; returns what was streamed."""
    (folder / "tokenizer.model").touch()
    (folder / "model.safetensors").touch()
    llm = Llama.build(folder, str(folder / "tokenizer.model"), 512, 4, quantize="int8", threads=2)
    assert "bfloat16, quantize='int8', precision=" in repr(llm)
    assert "bfloat16 as int8, " in llm._repr_mimebundle_()["text/plain"]
    assert llm.model.quantize == "int8"
    assert llm.model.args.rope_scaling == GOLDEN["model.open"]["result"]["config"]["rope_scaling"]
    assert llm.tokenizer.stop_tokens == {257, 258} and llm.tokenizer.add_bos
    assert llm.tokenizer.encode("Hi", bos=True, allowed_special={"<|eot_id|>"}) == [256, 72, 105]
    assert llm.tokenizer.pieces([72, 105]) == ["H", "i"]
    dialog: Any = [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]
    assert llm.formatter.encode_dialog_prompt(dialog) == [256, 72]
    rows = [[256, 72, 105], [256, 72]]
    tokens, logprobs = llm.generate(
        rows, 16, logprobs=True, echo=True, ignore_eos=True, stop_token_ids=[10], seed=[1, -1]
    )
    assert tokens == [[256, 72, 105, 33], [256, 72]]
    assert logprobs == [[0, -1.5, -0.25, -2], [0, -1.5]]
    assert llm.last is not None and llm.last.finish_reasons == ["stop", "interrupted"]
    assert llm.last.prefill_rate == 12 and llm.last.reused_tokens == 2
    steps = list(llm.generate(rows, 16, logprobs=True, echo=True, stream=True))

    args = ModelArgs(dim=64, n_heads=4, n_layers=2, vocab_size=260, max_seq_len=512)
    model = Transformer(args, quantize="int4")
    assert "float16 as int4" in model._repr_mimebundle_()["text/html"]
    logits = model.forward([[1, 2, 3], [4, 5, 6]])
    assert logits.shape == (2, 3, 260)
    assert logits.topk(2).indices.shape == (2, 3, 2)
    assert logits[0, 1:].shape == (2, 260)
    np.testing.assert_array_equal(model.state_dict()["norm.weight"], np.zeros(64, np.float16))
    loaded = model.load_state_dict({"norm.weight": np.ones(64)}, strict=False)
    assert loaded.missing_keys == ["tok_embeddings.weight"]
    call = llm._handle.rpc.start("tokenize", {"model": "m", "text": "", "bos": True, "eos": False})
    call.cancel()
    llm._handle.rpc._calls[99] = call
    llm._handle.rpc.resumed()
    del llm._handle.rpc._calls[99]
    llm._handle.rpc.forget("state.abort", {"upload": "u"})
    llm.close()
    del logits
    gc.collect()
    _control.shutdown()
    return steps


def test_all_messages(scripted: Scripted, tmp_path: Path) -> None:
    steps = use_everything(tmp_path)
    assert [[(r.batch_idx, r.token, r.text, r.source) for r in s] for s in steps] == [
        [(0, 33, "!", "output"), (1, 256, "", "input")],
        [(1, 72, "", "input")],  # the golden progress has not told all of row 1
        [(1, -1, "H", "output")],
    ]
    assert steps[2][0].finish_reason == "interrupted"
    assert steps[0][0].finish_reason == "stop" and steps[0][0].logprobs == [-2]
    for method, golden in GOLDEN.items():
        if method in NOT_SENT:
            continue
        assert scripted.sent[method], f"{method} was never sent"
        for params in scripted.sent[method]:
            same_form(params, golden["params"], method)
    assert set(scripted.sent) <= set(GOLDEN)


def test_reading_two_rows_is_one_exact_request(scripted: Scripted) -> None:
    args = ModelArgs(dim=64, n_heads=4, n_layers=2, vocab_size=260, max_seq_len=512)
    logits = Transformer(args).forward([[1, 2, 3], [4, 5, 6]])
    assert logits[0, 1:].shape == (2, 260)
    assert scripted.sent["result.read"] == [GOLDEN["result.read"]["params"]]


def test_comm_open_data() -> None:
    same_form(_client._open_data(), GOLDEN["comm_open"]["params"], "comm_open")
    assert GOLDEN["comm_open"]["result"]["protocol"] == _client.PROTOCOL


def test_an_error_becomes_its_exception() -> None:
    error = from_rpc(GOLDEN["error"]["error"])
    assert isinstance(error, NotEnoughMemoryError)
    assert (error.needed, error.available) == (13_500_000_000, 8_000_000_000)
    assert error.hint == "shorten max_seq_len"
