"""Somebody else's patch, or their changed copy of upstream, becomes patches of a stack.

What comes of it is a tree to look at: the stack, a commit for each foreign patch, and beside the files what did not
fit (``.rej``).  People work the rest in there, with git, and the tree is then exported like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from porter import objects, process
from porter.errors import CheckFailed, SurroundingsFailed, WrongUsage
from porter.files import Taken, staged
from porter.foreign import base
from porter.foreign.base import Base
from porter.foreign.fit import Judge
from porter.foreign.folder import Fork
from porter.foreign.hunks import Merger, Outcome, Reject
from porter.foreign.names import Rebound, rebound
from porter.foreign.reader import Incoming, is_series, read
from porter.git import GitFailed, Repository
from porter.lockfile import Lock
from porter.output import Progress
from porter.project import Project
from porter.rebase import header
from porter.rebase.chain import Chain
from porter.rebase.export import Exported, export_tree, person
from porter.sources.history import History
from porter.sources.obtain import obtain
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON, Build, Contents, Stack, agree
from porter.tree.switch import fill, room

_RECORD = ".git/porter/import.json"
_REJECT = ".rej"


@dataclass(frozen=True)
class Request:
    """What to import, and how.

    Attributes:
        source: a diff, mails, a folder of patches, or a changed copy of upstream.
        target: whose stack it is for.
        stack: the stack that the patches go to: the target's own by default.
        base: the upstream commit that it was made for; found where it is empty.
        tree: where the tree to look at goes.
        split: make one patch for each file of a patch that has no message.
        accept: put what came of it into the stacks.
        upstream: the only source of upstream to ask.
    """

    source: Path
    target: str
    stack: str = ""
    base: str = ""
    tree: Path | None = None
    split: bool = False
    accept: bool = False
    upstream: str | None = None

    @property
    def place(self) -> Path:
        """The tree's folder."""
        return self.tree or Path(f"import-{self.source.resolve().name.partition('.')[0]}")


@dataclass(frozen=True)
class Imported:
    """What came of it.

    Attributes:
        tree: the tree to look at.
        base: what the patches were for, in words; empty where the tree was there already.
        outcomes: what became of each patch.
        rejects: the files in the tree that hold what did not fit.
        lacking: upstream's files that a copy lacks.
        rebound: names that the stack has and a merged hunk binds again.
        exported: the stacks' new files, if they were accepted.
    """

    tree: Path
    base: str = ""
    outcomes: tuple[Outcome, ...] = ()
    rejects: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    rebound: tuple[Rebound, ...] = ()
    exported: Exported | None = None

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "tree": str(self.tree),
            "base": self.base,
            "patches": [
                {
                    "patch": outcome.patch.subject or outcome.patch.name,
                    "hunks": dict(outcome.hunks),
                    "rejects": [{"path": reject.path, "why": reject.why} for reject in outcome.rejects],
                }
                for outcome in self.outcomes
            ],
            "rejects": list(self.rejects),
            "lacking": list(self.lacking),
            "rebound": [{"path": each.path, "name": each.name, "lines": list(each.lines)} for each in self.rebound],
            "exported": self.exported.record() if self.exported else None,
        }


def take(project: Project, request: Request, progress: Progress | None = None) -> Imported:
    """Make a tree of a foreign patch, or accept one that is there.

    Raises:
        CheckFailed: nothing of it fits; or it is to be accepted, and rejects are left.
        WrongUsage: there is no such source, or the tree's folder is taken.
        SurroundingsFailed: upstream cannot be had, or the tree cannot be written.
    """
    progress = progress or Progress()
    place = request.place
    if place.exists():
        if not (place / _RECORD).is_file():
            raise WrongUsage(f"{place} is there already, and no import made it", hint="Name another: --tree DIR.")
        if not request.accept:
            raise WrongUsage(
                f"{place} is there already, from an import before",
                hint="Look at it, then run this again with --accept; or remove it, or name another: --tree DIR.",
            )
        return _accepted(project, request, Imported(place), progress)
    made = _Errand(project, request, progress).run()
    return _accepted(project, request, made, progress) if request.accept else made


def _accepted(project: Project, request: Request, made: Imported, progress: Progress) -> Imported:
    left = sorted(str(path.relative_to(made.tree)) for path in made.tree.rglob(f"*{_REJECT}"))
    if left:
        raise CheckFailed(
            f"{len(left)} file(s) in {made.tree} hold what did not fit: {left[0]}",
            "\n".join(left[1:]),
            "Work them in or give them up, commit, remove the files, and run this again with --accept.",
        )
    stack = request.stack or request.target
    done = export_tree(project, made.tree, [request.target], stack=stack, progress=progress)
    return replace(made, exported=done)


class _Errand:
    """One import."""

    def __init__(self, project: Project, request: Request, progress: Progress) -> None:
        self.project = project
        self.request = request
        self.progress = progress
        self.lock = Lock.load(project.lock_path)
        self.stack = Stack.load(project, [request.target])
        if request.stack not in ("", COMMON, request.target):
            raise WrongUsage(
                f"the patches cannot go to {request.stack}", hint=f"--stack {COMMON} or --stack {request.target}"
            )

    def run(self) -> Imported:
        request = self.request
        if not request.source.exists():
            raise WrongUsage(f"there is no {request.source}")
        snapshot = obtain(self.lock, request.upstream, progress=self.progress)
        build = self.stack.build(snapshot)
        agree(self.lock, self.stack, build, snapshot.partial)
        patches, found, lacking = self._read(snapshot)
        contents = Contents({**found.objects, **snapshot.objects, **build.objects})
        here = {path: entry for path, entry in found.files.items() if entry.id in contents}
        moved = {c.old: c.new for patch in self.stack.patches for c in patch.changes if c.kind == "rename"}
        merger = Merger(here, build.files, contents, moved)
        chain = Chain(build.tip, build.files)
        outcomes = []
        for number, patch in enumerate(patches):
            self.progress.step("merging the patches", number, len(patches))
            outcomes.append(merger.take(patch))
        left = [reject for outcome in outcomes for reject in outcome.rejects]
        if not any(outcome.changes for outcome in outcomes) and not any(reject.path in build.files for reject in left):
            raise CheckFailed(
                f"nothing of {request.source} is new",
                "\n".join(f"{reject.path}: {reject.why}" for reject in left[:20]),
                "It is for another project." if left else "The stacks have all of it already.",
            )
        self._commit(chain, outcomes)
        rejects = _rejects(outcomes)
        self._write(snapshot, build, chain, contents, rejects, found)
        words = f"{found.name} ({found.commit[:12]}): {found.fit}"
        again = rebound(build.files, merger.ours, contents)
        return Imported(request.place, words, tuple(outcomes), tuple(rejects), lacking, tuple(again))

    def _read(self, snapshot: Snapshot) -> tuple[list[Incoming], Base, tuple[str, ...]]:
        """The patches, what they are for, and the files that a copy lacks."""
        source, pin = self.request.source, self.lock.pin.files
        history = History(self.lock, self.request.upstream, progress=self.progress)
        self.progress.step("finding what it was made for")
        if source.is_dir() and not is_series(source):
            fork = Fork(source, pin)
            if self.request.base:
                found = base.named(self.request.base, history)
            else:
                found = base.find(self.lock, snapshot, history, lambda read: fork, self.progress)
            patch, lacking = fork.patch(found.files, lambda blob: found.objects[blob].data)
            return self._split([patch]), found, lacking
        patches = read(source, pin)
        if self.request.base:
            found = base.named(self.request.base, history)
        else:
            found = base.find(self.lock, snapshot, history, lambda read: Judge(patches, read), self.progress)
        return self._split(patches), found, ()

    def _split(self, patches: Sequence[Incoming]) -> list[Incoming]:
        """One patch a file, if that is wanted, of patches that nobody described."""
        if not self.request.split:
            return list(patches)
        found = []
        for patch in patches:
            whole = patch.subject or len(patch.changes) < 2
            parts = [patch] if whole else [replace(patch, changes=(change,)) for change in patch.changes]
            found += parts
        return found

    def _commit(self, chain: Chain, outcomes: Sequence[Outcome]) -> None:
        """A commit for each patch of which something is left."""
        stack = self.request.stack or self.request.target
        author = date = ""
        for outcome in outcomes:
            patch = outcome.patch
            if not outcome.changes:
                continue
            if not (patch.author and patch.date) and not author:
                who = person(Repository(Path.cwd(), user_config=True))
                author, date = who.rsplit(" ", 2)[0], " ".join(who.rsplit(" ", 2)[1:])
            paths = sorted(outcome.changes)
            title = patch.subject or f"Import {patch.name}{f': {paths[0]}' if len(paths) == 1 else ''}"
            message = header.completed(title, patch.body, stack)
            chain.add(stack, patch.author or author, patch.date or date, message, outcome.changes)

    def _write(
        self,
        snapshot: Snapshot,
        build: Build,
        chain: Chain,
        contents: Contents,
        rejects: Mapping[str, str],
        found: Base,
    ) -> None:
        """The tree, all of it or nothing."""
        request, place = self.request, self.request.place.resolve()
        record = {"source": str(request.source.resolve()), "target": request.target, "base": found.commit}
        try:
            with staged(place) as folder:
                fill(folder, self.lock, self.stack, snapshot, build)
                repository = Repository(folder.path)
                repository.write(objects.pack([*chain.made.values(), *contents.made.values()]))
                repository.run("update-ref", "-m", "porter import", "HEAD", chain.tip)
                repository.run("reset", "--quiet", "--hard")
                for path, text in rejects.items():
                    (folder.path / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder.path / path).write_bytes(text.encode("utf-8", "surrogateescape"))
                (folder.path / _RECORD).write_text(json.dumps(record, indent=2) + "\n")
                with process.held():
                    folder.finish()
        except GitFailed as error:
            raise SurroundingsFailed(f"cannot make {place}", error.stderr, room(place.parent)) from error
        except OSError as error:
            raise SurroundingsFailed(f"cannot make {place}", error.strerror or str(error)) from error
        except Taken as error:
            raise WrongUsage(f"{place} is there by now", hint="Name another: --tree DIR.") from error


def _rejects(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """File in the tree -> what it says of what did not fit."""
    found: dict[str, str] = {}
    for outcome in outcomes:
        for reject in outcome.rejects:
            path = _safe(reject) + _REJECT
            title = outcome.patch.subject or outcome.patch.name
            found[path] = f"{found.get(path, '')}{title}: {reject.path}: {reject.why}\n{reject.text}\n"
    return found


def _safe(reject: Reject) -> str:
    """Where to put a reject: beside its file, unless its path leads out of the tree or into git's folder."""
    parts = reject.path.split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        return "import"
    return reject.path
