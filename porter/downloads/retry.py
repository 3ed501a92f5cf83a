"""Whether porter may use the network, how long it waits for a server that says nothing, how often it tries again."""

from __future__ import annotations

import os
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

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


# Whether porter may use the network: ``--offline``, or ``PORTER_OFFLINE`` in the environment, forbids it.
#
# The variable holds for what porter starts, too.  What is in the cache, folders and clones on this machine stay usable.

OFFLINE_VARIABLE = "PORTER_OFFLINE"
WHY = f"porter is offline (--offline, {OFFLINE_VARIABLE})"


def is_offline() -> bool:
    """Whether the network is forbidden: the variable is there, and neither empty nor 0."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


def forbid() -> None:
    """Forbid it from now on, to what this process starts, too."""
    os.environ[OFFLINE_VARIABLE] = "1"


# pip of an interpreter, which asks the index, proxy and certificates that its user has set.

_PROGRAM = Path(__file__).parent / "drivers/metered_pip.py"


def pip(python: str) -> list[str]:
    """The words that ``python -m pip`` is run with, but given up where a server sends less than 1000 bytes a second.

    That is counted over ``PORTER_TIMEOUT`` seconds of waiting, or over those that pip's own variable allows for a
    server's silence, if they are more; pip's own time-out and retries stay what the user has set.

    Raises:
        WrongUsage: ``PORTER_TIMEOUT`` is no number of seconds.
    """
    own = [os.environ.get(name, "") for name in ("PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT")]
    seconds = max([timeout(), *(float(text) for text in own if re.fullmatch(r"\d{1,6}(\.\d*)?", text))])
    return [python, str(_PROGRAM), f"{seconds:g}"]
