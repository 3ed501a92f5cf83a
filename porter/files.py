"""Files and folders: read and written whole, built under another name and renamed, locked, and where they go."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from porter.errors import EnvironmentFailed, WrongUsage, os_errors, refused
from porter.process import held

_log = logging.getLogger(__name__)
CACHE_VARIABLE = "PORTER_CACHE"
_UNFINISHED = ".porter-"  # after a dot and the name of what is being written


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    """What can go wrong as a file is read, said in porter's errors."""
    try:
        yield
    except FileNotFoundError as error:
        raise WrongUsage(f"there is no {path}") from error
    except IsADirectoryError as error:
        raise WrongUsage(f"{path} is a folder", hint="Name a file.") from error
    except OSError as error:
        raise refused(f"cannot read {path}", error) from error


def read_file(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        WrongUsage: there is no such file, or it is a folder.
        EnvironmentFailed: it cannot be read.
    """
    with _read_errors(path):
        return path.read_bytes()


def read_if_there(path: Path) -> bytes | None:
    """A file's bytes; None if there is no file.

    Raises:
        EnvironmentFailed: it cannot be read.
    """
    with os_errors(f"cannot read {path}"):
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None


def read_given(path: Path, most: int) -> bytes:
    """The bytes of a file that somebody gave us: a plain one, or what a shell pipes (``<(git diff)``).

    Args:
        most: bytes; a larger file is refused.

    Raises:
        WrongUsage: there is no such file, it is too large, or it is a device, a named pipe or a folder.
        EnvironmentFailed: it cannot be read.
    """
    with _read_errors(path):
        mode = os.stat(path).st_mode
        # an open pipe has no name of its own: only /proc leads to it
        if not (
            stat.S_ISREG(mode)
            or stat.S_ISDIR(mode)
            or (stat.S_ISFIFO(mode) and not os.path.exists(os.path.realpath(path)))
        ):
            raise WrongUsage(f"{path} is no plain file", "It is a device, a socket or a named pipe.", "Name a file.")
        with open(path, "rb") as file:
            data = file.read(most + 1)
    if len(data) > most:
        raise WrongUsage(f"{path} has more than {most >> 20} MB", hint="Is it the right file? Give a part of it.")
    return data


def write_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace a file's content in one step: after a crash it holds the old bytes or the new ones, never a part.

    What a killed run left of its new bytes, beside the file, is removed.

    Args:
        durable: wait until the disk has it; without that a power cut may leave anything.

    Raises:
        EnvironmentFailed: the folder cannot be written to, or the disk is full; the file is as it was.
    """
    path = path.resolve()  # a link stays a link
    with os_errors(f"cannot write {path}"):
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        _sweep_files(path)
        handle, temporary = _make_temporary(path)
        try:
            with open(handle, "wb") as file:  # its lock is held until it has its name
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(handle)
                os.chmod(temporary, mode)
                os.replace(temporary, path)
            _log.debug("wrote %s, %d bytes", path, len(data))
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def must_take(path: Path) -> None:
    """Refuse a place that :func:`write_file` could not write to, before something that takes minutes is done for it.

    Raises:
        EnvironmentFailed: its folder is not there or cannot be written to, or it is a folder.
    """
    path = path.resolve()
    with os_errors(f"cannot write {path}"):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass


def _make_temporary(path: Path) -> tuple[int, str]:
    """A new file beside another, locked: its descriptor and its name."""
    while True:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}{_UNFINISHED}", dir=path.parent)
        if lock_new(handle) and os.fstat(handle).st_nlink:
            return handle, temporary
        os.close(handle)  # another run has found it without its lock and removes it


def _sweep_files(path: Path) -> None:
    """Remove the new bytes of a file beside it that nobody is writing any more."""
    with os.scandir(path.parent) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(f".{path.name}{_UNFINISHED}")]
    for leftover in left:
        with suppress(OSError):  # a folder of staged(), or somebody else's
            descriptor = os.open(leftover, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if try_lock(descriptor):
                    os.unlink(leftover)
            finally:
                os.close(descriptor)


def lock_new(descriptor: int) -> bool:
    """Whether what was made just now is locked; a file system without locks lets nobody else lock it, and is enough."""
    try:
        return try_lock(descriptor)
    except OSError:
        return True


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file, in one write: two porters may add to one file.

    Raises:
        EnvironmentFailed: it cannot be written.
    """
    data = line + b"\n"
    with os_errors(f"cannot write {path}"), open(path, "ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            data = data if file.read(1) == b"\n" else b"\n" + data  # a line was cut off: leave it to itself
        file.write(data)


def move(old: Path, new: Path) -> None:
    """Give a file or folder another name on the same disk, in one step; a file that has that name is replaced.

    Raises:
        OSError: it cannot be done, and nothing was.
    """
    os.replace(old, new)
    _log.debug("%s is %s now", old, new)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def read_json(path: Path, hint: str = "") -> dict[str, Any] | None:
    """The object in a file; None if there is no file.

    Args:
        hint: what to do about one that is not as porter writes it.

    Raises:
        WrongUsage: it is none.
        EnvironmentFailed: it cannot be read.
    """
    data = read_if_there(path)
    if data is None:
        return None
    try:
        read = json.loads(data)
    except ValueError as error:
        raise not_ours(path, hint) from error
    if not isinstance(read, dict):
        raise not_ours(path, hint)
    return read


def not_ours(path: Path, hint: str = "") -> WrongUsage:
    """What to say of a file that is not as porter writes it."""
    return WrongUsage(f"{path} is not as porter writes it", "Another version wrote it, or it was edited.", hint)


def try_lock(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file for this process, or whoever inherits the descriptor; closing it ends that.

    Args:
        wait: until nobody else has it locked.

    Returns:
        whether it is locked for this process now.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path, seconds: float, busy: str, hint: str = "") -> Iterator[int]:
    """Hold a lock file, for this process and whoever inherits its descriptor, which is the value.

    Args:
        seconds: how long to wait for another porter to let go of it.
        busy: what to say if it does not.
        hint: what to do then.

    Raises:
        EnvironmentFailed: the file cannot be made, or another porter holds it.
    """
    with os_errors(f"cannot write {path.parent}"):
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    deadline = time.monotonic() + seconds
    try:
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                raise EnvironmentFailed(busy, hint=hint)
            time.sleep(0.02)
        yield descriptor
    finally:
        os.close(descriptor)


def user_folder(kind: Literal["cache", "state"], hint: str) -> Path:
    """porter's folder for a kind of things; it need not be there.

    Args:
        hint: what the person can do where there is no telling.

    Raises:
        EnvironmentFailed: there is no home folder, or what names it is no absolute path, which would be another
            place in each current folder.
    """
    import platformdirs

    named = platformdirs.user_cache_dir if kind == "cache" else platformdirs.user_state_dir
    what = f"cannot tell where porter's {kind} goes"
    try:
        path = Path(named("porter", appauthor=False))
    except RuntimeError as error:  # there is no home folder
        raise EnvironmentFailed(what, str(error), hint) from error
    if not path.is_absolute():
        raise EnvironmentFailed(what, f"HOME or XDG_{kind.upper()}_HOME gives {path}, which is no absolute path", hint)
    return path


def cache_folder() -> Path:
    """``PORTER_CACHE``, else porter's folder in the user's cache folder.

    Raises:
        EnvironmentFailed: there is no home folder to put it in.
    """
    hint = f"Name a folder in {CACHE_VARIABLE}."
    named = os.environ.get(CACHE_VARIABLE)
    if not named:
        return user_folder("cache", hint)
    try:
        return Path(named).expanduser()
    except RuntimeError as error:  # pathlib's word for a home folder that cannot be found
        raise EnvironmentFailed(f"{CACHE_VARIABLE} is {named}, and there is no such home", str(error), hint) from error


LOCK = ".git/porter/lock"  # it moves with the folder and is the tree's own lock from then on
_DEAD = ".dead"
_TRIES = 20  # other porters may sweep away a folder before its lock is there, but not so often


class Taken(Exception):
    """Something is at the destination by now."""


class Staging:
    """The folder while it is built.

    Attributes:
        path: where it is now.
        destination: where it goes.
    """

    def __init__(self, path: Path, destination: Path) -> None:
        self.path = path
        self.destination = destination

    def finish(self) -> None:
        """Give the folder its place; an empty folder there is replaced.

        Raises:
            Taken: there is something else.
            EnvironmentFailed: it cannot be renamed.
        """
        try:
            os.rename(self.path, self.destination)
            _log.debug("made %s, under the name %s first", self.destination, self.path.name)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise Taken from error
            if error.errno == errno.EBUSY:
                hint = f"{self.destination} is a mount point; name a folder inside it."
                raise EnvironmentFailed(f"cannot put a folder at {self.destination}", "it is in use", hint) from error
            raise refused(f"cannot make {self.destination}", error) from error


@contextmanager
def staged(destination: Path, lock_name: str = LOCK) -> Iterator[Staging]:
    """A new folder next to ``destination``; it is gone after the block unless it was finished.

    Missing folders above ``destination`` are made, and removed again if nothing comes of it.  ``lock_name``
    is the file in the folder whose lock says that its maker lives; it stays in the finished folder.

    Raises:
        EnvironmentFailed: it cannot be made.
    """
    parents = [folder for folder in (destination.parent, *destination.parent.parents) if not folder.exists()]
    made: Path | None = None
    lock = -1
    done = False
    try:
        with os_errors(f"cannot make {destination}"):
            destination.parent.mkdir(parents=True, exist_ok=True)
            sweep(destination, lock_name)
            for _ in range(_TRIES):
                made = destination.with_name(f"{_prefix(destination)}{secrets.token_hex(4)}")
                lock = _claim(made, lock_name)
                if lock >= 0:
                    break
            else:  # a file system such as /proc, which says so of every new folder
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        assert made is not None
        yield Staging(made, destination)
        done = not made.exists()
    finally:
        with held():
            if made is not None and not done:
                remove_folder(made)
            for folder in parents:
                if not done and not destination.exists():
                    with suppress(OSError):  # not empty: somebody else put something there
                        folder.rmdir()
            if lock >= 0:
                os.close(lock)


def sweep(destination: Path, lock_name: str = LOCK) -> None:
    """Remove what killed runs left next to ``destination``."""
    for folder in destination.parent.glob(f"{_escaped(_prefix(destination))}*"):
        try:
            lock = _claim(folder, lock_name)
        except OSError:  # somebody else's
            continue
        if lock < 0:
            continue
        try:
            # its maker, should it live and not have the lock yet, sees that the folder is gone and takes another
            dead = folder if folder.name.endswith(_DEAD) else folder.with_name(folder.name + _DEAD)
            with suppress(OSError):
                folder.rename(dead)
                remove_folder(dead)
        finally:
            os.close(lock)


def remove_folder(folder: Path) -> None:
    """Remove a folder; what cannot be removed is left to the next run's sweep.

    A git that was killed with its porter may take a moment to be gone, and write one more file meanwhile.
    """
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.02)


def _prefix(destination: Path) -> str:
    return f".{destination.name}{_UNFINISHED}"


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _claim(folder: Path, lock_name: str) -> int:
    """The descriptor of a folder's lock; -1 if somebody else has it or removes the folder.

    The folder is made where it is missing, and the lock in it: a run may have been killed before it had
    made them, or while it removed them.

    Raises:
        OSError: the folder cannot be written.
    """
    path = folder / lock_name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except FileNotFoundError:
        return -1
    with suppress(FileNotFoundError):
        if try_lock(descriptor) and os.fstat(descriptor).st_ino == os.stat(path).st_ino:
            return descriptor
    os.close(descriptor)
    return -1
