"""What of a bump a person should look at again, though it applies: patches that grew, and lines of upstream's lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from porter.output import counted, printable
from porter.patch import Patch
from porter.patch.diff import lines

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
