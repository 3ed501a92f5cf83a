"""What became of a patch from line to line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SAME, CHANGED, ADDED, DROPPED = "same", "changed", "added", "dropped"


@dataclass(frozen=True)
class Way:
    """A patch's way through the lines.

    Attributes:
        patch: its id, as the last line that has it calls it.
        lines: line -> how many lines the patch adds and takes away there; only those that have it.
        steps: line, from the second on -> what became of the patch for it: ``same`` (it adds and takes away the same
            lines, whatever stands around them), ``changed``, ``added`` or ``dropped``; only where it is or was.
    """

    patch: str
    lines: Mapping[str, int]
    steps: Mapping[str, str]

    @property
    def touched(self) -> tuple[str, ...]:
        """The releases for which it was changed or added."""
        return tuple(line for line, step in self.steps.items() if step in (CHANGED, ADDED))

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"patch": self.patch, "lines": dict(self.lines), "steps": dict(self.steps), "touched": self.touched}
