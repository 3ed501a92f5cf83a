"""Conflicts of imports, merged by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Optional

import pytest

from porter import git
from porter.verification.variants import merged_imports

Merge = Callable[[bytes, bytes, bytes], Optional[bytes]]
BASE = b"import os\nfrom utils import a\nfrom utils.b import c, d\n\n\ndef f():\n    return 1\n"


@pytest.fixture
def merge(tmp_path: Path) -> Merge:
    """Merge three sides with git, and resolve what it marks."""

    def made(*sides: bytes) -> bytes | None:
        for name, data in zip(("ours", "base", "theirs"), sides):
            (tmp_path / name).write_bytes(data)
        words = ("merge-file", "--quiet", "--stdout", "--diff3", "ours", "base", "theirs")
        return merged_imports(git.run(*words, cwd=tmp_path, status=range(128)))

    return made


def test_both_changes(merge: Merge) -> None:
    ours, theirs = BASE.replace(b"import os\n", b"import os\nimport sys\n"), BASE.replace(b"return 1", b"return 2")
    merged = BASE.replace(b"import os\n", b"import os\nimport sys\n").replace(b"return 1", b"return 2")
    assert merge(ours, BASE, theirs) == merged


def test_a_conflict(merge: Merge) -> None:
    assert merge(BASE.replace(b"return 1", b"return 3"), BASE, BASE.replace(b"return 1", b"return 2")) is None


def test_neighbouring_imports(merge: Merge) -> None:
    ours = BASE.replace(b"from utils import a\n", b"")
    theirs = BASE.replace(b"c, d", b"c, d, e")
    assert merge(ours, BASE, theirs) == b"import os\nfrom utils.b import c, d, e\n\n\ndef f():\n    return 1\n"


def test_names_of_one_import(merge: Merge) -> None:
    ours = BASE.replace(b"c, d", b"c")
    theirs = BASE.replace(b"c, d", b"c, d, e")
    assert merge(ours, BASE, theirs) == BASE.replace(b"c, d", b"c, e")


def test_an_import_that_both_add(merge: Merge) -> None:
    ours = BASE.replace(b"import os\n", b"import os\nimport re\nimport sys\n")
    theirs = BASE.replace(b"import os\n", b"import os\nimport sys\n")
    merged = merge(ours, BASE, theirs)
    assert merged is not None and merged.count(b"import sys\n") == 1 and b"import re\n" in merged


def test_imports_beside_code_conflict(merge: Merge) -> None:
    ours = BASE.replace(b"from utils.b import c, d\n", b"X = 1\n")
    theirs = BASE.replace(b"c, d", b"c, d, e")
    assert merge(ours, BASE, theirs) is None


@pytest.mark.parametrize("side", [0, 1, 2])
def test_an_unchanged_side_changes_nothing(side: int, merge: Merge) -> None:
    sides = [BASE, BASE, BASE]
    sides[side] = BASE.replace(b"return 1", b"return 2")
    expected = {0: sides[0], 1: BASE, 2: sides[2]}[side]
    if side == 1:  # both sides are alike and differ from the base: git takes the change once
        sides = [BASE.replace(b"return 1", b"return 2"), BASE, BASE.replace(b"return 1", b"return 2")]
        expected = sides[0]
    assert merge(*sides) == expected
