"""llama.cpp as a worker of .ci/bench_peers.py, through llama-cpp-python's plain
bindings of its C functions: no Python in a step but the call.

    peer_llamacpp.py MODEL.gguf THREADS POSITIONS STREAMS
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import llama_cpp as lib

from peer_worker import serve

BATCH = 512


class LlamaCpp:
    def __init__(self, path: str, threads: int, positions: int, streams: int) -> None:
        lib.llama_backend_init()
        quiet = lib.llama_log_callback(lambda *_: None)
        lib.llama_log_set(quiet, None)
        self._quiet = quiet
        params = lib.llama_model_default_params()
        self.about = f"llama-cpp-python {lib.__version__}"
        if "amx_tile" in Path("/proc/cpuinfo").read_text():
            params.use_extra_bufts = False  # may crash with AMX (ggml-org/llama.cpp#26954)
            self.about += ", use_extra_bufts=False"
        self.model = lib.llama_model_load_from_file(path.encode(), params)
        if not self.model:
            sys.exit(f"llama.cpp cannot load {path}")
        context = lib.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch = positions, BATCH, BATCH
        context.n_seq_max, context.kv_unified = streams, True
        context.n_threads = context.n_threads_batch = threads
        self.context = lib.llama_init_from_model(self.model, context)
        self.memory = lib.llama_get_memory(self.context)
        self.vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))
        self.batch = lib.llama_batch_init(BATCH, 0, 1)
        self.rows: list[list[int]] = []

    def _run(self, tokens: list[tuple[int, int, int, bool]]) -> None:
        """Decodes (id, position, row, logits?) of at most BATCH tokens."""
        b = self.batch
        b.n_tokens = len(tokens)
        for i, (token, pos, row, logits) in enumerate(tokens):
            b.token[i], b.pos[i], b.logits[i] = token, pos, logits
            b.n_seq_id[i], b.seq_id[i][0] = 1, row
        if lib.llama_decode(self.context, b):
            sys.exit("llama_decode failed")
        lib.llama_synchronize(self.context)

    def _prompt(self, ids: list[int], row: int) -> None:
        for at in range(0, len(ids), BATCH):
            part = ids[at : at + BATCH]
            last = len(ids) - 1
            self._run([(t, at + i, row, at + i == last) for i, t in enumerate(part)])

    def prefill(self, ids: list[int]) -> float:
        lib.llama_memory_clear(self.memory, True)
        start = time.perf_counter()
        self._prompt(ids, 0)
        return time.perf_counter() - start

    def prepare(self, rows: list[list[int]]) -> None:
        lib.llama_memory_clear(self.memory, True)
        self.rows = rows
        for row, ids in enumerate(rows):
            self._prompt(ids, row)

    def decode(self, steps: int) -> float:
        for row, ids in enumerate(self.rows):
            lib.llama_memory_seq_rm(self.memory, row, len(ids), -1)
        n = len(self.rows[0])
        start = time.perf_counter()
        for step in range(steps):
            self._run([(ids[step % n], n + step, row, True) for row, ids in enumerate(self.rows)])
        return time.perf_counter() - start


if __name__ == "__main__":
    path, *numbers = sys.argv[1:]
    threads, positions, streams = map(int, numbers)
    sys.exit(serve(lambda: LlamaCpp(path, threads, positions, streams)))
