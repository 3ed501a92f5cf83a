"""Fixtures of the tests with the vendors' own wheels."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from stacks import CHECKOUT

from . import stubs, wheels

TARGETS = ("npu", "tpu")


@dataclass(frozen=True)
class Broken:
    """A Python that has torch_npu and no CANN and, where it is to be had for this torch, Google's torch_tpu.

    Attributes:
        tree: with the stacks of npu and tpu.
        targets: those whose plugin is there and cannot be used.
    """

    python: Path
    tree: Path
    targets: tuple[str, ...]

    def run(self, *words: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name != "TORCH_DEVICE_BACKEND_AUTOLOAD"}
        env.update(OMP_NUM_THREADS="1", **variables)
        command = [str(self.python), *map(str, words)]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="session")
def torch_npu() -> Path:
    return wheels.torch_npu()


@pytest.fixture(scope="session")
def cann(torch_npu: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with libraries that stand in for CANN's."""
    return stubs.build(torch_npu, tmp_path_factory.mktemp("cann") / "lib")


@pytest.fixture(scope="session")
def porters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which porter runs, with a cache of this session."""
    cache = str(tmp_path_factory.mktemp("porter") / "cache")
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), "PORTER_CACHE": cache}


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, porters: dict[str, str]) -> Path:
    import sys

    made = tmp_path_factory.mktemp("plugins") / "tree"
    words = [word for target in TARGETS for word in ("--target", target)]
    command = [sys.executable, "-m", "porter", "apply", *words, str(made)]
    done = subprocess.run(command, env=porters, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="session")
def broken(torch_npu: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Broken:
    seen = [torch_npu, *([wheels.googles_torch_tpu()] if "tpu" in wheels.TARGETS else [])]
    return Broken(wheels.interpreter(tmp_path_factory.mktemp("broken") / "env", *seen), tree, wheels.TARGETS)
