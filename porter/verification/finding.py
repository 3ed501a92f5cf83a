"""How a check ends: with a finding, or with an exception that says what failed or why nothing can be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


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
