"""Temporary folders: whose they are, and what becomes of those that a killed run left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stacks import CHECKOUT, porter

from porter.errors import EnvironmentFailed
from porter.files import write_file
from porter.temporary import own_folder, temporary_folder

KILLED = """
import os, signal, sys
from pathlib import Path
{imported}
with {block} as made:
    path = getattr(made, "path", made)
    (Path(path) / "file").write_text("x" * 1000)
    print(path, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
# what makes a temporary folder, and how the next run is asked for the same
KINDS = {
    "folder": ("from porter.temporary import temporary_folder", "temporary_folder('porter-test-')"),
    "in memory": ("from porter.temporary import temporary_folder", "temporary_folder('porter-test-', quick=True)"),
    "repository": ("from porter.git import scratch", "scratch()"),
    "in a folder of ours": (
        "from porter.temporary import temporary_folder",
        "temporary_folder('staging-', os.environ['PLACE'])",
    ),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    yield tmp_path / "tmp"
    assert os.listdir(tmp_path / "tmp") == []


def killed(kind: str, place: Path) -> Path:
    """The folder that a run had made when it was killed."""
    imported, block = KINDS[kind]
    code = KILLED.format(imported=imported, block=block)
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PLACE": str(place)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return Path(done.stdout.strip())


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_killed_run_left_is_removed_by_the_next(root: Path, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    left = killed(kind, place)
    assert left.exists()
    with temporary_folder("staging-", str(place)) if "ours" in kind else temporary_folder("porter-other-") as made:
        assert not left.exists() and made.exists()
    assert os.listdir(place) == []


def test_a_command_that_makes_none_removes_it_too(root: Path, tmp_path: Path) -> None:
    left = killed("repository", tmp_path)
    assert left.is_dir()
    assert porter("targets", cwd=CHECKOUT).returncode == 0
    assert not left.exists()


def test_one_in_use_is_left_alone(root: Path) -> None:
    with temporary_folder("porter-a-") as one, temporary_folder("porter-b-") as other:
        assert one.is_dir() and other.is_dir() and one.parent == other.parent == root / f"porter-{os.geteuid()}"
        assert one.parent.stat().st_mode & 0o777 == 0o700


def test_one_that_is_kept_is_not_removed_by_the_next(root: Path) -> None:
    with temporary_folder("porter-a-", keep=True) as kept:
        pass
    with temporary_folder("porter-a-"):
        assert kept.is_dir()
    kept.rmdir()


@pytest.mark.parametrize("kind", ["link", "open to others", "file", "somebody else's"])
def test_a_folder_that_is_not_the_users_alone_is_refused(root: Path, tmp_path: Path, kind: str) -> None:
    own = root / f"porter-{os.geteuid()}"
    victim = tmp_path / "victim"
    (victim / "porter-old").mkdir(parents=True)
    if kind == "link":
        own.symlink_to(victim)
    elif kind == "file":
        own.touch()
    else:
        own.mkdir()
        own.chmod(0o777 if kind == "open to others" else 0o700)
        if kind == "somebody else's" and os.geteuid() == 0:
            os.chown(own, 65534, 65534)
        elif kind == "somebody else's":
            own.chmod(0o750)  # who is not root cannot give a folder away
    with pytest.raises(EnvironmentFailed, match="yours alone") as error, temporary_folder("porter-a-"):
        pass
    assert "TMPDIR" in error.value.hint
    assert (victim / "porter-old").is_dir()
    own.unlink() if kind in ("link", "file") else own.rmdir()
    with temporary_folder("porter-a-"):
        assert own_folder(str(root)) == own


def test_new_bytes_that_a_killed_run_left_beside_a_file_are_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom porter import files\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_file(Path(sys.argv[1]), b'new')\n"
    )
    (tmp_path / "file").write_bytes(b"old")
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, check=False)
    assert done.returncode == -signal.SIGKILL and len(os.listdir(tmp_path)) == 2
    (tmp_path / ".file.porter-mine").mkdir()  # as staged() makes it
    write_file(tmp_path / "other", b"x")
    assert (tmp_path / "file").read_bytes() == b"old" and len(os.listdir(tmp_path)) == 4
    write_file(tmp_path / "file", b"new")
    assert sorted(os.listdir(tmp_path)) == [".file.porter-mine", "file", "other"]


def test_new_bytes_that_are_being_written_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, inner = os.fsync, iter([b"inner"])

    def fsync(handle: int) -> None:
        for data in inner:
            write_file(tmp_path / "file", data)
            assert (tmp_path / "file").read_bytes() == b"inner"
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_file(tmp_path / "file", b"outer")
    assert (tmp_path / "file").read_bytes() == b"outer" and os.listdir(tmp_path) == ["file"]
