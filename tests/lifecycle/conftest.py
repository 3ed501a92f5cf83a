"""Fixtures that the tests of several lifecycle commands use."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from histories import Line

from porter.project import Project


@pytest.fixture(scope="session")
def bump_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that every test here fills and none empties."""
    return tmp_path_factory.mktemp("bump") / "cache"


@pytest.fixture
def bumping(
    synthetic_line: Line, bump_cache: Path, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """The stacks for v6.0 of the history of tests/histories.py, in a folder of their own, which is the current one."""
    shutil.copytree(synthetic_line.project.root, tmp_path / "project", symlinks=True)
    monkeypatch.setenv("PORTER_CACHE", str(bump_cache))
    monkeypatch.chdir(tmp_path / "project")
    return Project(tmp_path / "project")
