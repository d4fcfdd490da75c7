"""A connection that is cut, and a real notebook kernel in front."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llama import KernelGoneError, ModelArgs, Transformer, _rpc

pytestmark = [
    pytest.mark.usefixtures("kernel"),
    pytest.mark.skipif(os.name == "nt", reason="unix sockets"),
]


class Proxy:
    """Forwards unix sockets and can cut all that pass."""

    def __init__(self, info: dict[str, Any], folder: Path) -> None:
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.listeners: list[socket.socket] = []
        self.connections = 0
        for name in ("shell", "control", "iopub", "stdin", "hb"):
            port = info[f"{name}_port"]
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(f"{folder}/p-{port}")
            listener.listen()
            self.listeners.append(listener)
            target = f"{info['ip']}-{port}"
            threading.Thread(target=self._accept, args=(listener, target), daemon=True).start()
        self.file = folder / "proxied.json"
        self.file.write_text(json.dumps({**info, "ip": f"{folder}/p"}))

    def _accept(self, listener: socket.socket, target: str) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(target)
            self.pairs.append((near, far))
            self.connections += 1
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            s.close()

    def cut(self) -> None:
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for s in pair:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self) -> None:
        listeners, self.listeners = self.listeners, []
        for listener in listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()


@pytest.fixture
def proxy(kernel: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    _rpc.disconnect()
    done = subprocess.run([kernel, "serve", "--detach"], capture_output=True, text=True, check=True)
    info = json.loads(Path(done.stdout.strip()).read_text())
    if info["transport"] != "ipc":
        pytest.skip(f"the resident listens on {info['transport']}")
    with tempfile.TemporaryDirectory(prefix="lgp-") as folder:
        proxy = Proxy(info, Path(folder))
        monkeypatch.setenv("LLAMA_GO_CONNECTION", str(proxy.file))
        yield proxy
        _rpc.disconnect()
        proxy.close()


ARGS = ModelArgs(dim=256, n_layers=4, n_heads=8, vocab_size=2000, max_seq_len=2048)


def test_a_cut_connection_loses_nothing(proxy: Proxy) -> None:
    model = Transformer(ARGS)
    want = model.generate([[1, 2]], 80, 0, ignore_eos=True)
    timers = [threading.Timer(t, proxy.cut) for t in (0.1, 0.5)]
    for timer in timers:
        timer.start()
    before = proxy.connections
    results = [
        r for step in model.generate([[1, 2]], 80, 0, ignore_eos=True, stream=True) for r in step
    ]
    for timer in timers:
        timer.join()
    time.sleep(0.3)
    again = model.generate([[1, 2]], 80, 0, ignore_eos=True)
    assert proxy.connections > before, "nothing was cut"
    assert again == want
    assert [r.token for r in results if not r.ignore_token] == want[0]
    assert [r.finished for r in results].count(True) == 1 and results[-1].finished


def test_a_result_that_ends_during_a_cut_is_fetched(proxy: Proxy) -> None:
    model = Transformer(ARGS)
    want = model.generate([[1, 2]], 80, 0, ignore_eos=True)
    for delay in (0.02, 0.2, 0.4):
        timer = threading.Timer(delay, proxy.cut)
        timer.start()
        assert model.generate([[1, 2]], 80, 0, ignore_eos=True) == want
        timer.join()


def test_an_end_of_the_address_is_the_end_of_the_kernel(proxy: Proxy) -> None:
    model = Transformer(ARGS)
    model.generate([[1, 2]], 1)
    threading.Timer(0.3, proxy.close).start()
    start = time.monotonic()
    with pytest.raises(KernelGoneError):
        model.generate([[1, 2]], 2000, 0, ignore_eos=True)
    assert time.monotonic() - start < 1.3


NOTEBOOK = """
from llama import ModelArgs, Transformer
model = Transformer(ModelArgs(dim=512, n_layers=12, n_heads=8, vocab_size=8000, max_seq_len=4096))
model.generate([[1]], 1)
print("ready")
"""


@pytest.fixture
def notebook(kernel: str) -> Iterator[Any]:
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    from jupyter_client.manager import start_new_kernel

    here = str(Path(__file__).resolve().parent.parent)
    manager, client = start_new_kernel(kernel_name="python3", cwd=here, startup_timeout=60)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run_cell(client: Any, code: str, then: Any = None, timeout: float = 60) -> tuple[str, Any]:
    """Run a cell and return what it printed, and its reply's content."""
    ident = client.execute(code)
    text = ""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            message = client.get_iopub_msg(timeout=1)
        except queue.Empty:
            continue
        if message["parent_header"].get("msg_id") != ident:
            continue
        content = message["content"]
        if message["msg_type"] == "stream":
            text += content["text"]
            if then is not None and "started" in text:
                then()
                then = None
        elif message["msg_type"] == "status" and content["execution_state"] == "idle":
            return text, client.get_shell_msg(timeout=5)["content"]
    raise AssertionError(f"the cell did not end: {text}")


@pytest.mark.filterwarnings("ignore")  # of jupyter_client's own
def test_the_stop_button_of_a_notebook(notebook: Any) -> None:
    manager, client = notebook
    text, reply = run_cell(client, NOTEBOOK)
    assert reply["status"] == "ok" and "ready" in text, (text, reply)

    def stop() -> None:
        time.sleep(0.3)
        manager.interrupt_kernel()

    cell = 'print("started", flush=True)\nrows = model.generate([[1, 2]], 4000, 0)\n'
    start = time.monotonic()
    text, reply = run_cell(client, cell + "print(len(rows[0]), model.last.finish_reasons)", stop)
    assert reply["status"] == "ok" and "['interrupted']" in text, "\n".join(
        [text, *reply.get("traceback", [])]
    )
    assert time.monotonic() - start < 3
    # A running event loop, as every cell with await has it, changes nothing.
    text, reply = run_cell(
        client,
        "import asyncio\nawait asyncio.sleep(0)\n"
        "print(sum(1 for s in model.generate([[1, 2]], 5, 0, ignore_eos=True, stream=True)))",
    )
    assert reply["status"] == "ok" and int(text.split()[-1]) >= 5, (text, reply)
