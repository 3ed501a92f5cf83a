"""What the benchmarks share: timing things in turn, so that what else the machine does falls on all alike."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from porter.commands.bench import in_turn, ratios, spread

__all__ = ["Cost", "cost", "in_turn", "machine", "ratios", "seconds", "spread"]


class Cost(NamedTuple):
    """What a command took: seconds by the clock, and seconds of all processors together."""

    wall: float
    cpu: float


def seconds(command: Sequence[object], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> float:
    """The wall time of a command that has to succeed, of an installed program: with its byte code written."""
    return cost(command, cwd, env).wall


def cost(command: Sequence[object], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Cost:
    """Like :func:`seconds`, with the processors' time, in which other programs' work does not count."""
    words = [str(word) for word in command]
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        words, cwd=cwd, env={**inherited, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    took = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with status {done.returncode}:\n{done.stdout.decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def machine() -> str:
    """The machine in a line: cores, memory, system, Python and git."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}, {git}, load {os.getloadavg()[0]:.1f}"
    )


def put_font(folder: Path) -> None:
    """Put Matplotlib's font there, as the Arial.ttf that v6.0 would download."""
    import matplotlib

    shutil.copy(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", folder / "Arial.ttf")
