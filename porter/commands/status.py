"""What a tree holds: the pin, the stack patch by patch, what the user added, what is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from porter.errors import WrongUsage
from porter.lockfile import Lock, Pin
from porter.patch import FORMAT, Patch
from porter.project import Project
from porter.snapshot import Extent
from porter.stack import Build, Stack, available, combined
from porter.tree import Local, Tree, short, stack_in

APPLIED, CHANGED, MISSING = "applied", "changed", "missing"


@dataclass(frozen=True)
class Commit:
    """A commit on top of the pin that is no patch's."""

    id: str
    subject: str


@dataclass(frozen=True)
class PatchStatus:
    """One patch of the stack: ``applied``, ``changed`` (a commit of its name does something else) or ``missing``."""

    stack: str
    number: int
    name: str
    subject: str
    state: str
    commit: str


@dataclass(frozen=True)
class Status:
    """What :func:`status` found.

    Attributes:
        path: the tree.
        pin: upstream's name, tag and commit.
        targets: whose stack it is; empty for pristine upstream.
        branch: what is checked out, empty if HEAD is detached.
        head: its commit.
        patches: the stack as this porter has it.
        commits: the user's own, oldest first.
        changes: files that differ from the last commit.
        missing: files of the pin that a partial tree lacks.
        unfinished: what the user, or a killed porter, is in the middle of; empty if nothing.
    """

    path: str
    pin: Mapping[str, str]
    targets: tuple[str, ...]
    branch: str
    head: str
    patches: tuple[PatchStatus, ...]
    commits: tuple[Commit, ...]
    changes: tuple[Local, ...]
    missing: tuple[str, ...]
    unfinished: str

    @property
    def whole(self) -> bool:
        """Whether every patch is there as this porter has it."""
        return all(patch.state == APPLIED for patch in self.patches)

    def record(self) -> dict[str, Any]:
        """The status as plain data, for JSON."""
        return asdict(self)


def status(project: Project, path: Path) -> Status:
    """What the tree at ``path`` holds.

    Raises:
        WrongUsage: it is no tree of upstream at the pin.
    """
    lock = Lock.load(project.lock_path)
    tree = Tree.open(path)
    grown = tree.base(lock)
    if grown is None:
        raise WrongUsage(
            f"{tree.path} is not a clone of {lock.pin.name} at {lock.pin.tag}",
            tree.apart_from(lock.pin),
            "Name a tree, or a clone of it. `porter apply --target TARGET DIR` makes a tree in a new folder.",
        )
    extent, above = grown
    stack = _stack(tree, project, extent, above)
    patches, rest = _compare(tree, stack, extent, above) if stack else ([], above)
    journal = tree.journal
    cut_off = f"a porter {journal.verb} that was cut off; run it again" if journal else ""
    return Status(
        str(tree.path),
        _pin(lock.pin),
        stack.targets if stack else (),
        short(tree.branch) if tree.branch else "",
        tree.head,
        tuple(patches),
        _commits(tree, rest),
        tree.changes,
        extent.missing,
        tree.unfinished or cut_off,
    )


def must_hold(project: Project, path: Path, target: str) -> Status:
    """The status of a tree that has to hold a target's stack.

    Raises:
        WrongUsage: it is no tree, or another target's.
    """
    found = status(project, path)
    if target not in found.targets:
        holds = "+".join(found.targets) or "no stack"
        raise WrongUsage(f"{path} holds {holds}, not {target}", hint=f"porter apply --target {target} DIR")
    return found


def _pin(pin: Pin) -> dict[str, str]:
    return {"name": pin.name, "tag": pin.tag, "commit": pin.commit}


def _stack(tree: Tree, project: Project, extent: Extent, above: list[str]) -> Stack | None:
    """The stack that a tree holds, whole or not; None for pristine upstream or only commits of the user's."""
    known = available(project.patches)
    if not above:
        return None
    named = tree.branch[len("refs/heads/porter/") :].split("+") if tree.branch.startswith("refs/heads/porter/") else []
    noted = tree.notes.targets if tree.notes and tree.notes.tip in above else ()
    for targets in (noted, named):
        if targets and set(targets) <= set(known):
            return Stack.load(project, targets)
    for targets in reversed(combined(known)):
        stack = Stack.load(project, targets)
        if stack_in(tree, stack.build(tree.snapshot(extent, stack.paths)), above):
            return stack
    return None


def _compare(tree: Tree, stack: Stack, extent: Extent, above: list[str]) -> tuple[list[PatchStatus], list[str]]:
    """Each patch's state, and the commits that are no patch's."""
    build: Build = stack.build(tree.snapshot(extent, stack.paths))
    rest = list(above)
    found: dict[str, tuple[str, str]] = {}
    for built in build.commits:
        if built.commit in above:
            found[built.patch.id] = (APPLIED, built.commit)
            rest.remove(built.commit)
    wanted = [patch for patch in stack.patches if patch.id not in found]
    if wanted and rest:  # another version of the stack, or somebody rewrote it: compare what the commits do
        rendered = _rendered(tree, extent.base)
        subjects = {commit.id: commit.subject for commit in _commits(tree, rest)}
        for patch in wanted:
            match = next((commit for commit in rest if subjects[commit] == patch.subject), "")
            if match:
                same = rendered.get(match) == _essence(patch.text)
                found[patch.id] = (APPLIED if same else CHANGED, match)
                rest.remove(match)
    return [_patch_status(patch, *found.get(patch.id, (MISSING, ""))) for patch in stack.patches], rest


def _patch_status(patch: Patch, state: str, commit: str) -> PatchStatus:
    return PatchStatus(patch.stack, patch.number, patch.name, patch.subject, state, commit)


def _commits(tree: Tree, ids: list[str]) -> tuple[Commit, ...]:
    if not ids:
        return ()
    rows = tree.repository.run("log", "--no-walk=unsorted", "--format=%H %s", "--stdin", stdin="\n".join(ids).encode())
    pairs = (row.partition(" ") for row in rows.decode(errors="replace").rstrip("\n").split("\n"))
    return tuple(Commit(i, subject) for i, _, subject in pairs)


def _rendered(tree: Tree, base: str) -> dict[str, str]:
    """Commit -> the essence of its diff, for every commit since ``base``."""
    form = [option for option in FORMAT if option != "--zero-commit"]
    out = tree.repository.run("format-patch", "--stdout", *form, f"{base}..HEAD").decode(errors="surrogateescape")
    mails = re.split(r"^From ([0-9a-f]{40}) Mon Sep 17 00:00:00 2001\n", out, flags=re.MULTILINE)
    return {i: _essence(mail.partition("\ndiff --git ")[2]) for i, mail in zip(mails[1::2], mails[2::2])}


def _essence(diff: str) -> str:
    """A diff without what depends on the patches before it: object ids and line numbers."""
    diff = re.sub(r"^diff --git |^index [0-9a-f.]+( \d{6})?\n", "", diff, flags=re.MULTILINE)
    return re.sub(r"^@@ -[\d,]+ \+[\d,]+ @@.*", "@@", diff, flags=re.MULTILINE).strip("\n")
