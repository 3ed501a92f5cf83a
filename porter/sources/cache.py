"""The user's cache: one bare repository that holds verified upstream objects and nothing else.

What goes in was checked before; what comes out is hashed again, because disks and people change files.
A ref is written after its objects and only then do they count, so a porter that dies leaves nothing half
written.  Refs, for pin commit C: ``refs/porter/pin/C`` for the whole pin, ``refs/porter/partial/B`` for
the part of it that a package index has, under porter's own commit B.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from porter.errors import CheckFailed, EnvironmentFailed, refused
from porter.files import CACHE_VARIABLE, cache_folder, move, write_file
from porter.git import GitFailed, Repository
from porter.git import run as run_git
from porter.git.objects import Object, pack
from porter.output import Progress
from porter.temporary import temporary_folder
from porter.version import __version__

_HINT = f"Make it a folder that you can write to, or name another in {CACHE_VARIABLE}."


class Damaged(CheckFailed):
    """The cache's content is not what porter wrote."""


class Cache:
    """The cache in ``folder``, by default ``PORTER_CACHE``, else the place for caches on this system."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or cache_folder()).absolute()
        self.repository = Repository(self.folder / "upstream.git", exact=True)

    def find(self, names: Iterable[str], labels: Mapping[str, str]) -> dict[str, Object]:
        """Those of the named objects that the cache has; none if there is no cache yet.

        Raises:
            Damaged: one is not what its id says, or the repository cannot be understood.
            EnvironmentFailed: the cache cannot be read.
        """
        self._check_access()
        if not self.repository.path.exists():
            return {}
        try:
            return self.repository.find(names, labels)
        except CheckFailed as error:
            raise Damaged(error.what, error.why) from error
        except GitFailed as error:
            if error.status < 0 or "Permission denied" in error.stderr:
                raise
            if not self.repository.path.exists():
                return {}  # another porter threw it away just now
            raise Damaged(f"git cannot read {self.repository.path}", error.stderr) from error

    def _check_access(self) -> None:
        try:
            self.repository.path.stat()
            os.listdir(self.repository.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise refused(f"cannot read the cache {self.repository.path}", error, _HINT) from error

    @contextlib.contextmanager
    def locked(self, progress: Progress) -> Iterator[None]:
        """Keep other porters from changing the cache; makes the folder, and clears what a killed one left.

        Raises:
            EnvironmentFailed: the folder cannot be made or written to.
        """
        from filelock import FileLock, Timeout

        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(str(self.folder / "lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress.note(f"another porter is filling the cache {self.folder}; waiting for it")
                lock.acquire()
        try:
            for left in self.folder.glob("staging-*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A staging directory on the cache's disk, gone when the block ends.  Only under :meth:`locked`."""
        with contextlib.ExitStack() as stack:
            with self._writing():
                folder = stack.enter_context(temporary_folder("staging-", str(self.folder)))
            yield folder

    def keep(self, ref: str, commit: str, objects: Iterable[Object], *, shallow: bool) -> None:
        """Store checked objects, then point ``ref`` at ``commit``.  Only under :meth:`locked`.

        A repository that is damaged is replaced as a whole; a reader at work sees the old one or the new one.

        Args:
            shallow: the commit's parents are not among the objects.

        Raises:
            EnvironmentFailed: the disk is full, or the cache cannot be written to.
        """
        objects = list(objects)
        with self._writing():
            if self.repository.path.exists():
                # git keeps a pack that is there already, even a damaged one, so what was stored is read back
                try:
                    _store(self.repository, ref, commit, objects, shallow=shallow)
                    if self.repository.find([o.id for o in objects]) == {o.id: o for o in objects}:
                        return
                except (GitFailed, CheckFailed):
                    pass  # what is there is broken: replaced as a whole
            with self.staging() as folder:
                new = Repository(folder / "new.git", exact=True)
                run_git("init", "--quiet", "--bare", "--template=", str(new.path))
                new.run("config", "gc.auto", "0")
                _store(new, ref, commit, objects, shallow=shallow)
                with contextlib.suppress(FileNotFoundError):
                    move(self.repository.path, folder / "old.git")
                move(new.path, self.repository.path)

    def has(self, ref: str) -> bool:
        """Whether there is such a ref, whatever it points at.  Reads git's files: that costs no process.

        Raises:
            EnvironmentFailed: the cache cannot be read.
        """
        self._check_access()
        if (self.repository.path / ref).is_file():
            return True
        try:
            packed = (self.repository.path / "packed-refs").read_text(errors="replace", encoding="utf-8")
        except FileNotFoundError:
            return False
        return any(line.endswith(f" {ref}") for line in packed.splitlines())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the disk and git raise while the cache is written into porter's error."""
        try:
            yield
        except OSError as error:
            raise refused(f"cannot write to the cache {self.folder}", error, _HINT) from error
        except GitFailed as error:
            raise EnvironmentFailed(f"cannot write to the cache {self.folder}", error.stderr, _HINT) from error


def _store(repository: Repository, ref: str, commit: str, objects: Iterable[Object], *, shallow: bool) -> None:
    if shallow:
        # git must know that the parents are not here on purpose before it sees the commit
        path = repository.path / "shallow"
        known = path.read_text(encoding="utf-8").split() if path.exists() else []
        if commit not in known:
            new = path.with_name("shallow.new")
            new.write_text("".join(f"{i}\n" for i in (*known, commit)), encoding="utf-8")
            move(new, path)
    repository.write(pack(objects))
    repository.run("update-ref", ref, commit)


# Results kept in the cache by what they were computed from, so that the same bytes are not looked at twice.
#
# A result has to follow from its key and from what the memo is said to depend on: the key names every byte that was
# looked at (by a digest), the rest is the code that looks and whatever else could change the result.  Then it does not
# matter who found it and when.  A memo that is damaged, or cannot be kept, costs only time: what it held is computed
# again.

_KEPT = 8  # memos of one kind that stay in the cache
_open: dict[Path, Memo] = {}
_opening = threading.Lock()


class Memo:
    """Results by key: plain data, as JSON has it.

    Args:
        kind: the name of its folder in the cache.
        depends: all that a result depends on besides its key; porter's version is always part of it.
        most: how many results are kept: those that were of use last.
    """

    def __init__(self, kind: str, depends: Iterable[bytes], most: int = 1000) -> None:
        whole = hashlib.sha256(__version__.encode())
        for part in depends:
            whole.update(b"\0%d\0" % len(part) + part)
        try:
            folder = Cache().folder
        except EnvironmentFailed:  # nobody can tell where it is
            folder = Path(os.devnull)  # in there nothing can be kept
        self.path = folder / kind / f"{whole.hexdigest()}.json"
        self._most = most
        self._lock = threading.Lock()
        self._results: dict[str, Any] | None = None
        self._changed = False

    @classmethod
    def shared(cls, kind: str, depends: Iterable[bytes], most: int = 1000) -> Memo:
        """The one that everybody in this process uses."""
        memo = cls(kind, depends, most)
        with _opening:
            return _open.setdefault(memo.path, memo)

    def get(self, key: str) -> Any:
        """The result with a key; None if there is none."""
        with self._lock:
            results = self._read()
            found = results.pop(key, None)
            if found is not None:
                results[key] = found  # the last ones are those that were of use
            return found

    def put(self, key: str, result: Any) -> None:
        with self._lock:
            self._read()[key] = result
            self._changed = True

    def save(self) -> None:
        """Keep what is new.  A cache that cannot be written costs time later, and nothing else."""
        with self._lock:
            if not self._changed or self._results is None:
                return
            kept = dict(list(self._results.items())[-self._most :])
            body = json.dumps(kept, separators=(",", ":")).encode()
            with suppress(OSError, EnvironmentFailed):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                write_file(self.path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body, durable=False)
                # what a porter that was killed here left is among them
                files = sorted(self.path.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
                for old in files[_KEPT:]:
                    old.unlink(missing_ok=True)
            self._changed = False

    def _read(self) -> dict[str, Any]:
        if self._results is None:
            self._results = {}
            with suppress(OSError, ValueError):
                digest, _, body = self.path.read_bytes().partition(b"\n")
                if hashlib.sha256(body).hexdigest().encode() == digest:
                    self._results = json.loads(body)
        return self._results
