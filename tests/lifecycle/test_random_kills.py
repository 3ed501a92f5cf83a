"""Commands killed at random, see tests/kills.py: nothing half made, nobody left, nothing left after the next run.

PORTER_TEST_KILLS says how many.
"""

from __future__ import annotations

import os
from pathlib import Path

import kills


def test_commands_killed_at_random(tmp_path: Path) -> None:
    count = int(os.environ.get("PORTER_TEST_KILLS", "12"))
    said: list[str] = []
    results = kills.hunt(tmp_path, count, seed=1, say=said.append)
    assert [(each.case, each.signal, each.group, wrong) for each in results for wrong in each.wrong] == []
    assert len(results) >= len(kills.CASES), said
