"""The desk: a git repository where a person resolves a patch that does not fit.

Its branch ends with upstream at the new commit and the patches so far.  The patch lies in the index and in the
files as a cherry-pick that stopped: conflicts with all three sides in the index, so that git status, git mergetool,
git diff and git add do what they always do, and ``CHERRY_PICK_HEAD`` is the patch as it was.

A desk says by itself what it holds (``.git/porter/holds``, written last and removed first), so that a porter that
died in the middle of laying a patch out leaves a desk that holds nothing, and the next one lays it out again.
The folder stays where it is from one patch to the next: somebody's shell is in it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from porter import git, objects, process
from porter.errors import SurroundingsFailed, WrongUsage
from porter.git import GitFailed, Repository
from porter.objects import Entry, Object
from porter.rebase.state import Resolution

BRANCH = "bump"
_HOLDS = ".git/porter/holds"
_MARK = re.compile(rb"(?:<{7}|\|{7}|>{7}) ")
_ZERO = "0" * 40
_CONFIG = {"core.autocrlf": "false", "core.hooksPath": os.devnull, "merge.conflictStyle": "diff3"}
_LEFT_BY_GIT = ("index.lock", "HEAD.lock", f"refs/heads/{BRANCH}.lock", "CHERRY_PICK_HEAD", "MERGE_HEAD", "MERGE_MSG")


@dataclass(frozen=True)
class Sheet:
    """What is laid out on a desk.

    Attributes:
        key: names it, see :func:`porter.rebase.replay.key_of`.
        patch: the patch's id.
        subject: its subject.
        message: its whole message.
        tip: the commit that it goes on.
        original: the commit that it was.
        entries: path -> the file's entry where it fits, ``None`` where the patch deletes it.
        stages: path -> entries of the three sides (before the patch, upstream and the patches so far, the patch's)
            where it does not.
        contents: path -> what stands in the folder at a path of ``stages``; ``None`` for no file.
        objects: all that the commits and entries need.
        shallow: commits whose parents are not among the objects.
    """

    key: str
    patch: str
    subject: str
    message: str
    tip: str
    original: str
    entries: Mapping[str, Entry | None]
    stages: Mapping[str, tuple[Entry | None, Entry | None, Entry | None]]
    contents: Mapping[str, bytes | None]
    objects: Mapping[str, Object]
    shallow: tuple[str, ...]


class Desk:
    """The desk in a folder, which need not be there yet.

    Args:
        hold: the descriptor of the lock, which git keeps while it writes, see :func:`porter.git.run`.
    """

    def __init__(self, path: Path, hold: int) -> None:
        self.path = path
        self._hold = hold
        self._repository = Repository(path / ".git", exact=True, worktree=path)

    @property
    def key(self) -> str:
        """The key of what lies on it; empty if that is nothing."""
        return self._holds()[0]

    @property
    def touched(self) -> bool:
        """Whether somebody changed something since it was laid out."""
        return self._holds()[1] != self._print()

    def _holds(self) -> tuple[str, str]:
        try:
            key, _, print_ = (self.path / _HOLDS).read_text().partition(" ")
            return key, print_
        except (FileNotFoundError, NotADirectoryError):
            return "", ""
        except OSError as error:
            raise SurroundingsFailed(f"cannot read {self.path / _HOLDS}", error.strerror or str(error)) from error

    def _print(self) -> str:
        """A digest of everything that a person can change."""
        out = [
            self._run(*words)
            for words in (("ls-files", "--stage", "-z"), ("diff", "--no-ext-diff"), ("rev-parse", "HEAD"))
        ]
        return hashlib.sha256(b"\0".join(out)).hexdigest()

    def lay(self, sheet: Sheet, borrow: Path | None = None) -> None:
        """Lay a patch out; what lay there is gone, except for files that git does not know.

        Args:
            borrow: a folder of git objects to see as well, for `git log` and `git blame` on the desk.

        Raises:
            SurroundingsFailed: the folder cannot be written.
        """
        try:
            with process.held():
                self._clear()
                self._borrow(borrow, sheet.shallow)
                self._repository.write(objects.pack(sheet.objects.values()))
                self._run("update-ref", f"refs/heads/{BRANCH}", sheet.tip)
                self._run("symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
                self._run("reset", "--quiet", "--hard", sheet.tip)
                self._put(sheet)
                self._run("update-ref", "CHERRY_PICK_HEAD", sheet.original)
                (self.path / ".git/MERGE_MSG").write_bytes(sheet.message.encode())
                holds = self.path / _HOLDS
                holds.parent.mkdir(exist_ok=True)
                holds.with_suffix(".new").write_text(f"{sheet.key} {self._print()}")
                holds.with_suffix(".new").replace(holds)
        except GitFailed as error:
            raise SurroundingsFailed(f"cannot write {self.path}", error.stderr) from error
        except OSError as error:
            raise SurroundingsFailed(f"cannot write {self.path}", error.strerror or str(error)) from error

    def clear(self) -> None:
        """Say that nothing lies there any more; the files stay until the next patch needs the place."""
        with suppress(FileNotFoundError, NotADirectoryError):
            (self.path / _HOLDS).unlink()

    def take(self, sheet: Sheet) -> Resolution:
        """What the person made of the patch.

        Raises:
            WrongUsage: it is not finished: unmerged files, conflict marks, changes that git was not told of, or
                nothing at all; or something that a patch cannot hold.
        """
        self._check_finished(sheet)
        tree = self._text("write-tree")
        rows = self._run("diff-tree", "-r", "-z", "--no-renames", "--raw", sheet.tip, tree)
        words = rows.decode(errors="surrogateescape").split("\0")
        was: dict[str, Entry | None] = {}
        changed: dict[str, Entry] = {}
        for head, path in zip(words[0:-1:2], words[1::2]):
            old_mode, mode, old, blob, _ = head[1:].split(" ")
            was[path] = Entry(old_mode, old) if old != _ZERO else None
            if blob != _ZERO:
                changed[path] = Entry(mode, blob)
        if not was:
            raise WrongUsage(
                f"nothing is left of {sheet.patch} in {self.path}",
                "the files there are as they were without it",
                "If the patch is not needed any more: `porter bump --skip`.",
            )
        contents = self._repository.find({e.id for e in (*changed.values(), *was.values()) if e})
        files: dict[str, tuple[str, bytes] | None] = dict.fromkeys(was)
        for path, entry in changed.items():
            before = was[path]
            data = contents[entry.id].data if entry.id in contents else b""  # else a repository in the repository
            self._check_file(path, entry, data, contents[before.id].data if before else b"")
            files[path] = (entry.mode, data)
        return Resolution(sheet.patch, sheet.subject, was, files)

    def strays(self) -> list[str]:
        """Files in the folder that git does not know, and which no resolution takes along."""
        return [path for code, path in self._status() if code == "??"]

    def _check_finished(self, sheet: Sheet) -> None:
        add = f"git -C {self.path} add FILE"
        rows = self._status()
        unmerged = [path for code, path in rows if "U" in code or code in ("AA", "DD")]
        if unmerged:
            raise WrongUsage(
                f"{sheet.patch} is not resolved: {_count(unmerged)} unmerged", "\n".join(unmerged), f"When done: {add}"
            )
        unstaged = [path for code, path in rows if code != "??" and code[1] != " "]
        if unstaged:
            raise WrongUsage(
                f"{_count(unstaged)} in {self.path} changed since git was told of it", "\n".join(unstaged), add
            )
        head = self._text("rev-parse", "--verify", "HEAD")
        if head != sheet.tip and self._text("merge-base", sheet.tip, head, status=(0, 1)) != sheet.tip:
            raise WrongUsage(
                f"the desk {self.path} is not where porter left it",
                f"expected commit {sheet.tip} below HEAD\nfound    HEAD {head}",
                f"git -C {self.path} reset --soft {sheet.tip[:12]}",
            )

    def _check_file(self, path: str, entry: Entry, data: bytes, before: bytes) -> None:
        if entry.mode not in ("100644", "100755"):
            raise WrongUsage(
                f"{path} is a link or a repository of its own", hint="porter's patches hold plain files only."
            )
        if b"\0" in data and data != before:
            raise WrongUsage(f"{path} is a binary file", hint="porter's patches change text; ship the file otherwise.")
        marks = {line for line in data.split(b"\n") if _MARK.match(line)} - set(before.split(b"\n"))
        if marks:
            numbers = [str(n) for n, line in enumerate(data.split(b"\n"), 1) if line in marks]
            raise WrongUsage(
                f"{path} holds conflict marks still",
                f"line {', '.join(numbers)}",
                f"Edit it in {self.path}, then: git add {path}",
            )

    def _status(self) -> list[tuple[str, str]]:
        """Git's two letters and the path, of every file that is not as it was."""
        try:
            out = self._run("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
        except GitFailed as error:
            raise SurroundingsFailed(f"git cannot read {self.path}", error.stderr) from error
        return [(row[:2], row[3:]) for row in out.decode(errors="surrogateescape").split("\0") if row]

    def _clear(self) -> None:
        """Make the repository if there is none, and take away what a porter or a git that died left in it."""
        self.clear()
        if not (self.path / ".git" / "HEAD").is_file():
            git.run("init", "--quiet", "--template=", str(self.path), hold=self._hold)
            for name, value in _CONFIG.items():
                self._run("config", name, value)
        for name in _LEFT_BY_GIT:
            with suppress(FileNotFoundError):
                (self.path / ".git" / name).unlink()

    def _borrow(self, borrow: Path | None, shallow: tuple[str, ...]) -> None:
        inside = self.path / ".git"
        grafts = inside / "shallow"
        if borrow is not None and borrow.is_dir():
            git.lend(inside, borrow)
            with suppress(FileNotFoundError):
                grafts.unlink()
        elif shallow:
            grafts.write_text("".join(f"{commit}\n" for commit in shallow))

    def _put(self, sheet: Sheet) -> None:
        rows = [f"{e.mode} {e.id}\t{p}" if e else f"0 {_ZERO}\t{p}" for p, e in sheet.entries.items()]
        for path, sides in sheet.stages.items():
            rows.append(f"0 {_ZERO}\t{path}")
            rows += [f"{e.mode} {e.id} {stage}\t{path}" for stage, e in enumerate(sides, 1) if e]
        index = "".join(f"{row}\0" for row in rows).encode(errors="surrogateescape")
        self._run("update-index", "-z", "--index-info", stdin=index)
        for path, entry in sheet.entries.items():
            self._write(path, sheet.objects[entry.id].data if entry else None, entry.mode if entry else "")
        for path, data in sheet.contents.items():
            mode = next((e.mode for e in reversed(sheet.stages[path]) if e), "100644")
            self._write(path, data, mode)
        self._run("update-index", "-q", "--refresh", status=(0, 1))

    def _write(self, path: str, data: bytes | None, mode: str) -> None:
        place = self.path / path
        with suppress(FileNotFoundError, NotADirectoryError):
            place.unlink()
        if data is None:
            for folder in place.parents:
                if folder == self.path:
                    break
                with suppress(OSError):  # not empty
                    folder.rmdir()
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        if mode == "100755":
            place.chmod(0o755)

    def _run(self, *args: str, stdin: bytes | None = None, status: tuple[int, ...] = (0,)) -> bytes:
        return self._repository.run(*args, stdin=stdin, status=status, hold=self._hold)

    def _text(self, *args: str, status: tuple[int, ...] = (0,)) -> str:
        return self._run(*args, status=status).decode(errors="surrogateescape").rstrip("\n")


def _count(paths: list[str]) -> str:
    return "1 file is" if len(paths) == 1 else f"{len(paths)} files are"
