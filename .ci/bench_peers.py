#!/usr/bin/env python3
"""llama-go beside other engines: same weights, same threads, in turns, in one run.

    .ci/bench_peers.py [--quick] [--only SECTION,...] [--peers NAME,...] [--threads 2,1]
                       [--rounds N] [--shares] [--write docs/performance.md]

`make bench-peers` makes what it needs below build/: the venvs of the peers and the
model files (.ci/bench_models.py; 10 GB, kept). Each engine holds a model in a process
of its own (`llama-go bench worker`, .ci/peer_*.py). In each round every engine does
each job once, one after another in an order that rotates, so that the machine's noise
meets all; medians (min-max) of the rounds are printed, and the ratio to the best peer,
which is the median of the rounds' ratios. Tokens are counted by the engines. A peer
whose venv could not be made is left out, and the output says so.

--shares adds llama-go bench's tables, --write puts all between the marks in a file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
CI = ROOT / ".ci"
BUILD = ROOT / "build"
MODELS = BUILD / "bench"
LLAMA_GO = BUILD / "llama-go"
PYLIB = BUILD / "venv-demo" / "bin" / "python"
PEERS = BUILD / "venv-peers" / "bin"
HF = BUILD / "venv-peers-hf" / "bin"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

KINDS = ("llama.cpp", "transformers", "openvino")
SPIN = "import sys\nwhile True: pass"


@dataclass(frozen=True)
class Engine:
    """An engine and the form of the model that it takes."""

    name: str
    kind: str  # "llama-go" or one of KINDS
    form: str  # as .ci/bench_models.py says, "file", or of openvino its weight format
    mode: str = "fast"
    quantize: str = ""
    disable: str = ""  # units that are off
    slow: bool = False  # not part of --quick, nor of one thread among more


@dataclass(frozen=True)
class Job:
    """What is measured: its column, and what a worker is asked."""

    title: str
    ask: dict[str, Any]
    busy: bool = False
    kinds: tuple[str, ...] = ("llama-go", *KINDS)
    slow: bool = False  # as of engines


@dataclass
class Section:
    name: str
    title: str
    shape: str
    engines: list[Engine]
    jobs: list[Job]
    quick: bool = False  # part of --quick
    single: bool = False  # also measured with one thread
    positions: int = 1024
    streams: int = 1


PREFILL = Job("prefill 512", {"do": "prefill", "n": 512})
DECODE = Job("decode", {"do": "decode", "seconds": 0.8})
WARM: dict[str, dict[str, Any]] = {"prefill": {"n": 64}, "decode": {"seconds": 0.2}}
STREAMS = Job(
    "16 streams", {"do": "decode", "seconds": 0.8, "streams": 16}, kinds=("llama-go", "llama.cpp")
)
DEPTH = Job(
    "decode at 4096",
    {"do": "decode", "seconds": 0.8, "depth": 4096},
    kinds=("llama-go", "llama.cpp"),
    slow=True,
)
BUSY = Job("beside a busy process", {"do": "decode", "seconds": 0.8}, busy=True)


def ours(form: str, *modes: str) -> list[Engine]:
    return [Engine(f"llama-go {m}", "llama-go", form, m) for m in modes or ("fast",)]


def same(form: str) -> list[Engine]:
    return [*ours(form), Engine("llama.cpp", "llama.cpp", form)]


OWN = [
    Engine("llama-go quantize=int8", "llama-go", "hf", "fast", "int8"),
    Engine("llama-go quantize=int4", "llama-go", "hf", "fast", "int4"),
    Engine("OpenVINO int8", "openvino", "int8"),
    Engine("OpenVINO int4", "openvino", "int4"),
]
BOTH = [PREFILL, DECODE]
TINY = "tinyllama-1.1b"
SECTIONS = [
    Section(
        "smollm2",
        "SmolLM2-135M-Instruct, the Q4_1 file (transformers, OpenVINO: the same, dequantized)",
        "smollm2",
        [
            *ours("file", "fast", "exact"),
            Engine("llama-go, pure Go", "llama-go", "file", "exact", disable="all", slow=True),
            Engine("llama.cpp", "llama.cpp", "file"),
            Engine("transformers bf16", "transformers", "hf"),
            Engine("OpenVINO int8", "openvino", "int8"),
            Engine("OpenVINO int4", "openvino", "int4"),
        ],
        BOTH,
        quick=True,
        single=True,
    ),
    Section(
        "bf16",
        "TinyLlama-1.1B shape, bf16",
        TINY,
        [
            *ours("bf16", "fast", "exact"),
            Engine("llama.cpp", "llama.cpp", "bf16"),
            Engine("transformers", "transformers", "hf"),
        ],
        BOTH,
        quick=True,
    ),
    Section("f16", "TinyLlama-1.1B shape, f16", TINY, same("f16"), BOTH),
    Section("q8_0", "TinyLlama-1.1B shape, Q8_0", TINY, same("q8_0"), BOTH, quick=True),
    Section(
        "q4_0",
        "TinyLlama-1.1B shape, Q4_0",
        TINY,
        same("q4_0"),
        [PREFILL, DECODE, STREAMS, DEPTH, BUSY],
        quick=True,
        single=True,
        positions=8192,
        streams=16,
    ),
    Section("q4_k_m", "TinyLlama-1.1B shape, Q4_K_M", TINY, same("q4_k_m"), BOTH),
    Section("own", "TinyLlama-1.1B shape, quantized at load", TINY, OWN, BOTH),
    Section("1b-bf16", "Llama-3.2-1B shape, bf16", "llama-3.2-1b", same("bf16"), BOTH),
    Section("1b-q8_0", "Llama-3.2-1B shape, Q8_0", "llama-3.2-1b", same("q8_0"), BOTH),
    Section("1b-q4_0", "Llama-3.2-1B shape, Q4_0", "llama-3.2-1b", same("q4_0"), BOTH),
    Section("15m", "15M shape, Q8_0", "15m", same("q8_0"), [DECODE], quick=True),
]
# llama-go bench's own tables: a title, and its arguments.
SHARES = [
    (
        "Every weight type, TinyLlama-1.1B shape",
        ["decode", "prefill", "--shape", TINY, "--type", "all"],
    ),
    (
        "Depth, streams, a busy process",
        ["depth", "batch", "busy", "--shape", TINY, "--type", "q4_0"],
    ),
    (
        "Exact mode",
        ["decode", "prefill", "--shape", TINY, "--type", "bf16,q8_0,q4_0", "--precision", "exact"],
    ),
    ("Kernels, one thread, fast mode", ["kernels", "--threads", "1"]),
    (
        "Kernels, one thread, exact mode",
        ["kernels", "--threads", "1", "--precision", "exact", "--type", "bf16,q8_0,q4_0,q4_k"],
    ),
]

left_out: list[str] = []


def note(text: str) -> None:
    if text not in left_out:
        left_out.append(text)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Models:
    """Makes model files when they are asked for."""

    def __init__(self, smollm2: str) -> None:
        self.smollm2 = smollm2

    def path(self, shape: str, engine: Engine) -> Path:
        if engine.form == "file":
            return Path(self.smollm2)
        source = self.smollm2 if shape == "smollm2" else shape
        folder = MODELS / (Path(self.smollm2).stem.lower() if shape == "smollm2" else shape)
        form = "hf" if engine.kind == "openvino" else engine.form
        path = folder / ("hf" if form == "hf" else f"{form}.gguf")
        if not (path / "model.safetensors" if form == "hf" else path).exists():
            self._run([PEERS / "python", CI / "bench_models.py", MODELS, source, form])
        if engine.kind == "openvino":
            path = self._export(path, folder / f"openvino-{engine.form}", engine.form)
        return path

    def _export(self, source: Path, path: Path, form: str) -> Path:
        if not path.exists():
            part = path.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            task = ["--task", "text-generation-with-past", "--weight-format", form]
            hidden = json.loads((source / "config.json").read_text())["hidden_size"]
            if form == "int4" and hidden % 128:
                task += ["--group-size", "64"]  # 128 is usual and must divide
            cli: list[str | Path] = [HF / "optimum-cli", "export", "openvino"]
            self._run([*cli, "--model", source, *task, part])
            part.rename(path)
        return path

    def _run(self, cmd: list[str | Path]) -> None:
        say(f"making {' '.join(str(c).removeprefix(str(ROOT) + '/') for c in cmd[1:])}")
        done = subprocess.run(cmd, capture_output=True, text=True, env=offline())
        if done.returncode:
            raise Failed(f"{Path(cmd[0]).name} failed: {done.stderr.strip()[-800:]}")


class Failed(Exception):
    """An engine that cannot take part."""


def offline() -> dict[str, str]:
    return os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass
class Worker:
    engine: Engine
    process: subprocess.Popen[str]
    about: str = ""
    load: float = 0.0
    rss: int = 0
    rates: dict[str, list[float]] = field(default_factory=dict)

    def read(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.engine.name} ended with code {self.process.wait()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.engine.name} ended with code {self.process.wait()}") from None
        return self.read()

    def close(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def command(e: Engine, path: Path, threads: int, positions: int, streams: int) -> list[str | Path]:
    if e.kind == "llama-go":
        cmd: list[str | Path] = [LLAMA_GO, "bench", "worker", "--model", path]
        cmd += ["--precision", e.mode, "--threads", str(threads)]
        return [*cmd, "--type", e.quantize] if e.quantize else cmd
    if e.kind == "llama.cpp":
        worker = [PEERS / "python", CI / "peer_llamacpp.py", path]
        return [*worker, str(threads), str(positions), str(streams)]
    script = "peer_torch.py" if e.kind == "transformers" else "peer_openvino.py"
    return [HF / "python", CI / script, path, str(threads)]


def start(e: Engine, path: Path, threads: int, section: Section, log: IO[str]) -> Worker:
    cmd = command(e, path, threads, section.positions, section.streams)
    env = offline() | {"OMP_NUM_THREADS": str(threads)}
    env["LLAMA_GO_DISABLE"] = e.disable
    process = subprocess.Popen(
        cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env
    )
    w = Worker(e, process)
    first = w.read()
    w.about, w.load, w.rss = first["about"], first["seconds"], first["rss"]
    return w


def available(kind: str, chosen: list[str]) -> bool:
    if kind == "llama-go":
        return True
    venv = PEERS if kind == "llama.cpp" else HF
    if kind not in chosen:
        note(f"{kind}: not chosen (--peers)")
    elif not (venv / "python").exists():
        note(f"{kind}: {venv.parent.relative_to(ROOT)} could not be made (see make's output)")
    elif kind == "openvino" and not (venv / "optimum-cli").exists():
        note("openvino: optimum-intel has no wheel here")
    else:
        return True
    return False


def measure(
    section: Section, models: Models, threads: int, rounds: int, chosen: list[str]
) -> list[Worker]:
    workers: list[Worker] = []
    with tempfile.TemporaryFile("w+") as log:
        try:
            for e in section.engines:
                if not available(e.kind, chosen):
                    continue
                try:
                    path = models.path(section.shape, e)
                    say(f"{section.name}: loading {e.name}, {threads} threads")
                    workers.append(start(e, path, threads, section, log))
                except Failed as err:
                    log.seek(0)
                    text = log.read().strip().splitlines()[-1:]
                    note(f"{section.name}, {e.name}: {err} {' '.join(text)}")
            for turn in range(-1, rounds):  # the first one warms up
                for job in section.jobs:
                    order = [w for w in workers if w.engine.kind in job.kinds]
                    k = max(turn, 0) % max(1, len(order))
                    for w in order[k:] + order[:k]:
                        say(f"{section.name}: {w.engine.name}, {job.title}, round {turn + 1}")
                        try:
                            if turn < 0:
                                w.ask(job.ask | WARM[job.ask["do"]])
                            else:
                                rate = one(w, job)
                                w.rates.setdefault(job.title, []).append(rate)
                        except Failed as err:
                            note(f"{section.name}, {w.engine.name}, {job.title}: {err}")
                            w.close()
                            workers.remove(w)
        finally:
            for w in workers:
                w.close()
    return workers


def one(w: Worker, job: Job) -> float:
    time.sleep(0.25)  # teams of other engines go to sleep
    if not job.busy:
        told = w.ask(job.ask)
    else:
        spin = subprocess.Popen([sys.executable, "-c", SPIN])
        try:
            time.sleep(0.2)
            w.ask(job.ask | {"seconds": 0.3})
            told = w.ask(job.ask)
        finally:
            spin.kill()
            spin.wait()
    return float(told["tokens"]) / float(told["seconds"])


def number(v: float) -> str:
    return f"{v:.0f}" if v >= 100 else f"{v:.1f}" if v >= 10 else f"{v:.2f}"


def spread(values: list[float]) -> str:
    return f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})"


def table(section: Section, workers: list[Worker], loads: bool) -> list[str]:
    """A row for each engine; the ratio is to the best peer of each column."""
    head = ["engine"]
    for job in section.jobs:
        head += [job.title, "ratio"]
    if loads:
        head += ["load + first token, s", "peak RSS, MB"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    best: dict[str, list[float]] = {}
    for job in section.jobs:
        peers = [
            w.rates[job.title] for w in workers if w.engine.kind in KINDS and job.title in w.rates
        ]
        if peers:
            best[job.title] = max(peers, key=statistics.median)
    for w in workers:
        cells = [w.engine.name]
        for job in section.jobs:
            values = w.rates.get(job.title)
            if not values:
                cells += ["", ""]
                continue
            cells.append(spread(values))
            base = best.get(job.title)
            ratios = [v / b for v, b in zip(values, base, strict=True)] if base else []
            cells.append(
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
                if ratios
                else ""
            )
        if loads:
            cells += [f"{w.load:.2f}", f"{w.rss / 1e6:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else "unknown processor"


# pylib's stream beside the engine's own clock, and a second client that attaches.
WORKER_PYLIB = """
import json, sys, time
from llama.generation import Llama
llm = Llama.build(sys.argv[1], progress=False)
ids = [(i * 7919 + 13) % 900 + 50 for i in range(8)]
n = 256
out = []
for turn in range(int(sys.argv[2]) + 1):
    ids[0] += 1
    start = time.perf_counter()
    for _ in llm.generate([ids], max_gen_len=n, temperature=0, ignore_eos=True, stream=True):
        end = time.perf_counter()
    t = time.perf_counter()
    again = Llama.build(sys.argv[1], progress=False)
    attach = time.perf_counter() - t
    again.close()
    stats = llm.last
    out.append({"wall": end - start - stats.prefill_seconds, "engine": stats.decode_seconds,
                "steps": stats.decode_steps, "attach": attach})
print(json.dumps(out[1:]))
llm.close()
import llama
llama.shutdown(force=True)
"""


def pylib(models: Models, threads: int, rounds: int) -> list[str]:
    """Streaming by pylib through the resident, beside the bare engine in turns."""
    if not PYLIB.exists():
        note("pylib: no build/venv-demo")
        return []
    bare = Section("pylib", "", "smollm2", ours("file"), [DECODE])
    with tempfile.TemporaryFile("w+") as log:
        engine = bare.engines[0]
        worker = start(engine, models.path("smollm2", engine), threads, bare, log)
        runtime = tempfile.mkdtemp(prefix="lg-")
        env = {"LLAMA_GO_RUNTIME": runtime, "LLAMA_GO_THREADS": str(threads)}
        streamed: list[float] = []
        plain: list[float] = []
        attach: list[float] = []
        told: list[float] = []
        try:
            worker.ask(DECODE.ask)
            for _ in range(rounds):
                got = worker.ask(DECODE.ask)
                plain.append(got["tokens"] / got["seconds"])
                done = subprocess.run(
                    [PYLIB, "-c", WORKER_PYLIB, models.smollm2, "2"],
                    capture_output=True,
                    text=True,
                    env=os.environ | env,
                )
                if done.returncode:
                    note(f"pylib: {done.stderr.strip()[-400:]}")
                    return []
                for r in json.loads(done.stdout.splitlines()[-1]):
                    streamed.append(r["steps"] / r["wall"])
                    told.append(r["steps"] / r["engine"])
                    attach.append(r["attach"] * 1e3)
        finally:
            worker.close()
            shutil.rmtree(runtime, ignore_errors=True)
    slower = 1 - statistics.median(s / e for s, e in zip(streamed, told, strict=True))
    beside = statistics.median(streamed) / statistics.median(plain)
    return [
        "| what | median (min–max) |",
        "|---|---|",
        f"| bare engine, decode, tok/s | {spread(plain)} |",
        f"| engine in the resident, while pylib streams, tok/s | {spread(told)} |",
        f"| tokens that pylib's caller sees, tok/s | {spread(streamed)} |",
        f"| slower than that engine's own clock | {100 * slower:.1f} % |",
        f"| slower than the bare engine | {100 * (1 - beside):.1f} % |",
        f"| attaching a second client, ms | {spread(attach)} |",
    ]


def shares(threads: int, quick: bool) -> list[str]:
    """The tables of llama-go bench."""
    lines = []
    for title, args in SHARES:
        say(f"llama-go bench {' '.join(args)}")
        cmd: list[str | Path] = [LLAMA_GO, "bench", *args, "--markdown", "--rounds", "3"]
        if "--threads" not in args:
            cmd += ["--threads", str(threads)]
        if quick:
            cmd.append("--quick")
        done = subprocess.run(cmd, capture_output=True, text=True)
        if done.returncode:
            note(f"llama-go bench {' '.join(args)}: {done.stderr.strip()}")
            continue
        shown = " ".join(str(c) for c in cmd[1:]).replace(" --markdown", "")
        out = done.stdout.splitlines()
        lines += ["", f"### {title}", "", f"`llama-go {shown}`", "", *out[out.index("") + 1 :]]
    return lines


def write(path: Path, text: str) -> None:
    old = path.read_text()
    head, found, rest = old.partition(BEGIN)
    _, found2, tail = rest.partition(END)
    if not (found and found2):
        sys.exit(f"{path} lacks the marks {BEGIN} and {END}")
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [s.name for s in SECTIONS] + ["pylib"]
    parser.add_argument("--quick", action="store_true", help="fewer sections, two rounds")
    parser.add_argument("--only", default="", help=f"sections: {', '.join(names)}")
    parser.add_argument("--peers", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--threads", default="", help="numbers of threads (default: all; and 1)")
    parser.add_argument("--rounds", type=int, default=0, help="rounds (default: 3; --quick: 2)")
    parser.add_argument("--model", default="", help="the SmolLM2 GGUF file (default: pulled)")
    parser.add_argument("--shares", action="store_true", help="llama-go bench's tables too")
    parser.add_argument("--write", type=Path, help="put the tables into this file")
    args = parser.parse_args()
    args.peers = [p for p in args.peers.split(",") if p]
    args.only = [n for n in args.only.split(",") if n]
    for word, known in ((args.peers, list(KINDS)), (args.only, names)):
        for w in word:
            if w not in known:
                parser.error(f"unknown {w!r}, expected one of: {', '.join(known)}")
    return args


def wanted(section: Section, args: argparse.Namespace, threads: int, most: int) -> bool:
    """Named sections run as they are asked for; else one thread is for some."""
    if args.only:
        return section.name in args.only
    if args.quick:
        return section.quick and (threads != 1 or most == 1)
    return section.single or threads != 1 or most == 1


def faster(section: Section) -> Section:
    return replace(
        section,
        engines=[e for e in section.engines if not e.slow],
        jobs=[j for j in section.jobs if not j.slow],
    )


def main() -> int:
    args = arguments()
    rounds = args.rounds or (2 if args.quick else 3)
    most = len(os.sched_getaffinity(0))
    counts = [int(t) for t in args.threads.split(",")] if args.threads else [most, 1]
    smollm2 = args.model
    if not smollm2:
        pulled = subprocess.run(
            [LLAMA_GO, "pull", "smollm2"], check=True, capture_output=True, text=True
        )
        smollm2 = pulled.stdout.strip()
    models = Models(smollm2)
    out: list[str] = []
    engines: dict[str, str] = {}
    began = time.monotonic()
    for threads in counts:
        for section in SECTIONS:
            if not wanted(section, args, threads, most):
                continue
            if args.quick or (threads == 1 < most and not args.only):
                section = faster(section)
            workers = measure(section, models, threads, rounds, args.peers)
            for w in workers:
                engines.setdefault(w.engine.kind, w.about)
            title = f"### {section.title}, {threads} thread{'s' if threads > 1 else ''}"
            lines = table(section, workers, loads=section.name in ("q4_0", "smollm2"))
            out += ["", title, "", *lines]
        if (not args.only or "pylib" in args.only) and threads == counts[0]:
            lines = pylib(models, threads, rounds)
            if lines:
                out += ["", f"### pylib, smollm2, {threads} threads", "", *lines]
    if args.shares:
        out += shares(counts[0], args.quick)
    version = subprocess.run([LLAMA_GO, "version"], capture_output=True, text=True).stdout.strip()
    head = [
        f"{processor()}, {most} processors; {time.strftime('%Y-%m-%d')}; {version}.",
        f"Medians (min–max) of {rounds} interleaved rounds, tok/s; the ratio is to the best peer",
        "of the column. Engines:",
        "",
        *(f"- {about}" for about in engines.values()),
        *(f"- left out: {text}" for text in left_out),
    ]
    text = "\n".join([*head, *out])
    if args.write:
        write(args.write, text)
    print(text)
    say(f"took {(time.monotonic() - began) / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
