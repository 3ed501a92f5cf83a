"""Waiting for another porter."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from porter.errors import EnvironmentFailed
from porter.files import locked


def test_a_lock_that_is_kept_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "folder/lock"
    started = time.monotonic()
    with (
        locked(path, 0.0, "busy"),
        pytest.raises(EnvironmentFailed, match="somebody is at work") as caught,
        locked(path, 0.2, "somebody is at work", "Wait."),
    ):
        pass
    assert caught.value.hint == "Wait." and time.monotonic() - started >= 0.2
    with locked(path, 0.0, "busy"):
        pass


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailed, match="cannot write"), locked(tmp_path / "file/lock", 0.0, "busy"):
        pass
