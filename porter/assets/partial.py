"""A file that is not whole yet: ``NAME.part``, and beside it ``NAME.part.json``, which says what of it is there.

Nothing gets the name itself before it is whole and checked.  The lock is on ``NAME.part``: of two porters that
want one file, one works and the other waits.  The state is written after the bytes that it tells of, so a porter
that dies leaves at most bytes that nobody counts on.  Only this module knows the state's format::

    {"format": 1, "source": URL, "version": ETag or date, "size": 12345 or null, "have": [[0, 4096]]}
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from porter import document, signals
from porter.errors import SurroundingsFailed
from porter.progress import Progress

Span = tuple[int, int]  # bytes from the first number up to, not including, the second

_FORMAT = 1
_EVERY = 5.0  # seconds between two writes of the state
_SPARE = 16 << 20  # bytes of the disk that a download leaves free
_PIECE = 1 << 18  # bytes read at a time to hash them: so many stay in the processor's cache on the way
_WAITING = 4  # pieces that wait to be hashed; more would not be in the cache any more when their turn comes


class Partial:
    """What is there of a file.  Made by :func:`claim`; threads may share it.

    Attributes:
        path: ``NAME.part``.
        source: the URL that the bytes are from.
        version: which edition of the file, as the server names it; empty if it does not.
        size: of the whole file in bytes, if known.
        generation: how often it was begun anew.
    """

    def __init__(self, destination: Path, descriptor: int) -> None:
        self.destination = destination
        self.path = _beside(destination)
        self._state = _state(destination)
        self._file = descriptor
        self._lock = threading.Lock()
        self._have: list[Span] = []
        self._closed = False
        self._follower: Follower | None = None
        self.generation = 0
        self.source, self.version = "", ""
        self.size: int | None = None
        self._load()

    @property
    def covered(self) -> int:
        """Bytes that are there."""
        return self.extent()[0]

    @property
    def lasting(self) -> bool:
        """Whether another run could go on with it: the size is known, and which edition of the file it is."""
        return not self._closed and self.size is not None and self.version != ""

    @property
    def whole(self) -> bool:
        """Whether every byte is there; never while the size is unknown."""
        with self._lock:
            return self.size is not None and (self.size == 0 or self._have == [(0, self.size)])

    def begin(self, source: str, version: str, size: int | None) -> None:
        """Start anew, with nothing there.

        Raises:
            SurroundingsFailed: the disk has no room for ``size`` bytes, or cannot be written to.
        """
        with self._lock, _writing(self.destination):
            self._forget()
            self.source, self.version, self.size = source, version, size
        self.ask_for_room()

    def ask_for_room(self) -> None:
        """Complain now if the disk is too small for what is missing, not after an hour."""
        if self.size is None:
            return
        missing = self.size - self.covered
        free = shutil.disk_usage(self.path.parent).free
        if missing + _SPARE > free:
            raise SurroundingsFailed(
                f"the disk of {self.destination.parent} has no room for {self.destination.name}",
                f"{amount(missing)} to download, {amount(free)} free",
                "Make room, or name a folder on another disk.",
            )

    def follow(self, follower: Follower | None) -> None:
        """Have it offered every piece that is written, before anyone sees it there."""
        with self._lock:
            self._follower = follower

    def write(self, offset: int, data: bytes, generation: int) -> None:
        """Put bytes where they belong; those of an earlier generation, or for a closed partial, are ignored.

        Raises:
            SurroundingsFailed: the disk is full, or cannot be written to.
        """
        with self._lock:
            if self._closed or generation != self.generation:  # from a thread that was left behind
                return
            with _writing(self.destination):
                view, at = memoryview(data), offset
                while view:
                    wrote = os.pwrite(self._file, view, at)
                    self._have = _with(self._have, (at, at + wrote))
                    at, view = at + wrote, view[wrote:]
            follower = self._follower
            taken = follower is not None and follower.offer(offset, data)
        if follower is not None and taken:
            follower.pace()

    def end_here(self) -> None:
        """The source said that this is all, and had not said how much it would be."""
        with self._lock:
            self.size = self._have[-1][1] if self._have else 0

    def missing(self) -> list[Span]:
        """What is not there, in order; the size must be known."""
        assert self.size is not None
        with self._lock:
            edges = [0, *(edge for span in self._have for edge in span), self.size]
        return [(start, end) for start, end in zip(edges[::2], edges[1::2]) if start < end]

    def extent(self) -> tuple[int, int]:
        """Bytes that are there, and those of them from the first one on, with no hole."""
        with self._lock:
            prefix = self._have[0][1] if self._have and self._have[0][0] == 0 else 0
            return sum(end - start for start, end in self._have), prefix

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of it."""
        return os.pread(self._file, length, offset)

    def sha256(self) -> str:
        """The digest of what is there, in hexadecimal digits."""
        digest, at = hashlib.sha256(), 0
        while piece := self.read(at, _PIECE):
            digest.update(piece)
            at += len(piece)
        return digest.hexdigest()

    def save(self) -> None:
        """Write down what is there.

        Raises:
            SurroundingsFailed: the disk is full, or cannot be written to.
        """
        with self._lock:
            if not self.lasting:
                return
            state = {
                "format": _FORMAT,
                "source": self.source,
                "version": self.version,
                "size": self.size,
                "have": list(self._have),
            }
            file = os.dup(self._file)
        try:
            with _writing(self.destination):
                os.fdatasync(file)  # or the state could outlive the bytes when the power fails
                with self._lock:
                    if state["have"] and not self._ended():
                        document.write(self._state, json.dumps(state).encode())
        finally:
            os.close(file)

    def finish(self) -> None:
        """Give the file its name; it is on the disk then, not only in memory.

        Raises:
            SurroundingsFailed: the disk failed; the part is still there.
        """
        with self._lock, _writing(self.destination):
            os.fsync(self._file)
            with signals.held():
                os.replace(self.path, self.destination)
                self._closed = True
                with suppress(FileNotFoundError):
                    self._state.unlink()

    def discard(self) -> None:
        """Remove what is there: it is worth nothing."""
        with self._lock, _writing(self.destination):
            self._forget()

    def close(self) -> None:
        """Let go of it; one that nobody could go on with is removed."""
        if self.lasting:
            with suppress(SurroundingsFailed):  # the state on disk is older then, and less is believed
                self.save()
        with self._lock:
            if not self._closed and not (self.lasting and self._have):
                for path in (self._state, self.path):
                    with suppress(OSError):
                        path.unlink()
            self._closed = True
            os.close(self._file)

    def _ended(self) -> bool:
        return self._closed

    def _forget(self) -> None:
        """Nothing is there; the state goes first."""
        self.generation += 1
        self._have, self.size, self.source, self.version = [], None, "", ""
        with suppress(FileNotFoundError):
            self._state.unlink()
        os.ftruncate(self._file, 0)

    def _load(self) -> None:
        """Believe the state if it fits the file; a state that makes no sense is worth nothing."""
        try:
            state = json.loads(self._state.read_bytes())
            length = os.fstat(self._file).st_size
            if state["format"] != _FORMAT:
                return
            have = [_span(pair, length) for pair in state["have"]]
            whole = int(state["size"])  # a file of unknown size is not gone on with
            if any(end > whole for _, end in have):
                return
            source, version = str(state["source"]), str(state["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        for span in have:
            self._have = _with(self._have, span)
        self.source, self.version, self.size = source, version, whole


@contextmanager
def claim(destination: Path, progress: Progress) -> Iterator[Partial | None]:
    """The partial file of ``destination``, for this process alone; ``None`` if the file itself is there.

    While another process has it this one waits, and then mostly finds the file itself.

    Raises:
        SurroundingsFailed: the folder cannot be written to.
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
    with _writing(destination):
        while not destination.exists():
            destination.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            except FileNotFoundError:  # another porter, which failed, just removed the folder that it had made
                continue
            try:
                if not waited and not _locked(descriptor, fcntl.LOCK_NB):
                    progress.note(f"another porter is downloading {destination}; waiting for it")
                    waited = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
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


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
    except BlockingIOError:
        return False
    return True


class Follower:
    """A thread that hashes a partial file while it grows, as far as it has no hole, and writes down its state.

    A piece that continues what it has is taken from the writer's hands, and the writer is held back a little where
    pieces come faster than they can be hashed.  What comes in another order is read from the file later.
    """

    def __init__(self, partial: Partial) -> None:
        self._partial = partial
        self._stop = self._saving = False
        self._written = True  # whether there may be something to do
        self._saved = time.monotonic()
        self._lock = threading.Lock()
        self._news, self._room = threading.Condition(self._lock), threading.Condition(self._lock)
        self._begin()
        partial.follow(self)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _begin(self) -> None:
        with self._lock:
            self._generation = self._partial.generation
            self._digest, self._at = hashlib.sha256(), 0
            self._offered: deque[bytes] = deque()
            self._end = 0  # of what is hashed, being hashed or offered
            self._beyond = True  # whether the file may have more than was taken

    def offer(self, offset: int, data: bytes) -> bool:
        """Take a piece that was written, if it is the next one and not too many wait; whether it was taken."""
        with self._lock:
            taken = offset == self._end and len(self._offered) < _WAITING
            if taken:
                self._offered.append(data)
                self._end += len(data)
            self._beyond = self._beyond or not taken
            self._written = True
            self._news.notify()
            return taken

    def pace(self) -> None:
        """Wait until another piece can be taken: the whole is not done before it is hashed, and now it is quick."""
        with self._lock:
            self._room.wait_for(lambda: len(self._offered) < _WAITING or self._saving or self._stop, timeout=1)

    def _follow(self) -> None:
        while True:
            last, self._written = self._stop, False
            while self._step():
                self._save()
            if last:
                return
            self._save()
            with self._lock:
                self._news.wait_for(lambda: self._written or self._stop, timeout=_EVERY)

    def _save(self) -> None:
        """Write down the state, now and then."""
        if time.monotonic() - self._saved < _EVERY:
            return
        with self._lock:
            self._saving = True  # which takes a slow disk seconds
            self._room.notify_all()
        with suppress(SurroundingsFailed):  # who writes the bytes notices too, and says so
            self._partial.save()
        self._saving = False
        self._saved = time.monotonic()

    def _step(self) -> bool:
        """Hash one piece; whether there was one."""
        if self._generation != self._partial.generation:
            self._begin()
        with self._lock:
            piece = self._offered.popleft() if self._offered else b""
            self._room.notify_all()
        if not piece and self._beyond:
            piece = self._reread()
        self._digest.update(piece)  # begun anew in the next step, if the file was meanwhile
        self._at += len(piece)
        return bool(piece)

    def _reread(self) -> bytes:
        """The next piece out of the file, if it is there and nobody offered it meanwhile."""
        with self._lock:
            self._beyond = False
        covered, prefix = self._partial.extent()  # waits for who writes, so it is not always asked
        with self._lock:
            self._beyond = self._beyond or covered > self._at
            length = min(_PIECE, prefix - self._at)
            if self._offered or length <= 0:
                return b""
            self._end = self._at + length
        return self._partial.read(self._at, length)

    def digest(self) -> str:
        """The SHA-256 of the whole file, once it is there."""
        self.stop()
        if self._generation != self._partial.generation or self._at != self._partial.size:
            return self._partial.sha256()
        return self._digest.hexdigest()

    def stop(self) -> None:
        """End the thread."""
        self._partial.follow(None)
        with self._lock:
            self._stop = True
            self._news.notify()
            self._room.notify_all()
        self._thread.join()


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


def _span(pair: Any, length: int) -> Span:
    start, end = pair
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= length:
        raise ValueError(f"{pair!r} is no span of the file")
    return start, end


def _with(spans: list[Span], new: Span) -> list[Span]:
    """The spans and one more, in order, with what touches made one."""
    start, end = new
    kept = []
    for span in spans:
        if span[1] < start or end < span[0]:
            kept.append(span)
        else:
            start, end = min(start, span[0]), max(end, span[1])
    return sorted([*kept, (start, end)])


@contextmanager
def _writing(destination: Path) -> Iterator[None]:
    """Say in one way that something cannot be written, whoever noticed."""
    try:
        yield
    except OSError as error:
        hint = "Name a folder that can be written to."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "Make room and run the same command again: it goes on where it stopped."
        raise SurroundingsFailed(f"cannot write {destination}", error.strerror or str(error), hint) from error
