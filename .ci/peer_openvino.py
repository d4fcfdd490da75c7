"""OpenVINO GenAI on the CPU as a worker of .ci/bench_peers.py. Its pipeline tells
the times of a first token and of those that follow; it computes a short prompt
before each decode, which does not count, and one stream alone.

    peer_openvino.py FOLDER THREADS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import openvino
import openvino_genai

from peer_worker import serve


class OpenVino:
    def __init__(self, folder: str, threads: int) -> None:
        self.vocab = json.loads((Path(folder) / "config.json").read_text())["vocab_size"]
        self.pipe = openvino_genai.LLMPipeline(folder, "CPU", INFERENCE_NUM_THREADS=threads)
        self.about = f"openvino-genai {openvino_genai.__version__.split('-')[0]}"
        self.row: list[int] = []

    def _run(self, ids: list[int], tokens: int) -> tuple[float, float]:
        """Seconds to the first token, and from there to the last."""
        config = openvino_genai.GenerationConfig(
            max_new_tokens=tokens, ignore_eos=True, do_sample=False, apply_chat_template=False
        )
        row = openvino.Tensor(np.array([ids], np.int64))
        metrics = self.pipe.generate(row, config).perf_metrics
        if metrics.get_num_generated_tokens() != tokens:
            sys.exit(f"{metrics.get_num_generated_tokens()} tokens, asked for {tokens}")
        first = metrics.get_ttft().mean / 1e3
        return first, metrics.get_tpot().mean / 1e3 * (tokens - 1)

    def prefill(self, ids: list[int]) -> float:
        return self._run(ids, 1)[0]

    def prepare(self, rows: list[list[int]]) -> None:
        if len(rows) > 1:
            sys.exit("one stream alone")
        self.row = rows[0]

    def decode(self, steps: int) -> float:
        return self._run(self.row, steps + 1)[1]


if __name__ == "__main__":
    sys.exit(serve(lambda: OpenVino(sys.argv[1], int(sys.argv[2]))))
