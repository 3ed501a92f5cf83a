"""What a check is: its name, what it proves, and from which level on it runs.  Checks register themselves here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from porter.verification.report import Finding

if TYPE_CHECKING:
    from porter.verification.session import Session

LEVELS = ("static", "smoke", "full")
# The checks, in the order in which they are reported.  Who needs no more than the names need not import them.
NAMES = (
    "tree", "audit", "import", "probe", "train", "parity", "finetune", "resume", "learns", "amp", "fp16", "multi-scale",
    "ema", "early-stop", "ddp", "metrics", "pictures", "schedule", "anchors", "boxes", "clock", "save", "downloads",
    "warnings", "checkpoint", "val", "accuracy", "reference", "converges", "detect", "export", "hub", "graph",
    "segment", "classify", "safety", "untrusted", "ops", "transfers",
)  # fmt: skip


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


CHECKS: dict[str, Check] = {}  # by name; complete once porter.verification.checks is imported


def check(
    level: str, proves: str, *, name: str = "", feature: str = ""
) -> Callable[[Callable[[Session], Finding]], Callable[[Session], Finding]]:
    """Make a function a check; its name is the check's, dashes for underscores."""

    def register(make: Callable[[Session], Finding]) -> Callable[[Session], Finding]:
        called = name or make.__name__.rstrip("_").replace("_", "-")
        assert called in NAMES, called
        CHECKS[called] = Check(called, level, proves, make, feature)
        return make

    return register
