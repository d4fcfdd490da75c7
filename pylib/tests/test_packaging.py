"""pip install of the repository, and of a wheel, into new environments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent.parent


def run(*command: object, **environment: str) -> str:
    base = {k: v for k, v in os.environ.items() if not k.startswith(("LLAMA_GO_", "PYTHON"))}
    done = subprocess.run(
        [str(c) for c in command],
        cwd="/",
        env={**base, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(binary: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, HERE]
    run(*pip, LLAMA_GO_BIN=binary)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_contents(wheel: Path) -> None:
    assert wheel.name.startswith("llama_go-0.1.0-py3-none-")
    assert not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        data = "llama_go-0.1.0.data"
        script = z.getinfo(f"{data}/scripts/llama-go")
        spec = f"{data}/data/share/jupyter/kernels/llama-go"
        assert script.file_size > 1_000_000
        kernel = json.loads(z.read(f"{spec}/kernel.json"))
    assert kernel["argv"][0] == "{resource_dir}/../../../../bin/llama-go"
    assert kernel["argv"][1:] == ["kernel", "-f", "{connection_file}"]
    for logo in ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg"):
        assert f"{spec}/{logo}" in names
    assert "llama/py.typed" in names
    assert not any(n.startswith(("tests/", "conftest")) for n in names)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=True)
    try:
        run(folder / "bin" / "python", "-m", "pip", "install", "-q", wheel)
    except AssertionError as e:
        if "No matching distribution" in str(e) or "Could not find a version" in str(e):
            pytest.skip("no package index to install the dependencies from")
        raise
    return folder


def test_the_kernelspec_is_found(environment: Path) -> None:
    python = environment / "bin" / "python"
    found = json.loads(run(environment / "bin" / "jupyter-kernelspec", "list", "--json"))
    spec = found["kernelspecs"]["llama-go"]
    assert Path(spec["resource_dir"]).resolve().is_relative_to(environment.resolve())
    code = (
        "from jupyter_client.kernelspec import KernelSpecManager as K; import os;"
        "s = K().get_kernel_spec('llama-go');"
        "print(os.path.realpath(s.argv[0].replace('{resource_dir}', s.resource_dir)))"
    )
    assert run(python, "-c", code).strip() == os.path.realpath(environment / "bin" / "llama-go")


def test_the_library_finds_its_binary(environment: Path, tmp_path: Path) -> None:
    code = "from llama._launch import find_binary as f; import llama; print(f(), llama.__version__)"
    out = run(environment / "bin" / "python", "-c", code, HOME=str(tmp_path), PATH="/nowhere")
    assert out.split() == [str(environment / "bin" / "llama-go"), "0.1.0"]


def test_a_model_runs_there(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    import tempfile

    code = (
        "from llama import ModelArgs, Transformer, shutdown;"
        "m = Transformer(ModelArgs(dim=64, n_layers=1, n_heads=4, vocab_size=50));"
        "print(len(m.generate([[1, 2]], 3, ignore_eos=True)[0])); shutdown()"
    )
    with tempfile.TemporaryDirectory(prefix="lg-") as folder:
        out = run(environment / "bin" / "python", "-W", "error", "-c", code,
                  LLAMA_GO_RUNTIME=folder)  # fmt: skip
    assert out.strip() == "3"


def test_without_go_the_message_says_what_to_do(tmp_path: Path) -> None:
    base = {k: v for k, v in os.environ.items() if not k.startswith("LLAMA_GO_")}
    code = (
        "import sys; sys.argv = ['x']; sys.path.insert(0, '.');"
        "from hatchling.build import build_wheel; build_wheel(sys.argv[0] + '-out')"
    )
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    done = subprocess.run(
        [sys.executable, "-c", code.replace("'x'", repr(str(tmp_path / "x")))],
        cwd=HERE,
        env={**base, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "needs Go 1." in done.stderr and "LLAMA_GO_BIN" in done.stderr
