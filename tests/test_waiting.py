"""Waiting for another porter."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from porter import waiting
from porter.errors import SurroundingsFailed


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)


def test_a_lock_that_is_kept_is_given_up(tmp_path: Path) -> None:
    first, second = opened(tmp_path / "lock"), opened(tmp_path / "lock")
    waiting.lock(first, 0.0, "busy")
    started = time.monotonic()
    with pytest.raises(SurroundingsFailed, match="somebody is at work") as caught:
        waiting.lock(second, 0.2, "somebody is at work", "Wait.")
    assert caught.value.hint == "Wait." and time.monotonic() - started >= 0.2
    os.close(first)
    waiting.lock(second, 0.0, "busy")
    os.close(second)
