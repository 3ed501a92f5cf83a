from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from sources import FILES, Heard, Upstream, closed_port, git, make_index, make_wheel, package_index, sha256

from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage
from porter.git.objects import Entry
from porter.lockfile import IndexSource, Part, Wheel
from porter.sources.cache import Cache
from porter.sources.obtain import cached, fetch, obtain, verify
from porter.sources.snapshot import Extent, extents

NOBODY = f"http://127.0.0.1:{closed_port()}"


@pytest.fixture
def git_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one line for every git that porter runs from now on."""
    log = tmp_path / "git-calls"
    log.touch()
    real = shutil.which("git")
    wrapper = tmp_path / "bin/git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$*" >> {log}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    return log


def test_sources_are_asked_in_order_and_each_failure_is_a_line(small: Upstream, tmp_path: Path) -> None:
    git("init", "-q", tmp_path / "empty", cwd=tmp_path)
    heard = Heard()
    lock = small.locked(
        f"{NOBODY}/a.git", str(tmp_path / "absent"), str(tmp_path / "empty"), str(small.path), f"{NOBODY}/z"
    )
    assert obtain(lock, progress=heard).base == small.pin.commit
    assert len(heard.notes) == 3
    assert heard.notes[0].startswith(f"git {NOBODY}/a.git: unable to access")
    assert "there is no" in heard.notes[1]
    assert "does not have example/small v6.0" in heard.notes[2]


def test_the_first_that_answers_is_enough(small: Upstream) -> None:
    heard = Heard()
    obtain(small.locked(str(small.path), f"{NOBODY}/z"), progress=heard)
    assert heard.notes == []


def test_if_all_fail_all_are_named(small: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"{NOBODY}/simple/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    lock = small.locked(f"{NOBODY}/a.git", make_index(tmp_path / "wheels"))
    with pytest.raises(EnvironmentFailed) as caught:
        obtain(lock)
    assert caught.value.what == "no source has example/small v6.0"
    first, second = caught.value.why.splitlines()
    assert first.startswith(f"git {NOBODY}/a.git: ")
    assert second.startswith("package index (small-wheel==6.0.0, other-wheel==1.0): pip cannot download")
    assert "--upstream" in caught.value.hint
    assert cached(lock, Cache()) is None


def test_wrong_bytes_stop_although_another_source_is_left(small: Upstream, tmp_path: Path) -> None:
    shutil.copytree(small.path, tmp_path / "good")
    path = small.object_file("train.py")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckFailed, match=r"train\.py is not what it should be"):
        obtain(small.locked(str(small.path), str(tmp_path / "good")))
    assert cached(small.lock, Cache()) is None


def test_a_named_source_is_the_only_one(small: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFailed, match="cannot fetch from"):
        obtain(small.lock, f"{NOBODY}/a.git")
    monkeypatch.setenv("PORTER_UPSTREAM", f"{NOBODY}/b.git")
    with pytest.raises(EnvironmentFailed, match=r"b\.git"):
        obtain(small.lock)
    assert obtain(small.lock, str(small.path)).base == small.pin.commit


def test_a_warm_cache_costs_one_git_and_asks_nobody(small: Upstream, git_calls: Path) -> None:
    first = obtain(small.lock)
    git_calls.write_text("")
    shutil.rmtree(small.path)
    assert obtain(small.lock) == first
    assert obtain(small.lock, f"{NOBODY}/named") == first
    assert fetch(small.lock) == first
    assert [line.split()[-3:] for line in git_calls.read_text().splitlines()] == [
        ["cat-file", "--batch", "--buffer"]
    ] * 3


def test_fetch_asks_a_named_source_even_with_a_warm_cache(small: Upstream) -> None:
    first = obtain(small.lock)
    with pytest.raises(EnvironmentFailed):
        fetch(small.lock, f"{NOBODY}/named")
    assert fetch(small.lock, str(small.path)) == first


def test_a_snapshot_holds_everything_a_commit_on_it_needs(small: Upstream) -> None:
    snapshot = obtain(small.lock)
    assert set(snapshot.objects) == set(Extent(small.pin, small.pin.files).ids)
    assert all(o.id == i for i, o in snapshot.objects.items())
    assert snapshot.objects[snapshot.base].data.startswith(b"tree " + small.pin.tree.encode())
    assert {snapshot.objects[entry.id].data for entry in snapshot.files.values()} == set(FILES.values())


def test_two_pins_share_a_cache(small: Upstream) -> None:
    first = obtain(small.lock)
    later = git("rev-parse", "master", cwd=small.path)
    files = {**small.pin.files, "train.py": Entry("100644", git("rev-parse", "master:train.py", cwd=small.path))}
    tree = git("rev-parse", "master^{tree}", cwd=small.path)
    second_lock = replace(small.lock, pin=replace(small.pin, commit=later, tree=tree, files=files))
    second = obtain(second_lock)
    assert (first.base, second.base) == (small.pin.commit, later)
    shutil.rmtree(small.path)
    assert obtain(small.lock) == first
    assert obtain(second_lock) == second
    git("gc", "-q", "--prune=now", cwd=Cache().repository.path)
    assert verify(small.lock)[1] == verify(second_lock)[1] == []


def test_verify_names_every_wrong_object(small: Upstream) -> None:
    obtain(small.lock)
    store = Cache().repository.path
    pack = next(store.glob("objects/pack/*.pack"))
    shutil.move(pack, store / "away.pack")
    pack.with_suffix(".idx").unlink()
    for name in store.glob("objects/pack/*"):
        name.unlink()
    with open(store / "away.pack", "rb") as stream:
        subprocess.run(["git", f"--git-dir={store}", "unpack-objects", "-q"], stdin=stream, check=True)
    right = len(Extent(small.pin, small.pin.files).ids)
    assert verify(small.lock) == (right, [])
    blobs = {path: small.pin.files[path].id for path in ("train.py", "README.md", "LICENSE")}
    at = {path: store / "objects" / i[:2] / i[2:] for path, i in blobs.items()}
    at["train.py"].chmod(0o644)
    shutil.copy(at["LICENSE"], at["train.py"])
    at["README.md"].unlink()
    count, wrong = verify(small.lock)
    assert count == right - 2
    assert {(f.name, f.expected) for f in wrong} == {("train.py", blobs["train.py"]), ("README.md", blobs["README.md"])}
    found = {f.name: f.found for f in wrong}
    assert blobs["LICENSE"] in found["train.py"]
    assert found["README.md"] == "nothing"


def test_verify_of_an_empty_cache(small: Upstream) -> None:
    with pytest.raises(CheckFailed, match=r"holds nothing of example/small v6\.0"):
        verify(small.lock)


def test_an_index_with_everything_but_the_commit_is_still_not_the_pin(
    small: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are there, but no wheel holds a commit: the base is porter's own, and nothing is missing."""
    wheel = make_wheel(tmp_path / "wheels", "all", "1", {f"all/{path}": data for path, data in FILES.items()})
    source = IndexSource((Wheel("all==1", sha256(wheel), (Part("all/{path}", (), tuple(FILES)),)),))
    with package_index(tmp_path / "wheels", tmp_path / "index") as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        snapshot = obtain(small.locked(source))
    assert snapshot.base != small.pin.commit
    assert (snapshot.missing, snapshot.partial) == ((), True)
    assert obtain(small.locked(source)) == snapshot
    assert fetch(small.locked(str(small.path), source)).base == small.pin.commit


def test_extents_are_the_whole_and_what_an_index_has(small: Upstream, tmp_path: Path) -> None:
    lock = small.locked(str(small.path), make_index(tmp_path / "wheels"))
    whole, part = extents(lock)
    assert (whole.base, whole.missing) == (small.pin.commit, ())
    assert part.missing == (".gitignore", "LICENSE", "utils/__init__.py")
    assert part.labels[part.base].startswith("the commit of example/small")
    assert part.labels[small.pin.files["train.py"].id] == "train.py"
    assert "the folder data/images/" in whole.labels.values()


@pytest.mark.parametrize("name", ["nowhere", "folder", "file"])
def test_a_named_source_that_is_none_is_refused_although_the_cache_has_it_all(
    small: Upstream, tmp_path: Path, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text\n")
    lock = small.locked(str(small.path))
    obtain(lock)  # the cache is warm
    assert obtain(lock, str(small.path)).base == small.pin.commit
    with pytest.raises(WrongUsage, match=name):
        obtain(lock, str(tmp_path / name))
