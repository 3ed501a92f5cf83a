"""Bytes from one URL into a partial file: ranges, parts side by side, what is done after a cut.

A server is asked for a range first.  One that honours ranges and names the edition of its file (ETag or date)
gives the file in pieces: over several connections at once where one would take long, and after a cut only what is
missing.
Any other server gives the file in one go, from the start each time.  What a server claims is compared with what
was asked and what came; nothing here decides whether the bytes are the right ones.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from porter.assets.partial import Partial, Span, amount
from porter.assets.request import Answer, Client, Cut, NoSuchRange, Refused
from porter.patience import Patience, pause

_FIRST = 16 << 20  # bytes asked for before the size is known
_LEAST, _MOST = 16 << 20, 256 << 20  # bytes of one request after that
_TELL = 0.1  # seconds between two reports
_ALONE = 1.0  # seconds that what is left may take on one connection: others would bring nothing then
_LOOK = 0.25  # seconds after which a connection's speed is known

_log = logging.getLogger(__name__)
Report = Callable[[int, "int | None"], None]


class _Changed(Exception):
    """The server has another file by now, or does not do what it said: begin anew."""


class _NoRanges(Exception):
    """The server cannot be asked for ranges: begin anew without."""


class Transfer:
    """One URL's bytes on their way.

    Args:
        url: http or https.
        partial: where the bytes go; what is there from the same URL and edition is not fetched again.
        patience: how long and how often a failing server is borne.
        parts: the most connections at once.
        report: called now and then, in the caller's thread, with the bytes there and in the whole file.
    """

    def __init__(self, url: str, partial: Partial, patience: Patience, parts: int, report: Report) -> None:
        self.url = url
        self.partial = partial
        self.patience = patience
        self.parts = parts
        self.deadline = time.monotonic() + patience.whole
        self._report = report
        self._reported = 0.0

    def run(self) -> None:
        """Fetch what is missing.

        Raises:
            Refused: the server will not give it, or failed too often.
            SurroundingsFailed: the disk is full.
        """
        ranges = True
        failures = changes = best = 0
        while True:
            try:
                with Client(self.patience, self.deadline) as client:
                    if ranges:
                        self._ranges(client)
                    else:
                        with client.get(self.url) as answer:
                            self._all(answer)
                return
            except (_NoRanges, NoSuchRange) as error:
                _log.info("the whole file at once: %s", error)
                ranges = False
            except _Changed as change:
                self.partial.discard()
                changes += 1
                if changes > self.patience.tries:
                    raise Refused("it has another file each time it is asked") from change
            except Cut as cut:
                covered = self.partial.covered
                failures = 1 if covered > best else failures + 1
                best = max(best, covered)
                if failures >= self.patience.tries:
                    raise Refused(f"{cut} ({failures} times in a row)" if failures > 1 else str(cut)) from cut
                self._sleep(max(cut.wait, pause(failures)), cut)

    def _all(self, answer: Answer) -> None:
        """The whole file out of an answer without a range."""
        partial, at = self.partial, 0
        partial.begin(self.url, "", answer.length)
        generation = partial.generation
        for chunk in answer.chunks():
            partial.write(at, chunk, generation)
            at += len(chunk)
            self.tell()
        if answer.length is None:
            partial.end_here()
        elif at != answer.length:
            raise Cut(f"the connection ended after {amount(at)} of {amount(answer.length)}")

    def _ranges(self, client: Client) -> None:
        """The first range tells what the server can do; the rest comes in parts."""
        partial = self.partial
        known = partial.source == self.url and partial.size is not None and partial.version != ""
        if not known:
            partial.discard()
        if partial.whole:
            return
        if known:
            partial.ask_for_room()
        parts = _Parts(self)
        span = parts.next() if known else (0, _FIRST)
        assert span is not None
        try:
            with client.get(self.url, span, partial.version) as answer:
                if not answer.partial:
                    self._all(answer)
                    return
                if not known:
                    span = self._begin(answer)
                    parts = _Parts(self)
                    parts.claim(span)
                try:
                    parts.take(answer, span)
                except Cut as cut:
                    parts.hand_back(span, cut)
            parts.finish(client)
        finally:
            parts.stop()

    def _begin(self, answer: Answer) -> Span:
        """Begin the partial file with the first answer's range; returns it."""
        first, last, size = answer.range or (-1, 0, 0)
        if first != 0 or not last < size:
            raise _NoRanges("it answers with other bytes than those it was asked for")
        if not answer.version:  # two answers could be of two editions, and nobody would know
            raise _NoRanges("it does not say which edition of the file it has")
        self.partial.begin(self.url, answer.version, size)
        return 0, min(last + 1, _FIRST)

    def tell(self) -> bool:
        """Report, not too often; whether it was time."""
        now = time.monotonic()
        if now - self._reported <= _TELL:
            return False
        self._reported = now
        self._report(self.partial.covered, self.partial.size)
        return True

    def _sleep(self, seconds: float, reason: Cut) -> None:
        _log.info("%s; again in %.1f s", reason, seconds)
        if time.monotonic() + seconds > self.deadline:
            raise Refused(str(reason)) from reason
        time.sleep(seconds)


class _Parts:
    """What is missing of one edition of a file, shared out among connections.

    The caller's thread is the first connection and the last to give up.  The others are threads that go home
    when the server has had enough of them; a thread that waits for a dead server is left behind, and cannot
    write any more once the file is finished or begun anew.
    """

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._partial = transfer.partial
        self._generation = transfer.partial.generation
        self._version = transfer.partial.version
        self._caller = threading.current_thread()
        self._lock = threading.Lock()
        self._claimed: list[Span] = []
        self._others = 0  # threads at work
        self._alone = transfer.parts > 1  # whether there is still to decide about others
        self._began, self._had = time.monotonic(), self._partial.covered
        self._rest_until = 0.0
        self._stopped = False
        self._trouble: BaseException | None = None

    def claim(self, span: Span) -> None:
        """Nobody else fetches this."""
        with self._lock:
            self._claimed.append(span)

    def next(self) -> Span | None:
        """A span that is missing and that nobody fetches, claimed for the caller; ``None`` if there is none."""
        size = self._partial.size
        with self._lock:
            if self._stopped or size is None:
                return None
            most = size // (self._transfer.parts * 4)
            if self._alone:  # a request costs time; but others should find something to do if it becomes slow
                most = max(most, int(self._speed * _LOOK))
            most = min(max(most, _LEAST), _MOST)
            for hole in self._partial.missing():
                for start, end in _outside(hole, self._claimed):
                    span = start, min(end, start + most)
                    self._claimed.append(span)
                    return span
        return None

    @property
    def _speed(self) -> float:
        """Bytes a second so far."""
        return (self._partial.covered - self._had) / max(time.monotonic() - self._began, 0.001)

    def _call_others(self) -> None:
        """More connections, once it is known that one would be slow and there is enough for them to do."""
        if not self._alone or time.monotonic() - self._began < _LOOK:
            return
        left = sum(end - start for start, end in self._partial.missing())
        if left <= self._speed * _ALONE:
            return
        self._alone = False
        self._others = min(self._transfer.parts - 1, left // _LEAST)
        for _ in range(self._others):
            threading.Thread(target=self._work, daemon=True).start()

    def finish(self, client: Client) -> None:
        """Fetch until nothing is missing, in the caller's thread."""
        while not self._partial.whole:
            with self._lock:
                trouble = self._trouble
            if trouble is not None:
                raise trouble
            resting = time.monotonic() < self._rest_until and self._others
            span = None if resting else self.next()
            if span is None:  # the others are at it
                client.check_time()
                time.sleep(0.01)
                self._transfer.tell()
                continue
            try:
                self._fetch(client, span)
            except Cut as cut:
                self.hand_back(span, cut)

    def hand_back(self, span: Span, cut: Cut) -> None:
        """The caller's connection failed: it rests while others work, else that is the end of this attempt.

        Raises:
            Cut: no other connection is at work.
        """
        with self._lock:
            self._claimed.remove(span)
            if not self._others:
                raise cut
            self._rest_until = time.monotonic() + max(cut.wait, pause(1))

    def stop(self) -> None:
        """The threads end as soon as they notice."""
        with self._lock:
            self._stopped = True

    def take(self, answer: Answer, span: Span) -> None:
        """A span's bytes out of an answer.

        Raises:
            Cut: fewer came; what came is kept.
            _Changed: it is an answer to something else.
        """
        wanted = span[0], span[1] - 1, self._partial.size
        first, last, size = answer.range or (-1, 0, 0)
        # an answer may hold less than was asked for, not something else
        # and it need not name its version where it was asked for one by If-Range (RFC 9110, 15.3.7)
        other = answer.version not in ("", self._version)
        if (first, size) != (wanted[0], wanted[2]) or last > wanted[1] or other:
            raise _Changed("it has another file by now")
        at, end = span[0], last + 1
        for chunk in answer.chunks():
            piece = chunk[: end - at]
            self._partial.write(at, piece, self._generation)
            at += len(piece)
            if threading.current_thread() is self._caller and self._transfer.tell():
                self._call_others()
            if self._stopped or at == end:
                break
        if at < span[1] and not self._stopped:
            raise Cut(f"the connection ended after {amount(at - span[0])} of {amount(span[1] - span[0])}")

    def _work(self) -> None:
        """What each further connection does."""
        try:
            with Client(self._transfer.patience, self._transfer.deadline) as client:
                while (span := self.next()) is not None:
                    try:
                        self._fetch(client, span)
                    finally:
                        with self._lock:
                            self._claimed.remove(span)
        except (Cut, Refused):
            return  # the caller's thread takes over, and complains if it must
        except BaseException as error:  # raised again in the caller's thread
            with self._lock:
                self._trouble = self._trouble or error
        finally:
            with self._lock:
                self._others -= 1

    def _fetch(self, client: Client, span: Span) -> None:
        """One span with requests of its own; after a cut what it lacks, as long as something comes."""
        while True:
            try:
                with client.get(self._transfer.url, span, self._version) as answer:
                    if not answer.partial:
                        raise _Changed("it has another file by now")
                    self.take(answer, span)
                return
            except Cut:
                holes = [hole for hole in self._partial.missing() if span[0] <= hole[0] < span[1]]
                if self._stopped or not holes or holes[0][0] == span[0]:
                    raise
                span = holes[0][0], span[1]


def _outside(hole: Span, claimed: list[Span]) -> list[Span]:
    """What of a hole no claim covers."""
    start, end = hole
    found = []
    for first, last in sorted(claimed):
        if start < first:
            found.append((start, min(first, end)))
        start = max(start, last)
    found.append((start, end))
    return [span for span in found if span[0] < span[1]]
