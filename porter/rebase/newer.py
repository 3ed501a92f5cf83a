"""Patches that an export of a tree would take away unseen: what it never had, and what lies beyond its HEAD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from porter.errors import CheckFailed, WrongUsage
from porter.git import Repository
from porter.line import option_of
from porter.output import command_line
from porter.patch import Patch, PatchFailed
from porter.project import Project
from porter.rebase import commits
from porter.rebase.commits import Commit
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON, Stack, key
from porter.stack.build import Builder
from porter.tree import Tree


def must_be_on_the_stack(tree: Tree, base: str, listed: Sequence[Commit], targets: Sequence[str]) -> None:
    """Refuse to export what somebody only looks at: an earlier patch on no branch, upstream, or a branch beside it.

    To drop the last patches on a branch is another thing.

    Args:
        base: upstream's commit.
        listed: the tree's commits since.

    Raises:
        WrongUsage: the stack's branch goes on from there, or has all of the patches and HEAD none.
    """
    branch = f"porter/{key(targets)}"
    end = tree.resolve(f"refs/heads/{branch}")
    if not end or end in (tree.head, base):
        return
    patches = {*tree.repository.text("log", "--format=%s", f"{base}..{end}").split("\n")}
    is_below = tree.repository.text("merge-base", tree.head, end, status=(0, 1)) == tree.head
    if (is_below and not tree.branch) or patches.isdisjoint(commit.subject for commit in listed):
        there = command_line("git", "-C", tree.path, "switch", branch)
        at = next((str(commit) for commit in listed if commit.id == tree.head), f"{tree.head[:12]} (upstream)")
        raise WrongUsage(
            f"{tree.path} is at {at}, not on its stack",
            f"the branch {branch} ends at {end[:12]}; an export would take away the patches up to there",
            f"Go there: {there}. To drop patches, git rebase -i there.",
        )


def must_have_had(
    project: Project,
    tree: Tree,
    listed: Sequence[Commit],
    targets: Sequence[str],
    old: Mapping[str, Sequence[Patch]],
    new: Mapping[str, Sequence[Patch]],
    snapshot: Snapshot,
    clean: Repository,
) -> None:
    """Refuse an export that would undo what others did to the stacks since the tree was made or last exported.

    A patch's commit has one id wherever it is made.  So a tree whose repository holds it has had the patch, be it in a
    branch or in what ``git reflog`` lists; to change or drop such a patch is what an export is for.

    Args:
        listed: the tree's commits.
        old, new: each stack's patches now, and as the tree gives them.
        snapshot: upstream, with the files that they change.
        clean: a scratch repository that borrows from the tree's.

    Raises:
        CheckFailed: there are patches that the tree never had and that it would change or take away.
    """
    kept = {patch.data for part in new.values() for patch in part}
    leaving = {patch.id for part in (COMMON, *targets) for patch in old.get(part, ()) if patch.data not in kept}
    made = []
    if leaving:
        with suppress(PatchFailed):  # a file that fits nowhere is nobody's work; a right one in its place is a mend
            made = list(Builder(snapshot).build(Stack.of(old, targets).patches).commits)
    made = [one for one in made if one.patch.id in leaving]
    held = tree.repository.find(one.commit for one in made)
    if len(held) == len(made):
        return
    had = set(_mails(tree, clean).values())  # a later patch, whose commit has another id on a changed one
    names = {patch.name for part in new.values() for patch in part}
    rows = [
        f"{one.patch.label} {one.patch.subject} ({'changed' if one.patch.name in names else 'gone'})"
        for one in made
        if one.commit not in held and one.patch.data not in had
    ]
    if not rows:
        return
    words = option_of(project) + [word for target in targets for word in ("--target", target)]
    other = f"{tree.path}-new"
    start = _start(tree, listed)
    steps = (
        ("porter", "apply", *words, other),
        ("git", "-C", tree.path, "fetch", other, "HEAD"),
        ("git", "-C", tree.path, "rebase", *(("--onto", "FETCH_HEAD", start) if start else ("FETCH_HEAD",))),
    )
    raise CheckFailed(
        f"the stacks have patches that {tree.path} never had, and would lose them",
        "\n".join(rows),
        "Nothing was written. Bring them into the tree, then export it: "
        + " && ".join(command_line(*step) for step in steps),
    )


def _start(tree: Tree, listed: Sequence[Commit]) -> str:
    """The last commit of the stack as the tree was made or last exported, if its own commits are on that; or empty."""
    tip = tree.notes.tip if tree.notes else ""
    return tip if tip in {commit.id for commit in listed} else ""


def _mails(tree: Tree, clean: Repository) -> dict[str, bytes]:
    """The commits of the stack as the tree was made or last exported, as patches."""
    if not tree.notes or not tree.repository.find([tree.notes.tip]):
        return {}
    base = tree.notes.base
    ids = clean.text("rev-list", "--reverse", f"{base}..{tree.notes.tip}").split()
    return commits.mails(clean, base, ids) if ids else {}
