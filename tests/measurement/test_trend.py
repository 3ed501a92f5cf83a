"""The trend file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from porter.errors import SurroundingsFailed
from porter.measurement import trend


def test_lines_are_added(tmp_path: Path) -> None:
    file = tmp_path / "trend.jsonl"
    for number in range(3):
        trend.append(file, {"commit": f"c{number}"})
    assert [json.loads(line)["commit"] for line in file.read_text().splitlines()] == ["c0", "c1", "c2"]


def test_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "trend.jsonl"
    file.write_text('{"commit": "c0", "thr')
    trend.append(file, {"commit": "c1"})
    assert json.loads(file.read_text().splitlines()[1])["commit"] == "c1"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsFailed, match="cannot write"):
        trend.append(tmp_path, {"commit": "c0"})
