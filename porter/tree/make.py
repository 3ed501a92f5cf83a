"""Put a stack on upstream: in a new folder, or on a branch of its own in the user's clone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter import process
from porter.errors import EnvironmentFailed, WrongUsage, os_errors, refused
from porter.files import Taken, staged
from porter.git import GitFailed, objects
from porter.lockfile import Lock
from porter.output import Progress, command_line, counted
from porter.sources.obtain import obtain
from porter.sources.snapshot import Snapshot
from porter.stack import Stack, check_against_lock
from porter.stack.build import Build
from porter.tree import Move, Tree, TreeNotes, branch_of, short, stack_in
from porter.tree.switch import disk_full_hint, fill, locked, recover, switch


@dataclass(frozen=True)
class Applied:
    """What :func:`apply_stack` did.

    Attributes:
        how: ``made`` a folder, ``switched`` the user's clone, found it ``already`` there, or ``checked`` only.
        path: the tree.
        stack, build: what is in it.
        missing: the files of the pin that a partial tree lacks.
        before: what was checked out in the user's clone.
    """

    how: str
    path: Path
    stack: Stack
    build: Build
    missing: tuple[str, ...] = ()
    before: str = ""

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        patches = [
            {
                "stack": built.patch.stack,
                "number": built.patch.number,
                "name": built.patch.name,
                "subject": built.patch.subject,
                "commit": built.commit,
            }
            for built in self.build.commits
        ]
        return {
            "how": self.how,
            "path": str(self.path),
            "targets": list(self.stack.targets),
            "branch": self.stack.branch,
            "base": self.build.base,
            "commit": self.build.tip,
            "patches": patches,
            "missing": list(self.missing),
            "before": short(self.before) if self.before else "",
        }


def apply_stack(
    lock: Lock, stack: Stack, destination: Path, upstream: str | None, check: bool, progress: Progress | None
) -> Applied:
    """Make ``destination`` a tree with the stack.

    Args:
        upstream: see :func:`porter.sources.obtain.obtain`; a clone that is there already is its own source.
        check: only find out whether everything would succeed; nothing is written to ``destination``.

    Raises:
        CheckFailed: a patch does not apply, or the result is not what the lock says.
        WrongUsage: ``destination`` holds something that must not be touched.
        EnvironmentFailed: upstream cannot be had, or ``destination`` cannot be written.
    """
    while True:
        if not _vacant(destination):
            if upstream:
                from porter.sources import remote  # seldom needed

                remote.must_be_a_source(upstream)  # though nothing is asked of it
            return _onto(lock, stack, destination, check)
        try:
            return _make(lock, stack, destination, upstream, check, progress)
        except Taken:  # somebody else, maybe another porter, was faster: look at what is there now
            continue


def _vacant(destination: Path) -> bool:
    """Whether there is nothing, or an empty folder, at ``destination``."""
    with os_errors(f"cannot read {destination}"):
        if not destination.is_symlink() and not destination.exists():
            return True
        return destination.is_dir() and not any(destination.iterdir())


def _make(
    lock: Lock, stack: Stack, destination: Path, upstream: str | None, check: bool, progress: Progress | None
) -> Applied:
    path = Path(destination).resolve()
    if path.exists() and path == Path.cwd():
        raise WrongUsage(
            f"{destination} is the folder you are in, and would be replaced",
            hint=f"Go up (cd ..) and name it, or name a new folder: {destination / 'yolov5'}",
        )
    snapshot = obtain(lock, upstream, progress=progress)
    build = stack.build(snapshot)
    check_against_lock(lock, stack, build, snapshot.partial)
    if check:
        return Applied("checked", path, stack, build, snapshot.missing)
    _make_folder(path, lock, stack, snapshot, build)
    return Applied("made", path, stack, build, snapshot.missing)


def _make_folder(path: Path, lock: Lock, stack: Stack, snapshot: Snapshot, build: Build) -> None:
    """Make a tree where there is nothing, or an empty folder.

    Raises:
        Taken: something is there by now.
        EnvironmentFailed: there is no room, or the folder cannot be written.
    """
    with staged(path) as folder:
        try:
            fill(folder, lock, stack, snapshot, build)
        except GitFailed as error:
            raise EnvironmentFailed(f"cannot make {path}", error.stderr, disk_full_hint(path.parent)) from error
        except OSError as error:
            raise refused(f"cannot make {path}", error) from error
        with process.held():
            folder.finish()


def _onto(lock: Lock, stack: Stack, destination: Path, check: bool) -> Applied:
    """The stack on a clone that is there."""
    tree = Tree.open(destination)
    if not tree.journal or check:
        found, _ = _examine(tree, lock, stack)
        if found.how == "already" or check:
            return found
    with locked(tree) as hold:
        move = tree.journal
        if move:
            recover(tree, move, hold)
        tree = Tree.open(destination)
        found, move = _examine(tree, lock, stack)
        if found.how == "already":  # another porter was faster
            return found
        switch(tree, move, objects.pack(found.build.objects.values()), hold)
    return found


def _examine(tree: Tree, lock: Lock, stack: Stack) -> tuple[Applied, Move]:
    """What the stack would be in a clone, if nothing stands against it.

    Raises:
        WrongUsage, EnvironmentFailed: something does; what, and what to do.
    """
    pin = lock.pin
    grown = tree.base(lock)
    if grown is None:
        switch = command_line("git", "switch", "--detach", pin.rev)
        raise WrongUsage(
            f"{tree.path} is not a clone of {pin.name} at {pin.tag}",
            tree.apart_from(pin),
            f"In a clone of {pin.name}: git fetch --tags && {switch}. Or name a new folder.",
        )
    part, above = grown
    build = stack.build(tree.snapshot(part, stack.paths))
    move = Move(
        "apply",
        part.base,
        build.tip,
        branch_of(stack),
        branch_of(stack),
        TreeNotes(stack.targets, part.base, build.tip, tree.branch or tree.head),
    )
    noted = tree.notes
    if noted and noted.tip in above and set(noted.targets) != set(stack.targets):
        raise _other(tree, lock, stack, above)
    if stack_in(tree, build, above) and above:
        more = len(above) - len(build.commits)
        if more:
            raise WrongUsage(
                f"{tree.path} holds {stack.key} already, and {counted(more, 'commit')} of yours on it",
                hint=f"There is nothing to do; `{command_line('porter', 'status', tree.path)}` shows them.",
            )
        _refuse_changes(tree, f"{tree.path} holds {stack.key} already, with changes of yours")
        return Applied("already", tree.path, stack, build, part.missing), move
    if above:
        raise _other(tree, lock, stack, above)
    _refuse_changes(tree, f"{tree.path} has changes that are not committed")
    check_against_lock(lock, stack, build, bool(part.missing))
    _refuse_unsafe(tree, stack, build)
    return Applied("switched", tree.path, stack, build, part.missing, tree.branch or tree.head), move


def _refuse_changes(tree: Tree, what: str) -> None:
    if tree.unfinished:
        raise WrongUsage(
            f"{tree.path} is in the middle of {tree.unfinished}", hint="Finish or abort it (git status says how)."
        )
    if tree.changes:
        shown = "\n".join(f"{change.code} {change.path}" for change in tree.changes[:10])
        more = f"\nand {len(tree.changes) - 10} more" if len(tree.changes) > 10 else ""
        raise WrongUsage(what, shown + more, "Commit them on a branch, or put them aside: git stash.")


def _refuse_unsafe(tree: Tree, stack: Stack, build: Build) -> None:
    """Refuse what a switch to the stack would overwrite or could not write."""
    added = [path for path, blob in build.touched.items() if blob and path not in tree.tracked]
    in_the_way = tree.in_the_way(added)
    if in_the_way:
        what = f"{in_the_way[0]} is in the way: the stack adds a file of that name, and git does not know yours"
        raise WrongUsage(f"in {tree.path}, {what}", "\n".join(in_the_way[1:]), "Move it elsewhere, and try again.")
    flagged = tree.flagged(build.touched)
    if flagged:
        raise WrongUsage(
            f"{tree.path} has files that git was told not to look at, and the stack changes them",
            "\n".join(flagged),
            "git update-index --no-assume-unchanged --no-skip-worktree FILE (or git sparse-checkout disable).",
        )
    existing = tree.resolve(branch_of(stack))
    if existing and existing != build.tip:
        raise WrongUsage(
            f"{tree.path} has a branch {stack.branch} with something else on it",
            f"it is at {existing}, the stack ends at {build.tip}",
            f"Rename it ({command_line('git', 'branch', '-m', stack.branch, 'NAME')}), or delete it, and try again.",
        )
    unwritable = tree.unwritable(build.touched)
    if unwritable:
        raise EnvironmentFailed(f"cannot write {unwritable[0]}", "permission denied, or the disk is read-only")


def _other(tree: Tree, lock: Lock, stack: Stack, above: list[str]) -> WrongUsage:
    """Why a tree whose HEAD is above the pin is not the stack's, in words."""
    notes = tree.notes
    if notes and notes.tip in above:
        mine = set(notes.targets) == set(stack.targets)
        held = f"another version of the stack {stack.key}" if mine else f"the stack of {'+'.join(notes.targets)}"
        return WrongUsage(
            f"{tree.path} holds {held}",
            hint=f"`{command_line('porter', 'revert', tree.path)}` first; for several devices in one tree"
            " name --target several times.",
        )
    return WrongUsage(
        f"{tree.path} is not at {lock.pin.tag}",
        f"{short(tree.branch) or 'HEAD'} is {counted(len(above), 'commit')} after it, at {tree.head}",
        f"{command_line('git', '-C', tree.path, 'switch', '--detach', lock.pin.rev)}, or name a new folder.",
    )
