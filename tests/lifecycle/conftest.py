"""Fixtures that the tests of several lifecycle commands use."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bump_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that every test here fills and none empties."""
    return tmp_path_factory.mktemp("bump") / "cache"
