#!/usr/bin/env python3
"""What `make demo` shows.

A Python notebook chats with SmolLM2 through the resident kernel, and a second
client finds the model loaded.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from run import execute

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent

ATTACH = """
import time
from llama.generation import Llama
t = time.perf_counter()
llm = Llama.build("smollm2", progress=False)
print(f"{(time.perf_counter() - t) * 1000:.0f}")
"""


def main() -> int:
    print("== notebooks/00_hello.ipynb, on ipykernel, through a Jupyter client", flush=True)
    execute(HERE / "00_hello.ipynb")
    done = subprocess.run([sys.executable, "-c", ATTACH], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return 1
    ms = done.stdout.split()[-1]
    print(f"\n== a second Python process attached to the loaded model in {ms} ms\n", flush=True)
    subprocess.run([BIN / "llama-go", "ps"], check=True)
    print("\nThe resident goes on running, so that the next notebook starts at once.")
    print(f"  stop it: {BIN / 'llama-go'} stop")
    print(f"  chat in the terminal: {BIN / 'jupyter'} console --kernel llama-go")
    return 0


if __name__ == "__main__":
    sys.exit(main())
