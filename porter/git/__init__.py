"""The one place that runs git.

Nothing of the caller's may change a result, so every call has a clean environment: no GIT_* variable
(git sets GIT_DIR and GIT_INDEX_FILE while it runs a hook, and a porter called from there would write
into the wrong repository), no hooks, no signing, no line-ending conversion, English messages.  The
user's own configuration is read for one thing only: how a remote is reached (``url.*.insteadOf``,
proxies, credentials), with ``user_config=True``.
"""

from __future__ import annotations

import logging
import os
import re
import selectors
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from porter import process
from porter.errors import CheckFailed, EnvironmentFailed, os_errors
from porter.git.objects import Entry, Object
from porter.output import Timed, command_line
from porter.temporary import temporary_folder

_log = logging.getLogger(__name__)

# Settings that decide what git writes.  They are given on the command line, which no file can override.
SETTINGS = {
    "advice.detachedHead": "false",
    "commit.gpgSign": "false",
    "core.abbrev": "40",
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.eol": "lf",
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.safecrlf": "false",
    "core.quotePath": "true",
    "diff.algorithm": "myers",
    "diff.external": "",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "diff.renames": "true",
    "gc.auto": "0",
    "init.defaultBranch": "master",
    "maintenance.auto": "false",
    "protocol.version": "2",
}


# What of the caller's environment reaches git although it begins with GIT_: how git is installed and how
# it talks to a remote.
_KEPT = re.compile("GIT_(EXEC_PATH|SSH|SSH_.*|SSL_.*|HTTP_.*|ASKPASS|PROXY_.*|ALLOW_PROTOCOL)")
# Where the user keeps settings, in files or in the environment itself.
_KEPT_CONFIG = re.compile("GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_[0-9]+|VALUE_[0-9]+)")


class GitFailed(EnvironmentFailed):
    """A git command ended with a status other than 0."""

    def __init__(self, command: Iterable[str], status: int, stderr: str, stdout: bytes = b"") -> None:
        self.command = list(command)
        self.status = status
        self.stderr = stderr.strip()
        self.stdout = stdout
        super().__init__(f"{command_line('git', *self.command)} ended with status {status}", self.stderr)


def environment(
    extra: Mapping[str, str] | None = None, *, user_config: bool = False, remote: bool = False
) -> dict[str, str]:
    """The environment for one git call: the caller's, less everything that would change a result.

    Args:
        user_config: leave the user's and the system's configuration readable, which only talking to a remote and
            ``safe.directory`` need.
        remote: it is to talk to a remote.  Any other call must not, whatever the configuration of the repository that
            it reads says: a partial clone would fetch what it lacks, by a command that its owner chose
            (``core.sshCommand``, the transport ``ext``).
    """
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("GIT_") or _KEPT.fullmatch(key) or (user_config and _KEPT_CONFIG.fullmatch(key))
    }
    env.update(LC_ALL="C", LANGUAGE="C", GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", GIT_NO_REPLACE_OBJECTS="1")
    env["GIT_NO_LAZY_FETCH"] = "1"  # from git 2.39.4 on; without it, a fetch from a partial clone here asks for more
    if not remote:
        env["GIT_ALLOW_PROTOCOL"] = "none"  # stronger than protocol.*.allow of any configuration
    if not user_config:
        env.update(GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL=os.devnull, GIT_ATTR_NOSYSTEM="1")
        env.update(HOME=os.devnull, XDG_CONFIG_HOME=os.devnull)  # git before 2.32 does not know GIT_CONFIG_GLOBAL
    env.update(extra or {})
    return env


def _settings() -> list[str]:
    return [word for key, value in SETTINGS.items() for word in ("-c", f"{key}={value}")]


def run(
    *args: str,
    cwd: Path | None = None,
    stdin: bytes | IO[bytes] | None = None,
    status: Iterable[int] = (0,),
    env: Mapping[str, str] | None = None,
    user_config: bool = False,
    hold: int | None = None,
) -> bytes:
    """Run ``git ARGS`` and return its standard output.

    Args:
        status: the exit statuses that are no failure.
        hold: the descriptor of a locked file, for a call that must run to its end.  git keeps it open, so
            that the lock outlives a porter that is killed meanwhile, and runs in a session of its own,
            where the terminal's Ctrl-C does not reach it.

    Raises:
        GitFailed: the exit status is not one of ``status``.
        EnvironmentFailed: git is not installed.
    """
    command = ["git", *_settings(), *args]
    told = Timed(_log, ("git", *args))
    try:
        done = process.run(
            command,
            stdin=stdin,
            cwd=cwd,
            env=environment(env, user_config=user_config),
            pass_fds=() if hold is None else (hold,),
            start_new_session=hold is not None,
        )
    except FileNotFoundError as error:
        if cwd is not None and not Path(cwd).is_dir():
            raise EnvironmentFailed(f"{cwd} is not a folder") from error
        raise EnvironmentFailed("git is not installed", hint="Install git 2.25 or newer.") from error
    told.ended(done.returncode)
    if done.returncode not in status:
        raise GitFailed(args, done.returncode, done.stderr.decode(errors="replace"), done.stdout)
    return done.stdout


def merge(ours: bytes, base: bytes, theirs: bytes, *options: str) -> tuple[bytes, int]:
    """A file that grew from ``base`` in two ways, with both changes in it, and how many conflicts are marked there.

    Args:
        options: how to mark them, for git merge-file.

    Raises:
        GitFailed: git could not merge, binary files for example.
    """
    with temporary_folder("porter-merge-") as folder:
        for name, data in ("ours", ours), ("base", base), ("theirs", theirs):
            (folder / name).write_bytes(data)
        command = ("merge-file", "--quiet", *options, "ours", "base", "theirs")
        conflicts = 0
        try:
            run(*command, cwd=folder)
        except GitFailed as error:
            if not 0 < error.status < 128:  # as many conflicts
                raise
            conflicts = error.status
        return (folder / "ours").read_bytes(), conflicts


def mails(mailbox: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """What ``git am`` takes from each mail of a mailbox: its headers, its message, and its patch.

    The headers are lines such as ``Author: NAME``, those that stand above the message itself among them; text is UTF-8
    where the mail says which encoding it has, and attachments are parts of the patch.

    Raises:
        GitFailed: it is no mailbox.
    """
    with temporary_folder("porter-mail-") as folder:
        run("mailsplit", "-b", "-o.", stdin=mailbox, cwd=folder)
        found = []
        for path in sorted(folder.glob("[0-9]*")):
            headers = run("mailinfo", "message", "patch", stdin=path.read_bytes(), cwd=folder)
            parts = [(folder / name).read_bytes() for name in ("message", "patch")]
            found.append((headers, parts[0], parts[1]))
        return found


def follow(
    *args: str,
    line: Callable[[str], None],
    silence: float,
    env: Mapping[str, str] | None = None,
    user_config: bool = False,
    remote: bool = False,
) -> None:
    """Run ``git ARGS``, hand each line of its standard error to ``line`` as it comes, and drop its output.

    A line ends where git ends one, with a line feed or, in a progress display, a carriage return.  git runs
    in a session of its own, so that its helpers (git-remote-https, ssh) can be ended with it; like
    GIT_TERMINAL_PROMPT=0 this means that nothing is asked on the terminal.

    Args:
        silence: seconds without a word after which git is taken for dead and ended.
        user_config, remote: see :func:`environment`.

    Raises:
        GitFailed: the exit status is not 0.
        EnvironmentFailed: git is not installed, or said nothing for ``silence`` seconds.
    """
    told = Timed(_log, ("git", *args))
    said: list[str] = []
    try:
        with process.started(
            ["git", *_settings(), *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(env, user_config=user_config, remote=remote),
            start_new_session=True,
        ) as child:
            assert child.stderr is not None
            for text in _lines(child.stderr, silence):
                said.append(text)
                line(text)
    except FileNotFoundError as error:
        raise EnvironmentFailed("git is not installed", hint="Install git 2.25 or newer.") from error
    told.ended(child.returncode)
    if child.returncode:
        raise GitFailed(args, child.returncode, "\n".join(said))


def _lines(pipe: IO[bytes], silence: float) -> Iterable[str]:
    """The lines that come out of a pipe, until it is closed.

    Raises:
        EnvironmentFailed: nothing came for ``silence`` seconds.
    """
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        heard = time.monotonic()
        while True:
            if not selector.select(max(0.0, heard + silence - time.monotonic())):
                raise EnvironmentFailed(f"git said nothing for {silence:g} s, given up")
            data = os.read(pipe.fileno(), 65536)
            heard = time.monotonic()
            *whole, rest = re.split(rb"[\r\n]+", rest + data)
            yield from (text.decode(errors="replace") for text in whole if text)
            if not data:
                if rest:
                    yield rest.decode(errors="replace")
                return


class Repository:
    """One git repository.

    Args:
        path: the working tree, or a folder in it, or a bare repository.
        exact: ``path`` is the bare repository or the ``.git`` itself; git looks in no other folder and does
            not ask who owns it.
        worktree: its working tree; ``exact`` alone would take the current folder for it.
        user_config: read the user's configuration in every call, see :func:`environment`.
        settings: configuration for every call, stronger than :data:`SETTINGS`.
    """

    def __init__(
        self,
        path: Path,
        *,
        exact: bool = False,
        worktree: Path | None = None,
        user_config: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self._exact = exact
        place = (f"--git-dir={path}",) if exact else ("-C", str(path))
        if worktree is not None:
            place = ("-C", str(worktree), *place, f"--work-tree={worktree}")
        self._at = (*place, *(word for name, value in (settings or {}).items() for word in ("-c", f"{name}={value}")))
        self._user_config = user_config

    def run(
        self,
        *args: str,
        stdin: bytes | None = None,
        status: Iterable[int] = (0,),
        env: Mapping[str, str] | None = None,
        user_config: bool = False,
        hold: int | None = None,
    ) -> bytes:
        """``git -C PATH ARGS``; see :func:`run`."""
        user_config = user_config or self._user_config
        return run(*self._at, *args, stdin=stdin, status=status, env=env, user_config=user_config, hold=hold)

    def text(self, *args: str, status: Iterable[int] = (0,)) -> str:
        """The output of :meth:`run` as text, without the newline at its end."""
        return self.run(*args, status=status).decode(errors="surrogateescape").rstrip("\n")

    @property
    def common(self) -> Path:
        """The folder of its objects and refs, which a linked worktree shares with the repository that it is one of."""
        if self._exact and not (self.path / "commondir").exists():
            return self.path.resolve()
        return (self.path / self.text("rev-parse", "--git-common-dir")).resolve()

    def read(self, ids: Iterable[str], labels: Mapping[str, str] | None = None) -> list[Object]:
        """Objects by id, in order; see :meth:`find`.

        Raises:
            KeyError: an object is not there (its id is the argument).
            porter.errors.CheckFailed: an object's content does not hash to its id.
        """
        wanted = list(ids)
        found = self.find(wanted, labels)
        return [found[i] for i in wanted]

    def find(self, names: Iterable[str], labels: Mapping[str, str] | None = None) -> dict[str, Object]:
        """Objects by name (an id, a ref), read by one ``git cat-file --batch``; what is not there is left out.

        Every object is hashed again: git itself checks little when it reads.

        Args:
            labels: id -> what a message should call that object, a path for example.

        Raises:
            porter.errors.CheckFailed: an object's content does not hash to its id, or cannot be unpacked.
        """
        wanted, labels = list(names), labels or {}
        try:
            out = self.run("cat-file", "--batch", "--buffer", stdin="".join(f"{name}\n" for name in wanted).encode())
        except GitFailed as error:
            for i in re.findall("[0-9a-f]{40}", error.stderr):
                if i in wanted:
                    raise CheckFailed(
                        f"{labels.get(i, 'an object')} is not what it should be",
                        f"expected {i}\nfound    what git cannot read: {error.stderr.splitlines()[0]}",
                    ) from error
            raise
        objects, at = {}, 0
        for name in wanted:
            end = out.index(b"\n", at)
            head = out[at:end].split(b" ")
            at = end + 1
            if len(head) == 3:  # else: NAME missing
                size = int(head[2])
                i = head[0].decode()
                objects[name] = Object(head[1].decode(), out[at : at + size]).checked(i, labels.get(i, ""))
                at += size + 1
        return objects

    def files(self, commit: str) -> dict[str, Entry]:
        """The files of a commit: path -> mode and blob id, sorted by path; submodules are left out."""
        out = self.run("ls-tree", "-r", "-z", "--full-tree", commit).decode(errors="surrogateescape")
        found = {}
        for row in out.split("\0")[:-1]:
            head, _, path = row.partition("\t")
            mode, kind, blob = head.split(" ")
            if kind == "blob":
                found[path] = Entry(mode, blob)
        return found

    def unmerged(self) -> dict[str, dict[int, str]]:
        """The files that git could not merge: path -> side (1 the base's, 2 ours, 3 theirs) -> blob."""
        found: dict[str, dict[int, str]] = {}
        for row in filter(None, self.text("ls-files", "--unmerged", "-z").split("\0")):
            head, _, path = row.partition("\t")
            _, blob, side = head.split(" ")
            found.setdefault(path, {})[int(side)] = blob
        return found

    def write(self, pack: bytes) -> None:
        """Store a pack.  git hashes every object in it again, and the pack appears whole or not at all."""
        self.run("index-pack", "--stdin", "--strict", "--fix-thin", stdin=pack)


def lend(git_dir: Path, objects: Path) -> None:
    """Let a repository see a folder of another's objects as its own, without copying them.

    Raises:
        OSError: it cannot be written.
    """
    alternates = git_dir / "objects/info/alternates"
    alternates.parent.mkdir(parents=True, exist_ok=True)
    alternates.write_bytes(os.fsencode(objects) + b"\n")


_MOMENT = 10.0  # seconds; more than any disk rounds a time to


def backdate(folder: Path) -> None:
    """Give the files of a folder that git has just written an earlier time of change.

    git does not trust its index about a file that is as new as the index, to the second, and reads it again at every
    commit that it picks: half of the time that a rebase of 66 patches took.

    Raises:
        OSError: it cannot be written.
    """
    earlier = time.time() - _MOMENT
    for where, folders, files in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        for name in files:
            os.utime(os.path.join(where, name), (earlier, earlier), follow_symlinks=False)


@contextmanager
def scratch(borrow: Repository | None = None, shallow: Iterable[str] = ()) -> Iterator[Repository]:
    """A bare repository that is gone after the block, with git's own settings whatever the user's are.

    It is the ``.git`` of a folder of its own, which may be made its working tree.

    Args:
        borrow: see its objects too, without copying them.
        shallow: commits whose parents are not there.

    Raises:
        EnvironmentFailed: it cannot be made.
    """
    with temporary_folder("porter-git-", quick=True) as folder:
        inside = folder / ".git"
        grafts = list(shallow)
        if borrow is not None:
            theirs = borrow.common
            with suppress(FileNotFoundError):
                grafts += (theirs / "shallow").read_text(encoding="utf-8").split()
        with os_errors(f"cannot write {folder}"):
            # what `git init` makes, without its process
            for part in ("objects", "refs"):
                (inside / part).mkdir(parents=True)
            (inside / "HEAD").write_text("ref: refs/heads/master\n", encoding="utf-8")
            (inside / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n", encoding="utf-8")
            if borrow is not None:
                lend(inside, theirs / "objects")
            if grafts:
                (inside / "shallow").write_text("".join(f"{commit}\n" for commit in grafts), encoding="utf-8")
        yield Repository(inside, exact=True)


def with_worktree(scratch: Repository) -> Repository:
    """A scratch repository whose folder is its working tree, for git to merge in.

    What is written there is read once, a folder for temporary files need not keep modes, conflicts are marked as people
    know them, and a file that is added stays in the folder that it was added to.  A .gitattributes among the files
    changes nothing, and links lead nowhere.
    """
    settings = {
        "core.fileMode": "false",
        "core.looseCompression": "0",
        "core.symlinks": "false",
        "merge.conflictStyle": "merge",
        "merge.directoryRenames": "false",
        "merge.renames": "true",
        "merge.renormalize": "false",
    }
    attributes = "* !text !eol !filter !ident !merge !diff !whitespace !conflict-marker-size !working-tree-encoding\n"
    (scratch.path / "info").mkdir(exist_ok=True)
    (scratch.path / "info" / "attributes").write_text(attributes, encoding="utf-8")
    return Repository(scratch.path, exact=True, worktree=scratch.path.parent, settings=settings)
