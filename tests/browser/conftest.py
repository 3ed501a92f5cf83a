"""A browser for the tests of the pages, one a session.

Without one they are skipped; where PORTER_TEST_BROWSER names one, as ``.ci/run`` does, they have to run.  nox leaves
them out: the pages are the same under every Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .devtools import Browser, find


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find()
    assert program is not None  # else the tests are deselected
    made = Browser(program, tmp_path_factory.mktemp("browser") / "profile")
    yield made
    made.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots of a test go; pytest keeps them for whoever wants to look."""
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"
