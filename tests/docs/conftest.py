"""Fixtures of the tests of what people read."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.lockfile import Lock
from porter.project import Project

from .pages import ROOT
from .shell import mirror


@pytest.fixture(scope="session")
def lock() -> Lock:
    return Lock.load(Project.find(ROOT).lock_path)


@pytest.fixture(scope="session")
def upstream(lock: Lock, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that stands in for upstream's on GitHub."""
    return mirror(lock, tmp_path_factory.mktemp("upstream"))
