"""Finding, or being told, the upstream commit that foreign patches are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Callable

from porter.errors import CheckFailed, PorterError
from porter.foreign.fit import Candidate, Judge, best, line_of
from porter.lockfile import Lock
from porter.objects import Entry, Object
from porter.output import Progress
from porter.sources.history import DEFAULT, History
from porter.sources.snapshot import Snapshot


@dataclass(frozen=True)
class Base:
    """What foreign patches are for.

    Attributes:
        name: what to call the commit, ``v6.0``.
        commit: its id.
        files: its files, as far as they are at hand.
        objects: their blobs.
        fit: how well it fits, in words.
    """

    name: str
    commit: str
    files: Mapping[str, Entry]
    objects: Mapping[str, Object]
    fit: str


def named(rev: str, history: History) -> Base:
    """The commit that somebody named.

    Raises:
        WrongUsage: upstream has none of that name.
        SurroundingsFailed: it is not in the cache and no source can be reached.
    """
    commit = history.resolve(rev)
    snapshot = history.snapshot(commit)
    return Base(rev, commit, snapshot.files, snapshot.objects, "as you said")


def find(
    lock: Lock,
    snapshot: Snapshot,
    history: History,
    score: Callable[[Callable[[str], bytes]], Judge],
    progress: Progress,
) -> Base:
    """The commit that fits best: the pin if nothing is better.

    Args:
        snapshot: the pin's files.
        score: makes the judge, which reads blobs by id.

    Raises:
        Damaged: an object of the history in the cache is missing or altered.
    """
    here = {path: entry for path, entry in snapshot.files.items() if entry.id in snapshot.objects}
    pin = Candidate(lock.pin.tag, lock.pin.commit, here)
    judge = score(lambda blob: snapshot.objects[blob].data)
    found = judge.score(here)
    if found.perfect:
        return Base(pin.name, pin.commit, here, snapshot.objects, judge.words(found))
    progress.step("looking through upstream's history")
    try:
        candidates = _line(history)
    except CheckFailed:
        raise
    except PorterError as error:
        progress.note(f"only {pin.name} was compared, as upstream's history cannot be had: {error.what}")
        return Base(pin.name, pin.commit, here, snapshot.objects, judge.words(found))
    wanted = {e.id for one in candidates for path in judge.paths for e in [one.files.get(path)] if e}
    blobs = history.blobs(wanted)
    known = {**snapshot.objects, **blobs}
    judge = score(lambda blob: known[blob].data)
    place = next((n for n, one in enumerate(candidates) if one.commit == pin.commit), len(candidates))
    order = sorted(
        range(len(candidates)), key=lambda n: (candidates[n].name == candidates[n].commit[:12], abs(n - place))
    )
    candidate, how = best(judge, [pin, *(candidates[n] for n in order)])
    if candidate.commit == pin.commit:
        return Base(pin.name, pin.commit, here, snapshot.objects, judge.words(how))
    whole = history.snapshot(candidate.commit)
    return Base(candidate.name, candidate.commit, whole.files, whole.objects, judge.words(how))


def _line(history: History) -> list[Candidate]:
    """Every commit of the default branch, oldest first, by its tag's name where it has one."""
    tip = history.resolve(DEFAULT)
    repository = history.repository
    root = repository.text("rev-list", "--first-parent", "--max-parents=0", tip).split()[-1]
    steps = [(step.id, step.changes) for step in history.steps(root, tip)]
    rows = repository.text("for-each-ref", "--format=%(refname:short) %(objectname) %(*objectname)", "refs/tags")
    tags = {words[-1]: words[0] for words in (row.split() for row in rows.split("\n")) if words}
    found = [Candidate(root[:12], root, history.entries(root)), *line_of(history.entries(root), steps)]
    return [replace(one, name=tags.get(one.commit, one.name)) for one in found]
