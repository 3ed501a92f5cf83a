"""What verify proves: the modules here hold the checks, which register themselves in porter.verification.plan."""

from __future__ import annotations

from collections.abc import Sequence

from porter.errors import WrongUsage
from porter.target import Target
from porter.verification.checks import (  # noqa: F401  registers them
    behaviour,
    device,
    figures,
    inference,
    outside,
    running,
    source,
    tasks,
    training,
)
from porter.verification.plan import CHECKS, LEVELS, NAMES, Check


def known() -> dict[str, Check]:
    """Every check by name, in their order."""
    return {name: CHECKS[name] for name in NAMES}


def select(level: str, names: Sequence[str], target: Target) -> list[Check]:
    """The checks to make, in their order: those of a level, or the named ones.

    Raises:
        WrongUsage: there is no such check, or not for this target.
    """
    ours = {name: found for name, found in known().items() if found.feature in ("", *target.features)}
    for name in names:
        if name not in ours:
            raise WrongUsage(f"there is no check {name!r} for {target.name}", hint=f"There are: {', '.join(ours)}.")
    if names:
        return [found for name, found in ours.items() if name in names]
    return [found for found in ours.values() if LEVELS.index(found.level) <= LEVELS.index(level)]
