"""Things measured in turn, so that what else the machine does falls on all alike; and what is said of the results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

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


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """The ratio in each round: both were measured one right after the other."""
    return [a / b for a, b in zip(over, under)]


def spread(values: Sequence[float], unit: str, scale: float = 1.0) -> str:
    """Median and range, as ``12.3 ms (11.9 to 14.0)``."""
    low, middle, high = (scale * v for v in (min(values), statistics.median(values), max(values)))
    return f"{middle:.4g} {unit} ({low:.4g} to {high:.4g})".replace("  ", " ")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many percent lie, between two neighbours in proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
