"""transformers on the CPU as a worker of .ci/bench_peers.py, in bfloat16.

peer_torch.py FOLDER THREADS
"""

from __future__ import annotations

import inspect
import sys
import time

import torch
import transformers

from peer_worker import serve


class Torch:
    def __init__(self, folder: str, threads: int) -> None:
        torch.set_num_threads(threads)
        transformers.logging.set_verbosity_error()
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self.model.eval()
        self.vocab = self.model.config.vocab_size
        known = inspect.signature(self.model.forward).parameters
        self.name = "cache" if "cache" in known else "past_key_values"  # by version
        self.about = f"transformers {transformers.__version__}, torch {torch.__version__}, bfloat16"
        self.rows: list[list[int]] = []
        self.cache = transformers.DynamicCache()

    @torch.inference_mode()
    def _run(self, rows: list[list[int]], cache: transformers.DynamicCache) -> None:
        self.model(torch.tensor(rows), **{self.name: cache}, use_cache=True, logits_to_keep=1)

    def prefill(self, ids: list[int]) -> float:
        start = time.perf_counter()
        self._run([ids], transformers.DynamicCache())
        return time.perf_counter() - start

    def prepare(self, rows: list[list[int]]) -> None:
        self.rows, self.cache = rows, transformers.DynamicCache()
        self._run(rows, self.cache)

    def decode(self, steps: int) -> float:
        n = len(self.rows[0])
        if (more := self.cache.get_seq_length() - n) > 0:
            self.cache.crop(-more)  # as many as that less
        start = time.perf_counter()
        for step in range(steps):
            self._run([[ids[step % n]] for ids in self.rows], self.cache)
        return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(serve(lambda: Torch(sys.argv[1], int(sys.argv[2]))))
