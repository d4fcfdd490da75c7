#!/usr/bin/env python3
"""llama-go beside llama-cpp-python on the same file, in turns, in one run.

    .ci/bench_peers.py [--model PATH] [--rounds N] [--prefill N] [--decode N]

`make bench-peers` sets up build/venv-demo and build/venv-peers. Each round runs
both engines one after the other, each in a process of its own, so that the
machine's noise meets both; medians and spread of the rounds are printed as a
table for README. Tokens are counted by the engines, never by chunks of a stream.
On processors with AMX llama-cpp-python runs with use_extra_bufts off, because
its AMX path may crash there (ggml-org/llama.cpp#26954).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = ROOT / "build" / "venv-demo" / "bin" / "python"
PEER = ROOT / "build" / "venv-peers" / "bin" / "python"

# What of ours is measured: name, precision, units that are switched off.
VARIANTS = (
    ("llama-go, fast", "fast", ""),
    ("llama-go, exact", "exact", ""),
    ("llama-go, pure Go", "exact", "avx512"),
)

# The same prompt for both: ids that every vocabulary of 1,000 has.
WORKER_OURS = """
import json, sys, llama
from llama.generation import Llama
model, prefill, decode = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
llm = Llama.build(model, precision=sys.argv[4], progress=False)
ids = [(i * 7919 + 13) % 900 + 50 for i in range(prefill)]
llm.generate([ids[:16]], max_gen_len=4, temperature=0, ignore_eos=True)
llm.generate([ids], max_gen_len=1, temperature=0, ignore_eos=True)
pre = llm.last.prefill_rate
llm.generate([ids[:8][::-1]], max_gen_len=decode, temperature=0, ignore_eos=True)
print(json.dumps({"prefill": pre, "decode": llm.last.decode_rate}))
llm.close(); llama.shutdown(force=True)
"""

WORKER_PEER = """
import json, sys, time
import llama_cpp
model, prefill, decode, threads, amx = sys.argv[1], *map(int, sys.argv[2:6])
if amx:
    defaults = llama_cpp.llama_cpp.llama_model_default_params
    def plain():
        params = defaults()
        params.use_extra_bufts = False
        return params
    llama_cpp.llama_cpp.llama_model_default_params = plain
llm = llama_cpp.Llama(model, n_ctx=max(2048, prefill + decode + 64), n_batch=512,
                      n_threads=threads, n_threads_batch=threads, verbose=False)
ids = [(i * 7919 + 13) % 900 + 50 for i in range(prefill)]
llm.eval(ids[:16])
llm.reset()
t = time.perf_counter()
llm.eval(ids)
pre = prefill / (time.perf_counter() - t)
llm.reset()
llm.eval(ids[:8][::-1])
t = time.perf_counter()
for i in range(decode):
    llm.eval([ids[i % prefill]])
print(json.dumps({"prefill": pre, "decode": decode / (time.perf_counter() - t)}))
"""


def processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else "unknown processor"


def has_amx() -> bool:
    return "amx_tile" in Path("/proc/cpuinfo").read_text()


def measure(cmd: list[str | Path], env: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [str(c) for c in cmd], env=os.environ | env, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, cmd[:1]))} failed:\n{done.stderr}")
    out: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return out


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a GGUF file (default: smollm2, pulled)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=64)
    args = parser.parse_args()
    model = args.model
    if not model:
        binary = OURS.with_name("llama-go")
        model = subprocess.run(
            [binary, "pull", "smollm2"], check=True, capture_output=True, text=True
        ).stdout.strip()
    amx = has_amx()
    runtime = tempfile.mkdtemp(prefix="lg-")
    rows: dict[tuple[str, int], list[dict[str, float]]] = {}
    try:
        for _ in range(args.rounds):
            for threads in (1, 2):
                env = {"LLAMA_GO_RUNTIME": runtime, "LLAMA_GO_THREADS": str(threads)}
                size = [str(args.prefill), str(args.decode)]
                for name, precision, disable in VARIANTS:
                    without = {"LLAMA_GO_DISABLE": disable}
                    got = measure([OURS, "-c", WORKER_OURS, model, *size, precision], env | without)
                    rows.setdefault((name, threads), []).append(got)
                peer = measure(
                    [PEER, "-c", WORKER_PEER, model, *size, str(threads), str(int(amx))], {}
                )
                rows.setdefault(("llama-cpp-python", threads), []).append(peer)
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
    note = ", use_extra_bufts=False" if amx else ""
    print(
        f"{Path(model).name} on {processor()}; medians of {args.rounds} interleaved rounds "
        f"(min–max), tok/s{note}\n"
    )
    columns = ["engine", "threads", f"prefill {args.prefill}", "ratio", f"decode {args.decode}"]
    print("| " + " | ".join([*columns, "ratio"]) + " |")
    print("|---|---|---|---|---|---|")
    for threads in (1, 2):
        base = rows[("llama-cpp-python", threads)]
        for (name, n), got in rows.items():
            if n != threads:
                continue
            cells = [name, str(threads)]
            for what in ("prefill", "decode"):
                values = [r[what] for r in got]
                ratio = statistics.median(r[what] / b[what] for r, b in zip(got, base, strict=True))
                cells += [
                    f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})",
                    f"{ratio:.2f}",
                ]
            print("| " + " | ".join(cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
