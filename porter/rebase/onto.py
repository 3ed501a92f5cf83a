"""Patches on other files than those that they were made for: merged three-way where their lines have moved on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from porter.errors import CheckFailed
from porter.objects import Entry
from porter.patch import Patch
from porter.rebase.chain import Chain
from porter.rebase.merge import CONFLICT, TAKEN, Conflict, Original, Placer, originals
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON, Build, Builder, Built, Contents, Stack

_WORDS = {
    "content": "both change the same lines",
    "add/add": "both add it",
    "modify/delete": "it is not there",
    "delete/modify": "it would delete what is changed",
}


def carried(
    old: Mapping[str, Sequence[Patch]], common: Sequence[Patch], target: str, snapshot: Snapshot, hint: str
) -> Build:
    """The stack of a target, its own patches merged onto a new ``common``.

    Args:
        old: every stack's patches as they fit together before.
        hint: what to do if one does not fit.

    Raises:
        CheckFailed: one does not fit; or ``common`` does not apply, or the old stack did not.
    """
    below = Builder(snapshot).build(Stack((), tuple(common)))
    contents = Contents({**snapshot.objects, **below.objects})
    before = originals([*old[COMMON], *old[target]], snapshot, contents)[len(old[COMMON]) :]
    placer = Placer(contents, COMMON)
    chain = Chain(below.tip, below.files)
    commits = list(below.commits)
    for original in before:
        patch = original.patch
        done = placed(placer, original, chain.files, f"{patch.id}, on the new {COMMON},", hint)
        tree = chain.add(target, patch.author, patch.date, patch.message, done)
        commits.append(Built(patch, chain.tip, tree))
    made = {**below.objects, **contents.made, **chain.made}
    return Build(snapshot.base, tuple(commits), made, chain.files, {})


def placed(
    placer: Placer, original: Original, files: Mapping[str, Entry], name: str, hint: str
) -> dict[str, Entry | None]:
    """What a change is on other files than those that it was made for.

    Args:
        name: what to call it in a message.
        hint: what to do if it does not fit.

    Raises:
        CheckFailed: it does not fit, or would fit at several places.
    """
    placing = placer.place(original, files)
    if placing.outcome == TAKEN:
        return {}
    if placing.outcome == CONFLICT:
        why = "\n".join(_clash(conflict, placer) for conflict in placing.conflicts)
        raise CheckFailed(f"{name} does not fit there", why, hint)
    for path, moved in placing.moved:
        if moved.places > 1:
            raise CheckFailed(f"{name} would fit at {moved.places} places in {path}", f"hunk {moved.hunk.header}", hint)
    return dict(placing.files)


def _clash(conflict: Conflict, placer: Placer) -> str:
    """A conflict in words, with both sides of its first place where there are lines to show."""
    head = f"{conflict.path}: {_WORDS.get(conflict.kind, conflict.kind)}"
    if not conflict.marked:
        return head
    rows = placer.contents[conflict.marked].decode(errors="replace").split("\n")
    first = next((n for n, row in enumerate(rows) if row.startswith("<<<<<<< ")), None)
    if first is None:
        return head
    last = next(n for n, row in enumerate(rows) if n > first and row.startswith(">>>>>>> "))
    return "\n".join([head, *(f"  {row}" for row in rows[first : min(last + 1, first + 30)])])
