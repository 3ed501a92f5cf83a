"""How a program ends: not before torch's threads are done with their last backward pass.

The autograd engine has a thread for each device.  One that still lets go of Python objects while the interpreter is
being taken down is ended by Python, inside C++ that answers with SIGABRT: a program whose last act is ``backward()``
died that way more often than not (torch 2.13; with any device but the CPU, whose passes run in the calling thread).
"""

from __future__ import annotations

import atexit
import time
from pathlib import Path

_TASKS = Path("/proc/self/task")
_TIMEOUT = 2.0  # seconds
_PAUSE = 0.002


def wait_for_autograd() -> None:
    """Have the interpreter wait, when it ends, until those threads have nothing to do."""
    atexit.register(_settle)


def _settle() -> None:
    """Wait until no thread of the engine has run between two looks; sleeping gives them the interpreter."""
    until = time.monotonic() + _TIMEOUT
    before = _ran()
    while before and time.monotonic() < until:
        time.sleep(_PAUSE)
        now = _ran()
        if now == before and "R" not in {state for state, _ in now.values()}:
            return
        before = now


def _ran() -> dict[str, tuple[str, str]]:
    """Of each thread of the engine its state, and how often it went to sleep; nothing where there is no /proc."""
    found = {}
    try:
        for task in _TASKS.iterdir():
            if (task / "comm").read_text(encoding="utf-8").startswith("pt_autograd"):
                lines = (task / "status").read_text(encoding="utf-8").splitlines()
                fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
                found[task.name] = fields["State"][0], fields["voluntary_ctxt_switches"]
    except (OSError, KeyError):  # a thread that has ended meanwhile, or another system
        return {}
    return found
