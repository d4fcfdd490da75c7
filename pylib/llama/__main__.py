"""``python -m llama VERB``: the verbs of the llama-go binary, run with this Python."""

from __future__ import annotations

import os
import subprocess
import sys

from ._errors import LlamaError
from ._launch import find_binary


def main(args: list[str]) -> int:
    """Run ``llama-go`` with args and return its exit status."""
    try:
        binary = find_binary()
    except LlamaError as e:
        print(f"llama: {e} ({e.hint})", file=sys.stderr)
        return 1
    environment = {**os.environ, "LLAMA_GO_PYTHON": sys.executable}
    with subprocess.Popen([binary, *(args or ["--help"])], env=environment) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the terminal sent it to the binary too, which ends
                continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
