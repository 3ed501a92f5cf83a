"""A bump on disk: what is asked of it, and what a person decided.

How far the stacks have come is git's to know: it stands in the worktree, where `git rebase` moves them.  The journal
holds what git does not: which bump it is, which patches to leave out or to halt at, and how each was decided.  Every
command compares the two, so that a porter may be killed between any two steps, and a person may take the rebase on
with git itself.  Where the worktree says nothing of use the rebase is begun anew from the journal.

Everything lies in ``.porter/`` beside the patches::

    bump.lock          held by the porter at work
    bump/journal.json  the open bump; there is one while this file is there
    bump/tree/         the worktree, see :mod:`porter.rebase.worktree`
    bump/old.json      the old stacks and lock, while the new ones take their place
    rr-cache/          how conflicts were resolved, for git rerere; kept when a bump ends
    resolutions/       what git rerere does not hold: each patch that a person resolved, with all its files; kept, too
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from porter import process
from porter.errors import os_errors
from porter.files import locked, move, not_ours, read_if_there, read_json, write_file
from porter.git.objects import Entry
from porter.lockfile import Lock
from porter.project import Project
from porter.rebase import write_stacks
from porter.rebase.write_stacks import FileEdit

_HINT = "Put it back, or remove it; patches/ and upstream.lock are as they were."
_CODEC = ("utf-8", "surrogateescape")
_WAIT = 5.0  # seconds for a porter that is about to end, or for the git of one that was killed


@dataclass(frozen=True)
class Halted:
    """The patch at which a person is needed, as it was when they were told.

    Attributes:
        patch: its id; empty where no patch waits.
        told: how many patches were decided then.
        unmerged: the index's rows of what conflicts, see :meth:`porter.rebase.worktree.Worktree.unmerged`.
        fingerprint: of the folder then; empty if somebody may have been at work there before porter looked.
        remembered: nobody is needed: it was resolved as it once was before.
    """

    patch: str = ""
    told: int = 0
    unmerged: tuple[str, ...] = ()
    fingerprint: str = ""
    remembered: bool = False


@dataclass(frozen=True)
class Journal:
    """An open bump.

    Attributes:
        old, new: the upstream commits, from and to.
        rev: the new one as the person named it.
        upstream: the only source that they let be asked; empty for the lock's.
        targets: those to rebase first; empty for all at once.
        inputs: path -> SHA-256 of each file of the stacks and of the lock, as they were when it began.
        skipped: ids of the patches to leave out.
        halting: ids of the patches at which to halt although they apply or are resolved.
        resolved: ids of the patches that a person resolved in this bump.
        remembered: ids of those that were resolved as they once were before.
        replaced: id -> the commit to pick for a patch, once it is resolved and the rebase is begun anew.
        halted: where a person is needed, as far as they were told.
        written: what ``inputs`` is once the new stacks are in their place; empty before that is decided.
    """

    old: str
    new: str
    rev: str
    upstream: str
    targets: tuple[str, ...]
    inputs: Mapping[str, str]
    skipped: tuple[str, ...] = ()
    halting: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()
    remembered: tuple[str, ...] = ()
    replaced: Mapping[str, str] = field(default_factory=dict)
    halted: Halted = Halted()
    written: Mapping[str, str] = field(default_factory=dict)


# what was made of a patch: path -> the file's entry without it, its mode and content with it; None where there is none
Resolution = Mapping[str, "tuple[Entry | None, tuple[str, bytes] | None]"]


class Store:
    """The folder ``.porter`` of a project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.state
        self.bump = self.folder / "bump"
        self.tree = self.bump / "tree"
        self.memory = self.folder / "rr-cache"
        self._old = self.bump / "old.json"
        self._journal = self.bump / "journal.json"
        self._resolutions = self.folder / "resolutions"

    def locked(self) -> AbstractContextManager[int]:
        """Keep other porters from this project's bump; the value is the descriptor for ``hold`` (porter.git).

        Raises:
            EnvironmentFailed: another one is at work, or the folder cannot be written.
        """
        write_stacks.make_state(self.project)
        busy = f"another porter is moving the stacks of {self.project.root}"
        return locked(self.folder / "bump.lock", _WAIT, busy, "Wait for it to end, then try again.")

    def journal(self) -> Journal | None:
        """The open bump, or None.

        Raises:
            WrongUsage: the file is not as porter writes it.
            EnvironmentFailed: it cannot be read.
        """
        read = read_json(self._journal, _HINT)
        if read is None:
            return None
        try:
            found: dict[str, Any] = {name: str(read[name]) for name in ("old", "new", "rev", "upstream")}
            for name in ("targets", "skipped", "halting", "resolved", "remembered"):
                found[name] = tuple(map(str, read[name]))
            for name in ("inputs", "replaced", "written"):
                found[name] = dict(read[name])
            halted = {**read["halted"], "unmerged": tuple(read["halted"]["unmerged"])}
            return Journal(**found, halted=Halted(**halted))
        except (TypeError, ValueError, KeyError) as error:
            raise not_ours(self._journal, _HINT) from error

    def write(self, journal: Journal) -> None:
        """Put the journal down, whole or not at all.

        Raises:
            EnvironmentFailed: it cannot be written.
        """
        with os_errors(f"cannot write {self.bump}"):
            self.bump.mkdir(parents=True, exist_ok=True)
        write_file(self._journal, _dump(asdict(journal)))

    def close(self) -> None:
        """End the bump: whoever looks sees all of it or nothing.

        Raises:
            EnvironmentFailed: the folder cannot be written.
        """
        gone = self.folder / "bump.dead"
        with os_errors(f"cannot remove {self.bump}"), process.held():
            _remove(gone)  # a porter that was killed here left it
            if self.bump.exists():
                move(self.bump, gone)
            _remove(gone)
            with suppress(OSError):  # there is something to remember
                self.memory.rmdir()
            write_stacks.sweep(self.project)

    @property
    def remembers(self) -> bool:
        """Whether there are resolutions."""
        return self._resolutions.is_dir()

    def resolution(self, key: str) -> Resolution | None:
        path = self._resolutions / f"{key}.json"
        read = read_json(path, _HINT)
        try:
            return read and {
                name: (Entry(*old) if old else None, (new[0], new[1].encode(*_CODEC)) if new else None)
                for name, (old, new) in read.items()
            }
        except (TypeError, KeyError, ValueError) as error:
            raise not_ours(path, _HINT) from error

    def keep(self, key: str, made: Resolution) -> None:
        """Remember a resolution.

        Raises:
            EnvironmentFailed: it cannot be written.
        """
        rows = {name: (old, (new[0], _text(new[1])) if new else None) for name, (old, new) in made.items()}
        with os_errors(f"cannot write {self._resolutions}"):
            self._resolutions.mkdir(parents=True, exist_ok=True)
        write_file(self._resolutions / f"{key}.json", _dump(rows))

    def inputs_after(self, edits: Iterable[FileEdit]) -> dict[str, str]:
        """What :func:`porter.rebase.write_stacks.inputs` is after these edits."""
        found = write_stacks.inputs(self.project)
        for edit in edits:
            found.pop(edit.path, None)
            if edit.after is not None:
                found[edit.path] = write_stacks.digest(edit.after)
        return found

    def backup(self, edits: Iterable[FileEdit]) -> None:
        """Keep what these edits replace, for :meth:`restore`.

        Raises:
            EnvironmentFailed: there is no room.
        """
        texts = {edit.path: _text(edit.before) if edit.before is not None else None for edit in edits}
        write_file(self._old, _dump(texts))

    def restore(self) -> None:
        """Take the new stacks and lock back, all or none.

        Raises:
            WrongUsage: a file was edited meanwhile, or the backup is not as porter writes it.
            EnvironmentFailed: a folder cannot be written.
        """
        texts, root = read_json(self._old, _HINT), self.project.root
        if texts is None:
            raise not_ours(self._old, _HINT)
        edits = [
            FileEdit(path, read_if_there(root / path), text.encode(*_CODEC) if text is not None else None)
            for path, text in sorted(texts.items())
        ]
        write_stacks.write(write_stacks.Rewrite(self.project, Lock.load(self.project.lock_path), {}, {}, tuple(edits)))


def _text(data: bytes) -> str:
    return data.decode(*_CODEC)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _dump(found: Mapping[str, Any]) -> bytes:
    # what is not UTF-8 in a patch stands here as lone surrogates, which JSON's escapes hold and UTF-8 does not
    return (json.dumps(found, indent=1, sort_keys=True) + "\n").encode()
