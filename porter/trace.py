"""What porter runs, asks and writes, told while it does it: ``--verbose``.

Modules tell it to the standard library's logging, each under its own name below ``porter``, at the level DEBUG, or INFO
for what was decided; a program that uses porter listens as it does to any package.  Nothing is worked out for a line
that nobody wants to read.
"""

from __future__ import annotations

import logging
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

_SECRET = re.compile(r"(?<=://)[^/@\s]+@")


def discreet(text: object) -> str:
    """A text without what a URL in it holds before its host: that may be a password."""
    return _SECRET.sub("", str(text))


class Timed:
    """A program that runs: told when it has ended, with what it took.

    Args:
        log: the logger of the module that runs it.
        words: the command.
    """

    def __init__(self, log: logging.Logger, words: Iterable[object]) -> None:
        self._log, self._words, self._started = log, words, time.monotonic()

    def ended(self, how: object) -> None:
        """Tell it; ``how`` is its exit status, or how it ended in words."""
        if self._log.isEnabledFor(logging.DEBUG):
            took = time.monotonic() - self._started
            self._log.debug(
                "%s  (%s, %.3f s)", discreet(shlex.join(map(str, self._words))), how if how != 0 else "done", took
            )


class _Lines(logging.Handler):
    """A line each on standard error, as that is now: a progress bar stands in for it while there is one."""

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, with the seconds since porter began to listen."""
        name = record.name.rpartition(".")[2]
        with suppress(OSError, ValueError):  # standard error is closed: nobody reads it
            print(f"{time.monotonic() - self._started:8.3f} {name}: {record.getMessage()}", file=sys.stderr)


def listen() -> Callable[[], None]:
    """Have everything told on standard error from now on; what is returned tells how long it was."""
    log, started = logging.getLogger("porter"), time.monotonic()
    if not any(isinstance(handler, _Lines) for handler in log.handlers):
        log.addHandler(_Lines())
    log.setLevel(logging.DEBUG)
    log.propagate = False
    return lambda: log.debug("%.3f s in all", time.monotonic() - started)
