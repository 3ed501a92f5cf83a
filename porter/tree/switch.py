"""Filling a new tree, and moving one from commit to commit so that nothing is lost, whenever the run is cut off.

git's own switch is not atomic: killed in the middle, it leaves some files new, some old and ``index.lock``
behind.  So a journal in ``.git/porter`` says what is going on before it begins, and the next run takes the
tree back to where it was.  Signals that can wait do; only SIGKILL or a power cut needs the journal.

Two porters do not meet: the lock is held by git as well while it writes (see ``hold`` in porter.git), so
that whoever gets it knows that nobody is writing any more.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from porter import files, git, process
from porter.errors import EnvironmentFailed, WrongUsage
from porter.files import Staging, write_file
from porter.git import GitFailed, Repository, objects
from porter.git.objects import Entry
from porter.lockfile import GitSource, Lock
from porter.output import command_line
from porter.sources.snapshot import Snapshot
from porter.stack import Stack
from porter.stack.build import Build
from porter.tree import Move, Tree, TreeNotes, branch_of, dump, short

_WAIT = 60.0  # seconds to wait for another porter
_LITTLE = 4 << 20  # bytes; fewer than a tree of upstream needs
_MOMENT = 0.5  # seconds that a living git keeps a lock file at most, in ordinary work


# what runs leave in a tree; upstream's own .gitignore is not there in a partial one
_EXCLUDE = """\
# written by porter
__pycache__/
*.py[cod]
*.cache
*.pt
*.onnx
*.torchscript*
runs/
wandb/
/datasets/
"""


def locked(tree: Tree) -> AbstractContextManager[int]:
    """Hold the tree's lock; the value is the descriptor for ``hold``.

    Raises:
        EnvironmentFailed: it cannot be made, or another porter keeps it.
    """
    return files.locked(tree.lock_file, _WAIT, f"another porter is at work in {tree.path}")


def switch(tree: Tree, move: Move, pack: bytes, hold: int) -> None:
    """Carry out a move; the lock is held.

    Raises:
        EnvironmentFailed: git could not write; the tree is as it was before.
    """
    if pack:
        try:
            tree.repository.write(pack)
        except GitFailed as error:
            raise EnvironmentFailed(f"cannot write {tree.path}", error.stderr, disk_full_hint(tree.path)) from error
    with process.held():
        write_file(tree.journal_file, dump(move))
        try:
            if move.verb == "apply":
                if tree.resolve(move.branch) != move.new:
                    _update_ref(tree, f"create {move.branch} {move.new}", hold)
                # before HEAD moves, so that a tree on the stack's branch always has them
                write_file(tree.notes_file, dump(move.notes))
            _switch(tree, move.new_head, hold)
        except (GitFailed, OSError, EnvironmentFailed) as error:
            why = error.stderr if isinstance(error, GitFailed) else str(error)
            try:
                # a git that ended by itself took its lock files away; one that is there is somebody else's
                if isinstance(error, GitFailed) and error.status < 0:
                    _unlock(tree, move)
                _undo(tree, move, hold)
            except (GitFailed, OSError, EnvironmentFailed) as second:
                hint = f"Then run `porter {move.verb}` again: it begins by putting the files back."
                hint = f"{disk_full_hint(tree.path)} {hint}".strip()
                raise EnvironmentFailed(f"cannot write {tree.path}, nor undo what was written", why, hint) from second
            what = f"cannot write {tree.path}; it is as it was before"
            if "'refs/heads/porter' exists" in why:  # git keeps a branch porter/mlu in a folder of that name
                rename = command_line("git", "-C", tree.path, "branch", "-m", "porter", "NEW")
                hint = f"Give your branch porter another name: {rename}"
                raise WrongUsage(what, why, hint) from error
            raise EnvironmentFailed(what, why, disk_full_hint(tree.path)) from error
        _conclude(tree, move, hold)


def recover(tree: Tree, move: Move, hold: int) -> None:
    """Bring a tree to one side of a move that was cut off: finished if HEAD has moved, else undone.

    Raises:
        WrongUsage: a file was edited since, so that it is not clear whose it is; nothing is changed.
        EnvironmentFailed: the tree cannot be written.
    """
    with process.held():
        head, branch = _head(tree)
        if (branch or head) == move.new_head:
            _unlock(tree, move)
            _conclude(tree, move, hold)
        elif head == move.old:
            _unlock(tree, move)
            _undo(tree, move, hold)
        else:  # the user went on with git; what they made of it is theirs
            _remove(tree.journal_file)


def _undo(tree: Tree, move: Move, hold: int) -> None:
    """Back to where the move began; HEAD is there still."""
    _restore(tree, move, hold)
    if move.verb == "apply":
        if tree.resolve(move.branch) == move.new:
            _update_ref(tree, f"delete {move.branch} {move.new}", hold)
        _remove(tree.notes_file)
    _remove(tree.journal_file)


def disk_full_hint(folder: Path) -> str:
    """A hint if there is hardly any room on the disk: git's own words often do not say it."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return ""
    return f"The disk is full ({free // 1024} KiB free); make room, and try again." if free < _LITTLE else ""


def _conclude(tree: Tree, move: Move, hold: int) -> None:
    """What is left to do once HEAD has moved."""
    if move.verb == "revert":
        if tree.resolve(move.branch) == move.old:
            _update_ref(tree, f"delete {move.branch} {move.old}", hold)
        _remove(tree.notes_file)
    _remove(tree.journal_file)


def _switch(tree: Tree, head: str, hold: int) -> None:
    place = [short(head)] if head.startswith("refs/heads/") else ["--detach", head]
    tree.repository.run("switch", "--quiet", "--no-guess", "--no-overwrite-ignore", *place, hold=hold)


def _update_ref(tree: Tree, command: str, hold: int) -> None:
    tree.repository.run("update-ref", "--stdin", stdin=f"{command}\n".encode(), hold=hold)


def _head(tree: Tree) -> tuple[str, str]:
    branch = tree.repository.text("symbolic-ref", "--quiet", "HEAD", status=(0, 1))
    return tree.resolve("HEAD"), branch


def _unlock(tree: Tree, move: Move) -> None:
    """Remove the lock files of a git that was killed.

    We hold porter's lock, so that git is not alive; but the user may run one right now, whose lock files
    are gone in a moment.
    """
    places = [
        tree.path / ".git" / name for name in ("index.lock", "HEAD.lock", f"{move.branch}.lock", "packed-refs.lock")
    ]
    before = {place: _identity(place) for place in places if place.exists()}
    if before:
        time.sleep(_MOMENT)
    for place, identity in before.items():
        if _identity(place) == identity:
            _remove(place)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


@dataclass(frozen=True)
class _Sides:
    """A file on both sides of a move."""

    old: Entry | None
    new: Entry | None


def _restore(tree: Tree, move: Move, hold: int) -> None:
    """Put back the files and the index entries that the move changes, if all of them are the move's own."""
    sides, staged = _changed(tree, move), _staged(tree)
    index = [path for path, side in sides.items() if staged.get(path) != side.old]
    edited = [path for path in index if staged.get(path) != sides[path].new]
    stale, foreign = _compare(tree, sides)
    edited += [path for path in foreign if sides[path].old]
    if edited:
        put_back = command_line("git", "-C", tree.path, "checkout", "-f", move.old[:12], "--", edited[0])
        raise WrongUsage(
            f"an earlier porter {move.verb} was cut off, and {edited[0]} was edited since",
            "\n".join(edited),
            f"Save your edit elsewhere, run `{put_back}`, and try again.",
        )
    # what is left of the foreign ones are untracked files of the user's that git refused to overwrite
    run = tree.repository.run
    if index:
        rows = [_index_row(path, sides[path].old) for path in index]
        run("update-index", "-z", "--index-info", stdin=_nul(rows), hold=hold)
    for path in stale:
        if sides[path].old is None:
            _remove(tree.path / path)
            _prune(tree.path, (tree.path / path).parent)
    back = [path for path in stale if sides[path].old]
    if back:
        run("checkout-index", "--force", "--quiet", "-z", "--stdin", stdin=_nul(back), hold=hold)
    if index or back:
        run("update-index", "-q", "--refresh", status=(0, 1), hold=hold)


def _compare(tree: Tree, sides: Mapping[str, _Sides]) -> tuple[list[str], list[str]]:
    """The files that are not as they were before the move, and those that are neither side's."""
    contents = tree.repository.find({e.id for s in sides.values() for e in (s.old, s.new) if e})
    stale, foreign = [], []
    for path, side in sides.items():
        here = _read(tree.path / path)
        old, new = (contents[entry.id].data if entry else None for entry in (side.old, side.new))
        if not _ours(here, old, new):
            foreign.append(path)
        elif here is None or here != old or (side.old and _mode(tree.path / path) != side.old.mode):
            stale.append(path)
    return stale, foreign


def _index_row(path: str, entry: Entry | None) -> str:
    return f"{entry.mode} {entry.id}\t{path}" if entry else f"0 {objects.NOTHING}\t{path}"


def _changed(tree: Tree, move: Move) -> dict[str, _Sides]:
    """The files that differ between the move's two commits."""
    rows = tree.repository.run("diff-tree", "-r", "-z", "--no-renames", "--raw", move.old, move.new)
    return {path: _Sides(*both) for path, both in objects.sides(rows).items()}


def _staged(tree: Tree) -> Mapping[str, Entry]:
    found = {}
    for row in tree.repository.run("ls-files", "--stage", "-z").decode(errors="surrogateescape").split("\0"):
        if row:
            head, _, path = row.partition("\t")
            mode, blob, stage = head.split(" ")
            found[path] = Entry(mode, blob) if stage == "0" else Entry("unmerged", blob)
    return found


def _ours(here: bytes | None, old: bytes | None, new: bytes | None) -> bool:
    """Whether a file is what either side has, is gone, or is the beginning of the new one, cut off while written."""
    if here is None or here in (old, new):
        return True
    # this user's git may write CRLF
    here = here.replace(b"\r\n", b"\n")
    if old is not None and here == old.replace(b"\r\n", b"\n"):
        return True
    return new is not None and new.replace(b"\r\n", b"\n").startswith(here.removesuffix(b"\r"))


def _read(path: Path) -> bytes | None:
    """A file's content; None where there is none, a link's or folder's is nobody's."""
    if path.is_symlink() or path.is_dir():
        return b"\0not a file"
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _mode(path: Path) -> str:
    """A file's mode in git's words."""
    return "100755" if path.stat().st_mode & 0o100 else "100644"


def _prune(root: Path, folder: Path) -> None:
    """Remove folders that are empty now, as git does."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _nul(rows: list[str]) -> bytes:
    return "".join(f"{row}\0" for row in rows).encode(errors="surrogateescape")


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()


def fill(folder: Staging, lock: Lock, stack: Stack, snapshot: Snapshot, build: Build) -> None:
    """Make a tree's repository and its files in a staging folder.

    Raises:
        GitFailed, OSError: there is no room, or the folder cannot be written.
    """
    git.run("init", "--quiet", "--template=", str(folder.path))
    inside = folder.path / ".git"
    if snapshot.shallow:
        (inside / "shallow").write_text(f"{snapshot.base}\n", encoding="utf-8")
    repository = Repository(folder.path)
    repository.write(objects.pack([*snapshot.objects.values(), *build.objects.values()]))
    refs = [("heads/master", snapshot.base), (f"heads/{stack.branch}", build.tip)]
    if not snapshot.partial and lock.pin.tagged:
        refs.append((f"tags/{lock.pin.tag}", snapshot.base))
    commands = "".join(f"create refs/{name} {commit}\n" for name, commit in refs)
    repository.run("update-ref", "--stdin", stdin=commands.encode())
    repository.run("symbolic-ref", "HEAD", branch_of(stack))
    (inside / "info").mkdir(exist_ok=True)
    (inside / "info" / "exclude").write_text(_EXCLUDE, encoding="utf-8")
    url = next((source.url for source in lock.sources if isinstance(source, GitSource)), "")
    with (inside / "config").open("a", encoding="utf-8") as config:
        config.write(_config(url))
    notes = TreeNotes(stack.targets, snapshot.base, build.tip, "refs/heads/master")
    (inside / "porter" / "state.json").write_bytes(dump(notes))
    repository.run("reset", "--quiet", "--hard")


def _config(url: str) -> str:
    """What a tree's configuration has beyond git's own: line ends stay as they are, and where upstream is."""
    text = "[core]\n\tautocrlf = false\n"
    if url:
        quoted = url.replace("\\", "\\\\").replace('"', '\\"')
        text += f'[remote "origin"]\n\turl = "{quoted}"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'
    return text
