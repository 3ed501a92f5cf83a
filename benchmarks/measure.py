"""What the benchmarks share: timing things in turn, so that what else the machine does falls on all alike."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")


def in_turn(repeats: int, subjects: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Measure each subject once, then each again, ``repeats`` times over; subject -> its measurements.

    Every other round goes backwards, so that no subject always follows the same one.
    """
    found: dict[str, list[T]] = {name: [] for name in subjects}
    for turn in range(repeats):
        names = list(subjects) if turn % 2 == 0 else list(reversed(list(subjects)))
        for name in names:
            found[name].append(subjects[name]())
    return found


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


def spread(values: Sequence[float], unit: str, scale: float = 1.0) -> str:
    """Median and range, as ``12.3 ms (11.9 to 14.0)``."""
    low, middle, high = (scale * v for v in (min(values), statistics.median(values), max(values)))
    return f"{middle:.4g} {unit} ({low:.4g} to {high:.4g})"


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """The ratio in each round: both were measured one right after the other."""
    return [a / b for a, b in zip(over, under)]


def machine() -> str:
    """The machine in a line: cores, memory, system, Python and git."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}, {git}, load {os.getloadavg()[0]:.1f}"
    )
