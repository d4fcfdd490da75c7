"""Times comm echoes of the Go tests' kernel beside an echo by libzmq itself.

    python bench.py CONNECTION_FILE

Prints the median round trip of a small comm message and of a 64 MB buffer with
pyzmq as the client, and the same for a ROUTER that is pyzmq in a process of its
own (raw: two frames, no signature, no JSON)."""

from __future__ import annotations

import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

import zmq
from jupyter_client import BlockingKernelClient


def raw_server(url: str) -> None:
    with zmq.Context() as ctx, ctx.socket(zmq.ROUTER) as s:
        s.bind(url)
        while True:
            frames = s.recv_multipart(copy=False)
            s.send_multipart(frames, copy=False)


def raw(dealer: zmq.Socket, buf: bytes) -> None:
    dealer.send_multipart([b"x", buf], copy=len(buf) < 1000)
    assert len(dealer.recv_multipart(copy=False)[-1]) == len(buf)


def free_tcp_url() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{s.getsockname()[1]}"


def measure(name: str, round_trip: Callable[[bytes], None], repeat: int, buf: bytes) -> None:
    size = len(buf)
    for _ in range(3):
        round_trip(buf)
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        round_trip(buf)
        times.append(time.perf_counter() - start)
    t = statistics.median(times)
    rate = f", {2 * size / t / 1e9:.2f} GB/s both ways together" if size > 1000 else ""
    print(f"{name}: {t * 1e3:.3f} ms median, {min(times) * 1e3:.3f} best of {repeat}{rate}")


def main() -> None:
    sizes = [("small", 4, 500), ("64 MB", 64 << 20, 9)]
    kc = BlockingKernelClient(connection_file=sys.argv[1])
    kc.load_connection_file()
    kc.start_channels()
    kc.wait_for_ready(timeout=10)
    ctx = zmq.Context.instance()
    sub = ctx.socket(zmq.SUB)
    sub.rcvhwm = 0
    sub.connect(kc._make_url("iopub"))
    sub.subscribe(b"comm-bench")
    sub.recv_multipart()
    session, shell = kc.session, kc.shell_channel.socket

    def comm_send(msg_type: str, buffers: list) -> None:
        msg = session.msg(msg_type, {"comm_id": "bench", "target_name": "echo", "data": {}})
        session.send(shell, msg, buffers=buffers)

    def comm(buf: bytes) -> None:
        comm_send("comm_msg", [buf])
        frames = sub.recv_multipart(copy=False)
        assert len(frames[-1]) == len(buf)

    comm_send("comm_open", [])
    for name, size, repeat in sizes:
        measure(f"comm echo {name} ({kc.transport})", comm, repeat, os.urandom(size))
    folder = tempfile.mkdtemp()
    for url in (free_tcp_url(), f"ipc://{folder}/raw"):
        server = multiprocessing.Process(target=raw_server, args=(url,), daemon=True)
        server.start()
        dealer = ctx.socket(zmq.DEALER)
        dealer.connect(url)
        for name, size, repeat in sizes:
            measure(f"raw libzmq echo {name} ({url[:3]})", partial(raw, dealer), repeat, os.urandom(size))
        dealer.close(0)
        server.terminate()


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
