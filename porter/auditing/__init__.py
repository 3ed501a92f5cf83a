"""Every place in a tree's Python that names a device, and whether the port has taken care of it.

A place is ``routed`` through the accelerator, ``allowed`` with a reason (by its rule, or by an entry of
``patches/audit.yaml``), or ``not ported``.  In a tree without accelerators, upstream as it came, nothing is routed and
no entry counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from porter.auditing import allowed
from porter.auditing.report import Audit, compare
from porter.auditing.rules import ACCELERATOR_FOLDER
from porter.auditing.scan import remembered, scan
from porter.errors import SurroundingsFailed, WrongUsage
from porter.git import Repository
from porter.lockfile import IndexSource, Lock
from porter.objects import Entry, Object
from porter.output import Progress
from porter.project import Project
from porter.sources.obtain import obtain
from porter.sources.snapshot import Snapshot
from porter.stack import Build, Stack, available, key

__all__ = ["Audit", "audit"]


def audit(
    project: Project,
    tree: Path | None = None,
    targets: Sequence[str] = (),
    baseline: bool = False,
    upstream: str | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Look at ``tree``; without one, at what the stacks of ``targets`` make of the pin, in memory.

    Args:
        tree: a ported tree, or a clone of upstream at any commit, or a plain folder of its files.
        targets: for a tree that is there: it has to hold them.
        baseline: compare with upstream at the pin; with neither tree nor targets, list upstream itself.
        upstream: see :func:`porter.sources.obtain.obtain`; nothing is obtained for a tree without ``baseline``.

    Raises:
        WrongUsage: there is no such tree or target, or ``patches/audit.yaml`` is malformed.
        CheckFailed: a file is not Python, or a patch does not apply.
        SurroundingsFailed: upstream cannot be had, or a file cannot be read.
    """
    entries = allowed.read(project.patches)
    snapshot = None
    if tree is None or baseline:
        if tree is None and not targets and not baseline:
            known = ", ".join(available(project.patches))
            raise WrongUsage("neither a tree nor a target named", hint=f"Name a folder, or --target: {known}.")
        snapshot = obtain(Lock.load(project.lock_path), upstream, progress=progress)
    if tree is not None:
        files, name = read(tree), str(tree)
    elif targets and snapshot is not None:
        stack = Stack.load(project, targets)
        files, name = python(snapshot, stack.build(snapshot)), f"{stack.key}, made in memory"
    else:
        assert snapshot is not None
        files = _blobs(snapshot.files, snapshot.objects)
    if tree is None and not targets:
        return Audit("upstream at the pin", None, (), tuple(scan(files, remembered())), upstream=True)
    absent = _of_git_alone(project) - files.keys()
    entries = [entry for entry in entries if entry.path not in absent]
    found = look(files, name, tree, entries, available(project.patches))
    lacking = sorted(set(targets) - set(found.targets))
    if lacking:
        holds = key(found.targets) or "no stack"
        raise WrongUsage(f"{tree} holds {holds}, not {lacking[0]}", hint=f"porter apply --target {lacking[0]} DIR")
    return _beside(found, snapshot) if baseline and snapshot is not None else found


def _of_git_alone(project: Project) -> frozenset[str]:
    """The pin's files that no package index has: a tree made from one is right without them."""
    lock = Lock.load(project.lock_path)
    indexes = [source.files for source in lock.sources if isinstance(source, IndexSource)]
    return frozenset(lock.pin.files).difference(*indexes) if indexes else frozenset()


def look(
    files: Mapping[str, bytes], name: str, tree: Path | None, entries: Iterable[allowed.Entry], known: Iterable[str]
) -> Audit:
    """Look at Python files.

    Args:
        files: path -> content.
        name, tree: what they are, in words, and where they lie; None for nowhere.
        entries: the list of allowed places.
        known: the targets that there are.

    Raises:
        CheckFailed: a file is not Python.
    """
    places = scan(files, remembered())
    held = tuple(target for target in known if f"{ACCELERATOR_FOLDER}{target}.py" in files)
    if f"{ACCELERATOR_FOLDER}__init__.py" not in files:
        return Audit(name, tree, (), tuple(places))
    places, stale = allowed.allow(places, entries, held)
    return Audit(name, tree, held, tuple(places), tuple(stale))


def _beside(found: Audit, snapshot: Snapshot) -> Audit:
    upstream = scan(_blobs(snapshot.files, snapshot.objects), remembered())
    compared = compare(found.places, upstream)
    return Audit(found.name, found.root, found.targets, found.places, found.stale, compared)


def python(snapshot: Snapshot, build: Build) -> dict[str, bytes]:
    """The Python files that a stack makes of the pin: path -> content."""
    return _blobs(build.files, {**snapshot.objects, **build.objects})


def _blobs(files: Mapping[str, Entry], objects: Mapping[str, Object]) -> dict[str, bytes]:
    return {path: objects[entry.id].data for path, entry in files.items() if path.endswith(".py")}


def read(tree: Path) -> dict[str, bytes]:
    """The Python files of a folder by path: those that git tracks or would add, where it is a repository.

    Raises:
        WrongUsage: it is no folder, or holds no Python file.
        SurroundingsFailed: a file cannot be read.
    """
    if not tree.is_dir():
        raise WrongUsage(f"{tree} is a file" if tree.exists() else f"there is no {tree}", hint="Name a folder.")
    files = {}
    for path in _paths(tree):
        try:
            if path.endswith(".py") and (tree / path).is_file() and not (tree / path).is_symlink():
                files[path] = (tree / path).read_bytes()
        except OSError as error:
            raise SurroundingsFailed(f"cannot read {tree / path}", error.strerror or str(error)) from error
    if not files:
        raise WrongUsage(f"there is no Python file in {tree}", hint="Name a tree, or a clone of upstream.")
    return files


def _paths(tree: Path) -> list[str]:
    if (tree / ".git").exists():
        listed = Repository(tree).run("ls-files", "--cached", "--others", "--exclude-standard", "-z")
        return sorted(set(listed.decode(errors="surrogateescape").split("\0")))
    paths = (path.relative_to(tree) for path in tree.rglob("*.py"))
    return sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
