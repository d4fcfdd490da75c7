"""What the scripts here share: a kernel "llama-go" driven by jupyter_client's
blocking client, and the verdict that the Go test reads."""

import json
import sys
import unittest

from jupyter_client.manager import KernelManager

TIMEOUT = 120


class Cell:
    """What one execute_request brought."""

    def __init__(self):
        self.stdout = self.stderr = ""
        self.displays = []  # (display_id, data), as they stand at the end
        self.updates = 0
        self.results = []
        self.errors = []
        self.reply = None


class KernelCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.km = KernelManager(kernel_name="llama-go")
        cls.km.start_kernel()
        cls.kc = cls.client()

    @classmethod
    def client(cls):
        kc = cls.km.client()
        kc.start_channels()
        kc.wait_for_ready(timeout=30)
        return kc

    @classmethod
    def tearDownClass(cls):
        cls.kc.stop_channels()
        if cls.km.is_alive():
            cls.km.shutdown_kernel()

    def send(self, code, cell_id=None, kc=None, allow_stdin=True):
        kc = kc or self.kc
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": True,
        }
        msg = kc.session.msg("execute_request", content, metadata={"cellId": cell_id} if cell_id else {})
        kc.shell_channel.send(msg)
        return msg["header"]["msg_id"]

    def collect(self, msg_id, kc=None, until=None):
        """Reads iopub up to idle, or until a message satisfies `until`."""
        kc = kc or self.kc
        cell = getattr(self, "_partial", {}).pop(msg_id, None) or Cell()
        while True:
            msg = kc.get_iopub_msg(timeout=TIMEOUT)
            if msg["parent_header"].get("msg_id") != msg_id:
                continue
            kind, content = msg["msg_type"], msg["content"]
            if kind == "stream":
                setattr(cell, content["name"], getattr(cell, content["name"]) + content["text"])
            elif kind == "display_data":
                cell.displays.append([content["transient"].get("display_id"), content["data"]])
            elif kind == "update_display_data":
                cell.updates += 1
                for d in cell.displays:
                    if d[0] == content["transient"]["display_id"]:
                        d[1] = content["data"]
            elif kind == "execute_result":
                cell.results.append(content["data"])
            elif kind == "error":
                cell.errors.append(content)
            elif kind == "status" and content["execution_state"] == "idle":
                break
            if until and until(kind, content):
                self._partial = {msg_id: cell}
                return cell
        cell.reply = self.reply(msg_id, kc)
        return cell

    def reply(self, msg_id, kc=None):
        while True:
            msg = (kc or self.kc).get_shell_msg(timeout=TIMEOUT)
            if msg["parent_header"].get("msg_id") == msg_id:
                return msg

    def run_cell(self, code, cell_id=None):
        return self.collect(self.send(code, cell_id))

    def meta(self, cell):
        return cell.reply["metadata"]["llama_go"]


def verdict(suite):
    """Runs the suite; the last line on stdout says what ran, was skipped, failed."""
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2).run(suite)
    print(
        json.dumps(
            {
                "ran": result.testsRun,
                "skipped": sorted(t.id().split(".")[-1] for t, _ in result.skipped),
                "failed": sorted({t.id().split(".")[-1] for t, _ in result.failures + result.errors}),
            }
        )
    )
