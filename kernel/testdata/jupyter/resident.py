"""Kernels "llama-go" that share one resident: two at once, and one whose resident
is killed. Jupyter must find the kernel (JUPYTER_PATH), smollm2 must be in the
cache, LLAMA_GO_RUNTIME must be a folder of this run's own."""

import os
import re
import signal
import time
import unittest

from common import KernelCase, verdict
from jupyter_client.manager import KernelManager

QUESTION = "Tell me a long story about a fox."


class Resident(KernelCase):
    def setUp(self):
        self.run_cell("%set temperature=0 max_gen_len=12\n%system Answer the user.\n%reset")

    @classmethod
    def tearDownClass(cls):
        pid = cls.engine(cls())
        super().tearDownClass()
        os.kill(pid, signal.SIGTERM)

    def engine(self, kc=None):
        """The resident's process id, as %info shows it."""
        card = self.collect(self.send("%info", kc=kc), kc).displays[0][1]["text/plain"]
        return int(re.search(r"process (\d+)", card).group(1))

    def text(self, cell):
        self.assertEqual(cell.reply["content"]["status"], "ok", cell.errors)
        # A slow machine shows the bar of a load, which erases itself.
        return re.sub(r"\r\x1b\[K(\x1b\[90m.*?\x1b\[0m)?", "", cell.stdout).split("\x1b")[0]

    def test_two_kernels_share_the_model(self):
        first = self.engine()
        other = KernelManager(kernel_name="llama-go")
        other.start_kernel()
        kc = other.client()
        kc.start_channels()
        try:
            kc.wait_for_ready(timeout=30)
            self.assertEqual(self.engine(kc), first)
            said = self.collect(self.send("%model smollm2", kc=kc), kc).stdout
            self.assertIn("it was loaded already", said)
        finally:
            kc.stop_channels()
            other.shutdown_kernel()
        self.assertEqual(self.engine(), first)

    def test_killed_while_it_writes(self):
        self.run_cell("%set max_gen_len=96")  # long enough to be cut on a fast machine
        self.run_cell("Hello.")
        undisturbed = self.text(self.run_cell(QUESTION))
        self.run_cell("%reset")
        self.run_cell("Hello.")
        pid = self.engine()
        msg_id = self.send(QUESTION)
        self.collect(msg_id, until=lambda kind, content: kind == "stream")
        os.kill(pid, signal.SIGKILL)
        start = time.time()
        cell = self.collect(msg_id)
        self.assertEqual(self.text(cell), undisturbed)
        self.assertIn("starting it again", cell.stderr)
        self.assertNotEqual(self.engine(), pid)
        print(f"went on after {time.time() - start:.1f} s, prefill included", flush=True)

    def test_killed_between_cells(self):
        self.run_cell("My name is Ada.")
        undisturbed = self.text(self.run_cell("What is my name?"))
        self.run_cell("%reset")
        self.run_cell("My name is Ada.")
        os.kill(self.engine(), signal.SIGKILL)
        time.sleep(0.2)
        self.assertEqual(self.text(self.run_cell("What is my name?")), undisturbed)


if __name__ == "__main__":
    verdict(unittest.TestLoader().loadTestsFromTestCase(Resident))
