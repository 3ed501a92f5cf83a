"""``porter revert``: back to what was checked out before the stack, if nothing of the user's would be lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyPath, AnyProject, find_of
from porter.commands.options import FOLDER, JSON, print_json, tell
from porter.errors import WrongUsage
from porter.lockfile import Lock
from porter.output import command_line
from porter.project import Project
from porter.tree import Move, Tree, TreeNotes, short, told_by_commits
from porter.tree.switch import locked, recover, switch


@dataclass(frozen=True)
class Reverted:
    """What :func:`revert` did: ``done`` is whether there was a stack; ``head`` is what is checked out now."""

    path: Path
    done: bool
    head: str
    pristine: bool

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"path": str(self.path), "done": self.done, "head": short(self.head), "pristine": self.pristine}


def revert(tree: AnyPath, *, project: AnyProject = None) -> Reverted:
    """Bring ``tree`` back to upstream, and delete the stack's branch.

    That is the branch that was checked out before the stack, or master.

    Raises:
        WrongUsage: it holds no stack, or commits or changes of yours on it, which would be lost.
        EnvironmentFailed: it cannot be written.
    """
    of, path = find_of(project, tree), Path(tree)
    lock = Lock.load(of.lock_path)
    opened = Tree.open(path)
    if not opened.journal and _nothing(opened, lock):
        return Reverted(opened.path, False, opened.branch or opened.head, True)
    with locked(opened) as hold:
        cut_off = opened.journal
        if cut_off:
            recover(opened, cut_off, hold)
        opened = Tree.open(path)
        if _nothing(opened, lock):
            return Reverted(opened.path, bool(cut_off), opened.branch or opened.head, True)
        notes = _notes(opened, of, lock)
        _refuse(opened, notes)
        head, commit = _back(opened, notes)
        # a branch of another name is the user's own, even if it is at the stack's end
        move = Move("revert", notes.tip, commit, head, f"refs/heads/porter/{'+'.join(notes.targets)}", notes)
        switch(opened, move, b"", hold)
    return Reverted(opened.path, True, head, commit == notes.base)


@click.command(name="revert")
@JSON
@click.argument("tree", metavar="DIR", type=FOLDER)
def command(as_json: bool, tree: Path) -> None:
    """Bring the tree in DIR back to upstream: your branch, or master in a tree that porter made.

    Refused if you have commits or changes on the stack; nothing of yours is ever lost.
    """
    done = revert(tree)
    if as_json:
        print_json("revert", done.record())
    elif not done.done:
        tell(f"{tree} is upstream as it is ({short(done.head)}). Nothing was touched.")
    else:
        moved = "" if done.pristine else ", which has moved since the stack was applied"
        tell(f"{tree}: back at {short(done.head)}{moved}; the stack's branch is gone")


def _nothing(tree: Tree, lock: Lock) -> bool:
    """Whether the tree is pristine upstream already."""
    grown = tree.base(lock)
    return grown is not None and not grown[1]


def _notes(tree: Tree, project: Project, lock: Lock) -> TreeNotes:
    """What was noted when the stack was applied; in a clone of a tree, what the commits tell."""
    if tree.notes:
        return tree.notes
    part, above = tree.base(lock) or (None, [])
    found = told_by_commits(tree, project, part, above) if part else None
    if part and found:
        before = "refs/heads/master" if tree.resolve("refs/heads/master") == part.base else part.base
        return TreeNotes(found[0].targets, part.base, found[1].tip, before)
    raise WrongUsage(
        f"{tree.path} holds no stack that this porter knows",
        hint=f"`{command_line('porter', 'status', tree.path)}` says what it holds.",
    )


def _refuse(tree: Tree, notes: TreeNotes) -> None:
    """Refuse where something of the user's would be lost."""
    if tree.unfinished:
        raise WrongUsage(f"{tree.path} is in the middle of {tree.unfinished}", hint="Finish or abort it first.")
    if tree.head != notes.tip:
        mine = tree.repository.text("log", "--format=%h %s", f"{notes.tip}..{tree.head}").split("\n")
        within = tree.repository.text("merge-base", notes.tip, tree.head, status=(0, 1)) == notes.tip
        what = "has commits of yours on the stack" if within else "is not at the end of its stack"
        branch = command_line("git", "-C", tree.path, "branch", "NAME")
        reset = command_line("git", "-C", tree.path, "reset", "--keep", notes.tip[:12])
        forward = command_line("git", "-C", tree.path, "switch", "--detach", notes.tip[:12])
        raise WrongUsage(
            f"{tree.path} {what}",
            "\n".join(mine[:10]),
            f"Keep them on a branch of your own: {branch} && {reset}" if any(mine) else f"Go there: {forward}",
        )
    if tree.changes:
        stash = command_line("git", "-C", tree.path, "stash")
        raise WrongUsage(
            f"{tree.path} has changes of yours on the stack",
            "\n".join(f"{change.code} {change.path}" for change in tree.changes[:10]),
            f"Keep them: {stash}, or commit them on a branch of your own (git switch -c NAME).",
        )


def _back(tree: Tree, notes: TreeNotes) -> tuple[str, str]:
    """Where HEAD goes, a ref or a commit, and the commit that this is."""
    for place in (notes.before, notes.base):
        commit = tree.resolve(place)
        if commit:
            ref = place if place.startswith("refs/heads/") else commit
            changed = tree.repository.run("diff-tree", "-r", "-z", "--no-renames", "--name-status", notes.tip, commit)
            words = changed.decode(errors="surrogateescape").split("\0")
            in_the_way = tree.in_the_way(path for code, path in zip(words[0:-1:2], words[1::2]) if code == "A")
            if in_the_way:
                raise WrongUsage(
                    f"in {tree.path}, {in_the_way[0]} is in the way of a file of {short(ref)}",
                    hint="Move it elsewhere, and try again.",
                )
            return ref, commit
    raise WrongUsage(f"{tree.path} has neither {short(notes.before)} nor {notes.base[:12]} any more")
