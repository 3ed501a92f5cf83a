"""Threads of a block: none outlives it."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import CancelledError

import pytest

from porter import process


def test_what_did_not_begin_never_does_and_the_rest_is_told_to_stop() -> None:
    stopped, began = threading.Event(), threading.Event()
    ran = []

    def work(number: int) -> None:
        ran.append(number)
        began.set()
        assert stopped.wait(10)

    with pytest.raises(ZeroDivisionError), process.threads(1, "mine", stopped.set) as threads:
        futures = [threads.submit(work, number) for number in range(3)]
        assert began.wait(10)
        raise ZeroDivisionError
    assert ran == [0]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mine")]
    with pytest.raises(CancelledError):
        futures[2].result()


def test_a_thread_whose_start_a_signal_meets_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment between its start and the pool's knowing of it; a real signal, at a moment that is chosen."""
    ended = []

    def work() -> None:
        time.sleep(0.3)
        ended.append(True)

    start = threading.Thread.start

    def met(thread: threading.Thread) -> None:
        start(thread)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), process.threads(1) as threads:
        monkeypatch.setattr(threading.Thread, "start", met)
        threads.submit(work)
    assert ended == [True]
