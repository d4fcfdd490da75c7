#!/usr/bin/env python3
"""Runs notebooks through a real Jupyter client and shows them in the terminal.

    notebooks/run.py [--write] NOTEBOOK ...

Code, streamed text and errors appear as they happen. With --write the outputs
are stored in the notebook. The exit code is 1 when a cell fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import nbclient
import nbformat
from jupyter_client.manager import AsyncKernelManager
from traitlets import default

CELL_TIMEOUT_S = 300  # the first cell may pull 93 MB


class IpcKernelManager(AsyncKernelManager):
    """Starts kernels on sockets in files: nobody else can read the outputs."""

    sockets = ""  # a folder

    @default("transport")
    def _ipc(self) -> str:
        return "ipc"

    @default("ip")
    def _in_folder(self) -> str:
        return f"{self.sockets}/k"


class TerminalClient(nbclient.NotebookClient):
    """Executes cells and prints what they print, when they print it."""

    shown: ClassVar[dict[str, str]] = {}  # what a display reads so far, by its id
    open_line = False  # a display that may grow was printed last

    def process_message(
        self, msg: dict[str, Any], cell: nbformat.NotebookNode, cell_index: int
    ) -> Any:
        content = msg["content"]
        kind = msg["msg_type"]
        if kind == "stream":
            print(content["text"], end="", flush=True)
        elif kind in ("display_data", "execute_result"):
            text = content["data"].get("text/plain", "")
            live = self.remember(content, text)
            print("\n" * self.open_line + text, flush=True, end="" if live else "\n")
            self.open_line = live
        elif kind == "update_display_data":
            text = content["data"].get("text/plain", "")
            before = self.shown.get(content["transient"]["display_id"], "")
            print(text.removeprefix(before), end="", flush=True)
            self.remember(content, text)
        elif kind == "error":
            print("\n".join(content["traceback"]), flush=True)
        return super().process_message(msg, cell, cell_index)

    def remember(self, content: dict[str, Any], text: str) -> bool:
        """Keep the text of a display that may be updated; says whether it is one."""
        display_id = content.get("transient", {}).get("display_id")
        if display_id:
            self.shown[display_id] = text
        return bool(display_id)


def show(cell: nbformat.NotebookNode, cell_index: int) -> None:
    """Print a cell's source before it runs, marked as a prompt."""
    if cell.cell_type == "code" and cell.source.strip():
        grey, off = ("\x1b[90m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
        print()
        for i, line in enumerate(cell.source.splitlines()):
            print(f"{grey}{'In : ' if i == 0 else ' ... '}{line}{off}")


def execute(path: Path) -> nbformat.NotebookNode:
    """Run one notebook in its folder and return it with its outputs."""
    nb = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="nb-") as sockets:
        client = TerminalClient(
            nb,
            kernel_manager_class=type("Ipc", (IpcKernelManager,), {"sockets": sockets}),
            kernel_name=nb.metadata.kernelspec.name,
            timeout=CELL_TIMEOUT_S,
            resources={"metadata": {"path": str(path.parent)}},
            coalesce_streams=True,
            on_cell_start=show,
        )
        client.execute()
    return nb


def tidy(nb: nbformat.NotebookNode) -> None:
    """Leaves out what changes at every run and says nothing."""
    for cell in nb.cells:
        cell.get("metadata", {}).pop("execution", None)
    nb.metadata.pop("language_info", None)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="store the outputs in the notebook")
    parser.add_argument("notebook", nargs="+", type=Path)
    args = parser.parse_args()
    for path in args.notebook:
        try:
            nb = execute(path)
        except nbclient.exceptions.CellExecutionError as err:
            print(f"{path}: {err.ename}: {err.evalue}", file=sys.stderr)
            return 1
        if args.write:
            tidy(nb)
            nbformat.write(nb, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
