"""porter doctor in real environments: virtual environments, installed wheels, plugins that break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
from sources import make_wheel
from stacks import CHECKOUT, porter

pytestmark = pytest.mark.usefixtures("own_home")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


class Environment:
    """A virtual environment; ``seeing`` one sees what this Python has as well."""

    def __init__(self, path: Path, seeing: bool) -> None:
        venv.EnvBuilder(with_pip=False, symlinks=True).create(path)
        self.python = path / "bin" / "python"
        (self.site,) = path.glob("lib/python*/site-packages")
        if seeing:
            seen = [folder for folder in sys.path if folder.endswith("-packages")]
            (self.site / "seen.pth").write_text("".join(f"{folder}\n" for folder in seen))

    def install(self, wheel: Path) -> None:
        """With pip, nothing else."""
        subprocess.run([*PIP, "install", "--no-index", "--no-deps", "--target", self.site, wheel], check=True)

    def module(self, name: str, text: str) -> None:
        """A package of this name."""
        (self.site / name).mkdir()
        (self.site / name / "__init__.py").write_text(text)


@pytest.fixture
def seeing(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "seeing", seeing=True)


def test_this_python(tmp_path: Path) -> None:
    began = time.monotonic()
    done = porter("doctor", cwd=CHECKOUT)
    assert time.monotonic() - began < 30  # 2 s on two idle cores; benchmarks measure
    assert done.returncode == 0, done.stdout + done.stderr
    for heading in "machine", "python", "mlu plugin", "tpu plugin":
        assert f"{heading}\n  " in done.stdout
    assert "training on the cpu can work here (0 problems, " in done.stdout


def test_an_empty_environment(tmp_path: Path) -> None:
    empty = Environment(tmp_path / "empty", seeing=False)
    done = porter("doctor", "--python", empty.python, "--json", cwd=CHECKOUT)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["can_train"] is False and found["python"]["virtual"] is True
    troubles = {trouble["trap"]: trouble for trouble in found["troubles"] if trouble["level"] == "problem"}
    assert set(troubles) == {"torch", "packages"}
    assert "numpy" in troubles["packages"]["what"] and f"{empty.python} -m pip install" in troubles["packages"]["do"]


def test_pypis_torch_tpu_and_a_torchvision_of_another_torch(seeing: Environment, tmp_path: Path) -> None:
    (seeing.site / "torchvision-0.1.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1\nRequires-Dist: torch (==1.2.3)\n"
    (seeing.site / "torchvision-0.1.dist-info" / "METADATA").write_text(metadata)
    seeing.install(make_wheel(tmp_path, "torch_tpu", "0.2.0", {"torch_tpu/__init__.py": b"raise SystemExit(9)\n"}))
    done = porter("doctor", "--target", "tpu", "--python", seeing.python, cwd=CHECKOUT)
    assert done.returncode == 1
    assert "problem: torch-tpu 0.2.0 is installed, PyPI's project of that name" in done.stdout, done.stdout
    assert "is built for torch 1.2.3" in done.stdout
    assert "torch_tpu is not installed [plugin]" in done.stdout
    assert "porter verify --target tpu proves a tree on an emulated one" in done.stdout


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise OSError('libcnrt.so.6: cannot open shared object file')", "torch_mlu does not load: OSError: libcnrt"),
        ("import os; os.abort()", "torch_mlu does not load: the interpreter died of SIGABRT while torch_mlu loaded"),
        ("import torch", "torch_mlu loads, but it has no torch.mlu.is_available, and a tensor on mlu raises"),
        (
            "import torch, types, os\n"
            "torch.mlu = types.SimpleNamespace(is_available=lambda: True, device_count=lambda: 1)\n"
            "torch.nn.Module.to = lambda *_: os.abort()",
            "the mlu does not compute: the interpreter died of SIGABRT while torch_mlu computed",
        ),
    ],
)
def test_plugins_that_break(seeing: Environment, code: str, says: str) -> None:
    seeing.module("torch_mlu", code + "\n")
    done = porter("doctor", "--target", "mlu", "--python", seeing.python, cwd=CHECKOUT)
    assert done.returncode == 1, done.stderr
    assert says in done.stdout


def test_wrong_usage(tmp_path: Path) -> None:
    done = porter("doctor", "--target", "abacus", cwd=CHECKOUT)
    assert (done.returncode, done.stdout) == (2, "") and "there is no target 'abacus'" in done.stderr
    for exe in "/bin/true", "no-python":
        done = porter("doctor", "--python", exe, cwd=CHECKOUT)
        assert done.returncode == 2 and f"{exe} is not a Python that answers" in done.stderr, done.stderr


def test_ctrl_c_while_a_python_does_not_answer(tmp_path: Path) -> None:
    slow = tmp_path / "python"
    slow.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\nexec sleep 600\n")
    slow.chmod(0o755)
    command = [sys.executable, "-m", "porter", "doctor", "--python", str(slow)]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, cwd=CHECKOUT, env=env, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not (tmp_path / "pids").exists() or len((tmp_path / "pids").read_text().split()) < 2:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
        process.send_signal(2)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in errors) == (130, False), errors
    for pid in (tmp_path / "pids").read_text().split():
        assert not Path("/proc", pid).exists()
