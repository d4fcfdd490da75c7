"""Models by name: known ones, which can be pulled, and Hugging Face's cache.

Pulling has one implementation, ``llama-go pull``; this module runs it with this
Python, so that its pip and its index settings are used.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._errors import LlamaError, MissingFileError, from_kind
from ._launch import find_binary
from ._progress import Bar

__all__ = ["cache_dir", "pull", "resolve"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class _Known:
    file: str  # in the models folder of the cache
    bytes: int


# The same table is in internal/store; a test compares the two.
KNOWN = {"smollm2": _Known("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 98_362_432)}


def cache_dir() -> Path:
    """Return the folder that pulled models are kept in."""
    named = os.environ.get("LLAMA_GO_CACHE")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "llama-go"


def resolve(name: str | os.PathLike[str], *, progress: bool = True) -> Path:
    """Return the absolute path of a model: a path, a known name or "org/name".

    A known model that is not there yet is pulled. A name that is none of the
    three is a FileNotFoundError.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path.absolute()
    text = os.fspath(name)
    if text in KNOWN:
        known = KNOWN[text]
        there = cache_dir() / "models" / known.file
        if there.is_file() and there.stat().st_size == known.bytes:
            return there
        return pull(text, progress=progress)
    if _HUB_NAME.fullmatch(text):
        snapshot = _hub_snapshot(text)
        if snapshot is not None:
            return snapshot
    raise MissingFileError(
        f"Checkpoint directory '{text}' does not exist.",
        hint=f"pass a folder, a checkpoint file, or a known name ({', '.join(KNOWN)})",
    )


def pull(name: str, *, progress: bool = True) -> Path:
    """Fetch a known model into the cache, unless it is there, and return its path.

    Size and SHA-256 are checked and the file appears whole or not at all.
    """
    if name not in KNOWN:
        raise MissingFileError(
            f"There is no known model {name!r}.", hint=f"known: {', '.join(KNOWN)}"
        )
    offline = _offline()
    if progress and not offline:
        print(f"{name} is not here yet: pulling it ({KNOWN[name].bytes / 1e6:.0f} MB).", flush=True)
    environment = {**os.environ, "LLAMA_GO_PYTHON": sys.executable}
    if offline:
        environment["LLAMA_GO_OFFLINE"] = "1"
    with (
        Bar(f"pulling {name}", shown=progress) as bar,
        subprocess.Popen(
            [find_binary(), "pull", name, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        ) as process,
    ):
        try:
            return _follow(process, bar)
        except BaseException:
            process.terminate()
            raise


def _follow(process: subprocess.Popen[str], bar: Bar) -> Path:
    """Read the lines of ``llama-go pull --json`` to its end."""
    assert process.stdout is not None and process.stderr is not None
    last: dict[str, Any] = {}
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if "done" in event:
            bar.update(int(event["done"]), int(event["total"]))
        else:
            last = event
    if "path" in last:
        return Path(last["path"])
    if "error" in last:
        error = from_kind(
            last.get("kind", "internal"), str(last["error"]), str(last.get("hint", ""))
        )
        raise error
    raise LlamaError(
        f"`llama-go pull` ended with status {process.wait()}: {process.stderr.read().strip()}"
    )


def _offline() -> bool:
    package = sys.modules[__package__]
    return bool(package.OFFLINE) or os.environ.get("LLAMA_GO_OFFLINE", "") not in ("", "0")


def _hub_snapshot(name: str) -> Path | None:
    """Return a model's folder in Hugging Face's cache, or None.

    What is not there is downloaded only where huggingface_hub is installed.
    """
    home = os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    folder = hub / f"models--{name.replace('/', '--')}"
    reference = folder / "refs" / "main"
    if reference.is_file():
        snapshot = folder / "snapshots" / reference.read_text(encoding="utf-8").strip()
        if (snapshot / "config.json").is_file():
            return snapshot
    if _offline():
        return None
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        return None
    print(f"Looking for {name} on Hugging Face.", flush=True)
    try:
        patterns = ["*.json", "*.safetensors", "*.model"]
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as e:
        raise MissingFileError(
            f"Checkpoint directory '{name}' does not exist.",
            hint=f"nor could it be had from Hugging Face: {e}",
        ) from e
