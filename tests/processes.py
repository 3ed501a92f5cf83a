"""The processes that work in a folder, whoever started them."""

from __future__ import annotations

import os
import time
from pathlib import Path


def living(folder: Path) -> list[str]:
    """The processes whose working directory is in a folder; those that are dead and not yet reaped are none."""
    found = []
    for pid in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(pid / "cwd").startswith(str(folder)):
                found.append((pid / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended, or is dead
            continue
    return found


def none_left(folder: Path, seconds: float = 60) -> bool:
    """Whether all processes in a folder end soon."""
    until = time.monotonic() + seconds
    while living(folder):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def marked(name: str, value: str) -> list[str]:
    """The living processes that have a variable of this value in their environment."""
    wanted, found = f"{name}={value}".encode(), []
    for pid in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (pid / "environ").read_bytes().split(b"\0"):
                found.append((pid / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found
