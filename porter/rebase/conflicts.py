"""Why a patch does not fit: the files, both sides of every conflict, and the upstream commits that did it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from porter.diff import lines
from porter.objects import Entry
from porter.rebase import threeway
from porter.rebase.merge import Conflict
from porter.rebase.replay import Fate
from porter.rebase.threeway import Sides
from porter.sources.history import History, Step
from porter.sources.snapshot import Snapshot
from porter.stack import Contents

_MOST = 12  # regions whose commits are looked for: each costs a walk through upstream's history
_FEW = 3  # lines of a region that are looked for by their text
_KINDS = {
    "content": "both changed the same lines",
    "add/add": "upstream has a file of that name by now",
    "modify/delete": "upstream has this file no more",
    "delete/modify": "the patch deletes it, and upstream changed it",
    "rename/delete": "the patch renames it, and upstream has it no more",
    "rename/add": "the patch renames a file to this name, and there is one",
    "rename/rename": "both renamed it, to different names",
    "type": "it is a link on one side and a file on the other",
    "file/folder": "a file and a folder have the same name",
    "no index": "upstream renamed it, and the patch has no line to follow it by",
}
_MARK = re.compile(rb"(<{7}|\|{7}|>{7}) |={7}\n")


@dataclass(frozen=True)
class Region:
    """A place where both sides changed the same lines.

    Attributes:
        first, last: the lines at the upstream commit, from 1; of what is gone there, the lines around it.
        base, ours, theirs: the lines before the patch, as they are now, and as the patch has them.
        commits: upstream's commits that touched them, newest first.
    """

    first: int
    last: int
    base: tuple[bytes, ...]
    ours: tuple[bytes, ...]
    theirs: tuple[bytes, ...]
    commits: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Clash:
    """A file of a conflict.

    Attributes:
        path: its path.
        why: one line.
        regions: where both sides changed the same lines.
        commits: upstream's commits that changed the file, newest first, where there are no regions.
    """

    path: str
    why: str
    regions: tuple[Region, ...] = ()
    commits: tuple[Step, ...] = ()

    def record(self) -> dict[str, Any]:
        """As plain data."""

        def text(rows: Sequence[bytes]) -> str:
            return b"".join(rows).decode(errors="replace")

        def short(commits: Sequence[Step]) -> list[dict[str, str]]:
            return [{"commit": step.id, "date": step.date, "subject": step.subject} for step in commits]

        regions = [
            {
                "lines": [region.first, region.last],
                "base": text(region.base),
                "upstream": text(region.ours),
                "patch": text(region.theirs),
                "commits": short(region.commits),
            }
            for region in self.regions
        ]
        return {"path": self.path, "why": self.why, "regions": regions, "commits": short(self.commits)}


def marked(conflict: Conflict, contents: Contents, labels: tuple[str, str, str]) -> bytes:
    """A file with all three sides of each conflict between marks, as a person is to find it.

    Args:
        labels: what the file as it is, the file before the patch and the patch are called.
    """
    base, ours, theirs = (
        contents[entry.id] if entry else b"" for entry in (conflict.base, conflict.ours, conflict.theirs)
    )
    return threeway.marked(Sides(base, ours, theirs), *labels)


def content(conflict: Conflict, contents: Contents, labels: tuple[str, str, str]) -> bytes | None:
    """What stands in the folder at a conflict's path; None for no file."""
    if conflict.kind in ("content", "add/add"):
        return marked(conflict, contents, labels)
    entry = conflict.ours or conflict.theirs or conflict.base
    return contents[entry.id] if entry else None


def clashes(fate: Fate, contents: Contents, history: History, goal: Snapshot) -> list[Clash]:
    """Every file of a conflict, with both sides and upstream's commits."""
    since, until = history.lock.pin.commit, goal.base
    left = _MOST
    found = []
    for conflict in fate.placing.conflicts:
        why = _KINDS.get(conflict.kind, conflict.kind)
        if conflict.kind not in ("content", "add/add"):
            if conflict.ours is None and conflict.base and conflict.path not in history.lock.pin.files:
                why = "it is not there: the patch that adds it was left out"
            found.append(Clash(conflict.path, why, (), tuple(history.touching(since, until, conflict.path))))
            continue
        regions = _regions(conflict, contents, goal)
        told = []
        for region in regions:
            if left and conflict.path in goal.files:
                left -= 1
                span = (region.first, region.last)
                commits = history.touching(since, until, conflict.path, span)
                region = replace(region, commits=tuple(commits or _removers(region, conflict.path, history, goal)))
            told.append(region)
        found.append(Clash(conflict.path, why, tuple(told)))
    return found


def _removers(region: Region, path: str, history: History, goal: Snapshot) -> list[Step]:
    """The commits that took lines away of which nothing is left where they were, newest first."""
    gone = [line for line in region.base if line.strip() and line not in region.ours]
    texts = dict.fromkeys(line.decode("utf-8", "surrogateescape").rstrip("\n") for line in gone[:_FEW])
    found = [history.counting(history.lock.pin.commit, goal.base, path, text) for text in texts]
    return list({step.id: step for steps in found for step in steps}.values())


def takers(fate: Fate, contents: Contents, history: History, goal: Snapshot) -> list[Step]:
    """Upstream's commits that wrote the lines of a patch that is taken, as far as they can be told, newest first."""
    files: Mapping[str, Entry] = fate.files or {}
    found: dict[str, Step] = {}
    for change in fate.patch.changes:
        here = files.get(change.new)
        there = goal.files.get(change.new)
        if here is None or there is None:
            if change.kind == "delete":
                steps = history.touching(history.lock.pin.commit, goal.base, change.old)
                found.update((step.id, step) for step in steps[:1])
            continue
        now, then = lines(contents[here.id]), lines(contents[there.id])
        for hunk in change.hunks:
            back = hunk.reversed
            place = back.find(now, bytearray(len(now)))
            if place is None:
                continue
            for first, last in _added(hunk.body):
                span = _span(then, now, place + first, place + last)
                steps = history.touching(history.lock.pin.commit, goal.base, change.new, span)
                found.update((step.id, step) for step in steps[:1])
    return list(found.values())


def _added(body: Sequence[bytes]) -> list[tuple[int, int]]:
    """The runs of added lines of a hunk, as half-open ranges in its new lines; where it only takes away, that place."""
    runs: list[tuple[int, int]] = []
    at = 0
    for row in body:
        if row[:1] == b"+":
            if runs and runs[-1][1] == at:
                runs[-1] = (runs[-1][0], at + 1)
            else:
                runs.append((at, at + 1))
        elif row[:1] == b"-" and not (runs and runs[-1][1] == at):
            runs.append((at, at))
        if row[:1] in (b"+", b" "):
            at += 1
    return runs


def _regions(conflict: Conflict, contents: Contents, goal: Snapshot) -> list[Region]:
    text = lines(marked(conflict, contents, ("ours", "base", "theirs")))
    settled: list[bytes] = []  # the text with the present side in each region: what its lines are counted in
    spans: list[tuple[int, int, dict[bytes, list[bytes]]]] = []
    sides: dict[bytes, list[bytes]] = {}
    side = b""
    for line in text:
        mark = _MARK.match(line)
        sort = line[:1] if mark else b""
        if sort == b"<" and not side:
            side, sides = b"<", {b"<": [], b"|": [], b"=": []}
        elif side and sort in (b"|", b"="):
            side = sort
        elif side and sort == b">":
            spans.append((len(settled), len(settled) + len(sides[b"<"]), sides))
            settled += sides[b"<"]
            side = b""
        elif side:
            sides[side].append(line)
        else:
            settled.append(line)
    there = goal.files.get(conflict.path)
    then = lines(contents[there.id]) if there else []
    found = []
    for start, end, three in spans:
        first, last = _span(then, settled, start, end)
        found.append(Region(first, last, tuple(three[b"|"]), tuple(three[b"<"]), tuple(three[b"="])))
    return found


def _span(then: Sequence[bytes], now: Sequence[bytes], start: int, end: int) -> tuple[int, int]:
    """The half-open range of ``now`` as lines of ``then``, first and last, from 1; an empty one with its neighbours."""
    low, high = 0, len(then)
    for tag, a, b, c, d in difflib.SequenceMatcher(None, then, now, autojunk=False).get_opcodes():
        if c <= start <= d:
            low = a + (start - c) if tag == "equal" else a
        if c <= end <= d:
            high = a + (end - c) if tag == "equal" else b
            if d > end or end == len(now):
                break
    if low >= high:
        low, high = max(low - 1, 0), min(max(low, high) + 1, len(then))
    return low + 1, max(high, low + 1)
