"""A tree of foreign patches: the stack, a commit for each of them, and beside the files what did not fit (``.rej``)."""

from __future__ import annotations

import ast
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from porter import process
from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage, refused
from porter.files import Taken, staged
from porter.foreign import base
from porter.foreign.base import Base, Fork, Judge
from porter.foreign.hunks import Incoming
from porter.foreign.merge import ImportOutcome, Merger, Reject
from porter.foreign.reader import is_series, read
from porter.git import GitFailed, Repository, scratch
from porter.git.objects import Entry
from porter.lockfile import Lock
from porter.output import Progress, record_of
from porter.patch.diff import path_problem
from porter.project import Project
from porter.rebase import commits
from porter.rebase.export import Exported
from porter.sources.history import History
from porter.sources.obtain import obtain
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON, Stack, check_against_lock
from porter.tree.switch import disk_full_hint, fill

RECORD = ".git/porter/import.json"  # which import made the tree
REJECT = ".rej"
_LONG = 800  # bytes of a path; systems allow 1024, and 255 of a name


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
    outcomes: tuple[ImportOutcome, ...] = ()
    rejects: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    rebound: tuple[Rebound, ...] = ()
    exported: Exported | None = None

    @property
    def cut(self) -> tuple[str, ...]:
        """The files of which a hunk has fewer lines than its header says."""
        changes = [change for outcome in self.outcomes for change in outcome.patch.changes]
        return tuple(dict.fromkeys(change.new for change in changes if change.is_cut and not change.unusable))

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
            "cut": list(self.cut),
            "lacking": list(self.lacking),
            "rebound": [record_of(each) for each in self.rebound],
            "exported": self.exported.record() if self.exported else None,
        }


def make(
    project: Project,
    source: Path,
    target: str,
    stack: str,
    rev: str,
    tree: Path,
    split: bool,
    upstream: str | None,
    progress: Progress,
) -> Imported:
    """Make ``tree`` of what is in ``source``; all of it or nothing.

    Args:
        stack: the stack that the patches are for: ``common``, or the target's own.
        rev: the upstream commit that they were made for; found where it is empty.
        split: make one patch for each file of a patch that has no message.

    Raises:
        CheckFailed: nothing of it fits.
        WrongUsage: there is no such source or target, or somebody made the folder meanwhile.
        EnvironmentFailed: upstream cannot be had, or the tree cannot be written.
    """
    lock, ours = Lock.load(project.lock_path), Stack.load(project, [target])
    if stack not in (COMMON, target):
        raise WrongUsage(f"the patches cannot go to {stack}", hint=f"--stack {COMMON} or --stack {target}")
    if not os.path.exists(source):
        raise WrongUsage(f"there is no {source}")
    snapshot = obtain(lock, upstream, progress=progress)
    build = ours.build(snapshot)
    check_against_lock(lock, ours, build, snapshot.partial)
    patches, found, lacking = _read(source, lock, snapshot, rev, upstream, progress)
    place = Path(os.path.realpath(tree))
    try:
        with staged(place) as folder:
            fill(folder, lock, ours, snapshot, build)
            made = Repository(folder.path)
            outcomes, tip = _taken(made, found, build.tip, _one_a_file(patches) if split else patches, stack, progress)
            _must_be_new(source, outcomes, build.files)
            made.run("update-ref", "-m", "porter import", "HEAD", tip)
            made.run("reset", "--quiet", "--hard")
            rejects = _rejects(outcomes, {**build.files, **made.files(tip)})
            record = {"source": os.path.realpath(source), "target": target, "base": found.commit}
            for path, text in {**rejects, RECORD: json.dumps(record, indent=2) + "\n"}.items():
                (folder.path / path).parent.mkdir(parents=True, exist_ok=True)
                (folder.path / path).write_bytes(text.encode("utf-8", "surrogateescape"))
            again = _rebound(made, build.tip, tip)
            with process.held():
                folder.finish()
    except GitFailed as error:
        if "fsck" in error.stderr:
            hint = "Take what it names out of the patch."
            raise CheckFailed(f"git refuses what {source} would make", error.stderr, hint) from error
        raise EnvironmentFailed(f"cannot make {place}", error.stderr, disk_full_hint(place.parent)) from error
    except OSError as error:
        raise refused(f"cannot make {place}", error) from error
    except Taken as error:
        raise WrongUsage(f"{place} is there by now", hint="Name another: --tree DIR.") from error
    words = f"{found.name} ({found.commit[:12]}): {found.words}"
    return Imported(tree, words, tuple(outcomes), tuple(rejects), lacking, tuple(again))


def _read(
    source: Path, lock: Lock, snapshot: Snapshot, rev: str, upstream: str | None, progress: Progress
) -> tuple[list[Incoming], Base, tuple[str, ...]]:
    """The patches, what they are for, and the files that a copy lacks."""
    history = History(lock, upstream, progress=progress)
    progress.step("finding what it was made for")
    fork = Fork(source, lock.pin.files) if source.is_dir() and not is_series(source, lock.pin.files) else None
    patches = [] if fork else read(source, lock.pin.files)
    if rev:
        found = base.named(rev, history)
    else:
        here = {path: entry for path, entry in snapshot.files.items() if entry.id in snapshot.objects}
        pin = Base(lock.pin.tag, lock.pin.commit, here, snapshot.objects)
        found = base.find(fork or Judge(patches), pin, history, progress)
    if not fork:
        return patches, found, ()
    patch, lacking = fork.patch(found)
    return [patch], found, lacking


def _one_a_file(patches: Sequence[Incoming]) -> list[Incoming]:
    """One patch a file, of patches that nobody described."""
    found = []
    for patch in patches:
        whole = patch.subject or len(patch.changes) < 2
        found += [patch] if whole else [replace(patch, changes=(change,)) for change in patch.changes]
    return found


def _taken(
    made: Repository, found: Base, start: str, patches: Sequence[Incoming], stack: str, progress: Progress
) -> tuple[list[ImportOutcome], str]:
    """The patches on the stack, a commit for each of which something is left: what became of them, the last commit."""
    author = date = ""
    with scratch(borrow=made) as clean:
        merge = Merger(clean, found, start)
        outcomes = merge.commits(patches)
        for number, outcome in enumerate(outcomes):
            progress.step("merging the patches", number, len(outcomes))
            merge.take(outcome)
            patch = outcome.patch
            if not outcome.paths:
                continue
            if not (patch.author and patch.date) and not author:
                who = commits.person(Repository(Path.cwd(), user_config=True))
                author, date = who.rsplit(" ", 2)[0], " ".join(who.rsplit(" ", 2)[1:])
            only = f": {outcome.paths[0]}" if len(outcome.paths) == 1 else ""
            title = f"Import {patch.name}{only}".encode(errors="replace").decode()  # a path may be any bytes
            message = commits.completed_message(patch.subject or title, patch.body, stack)
            merge.commit(f"{patch.author or author} {patch.date or date}", message)
        wanted = f"{merge.tip}\n^{start}\n".encode()
        made.write(merge.git.run("pack-objects", "--revs", "--stdout", "-q", stdin=wanted))
    return outcomes, merge.tip


def _must_be_new(source: Path, outcomes: Sequence[ImportOutcome], files: Mapping[str, Entry]) -> None:
    left = [reject for outcome in outcomes for reject in outcome.rejects]
    if not any(outcome.paths for outcome in outcomes) and not any(reject.path in files for reject in left):
        raise CheckFailed(
            f"nothing of {source} {'can be taken' if left else 'is new'}",
            "\n".join(f"{reject.path}: {reject.why}" for reject in left[:20]),
            _hint(outcomes, left),
        )


def _hint(outcomes: Sequence[ImportOutcome], left: Sequence[Reject]) -> str:
    """What to do where nothing was taken."""
    if not left:
        return "The stacks have all of it already."
    unusable = {change.unusable for outcome in outcomes for change in outcome.patch.changes if change.unusable}
    return "Each line says what to do." if {one.why for one in left} <= unusable else "It is for another project."


def _rebound(repository: Repository, before: str, after: str) -> list[Rebound]:
    """The names that are bound once more between two commits."""
    out = repository.run("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=M", before, after)
    rows = out.decode(errors="surrogateescape").split("\0")
    blobs = {path: head.split(" ")[2:4] for head, path in zip(rows[0:-1:2], rows[1::2])}
    found = repository.find({blob for pair in blobs.values() for blob in pair})
    return [
        name for path, (old, new) in sorted(blobs.items()) for name in rebound(path, found[old].data, found[new].data)
    ]


def _rejects(outcomes: Sequence[ImportOutcome], files: Mapping[str, Entry]) -> dict[str, str]:
    """File in the tree -> what it says of what did not fit."""
    found: dict[str, str] = {}
    for outcome in outcomes:
        for reject in outcome.rejects:
            path = _beside(reject.path, files) + REJECT
            title = outcome.patch.subject or outcome.patch.name
            found[path] = f"{found.get(path, '')}{title}: {reject.path}: {reject.why}\n{reject.text}\n"
    return found


def _beside(path: str, files: Mapping[str, Entry]) -> str:
    """Where to put a reject: beside its file, unless its path leads out of the tree, into git's folder or a file."""
    parts = path.split("/")
    is_long = len(os.fsencode(path)) > _LONG or any(len(os.fsencode(part)) > _LONG // 4 for part in parts)
    in_a_file = any("/".join(parts[:n]) in files for n in range(1, len(parts)))
    return "import" if path_problem(path) or is_long or in_a_file else path


# Names that Python files bind at the top: which a merge bound a second time.
#
# A hunk that fits line by line may still put ``is_device_available = {}`` below the function of that name, which no
# conflict shows: the last binding wins.


@dataclass(frozen=True)
class Rebound:
    """A name of the top level, or of a class there, that has one binding more than before.

    Attributes:
        path: the file.
        name: the name, as ``log`` or ``Model.forward``.
        lines: where it is bound, the last one winning.
        added: those of the lines that came with the merge.
    """

    path: str
    name: str
    lines: tuple[int, ...]
    added: tuple[int, ...] = ()

    def __str__(self) -> str:
        first, last = self.lines[0], self.lines[-1]
        whose = "the import's" if last in self.added else "the stack's"
        return (
            f"{self.path}: {self.name} of line {first} is bound again in line {last}, which replaces it: {whose} counts"
        )


def rebound(path: str, before: bytes, after: bytes) -> list[Rebound]:
    """The names of a changed file that were bound before and are bound more often now; none of what is no Python."""
    if not path.endswith(".py"):
        return []
    old, new = _bound(before), _bound(after)
    found = []
    for name, bindings in sorted(new.items()):
        if not 0 < len(old.get(name, ())) < len(bindings):
            continue
        left = Counter(what for _, what in old[name])
        added = []
        for line, what in bindings:
            left[what] -= 1
            if left[what] < 0:
                added.append(line)
        found.append(Rebound(path, name, tuple(line for line, _ in bindings), tuple(added)))
    return found


def _bound(source: bytes) -> dict[str, list[tuple[int, str]]]:
    """Name -> the lines that bind it, each with what it is bound to; one import of one thing counts once."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # ValueError: a null byte
        return {}
    found: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, statement, what in _bindings(body):
        if not (what.startswith("import ") and any(what == each for _, each in found[name])):
            found[name].append((statement.lineno, what))
    return found


def _bindings(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.stmt, str]]:
    """Name, statement and what it binds, each once a statement: both branches of an ``if`` bind one name once."""
    for statement in body:
        seen = set()
        for name, what in _names(statement):
            if name not in seen:
                seen.add(name)
                yield prefix + name, statement, what
        if isinstance(statement, ast.ClassDef) and not prefix:
            yield from _bindings(statement.body, f"{statement.name}.")


def _names(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """The names that a statement binds, those in its blocks too, with what they are bound to."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        accessor = any(isinstance(each, ast.Attribute) for each in statement.decorator_list)  # @size.setter
        if not accessor:
            yield statement.name, ast.dump(statement)
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for node in (node for target in targets for node in ast.walk(target)):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                yield node.id, ast.dump(statement)
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        module = f"{'.' * statement.level}{statement.module or ''}." if isinstance(statement, ast.ImportFrom) else ""
        for alias in statement.names:
            bound = alias.asname or (alias.name if module else alias.name.partition(".")[0])
            yield bound, f"import {module}{alias.name if alias.asname else bound}"
    elif isinstance(statement, (ast.If, ast.Try, ast.With)):
        blocks = [statement.body, getattr(statement, "orelse", []), getattr(statement, "finalbody", [])]
        blocks += [handler.body for handler in getattr(statement, "handlers", [])]
        for inner in (inner for block in blocks for inner in block):
            yield from _names(inner)
