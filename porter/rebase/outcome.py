"""What a bump has to say: what became of each patch, where a person is needed, what was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from porter.output import counted, printable
from porter.patch import Patch
from porter.patch.diff import lines
from porter.rebase.conflicts import Clash
from porter.rebase.new_pin import NewPin
from porter.verification.report import FAILED, Outcome

DONE, HALTED, PAUSED, DRY, ALREADY = "done", "halted", "paused", "dry run", "already"
# what becomes of a patch
APPLIES = "applies"  # every hunk is where its header says
OFFSET = "offset"  # every hunk is there, some elsewhere
MERGED = "merged"  # three-way, without a conflict
RESOLVED = "resolved"  # by a person, now or before
TAKEN = "taken"  # upstream has it by now
SKIPPED = "skipped"  # left out by a person
CONFLICT = "conflict"
OUTCOMES = (APPLIES, OFFSET, MERGED, RESOLVED, TAKEN, SKIPPED, CONFLICT)


@dataclass(frozen=True)
class PatchOutcome:
    """What became of one patch, for people and programs.

    Attributes:
        patch, subject: its id and subject.
        label: what a person calls it, ``common/12``.
        outcome: one of :data:`OUTCOMES`.
        said: what else is to be said of it.
    """

    patch: str
    label: str
    subject: str
    outcome: str
    said: str = ""


@dataclass(frozen=True)
class Halt:
    """Where a person is needed.

    Attributes:
        patch, label, subject: of the patch that does not apply.
        files: what does not merge; none if the person asked to halt here.
        folder: where to resolve it.
        strays: files there that git does not know, from earlier.
    """

    patch: str
    label: str
    subject: str
    files: tuple[Clash, ...]
    folder: Path
    strays: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bump:
    """What a command did.

    Attributes:
        state: ``done``, ``halted``, ``paused`` (some targets are rebased, others are to follow), ``dry run`` or
            ``already`` (the pin is there).
        origin: the old pin, in words.
        new_pin: where it goes; None if it is there already.
        rows: the patches that were decided in this run, in order.
        counts: outcome -> how many patches have it by now, all runs together.
        halt: where a person is needed.
        waiting: targets that are still to be rebased.
        checks: target -> outcomes of `verify --level static`.
        files: how many files of the project changed.
        suspects: what of the new patches a person should look at again, a line each.
    """

    state: str
    origin: str
    new_pin: NewPin | None
    rows: tuple[PatchOutcome, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    halt: Halt | None = None
    waiting: tuple[str, ...] = ()
    checks: dict[str, list[Outcome]] = field(default_factory=dict)
    files: int = 0
    suspects: tuple[str, ...] = ()

    @property
    def conflicts(self) -> bool:
        """Whether a patch waits for a person, or would."""
        return self.state == HALTED or bool(self.counts.get(CONFLICT))

    @property
    def failed(self) -> list[tuple[str, Outcome]]:
        """Target and outcome of the checks that the new trees do not pass."""
        return [(name, found) for name, some in self.checks.items() for found in some if found.state == FAILED]

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "state": self.state,
            "from": self.origin,
            "to": self.new_pin.record() if self.new_pin else None,
            "patches": [vars(row) for row in self.rows],
            "counts": self.counts,
            "conflict": {
                "patch": self.halt.patch,
                "subject": self.halt.subject,
                "folder": str(self.halt.folder),
                "files": [clash.record() for clash in self.halt.files],
            }
            if self.halt
            else None,
            "waiting": list(self.waiting),
            "verify": {name: [vars(outcome) for outcome in found] for name, found in self.checks.items()},
            "files": self.files,
            "suspects": list(self.suspects),
        }


# What of a bump a person should look at again, though it applies: patches that grew, and lines of upstream's lost.

# a patch is pointed at that changes more than this many times as many lines as before, and at least so many more
TIMES, MORE = 3, 100


def suspects(
    old: Mapping[str, Patch],
    new: Iterable[Patch],
    before: Callable[[str], bytes],
    after: Callable[[str], bytes],
) -> list[str]:
    """A line for each patch that grew out of proportion, or takes away what upstream added.

    Args:
        old: patch's id -> the patch as it was.
        new: the patches of the new stacks.
        before, after: a path -> the file at the old pin and at the new one, empty where there is none.
    """
    return [line for patch in new if patch.id in old for line in _of_patch(old[patch.id], patch, before, after)]


def _of_patch(old: Patch, new: Patch, before: Callable[[str], bytes], after: Callable[[str], bytes]) -> Iterable[str]:
    was, now = _size(old), _size(new)
    if now > TIMES * was and now - was >= MORE:
        yield f"{new.id} changes {counted(now, 'line')}, and changed {was} before"
    gone = _removed(old)
    for path, rows in _removed(new).items():
        extra = rows - gone.get(path, Counter())
        if not extra:  # as of most patches: the files need not be read
            continue
        added = Counter(lines(after(path))) - Counter(lines(before(path)))
        lost = [row for row in extra if row.strip() and added[row]]
        if lost:
            first = printable(lost[0].decode(errors="replace").strip())
            yield f"{new.id} takes away {counted(len(lost), 'line')} that upstream added to {path}: {first}"


def _size(patch: Patch) -> int:
    """The lines that a patch adds and takes away."""
    return sum(row[:1] in (b"+", b"-") for change in patch.changes for hunk in change.hunks for row in hunk.body)


def _removed(patch: Patch) -> dict[str, Counter[bytes]]:
    """Path -> the lines that a patch takes away there."""
    found: dict[str, Counter[bytes]] = {}
    for change in patch.changes:
        rows = chain.from_iterable(hunk.body for hunk in change.hunks)
        found.setdefault(change.old, Counter()).update(row[1:] for row in rows if row[:1] == b"-")
    return found
