"""Build hook: the wheel carries the Go binary and the Jupyter kernelspec.

The binary is built from the repository around this folder, or taken from
``LLAMA_GO_BIN``; kernel.json is what that binary prints. For another platform set
``GOOS``/``GOARCH``, as Go does, and the wheel gets that platform's tag.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LOGOS = ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg")
KERNEL_DIR = "share/jupyter/kernels/llama-go"
OS_NAMES = {"Linux": "linux", "Darwin": "darwin", "Windows": "windows"}
ARCH_NAMES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
TAGS = {
    ("linux", "amd64"): "manylinux_2_17_x86_64.musllinux_1_1_x86_64",
    ("linux", "arm64"): "manylinux_2_17_aarch64.musllinux_1_1_aarch64",
    ("darwin", "amd64"): "macosx_11_0_x86_64",
    ("darwin", "arm64"): "macosx_11_0_arm64",
    ("windows", "amd64"): "win_amd64",
    ("windows", "arm64"): "win_arm64",
}


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Put binary and kernelspec into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build before the wheel is packed; an editable install gets the same files."""
        goos = os.environ.get("GOOS") or OS_NAMES.get(platform.system(), "")
        goarch = os.environ.get("GOARCH") or ARCH_NAMES.get(platform.machine(), "")
        if (goos, goarch) not in TAGS:
            sys.exit(f"llama-go has no wheel for {platform.system()} on {platform.machine()}.")
        name = "llama-go.exe" if goos == "windows" else "llama-go"
        # Goes when this process ends: asking for metadata alone calls no finalize.
        self._folder = tempfile.TemporaryDirectory(prefix="llama-go-wheel-")
        folder = Path(self._folder.name)
        binary = folder / name
        root = Path(self.root).parent
        given = os.environ.get("LLAMA_GO_BIN")
        if given:
            shutil.copy2(given, binary)
        else:
            self._go_build(root, binary, goos, goarch)
        spec = folder / "kernel.json"
        spec.write_text(self._kernel_json(root, binary, goos), encoding="utf-8")
        build_data["shared_scripts"][str(binary)] = name
        build_data["shared_data"][str(spec)] = f"{KERNEL_DIR}/kernel.json"
        for logo in LOGOS:
            file = root / "kernelspec" / "assets" / logo
            build_data["shared_data"][str(file)] = f"{KERNEL_DIR}/{logo}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = False
        build_data["tag"] = f"py3-none-{TAGS[goos, goarch]}"

    def _go_build(self, root: Path, binary: Path, goos: str, goarch: str) -> None:
        module = root / "go.mod"
        if not module.is_file():
            sys.exit(
                f"llama-go: there is no Go module in {root}. Install from a wheel, from the "
                "repository (pip install ./pylib), or set LLAMA_GO_BIN to a built binary."
            )
        wanted = re.search(r"^go (\S+)", module.read_text(encoding="utf-8"), re.MULTILINE)
        need = f"Go {wanted[1] if wanted else ''} or newer"
        if shutil.which("go") is None:
            sys.exit(
                f"llama-go: building it needs {need} (https://go.dev/dl) and there is no `go` "
                "command. Use a wheel, or set LLAMA_GO_BIN to a built binary."
            )
        flags = f"-s -w -X main.version=v{self.metadata.version}"
        done = subprocess.run(
            ["go", "build", "-trimpath", f"-ldflags={flags}", "-o", str(binary), "."],
            cwd=root,
            env={**os.environ, "CGO_ENABLED": "0", "GOOS": goos, "GOARCH": goarch},
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"llama-go: `go build` failed (it needs {need}); its messages are above.")

    def _kernel_json(self, root: Path, binary: Path, goos: str) -> str:
        """Return kernel.json as the binary prints it, or a built one for this machine does."""
        command = [str(binary)]
        if goos != OS_NAMES.get(platform.system()) or os.environ.get("GOARCH"):
            command = ["go", "run", "."]
        environment = {k: v for k, v in os.environ.items() if k not in ("GOOS", "GOARCH")}
        done = subprocess.run(
            [*command, "install", "--print-spec", "--goos", goos],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            spec = json.loads(done.stdout)
        except ValueError:
            sys.exit(f"llama-go: the binary printed no kernel.json: {done.stderr.strip()}")
        return json.dumps(spec, indent=2) + "\n"
