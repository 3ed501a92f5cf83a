from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from sources import FILES, Upstream, git

import porter
from porter.errors import EnvironmentFailed
from porter.git.objects import blob
from porter.output import Progress
from porter.sources.cache import Cache, Damaged
from porter.sources.obtain import cached, fetch, obtain, verify
from porter.sources.snapshot import Extent, extents


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)


def lose_ref_and_damage_pack(path: Path) -> None:
    """Nothing says any more that something should be there, and git would keep the damaged pack."""
    next(path.glob("refs/porter/pin/*")).unlink()
    pack = next(path.glob("objects/pack/*.pack"))
    overwrite(pack, pack.read_bytes()[:-300] + bytes(300))


def only_pack(cache: Cache) -> Path:
    (pack,) = (cache.repository.path / "objects/pack").glob("*.pack")
    return pack


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def child(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    env = {**os.environ, "PYTHONPATH": str(Path(porter.__file__).parents[1]), **env}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_the_folder_is_the_argument_else_the_variable_else_the_users(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Cache(tmp_path / "a").folder == tmp_path / "a"
    assert Cache().folder == own_home / "cache"
    monkeypatch.setenv("PORTER_CACHE", "~/elsewhere")
    assert Cache().folder == own_home / "elsewhere"
    monkeypatch.delenv("PORTER_CACHE")
    assert own_home in Cache().folder.parents
    assert Cache().folder.name == "porter"


def test_an_empty_cache_has_nothing_and_makes_nothing(own_home: Path) -> None:
    assert Cache().find(["refs/heads/x"], {}) == {}
    assert not Cache().has("refs/heads/x")
    assert not (own_home / "cache").exists()


def test_what_is_kept_survives_git_gc(small: Upstream) -> None:
    obtain(small.lock)
    cache = Cache()
    git("gc", "--prune=now", "--aggressive", "-q", cwd=cache.repository.path)
    git("prune", "--expire=now", cwd=cache.repository.path)
    snapshot = cached(small.lock, cache)
    assert snapshot is not None
    assert len(snapshot.objects) == len(Extent(small.pin, small.pin.files).ids)
    assert git("fsck", "--full", "--strict", cwd=cache.repository.path) == ""


def test_it_is_a_repository_that_git_understands(small: Upstream) -> None:
    obtain(small.lock)
    path = Cache().repository.path
    assert git("show", f"{small.pin.commit}:train.py", cwd=path).encode() == FILES["train.py"].strip()
    assert git("rev-list", "--all", cwd=path) == small.pin.commit
    assert git("rev-parse", "--is-shallow-repository", cwd=path) == "true"


def test_every_flipped_byte_of_the_pack_is_noticed_or_harmless(small: Upstream) -> None:
    """One byte at a time: what comes out is the pin's, or ``Damaged`` is raised; never anything else."""
    obtain(small.lock)
    cache = Cache()
    pack = only_pack(cache)
    whole = pack.read_bytes()
    right = cached(small.lock, cache)
    assert right is not None
    noticed = 0
    for at in range(12, len(whole) - 20, max(1, len(whole) // 60)):
        overwrite(pack, whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        try:
            found = cached(small.lock, cache)
        except Damaged:
            noticed += 1
        else:
            assert found == right
    assert noticed > 20  # the rest hit folders, which are made from the lock, never read


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: overwrite(next(path.glob("objects/pack/*.pack")), b"PACK"),
        lambda path: next(path.glob("objects/pack/*.pack")).unlink(),
        lambda path: next(path.glob("objects/pack/*.idx")).unlink(),
        lambda path: (path / "HEAD").unlink(),
        lambda path: overwrite(path / "HEAD", b"\0\0"),
        lambda path: overwrite(path / "config", b"[core\n"),
        lambda path: overwrite(path / "shallow", b"x\n"),
        lambda path: overwrite(next(path.glob("refs/porter/pin/*")), b""),
        lambda path: overwrite(next(path.glob("refs/porter/pin/*")), b"0" * 40 + b"\n"),
        lambda path: next(path.glob("refs/porter/pin/*")).unlink(),
        lose_ref_and_damage_pack,
    ],
)
def test_a_damaged_cache_is_made_anew(damage: object, small: Upstream) -> None:
    right = obtain(small.lock)
    assert callable(damage)
    damage(Cache().repository.path)
    assert obtain(small.lock) == right
    assert verify(small.lock) == (len(right.objects), [])
    assert sorted(os.listdir(Cache().folder)) == ["lock", "upstream.git"]


def test_a_damaged_cache_is_not_used_when_nobody_can_be_asked(small: Upstream) -> None:
    obtain(small.lock)
    only_pack(Cache()).unlink()
    for ask in (obtain, fetch):
        with pytest.raises(EnvironmentFailed, match="no source has"):
            ask(small.locked("/nowhere/at/all"))


def test_another_commit_under_our_ref_is_damage(small: Upstream) -> None:
    obtain(small.lock)
    cache = Cache()
    other = git("commit-tree", small.pin.tree, "-m", "other", cwd=cache.repository.path)
    git("update-ref", extents(small.lock)[0].ref, other, cwd=cache.repository.path)
    with pytest.raises(Damaged, match=f"expected {small.pin.commit}\nfound    {other}"):
        cached(small.lock, cache)


def test_a_damaged_cache_is_said_in_one_line(small: Upstream) -> None:
    obtain(small.lock)
    only_pack(Cache()).unlink()
    heard = Notes()
    obtain(small.lock, progress=heard)
    assert len(heard.notes) == 1
    assert "damaged" in heard.notes[0]


def test_a_porter_that_waits_says_so_and_then_uses_what_the_other_one_had(small: Upstream) -> None:
    """Two at once: the second asks no source, so it may have one that does not exist."""
    heard = Notes()
    got = []
    cache = Cache()
    with cache.locked(Progress()):
        second = threading.Thread(target=lambda: got.append(obtain(small.locked("/nowhere/at/all"), progress=heard)))
        second.start()
        deadline = time.monotonic() + 20
        while not heard.notes and time.monotonic() < deadline:
            time.sleep(0.01)
        whole = Extent(small.pin, small.pin.files)
        from porter.sources import remote

        objects = remote.read(str(small.path), whole, cache, Progress())
        cache.keep(whole.ref, whole.base, objects.values(), shallow=True)
    second.join(20)
    assert [line for line in heard.notes if "waiting" in line]
    assert len(got) == 1
    assert got[0].base == small.pin.commit


def test_many_at_once(small: Upstream, tmp_path: Path) -> None:
    small.lock.write(tmp_path / "upstream.lock")
    code = """
        import sys
        from pathlib import Path
        from porter.sources.obtain import obtain
        from porter.lockfile import Lock
        print(obtain(Lock.load(Path(sys.argv[1]))).base)
    """
    env = {**os.environ, "PYTHONPATH": str(Path(porter.__file__).parents[1])}
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "upstream.lock")]
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert [p.communicate(timeout=60)[0].strip() for p in running] == [small.pin.commit] * 6
    assert verify(small.lock)[1] == []


def test_a_killed_porter_leaves_nothing_half_written(small: Upstream, tmp_path: Path) -> None:
    """Killed at every step of filling the cache: afterwards it is empty or whole, and the next run cleans up."""
    small.lock.write(tmp_path / "upstream.lock")
    code = """
        import os, sys
        from pathlib import Path
        from porter import process
        from porter.sources.obtain import obtain
        from porter.lockfile import Lock
        left, real = int(sys.argv[2]), process.started
        def counted(*args, **kwargs):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), 9)
            return real(*args, **kwargs)
        process.started = counted
        obtain(Lock.load(Path(sys.argv[1])))
    """
    deaths = 0
    for calls in range(20):
        cache = Cache(tmp_path / f"cache{calls}")
        command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "upstream.lock"), str(calls)]
        env = {
            **os.environ,
            "PYTHONPATH": str(Path(porter.__file__).parents[1]),
            "PORTER_CACHE": str(cache.folder),
        }
        done = subprocess.run(command, env=env, capture_output=True, check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -9
        deaths += 1
        assert cached(small.lock, cache) is None
        obtain(small.lock, cache=cache.folder)
        assert sorted(os.listdir(cache.folder)) == ["lock", "upstream.git"]
        assert verify(small.lock, cache.folder)[1] == []
    assert deaths >= 5


def test_a_folder_that_cannot_be_made(small: Upstream, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailed, match=r"cannot (write to|read) the cache") as caught:
        obtain(small.lock, cache=tmp_path / "file/cache")
    assert "PORTER_CACHE" in caught.value.hint


def test_no_permission(small: Upstream, tmp_path: Path) -> None:
    """Root may do everything, so root's tests ask as nobody."""
    small.lock.write(tmp_path / "upstream.lock")
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    code = f"""
        import os
        from pathlib import Path
        import filelock, platformdirs, yaml, subprocess
        from porter import git
        from porter.sources import remote
        from porter.sources.obtain import obtain
        from porter.errors import EnvironmentFailed
        from porter.lockfile import Lock
        lock = Lock.load(Path({str(tmp_path / "upstream.lock")!r}))
        if os.geteuid() == 0:
            os.chmod({str(tmp_path)!r}, 0o755)
            os.setegid(65534)
            os.seteuid(65534)
        try:
            obtain(lock, cache=Path({str(locked)!r}) / "cache")
        except EnvironmentFailed as error:
            print(error)
    """
    done = child(code)
    assert "cannot" in done.stdout, done.stderr
    assert "PORTER_CACHE" in done.stdout
    assert os.listdir(locked) == []


def test_a_disk_that_is_full(small: Upstream, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the pack cannot be written."""
    small.lock.write(tmp_path / "upstream.lock")
    code = f"""
        import resource
        from pathlib import Path
        from porter.sources.obtain import obtain
        from porter.errors import EnvironmentFailed
        from porter.lockfile import Lock
        lock = Lock.load(Path({str(tmp_path / "upstream.lock")!r}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        try:
            obtain(lock)
        except EnvironmentFailed as error:
            print(error)
    """
    done = child(code)
    assert "cannot write to the cache" in done.stdout, done.stderr
    assert cached(small.lock, Cache()) is None
    assert os.listdir(Cache().folder) == ["lock"]
    assert obtain(small.lock).base == small.pin.commit


def test_a_broken_repository_loses_nothing_when_the_new_one_cannot_be_stored(small: Upstream) -> None:
    right = obtain(small.lock)
    cache = Cache()
    ref = extents(small.lock)[0].ref
    with pytest.raises(EnvironmentFailed, match="cannot write to the cache"), cache.locked(Progress()):
        cache.keep(ref, "0" * 39 + "1", [blob(b"not the commit")], shallow=False)
    assert cached(small.lock, cache) == right
