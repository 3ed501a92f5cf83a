"""Whether porter may use the network: ``--offline``, or ``PORTER_OFFLINE`` in the environment, forbids it.

The variable holds for what porter starts, too.  What is in the cache, folders and clones on this machine stay usable.
"""

from __future__ import annotations

import os

VARIABLE = "PORTER_OFFLINE"
WHY = f"porter is offline (--offline, {VARIABLE})"


def is_offline() -> bool:
    """Whether the network is forbidden: the variable is there, and neither empty nor 0."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def forbid() -> None:
    """Forbid it from now on, to what this process starts, too."""
    os.environ[VARIABLE] = "1"
