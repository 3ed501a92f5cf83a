"""Signals that end porter: they become exceptions, and wait while something must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(BaseException):
    """SIGTERM or SIGHUP came.  Like KeyboardInterrupt it is no Exception: clean up, then go."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def install() -> None:
    """Let SIGTERM and SIGHUP raise :class:`Terminated` and SIGINT KeyboardInterrupt: what they interrupt is cleaned up.

    A signal that the caller ignores (``nohup``) stays ignored.
    """
    for number in ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _raise)


@contextmanager
def held() -> Iterator[None]:
    """Let the block run to its end; a signal that came meanwhile takes effect after it.

    Outside the main thread nothing is done: Python handles signals in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING}
    # None is a handler that was not set from Python, which could not be put back
    caught = [number for number in ENDING if before[number] not in (signal.SIG_IGN, None)]
    for number in caught:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number])
        for number in came[:1]:
            signal.raise_signal(number)
