"""The kernel "llama-go" as a notebook and a console use it, through
jupyter_client. Jupyter must find the kernel (JUPYTER_PATH) and smollm2 must be
in the cache."""

import os
import signal
import sys
import time
import unittest

from common import KernelCase, verdict
from jupyter_client.manager import KernelManager


class Front(KernelCase):
    def setUp(self):
        self.run_cell("%set temperature=0 max_gen_len=10 seed=auto max_seq_len=0\n%system Answer the user.\n%reset")

    def test_conversation(self):
        first = self.run_cell("The capital of France is Paris. What is the capital of France?")
        self.assertEqual(first.reply["content"]["status"], "ok", first.errors)
        self.assertIn("Paris", first.stdout)
        self.assertIn("\x1b[90mprefill ", first.stdout)
        self.assertEqual(first.stderr, "")
        self.assertFalse(first.displays)
        second = self.run_cell("Say it once more.")
        meta = self.meta(second)
        self.assertGreaterEqual(meta["reused_tokens"], self.meta(first)["prompt_tokens"])
        self.assertLess(meta["computed_tokens"], 20)
        self.assertEqual(meta["reused_tokens"] + meta["computed_tokens"], meta["prompt_tokens"])
        self.assertTrue(second.reply["metadata"]["started"])
        self.assertGreater(meta["decode_tok_s"], 0)
        self.assertGreater(meta["ttft_s"], 0)
        self.run_cell("%reset")
        again = self.run_cell("The capital of France is Paris. What is the capital of France?")
        self.assertEqual(again.stdout.split("\x1b")[0], first.stdout.split("\x1b")[0])

    def test_seeds(self):
        self.run_cell("%set temperature=1.5 top_p=1 max_gen_len=8 seed=5")
        texts = []
        for _ in range(2):
            self.run_cell("%reset")
            texts.append(self.run_cell("Tell me a story.").stdout.split("\x1b")[0])
        self.assertEqual(texts[0], texts[1])
        self.run_cell("%set seed=6\n%reset")
        self.assertNotEqual(self.run_cell("Tell me a story.").stdout.split("\x1b")[0], texts[0])

    def test_notebook_cell(self):
        question = "Write a very long story about a llama."
        self.run_cell("%set max_gen_len=150")  # several updates at 15 Hz, on the fastest machine
        cell = self.run_cell(question, "cell-a")
        self.assertEqual(cell.stdout, "")
        self.assertEqual(len(cell.displays), 2)
        (_, answer), (_, line) = cell.displays
        self.assertTrue(answer["text/markdown"])
        self.assertEqual(answer["text/markdown"].replace("  \n", "\n"), answer["text/plain"])
        self.assertIn("prefill", line["text/plain"])
        self.assertTrue(line["text/html"].startswith("<div"))
        self.assertGreater(cell.updates, 0)
        self.run_cell("Say goodbye.", "cell-b")
        again = self.run_cell(question, "cell-a")
        self.assertEqual(again.displays[0][1], answer)
        self.assertIn("dropped 1 later", again.displays[1][1]["text/plain"])

    def test_full_context(self):
        self.run_cell("%set max_seq_len=80 max_gen_len=10")
        said = ""
        for i in range(4):
            cell = self.run_cell(f"Number {i}: say something short.")
            self.assertEqual(cell.reply["content"]["status"], "ok", cell.errors)
            said += cell.stderr
        self.assertIn("the context of 80 tokens is full: dropped the oldest", said)
        long = self.run_cell("word " * 200)
        self.assertEqual(long.reply["content"]["ename"], "RequestError")
        self.assertIn("the context holds 80", long.reply["content"]["evalue"])

    def interrupted(self, how):
        self.run_cell("%set max_gen_len=2000 temperature=0")  # seconds, on the fastest machine
        msg_id = self.send("Write a very long story about a llama.")
        self.collect(msg_id, until=lambda kind, content: kind == "stream")
        time.sleep(0.1)
        start = time.time()
        how()
        cell = self.collect(msg_id)
        took = time.time() - start
        content = cell.reply["content"]
        self.assertEqual((content["status"], content["ename"]), ("error", "KeyboardInterrupt"))
        self.assertEqual(len(cell.errors), 1)
        self.assertLess(took, 2)
        self.assertEqual(self.meta(cell)["finish_reason"], "interrupted")
        self.assertGreater(len(cell.stdout.split("\x1b")[0]), 1)
        self.run_cell("%set max_gen_len=3")
        after = self.run_cell("Go on.")
        self.assertEqual(after.reply["content"]["status"], "ok")
        self.assertGreaterEqual(self.meta(after)["reused_tokens"], self.meta(cell)["prompt_tokens"])

    def test_interrupt_message(self):
        self.interrupted(self.km.interrupt_kernel)

    def test_interrupt_signal(self):
        self.interrupted(lambda: os.kill(self.km.provisioner.process.pid, signal.SIGINT))
        os.kill(self.km.provisioner.process.pid, signal.SIGINT)  # idle: nothing happens
        self.assertEqual(self.run_cell("%version").reply["content"]["status"], "ok")

    def test_stop_cell(self):
        other = self.client()
        try:
            sent = []
            self.interrupted(lambda: sent.append(self.send("%stop", kc=other)))
            stop = self.collect(sent[0], other)
            self.assertEqual(stop.reply["content"]["status"], "ok")
            self.assertIn("stopped", stop.stdout)
        finally:
            other.stop_channels()

    def test_questions_while_it_writes(self):
        self.run_cell("%set max_gen_len=2000")
        msg_id = self.send("Write a very long story about a llama.")
        self.collect(msg_id, until=lambda kind, content: kind == "stream")
        slowest = {}
        for name, ask in {
            "complete": lambda: self.kc.complete("%set te"),
            "inspect": lambda: self.kc.inspect("%set"),
            "is_complete": lambda: self.kc.is_complete("Hello"),
            "history": lambda: self.kc.history(hist_access_type="tail", n=1000),
            "kernel_info": lambda: self.kc.kernel_info(),
        }.items():
            for _ in range(3):
                start = time.time()
                self.reply(ask())
                slowest[name] = max(slowest.get(name, 0), time.time() - start)
        self.km.interrupt_kernel()
        cell = self.collect(msg_id)
        self.assertEqual(cell.reply["content"]["status"], "error")  # it was still writing
        print("slowest answers while it writes, s:", {k: round(v, 4) for k, v in slowest.items()}, file=sys.stderr)
        self.assertLess(max(slowest.values()), 0.25)  # 0.05 s, and a busy test machine

    def test_complete_raw(self):
        cell = self.run_cell("%complete 1, 2, 3, 4, 5, 6, 7,")
        self.assertTrue(cell.stdout.rsplit("\x1b[K", 1)[-1].startswith(" 8,"), cell.stdout)
        cell = self.run_cell("%%complete\n1, 2, 3,\n4, 5, 6,")
        self.assertEqual(cell.reply["content"]["status"], "ok")

    def test_unknown_model_says_what_exists(self):
        content = self.run_cell("%model smollm3").reply["content"]
        self.assertEqual(content["status"], "error")
        self.assertIn("smollm2", content["evalue"])
        self.assertEqual(self.run_cell("%info").reply["content"]["status"], "ok")

    def test_errors_are_one_message(self):
        for code in ["%nosuch", "%set temperature=x", "%model /no/such"]:
            cell = self.run_cell(code)
            self.assertEqual(len(cell.errors), 1)
            self.assertEqual(cell.stdout + cell.stderr, "")
            for key in ("ename", "evalue", "traceback"):
                self.assertEqual(cell.errors[0][key], cell.reply["content"][key])

    def test_restart_and_sigterm(self):
        km = KernelManager(kernel_name="llama-go")
        km.start_kernel()
        kc = km.client()
        kc.start_channels()
        try:
            kc.wait_for_ready(timeout=30)
            km.restart_kernel(now=False)
            kc.wait_for_ready(timeout=30)
            process = km.provisioner.process
            start = time.time()
            os.kill(process.pid, signal.SIGTERM)
            self.assertEqual(process.wait(timeout=5), 0)
            self.assertLess(time.time() - start, 2.5)
        finally:
            kc.stop_channels()
            km.cleanup_resources()


if __name__ == "__main__":
    suite = unittest.TestLoader().loadTestsFromTestCase(Front)
    if len(sys.argv) > 1:
        suite = unittest.TestSuite(Front(name) for name in sys.argv[1:])
    verdict(suite)
