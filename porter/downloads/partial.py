"""A file that is not whole yet: ``NAME.part``, and ``NAME.part.json``, which says what it is a part of.

Nothing gets the name itself before it is whole and checked.  The lock is on ``NAME.part``: of two porters that
want one file, one works and the other waits.  Bytes are only ever appended, so the length of ``NAME.part`` says how
many are there.  Only this module knows the other file's format::

    {"format": 2, "source": URL, "version": ETag or date, "size": 12345}
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from porter import process
from porter.downloads.http import Answer, Client, Cut, NoSuchRange, Refused, shown
from porter.downloads.retry import RetryPolicy, pause
from porter.errors import EnvironmentFailed, refused
from porter.files import move, try_lock, write_file
from porter.output import Progress

_FORMAT = 2
_SPARE = 16 << 20  # bytes of the disk that a download leaves free
_TRIES = 100
_PIECE = 1 << 18  # bytes of what was there before, read at a time to hash them


class NoRoom(EnvironmentFailed):
    """The disk is too small for what a source says it has."""


class Partial:
    """The first bytes of a file.  Made by :func:`claim`.

    Attributes:
        path: ``NAME.part``.
        source: the URL that the bytes are from.
        version: which edition of the file, as the server names it; empty if it does not.
        size: of the whole file in bytes, if known.
        length: bytes that are there.
    """

    def __init__(self, destination: Path, descriptor: int) -> None:
        self.destination = destination
        self.path = _beside(destination)
        self._state = _state(destination)
        self._file = descriptor
        self._closed = False
        self.source, self.version = "", ""
        self.size: int | None = None
        self.length = 0
        self._load()
        self._digest = hashlib.sha256()
        self._hashed = 0

    @property
    def lasting(self) -> bool:
        """Whether another run could go on with it: the size is known, and which edition of the file it is."""
        return not self._closed and self.size is not None and self.version != ""

    @property
    def whole(self) -> bool:
        """Whether every byte is there; never while the size is unknown."""
        return self.length == self.size

    def begin(self, source: str, version: str, size: int | None) -> None:
        """Start anew, with nothing there.

        Raises:
            EnvironmentFailed: the disk has no room for ``size`` bytes, or cannot be written to.
        """
        self.discard()
        self.source, self.version, self.size = source, version, size
        self.ask_for_room()
        if self.lasting:
            state = {"format": _FORMAT, "source": source, "version": version, "size": size}
            with _writing(self.destination):
                write_file(self._state, json.dumps(state).encode())

    def ask_for_room(self) -> None:
        """Raise NoRoom now, not after an hour, if the disk is too small for what is known to be missing."""
        missing = 0 if self.size is None else self.size - self.length
        free = shutil.disk_usage(self.path.parent).free
        if missing + _SPARE > free:
            raise NoRoom(
                f"the disk of {self.destination.parent} has no room for {self.destination.name}",
                f"{amount(missing)} to download, {amount(free)} free"
                if self.size
                else f"{amount(free)} free, and more to come",
                "Make room, or name a folder on another disk.",
            )

    def append(self, data: bytes) -> None:
        """Put bytes at the end.

        Raises:
            EnvironmentFailed: the disk is full, or cannot be written to.
            ValueError: the file would be longer than its size.
        """
        self._catch_up()
        if self.size is not None and self.length + len(data) > self.size:
            raise ValueError(f"more than the {self.size} bytes of {self.destination}")
        if self.size is None and self.length // _SPARE != (self.length + len(data)) // _SPARE:
            self.ask_for_room()  # a source without an end would fill the disk
        view = memoryview(data)
        with _writing(self.destination):
            while view:
                wrote = os.pwrite(self._file, view, self.length)
                self._digest.update(view[:wrote])
                self.length += wrote
                self._hashed += wrote
                view = view[wrote:]

    def end_here(self) -> None:
        """The source said that this is all, and had not said how much it would be."""
        self.size = self.length

    def sha256(self) -> str:
        """The digest of what is there, in hexadecimal digits."""
        self._catch_up()
        return self._digest.hexdigest()

    def finish(self) -> None:
        """Give the file its name; it is on the disk then, not only in memory.

        Raises:
            EnvironmentFailed: the disk failed; the part is still there.
        """
        with _writing(self.destination):
            os.fsync(self._file)
            with process.held():
                move(self.path, self.destination)
                self._closed = True
                with suppress(FileNotFoundError):
                    self._state.unlink()

    def discard(self) -> None:
        """Remove what is there."""
        self.source, self.version, self.size = "", "", None
        self.length = self._hashed = 0
        self._digest = hashlib.sha256()
        with _writing(self.destination):
            with suppress(FileNotFoundError):
                self._state.unlink()  # first, or it would tell of bytes that are not there
            os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Close the file; remove it if no later run could go on with it."""
        if not self._closed and not (self.lasting and self.length):
            for path in (self._state, self.path):
                with suppress(OSError):
                    path.unlink()
        self._closed = True
        os.close(self._file)

    def _catch_up(self) -> None:
        """Hash the bytes that an earlier run left."""
        while self._hashed < self.length:
            piece = os.pread(self._file, min(_PIECE, self.length - self._hashed), self._hashed)
            self._digest.update(piece)
            self._hashed += len(piece)

    def _load(self) -> None:
        """Read the state of an earlier run; one that does not match the file is ignored."""
        try:
            state = json.loads(self._state.read_bytes())
            length = os.fstat(self._file).st_size
            source, version, size = state["source"], state["version"], state["size"]
            kinds = type(source), type(version), type(size)
            if state["format"] != _FORMAT or kinds != (str, str, int) or length > size or not version:
                return
        except (OSError, ValueError, KeyError, TypeError):
            return
        self.source, self.version, self.size, self.length = source, version, size, length


@contextmanager
def claim(destination: Path, progress: Progress) -> Iterator[Partial | None]:
    """The partial file of ``destination``, for this process alone; ``None`` if the file itself is there.

    While another process has it this one waits, and then mostly finds the file itself.

    Raises:
        EnvironmentFailed: the folder cannot be written to.
    """
    parents = [folder for folder in destination.parents if not folder.exists()]
    try:
        descriptor = _take(destination, progress)
        if descriptor is None:
            yield None
            return
        partial = Partial(destination, descriptor)
        try:
            yield partial
        finally:
            partial.close()
    finally:
        for folder in parents:
            with suppress(OSError):  # there is something in it, as there should be
                folder.rmdir()


def _take(destination: Path, progress: Progress) -> int | None:
    """The locked descriptor of ``NAME.part``, which is made where it is missing; ``None`` if the file is there."""
    part = _beside(destination)
    waited = False
    missing = 0
    with _writing(destination):
        while not destination.exists():
            destination.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            except FileNotFoundError:  # another porter, which failed, just removed the folder that it had made
                missing += 1
                if missing > _TRIES:  # or a file system that says so of every new file
                    raise
                continue
            try:
                if not waited and not try_lock(descriptor):
                    progress.note(f"another porter is downloading {destination}; waiting for it")
                    waited = True
                try_lock(descriptor, wait=True)
                # the other one may have given it its name, or removed it
                if os.fstat(descriptor).st_ino == os.stat(part).st_ino and not destination.exists():
                    return descriptor
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
    return None


def amount(count: int) -> str:
    """A number of bytes as people say it: ``14.1 MB``."""
    value, units = float(count), ("bytes", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def _beside(destination: Path) -> Path:
    return destination.with_name(destination.name + ".part")


def _state(destination: Path) -> Path:
    return destination.with_name(destination.name + ".part.json")


@contextmanager
def _writing(destination: Path) -> Iterator[None]:
    """Turn an OSError while writing into porter's error, with what to do."""
    try:
        yield
    except OSError as error:
        hint = "Name a folder that can be written to."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "Make room and run the same command again: it goes on where it stopped."
        raise refused(f"cannot write {destination}", error, hint) from error


# Download one URL into a partial file over one connection, and go on where a connection broke.
#
# A server that gives ranges and names the edition of its file (ETag or date) is asked after a cut for what is missing,
# by Range and If-Range; any other gives the file from the start each time.  What a server claims is compared with what
# was asked and what came; nothing here decides whether the bytes are the right ones.

_log = logging.getLogger(__name__)
Report = Callable[[int, "int | None"], None]


class _Changed(Exception):
    """The server has another file by now, or sent something else than it said: start from the first byte."""


class Transfer:
    """The download of one URL.

    Args:
        url: http or https.
        partial: where the bytes go; what is there from the same URL and edition is not fetched again.
        policy: when a failing server is tried again, and when it is given up.
        report: called after each piece with the bytes there and in the whole file.
    """

    def __init__(self, url: str, partial: Partial, policy: RetryPolicy, report: Report) -> None:
        self.url, self._name = url, shown(url)  # a password of it is not written down
        self.partial = partial
        self.policy = policy
        self.deadline = time.monotonic() + policy.total
        self._report = report

    def run(self) -> None:
        """Fetch what is missing.

        Raises:
            Refused: the server will not give it, or failed too often.
            EnvironmentFailed: the disk is full.
        """
        failures = changes = best = 0
        with Client(self.policy, self.deadline) as client:
            while True:
                try:
                    self._try(client)
                    return
                except (_Changed, NoSuchRange) as change:
                    self.partial.discard()
                    changes += 1
                    if changes > self.policy.tries:
                        raise Refused("it has another file each time it is asked") from change
                except Cut as cut:
                    length = self.partial.length
                    failures = 1 if length > best else failures + 1
                    best = max(best, length)
                    if failures >= self.policy.tries:
                        raise Refused(f"{cut} ({failures} times in a row)" if failures > 1 else str(cut)) from cut
                    self._sleep(max(cut.wait, pause(failures)), cut)

    def _try(self, client: Client) -> None:
        """Ask once, for the rest where there is a beginning, and take what comes.

        Raises:
            Cut: less came than there is; what came is kept.
            _Changed: it is an answer to something else.
        """
        partial = self.partial
        if not (partial.lasting and partial.source == self._name):
            partial.discard()
        elif partial.whole:
            return
        else:
            partial.ask_for_room()
        with client.get(self.url, partial.length, partial.version) as answer:
            if answer.partial:
                self._hold_to_what_was_asked(answer)
            else:
                partial.begin(self._name, answer.version, answer.length)
            for chunk in answer.chunks():
                partial.append(chunk if partial.size is None else chunk[: partial.size - partial.length])
                self._report(partial.length, partial.size)
        if partial.size is None:
            partial.end_here()
        elif not partial.whole:
            raise Cut(f"the connection ended after {amount(partial.length)} of {amount(partial.size)}")

    def _hold_to_what_was_asked(self, answer: Answer) -> None:
        partial = self.partial
        first, last, size = answer.range or (-1, 0, 0)
        # it need not name its version where it was asked for one by If-Range (RFC 9110, 15.3.7)
        other = answer.version not in ("", partial.version)
        if (first, size) != (partial.length, partial.size) or last >= size or other:
            raise _Changed("it has another file by now")

    def _sleep(self, seconds: float, reason: Cut) -> None:
        _log.info("%s; again in %.1f s", reason, seconds)
        if time.monotonic() + seconds > self.deadline:
            raise Refused(str(reason)) from reason
        time.sleep(seconds)
