"""Find the llama-go binary, and through it the resident kernel.

Finding or starting the resident has one implementation, ``llama-go serve
--detach``: it takes a lock, attaches to the user's resident of this binary or
starts one, and prints the path of its connection file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from ._errors import KernelGoneError, MissingFileError

_NAME = "llama-go.exe" if os.name == "nt" else "llama-go"
_START_SECONDS = 30.0


def find_binary() -> str:
    """Return the path of the llama-go binary.

    Looked for in ``LLAMA_GO_BIN``, this environment's scripts, the user's
    scripts and ``PATH``, in this order.
    """
    named = os.environ.get("LLAMA_GO_BIN")
    if named:
        if not _is_program(Path(named)):
            raise MissingFileError(
                f"LLAMA_GO_BIN names {named!r}, which is not an executable file.",
                hint="set it to the path of a llama-go binary, or unset it",
            )
        return named
    for folder in _script_folders():
        candidate = folder / _NAME
        if _is_program(candidate):
            return str(candidate)
    found = shutil.which(_NAME)
    if found:
        return found
    raise MissingFileError(
        "The llama-go binary was not found in this environment's scripts, the user's scripts "
        "or PATH.",
        hint="install it with `pip install llama-go`, or set LLAMA_GO_BIN to its path",
    )


def find_or_start() -> Path:
    """Return the connection file of the resident kernel, starting one if needed.

    ``LLAMA_GO_CONNECTION`` names one explicitly; then nothing is started.
    """
    explicit = os.environ.get("LLAMA_GO_CONNECTION")
    if explicit:
        path = Path(explicit)
        if not path.is_file():
            raise MissingFileError(
                f"LLAMA_GO_CONNECTION names {explicit!r}, which does not exist.",
                hint="set it to the connection file of a running `llama-go serve`, or unset it",
            )
        return path
    output = run("serve", "--detach", timeout=_START_SECONDS)
    lines = output.strip().splitlines()
    if not lines or not Path(lines[-1]).is_file():
        raise KernelGoneError(
            f"`llama-go serve --detach` printed {output.strip()!r}, not a connection file's path.",
            hint="see `llama-go logs`",
        )
    return Path(lines[-1])


def run(*args: str, timeout: float | None = None) -> str:
    """Run the binary and return what it prints; its failure is a KernelGoneError."""
    command = [find_binary(), *args]
    shown = " ".join(["llama-go", *args])
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise KernelGoneError(
            f"`{shown}` did not finish within {timeout:.0f} s.", hint="see `llama-go logs`"
        ) from e
    except OSError as e:
        raise KernelGoneError(
            f"`{shown}` could not be run: {e}.", hint="see `llama-go doctor`"
        ) from e
    if done.returncode != 0:
        raise KernelGoneError(
            f"`{shown}` failed with exit status {done.returncode}: {done.stderr.strip()}",
            hint="see `llama-go logs` and `llama-go doctor`",
        )
    return done.stdout


def _script_folders() -> Iterator[Path]:
    yield Path(sysconfig.get_path("scripts"))
    try:
        yield Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
    except KeyError:  # a Python without a user scheme
        return


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
