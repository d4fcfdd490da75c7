"""Requests over a transport that records what is sent: ids, cancel, ack, resume."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from llama import ConfigError, KernelGoneError, ProtocolError, _rpc
from llama._rpc import Response, Rpc, check_tensor, describe_tensor


class Recorder:
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, Any], Sequence[Any]]] = []
        self.closed = False

    def send(self, channel: str, data: Mapping[str, Any], buffers: Sequence[Any] = ()) -> None:
        self.sent.append((channel, data, buffers))

    def close(self) -> None:
        self.closed = True

    def methods(self) -> list[tuple[str, Any]]:
        return [(d["method"], d["params"]) for _, d, _ in self.sent]


@pytest.fixture
def transport() -> Recorder:
    return Recorder()


@pytest.fixture
def rpc(transport: Recorder) -> Rpc:
    return Rpc(lambda receiver: transport)


def result(ident: int, value: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "result": value}


def test_a_call_is_answered_and_acknowledged(rpc: Rpc, transport: Recorder) -> None:
    call = rpc.start("stats", {})
    assert transport.sent[0] == (
        "shell",
        {"jsonrpc": "2.0", "id": call.id, "method": "stats", "params": {}},
        (),
    )
    rpc.received(result(call.id, {"x": 1}), [memoryview(b"b")])
    response = call.wait()
    assert response.result == {"x": 1} and bytes(response.buffers[0]) == b"b"
    assert transport.methods()[1] == ("$/ack", {"ids": [call.id]})


def test_answers_find_their_calls(rpc: Rpc) -> None:
    calls = [rpc.start("m", {}) for _ in range(3)]
    assert len({c.id for c in calls}) == 3
    for call in reversed(calls):
        rpc.received(result(call.id, {"id": call.id}), [])
    assert [c.wait().result["id"] for c in calls] == [c.id for c in calls]


def test_progress_comes_in_order(rpc: Rpc) -> None:
    call = rpc.start("model.open", {})
    for n in (1, 2):
        params = {"id": call.id, "bytes": n, "total": 2}
        rpc.received({"jsonrpc": "2.0", "method": "$/progress", "params": params}, [])
    rpc.received(result(call.id, {}), [])
    seen: list[int] = []
    call.wait(lambda p: seen.append(p["bytes"]))
    assert seen == [1, 2]


def test_an_error_is_raised(rpc: Rpc) -> None:
    call = rpc.start("model.open", {})
    error = {"code": -32803, "message": "bad", "data": {"kind": "config", "hint": "mend it"}}
    rpc.received({"jsonrpc": "2.0", "id": call.id, "error": error}, [])
    with pytest.raises(ConfigError, match="bad"):
        call.wait()


def test_what_belongs_to_nobody_is_harmless(rpc: Rpc, transport: Recorder) -> None:
    for data in (
        {},
        {"id": None, "error": {"code": 1, "message": "", "data": {}}},
        {"id": 7},
        {"method": "$/progress"},
        {"method": "$/progress", "params": {"id": 99}},
        {"method": "$/unheard-of", "params": {}},
    ):
        rpc.received(data, [])
    assert transport.sent == []
    rpc.received(result(55, {}), [])
    assert transport.methods() == [("$/ack", {"ids": [55]})]


def interrupt_soon(delay: float = 0.15) -> None:
    threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_first_interrupt_cancels_and_waits(rpc: Rpc, transport: Recorder) -> None:
    call = rpc.start("generate", {})
    interrupt_soon()
    threading.Timer(0.4, rpc.received, (result(call.id, {"rows": []}), [])).start()
    response = call.wait()
    assert response.interrupted and response.result == {"rows": []}
    channel, message, _ = transport.sent[1]
    assert channel == "control"
    assert message["method"] == "$/cancelRequest" and message["params"] == {"id": call.id}


def test_second_interrupt_abandons(rpc: Rpc, transport: Recorder) -> None:
    call = rpc.start("generate", {})
    interrupt_soon(0.1)
    interrupt_soon(0.4)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call.wait()
    assert time.monotonic() - start < 2
    rpc.received(result(call.id, {}), [])  # the late answer is acknowledged and dropped
    assert transport.methods()[-1] == ("$/ack", {"ids": [call.id]})
    later = rpc.start("stats", {})
    rpc.received(result(later.id, {"next": True}), [])
    assert later.wait().result == {"next": True}


def test_an_interrupted_call_that_succeeded_still_interrupts(rpc: Rpc) -> None:
    interrupt_soon()
    threading.Timer(0.4, lambda: rpc.received(result(1, {}), [])).start()
    with pytest.raises(KeyboardInterrupt):
        rpc.call("tokenize", {})


def test_leaving_the_events_early_cancels(rpc: Rpc, transport: Recorder) -> None:
    call = rpc.start("generate", {})
    rpc.received({"method": "$/progress", "params": {"id": call.id, "chunks": []}}, [])
    events = call.events()
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert transport.methods()[-1] == ("$/cancelRequest", {"id": call.id})


def test_resume_asks_for_open_ids(rpc: Rpc, transport: Recorder) -> None:
    first, second = rpc.start("a", {}), rpc.start("b", {})
    rpc.received(result(first.id, {}), [])
    rpc.resumed()
    assert transport.methods()[-2:] == [("$/resume", {"ids": [second.id]}), ("stats", {})]


def test_a_kernel_that_has_forgotten_the_client_is_gone(
    rpc: Rpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_rpc, "_PROBE_SECONDS", 0.05)
    call = rpc.start("generate", {})
    rpc.resumed()
    with pytest.raises(KernelGoneError, match="let go of this client"):
        call.wait()


def test_a_kernel_that_answers_after_a_cut_is_kept(
    rpc: Rpc, transport: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_rpc, "_PROBE_SECONDS", 0.05)
    call = rpc.start("generate", {})
    rpc.resumed()
    rpc.received(result(call.id + 1, {}), [])  # of the probe
    time.sleep(0.2)
    assert rpc.usable


def test_a_lost_connection_ends_every_call(rpc: Rpc) -> None:
    calls = [rpc.start("m", {}) for _ in range(2)]
    rpc.lost(KernelGoneError("gone", hint="again"))
    for call in calls:
        with pytest.raises(KernelGoneError, match="gone"):
            call.wait()
    with pytest.raises(KernelGoneError) as caught:
        rpc.start("m", {})
    assert caught.value.hint == "again"
    rpc.forget("result.free", {})
    rpc.notify("$/ack", {})
    assert not rpc.usable


def test_another_process_cannot_use_it(rpc: Rpc, transport: Recorder) -> None:
    rpc.pid += 1  # as after a fork
    with pytest.raises(KernelGoneError, match="forked"):
        rpc.start("m", {})
    rpc.forget("result.free", {})
    rpc.close()
    assert transport.sent == [] and not transport.closed


def test_many_threads(rpc: Rpc, transport: Recorder) -> None:
    answers: list[Any] = []

    def work(n: int) -> None:
        answers.append(rpc.call("echo", {"n": n}).result["n"])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for t in threads:
        t.start()
    done: set[int] = set()
    while len(done) < 20:
        for _, message, _ in list(transport.sent):
            if message["method"] == "echo" and message["id"] not in done:
                done.add(message["id"])
                rpc.received(result(message["id"], message["params"]), [])
    for t in threads:
        t.join()
    assert sorted(answers) == list(range(20))


def test_response_is_plain() -> None:
    assert Response({}).interrupted is False


def test_tensors_are_described_and_checked() -> None:
    data = bytes(range(8))
    tensor = describe_tensor(data, "float32", (1, 2))
    assert tensor["bytes"] == 8 and tensor["shape"] == [1, 2] and tensor["buffer"] == 0
    assert bytes(check_tensor(tensor, [memoryview(data)])) == data
    with pytest.raises(ProtocolError, match="CRC"):
        check_tensor(tensor, [memoryview(data[::-1])])
    with pytest.raises(ProtocolError, match="7 bytes"):
        check_tensor(tensor, [memoryview(data[1:])])
    with pytest.raises(ProtocolError, match="buffer 0 and has 0"):
        check_tensor(tensor, [])
