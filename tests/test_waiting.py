"""Waiting for another porter."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from porter.errors import SurroundingsFailed
from porter.files import lock_file


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)


def test_a_lock_that_is_kept_is_given_up(tmp_path: Path) -> None:
    first, second = opened(tmp_path / "lock"), opened(tmp_path / "lock")
    lock_file(first, 0.0, "busy")
    started = time.monotonic()
    with pytest.raises(SurroundingsFailed, match="somebody is at work") as caught:
        lock_file(second, 0.2, "somebody is at work", "Wait.")
    assert caught.value.hint == "Wait." and time.monotonic() - started >= 0.2
    os.close(first)
    lock_file(second, 0.0, "busy")
    os.close(second)
