"""Inputs of people who mean no good, see tests/hostile.py: nothing runs, nothing hangs, nothing ends with 70.

PORTER_TEST_HOSTILE says how many.
"""

from __future__ import annotations

import os
from pathlib import Path

import hostile
import pytest


@pytest.mark.long
def test_inputs_are_taken_or_refused(tmp_path: Path) -> None:
    said: list[str] = []
    count = int(os.environ.get("PORTER_TEST_HOSTILE", "30"))
    assert hostile.hunt(tmp_path / "place", count, seed=1, say=said.append) == [], "\n".join(said)
