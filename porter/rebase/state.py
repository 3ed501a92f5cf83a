"""A bump on disk: what was decided, and nothing that can be worked out again.

A bump is a function of the patches, the lock, two upstream commits and the decisions of a person, so only the
decisions are kept: the journal (which bump, which patches to leave out, where it stands) and the resolutions (what
became of a patch that did not fit, by what it was merged from).  Every step begins by working everything out again
from them.  So there is no state between two steps that a crash could leave behind: a decision is in its file, whole,
or it was not taken.

Everything lies in ``.porter/`` beside the patches::

    bump.lock          held by the porter at work
    bump/journal.json  the open bump; there is one while this file is there
    bump/tree/         where a person resolves, see :mod:`porter.rebase.worktree`
    bump/new/          the new stacks and lock, before they take their place
    bump/old.json      the old ones, while the new ones do
    resolutions/       one file each, kept when a bump ends: a second try does not ask again
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from porter import process
from porter.errors import SurroundingsFailed
from porter.files import lock_file, not_ours, read_json, write_file
from porter.lockfile import Lock
from porter.objects import Entry
from porter.project import Project
from porter.rebase import write_stacks
from porter.rebase.write_stacks import Edit

_HINT = "Put it back, or remove it; patches/ and upstream.lock are as they were."
_CODEC = ("utf-8", "surrogateescape")
_PATIENCE = 1.0  # seconds to wait for a porter that is about to end


@dataclass(frozen=True)
class Journal:
    """An open bump.

    Attributes:
        origin, goal: the upstream commits, from and to.
        rev: the goal as the person named it.
        upstream: the only source that they let be asked; empty for the lock's.
        targets: those to carry first; empty for all at once.
        inputs: path -> SHA-256 of each file of the stacks and of the lock, as they were when it began.
        skipped: ids of the patches to leave out.
        halting: ids of the patches at which to halt although they fit or are resolved.
        resolved: keys of the resolutions that a person made in this bump.
        written: what ``inputs`` is once the new stacks are in their place; empty before that is decided.
    """

    origin: str
    goal: str
    rev: str
    upstream: str
    targets: tuple[str, ...]
    inputs: Mapping[str, str]
    skipped: tuple[str, ...] = ()
    halting: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()
    written: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolution:
    """What became of a patch that did not fit.

    Attributes:
        patch: its id when that was decided, for people.
        subject: its subject, for people.
        before: path -> the file as it was without the patch, ``None`` where there was none.
        files: the same paths -> mode and content with it, ``None`` where it deletes the file.
    """

    patch: str
    subject: str
    before: Mapping[str, Entry | None]
    files: Mapping[str, tuple[str, bytes] | None]


class Store:
    """The folder ``.porter`` of a project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.state
        self.bump = self.folder / "bump"
        self.tree = self.bump / "tree"
        self._new = self.bump / "new"
        self._old = self.bump / "old.json"
        self._journal = self.bump / "journal.json"
        self._resolutions = self.folder / "resolutions"

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Keep other porters from this project's bump; the value is the descriptor for ``hold`` (porter.git).

        Raises:
            SurroundingsFailed: another one is at work, or the folder cannot be written.
        """
        path = self.folder / "bump.lock"
        try:
            write_stacks.make_state(self.project)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise SurroundingsFailed(f"cannot write {self.folder}", error.strerror or str(error)) from error
        try:
            lock_file(
                descriptor,
                _PATIENCE,
                f"another porter is moving the stacks of {self.project.root}",
                "Wait for it to end, then try again.",
            )
            yield descriptor
        finally:
            os.close(descriptor)

    def journal(self) -> Journal | None:
        """The open bump, or None.

        Raises:
            WrongUsage: the file is not as porter writes it.
            SurroundingsFailed: it cannot be read.
        """
        read = read_json(self._journal, _HINT)
        if read is None:
            return None
        try:
            origin, goal, rev, upstream = (str(read[name]) for name in ("origin", "goal", "rev", "upstream"))
            targets, skipped, halting, resolved = (
                tuple(map(str, read[name])) for name in ("targets", "skipped", "halting", "resolved")
            )
            inputs, written = dict(read["inputs"]), dict(read["written"])
            return Journal(origin, goal, rev, upstream, targets, inputs, skipped, halting, resolved, written)
        except (TypeError, ValueError, KeyError) as error:
            raise not_ours(self._journal, _HINT) from error

    def write(self, journal: Journal) -> None:
        """Put the journal down, whole or not at all.

        Raises:
            SurroundingsFailed: it cannot be written.
        """
        try:
            self.bump.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SurroundingsFailed(f"cannot write {self.bump}", error.strerror or str(error)) from error
        write_file(self._journal, _dump(asdict(journal)))

    def close(self) -> None:
        """End the bump: whoever looks sees all of it or nothing.

        Raises:
            SurroundingsFailed: the folder cannot be written.
        """
        gone = self.folder / "bump.dead"
        try:
            with process.held():
                _remove(gone)  # a porter that was killed here left it
                if self.bump.exists():
                    self.bump.rename(gone)
                _remove(gone)
                write_stacks.sweep(self.project)
        except OSError as error:
            raise SurroundingsFailed(f"cannot remove {self.bump}", error.strerror or str(error)) from error

    def resolution(self, key: str) -> Resolution | None:
        """The resolution with a key, or None."""
        path = self._resolutions / f"{key}.json"
        read = read_json(path, _HINT)
        if read is None:
            return None
        try:
            before = {name: Entry(*entry) if entry else None for name, entry in read["before"].items()}
            files = {name: _file(f) for name, f in read["files"].items()}
            return Resolution(read["patch"], read["subject"], before, files)
        except (TypeError, KeyError, ValueError) as error:
            raise not_ours(path, _HINT) from error

    def keep(self, key: str, resolution: Resolution) -> None:
        """Remember a resolution.

        Raises:
            SurroundingsFailed: it cannot be written.
        """
        files = {
            name: {"mode": found[0], "text": _text(found[1])} if found else None
            for name, found in resolution.files.items()
        }
        before = dict(resolution.before)
        made = {"patch": resolution.patch, "subject": resolution.subject, "before": before, "files": files}
        try:
            self._resolutions.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SurroundingsFailed(f"cannot write {self._resolutions}", error.strerror or str(error)) from error
        write_file(self._resolutions / f"{key}.json", _dump(made))

    def inputs(self) -> dict[str, str]:
        """Path -> SHA-256 of every file that a bump replaces or reads: the stacks' and the lock.

        Raises:
            SurroundingsFailed: one cannot be read.
        """
        project = self.project
        try:
            paths = [project.lock_path, *(path for path in project.patches.rglob("*") if path.is_file())]
            return {path.relative_to(project.root).as_posix(): _digest(path.read_bytes()) for path in sorted(paths)}
        except OSError as error:
            raise SurroundingsFailed(f"cannot read {project.patches}", error.strerror or str(error)) from error

    def inputs_after(self, edits: Iterable[Edit]) -> dict[str, str]:
        """What :meth:`inputs` is after these edits."""
        found = self.inputs()
        for edit in edits:
            found.pop(edit.path, None)
            if edit.after is not None:
                found[edit.path] = _digest(edit.after)
        return found

    def stage(self, edits: Iterable[Edit]) -> Project:
        """A project aside that is as this one will be after the edits.

        Raises:
            SurroundingsFailed: it cannot be written.
        """
        project, edited = self.project, {edit.path: edit.after for edit in edits}

        def replaced(folder: str, names: list[str]) -> list[str]:
            inside = Path(folder).relative_to(project.root)
            return [name for name in names if (inside / name).as_posix() in edited]

        try:
            _remove(self._new)
            self._new.mkdir(parents=True)
            shutil.copytree(project.patches, self._new / project.patches.name, ignore=replaced)
            shutil.copy2(project.lock_path, self._new)
            for path, data in edited.items():
                if data is not None:
                    (self._new / path).write_bytes(data)
        except OSError as error:
            raise SurroundingsFailed(f"cannot write {self._new}", error.strerror or str(error)) from error
        return Project(self._new)

    def backup(self, edits: Iterable[Edit]) -> None:
        """Put what these edits replace aside, for :meth:`restore`.

        Raises:
            SurroundingsFailed: there is no room.
        """
        texts = {edit.path: _text(edit.before) if edit.before is not None else None for edit in edits}
        write_file(self._old, _dump(texts))

    def restore(self) -> None:
        """Take the new stacks and lock back, all or none.

        Raises:
            WrongUsage: a file was edited meanwhile, or the backup is not as porter writes it.
            SurroundingsFailed: a folder cannot be written.
        """
        texts, root = read_json(self._old, _HINT), self.project.root
        if texts is None:
            raise not_ours(self._old, _HINT)
        try:
            edits = [
                Edit(path, _bytes(root / path), text.encode(*_CODEC) if text is not None else None)
                for path, text in sorted(texts.items())
            ]
        except OSError as error:
            raise SurroundingsFailed(f"cannot read {root}", error.strerror or str(error)) from error
        write_stacks.write(write_stacks.Rewrite(self.project, Lock.load(self.project.lock_path), {}, {}, tuple(edits)))


def _text(data: bytes) -> str:
    return data.decode(*_CODEC)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _dump(found: Mapping[str, Any]) -> bytes:
    # what is not UTF-8 in a patch stands here as lone surrogates, which JSON's escapes hold and UTF-8 does not
    return (json.dumps(found, indent=1, sort_keys=True) + "\n").encode()


def _file(found: Mapping[str, str] | None) -> tuple[str, bytes] | None:
    return (found["mode"], found["text"].encode(*_CODEC)) if found else None
