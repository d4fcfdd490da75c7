"""Interrupts, a killed kernel, a forked process, two processes on one model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llama import KernelGoneError, Llama, LlamaError, ModelArgs, Transformer, _rpc, shutdown

from . import tiny

pytestmark = [
    pytest.mark.usefixtures("kernel"),
    pytest.mark.skipif(os.name == "nt", reason="POSIX signals"),
]


@contextmanager
def interrupt(after: float) -> Iterator[None]:
    """Send this process a real SIGINT, as a notebook's stop button does."""
    timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@pytest.fixture(scope="module")
def slow(kernel: str) -> Transformer:
    """A model that takes a while: 60 million parameters, a context of 4096."""
    args = ModelArgs(dim=512, n_layers=12, n_heads=8, vocab_size=8000, max_seq_len=4096)
    model = Transformer(args)
    model.generate([[1]], 1)
    return model


def test_interrupt_in_decode_returns_what_there_is(
    slow: Transformer, capsys: pytest.CaptureFixture[str]
) -> None:
    with interrupt(0.5):
        start = time.monotonic()
        (row,) = slow.generate([[1, 2, 3]], 4000, 0)
        took = time.monotonic() - start
    assert 0 < len(row) < 4000 and took < 1.5
    assert slow.last is not None and slow.last.finish_reasons == ["interrupted"]
    assert "interrupted" in capsys.readouterr().err
    assert slow.generate([[1, 2, 3]], 2, 0) == [row[:2]]


def test_interrupt_in_prefill(slow: Transformer) -> None:
    prompt = [i % 7000 + 1 for i in range(4000)]
    with interrupt(0.3):
        start = time.monotonic()
        rows = slow.generate([prompt], 10, 0)
        took = time.monotonic() - start
    assert rows == [[]] and took < 1.5
    assert slow.last is not None and slow.last.finish_reasons == ["interrupted"]
    assert len(slow.generate([[5]], 2, 0)[0]) == 2


def test_interrupt_in_a_stream(slow: Transformer) -> None:
    with interrupt(0.5):
        results = [r for s in slow.generate([[1, 2, 3]], 4000, 0, stream=True) for r in s]
    assert results[-1].finished and results[-1].finish_reason == "interrupted"
    tokens = [r.token for r in results if not r.ignore_token]
    assert 0 < len(tokens) < 4000
    assert slow.generate([[1, 2, 3]], len(tokens), 0) == [tokens]


def test_interrupt_in_forward(slow: Transformer) -> None:
    prompt = [i % 7000 + 1 for i in range(4000)]
    with interrupt(0.3), pytest.raises(KeyboardInterrupt):
        slow.forward([prompt], logits_to_keep=1)
    assert slow.forward([[1, 2]]).shape == (1, 2, 8000)


# The signal may strike in the middle of pathlib, whose iterator is then not closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupt_in_a_load(tmp_path: Path, kernel: str) -> None:
    folder = tiny.write_model(
        tmp_path / "big", hidden_size=512, intermediate_size=2048, num_hidden_layers=6
    )
    for step in range(20):
        deadline = time.monotonic() + 10
        with interrupt(0.01 + 0.002 * step), pytest.raises(KeyboardInterrupt):
            while time.monotonic() < deadline:  # a load from the page cache is quick
                Llama.build(folder, progress=False).close()
    assert len(Llama.build(folder, progress=False).generate([[1]], 2, ignore_eos=True)[0][0]) == 2


def test_the_kernel_answers_while_it_generates(slow: Transformer, llm: Llama) -> None:
    thread = threading.Thread(target=slow.generate, args=([[1, 2]], 30, 0))
    thread.start()
    times = []
    while thread.is_alive():
        start = time.monotonic()
        llm.tokenizer.encode("the")
        times.append(time.monotonic() - start)
        time.sleep(0.01)
    assert times and sorted(times)[len(times) // 2] < 0.05


def test_threads_share_a_handle(llm: Llama) -> None:
    want = [llm.generate([[i, 7]], 6, 0)[0] for i in range(1, 7)]
    got: dict[int, Any] = {}

    def work(i: int) -> None:
        got[i] = llm.generate([[i, 7]], 6, 0)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, 7)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [got[i] for i in range(1, 7)] == want


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


ATTACH = """
    import time
    from llama import Llama
    start = time.perf_counter()
    llm = Llama.build({path!r}, precision="exact")
    took = time.perf_counter() - start
    print(took, llm._handle.info["resident"], llm.generate([[1, 2]], 4, 0)[0])
"""


def ps(kernel: str) -> Any:
    out = subprocess.run([kernel, "ps", "--json"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def test_a_second_process_attaches_quickly(llm: Llama, tiny_dir: Path, kernel: str) -> None:
    done = python(ATTACH.format(path=str(tiny_dir)))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    took, resident, tokens = done.stdout.splitlines()[-1].split(maxsplit=2)
    assert "resident already" in done.stdout and resident == "True"
    assert tokens == str(llm.generate([[1, 2]], 4, 0)[0])
    print(f"attached in {float(took) * 1000:.0f} ms")
    assert float(took) <= 0.2
    (resident_state,) = ps(kernel)
    mine = [m for m in resident_state["state"]["models"] if m["path"] == str(tiny_dir)]
    assert len({(m["path"], m["precision"]) for m in mine}) == len(mine)


def test_smollm2_attaches_quickly(kernel: str, smollm2_path: str) -> None:
    llm = Llama.build(smollm2_path, precision="exact", progress=False)
    done = python(ATTACH.format(path=smollm2_path))
    assert done.returncode == 0, done.stderr
    took = float(done.stdout.splitlines()[-1].split()[0])
    print(f"attached in {took * 1000:.0f} ms")
    assert took <= 0.2
    llm.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_attaches_anew(llm: Llama, tiny_dir: Path) -> None:
    done = python(
        f"""
        import os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads
        from llama import Llama
        llm = Llama.build({str(tiny_dir)!r}, precision="exact", progress=False)
        want = llm.generate([[1, 2]], 4, 0)
        pid = os.fork()
        if pid == 0:
            ok = llm.generate([[1, 2]], 4, 0) == want
            os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert llm.generate([[1, 2]], 4, 0) == want
        """
    )
    assert done.returncode == 0, done.stderr


def test_a_client_that_dies_frees_its_work(kernel: str, slow: Transformer) -> None:
    code = """
        from llama import ModelArgs, Transformer
        args = ModelArgs(dim=512, n_layers=12, n_heads=8, vocab_size=8000, max_seq_len=4096)
        print("ready", flush=True)
        Transformer(args).generate([[1]], 4000, 0)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=Path(__file__).resolve().parent.parent,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()

    def others() -> int:
        """Requests of other clients that run."""
        state = _rpc.connect().call("ps", {}).result
        return sum(c["requests"] for c in state["clients"] if c["pid"] == process.pid)

    try:
        deadline = time.monotonic() + 20
        while not others():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()
    start = time.monotonic()
    while others():
        assert time.monotonic() - start < 12, "the lease is 10 s"
        time.sleep(0.1)


def test_shutdown_is_refused_while_others_are_attached(llm: Llama, tiny_dir: Path) -> None:
    code = f"""
        import sys
        from llama import Llama
        llm = Llama.build({str(tiny_dir)!r}, precision="exact", progress=False)
        print("ready", flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(LlamaError, match="client"):
            shutdown()
        assert llm.generate([[1]], 1, 0, ignore_eos=True)[0][0]
        process.communicate(b"")


@pytest.fixture
def own_resident(tmp_path: Path, kernel: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A resident of this test's own, which it may kill."""
    import tempfile

    _rpc.disconnect()
    with tempfile.TemporaryDirectory(prefix="lg-") as folder:
        monkeypatch.setenv("LLAMA_GO_RUNTIME", folder)
        yield kernel
        _rpc.disconnect()
        subprocess.run([kernel, "stop", "--all", "--force"], check=True, capture_output=True)
    monkeypatch.undo()


def test_a_killed_kernel_is_an_error_at_once(own_resident: str, tiny_dir: Path) -> None:
    llm = Llama.build(tiny_dir, progress=False)
    want = llm.generate([[1, 2]], 4, 0)
    args = ModelArgs(dim=512, n_layers=12, n_heads=8, vocab_size=8000, max_seq_len=4096)
    slow = Transformer(args)
    slow.generate([[1]], 1)
    rpc = _rpc.connect()
    pid = rpc._transport.hello["server"]["pid"]  # type: ignore[attr-defined]
    killed: list[float] = []

    def kill() -> None:
        killed.append(time.monotonic())
        os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(0.5, kill)
    timer.start()
    with pytest.raises(KernelGoneError) as caught:
        slow.generate([[1]], 4000, 0)
    took = time.monotonic() - killed[0]
    timer.join()
    print(f"noticed after {took * 1000:.0f} ms")
    assert took < 1 and isinstance(caught.value, ConnectionError) and caught.value.hint
    with pytest.raises(KernelGoneError):
        llm.generate([[1, 2]], 4, 0)
    again = Llama.build(tiny_dir, progress=False)
    assert again.generate([[1, 2]], 4, 0) == want
    assert _rpc.connect()._transport.hello["server"]["pid"] != pid  # type: ignore[attr-defined]


def test_shutdown_and_the_next_build(own_resident: str, tiny_dir: Path) -> None:
    shutdown()  # nothing runs: nothing to do
    llm = Llama.build(tiny_dir, progress=False)
    want = llm.generate([[1, 2]], 4, 0)
    for _ in range(3):
        start = time.monotonic()
        shutdown()
        assert time.monotonic() - start < 3
        with pytest.raises(KernelGoneError):
            llm.generate([[1, 2]], 4, 0)
        llm = Llama.build(tiny_dir, progress=False)
        assert llm.generate([[1, 2]], 4, 0) == want


def test_an_explicit_connection_file(
    own_resident: str, tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.json"
    with subprocess.Popen(
        [own_resident, "serve", "--connection-file", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 10
        while not file.is_file():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        monkeypatch.setenv("LLAMA_GO_CONNECTION", str(file))
        try:
            llm = Llama.build(tiny_dir, progress=False)
            hello = _rpc.connect()._transport.hello  # type: ignore[attr-defined]
            assert hello["server"]["pid"] == process.pid
            assert llm.generate([[1]], 1)
        finally:
            _rpc.disconnect()
            process.terminate()
    with pytest.raises((KernelGoneError, FileNotFoundError)):
        Llama.build(tiny_dir, progress=False)


def test_another_protocol_is_refused(
    kernel: str, tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llama import ProtocolError, _client

    _rpc.disconnect()
    monkeypatch.setattr(_client, "PROTOCOL", 99)
    with pytest.raises(ProtocolError, match="99"):
        Llama.build(tiny_dir, progress=False)
    monkeypatch.undo()
    assert Llama.build(tiny_dir, progress=False)
