"""Drift through the lines of a project: up to each release with the patches of the one before it.

What one line's stack makes of the commits up to the next line's release is :mod:`porter.rebase.drift`'s.  Here these
are joined patch by patch, a patch being the same in two lines where its stack and its file's name are; and what a
person had to change for each release is told from the patches themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from porter.patch import Patch
from porter.rebase.drift import Drift, Track
from porter.rebase.trial import ABSENT
from porter.rebase.way import ADDED, CHANGED, DROPPED, SAME, Way


def ways(stacks: Mapping[str, Sequence[Patch]]) -> list[Way]:
    """The way of each patch.

    Args:
        stacks: line -> its patches, the oldest line first.
    """
    found = []
    for key in _keys(stacks):
        here = {line: next((one for one in patches if one.id == key), None) for line, patches in stacks.items()}
        steps, before = {}, next(iter(here.values()))
        for line, patch in list(here.items())[1:]:
            if patch is not None or before is not None:
                steps[line] = _step(before, patch)
            before = patch
        sizes = {line: len(_rows(patch)) for line, patch in here.items() if patch is not None}
        found.append(Way(key, sizes, steps))
    return found


def joined(parts: Mapping[str, Drift], stacks: Mapping[str, Sequence[Patch]]) -> Drift:
    """One drift of several that follow each other: line -> from its release to the next line's, or the end."""
    first, last = next(iter(parts.values())), list(parts.values())[-1]
    begin, offsets = 0, {}
    for line, part in parts.items():
        offsets[line] = begin
        begin += len(part.steps)
    tracks = []
    for key in _keys({line: stacks[line] for line in parts}):
        tracks.append(_track(key, parts, offsets))
    return replace(
        first,
        rev=last.rev,
        until=last.until,
        steps=tuple(step for part in parts.values() for step in part.steps),
        tags={offsets[line] + at: tag for line, part in parts.items() for at, tag in part.tags.items()},
        tracks=tuple(tracks),
        new=sum(part.new for part in parts.values()),
        ways=tuple(ways(stacks)),
    )


def _track(key: str, parts: Mapping[str, Drift], offsets: Mapping[str, int]) -> Track:
    letters, files, asked = "", {}, []
    patch: Patch | None = None
    for line, part in parts.items():
        own = next((track for track in part.tracks if track.patch.id == key), None)
        if own is None:
            letters += ABSENT * len(part.steps)
            continue
        patch = own.patch
        letters += own.letters
        files.update({offsets[line] + at: file for at, file in own.files.items()})
        asked += [offsets[line] + at for at in own.asked]
    assert patch is not None  # the keys are those of the parts
    return Track(patch, letters, files, tuple(asked))


def _keys(stacks: Mapping[str, Sequence[Patch]]) -> list[str]:
    """The patches' ids: common's first, in the order of the line that has each first."""
    found: dict[str, None] = {}
    for patches in stacks.values():
        found.update((patch.id, None) for patch in patches)
    return sorted(found, key=_by_stack(stacks))


def _by_stack(stacks: Mapping[str, Sequence[Patch]]) -> Callable[[str], tuple[int, int]]:
    parts = list(dict.fromkeys(patch.stack for patches in stacks.values() for patch in patches))
    place: dict[str, int] = {}
    for patches in stacks.values():
        for number, patch in enumerate(patches):
            place.setdefault(patch.id, number)
    return lambda key: (parts.index(key.partition("/")[0]), place[key])


def _step(before: Patch | None, now: Patch | None) -> str:
    if before is None:
        return ADDED
    if now is None:
        return DROPPED
    return SAME if _rows(before) == _rows(now) else CHANGED


def _rows(patch: Patch) -> list[str]:
    """The lines that a patch adds and takes away, without those around them."""
    rows = patch.text.split("\n")
    return [row for row in rows if row.startswith(("+", "-")) and not row.startswith(("+++ ", "--- "))]
