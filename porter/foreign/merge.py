"""Foreign patches on a stack, by git: each becomes a commit on what it was made for, and is cherry-picked from there.

So git merges with all it knows: what both sides changed, and where files were moved.  git stops at a conflict, where
people want the other hunks all the same: the hunks of such a file are merged one by one, and what is left is told with
both sides.  What does not fit the base that it should be for is tried on the stack's own lines.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from porter import git
from porter.foreign.base import Base
from porter.foreign.hunks import FileChange, Incoming, hunks_in, parse
from porter.git import GitFailed, Repository, objects, with_worktree
from porter.patch.diff import Hunk, lines

APPLIED = "applied"  # where its old lines are
MERGED = "merged"  # three-way, by what it was made for
THERE = "there"  # its new lines are in the file already
REJECTED = "rejected"

_WHO = "porter <porter@example.invalid> 0 +0000"
_ANOTHER = "it is to be added, and the stack has another of that name"
_MISSING = "the stack has no such file"
_BOTH = "the stack changes the same lines"
_RENAMED = "a file is renamed to this, and it is there already"
# by the sides that git has of a file that it cannot merge: 1 the base's, 2 the stack's, 3 the patch's
_WHY = {(1, 2): "it is to be deleted, and the stack changes it", (2, 3): _ANOTHER, (1, 3): _MISSING, (3,): _ANOTHER}


@dataclass(frozen=True)
class Reject:
    """What could not be taken: the file, why, and both sides as text."""

    path: str
    why: str
    text: str = ""


@dataclass
class ImportOutcome:
    """What became of one patch.

    Attributes:
        patch: the patch.
        before, commit: the patch as a commit on the base: the one that it grew from, and itself.
        left: what does not fit the base.
        paths: the files that it changed.
        hunks: how many became what, by the words above.
        rejects: what is left.
    """

    patch: Incoming
    before: str
    commit: str
    left: Sequence[FileChange] = ()
    paths: Sequence[str] = ()
    hunks: Counter[str] = field(default_factory=Counter)
    rejects: list[Reject] = field(default_factory=list)

    def reject(self, path: str, why: str, hunks: Sequence[Hunk], text: str = "") -> None:
        """Note what could not be taken."""
        self.rejects.append(Reject(path, why, b"".join(hunk.text for hunk in hunks).decode(errors="replace") + text))
        self.hunks[REJECTED] += max(1, len(hunks))


class Merger:
    """Merges patches in a scratch repository, whose folder is first the worktree of the base, then of the stack.

    Attributes:
        git: the repository.
        tip: the last commit on the stack.
    """

    def __init__(self, scratch: Repository, base: Base, ours: str) -> None:
        self.git = with_worktree(scratch)
        self.tip = ours
        self._tree = scratch.path.parent
        self._base = base
        self._modes: dict[str, str] = {}  # path -> the mode that a change gives it; the folder need not keep modes

    def commits(self, patches: Sequence[Incoming]) -> list[ImportOutcome]:
        """The patches as commits on the base, each on the one before it; the worktree is the stack's afterwards."""
        files = {path: entry for path, entry in self._base.files.items() if entry.id in self._base.objects}
        root = objects.trees(files)
        start = objects.commit(root[-1].id, (), _WHO, _WHO, "base\n")
        blobs = (self._base.objects[entry.id] for entry in files.values())
        self.git.write(objects.pack([*blobs, *root, start], level=0))
        self.git.run("checkout", "--quiet", "--detach", start.id)
        tip, found = start.id, []
        for patch in patches:
            left = [self._put(change)[0] for change in patch.changes if not change.unusable]
            self._add()
            commit = self._written(tip, _WHO, "patch\n")
            found.append(ImportOutcome(patch, tip, commit, [change for change in left if change]))
            tip = commit
        self.git.run("checkout", "--quiet", "--force", "--detach", self.tip)
        return found

    def take(self, one: ImportOutcome) -> None:
        """Put a patch on the stack; what becomes of it waits in the index to be committed."""
        one.rejects += [Reject(change.new, change.unusable) for change in one.patch.changes if change.unusable]
        diff = self.git.run("diff-tree", "-r", "-p", "-M", one.before, one.commit)
        changes = parse(diff, (), 1) if diff else ()
        plain = changes if self._fits(changes) else [change for change in changes if self._fits([change])]
        stopped: list[FileChange] = []
        try:
            self.git.run("cherry-pick", "--no-commit", one.commit)
        except GitFailed:
            sides = self.git.unmerged()
            if not sides:
                raise
            stopped = self._settle(sides, changes, one)
        one.paths = self._changed()
        for change in (change for change in changes if change not in stopped):
            is_there = not {change.old, change.new} & set(one.paths) and (self._tree / change.new).exists()
            word = THERE if is_there else APPLIED if change in plain else MERGED
            one.hunks[word] += max(1, len(change.hunks))
        if one.left:
            for change in one.left:
                self._put_alone(change, one)
            self._add()
            one.paths = self._changed()

    def commit(self, who: str, message: str) -> None:
        self.tip = self._written(self.tip, who, message)

    def _put(self, change: FileChange) -> tuple[FileChange | None, str]:
        """Change the worktree as a patch says; what does not fit of it, and git's words where that is all of it."""
        old, new = self._tree / change.old, self._tree / change.new
        if change.data is not None:
            try:
                new.parent.mkdir(parents=True, exist_ok=True)
                new.write_bytes(change.data)
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                return change, f"{change.new} is a folder here, or in one that is a file"
            self._modes[change.new] = change.new_mode
            return None, ""
        if change.kind == "delete" and old.is_file():
            old.unlink()
            return None, ""
        try:
            self.git.run("apply", "--reject", *_options([change]), stdin=change.text)
            self._modes[change.new] = change.new_mode
            return None, ""
        except GitFailed as error:
            left = new.with_name(f"{new.name}.rej")
            if not left.is_file():
                return change, error.stderr.split("\n")[0].partition("error: ")[2]
            hunks = hunks_in(left.read_bytes())
            left.unlink()
            self._modes[change.new] = change.new_mode
            return FileChange("modify", change.new, change.new, hunks=hunks), ""

    def _put_alone(self, change: FileChange, one: ImportOutcome) -> None:
        """A change that is not for the base, on the stack's own lines."""
        old, new = self._tree / change.old, self._tree / change.new
        number = max(1, len(change.hunks))
        if (
            change.kind == "add"
            and new.is_file()
            and lines(new.read_bytes()) == [row for hunk in change.hunks for row in hunk.new]
        ):
            one.hunks[THERE] += number
        elif change.kind == "add" and os.path.lexists(new):
            one.reject(change.new, _ANOTHER, change.hunks)
        elif change.kind != "add" and not old.is_file():
            why = _MISSING if change.old in self._base.files else "neither upstream nor the stack has such a file"
            one.reject(change.new, why, change.hunks)
        elif change.kind == "rename" and os.path.lexists(new):
            one.reject(change.new, _RENAMED, change.hunks)
        else:
            left, why = self._put(change)
            if why:
                one.reject(change.new, f"git does not take it: {why}", change.hunks)
                return
            hunks = left.hunks if left else ()
            for hunk in hunks:
                alone = replace(change, kind="modify", old=change.new, new_mode="", hunks=(hunk,))
                if self._fits([alone], "--reverse"):
                    one.hunks[THERE] += 1
                    continue
                found = lines(new.read_bytes())[hunk.old_position :][: max(len(hunk.old), 3)]
                text = f"\nat line {hunk.old_position + 1} there is:\n{b''.join(found).decode(errors='replace')}"
                one.reject(change.new, "its old lines are not there", [hunk], text)
            if len(hunks) < number:
                one.hunks[APPLIED] += number - len(hunks)

    def _settle(
        self, sides: Mapping[str, Mapping[int, str]], changes: Sequence[FileChange], one: ImportOutcome
    ) -> list[FileChange]:
        """Decide on the files that git could not merge; the changes that they are of."""
        stopped = []
        for path, blobs in sides.items():
            # where a folder is in its way, git puts a file beside it, as NAME~COMMIT
            of = [c for c in changes if path in (c.old, c.new) or path.startswith(f"{c.new}~")]
            stopped += of
            hunks = hunks_in(self.git.run("diff", "--no-ext-diff", blobs[1], blobs[3])) if len(blobs) == 3 else ()
            if hunks:
                base, ours = (blob.data for blob in self.git.read([blobs[1], blobs[2]]))
                (self._tree / path).write_bytes(_one_by_one(path, base, ours, hunks, one))
                continue
            for change in of:
                why = _RENAMED if change.kind == "rename" and 2 in blobs else _WHY.get(tuple(blobs), _BOTH)
                one.reject(change.new, why, change.hunks)
            for each in {path, *(name for change in of for name in (change.old, change.new))}:
                self._restore(each)
        self.git.run("clean", "-ffdxq")  # such a NAME~COMMIT, which older versions of git do not put in the index
        self._add()
        return stopped

    def _restore(self, path: str) -> None:
        """Make a file what the stack has."""
        with suppress(OSError):
            (self._tree / path).unlink()
        with suppress(GitFailed):  # the stack has none
            self.git.run("--literal-pathspecs", "checkout", "--quiet", self.tip, "--", path)

    def _fits(self, changes: Sequence[FileChange], *options: str) -> bool:
        """Whether the worktree has the old lines, wherever they are."""
        text = b"".join(change.text for change in changes)
        try:
            self.git.run("apply", "--check", *options, *_options(changes), stdin=text)
        except GitFailed:
            return False
        return True

    def _changed(self) -> list[str]:
        """The files that differ from the stack's last commit."""
        out = self.git.run("diff-index", "--cached", "--name-only", "--no-renames", "-z", self.tip)
        return out.decode(errors="surrogateescape").split("\0")[:-1]

    def _add(self) -> None:
        """Tell git of every file."""
        self.git.run("add", "--all", "--force", ".")
        for path, mode in self._modes.items():
            if mode:
                sign = "+" if mode == "100755" else "-"
                self.git.run("--literal-pathspecs", "update-index", f"--chmod={sign}x", "--", path)
        self._modes.clear()

    def _written(self, parent: str, who: str, message: str) -> str:
        data = objects.commit(self.git.text("write-tree"), (parent,), who, who, message).data
        return self.git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=data).decode().strip()


def _options(changes: Iterable[FileChange]) -> list[str]:
    """How git apply should read changes."""
    is_loose = any(hunk.is_loose for change in changes for hunk in change.hunks)
    return ["--recount", "--whitespace=nowarn", *(["--unidiff-zero"] if is_loose else [])]


def _one_by_one(path: str, base: bytes, ours: bytes, hunks: Sequence[Hunk], one: ImportOutcome) -> bytes:
    """A file with each hunk in it that git merges without a conflict."""
    rows = lines(base)
    for hunk in hunks:
        end = hunk.old_position + len(hunk.old)
        theirs = b"".join([*rows[: hunk.old_position], *hunk.new, *rows[end:]])
        merged, conflicts = git.merge(ours, base, theirs, "-L", "the stack", "-L", "the base", "-L", "the patch")
        if conflicts:
            one.reject(path, _BOTH, [hunk], f"\n{_conflicts(merged)}")
            continue
        one.hunks[THERE if merged == ours else APPLIED if b"".join(hunk.old) in ours else MERGED] += 1
        ours = merged
    return ours


def _conflicts(marked: bytes) -> str:
    """The parts of a merge between conflict marks, the marks with them."""
    kept, inside = [], False
    for row in marked.decode(errors="replace").split("\n"):
        inside = inside or row.startswith("<<<<<<< ")
        if inside:
            kept.append(row)
        inside = inside and not row.startswith(">>>>>>> ")
    return "\n".join(kept) + "\n"
