"""Make one page of records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from porter.errors import WrongUsage
from porter.patch import Patch
from porter.project import Project
from porter.reports import page, records
from porter.reports.records import Record
from porter.stack import Stack, available


class Recorded(Protocol):
    """What verify, necessity, bench and drift return."""

    def record(self) -> dict[str, Any]:
        """Itself as plain data."""


def report(project: Project, given: Sequence[Path | Recorded], targets: Sequence[str] = ()) -> str:
    """The page of some records.

    Args:
        given: files that ``porter verify``, ``bench`` and ``drift`` wrote, or what they returned, in any order.
        targets: whose patches are listed; by default those that the records are about.

    Raises:
        WrongUsage: a file is no record, or is damaged; there is no such target.
        CheckFailed: a stack is malformed.
        SurroundingsFailed: a file cannot be read.
    """
    if not given:
        raise WrongUsage("no record named", hint="porter verify --json FILE writes one.")
    return _page(project, [_record(each) for each in given], targets)


def _record(given: Path | Recorded) -> Record:
    if isinstance(given, Path):
        return records.load(given)
    return records.of(json.loads(json.dumps(given.record())), Path("this run"))  # as its file would hold it


def _page(project: Project, found: Sequence[Record], targets: Sequence[str]) -> str:
    return page.page(found, _patches(project, targets or _ours(project, page.targets_of(found))))


def _ours(project: Project, named: Sequence[str]) -> list[str]:
    """Those of the targets that there is a stack for here: a record may come from another checkout."""
    return [name for name in named if name in available(project.patches)]


def _patches(project: Project, targets: Sequence[str]) -> tuple[Patch, ...]:
    return Stack.load(project, targets).patches if targets else ()
