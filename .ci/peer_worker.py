"""What the workers of .ci/bench_peers.py share: a process that holds one model and
measures what its standard input asks for, a JSON object a line, as
`llama-go bench worker` does:

    {"do": "prefill", "n": 512}
    {"do": "decode", "seconds": 1, "streams": 1, "depth": 0}
    {"do": "rss"}

The first line that it writes says how long loading and a first token took. Each
answer has tokens and seconds: tokens are positions that the engine computed.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

SHORT = 8  # positions before a decode at depth 0


class Engine(Protocol):
    about: str
    vocab: int

    def prefill(self, ids: list[int]) -> float:
        """Computes a new prompt and the logits of its end; returns seconds."""

    def prepare(self, rows: list[list[int]]) -> None:
        """Computes prompts that decode continues."""

    def decode(self, steps: int) -> float:
        """Computes a position of every row, steps times; returns seconds."""


def ids(n: int, vocab: int, seed: int) -> list[int]:
    rnd = random.Random(seed)
    return [rnd.randrange(3, vocab) for _ in range(n)]


def peak_memory() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) << 10 if found else 0


def tell(tokens: int, seconds: float, **more: object) -> None:
    print(json.dumps({"tokens": tokens, "seconds": seconds, **more}), flush=True)


def serve(load: Callable[[], Engine]) -> int:
    start = time.perf_counter()
    engine = load()
    engine.prefill(ids(SHORT, engine.vocab, 0))
    tell(0, time.perf_counter() - start, rss=peak_memory(), about=engine.about)
    prepared: tuple[int, int] | None = None
    rates: dict[tuple[int, int], float] = {}
    for seed, line in enumerate(sys.stdin, 1):
        ask = json.loads(line)
        if ask["do"] == "rss":
            tell(0, 0, rss=peak_memory())
        elif ask["do"] == "prefill":
            prepared = None
            tell(ask["n"], engine.prefill(ids(ask["n"], engine.vocab, seed)))
        elif ask["do"] == "decode":
            key = (ask.get("streams", 1), max(SHORT, ask.get("depth", 0)))
            if prepared != key:
                engine.prepare([ids(key[1], engine.vocab, row) for row in range(key[0])])
                prepared = key
            if key not in rates:
                rates[key] = 2 / engine.decode(2)
            steps = min(max(int(rates[key] * ask["seconds"]), 2), 512)
            seconds = engine.decode(steps)
            rates[key] = steps / seconds
            tell(steps * key[0], seconds)
        else:
            sys.exit(f"unknown work {ask['do']!r}")
    return 0
