"""A folder made aside: built under another name next to where it belongs, then renamed.

Whoever looks sees no folder or the whole folder.  A run that was killed leaves its folder behind; the next
one for the same place removes it, which a lock on a file inside keeps from happening to a living one.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from porter import places, signals
from porter.errors import SurroundingsFailed

_log = logging.getLogger(__name__)
LOCK = ".git/porter/lock"  # it moves with the folder and is the tree's own lock from then on
_DEAD = ".dead"


class Taken(Exception):
    """Something is at the destination by now."""


class Aside:
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
            SurroundingsFailed: it cannot be renamed.
        """
        try:
            os.rename(self.path, self.destination)
            _log.debug("made %s, under the name %s first", self.destination, self.path.name)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise Taken from error
            if error.errno == errno.EBUSY:
                hint = f"{self.destination} is a mount point; name a folder inside it."
                raise SurroundingsFailed(f"cannot put a folder at {self.destination}", "it is in use", hint) from error
            raise SurroundingsFailed(f"cannot make {self.destination}", error.strerror or str(error)) from error


@contextmanager
def aside(destination: Path, lock_name: str = LOCK) -> Iterator[Aside]:
    """A new folder next to ``destination``; it is gone after the block unless it was finished.

    Missing folders above ``destination`` are made, and removed again if nothing comes of it.  ``lock_name``
    is the file in the folder whose lock says that its maker lives; it stays in the finished folder.

    Raises:
        SurroundingsFailed: it cannot be made.
    """
    parents = [folder for folder in (destination.parent, *destination.parent.parents) if not folder.exists()]
    made: Path | None = None
    lock = -1
    done = False
    try:
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            sweep(destination, lock_name)
            while lock < 0:
                made = destination.with_name(f"{_prefix(destination)}{secrets.token_hex(4)}")
                lock = _claim(made, lock_name)
        except OSError as error:
            raise SurroundingsFailed(f"cannot make {destination}", error.strerror or str(error)) from error
        assert made is not None
        yield Aside(made, destination)
        done = not made.exists()
    finally:
        with signals.held():
            if made is not None and not done:
                _remove(made)
            for folder in parents:
                if not done and not destination.exists():
                    with suppress(OSError):  # not empty: somebody else put something there
                        folder.rmdir()
            if lock >= 0:
                os.close(lock)


@contextmanager
def temporary(prefix: str, keep: bool = False) -> Iterator[Path]:
    """A folder to work in among the system's temporary ones, gone after the block, whenever a signal comes.

    Args:
        keep: leave it.

    Raises:
        SurroundingsFailed: it cannot be made, or the block raised OSError: the disk is full, for example.
    """
    place = places.room()
    try:
        with places.transient(prefix, place, keep) as folder:
            place = str(folder)
            yield folder
    except OSError as error:
        raise SurroundingsFailed(f"cannot work in {place}", error.strerror or str(error)) from error


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
                _remove(dead)
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a folder; what cannot be removed is left to the next run's sweep.

    A git that was killed with its porter may take a moment to be gone, and write one more file meanwhile.
    """
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.02)


def _prefix(destination: Path) -> str:
    return f".{destination.name}.porter-"


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
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino == os.stat(path).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return -1
