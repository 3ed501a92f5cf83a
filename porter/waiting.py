"""Waiting for another porter: one way to take a lock on a file."""

from __future__ import annotations

import fcntl
import time

from porter.errors import SurroundingsFailed


def lock(descriptor: int, seconds: float, busy: str, hint: str = "") -> None:
    """Lock an open file for this process, or whoever inherits the descriptor; closing it ends that.

    Args:
        seconds: how long to wait for another porter to let go of it.
        busy: what to say if it does not.
        hint: what to do then.

    Raises:
        SurroundingsFailed: another porter keeps it.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise SurroundingsFailed(busy, hint=hint) from error
            time.sleep(0.02)
