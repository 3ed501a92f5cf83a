"""Folders for a while: where they are made, how one in use is told from what a killed run left, and who removes it.

A place for temporary files is everybody's, so porter's folders stand in one of the user's own there,
``porter-UID``.  Each is locked while it is used, by a lock on the folder itself, which the kernel frees when its porter
ends, however that happens.  Who makes one removes those that nobody has locked.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from porter.errors import EnvironmentFailed, refused
from porter.files import lock_new, remove_folder, try_lock
from porter.process import held

_MEMORY = Path("/dev/shm")
_ROOM = 256 << 20  # bytes, several times what anybody puts there


def temporary_root() -> str:
    """The system's folder for temporary files.

    Raises:
        EnvironmentFailed: there is none that can be written to.
    """

    try:
        with held():  # it writes a file there to see whether it can
            return tempfile.gettempdir()
    except FileNotFoundError as error:
        what = "there is no folder for temporary files that can be written to"
        raise refused(what, error, "Name one in TMPDIR.") from error


def quick_root() -> str:
    """Where to make files that live for a second: in memory, if there is room, else :func:`temporary_root`.

    On a disk that others use, thousands of them take several times as long as what is done with them.

    Raises:
        EnvironmentFailed: there is neither.
    """
    named = "TMPDIR" in os.environ
    if named or not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM:
        return temporary_root()
    return str(_MEMORY)


@contextmanager
def temporary_folder(prefix: str, where: str = "", *, quick: bool = False, keep: bool = False) -> Iterator[Path]:
    """A folder to work in, gone after the block, whenever a signal comes; after a kill the next run removes it.

    Args:
        where: the folder that it is made in, whose folders with this prefix are all made here; by default the user's
            own in :func:`temporary_root`.
        quick: in :func:`quick_root` instead.
        keep: leave it, in :func:`temporary_root` itself, where no run removes it.

    Raises:
        EnvironmentFailed: there is no folder for temporary files, or what has the name of porter's own is not safe.
        OSError: it cannot be made.
    """
    folder: Path | None = None
    lock = -1
    try:
        with held():  # a signal that came while it was made is raised where it is known
            if keep:
                folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where or temporary_root()))
            elif where:
                _sweep(Path(where), prefix)
                folder, lock = _make(prefix, Path(where))
            else:
                folder, lock = _make_in_own(prefix, quick_root() if quick else temporary_root())
        yield folder
    finally:
        with held():
            if folder is not None and not keep:
                remove_folder(folder)
                if not where:
                    _remove_empty(folder.parent)
            if lock >= 0:
                os.close(lock)


@contextmanager
def work_folder(prefix: str, keep: bool = False) -> Iterator[Path]:
    """A folder to work in among the system's temporary ones, gone after the block, whenever a signal comes.

    Args:
        keep: leave it.

    Raises:
        EnvironmentFailed: it cannot be made, or the block raised OSError: the disk is full, for example.
    """
    place = temporary_root()
    try:
        with temporary_folder(prefix, keep=keep) as folder:
            place = str(folder)
            yield folder
    except OSError as error:
        raise refused(f"cannot work in {place}", error) from error


def own_folder(root: str, *, make: bool = True) -> Path:
    """The user's own folder for porter's temporary ones, in a place where everybody may make files.

    Args:
        make: make it if it is missing.

    Raises:
        EnvironmentFailed: what has its name is somebody else's, a link, or open to others.
        OSError: it cannot be made, or is not to be made and is missing.
    """
    path = _own(root)
    if make:
        with suppress(FileExistsError):
            path.mkdir(0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        what = f"{path} is not a folder that is yours alone"
        hint = f"Look at it (ls -ld {path}) and remove it, or name another folder in TMPDIR."
        raise EnvironmentFailed(what, "somebody else made it, or others may open it", hint)
    return path


def _own(root: str) -> Path:
    return Path(root) / f"porter-{os.geteuid()}"


def sweep(*roots: str) -> None:
    """Remove what killed runs left where temporary files are made: here, and in memory.

    Args:
        roots: places to look into besides.
    """
    for place in {*roots, temporary_root(), *([] if "TMPDIR" in os.environ else [str(_MEMORY)])}:
        with suppress(OSError, EnvironmentFailed):  # nothing is there, or it is not ours
            _sweep(own_folder(place, make=False))
            _remove_empty(_own(place))


def _make_in_own(prefix: str, root: str) -> tuple[Path, int]:
    """A new folder in the user's own and its lock, where nothing of killed runs is left."""
    sweep(root)
    while True:
        with suppress(FileNotFoundError):  # another run removed the user's own, which was empty
            return _make(prefix, own_folder(root))


def _make(prefix: str, place: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        with suppress(FileNotFoundError):  # another run found it without its lock
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if lock_new(lock) and os.fstat(lock).st_nlink:
                return folder, lock
            os.close(lock)


def _sweep(place: Path, prefix: str = "") -> None:
    """Remove the folders that nobody has locked: those of killed runs."""
    with os.scandir(place) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(prefix)]
    for folder in left:
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if try_lock(lock):
                    remove_folder(Path(folder))
            finally:
                os.close(lock)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # another run works there
        folder.rmdir()
