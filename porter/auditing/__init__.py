"""Every place in a tree's Python that names a device, and whether the port has taken care of it.

A place is ``routed`` through the accelerator, ``allowed`` with a reason (by its rule, or by an entry of
``patches/audit.yaml``), or ``not ported``.  In a tree without accelerators, upstream as it came, nothing is routed and
no entry counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from porter.auditing import allowed
from porter.auditing.report import Audit, compare
from porter.auditing.rules import ACCELERATOR_FOLDER
from porter.auditing.scan import remembered, scan
from porter.errors import WrongUsage, os_errors
from porter.git import Repository
from porter.git.objects import Entry, Object
from porter.lockfile import IndexSource, Lock
from porter.project import Project
from porter.sources.snapshot import Snapshot
from porter.stack import available
from porter.stack.build import Build


def of_upstream(snapshot: Snapshot) -> Audit:
    """The places in the pin, none of which is routed or allowed.

    Raises:
        CheckFailed: a file is not Python.
    """
    places = scan(_blobs(snapshot.files, snapshot.objects), remembered())
    return Audit("upstream at the pin", None, (), tuple(places), upstream=True)


def of_folder(project: Project, tree: Path) -> Audit:
    """The places in a folder: a ported tree, a clone of upstream at any commit, or a plain folder of its files.

    Raises:
        WrongUsage: there is no such folder, or ``patches/audit.yaml`` is malformed.
        CheckFailed: a file is not Python.
        EnvironmentFailed: a file cannot be read.
    """
    return of_files(project, read(tree), str(tree), tree)


def of_files(project: Project, files: Mapping[str, bytes], name: str, tree: Path | None) -> Audit:
    """The places in a tree's Python files, with the project's list of allowed places.

    Args:
        files: path -> content.
        name, tree: what they are, in words, and where they lie; None for nowhere.

    Raises:
        WrongUsage: ``patches/audit.yaml`` is malformed.
        CheckFailed: a file is not Python.
    """
    absent = _of_git_alone(project) - files.keys()
    entries = [entry for entry in allowed.read(project.patches) if entry.path not in absent]
    return look(files, name, tree, entries, available(project.patches))


def _of_git_alone(project: Project) -> frozenset[str]:
    """The pin's files that no package index has: a tree made from one is right without them."""
    lock = Lock.load(project.lock_path)
    indexes = [source.files for source in lock.sources if isinstance(source, IndexSource)]
    return frozenset(lock.pin.files).difference(*indexes) if indexes else frozenset()


def look(
    files: Mapping[str, bytes], name: str, tree: Path | None, entries: Iterable[allowed.Allowance], known: Iterable[str]
) -> Audit:
    """Look at Python files.

    Args:
        files: path -> content.
        name, tree: see :func:`of_files`.
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


def beside(found: Audit, snapshot: Snapshot) -> Audit:
    """The same places, compared with those in the pin."""
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
        EnvironmentFailed: a file cannot be read.
    """
    if not tree.is_dir():
        raise WrongUsage(f"{tree} is a file" if tree.exists() else f"there is no {tree}", hint="Name a folder.")
    files = {}
    for path in _paths(tree):
        with os_errors(f"cannot read {tree / path}"):
            if path.endswith(".py") and (tree / path).is_file() and not (tree / path).is_symlink():
                files[path] = (tree / path).read_bytes()
    if not files:
        raise WrongUsage(f"there is no Python file in {tree}", hint="Name a tree, or a clone of upstream.")
    return files


def _paths(tree: Path) -> list[str]:
    if (tree / ".git").exists():
        listed = Repository(tree).run("ls-files", "--cached", "--others", "--exclude-standard", "-z")
        return sorted(set(listed.decode(errors="surrogateescape").split("\0")))
    paths = (path.relative_to(tree) for path in tree.rglob("*.py"))
    return sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))
