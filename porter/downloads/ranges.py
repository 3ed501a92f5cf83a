"""Download one URL into a partial file over one connection, and go on where a connection broke.

A server that gives ranges and names the edition of its file (ETag or date) is asked after a cut for what is missing, by
Range and If-Range; any other gives the file from the start each time.  What a server claims is compared with what was
asked and what came; nothing here decides whether the bytes are the right ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from porter.downloads.http import Answer, Client, Cut, NoSuchRange, Refused, shown
from porter.downloads.partial import Partial, amount
from porter.downloads.retry import RetryPolicy, pause

_TELL = 0.1  # seconds between two reports

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
        report: called now and then with the bytes there and in the whole file.
    """

    def __init__(self, url: str, partial: Partial, policy: RetryPolicy, report: Report) -> None:
        self.url, self._name = url, shown(url)  # a password of it is not written down
        self.partial = partial
        self.policy = policy
        self.deadline = time.monotonic() + policy.total
        self._report = report
        self._reported = 0.0

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
                self._tell()
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

    def _tell(self) -> None:
        """Report, not too often."""
        now = time.monotonic()
        if now - self._reported > _TELL:
            self._reported = now
            self._report(self.partial.length, self.partial.size)

    def _sleep(self, seconds: float, reason: Cut) -> None:
        _log.info("%s; again in %.1f s", reason, seconds)
        if time.monotonic() + seconds > self.deadline:
            raise Refused(str(reason)) from reason
        time.sleep(seconds)
