"""The messages that Go's tests check too: both halves must read and write them alike."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "kernel" / "rpc" / "testdata"
FILES = sorted(FOLDER.glob("*.json"))


def test_there_are_golden_messages() -> None:
    assert FILES
