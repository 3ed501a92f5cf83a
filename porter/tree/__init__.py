"""A tree: a git repository that holds upstream at the pin, pristine or with a stack on it; and what is in one.

This module looks and changes nothing.  What a tree holds is told by commit ids, which are the same on every
machine; the notes that porter keeps in ``.git/porter`` only say what ids cannot, where the user's own branch
is for instance.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from porter.errors import EnvironmentFailed, WrongUsage
from porter.files import LOCK, not_ours, read_json
from porter.git import Repository
from porter.lockfile import Lock, Pin
from porter.output import command_line
from porter.patch import FORMAT, essence
from porter.project import Project
from porter.sources.snapshot import Extent, Snapshot, extents
from porter.stack import Stack, available, combined
from porter.stack.build import Build
from porter.tree import layout

# files in .git that say that the user is in the middle of something
_UNFINISHED = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or git am",
    "sequencer": "a cherry-pick or revert of several commits",
}
APPLIED, CHANGED, MISSING = "applied", "changed", "missing"
TRAIN = "train.py"  # of every tree
_NOTES = ".git/porter/state.json"
_JOURNAL = ".git/porter/journal.json"


@dataclass(frozen=True)
class TreeNotes:
    """What porter remembers in a tree with a stack.

    Attributes:
        targets: the stack's.
        base: the commit that the stack is on.
        tip: the stack's last commit.
        before: the ref (``refs/heads/…``) or the commit that was checked out before.
    """

    targets: tuple[str, ...]
    base: str
    tip: str
    before: str


@dataclass(frozen=True)
class Move:
    """A switch of a tree from one commit to another that has begun (the journal).

    Attributes:
        verb: ``apply`` or ``revert``.
        old, new: the commits, from and to.
        new_head: what HEAD is after it, a ref or, detached, the new commit's id.
        branch: the ref of the stack's branch.
        notes: what to remember while the stack is there.
    """

    verb: str
    old: str
    new: str
    new_head: str
    branch: str
    notes: TreeNotes


@dataclass(frozen=True)
class Local:
    """A file that differs from the last commit: git's two letters (index, folder) and the path."""

    code: str
    path: str


@dataclass(frozen=True)
class ExtraCommit:
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
    commits: tuple[ExtraCommit, ...]
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


class Tree:
    """A repository with a working tree, at a path.

    Attributes:
        path: the folder, without symbolic links.
        repository: git in it.
        head: the commit that is checked out, empty if there is none yet.
        branch: its ref, ``refs/heads/…``, empty if HEAD is detached.
        changes: tracked files that differ from that commit.
    """

    def __init__(self, path: Path, repository: Repository, head: str, branch: str, changes: tuple[Local, ...]) -> None:
        self.path = path
        self.repository = repository
        self.head = head
        self.branch = branch
        self.changes = changes

    @classmethod
    def open(cls, path: Path) -> Tree:
        """The tree at ``path``.

        Raises:
            WrongUsage: there is something else.
            EnvironmentFailed: it cannot be read.
        """
        path, settings = layout.checked(path)
        repository = Repository(path, user_config=True, settings=settings)
        head, branch, changes = _look(repository)
        return cls(path, repository, head, branch, changes)

    def apart_from(self, pin: Pin) -> str:
        """Why this is no tree of upstream at the pin, in words, where :meth:`base` finds none."""
        if not self.head:
            return "it has no commit yet"
        return f"{pin.tag} ({pin.commit}) is not among the ancestors of its HEAD ({self.head})"

    @property
    def lock_file(self) -> Path:
        """The file to lock before anything is changed."""
        return self.path / LOCK

    @property
    def notes_file(self) -> Path:
        return self.path / _NOTES

    @property
    def journal_file(self) -> Path:
        return self.path / _JOURNAL

    @cached_property
    def notes(self) -> TreeNotes | None:
        """Porter's notes, or None."""
        read = read_json(self.notes_file)
        return _notes(read, self.notes_file) if read is not None else None

    @property
    def journal(self) -> Move | None:
        """The switch that a killed run left unfinished, or None."""
        read = read_json(self.journal_file)
        if read is None:
            return None
        try:
            return Move(**{**read, "notes": _notes(read["notes"], self.journal_file)})
        except (TypeError, KeyError) as error:
            raise not_ours(self.journal_file) from error

    @property
    def unfinished(self) -> str:
        """What the user is in the middle of, or empty."""
        return next((what for name, what in _UNFINISHED.items() if (self.path / ".git" / name).exists()), "")

    def resolve(self, ref: str) -> str:
        """The commit that a ref names, or empty."""
        return self.repository.text("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", status=(0, 1))

    def base(self, lock: Lock) -> tuple[Extent, list[str]] | None:
        """The part of upstream that HEAD has grown from, and the commits since, oldest first; None if there is none."""
        known = {part.base: part for part in extents(lock)}
        if self.head in known:
            return known[self.head], []
        if not self.head:
            return None
        above: list[str] = []
        for commit in self.repository.text("rev-list", "--first-parent", self.head).split("\n"):
            if commit in known:
                return known[commit], above[::-1]
            above.append(commit)
        return None

    def snapshot(self, part: Extent, paths: Iterable[str]) -> Snapshot:
        """Upstream as this tree has it, with the content of ``paths`` only.

        Raises:
            CheckFailed: an object of the user's clone is damaged.
        """
        ids = {part.files[path].id: path for path in paths if path in part.files}
        found = self.repository.find(ids, ids)
        lacking = [path for i, path in ids.items() if i not in found]
        if lacking:
            raise EnvironmentFailed(
                f"{self.path} lacks the content of {lacking[0]}", hint="Run `git fsck` there; a new clone helps."
            )
        return Snapshot(part.base, part.files, found, part.missing)

    @cached_property
    def tracked(self) -> Mapping[str, str]:
        """Tracked paths with the letter of ``git ls-files -v``."""
        listed = self.repository.run("ls-files", "-v", "-z").decode(errors="surrogateescape").split("\0")
        return {row[2:]: row[0] for row in listed if row}

    def flagged(self, paths: Iterable[str]) -> list[str]:
        """Those of ``paths`` that the user told git not to look at, so that a change in them does not show."""
        letters = self.tracked
        return sorted(path for path in paths if letters.get(path, "H").islower() or letters.get(path) == "S")

    def in_the_way(self, paths: Iterable[str]) -> list[str]:
        """What stands where files are going to be added: a file, or a file or link in place of a folder."""
        found = []
        for path in paths:
            full = self.path / path
            folders = [folder for folder in full.parents if self.path in folder.parents]
            for folder in reversed(folders):
                if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                    found.append(str(folder.relative_to(self.path)))
                    break
            else:
                if os.path.lexists(full):
                    found.append(path)
        return sorted(set(found))

    def unwritable(self, paths: Iterable[str]) -> list[Path]:
        """The folders that would have to be written for ``paths`` and cannot be."""
        folders = {self.path, self.path / ".git"}
        for path in paths:
            folder = (self.path / path).parent
            while not folder.exists():
                folder = folder.parent
            folders.add(folder)
        return sorted(folder for folder in folders if not os.access(folder, os.W_OK | os.X_OK))


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
        {"name": lock.pin.name, "tag": lock.pin.tag, "commit": lock.pin.commit},
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
        raise WrongUsage(
            f"{path} holds {holds}, not {target}", hint=command_line("porter", "apply", "--target", target, "DIR")
        )
    return found


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
    if tree.notes and set(tree.notes.targets) <= set(known):  # HEAD is on an earlier patch: in a rebase, say
        stack = Stack.load(project, tree.notes.targets)
        if [built.commit for built in stack.build(tree.snapshot(extent, stack.paths)).commits[:1]] == above[:1]:
            return stack
    found = told_by_commits(tree, project, extent, above)
    return found[0] if found else None


def told_by_commits(tree: Tree, project: Project, extent: Extent, above: list[str]) -> tuple[Stack, Build] | None:
    """The stack that a tree without notes holds, and what it makes there: the largest whose commits are there.

    Only targets that the commits' trailers name are tried, as the sets of all that there are double with each new one.
    """
    messages = tree.repository.run("log", "--no-walk", "--format=%B", "--stdin", stdin="\n".join(above).encode())
    named = set(re.findall(r"^Stack: (\S+)$", messages.decode(errors="replace"), re.MULTILINE)) if above else set()
    for targets in reversed(combined(named & set(available(project.patches)))):
        stack = Stack.load(project, targets)
        build = stack.build(tree.snapshot(extent, stack.paths))
        if build.commits and stack_in(tree, build, above):
            return stack, build
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
                same = rendered.get(match) == essence(patch.text)
                found[patch.id] = (APPLIED if same else CHANGED, match)
                rest.remove(match)
    states = [(patch, *found.get(patch.id, (MISSING, ""))) for patch in stack.patches]
    return [PatchStatus(p.stack, p.number, p.name, p.subject, state, commit) for p, state, commit in states], rest


def _commits(tree: Tree, ids: list[str]) -> tuple[ExtraCommit, ...]:
    if not ids:
        return ()
    rows = tree.repository.run("log", "--no-walk=unsorted", "--format=%H %s", "--stdin", stdin="\n".join(ids).encode())
    pairs = (row.partition(" ") for row in rows.decode(errors="replace").rstrip("\n").split("\n"))
    return tuple(ExtraCommit(i, subject) for i, _, subject in pairs)


def _rendered(tree: Tree, base: str) -> dict[str, str]:
    """Commit -> the essence of its diff, for every commit since ``base``."""
    form = [option for option in FORMAT if option != "--zero-commit"]
    out = tree.repository.run("format-patch", "--stdout", *form, f"{base}..HEAD").decode(errors="surrogateescape")
    mails = re.split(r"^From ([0-9a-f]{40}) Mon Sep 17 00:00:00 2001\n", out, flags=re.MULTILINE)
    return {i: essence(mail.partition("\ndiff --git ")[2]) for i, mail in zip(mails[1::2], mails[2::2])}


def stack_in(tree: Tree, build: Build, above: list[str]) -> bool:
    """Whether the commits above the base begin with the stack's."""
    expected = [built.commit for built in build.commits]
    return above[: len(expected)] == expected


def branch_of(stack: Stack) -> str:
    """The ref of a stack's branch."""
    return f"refs/heads/{stack.branch}"


def dump(found: TreeNotes | Move) -> bytes:
    """A record as its file holds it."""
    return (json.dumps(asdict(found), indent=2, sort_keys=True) + "\n").encode()


def short(ref: str) -> str:
    """A ref or commit as people call it."""
    return ref[len("refs/heads/") :] if ref.startswith("refs/heads/") else ref[:12]


def _look(repository: Repository) -> tuple[str, str, tuple[Local, ...]]:
    out = repository.run(
        "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=none"
    )
    head = branch = ""
    changes = []
    for row in out.decode(errors="surrogateescape").split("\0"):
        if row.startswith("# branch.oid "):
            head = row.split(" ", 2)[2].replace("(initial)", "")
        elif row.startswith("# branch.head "):
            branch = row.split(" ", 2)[2]
        elif row[:2] in ("1 ", "u "):
            changes.append(Local(row[2:4], row.split(" ", 8 if row[0] == "1" else 10)[-1]))
    return head, "" if branch == "(detached)" else f"refs/heads/{branch}", tuple(changes)


def _notes(read: Mapping[str, Any], path: Path) -> TreeNotes:
    try:
        return TreeNotes(tuple(map(str, read["targets"])), str(read["base"]), str(read["tip"]), str(read["before"]))
    except (TypeError, KeyError) as error:
        raise not_ours(path) from error
