"""A stack with a patch left out: upstream as it would be if that patch had never been written.

``git cherry-pick`` takes the later patches over one by one, as ``git rebase`` does when a commit is dropped.  A patch
that conflicts builds on the missing one and is left out with it, and so on; no more than that is left out.  Imports
alone are no conflict, see :mod:`porter.verification.imports`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from porter import git
from porter.errors import EnvironmentFailed
from porter.git import GitFailed, Repository, objects
from porter.patch import Patch
from porter.sources.snapshot import Snapshot
from porter.stack.build import Build
from porter.verification.imports import resolve

_SETTINGS = {
    "user.name": "porter",
    "user.email": "porter@example.invalid",
    "core.editor": ":",  # a message stays as it is
    "merge.conflictStyle": "diff3",  # what `resolve` reads
}


@contextmanager
def repository(snapshot: Snapshot, build: Build) -> Iterator[Repository]:
    """A bare repository that has a stack's commits, gone after the block.

    Raises:
        EnvironmentFailed: it cannot be made.
    """
    with git.scratch(shallow=[snapshot.base] if snapshot.shallow else []) as made:
        made.write(objects.pack({**snapshot.objects, **build.objects}.values()))
        yield made


def make_tree(made: Repository, build: Build, left_out: Collection[Patch], folder: Path) -> list[Patch]:
    """Put the tree of a stack without some of its patches into a new folder, which is no repository.

    Args:
        made: see :func:`repository`.

    Returns:
        the patches that had to be left out too, because they change lines that those wrote; in order.

    Raises:
        EnvironmentFailed: the folder cannot be written.
    """
    ids = {patch.id for patch in left_out}
    first = next((n for n, each in enumerate(build.commits) if each.patch.id in ids), len(build.commits))
    start = build.commits[first - 1].commit if first else build.base
    later = [each for each in build.commits[first:] if each.patch.id not in ids]
    made.run("worktree", "add", "--quiet", "--detach", str(folder), start)
    skipped = _pick(Repository(folder, settings=_SETTINGS), [each.commit for each in later])
    try:
        (folder / ".git").unlink()
    except OSError as error:
        raise EnvironmentFailed(f"cannot write {folder}", error.strerror or str(error)) from error
    return [each.patch for each in later if each.commit in skipped]


def _pick(worktree: Repository, commits: Sequence[str]) -> set[str]:
    """Cherry-pick commits in order, and skip each that conflicts; the ids of those."""
    skipped: set[str] = set()
    # one whose changes are all there already stays as an empty commit: git would stop there to ask
    words = ["cherry-pick", "--keep-redundant-commits", *commits]
    while commits:
        try:
            worktree.run(*words)
            break
        except GitFailed:
            sides = worktree.unmerged()
            if not sides:  # git failed for another reason
                raise
        if _resolve(worktree, sides):
            words = ["cherry-pick", "--continue"]
        else:
            skipped.add(worktree.text("rev-parse", "CHERRY_PICK_HEAD"))
            words = ["cherry-pick", "--skip"]
    return skipped


def _resolve(worktree: Repository, sides: Mapping[str, Collection[int]]) -> bool:
    """Whether all that conflicts are imports; then the files are merged by now."""
    if any(len(each) < 3 for each in sides.values()):
        return False
    merged = {path: resolve((worktree.path / path).read_bytes()) for path in sides}
    for path, data in merged.items():
        if data is None:
            return False
        (worktree.path / path).write_bytes(data)
    worktree.run("add", "--", *merged)
    return True
