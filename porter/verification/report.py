"""How a check ends, for people (a line a check) and for programs (a record, of which porter.reports makes a page)."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from porter.output import heading

PASSED, FAILED, NOT_SHOWN = "passed", "failed", "not shown"


@dataclass(frozen=True)
class Outcome:
    """How a check ended.

    Attributes:
        check: its name.
        proves: what it is to prove.
        state: ``passed``, ``failed`` or ``not shown``.
        said: one line: what was found, or why not.
        seconds: how long it took, what it shares with others included where it came first.
        log: the end of what the failing program printed.
        command: what it was.
        repeat: the porter command that makes this check alone.
        figures: for programs, plain data.
    """

    check: str
    proves: str
    state: str
    said: str
    seconds: float
    log: str = ""
    command: str = ""
    repeat: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """A whole verification.

    Attributes:
        target, tree, device, data: what was checked, on what, with what, each in words.
        kind: of the device: ``hardware``, ``simulator``, ``emulated`` or ``cpu``.
        commit: the tree's, of git.
        upstream: the tag of the release that the tree is of.
        confinement: what kept the tree from other files and processes: ``namespaces``, ``landlock`` or ``none``.
        level: ``static``, ``smoke`` or ``full``.
        outcomes: in the order of the checks.
        seconds: all in all.
        date: when it ended.
    """

    target: str
    tree: str
    device: str
    data: str
    kind: str
    confinement: str
    level: str
    outcomes: tuple[Outcome, ...]
    seconds: float
    commit: str = ""
    upstream: str = ""
    date: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.state == FAILED]

    @property
    def summary(self) -> str:
        """The last line."""
        counts = {state: sum(o.state == state for o in self.outcomes) for state in (PASSED, FAILED, NOT_SHOWN)}
        parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        return f"{self.target}: {parts} in {self.seconds:.0f} s on {self.device}"

    def record(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return {
            **heading("verify"),
            "target": self.target,
            "tree": self.tree,
            "commit": self.commit,
            "upstream": self.upstream,
            "device": self.device,
            "emulated": self.kind == "emulated",
            "simulator": self.kind == "simulator",
            "data": self.data,
            "confinement": self.confinement,
            "level": self.level,
            "seconds": round(self.seconds, 2),
            "machine": platform.platform(),
            "date": self.date,
            "checks": [{**vars(outcome), "seconds": round(outcome.seconds, 2)} for outcome in self.outcomes],
        }

    def json(self) -> str:
        """The record as JSON, a check's figures in a line: there are many of them, and few look at them."""
        record = self.record()
        checks = [json.dumps(each, ensure_ascii=False) for each in record.pop("checks")]
        head = json.dumps(record, indent=2, ensure_ascii=False)[: -len("\n}")]
        return f'{head},\n  "checks": [\n    ' + ",\n    ".join(checks) + "\n  ]\n}\n"


# How a check ends: with a finding, or with an exception that says what failed or why nothing can be shown.


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
