"""What the tests of porter compare share: a tree, and the emulated device in porter's own cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from stacks import CHECKOUT

import porter
from porter.project import Project

SMALL = {"cfg": "yolov5n.yaml", "img": 64, "batch": 2, "threads": 1, "project": Project(CHECKOUT)}


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return porter.apply("mlu", tmp_path_factory.mktemp("compare") / "tree", project=Project(CHECKOUT)).path


@pytest.fixture
def emulated(tmp_path: Path, built_emulator: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file for other kernels of the emulated device, which is built already; it has none yet."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "emulator").symlink_to(built_emulator.parent)
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    kernels = tmp_path / "wrong.py"
    kernels.write_text("KERNELS = {}\n")
    monkeypatch.setenv("PORTER_EMULATED_KERNELS", str(kernels))
    monkeypatch.chdir(tmp_path)
    return kernels
