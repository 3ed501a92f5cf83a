"""A target's patches on another ``common``: by three-way merge where their lines are not where they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from porter.lifecycle.chain import Chain, placed
from porter.merge import Placer, originals
from porter.patch import Patch
from porter.snapshot import Snapshot
from porter.stack import COMMON, Build, Builder, Built, Contents, Stack


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
