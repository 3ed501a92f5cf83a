"""``porter upstream fetch|show|verify`` as a person runs them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from sources import closed_port, git
from stacks import porter

from porter.lockfile import Lock
from porter.project import Project
from porter.sources.cache import Cache

NOBODY = f"http://127.0.0.1:{closed_port()}/small.git"


@pytest.fixture
def cold(project: Project, own_home: Path) -> Project:
    """A project, and a cache with nothing in it."""
    assert not (own_home / "cache").exists()
    return project


def cache_state(project: Project) -> dict[str, object]:
    done = porter("upstream", "show", "--json", cwd=project.root)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)["cache"]
    return found


def test_fetch_then_show_then_verify(cold: Project) -> None:
    lock = Lock.load(cold.lock_path)
    assert cache_state(cold)["state"] == "nothing"
    done = porter("upstream", "fetch", cwd=cold.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "all 11 files are in the cache" in done.stdout
    held = cache_state(cold)
    assert (held["state"], held["files"], held["missing"]) == ("whole", 11, [])
    assert held["path"] == str(Cache().folder)
    shown = porter("upstream", "show", cwd=cold.root).stdout
    for text in (lock.pin.name, lock.pin.tag, lock.pin.commit, lock.pin.tree, lock.pin.license, str(lock.sources[0])):
        assert text in shown
    done = porter("upstream", "verify", cwd=cold.root)
    assert done.returncode == 0
    assert "17 objects, each with the id that upstream.lock says" in done.stdout


def test_show_asks_nobody_and_writes_nothing(cold: Project) -> None:
    porter("upstream", "show", cwd=cold.root)
    assert not Cache().folder.exists()


def test_verify_of_a_damaged_cache_names_the_file_and_fetch_mends_it(cold: Project) -> None:
    porter("upstream", "fetch", cwd=cold.root)
    pack = next(Cache().repository.path.glob("objects/pack/*.pack"))
    data = pack.read_bytes()
    at = len(data) // 2  # in bus.jpg, which is most of it
    pack.chmod(0o644)
    pack.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    done = porter("upstream", "verify", cwd=cold.root)
    assert done.returncode == 1
    pinned = Lock.load(cold.lock_path).pin.files
    assert any(f"{path}: expected {entry.id}, found " in done.stdout for path, entry in pinned.items()), done.stdout
    assert cache_state(cold)["state"] == "damaged"
    done = porter("upstream", "fetch", cwd=cold.root)
    assert done.returncode == 0
    assert "the cache is damaged and is made anew" in done.stderr
    assert porter("upstream", "verify", cwd=cold.root).returncode == 0


def test_verify_of_an_empty_cache_fails(cold: Project) -> None:
    done = porter("upstream", "verify", cwd=cold.root)
    assert done.returncode == 1
    assert "porter upstream fetch" in done.stderr


@pytest.mark.parametrize(
    ("upstream", "status", "says"),
    [
        (NOBODY, 3, "cannot fetch from http://127.0.0.1:"),
        ("nowhere/at/all", 2, "there is no nowhere/at/all"),
        ("--upload-pack=x", 2, "is not the path or URL"),
        (".", 2, "is not a git repository"),
    ],
    ids=["no-server", "no-folder", "an-option", "no-repository"],  # the port is another each time
)
def test_a_source_that_is_none(upstream: str, status: int, says: str, cold: Project) -> None:
    done = porter("upstream", "fetch", f"--upstream={upstream}", cwd=cold.root)
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    again = porter("upstream", "fetch", cwd=cold.root, env={"PORTER_UPSTREAM": upstream})
    assert (again.returncode, again.stderr) == (status, done.stderr)


def test_wrong_bytes_end_with_1(cold: Project, made: Path, tmp_path: Path) -> None:
    git("clone", "-q", "--no-hardlinks", made / "small", tmp_path / "bad", cwd=tmp_path)
    blob = Lock.load(cold.lock_path).pin.files["train.py"].id
    path = tmp_path / "bad/.git/objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(b"nonsense")
    done = porter("upstream", "fetch", "--upstream", tmp_path / "bad", cwd=cold.root)
    assert done.returncode == 1
    assert "train.py is not what it should be" in done.stderr
    assert f"expected {blob}" in done.stderr


@pytest.mark.parametrize("command", ["fetch", "show", "verify"])
def test_a_cache_folder_that_cannot_be(command: str, cold: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = porter("upstream", command, cwd=cold.root, env={"PORTER_CACHE": str(tmp_path / "file/cache")})
    assert done.returncode == 3
    assert "PORTER_CACHE" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_git(cold: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = porter("upstream", "fetch", cwd=cold.root, env={"PATH": str(tmp_path / "empty")})
    assert done.returncode == 3
    assert "git is not installed" in done.stderr
    assert not list(Cache().folder.glob("staging-*"))


def test_a_lock_that_makes_no_sense(cold: Project) -> None:
    cold.lock_path.write_text("pin: [\n")
    for command in ("fetch", "show", "verify"):
        done = porter("upstream", command, cwd=cold.root)
        assert done.returncode == 2
        assert f"{cold.lock_path}, line 2: not YAML" in done.stderr


def test_sigterm_in_the_middle_of_a_fetch_leaves_nothing(cold: Project) -> None:
    import signal
    import subprocess
    import sys

    from sources import mute_server
    from stacks import CHECKOUT

    with mute_server() as (port, called):
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        command = [sys.executable, "-m", "porter", "upstream", "fetch", "--upstream", f"http://127.0.0.1:{port}/x"]
        process = subprocess.Popen(command, cwd=cold.root, env=env, stderr=subprocess.DEVNULL)
        called()  # by git, which waits for an answer from now on
        assert list(Cache().folder.glob("staging-*"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    assert os.listdir(Cache().folder) == ["lock"]
