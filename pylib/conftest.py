"""Fixtures: a binary, a resident kernel of the tests' own, and small models."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tiny

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The llama-go binary: LLAMA_GO_BIN, or built from the repository."""
    named = os.environ.get("LLAMA_GO_BIN")
    if named:
        return named
    if shutil.which("go") is None:
        pytest.skip("no llama-go binary: LLAMA_GO_BIN is not set and there is no Go")
    path = tmp_path_factory.mktemp("bin") / "llama-go"
    environment = {**os.environ, "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", str(path), "."], cwd=ROOT, env=environment, check=True)
    return str(path)


@pytest.fixture(scope="session")
def kernel(binary: str) -> Iterator[str]:
    """A runtime folder of the tests' own: residents started in it end with the tests."""
    folder = tempfile.mkdtemp(prefix="lg-")  # short: it holds sockets
    saved = {k: os.environ.get(k) for k in ("LLAMA_GO_BIN", "LLAMA_GO_RUNTIME", "LLAMA_GO_IDLE")}
    os.environ.update(LLAMA_GO_BIN=binary, LLAMA_GO_RUNTIME=folder, LLAMA_GO_IDLE="10m")
    os.environ.pop("LLAMA_GO_CONNECTION", None)
    yield binary
    from llama import _rpc

    _rpc.disconnect()
    subprocess.run([binary, "stop", "--all", "--force"], check=True, capture_output=True)
    left = subprocess.run([binary, "ps"], check=True, capture_output=True, text=True).stdout
    for name, value in saved.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    shutil.rmtree(folder, ignore_errors=True)
    assert "no resident is running" in left


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model in Hugging Face's form, with a SentencePiece tokenizer."""
    return tiny.write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def llm(kernel: str, tiny_dir: Path) -> Any:
    """The small model, loaded: attaching again takes milliseconds."""
    from llama import Llama

    return Llama.build(tiny_dir, precision="exact", progress=False)


@pytest.fixture(scope="session")
def smollm2_path() -> str:
    """The smollm2 file: LLAMA_GO_SMOLLM2, or where it was pulled to."""
    from llama import _models

    there = _models.cache_dir() / "models" / _models.KNOWN["smollm2"].file
    path = os.environ.get("LLAMA_GO_SMOLLM2") or str(there)
    if not Path(path).is_file():
        pytest.skip(f"smollm2 is not here: no file {path} (python -m llama pull smollm2)")
    return path


@pytest.fixture(scope="session")
def testdata() -> Path:
    """The folder with public golden numbers."""
    folder = Path(os.environ.get("LLAMA_GO_TESTDATA") or ROOT.parent / "shared" / "testdata")
    if not (folder / "README.md").is_file():
        pytest.skip(f"no test material in {folder} (LLAMA_GO_TESTDATA names its folder)")
    return folder


@pytest.fixture(autouse=True)
def _doctest_names(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    """Give docstring examples ``llm`` and ``model``, where they use a kernel."""
    item = request.node
    if type(item).__name__ != "DoctestItem":
        return
    source = item.dtest.docstring
    if any(name in source for name in ("llm.", "model.")):
        llm = request.getfixturevalue("llm")
        doctest_namespace.update(llm=llm, model=llm.model)
