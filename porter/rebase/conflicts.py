"""Why a patch does not apply: the files, both sides of every conflict, and the upstream commits that did it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from porter import git
from porter.git import GitFailed
from porter.git.objects import Entry
from porter.patch import Patch
from porter.patch.diff import lines
from porter.sources.history import History, UpstreamCommit
from porter.sources.snapshot import Snapshot
from porter.stack.build import Contents

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
}
_LINK = "120000"
_REGION = re.compile(rb"^<{7} ours\n(.*?)^\|{7} base\n(.*?)^={7}\n(.*?)^>{7} theirs\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Conflict:
    """A file that does not merge.

    Attributes:
        path: its path in the worktree.
        kind: one of the keys of ``_KINDS``.
        base, ours, theirs: its entry before the patch, in the worktree, and after the patch; None where absent.
    """

    path: str
    kind: str
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None


def read(unmerged: Sequence[str], patch: Patch) -> list[Conflict]:
    """The conflicts of a patch, from the index's rows: mode, blob, stage and path."""
    sides: dict[str, list[Entry | None]] = {}
    for row in unmerged:
        head, _, path = row.partition("\t")
        mode, blob, stage = head.split(" ")
        sides.setdefault(path, [None, None, None])[int(stage) - 1] = Entry(mode, blob)
    renamed = {change.new for change in patch.changes if change.kind == "rename"}
    return [Conflict(path, _kind(path, renamed, *three), *three) for path, three in sorted(sides.items())]


def _kind(path: str, renamed: set[str], base: Entry | None, ours: Entry | None, theirs: Entry | None) -> str:
    if ours and theirs:
        if (ours.mode == _LINK) != (theirs.mode == _LINK):
            return "type"
        return "content" if base else "add/add"
    if base and theirs:
        return "rename/delete" if path in renamed else "modify/delete"
    if base and ours:
        return "delete/modify"
    return "file/folder" if "~" in path else "rename/rename"  # git puts what is in a folder's way at NAME~COMMIT


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
    commits: tuple[UpstreamCommit, ...] = ()


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
    commits: tuple[UpstreamCommit, ...] = ()

    def record(self) -> dict[str, Any]:
        """As plain data."""

        def text(rows: Sequence[bytes]) -> str:
            return b"".join(rows).decode(errors="replace")

        def short(commits: Sequence[UpstreamCommit]) -> list[dict[str, str]]:
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


def clashes(found: Sequence[Conflict], contents: Contents, history: History, new: Snapshot) -> list[Clash]:
    """Every file of a conflict, with both sides and upstream's commits."""
    since, until = history.lock.pin.commit, new.base
    left = _MOST
    told = []
    for conflict in found:
        why = _KINDS[conflict.kind]
        if conflict.kind not in ("content", "add/add"):
            if conflict.ours is None and conflict.base and conflict.path not in history.lock.pin.files:
                why = "it is not there: the patch that adds it was left out"
            told.append(Clash(conflict.path, why, (), tuple(history.touching(since, until, conflict.path))))
            continue
        regions = _regions(conflict, contents, new)
        for place, region in enumerate(regions[:left] if conflict.path in new.files else ()):
            left -= 1
            commits = history.touching(since, until, conflict.path, (region.first, region.last))
            commits = commits or _removers(region, conflict.path, history, new)
            regions[place] = replace(region, commits=tuple(commits))
        told.append(Clash(conflict.path, why, tuple(regions)))
    return told


def favoured(conflict: Conflict, contents: Contents) -> tuple[str, bytes] | None:
    """The file, its mode first, if the patch has its way wherever it conflicts; None if the patch deletes it.

    Raises:
        ValueError: it cannot be told.
    """
    if conflict.kind not in ("content", "add/add", "modify/delete", "delete/modify"):
        raise ValueError(conflict.kind)
    theirs = conflict.theirs
    if theirs is None:
        return None
    return theirs.mode, _merged(conflict, contents, "--theirs") if conflict.base else contents[theirs.id]


def _merged(conflict: Conflict, contents: Contents, style: str) -> bytes:
    ours, base, theirs = (
        contents[entry.id] if entry else b"" for entry in (conflict.ours, conflict.base, conflict.theirs)
    )
    try:
        return git.merge(ours, base, theirs, style)[0]
    except GitFailed as error:
        if "binary" not in error.stderr:
            raise
        return ours  # as git leaves it in a merge


def _removers(region: Region, path: str, history: History, new: Snapshot) -> list[UpstreamCommit]:
    """The commits that took lines away of which nothing is left where they were, newest first."""
    gone = [line for line in region.base if line.strip() and line not in region.ours]
    texts = dict.fromkeys(line.decode("utf-8", "surrogateescape").rstrip("\n") for line in gone[:_FEW])
    found = [history.counting(history.lock.pin.commit, new.base, path, text) for text in texts]
    return list({step.id: step for steps in found for step in steps}.values())


def takers(
    patch: Patch, files: Mapping[str, Entry], contents: Contents, history: History, new: Snapshot
) -> list[UpstreamCommit]:
    """Upstream's commits that wrote the lines of a patch that is taken, as far as they can be told, newest first.

    Args:
        files: path -> entry, of the commit in which it turned out to be taken.
    """
    found: dict[str, UpstreamCommit] = {}
    for change in patch.changes:
        here = files.get(change.new)
        there = new.files.get(change.new)
        if here is None or there is None:
            if change.kind == "delete":
                steps = history.touching(history.lock.pin.commit, new.base, change.old)
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
                steps = history.touching(history.lock.pin.commit, new.base, change.new, span)
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


def _regions(conflict: Conflict, contents: Contents, new: Snapshot) -> list[Region]:
    parts = _REGION.split(_merged(conflict, contents, "--diff3"))  # the text before one, its three sides, and so on
    there = new.files.get(conflict.path)
    then = lines(contents[there.id]) if there else []
    now = [line for n, part in enumerate(parts) if n % 4 in (0, 1) for line in lines(part)]  # with ours in each
    at, found = 0, []
    for text, ours, base, theirs in zip(parts[0::4], parts[1::4], parts[2::4], parts[3::4]):
        start = at + len(lines(text))
        at = start + len(lines(ours))
        first, last = _span(then, now, start, at)
        found.append(Region(first, last, tuple(lines(base)), tuple(lines(ours)), tuple(lines(theirs))))
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
