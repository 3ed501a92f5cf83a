"""How long porter waits for a server that says nothing, and how often it tries again."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

from porter.downloads.drivers.metered_pip import SLOWEST
from porter.errors import WrongUsage

# Seconds without a word after which a server counts as dead.
VARIABLE = "PORTER_TIMEOUT"
_SECONDS = 60.0
_FIRST, _MOST = 0.5, 30.0  # seconds before the second try, and before any


def timeout() -> float:
    """Seconds without a byte after which a connection counts as dead: ``PORTER_TIMEOUT``, else 60.

    Raises:
        WrongUsage: the variable is no number of seconds.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text or _SECONDS)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise WrongUsage(f"{VARIABLE} should be a number of seconds, not {text!r}")
    return seconds


@dataclass(frozen=True)
class RetryPolicy:
    """When a download tries again, and when it gives up.

    Attributes:
        timeout: seconds without a byte after which a connection counts as dead.
        slowest: bytes a second, over ``timeout`` seconds of waiting, below which a connection counts as dead too.
        tries: how often a server may fail in a row, with nothing received in between, before it is given up.
        longest_wait: the longest that a server may ask us to wait before the next try, in seconds.
        total: seconds that everything together may take.
    """

    timeout: float = field(default_factory=timeout)
    slowest: float = SLOWEST
    tries: int = 4
    longest_wait: float = 120.0
    total: float = float("inf")


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row: twice as long each time, up to ``_MOST``.

    A random share of it is taken, so that many clients of a server that was down do not all come back at once.
    """
    longest: float = min(_FIRST * 2 ** (failures - 1), _MOST)
    return longest * random.uniform(0.5, 1.0)
