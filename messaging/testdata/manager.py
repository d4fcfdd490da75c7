"""Lets jupyter_client's KernelManager start, interrupt, restart and kill the Go
tests' kernel: argv[1] is the test binary, argv[2] the transport, argv[3] a short
folder for sockets."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

binary, transport, folder = sys.argv[1:4]


class Manager(KernelManager):
    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            argv=[binary, "{connection_file}"],
            env={"LLAMA_GO_TEST_KERNEL": self.connection_file},
            interrupt_mode=MODE,
            language="echo",
            display_name="echo",
        )


def run(kc, code: str) -> str:
    return kc.execute_interactive(code, timeout=5, store_history=False, output_hook=lambda m: None)["content"]["status"]


for MODE in ("message", "signal"):
    km = Manager(transport=transport, connection_file=os.path.join(folder, MODE + ".json"))
    if transport == "ipc":
        km.ip = os.path.join(folder, "s-" + MODE)
    km.start_kernel()
    try:
        kc = km.client()
        kc.start_channels()
        kc.wait_for_ready(timeout=10)
        session = kc.kernel_info(reply=True, timeout=5)["header"]["session"]
        ports = km.ports
        for _ in range(3):
            assert run(kc, "echo a") == "ok"
            msg_id = kc.execute("wait")
            while kc.get_iopub_msg(timeout=5)["msg_type"] != "stream":
                pass
            start = time.monotonic()
            km.interrupt_kernel()
            reply = kc.get_shell_msg(timeout=5)
            assert reply["parent_header"]["msg_id"] == msg_id and reply["content"]["ename"] == "KeyboardInterrupt"
            assert time.monotonic() - start < 1, "the interrupt took long"
        print("ok interrupt", MODE)
        for now in (False, True):
            start = time.monotonic()
            km.restart_kernel(now=now)
            kc.wait_for_ready(timeout=10)
            assert km.ports == ports
            new = kc.kernel_info(reply=True, timeout=5)["header"]["session"]
            assert new != session, "a restarted kernel has a new session"
            session = new
            assert run(kc, "echo b") == "ok"
            print(f"ok restart {MODE} now={now} {time.monotonic() - start:.2f} s")
        if transport == "ipc":
            for port in ports:
                mode = stat.S_IMODE(os.stat(f"{km.ip}-{port}").st_mode)
                assert mode == 0o600, oct(mode)
        kc.stop_channels()
        start = time.monotonic()
        km.shutdown_kernel()
        assert time.monotonic() - start < 2.4, "SIGTERM was needed"
        assert not list(Path(folder).glob("s-*")), "socket files stay"
        print(f"ok shutdown {MODE} {time.monotonic() - start:.2f} s")
    finally:
        if km.is_alive():
            km.shutdown_kernel(now=True)  # a check failed: leave no kernel behind
