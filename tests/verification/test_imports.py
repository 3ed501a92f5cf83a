"""Three-way merging with imports merged by name."""

from __future__ import annotations

import pytest

from porter.verification.imports import merge

BASE = b"import os\nfrom utils import a\nfrom utils.b import c, d\n\n\ndef f():\n    return 1\n"


def test_both_changes() -> None:
    ours, theirs = BASE.replace(b"import os\n", b"import os\nimport sys\n"), BASE.replace(b"return 1", b"return 2")
    merged = BASE.replace(b"import os\n", b"import os\nimport sys\n").replace(b"return 1", b"return 2")
    assert merge(ours, BASE, theirs) == merged


def test_a_conflict() -> None:
    assert merge(BASE.replace(b"return 1", b"return 3"), BASE, BASE.replace(b"return 1", b"return 2")) is None


def test_neighbouring_imports() -> None:
    ours = BASE.replace(b"from utils import a\n", b"")
    theirs = BASE.replace(b"c, d", b"c, d, e")
    assert merge(ours, BASE, theirs) == b"import os\nfrom utils.b import c, d, e\n\n\ndef f():\n    return 1\n"


def test_names_of_one_import() -> None:
    ours = BASE.replace(b"c, d", b"c")
    theirs = BASE.replace(b"c, d", b"c, d, e")
    assert merge(ours, BASE, theirs) == BASE.replace(b"c, d", b"c, e")


def test_an_import_that_both_add() -> None:
    ours = BASE.replace(b"import os\n", b"import os\nimport re\nimport sys\n")
    theirs = BASE.replace(b"import os\n", b"import os\nimport sys\n")
    merged = merge(ours, BASE, theirs)
    assert merged is not None and merged.count(b"import sys\n") == 1 and b"import re\n" in merged


def test_imports_beside_code_conflict() -> None:
    ours = BASE.replace(b"from utils.b import c, d\n", b"X = 1\n")
    theirs = BASE.replace(b"c, d", b"c, d, e")
    assert merge(ours, BASE, theirs) is None


@pytest.mark.parametrize("side", [0, 1, 2])
def test_an_unchanged_side_changes_nothing(side: int) -> None:
    sides = [BASE, BASE, BASE]
    sides[side] = BASE.replace(b"return 1", b"return 2")
    expected = {0: sides[0], 1: BASE, 2: sides[2]}[side]
    if side == 1:  # both sides are alike and differ from the base: git takes the change once
        sides = [BASE.replace(b"return 1", b"return 2"), BASE, BASE.replace(b"return 1", b"return 2")]
        expected = sides[0]
    assert merge(*sides) == expected
