from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from porter.errors import EnvironmentFailed
from porter.files import LOCK, Taken, staged, sweep


def leftover(destination: Path, name: str = "0badcafe") -> Path:
    """What a killed run leaves."""
    folder = destination.with_name(f".{destination.name}.porter-{name}")
    (folder / LOCK).parent.mkdir(parents=True)
    (folder / LOCK).touch()
    (folder / "train.py").write_text("half")
    return folder


def test_a_finished_folder_is_in_its_place(tmp_path: Path) -> None:
    with staged(tmp_path / "a/tree") as folder:
        assert folder.path.parent == tmp_path / "a"
        (folder.path / "file").write_text("x")
        assert not (tmp_path / "a/tree").exists()
        folder.finish()
    assert (tmp_path / "a/tree/file").read_text() == "x"
    assert os.listdir(tmp_path / "a") == ["tree"]
    assert (tmp_path / "a/tree").stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_unfinished_folder_and_the_folders_above_are_gone(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), staged(tmp_path / "a/b/tree") as folder:
        (folder.path / "file").write_text("x")
        raise error
    assert os.listdir(tmp_path) == []


def test_folders_above_that_were_there_stay(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match="x"), staged(tmp_path / "a/b/tree"):
        raise ValueError("x")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_came_meanwhile_is_not_replaced(tmp_path: Path, what: str) -> None:
    with pytest.raises(Taken), staged(tmp_path / "tree") as folder:
        if what == "folder":
            (tmp_path / "tree").mkdir()
            (tmp_path / "tree/mine").touch()
        else:
            (tmp_path / "tree").touch()
        folder.finish()
    assert os.listdir(tmp_path) == ["tree"]


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with staged(tmp_path / "tree") as folder:
        folder.finish()
    assert (tmp_path / "tree" / LOCK).exists()


def test_leftovers_of_the_same_place_are_swept_and_no_others(tmp_path: Path) -> None:
    dead = leftover(tmp_path / "tree")
    half_swept = leftover(tmp_path / "tree", "1.dead")
    other = leftover(tmp_path / "trees")
    with staged(tmp_path / "tree"):
        assert not dead.exists()
        assert not half_swept.exists()
        assert other.exists()


@pytest.mark.parametrize("name", ["0badcafe", "0badcafe.dead"])
@pytest.mark.parametrize("left", [".git/porter", ".git", "."])
def test_leftovers_of_runs_killed_before_or_after_they_had_a_lock(tmp_path: Path, name: str, left: str) -> None:
    folder = tmp_path / f".tree.porter-{name}"
    (folder / left).mkdir(parents=True)
    sweep(tmp_path / "tree")
    assert os.listdir(tmp_path) == []


def test_a_living_one_is_left_alone(tmp_path: Path) -> None:
    alive = leftover(tmp_path / "tree")
    with (alive / LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(tmp_path / "tree")
        assert (alive / "train.py").exists()
    sweep(tmp_path / "tree")
    assert not alive.exists()


def test_two_at_once_do_not_see_each_other(tmp_path: Path) -> None:
    with staged(tmp_path / "tree") as one, staged(tmp_path / "tree") as other:
        assert one.path.exists()
        assert other.path.exists()
        other.finish()
        (tmp_path / "tree/mine").touch()
        with pytest.raises(Taken):
            one.finish()
    assert os.listdir(tmp_path) == ["tree"]


def test_names_that_look_like_patterns(tmp_path: Path) -> None:
    dead, other = leftover(tmp_path / "t[ab]*"), leftover(tmp_path / "ta")
    sweep(tmp_path / "t[ab]*")
    assert not dead.exists()
    assert other.exists()


def test_a_place_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFailed, match="cannot make"), staged(tmp_path / "file/tree"):
        pytest.fail("not reached")
