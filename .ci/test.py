#!/usr/bin/env python3
"""Runs every check of the project, stage by stage, and counts at the end.

    .ci/test.py [STAGE ...]        # all stages, or the named ones

Needs what `make test` sets up: build/venv-test and build/llama-go. Standard
library alone. A skipped test prints why; a failed stage does not stop the
others, and the exit code is 1 when any failed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
PYTHON = BUILD / "venv-test" / "bin" / "python"
BINARY = BUILD / "llama-go"
STATICCHECK = "honnef.co/go/tools/cmd/staticcheck@v0.8.2"

# So many failed tests of a stage are run once more, alone: some measure times, and a
# machine that is shared may have been busy. The summary names them.
RETRIES = 3


class Count:
    """Tests that passed, failed and were skipped."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0
        self.bad: list[str] = []
        self.why: list[str] = []
        self.flaky: list[str] = []  # failed once, passed alone

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def fail(self, what: str) -> None:
        self.failed += 1
        self.bad.append(what)

    def excuse(self) -> None:
        """Count what failed as passed, and name it: it passed in a second run, alone."""
        self.flaky += self.bad
        self.passed += self.failed
        self.failed, self.bad = 0, []


def run(cmd: list[str | Path], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run to the end; output goes through a file, which no left-over process keeps open."""
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(
            [str(c) for c in cmd], cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT
        )
        out.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, out.read())


def check(
    count: Count, name: str, cmd: list[str | Path], env: dict[str, str], silent: bool = False
) -> None:
    """One command that must exit 0 (and, with silent, print nothing)."""
    done = run(cmd, env)
    if done.returncode or (silent and done.stdout.strip()):
        print(done.stdout, end="")
        count.fail(f"{name}: exit code {done.returncode}")
    else:
        count.passed += 1


def go_files() -> list[str]:
    out = subprocess.run(
        ["git", "ls-files", "*.go"], cwd=ROOT, text=True, capture_output=True, check=True
    )
    return [f for f in out.stdout.split() if (ROOT / f).exists()]


def lint(count: Count, env: dict[str, str]) -> None:
    plain = env | {"CGO_ENABLED": "0"}
    check(count, "gofmt", ["gofmt", "-l", *go_files()], plain, silent=True)
    check(count, "go vet", ["go", "vet", "./..."], plain)
    check(count, "staticcheck", ["go", "run", STATICCHECK, "./..."], plain)
    check(count, "ruff", [PYTHON, "-m", "ruff", "check", "pylib", "notebooks", ".ci"], env)
    check(
        count,
        "ruff format",
        [PYTHON, "-m", "ruff", "format", "--check", "pylib", "notebooks", ".ci"],
        env,
    )
    check(
        count,
        "mypy",
        [PYTHON, "-m", "mypy", "--config-file", "pylib/pyproject.toml", "pylib/llama"],
        env,
    )


def go_test(count: Count, args: list[str], env: dict[str, str]) -> None:
    """go test -json, told line by line: failures whole, skips with their reason."""
    proc = subprocess.Popen(
        ["go", "test", "-json", *args],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output: dict[tuple[str, str], list[str]] = {}
    failed: set[tuple[str, str]] = set()
    assert proc.stdout
    for line in proc.stdout:
        if not line.startswith("{"):
            print(line, end="")
            continue
        e = json.loads(line)
        action, package, test = (
            e["Action"],
            e.get("Package", e.get("ImportPath", "")),
            e.get("Test", ""),
        )
        key = (package, test)
        if action in ("output", "build-output"):
            output.setdefault(key, []).append(e.get("Output", ""))
        elif action == "pass" and test:
            count.passed += 1
        elif action == "pass":
            print(f"  ok   {package}  {e.get('Elapsed', 0):.1f} s")
        elif action == "skip" and test:
            count.skipped += 1
            why = " ".join("".join(output.get(key, [])).split())
            why = re.sub(r"=== RUN \S+|--- SKIP: \S+ \([\d.]+s\)", "", why).strip()
            count.why.append(
                f"{package.removeprefix('github.com/llama-go/llama-go')}.{test}: {why}"
            )
        elif action in ("fail", "build-fail"):
            print("".join(output.get(key, [])), end="")
            print(f"  FAIL {package} {test}")
            if test:
                failed.add((package, test.split("/")[0]))
            if test or action == "build-fail" or not any(package in b for b in count.bad):
                count.fail(f"{package} {test}")
        if action in ("pass", "fail", "skip"):
            output.pop(key, None)
    if proc.wait() and not count.failed:
        count.fail("go test " + " ".join(args))
    go_retry(count, failed, args, env)


def go_retry(
    count: Count, failed: set[tuple[str, str]], args: list[str], env: dict[str, str]
) -> None:
    """Run failed tests again, by their top name."""
    tests_alone = all(b.split(" ")[1] for b in count.bad)  # no build, no whole package
    if not 0 < len(failed) <= RETRIES or not tests_alone:
        return
    for package, test in sorted(failed):
        cmd = ["go", "test", "-count=1", "-run", f"^{test}$", *args[:-1], package]
        if run(cmd, env).returncode:
            return
    count.excuse()


def go_race(count: Count, env: dict[str, str]) -> None:
    go_test(count, ["-race", "-short", "-timeout", "15m", "./..."], env | {"CGO_ENABLED": "1"})


def go_real(count: Count, env: dict[str, str]) -> None:
    go_test(count, ["-timeout", "15m", "./..."], env | {"CGO_ENABLED": "0"})


def pytest(count: Count, args: list[str | Path], env: dict[str, str]) -> None:
    """pytest, counted from its own report."""
    with tempfile.TemporaryDirectory() as tmp:
        report = Path(tmp, "report.xml")
        done = run([PYTHON, "-m", "pytest", "-q", "-ra", f"--junit-xml={report}", *args], env)
        print("".join(f"  {line}\n" for line in done.stdout.splitlines()[-40:]), end="")
        if not report.exists():
            count.fail(f"pytest {args}: exit code {done.returncode}, no report")
            return
        head = report.read_text()
    found = {
        k: int(v)
        for k, v in re.findall(
            r'(tests|failures|errors|skipped)="(\d+)"', head.split("<testcase")[0]
        )
    }
    bad = found["failures"] + found["errors"]
    count.passed += found["tests"] - bad - found["skipped"]
    count.skipped += found["skipped"]
    count.why += [line.strip() for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            count.fail(line.strip())
    if 0 < bad <= RETRIES and not run([PYTHON, "-m", "pytest", "--lf", *args], env).returncode:
        count.excuse()
        return
    if done.returncode and not bad:
        count.fail(f"pytest {args}: exit code {done.returncode}")


def python(count: Count, env: dict[str, str]) -> None:
    pytest(count, ["-c", "pylib/pyproject.toml", "pylib/tests", "pylib/llama"], env)


def notebooks(count: Count, env: dict[str, str]) -> None:
    pytest(count, ["notebooks"], env)


STAGES: dict[str, Callable[[Count, dict[str, str]], None]] = {
    "lint": lint,
    "go-race": go_race,
    "go": go_real,
    "python": python,
    "notebooks": notebooks,
}


def emulator(env: dict[str, str]) -> None:
    """What the arm64 tests need: an emulated processor, and a disassembler of its words."""
    needed = {
        "qemu-aarch64": "qemu-user",
        "aarch64-linux-gnu-objdump": "binutils-aarch64-linux-gnu",
    }
    missing = [package for tool, package in needed.items() if not shutil.which(tool)]
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() or not shutil.which("apt-get"):
        print(f"no {names}: arm64 tests are skipped (apt-get install {names} as root)")
        return
    install: list[str | Path] = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    done = run(install, env)
    if done.returncode:  # perhaps without lists of packages yet
        run(["apt-get", "update"], env)
        done = run(install, env)
    if done.returncode:
        print(f"arm64 tests are skipped: apt-get install {names}: {done.stdout.strip()[-500:]}")
    else:
        print(f"installed {names} for the arm64 tests")


def leftovers(runtime: Path) -> list[int]:
    """Processes of ours that outlived their test: they name the runtime folder."""
    pids = []
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if str(runtime).encode() in (p / "environ").read_bytes() and int(p.name) != os.getpid():
                pids.append(int(p.name))
        except OSError:
            continue
    return pids


def main(names: list[str]) -> int:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    unknown = set(names) - set(STAGES)
    if unknown:
        print(f"unknown stage {', '.join(sorted(unknown))}; there are: {' '.join(STAGES)}")
        return 2
    runtime = Path(tempfile.mkdtemp(prefix="lg-"))
    env = os.environ | {
        "LLAMA_GO_BIN": str(BINARY),
        "LLAMA_GO_RUNTIME": str(runtime),
        "LLAMA_GO_PYTHON": str(PYTHON),
        "LLAMA_GO_JUPYTER_PYTHON": str(PYTHON),
        "LLAMA_GO_PEERS_PYTHON": str(PYTHON),
    }
    total, started = Count(), time.time()
    try:
        emulator(env)
        pulled = run([BINARY, "pull", "smollm2"], env)
        print(pulled.stdout, end="")
        for name in names or STAGES:
            print(f"== {name}")
            count, t0 = Count(), time.time()
            STAGES[name](count, env)
            print(f"== {name}: {count} in {time.time() - t0:.0f} s")
            for field in ("passed", "failed", "skipped"):
                setattr(total, field, getattr(total, field) + getattr(count, field))
            total.bad += count.bad
            total.why += count.why
            total.flaky += count.flaky
        run([BINARY, "stop", "--all", "--force"], env)
        time.sleep(0.5)
        if left := leftovers(runtime):
            total.fail(f"processes left behind: {left}")
            for pid in left:
                os.kill(pid, signal.SIGKILL)
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
    for why in total.why:
        print(f"skipped: {why}")
    for flaky in total.flaky:
        print(f"FLAKY, failed once and passed alone: {flaky}")
    for bad in total.bad:
        print(f"FAILED: {bad}")
    print(f"all stages in {time.time() - started:.0f} s")
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
