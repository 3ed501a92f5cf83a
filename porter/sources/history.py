"""Upstream's commits beyond the pin: which there are, what each changed, the files of any of them.

They live in the cache, in a bare repository of their own: ``upstream.git`` holds what upstream.lock vouches for and
nothing else, ``history.git`` holds whatever upstream has, as some source gave it.  A commit's id still vouches for
all of its files, and every blob is hashed again when it is read.

A source is asked only for a rev that is not there, so work on known commits needs no network; a branch's name means
what it meant when a source was last asked.  A fetch goes into a repository in a staging directory: its packs are moved
over first and its refs are written last, all at once, so a porter that dies meanwhile has changed nothing that counts.

A shallow clone will do as a source where it has the pin.  What it has not got is then missing here too, and said,
until a source that has it is asked.  A history that is whole stays whole: it takes nothing that would cut it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from porter import process
from porter.errors import CheckFailed, EnvironmentFailed, Unreachable, WrongUsage, os_errors, refused
from porter.files import move
from porter.git import GitFailed, Repository, lend
from porter.git import run as run_git
from porter.git.objects import Entry, Object
from porter.lockfile import GitSource, Lock
from porter.output import Progress, command_line
from porter.sources.cache import Cache, Damaged
from porter.sources.obtain import VARIABLE
from porter.sources.snapshot import Snapshot

DEFAULT = "HEAD"  # upstream's default branch
_REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_HEAD_REF = "refs/upstream/HEAD"
_ID = re.compile("[0-9a-f]{40}")
# what `git log` prints of a commit, and of what it changed against its first parent
_STEP = ("--format=%x01%H%x00%cs%x00%s%x00", "--first-parent")
_RAW = ("-m", "--raw", "-r", "-z", "--no-abbrev", "--no-renames")


@dataclass(frozen=True)
class UpstreamCommit:
    """A commit of a line of history, and what it changed against its first parent.

    Attributes:
        id: the commit's id.
        date: when it was committed, as ``2022-11-22`` (in the committer's own zone).
        subject: the first line of its message.
        changes: path -> the file's entry after it, ``None`` where it deleted the file.
    """

    id: str
    date: str
    subject: str
    changes: Mapping[str, Entry | None]


class History:
    """Upstream's commits, from the cache or, where one is not there, from a source.

    Args:
        lock: whose pin the history is about, and whose git sources are asked.
        upstream: the only source to ask, a path or URL; by default ``PORTER_UPSTREAM``, else the lock's.
        cache: the cache's folder; by default ``PORTER_CACHE``, else porter's in the user's cache folder.
        progress: hears of fetches and of sources that failed.
    """

    def __init__(
        self, lock: Lock, upstream: str | None = None, cache: Path | None = None, progress: Progress | None = None
    ) -> None:
        self.lock = lock
        self.cache = Cache(cache)
        self.repository = Repository(self.cache.folder / "history.git", exact=True)
        self.progress = progress or Progress()
        named = upstream or os.environ.get(VARIABLE)
        self.sources = [named] if named else [s.url for s in lock.sources if isinstance(s, GitSource)]
        self._shallow: list[str] = []  # sources asked that are shallow themselves

    def resolve(self, rev: str) -> str:
        """The id of the commit that ``rev`` names: a tag, a branch, an id, ``v7.0~3``; ``HEAD`` is the default branch.

        Asks a source if it is not here, and if the pin is not here with it.

        Raises:
            WrongUsage: no source that could be reached has such a commit.
            EnvironmentFailed: it is not here and no source could be reached, or the cache cannot be used.
        """
        if not rev or re.search(r"^[-^]|\s|\.\.", rev):
            raise WrongUsage(f"{rev!r} is not the name of a commit", hint="Name a tag, a branch or a commit id.")
        found = self._known(rev)
        if found:
            return found
        failed = self._fetch(rev)
        found = self._known(rev)
        if found:
            return found
        pin = self.lock.pin
        if self.sources and not failed:
            if self._shallow:
                raise WrongUsage(
                    f"no commit {rev} is in {', '.join(self._shallow)}", "a shallow clone", deepen(self._shallow[0])
                )
            raise WrongUsage(
                f"upstream has no commit {rev}",
                f"asked: {', '.join(self.sources)}",
                "Name a tag (v7.0), a branch (master) or a commit id.",
            )
        if self._find(pin.commit):
            what = f"commit {rev} of {pin.name} is not in the cache, and no source could be reached"
        else:
            what = f"no source has the history of {pin.name}"
        why = "\n".join(failed) or "upstream.lock names no git repository"
        hint = f"Name a clone or a mirror that you can reach: --upstream PATH|URL, or {VARIABLE}."
        raise EnvironmentFailed(what, why, deepen(self._shallow[0]) if self._shallow else hint)

    @property
    def cut(self) -> tuple[str, ...]:
        """The commits here whose ancestors are not, as their source was a shallow clone; mostly none."""
        with suppress(FileNotFoundError):
            return tuple((self.repository.path / "shallow").read_text(encoding="utf-8").split())
        return ()

    def first_parents(self, since: str, until: str) -> list[str]:
        """The ids of the commits after ``since`` up to ``until``, oldest first, each the next one's first parent.

        Both are ids of commits that are here (:meth:`resolve`).

        Raises:
            WrongUsage: ``until`` does not descend from ``since``.
        """
        if self.repository.run("merge-base", since, until, status=(0, 1)).decode().strip() != since:
            if self.cut:
                raise WrongUsage(
                    f"it cannot be told whether {until[:12]} comes after {since[:12]}",
                    f"the history came from a shallow clone and begins with {', '.join(i[:12] for i in self.cut[:5])}",
                    deepen(self.sources[0] if self.sources else "CLONE"),
                )
            raise WrongUsage(
                f"{until[:12]} does not come after {since[:12]}",
                f"commit {since} is not among its ancestors",
                f"Name a commit later than {self.lock.pin.tag}.",
            )
        return self.repository.text("rev-list", "--first-parent", "--reverse", f"{since}..{until}").split()

    def steps(self, since: str, until: str) -> list[UpstreamCommit]:
        """The same commits, with date, subject and what each changed against its first parent."""
        ids = self.first_parents(since, until)
        if not ids:
            return []
        out = self.repository.run("log", "--reverse", *_STEP, *_RAW, f"{since}..{until}")
        steps = [_step(part) for part in out.split(b"\x01")[1:]]
        if [step.id for step in steps] != ids:
            raise Damaged("git log and git rev-list do not agree", hint=self._remake)
        return steps

    def tags(self) -> dict[str, str]:
        """Commit id -> the name of a tag on it; where there are several, the first by name."""
        rows = self.repository.text("for-each-ref", "--format=%(objectname) %(*objectname) %(refname)", "refs/tags")
        found: dict[str, str] = {}
        for row in rows.splitlines():
            direct, peeled, name = row.split(" ", 2)
            found.setdefault(peeled or direct, name[len("refs/tags/") :])
        return found

    def blobs(self, ids: Iterable[str], labels: Mapping[str, str] | None = None) -> dict[str, Object]:
        """Blobs by id, each hashed again.

        Raises:
            Damaged: one is not there, or is not what its id says.
        """
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        try:
            found = self.repository.find(wanted, labels)
        except CheckFailed as error:
            raise Damaged(f"in the cache's history {error.what}", error.why, self._remake) from error
        for i in wanted:
            if i not in found:
                raise Damaged(f"the cache's history lacks {(labels or {}).get(i, 'an object')}", i, self._remake)
        return found

    def snapshots(self, *commits: str) -> list[Snapshot]:
        """All files of commits, every blob read and hashed again once.  For the pin they are what the lock says.

        Raises:
            Damaged: an object is missing or altered.
        """
        pin = self.lock.pin
        files = [pin.files if commit == pin.commit else self.repository.files(commit) for commit in commits]
        labels = {entry.id: path for each in files for path, entry in each.items()}
        found = self.blobs([*commits, *labels], labels)
        return [
            Snapshot(
                commit,
                each,
                {i: found[i] for i in (commit, *(entry.id for entry in each.values()))},
                shallow=b"\nparent " in found[commit].data.partition(b"\n\n")[0],
            )
            for commit, each in zip(commits, files)
        ]

    def describe(self, commit: str) -> UpstreamCommit:
        """One commit: date, subject and what it changed against its first parent."""
        return _step(self.repository.run("log", "-1", "--root", *_STEP, *_RAW, commit).split(b"\x01")[1])

    def touching(self, since: str, until: str, path: str, lines: tuple[int, int] | None = None) -> list[UpstreamCommit]:
        """The commits between two that changed a file, or lines of it as numbered in ``until``, newest first.

        Args:
            lines: the first and the last line, from 1.
        """
        which = (f"-L{lines[0]},{lines[1]}:{path}",) if lines else ("--full-history", "--no-merges", "--", path)
        try:
            out = self.repository.run("log", *_STEP, "--no-patch", f"{since}..{until}", *which)
        except GitFailed as error:
            if "has only" in error.stderr or "no path" in error.stderr:  # no such lines or file in that commit
                return []
            raise
        return [_step(part) for part in out.split(b"\x01")[1:]]

    def counting(self, since: str, until: str, path: str, text: str) -> list[UpstreamCommit]:
        """The commits between two after which ``text``, one line of it, is there more often or less, newest first."""
        form = ("--format=%x01%H%x00%cs%x00%s%x00", "--no-patch", "--full-history", "--no-merges")
        out = self.repository.run("log", *form, f"-S{text}", f"{since}..{until}", "--", path)
        return [_step(part) for part in out.split(b"\x01")[1:]]

    @property
    def _remake(self) -> str:
        return f"Remove {self.repository.path}; what is needed is fetched again."

    def _known(self, rev: str) -> str:
        """The commit's id if it is here, and the pin with it, else empty."""
        try:
            return self._find(rev) if self._find(self.lock.pin.commit) else ""
        except Damaged:
            return ""  # looked at again, and said, where the cache may be changed

    def _find(self, rev: str) -> str:
        path = self.repository.path
        try:
            if not path.exists():
                return ""
            name = rev.replace(DEFAULT, _HEAD_REF, 1) if re.match(rf"{DEFAULT}(?![\w/-])", rev) else rev
            # git warns, and takes the branch, where a tag has a branch's name: the tag is the one that stays
            for prefix in ("",) if re.fullmatch("[0-9a-f]{40}", name) else ("refs/tags/", ""):
                out = self.repository.run(
                    "rev-parse", "--verify", "--quiet", f"{prefix}{name}^{{commit}}", status=(0, 1)
                )
                if out.strip():
                    return out.decode().strip()
            return ""
        except OSError as error:
            raise refused(f"cannot read the cache {path}", error) from error
        except GitFailed as error:
            if error.status < 0 or "Permission denied" in error.stderr:
                raise
            if "unknown revision" in error.stderr or "Needed a single revision" in error.stderr:
                return ""
            raise Damaged(f"git cannot read {path}", error.stderr, self._remake) from error

    def _fetch(self, rev: str) -> list[str]:
        """Ask the sources one after the other until the rev is here; why those that failed did, a line each."""
        failed: list[str] = []
        with self.cache.locked(self.progress):
            if self._known(rev):  # another porter had it meanwhile
                return failed
            for url in self.sources:
                try:
                    self._fetch_from(url, rev)
                except (EnvironmentFailed, WrongUsage) as error:
                    failed.append(f"git {url}: {error.line}")
                    continue
                if self._known(rev):
                    return failed
        return failed

    def _fetch_from(self, url: str, rev: str) -> None:
        from porter.sources import remote

        location = remote.location(url)
        with self.cache.staging() as folder:
            inbox = Repository(folder / "inbox.git", exact=True)
            run_git("init", "--quiet", "--bare", "--template=", str(inbox.path))
            inbox.run("config", "gc.auto", "0")
            self._lend(inbox)
            wanted: Sequence[str] = (f"+{DEFAULT}:{_HEAD_REF}", *_REFS)
            try:
                self._fetch_refs(location, wanted, inbox)
            except Unreachable as error:
                if "find remote ref" not in error.why:
                    raise
                self._fetch_refs(location, _REFS, inbox)  # its HEAD names a branch that is not there
            if _ID.fullmatch(rev) and not _has(inbox, rev):
                with suppress(Unreachable):  # a commit that no branch has, and maybe it has not either
                    self._fetch_refs(location, (f"+{rev}:refs/upstream/{rev}",), inbox)
            pin, cut = self.lock.pin, self._cut(inbox)
            if cut or self._is_shallow(location):
                self._shallow.append(location)
            if not _has(inbox, pin.commit):
                kind = "a shallow clone, " if location in self._shallow else ""
                raise EnvironmentFailed(f"{kind}commit {pin.commit} ({pin.tag}) is not in it")
            begins = ", ".join(i[:12] for i in cut[:5])
            if cut and self._is_lent(inbox) and not self.cut:
                raise EnvironmentFailed(f"a shallow clone that begins with {begins}, after all that is in the cache")
            self._publish(inbox, folder)
            if cut:
                self.progress.note(f"{location} is a shallow clone: no history before {begins}. {deepen(location)}")

    def _cut(self, inbox: Repository) -> list[str]:
        """The commits of an inbox, written to its ``shallow``, whose ancestors are neither in it nor here.

        git notes each with which the source begins, also those that are here with all that is before them.
        """
        file = inbox.path / "shallow"
        if not file.exists():
            return []
        known = set(self.cut)
        here = {
            i for i in file.read_text(encoding="utf-8").split() if self._is_lent(inbox) and _has(self.repository, i)
        } - known
        cut = [i for i in file.read_text(encoding="utf-8").split() if i not in here]
        if cut:
            file.write_text("".join(f"{i}\n" for i in cut), encoding="utf-8")
        else:
            file.unlink()
        return cut

    @staticmethod
    def _is_lent(inbox: Repository) -> bool:
        return (inbox.path / "objects/info/alternates").exists()

    @staticmethod
    def _is_shallow(location: str) -> bool:
        """Whether a source on this machine is a shallow clone; of others git says it only by what it sends."""
        if not Path(location).is_dir():
            return False
        try:
            found = Repository(Path(location), user_config=True).text("rev-parse", "--is-shallow-repository")
        except GitFailed:
            return False
        return found == "true"

    def _fetch_refs(self, location: str, refs: Sequence[str], inbox: Repository) -> None:
        from porter.sources import remote

        try:
            # a shallow clone's commits are refused otherwise, without a word; where the cache has such commits, it
            # asks for what is before them
            deeper = ("--unshallow",) if (inbox.path / "shallow").exists() and self.cut else ()
            remote.fetch(location, refs, inbox, self.progress, ("--no-tags", "--update-shallow", *deeper))
        except GitFailed as error:
            raise Unreachable(
                f"cannot fetch from {location}",
                remote.reason(error),
                "Check the network, or name another source: --upstream PATH|URL.",
            ) from error

    def _lend(self, inbox: Repository) -> None:
        """Let the inbox read the objects that are here already, so that only the rest is fetched."""
        why = "the pin is not in it"
        try:
            here = bool(self._find(self.lock.pin.commit)) and bool(self.tags() or self._find(DEFAULT))
        except Damaged as error:
            here, why = False, error.why.splitlines()[0]
        if self.repository.path.exists() and not here:
            self.progress.note(f"the history in the cache is damaged and is fetched anew: {why}")
        if here:
            lend(inbox.path, self.repository.path / "objects")
            if self.cut:
                (inbox.path / "shallow").write_text("".join(f"{i}\n" for i in self.cut), encoding="utf-8")

    def _publish(self, inbox: Repository, folder: Path) -> None:
        """Move what was fetched into the cache: objects first, refs last."""
        own, lent = self.repository.path, inbox.path / "objects/info/alternates"
        with os_errors(f"cannot write to the cache {own}"), process.held():
            if not lent.exists():
                if own.exists():
                    move(own, folder / "old.git")
                move(inbox.path, own)
                return
            packs = sorted((inbox.path / "objects/pack").iterdir(), key=lambda path: path.suffix == ".idx")
            for path in packs:  # a pack counts from when its index is there
                move(path, own / "objects/pack" / path.name)
            if (inbox.path / "shallow").exists():
                move(inbox.path / "shallow", own / "shallow")
            else:  # what was missing has come
                with suppress(FileNotFoundError):
                    (own / "shallow").unlink()
            rows = inbox.text("for-each-ref", "--format=update %(refname) %(objectname)")
            if rows:
                self.repository.run("update-ref", "--stdin", stdin=f"{rows}\n".encode())


def deepen(source: str) -> str:
    """The git command that fetches the rest of a shallow clone's history."""
    fetch = ("fetch", "--unshallow", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
    if Path(source).is_dir():
        return f"Get the rest with: {command_line('git', '-C', Path(source), *fetch)}"
    return f"Get the rest there with: {command_line('git', *fetch)}"


def _has(repository: Repository, commit: str) -> bool:
    return repository.run("cat-file", "--batch-check", stdin=f"{commit}\n".encode()).split()[1:2] == [b"commit"]


def _step(part: bytes) -> UpstreamCommit:
    """A step from what ``git log`` printed of it: id, date, subject, then the raw rows, all ended by NUL."""
    i, date, subject, *rest = part.split(b"\0")
    rows = [row.lstrip(b"\n") for row in rest if row.strip(b"\n")]
    changes: dict[str, Entry | None] = {}
    for head, path in zip(rows[::2], rows[1::2]):
        _, mode, _, blob, letter = head.decode().split(" ")
        gone = letter.startswith("D") or mode == "160000"
        changes[path.decode(errors="surrogateescape")] = None if gone else Entry(mode, blob)
    return UpstreamCommit(i.decode(), date.decode(), subject.decode(errors="replace"), changes)
