"""The checks by name: what each proves, and from which level on it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from porter.errors import WrongUsage

if TYPE_CHECKING:
    from porter.target import Target
    from porter.verification.session import Session

LEVELS = ("static", "smoke", "full")
# The checks, in the order in which they are reported.  Who needs no more than the names need not import them.
NAMES = (
    "tree", "audit", "import", "probe", "train", "parity", "finetune", "resume", "learns", "amp", "fp16", "multi-scale",
    "ema", "early-stop", "ddp", "metrics", "pictures", "schedule", "anchors", "boxes", "clock", "save", "downloads",
    "warnings", "checkpoint", "val", "accuracy", "reference", "converges", "detect", "export", "hub", "graph", "safety",
    "untrusted", "ops", "transfers",
)  # fmt: skip


class Failed(Exception):
    """A check found what it must not find.

    Args:
        why: what, in a line.
        log: the end of what the program printed.
        command: what was run.

    Attributes:
        figures: for the report, see :func:`showing`.
    """

    def __init__(self, why: str, log: str = "", command: str = "") -> None:
        super().__init__(why)
        self.why, self.log, self.command = why, log, command
        self.figures: dict[str, Any] = {}


class NotShown(Exception):
    """A check cannot be made on this device; the message says why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.figures: dict[str, Any] = {}


@contextmanager
def showing(figures: Mapping[str, Any]) -> Iterator[None]:
    """What is in the block may fail: the report is to show these figures all the same."""
    try:
        yield
    except (Failed, NotShown) as error:
        error.figures = {**figures, **error.figures}
        raise


@dataclass(frozen=True)
class Finding:
    """What a check that passed has to say.

    Attributes:
        said: one line.
        figures: for programs, the report's page among them; plain data.
    """

    said: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One thing that verify proves.

    Attributes:
        name: as ``--check`` and a patch's ``Check:`` have it.
        level: from which level on it runs.
        proves: one line.
        feature: what of ``features`` in target.yaml a target must have; empty for every target.
    """

    name: str
    level: str
    proves: str
    make: Callable[[Session], Finding]
    feature: str = ""


_CHECKS: dict[str, Check] = {}


def check(
    level: str, proves: str, *, name: str = "", feature: str = ""
) -> Callable[[Callable[[Session], Finding]], Callable[[Session], Finding]]:
    """Make a function a check; its name is the check's, dashes for underscores."""

    def register(make: Callable[[Session], Finding]) -> Callable[[Session], Finding]:
        called = name or make.__name__.rstrip("_").replace("_", "-")
        assert called in NAMES, called
        _CHECKS[called] = Check(called, level, proves, make, feature)
        return make

    return register


def known() -> dict[str, Check]:
    """Every check by name, in their order."""
    from porter.verification import checks  # noqa: F401  registers them

    return {name: _CHECKS[name] for name in NAMES}


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
