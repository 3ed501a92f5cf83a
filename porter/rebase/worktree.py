"""The worktree of a bump: a repository in which `git rebase` moves the patches' commits to the new pin.

It is an ordinary repository with an ordinary interactive rebase, whose list of commands porter writes: every patch's
commit is picked, ``common``'s first, then each target's on what became of ``common``.  Where a patch does not apply
the rebase stops, and git status, git mergetool, git add and git rebase do what they always do.  At its end it pauses
(``break``), so that git's own record of what became of each commit stays until porter has read it.

All that porter needs to know it reads from git's files, so that it does not matter who took the rebase on: this
porter, one that was killed, or a person with git.  A rebase that was cut off in the middle of a step is no stop, and
:meth:`Worktree.stop` says so; whoever finds that begins it anew.  The folder stays where it is meanwhile: somebody's
shell is in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from porter import git, process
from porter.errors import EnvironmentFailed, WrongUsage, os_errors, refused
from porter.files import move, read_if_there
from porter.git import GitFailed, Repository, objects
from porter.git.objects import Entry, Object, Sides, sides
from porter.output import command_line, counted
from porter.rebase.state import Resolution

_BRANCH = "bump"
_MARK = re.compile(rb"(?:<{7}|\|{7}|>{7}) ")
_SETTINGS = {
    "core.autocrlf": "false",
    "core.hooksPath": os.devnull,
    "gc.auto": "0",
    "merge.conflictStyle": "diff3",
    "merge.directoryRenames": "false",  # as git am has it: a patch's new file stays where the patch puts it
    "rerere.enabled": "true",
    "rerere.autoUpdate": "true",
}
# upstream's .gitattributes must not decide how patches are merged, or how a file looks in the folder
_ATTRIBUTES = "* -text !eol -ident -filter !working-tree-encoding !merge !conflict-marker-size\n"
_WHO = {f"GIT_COMMITTER_{key}": value for key, value in (("NAME", "porter"), ("EMAIL", "porter@example.invalid"))}
_LEFT_BY_GIT = ("index.lock", "HEAD.lock", "MERGE_RR.lock", f"refs/heads/{_BRANCH}.lock", "CHERRY_PICK_HEAD")
_DIFF = ("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev")
_PICKS = {"p": "pick", "e": "edit", "d": "drop"}


@dataclass(frozen=True)
class Stop:
    """Where the rebase stands.

    Attributes:
        commit: the commit that is being picked, as the list of commands names it; empty where the rebase pauses.
        at_end: nothing is left to do.
    """

    commit: str
    at_end: bool


class Worktree:
    """The worktree in a folder, which need not be there yet.

    Args:
        memory: the folder in which ``git rerere`` remembers how conflicts were resolved.
        hold: the descriptor of the lock, which git keeps while it works, see :func:`porter.git.run`; None if the
            folder is nobody else's.
    """

    def __init__(self, path: Path, memory: Path, hold: int | None) -> None:
        self.path = path
        self.repository = Repository(path / ".git", exact=True, worktree=path, settings=_SETTINGS)
        self._memory = memory
        self._hold = hold
        self._state = path / ".git/rebase-merge"
        self._gone = path / ".git/porter-rebase"  # the state of a rebase that porter put an end to

    # -- the rebase -----------------------------------------------------------------------------------------

    def begin(self, todo: Sequence[str], made: Iterable[Object], tip: str, old: str, new: str, lender: Path) -> None:
        """Rebase ``tip`` from ``old`` onto ``new``; whatever the folder was about before is gone.

        Files that git does not know stay.

        Args:
            todo: the commands, as ``git rebase -i`` lists them.
            made: the objects of the commits that are picked.
            lender: the repository that has everything else.

        Raises:
            EnvironmentFailed: the folder cannot be written, or git stopped where nobody can go on.
        """
        try:
            with process.held():
                is_new = self._make(lender)
                self.discard()
                self.repository.write(objects.pack(made, level=0))
                self._run("checkout", "--quiet", "--force", "-B", _BRANCH, tip)
                if is_new:
                    git.backdate(self.path)
                commands = self.path / ".git/porter-todo"
                commands.write_text("".join(f"{line}\n" for line in todo), encoding="utf-8")
        except GitFailed as error:
            raise EnvironmentFailed(f"cannot write {self.path}", error.stderr) from error
        except OSError as error:
            raise refused(f"cannot write {self.path}", error) from error
        editor = {"GIT_SEQUENCE_EDITOR": 'cp "$PORTER_TODO"', "PORTER_TODO": str(commands)}
        self._rebase("--interactive", "--no-ff", "--onto", new, old, env=editor)

    def go_on(self) -> None:
        """Take what is staged for the patch that waits, if one does, and rebase the rest.

        Raises:
            EnvironmentFailed: as :meth:`begin`.
        """
        self._rebase("--continue")

    def skip(self) -> None:
        """Leave the patch that waits out, and rebase the rest.

        Raises:
            EnvironmentFailed: as :meth:`begin`.
        """
        self._rebase("--skip")

    def discard(self) -> None:
        """Put an end to the rebase, if there is one, in one step; what it made of the patches can still be read.

        Raises:
            OSError: the folder cannot be written.
        """
        if self._state.exists():
            shutil.rmtree(self._gone, ignore_errors=True)
            move(self._state, self._gone)

    def stop(self) -> Stop | None:
        """Where the rebase stands; None where there is none, or it was cut off in the middle of a step."""
        done, left = self._commands("done"), self._commands("git-rebase-todo")
        if not done:
            return None
        verb, commit = done[-1]
        if verb.startswith("b"):
            return Stop("", not left)
        stopped = self._read("stopped-sha").strip()
        # a command that could not be begun stands in both lists
        if not stopped or not commit.startswith(stopped) or left[:1] == done[-1:]:
            return None
        return Stop(commit, False)

    def done(self) -> list[tuple[str, str]]:
        """The commands that git has carried out, the one at which it stopped among them: verb and commit or label."""
        commands = self._commands("done") or self._commands("done", self._gone)
        rows = [(_PICKS.get(verb[:1], verb), word) for verb, word in commands]
        return list(dict.fromkeys(reversed(rows)))[::-1]  # one that was tried again stands there twice

    def rewritten(self) -> dict[str, str]:
        """The commits that were picked -> what became of each; the commit below it where nothing did."""
        text = self._read("rewritten-list") or self._read("rewritten-list", self._gone)
        rows = (line.split(" ") for line in text.splitlines())
        return {row[0]: row[1] for row in rows if len(row) == 2}

    def _rebase(self, *args: str, env: Mapping[str, str] | None = None) -> None:
        before = self.stop()
        try:
            with process.held():
                self._run("rebase", *args, env={**_WHO, "GIT_EDITOR": ":", **(env or {})})
        except GitFailed as error:
            if error.status != 1 or self.stop() in (None, before):
                raise EnvironmentFailed(
                    f"in {self.path} git rebase does not go on", error.stderr, "Mend that, then: porter bump --continue"
                ) from error

    def _make(self, lender: Path) -> bool:
        """Make the repository if there is none, and take away what a git that died left in it; whether it was made."""
        inside = self.path / ".git"
        is_new = not (inside / "HEAD").is_file()
        if is_new:
            git.run("init", "--quiet", "--template=", str(self.path), hold=self._hold)
        for name in _LEFT_BY_GIT:
            with suppress(FileNotFoundError):
                (inside / name).unlink()
        (inside / "info").mkdir(exist_ok=True)
        (inside / "info/attributes").write_text(_ATTRIBUTES, encoding="utf-8")
        config = inside / "config"
        if "[rerere]" not in config.read_text(encoding="utf-8"):  # what a person's own git needs to know there
            rows = ((*name.partition("."), value) for name, value in _SETTINGS.items())
            text = "".join(f"[{section}]\n\t{key} = {value}\n" for section, _, key, value in rows)
            with config.open("a", encoding="utf-8") as file:
                file.write(text)
        self.borrow(lender)
        self._memory.mkdir(parents=True, exist_ok=True)
        if not (inside / "rr-cache").is_symlink():
            (inside / "rr-cache").symlink_to(os.path.relpath(self._memory, inside), target_is_directory=True)
        return is_new

    def borrow(self, lender: Path) -> None:
        """See what another repository has, if there is a worktree: it may have been elsewhere before.

        Raises:
            EnvironmentFailed: the folder cannot be written.
        """
        inside, shallow = self.path / ".git", lender / "shallow"
        with os_errors(f"cannot write {self.path}"):
            if (inside / "objects").is_dir():
                git.lend(inside, lender / "objects")
                if shallow.exists():
                    shutil.copyfile(shallow, inside / "shallow")
                else:
                    with suppress(FileNotFoundError):
                        (inside / "shallow").unlink()

    def _read(self, name: str, folder: Path | None = None) -> str:
        data = read_if_there((folder or self._state) / name)
        return "" if data is None else data.decode("utf-8", "surrogateescape")

    def _commands(self, name: str, folder: Path | None = None) -> list[tuple[str, str]]:
        rows = (line.split(" ") for line in self._read(name, folder).splitlines() if line and line[0] != "#")
        return [(row[0], row[1] if len(row) > 1 else "") for row in rows]

    # -- what is in it ---------------------------------------------------------------------------------------

    def unmerged(self) -> tuple[str, ...]:
        """The index's rows of the files that conflict: mode, blob, stage and path."""
        rows = self._run("ls-files", "--unmerged", "-z").decode(errors="surrogateescape")
        return tuple(rows.split("\0")[:-1])

    @property
    def is_clean(self) -> bool:
        """Whether nothing is staged or changed of what git knows."""
        return all(code == "??" for code, _ in self._status())

    def strays(self) -> list[str]:
        """Files in the folder that git does not know, and which no patch takes along."""
        return [path for code, path in self._status() if code == "??"]

    def fingerprint(self) -> str:
        """A digest of everything that a person can change."""
        out = [
            self._run(*words)
            for words in (("ls-files", "--stage", "-z"), ("diff", "--no-ext-diff"), ("rev-parse", "HEAD"))
        ]
        return hashlib.sha256(b"\0".join(out)).hexdigest()

    def changes(self, pairs: Iterable[tuple[str, ...]]) -> dict[str, dict[str, Sides]]:
        """What each commit changed: commit -> path -> the file before and after it.

        Args:
            pairs: a commit, and the one that it is compared with; by default its parent.
        """
        lines = "".join(f"{' '.join(pair)}\n" for pair in pairs)
        out = self._run(*_DIFF, "--root", "--stdin", stdin=lines.encode()) if lines else b""
        found: dict[str, dict[str, Sides]] = {}
        for commit, rows in re.findall(rb"([0-9a-f]{40})\0((?::[^\0]*\0[^\0]*\0)*)", out):
            found[commit.decode()] = sides(rows)
        return found

    def renames(self, old: str, new: str) -> list[tuple[str, str]]:
        """The files that one commit has under another name than the other: old and new path, by the old one."""
        out = self._run("diff-tree", "-r", "-z", "--name-status", "--diff-filter=R", "-M", old, new)
        rows = out.decode(errors="surrogateescape").split("\0")
        return list(zip(rows[1::3], rows[2::3]))

    # -- resolutions -----------------------------------------------------------------------------------------

    def key(self, commit: str, below: str) -> str:
        """A name for the merge of a commit's change with another's files: the same merge has it everywhere."""
        changes = self.changes([(commit,)]).get(commit, {})
        there = self._run("ls-tree", "-z", below, "--", *sorted(changes))
        return hashlib.sha256(repr(sorted(changes.items())).encode(errors="surrogateescape") + there).hexdigest()

    def stage(self, made: Resolution) -> bool:
        """Stage what was once made of the patch that waits; False, and nothing, where it was made on other files."""
        there = self.repository.files("HEAD")
        if any(there.get(path) != old for path, (old, _) in made.items()):
            return False
        self.put_back()
        self.replace({path: new for path, (_, new) in made.items()})
        return True

    def replace(self, files: Mapping[str, tuple[str, bytes] | None]) -> None:
        """Give files of the folder another mode and content, None to remove one, and tell git.

        Raises:
            EnvironmentFailed: the folder cannot be written.
        """
        with os_errors(f"cannot write {self.path}"):
            for path, new in files.items():
                file = self.path / path
                with suppress(FileNotFoundError):
                    file.unlink()  # a link, too
                if new is not None:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(new[1])
                    file.chmod(0o755 if new[0] == "100755" else 0o644)
        if files:
            self._run("add", "--force", "--all", "--", *files)

    def put_back(self) -> None:
        """Make the files what they were without the patch that waits."""
        self._run("read-tree", "--reset", "-u", "HEAD")

    def forget(self) -> None:
        """Do not let ``git rerere`` remember how the present conflict is resolved."""
        with suppress(FileNotFoundError):
            (self.path / ".git/MERGE_RR").unlink()

    def take(self, name: str, below: str) -> Resolution:
        """What the person made of the patch that waits.

        Args:
            name: the patch's id.
            below: the commit that it goes on.

        Raises:
            WrongUsage: it is not finished: unmerged files, conflict marks, changes that git was not told of, or
                nothing at all; or something that a patch cannot hold.
        """
        self._check_finished(name, below)
        changes = sides(self._run(*_DIFF, below, self._run("write-tree").decode().strip()))
        if not changes:
            again = command_line("porter", "bump", "--redo", name)
            raise WrongUsage(
                f"nothing is left of {name} in {self.path}",
                "the files there are as they were without it",
                f"If the patch is not needed any more: porter bump --skip. To have it again as it did not fit: {again}",
            )
        contents = self.repository.find({entry.id for both in changes.values() for entry in both if entry})
        made: dict[str, tuple[Entry | None, tuple[str, bytes] | None]] = {}
        for path, (old, new) in changes.items():
            if new is not None:
                data = contents[new.id].data if new.id in contents else b""  # else a repository in the repository
                self._check_file(path, new, data, contents[old.id].data if old else b"")
            made[path] = (old, (new.mode, data) if new else None)
        return made

    def _check_finished(self, name: str, below: str) -> None:
        add = command_line("git", "-C", self.path, "add", "FILE")
        rows = self._status()
        unmerged = [path for code, path in rows if "U" in code or code in ("AA", "DD")]
        if unmerged:
            raise WrongUsage(
                f"{name} is not resolved: {_count(unmerged)} unmerged", "\n".join(unmerged), f"When done: {add}"
            )
        unstaged = [path for code, path in rows if code != "??" and code[1] != " "]
        if unstaged:
            raise WrongUsage(
                f"{_count(unstaged)} in {self.path} changed since git was told of it", "\n".join(unstaged), add
            )
        head = self.repository.text("rev-parse", "--verify", "HEAD")
        if head != below and self.repository.text("merge-base", below, head, status=(0, 1)) != below:
            raise WrongUsage(
                f"{self.path} is not where porter left it",
                f"expected commit {below} below HEAD\nfound    HEAD {head}",
                command_line("git", "-C", self.path, "reset", "--soft", below[:12]),
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
                f"Edit it, then: {command_line('git', '-C', self.path, 'add', Path(path))}",
            )

    def _status(self) -> list[tuple[str, str]]:
        """Git's two letters and the path, of every file that is not as it was."""
        try:
            out = self._run("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
        except GitFailed as error:
            raise EnvironmentFailed(f"git cannot read {self.path}", error.stderr) from error
        return [(row[:2], row[3:]) for row in out.decode(errors="surrogateescape").split("\0") if row]

    def _run(self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> bytes:
        return self.repository.run(*args, stdin=stdin, env=env, hold=self._hold)


def _count(paths: list[str]) -> str:
    return f"{counted(len(paths), 'file')} {'is' if len(paths) == 1 else 'are'}"
