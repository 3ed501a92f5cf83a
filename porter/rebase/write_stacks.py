"""New stacks in place of the old: patches, series files and the lock, all of them or none.

Everything is worked out first: the patches come as git writes them, and each stack that a tree can hold is built with
them.  What does not apply stops that, with nothing written.  Then the new files are written into a folder of their own
in ``.porter/``, and a rename makes them count: from there on the old state is gone, and whoever comes next
(:func:`recover`, which every command calls first) goes on where a killed porter was.  Files that do not change are not
touched.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from porter import process
from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage, os_errors, refused
from porter.files import locked, move, read_if_there, write_file
from porter.lockfile import Lock
from porter.patch import Patch, PatchFailed
from porter.project import REWRITE_NAME, Project
from porter.rebase.commits import numbered
from porter.sources.snapshot import Snapshot
from porter.stack import SERIES, LockCalculator, Stack, load_parts, single_stacks, tried_together
from porter.stack.build import Build, Builder

_JOURNAL = "journal.json"
UNWRITTEN = "Nothing was written. Bring the patches in step in one tree: porter apply with every --target."
_AT_ONCE = 8  # files to wait for
_WAIT = 10.0  # seconds to wait for another porter; writing takes a fraction of one


@dataclass(frozen=True)
class FileEdit:
    """A file that changes: its path from the project's folder, its bytes before and after (None: there is no file)."""

    path: str
    before: bytes | None
    after: bytes | None

    @property
    def change(self) -> str:
        """In a word: ``new``, ``changed`` or ``gone``."""
        return "new" if self.before is None else "gone" if self.after is None else "changed"


@dataclass(frozen=True)
class Rewrite:
    """What a project's files become.

    Attributes:
        project: whose.
        lock: the new lock.
        parts: every stack's new patches, by the stack's name.
        builds: every set of targets' stack as built, by its key.
        edits: the files that change, sorted; none if all is as it should be.
        seen: what :func:`inputs` was before the first of the project's files was read for this; empty to take whatever
            is there.
    """

    project: Project
    lock: Lock
    parts: Mapping[str, Sequence[Patch]]
    builds: Mapping[str, Build]
    edits: tuple[FileEdit, ...]
    seen: Mapping[str, str] = field(default_factory=dict)


def inputs(project: Project) -> dict[str, str]:
    """Path -> SHA-256 of every file that a rewrite reads or replaces: the stacks' and the lock.

    Raises:
        EnvironmentFailed: one cannot be read.
    """
    with os_errors(f"cannot read {project.patches}"):
        paths = [project.lock_path, *(path for path in project.patches.rglob("*") if path.is_file())]
        found = {path.relative_to(project.root).as_posix(): read_if_there(path) for path in sorted(paths)}
        return {path: digest(data) for path, data in found.items() if data is not None}


def changed_since(project: Project, seen: Mapping[str, str]) -> list[str]:
    """The paths of which :func:`inputs` says something else than it did."""
    now = inputs(project)
    return sorted(path for path in {*now, *seen} if now.get(path) != seen.get(path))


def plan(
    project: Project,
    parts: Mapping[str, Sequence[Patch]],
    snapshot: Snapshot,
    lock: Lock | None = None,
    seen: Mapping[str, str] | None = None,
) -> Rewrite:
    """What the project's files become with other patches in some of its stacks, or another pin.  Writes nothing.

    Args:
        parts: stack's name -> its patches from now on, as git writes them where they are then; the other stacks keep
            theirs.
        snapshot: the pin's files, as many as the patches change at least.
        lock: the new lock, for its pin and sources; by default the project's.
        seen: what :func:`inputs` was before the patches were worked out; by default what it is now.

    Raises:
        CheckFailed: a stack does not apply with the others as they would be, or would apply at several places.
        WrongUsage: there is no such stack.
    """
    seen = inputs(project) if seen is None else seen
    old_lock, old = Lock.load(project.lock_path), load_parts(project)
    for name in parts:
        if name not in old:
            raise WrongUsage(f"there is no stack {name!r}", hint=f"Known stacks: {', '.join(old)}.")
    lock = lock or old_lock
    new = {name: numbered(parts[name]) if name in parts else list(old[name]) for name in old}
    calculator = LockCalculator(lock, snapshot)
    whole = {stack.key: built(calculator.builder, stack) for stack in tried_together(new)}
    lock = replace(lock, stacks={part: calculator.calculate(stack) for part, stack in single_stacks(new).items()})
    edits = list(_edits(project, old, new))
    if lock != old_lock:
        edits.append(_edit(project, project.lock_path.name, lock.encoded(project.lock_path)))
    changed = sorted((edit for edit in edits if edit.before != edit.after), key=lambda edit: edit.path)
    return Rewrite(project, lock, new, whole, tuple(changed), seen)


def built(builder: Builder, stack: Stack) -> Build:
    """A stack, built.

    Raises:
        CheckFailed: a patch of it applies nowhere, or at several places.
    """
    together = f"in a tree for {stack.key}, " if len(stack.targets) > 1 else ""
    try:
        made = builder.build(stack.patches)
    except PatchFailed as error:
        error.what, error.hint = f"{together}{error.what}", error.hint or UNWRITTEN
        raise
    for one in made.commits:
        for path, moved in one.moved:
            if moved.places > 1:
                raise CheckFailed(
                    f"{together}{one.patch.id} would fit at {moved.places} places in {path}",
                    f"hunk {moved.hunk.header}",
                    UNWRITTEN,
                )
    return made


def _edits(
    project: Project, old: Mapping[str, Sequence[Patch]], new: Mapping[str, Sequence[Patch]]
) -> Iterator[FileEdit]:
    """What becomes of every patch and series file."""
    folder = project.patches.name
    for name, patches in new.items():
        known = {patch.name for patch in old[name]}
        for gone in sorted(known - {patch.name for patch in patches}):
            yield _edit(project, f"{folder}/{name}/{gone}", None)
        for patch in patches:
            edit = _edit(project, f"{folder}/{name}/{patch.name}", patch.data)
            if edit.before is not None and patch.name not in known:
                raise WrongUsage(
                    f"{edit.path} is in the way: it is in no {SERIES}", hint="Remove it, or move it elsewhere."
                )
            yield edit
        path = f"{folder}/{name}/{SERIES}"
        before = read_if_there(project.root / path)
        assert before is not None  # it was read a moment ago
        yield FileEdit(path, before, updated_series(before.decode(), [patch.name for patch in patches]).encode())


def _edit(project: Project, path: str, after: bytes | None) -> FileEdit:
    return FileEdit(path, read_if_there(project.root / path), after)


def write(rewrite: Rewrite) -> None:
    """Give the files their new content: all of them, whatever happens meanwhile, or none.

    Raises:
        WrongUsage: the files came with an installed package, or one was changed since the plan was begun; nothing is
            written.
        EnvironmentFailed: there is no room, or a folder cannot be written; nothing is written.
    """
    if not rewrite.edits:
        return
    project = rewrite.project
    project.must_be_a_checkout()
    _check_access(project, rewrite.edits)
    with _locked(project):
        _finish(project)
        # another export's new patch is in none of the edits, and its row in a series would be gone
        changed = changed_since(project, rewrite.seen) if rewrite.seen else []
        changed += [edit.path for edit in rewrite.edits if read_if_there(project.root / edit.path) != edit.before]
        if changed:
            raise WrongUsage(f"{project.root / changed[0]} was changed just now", hint="Try again.")
        with process.held():
            _prepare(project, rewrite.edits)
            _finish(project)


def recover(project: Project) -> None:
    """Finish what a killed porter began to write.

    Raises:
        WrongUsage: a file was edited since, so that it is not clear whose it is; nothing is changed.
        EnvironmentFailed: a file cannot be written, or another porter does not end.
    """
    with _locked(project), process.held():
        _finish(project)


def sweep(project: Project) -> None:
    """Remove what a porter left that was killed before its new files counted; the next one to write would, too.

    Raises:
        EnvironmentFailed: another porter does not end.
    """
    new = project.state / f"{REWRITE_NAME}.new"
    if new.exists():
        with _locked(project):
            shutil.rmtree(new, ignore_errors=True)


def make_state(project: Project) -> None:
    """Make the folder for what porter is in the middle of, which git does not see.

    Raises:
        EnvironmentFailed: it cannot be made.
    """
    ignore = project.state / ".gitignore"
    with os_errors(f"cannot write {project.state}"):
        project.state.mkdir(parents=True, exist_ok=True)
    if not ignore.exists():
        write_file(ignore, b"# written by porter: nothing here belongs into a commit\n*\n")


def _check_access(project: Project, edits: Sequence[FileEdit]) -> None:
    folders = {path.parent for path in _resolved(project.root / edit.path for edit in edits)}
    for folder in sorted(folders | {project.root}):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise EnvironmentFailed(f"cannot write {folder}", "permission denied, or the disk is read-only")


def _locked(project: Project) -> AbstractContextManager[int]:
    """Keep other porters from the project's files.

    Raises:
        EnvironmentFailed: the lock cannot be made, or another porter keeps it.
    """
    make_state(project)
    busy = f"another porter is writing the stacks of {project.root}"
    return locked(project.state / f"{REWRITE_NAME}.lock", _WAIT, busy)


def _prepare(project: Project, edits: Sequence[FileEdit]) -> None:
    """Write the new files and the journal into a folder of their own, then let them count by a rename."""
    new = project.state / f"{REWRITE_NAME}.new"
    try:
        shutil.rmtree(new, ignore_errors=True)  # a porter that was killed here left it
        new.mkdir()
        journal = []
        for number, edit in enumerate(edits):
            if edit.after is not None:
                (new / str(number)).write_bytes(edit.after)
                _keep_mode(project.root / edit.path, new / str(number))
            journal.append({"path": edit.path, "before": _digest(edit.before), "after": _digest(edit.after)})
        (new / _JOURNAL).write_text(json.dumps(journal, indent=1) + "\n", encoding="utf-8")
        with ThreadPoolExecutor(_AT_ONCE) as pool:  # the disk writes what waits for it in one go
            list(pool.map(_sync, new.iterdir()))
        _sync(new)
        move(new, project.state / REWRITE_NAME)
        _sync(project.state)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise refused(f"cannot write {project.state}; the stacks are as they were", error) from error


def _finish(project: Project) -> None:
    """Move every file of the journal to its place, those that are not there yet, and end the journal."""
    folder = project.state / REWRITE_NAME
    try:
        journal = json.loads((folder / _JOURNAL).read_bytes())
        rows = [(project.root / row["path"], row["before"], row["after"]) for row in journal]
    except FileNotFoundError:
        with suppress(FileNotFoundError):
            folder.rmdir()  # killed in the last step, with all files in their place
        return
    except OSError as error:
        raise refused(f"cannot read {folder}", error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise WrongUsage(f"{folder / _JOURNAL} is not as porter writes it", hint="Another version wrote it.") from error
    foreign = [path for path, before, after in rows if _digest(read_if_there(path)) not in (before, after)]
    if foreign:
        raise WrongUsage(
            f"an earlier porter was cut off while it wrote the stacks, and {foreign[0]} was edited since",
            "\n".join(str(path) for path in foreign[1:]),
            f"Save your edit elsewhere and put the file back (git checkout), or remove {folder} to stay in between.",
        )
    with os_errors(f"cannot write {project.patches}", "The next porter that runs here goes on with it."):
        paths = _resolved(path for path, _, _ in rows)
        for number, (path, (_, _, after)) in enumerate(zip(paths, rows)):
            _move_into_place(folder / str(number), path, after)
        for parent in {path.parent for path in paths}:
            _sync(parent)
        (folder / _JOURNAL).unlink()
        folder.rmdir()


def _resolved(paths: Iterable[Path]) -> list[Path]:
    """Paths without links in them, so that a link stays a link: the file it leads to is meant."""
    parents: dict[Path, Path] = {}
    found = []
    for path in paths:
        if path.is_symlink():
            found.append(path.resolve())
            continue
        if path.parent not in parents:
            parents[path.parent] = path.parent.resolve()
        found.append(parents[path.parent] / path.name)
    return found


def _move_into_place(new: Path, path: Path, after: str | None) -> None:
    """One step of the journal, which may have been taken before."""
    if after is None:
        with suppress(FileNotFoundError):
            path.unlink()
    elif new.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            move(new, path)
        except OSError as error:
            if error.errno != errno.EXDEV:  # the link led to another disk
                raise
            write_file(path, new.read_bytes())
            new.unlink()


def _keep_mode(path: Path, new: Path) -> None:
    """Give a file the permissions of the one that it replaces."""
    with suppress(FileNotFoundError):
        new.chmod(path.stat().st_mode & 0o777)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _digest(data: bytes | None) -> str | None:
    return None if data is None else digest(data)


# A ``series`` file with other patches in it: what people wrote around the names stays.


def updated_series(text: str, names: Sequence[str]) -> str:
    """The file's text with ``names`` as its patches, in order.

    Comments and empty lines stay where they are, and a comment behind a name moves with it.
    """
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    rows = [n for n, line in enumerate(lines) if _named(line)]
    old = [_named(lines[n]) for n in rows]
    if old == list(names):
        return text
    behind = {name: lines[n].partition("#")[1] + lines[n].partition("#")[2] for name, n in zip(old, rows)}
    fresh = [_commented(name, behind.get(name, "")) for name in names]
    matcher = difflib.SequenceMatcher(None, old, names, False)
    for _, start, end, first, last in reversed(matcher.get_opcodes()):
        kept = min(end - start, last - first)
        for n in range(kept):
            lines[rows[start + n]] = fresh[first + n]
        for n in reversed(range(start + kept, end)):
            del lines[rows[n]]
        after = rows[start + kept - 1] + 1 if start + kept else _first_place(lines)
        lines[after:after] = fresh[first + kept : last]
    return "".join(f"{line}\n" for line in lines)


def _named(line: str) -> str:
    return line.partition("#")[0].strip()


def _commented(name: str, comment: str) -> str:
    return f"{name}  {comment}" if comment else name


def _first_place(lines: Sequence[str]) -> int:
    """Where the first name goes: behind the comments that the file begins with, up to an empty line."""
    return next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
