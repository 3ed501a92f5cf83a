"""Lines: a release of upstream each, with stacks and a lock of its own; which there are, and which one a tree is of."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from porter.errors import PorterError, WrongUsage, os_errors
from porter.git import GitFailed, Repository
from porter.lockfile import IndexSource, Lock, glance
from porter.output import printable
from porter.project import LOCK_NAME, PATCHES_NAME, Project
from porter.sources.snapshot import extents
from porter.stack import available, load_parts
from porter.target import Target
from porter.temporary import temporary_folder


@dataclass(frozen=True)
class Line:
    """What there is to say of a line.

    Attributes:
        name: as ``--line`` takes it.
        default: whether it is the one that is meant where nobody names one.
        root: the folder with its ``patches`` and its ``upstream.lock``.
        upstream: name, tag, commit, tree, date and licence of the release that it is for.
        patches: stack -> how many patches it has, ``common`` first.
        sources: where upstream's files are had, in the order in which they are asked.
        indexed: how many of upstream's files the package index has; None where the line has no such source.
        files: how many files upstream has.
        targets: the device families that it has stacks for.
    """

    name: str
    default: bool
    root: str
    upstream: Mapping[str, str]
    patches: Mapping[str, int]
    sources: tuple[str, ...]
    indexed: int | None
    files: int
    targets: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)


def lines(project: Project) -> dict[str, Project]:
    """Name -> line, of every line of a project's checkout; the default one first.

    Raises:
        WrongUsage, CheckFailed, EnvironmentFailed: the default line's lock cannot be read.
    """
    top = project.top
    return {glance(top.lock_path)[0]: top, **top.others}


def named(project: Project, name: str) -> Project:
    """The line that is called so.

    Raises:
        WrongUsage: there is none, or the checkout's lock is malformed.
    """
    if name in project.top.others:
        return project.top.others[name]
    known = lines(project)
    if name not in known:
        raise WrongUsage(
            f"there is no line {name}", hint=f"There are {', '.join(known)}: `porter lines` says more of each."
        )
    return known[name]


def name_of(project: Project) -> str:
    """What a line is called."""
    return glance(project.lock_path)[0] if project.top == project else project.root.name


def option_of(project: Project) -> list[str]:
    """What a command that is printed says of a line, so that it means this one: nothing for the default one."""
    return [] if project.top == project else ["--line", name_of(project)]


def of_tree(project: Project, tree: Path) -> Project | None:
    """The line that a tree is of: that of the nearest commit under its HEAD that a line is for.

    A clone of a later release has the earlier ones among its ancestors, so that the nearest counts.

    Returns:
        None where the checkout has one line alone, or the folder is no tree of any.
    """
    others = project.top.others
    if not others or not (tree / ".git").exists():
        return None
    try:
        history = Repository(tree, user_config=True).text("rev-list", "--first-parent", "HEAD").split("\n")
    except (GitFailed, PorterError):  # whoever opens the tree says what is wrong with it
        return None
    choices = [project.top, *others.values()]
    depth = {commit: number for number, commit in enumerate(history)}
    found = {depth[commit]: line for line in choices for commit in [glance(line.lock_path)[1]] if commit in depth}
    if found:
        return found[min(found)]
    for line in choices:  # what a package index has begins with a commit of porter's own, to be computed
        lock = Lock.load(line.lock_path)
        if any(part.base in depth for part in extents(lock)):
            return line
    return None


def describe(project: Project) -> list[Line]:
    """Every line of a project's checkout; the default one first.

    Raises:
        WrongUsage, CheckFailed, EnvironmentFailed: a file of one cannot be read, or is malformed.
    """
    return [_describe(name, line) for name, line in lines(project).items()]


def _describe(name: str, line: Project) -> Line:
    lock = Lock.load(line.lock_path)
    targets = available(line.patches)
    for target in targets:
        Target.load(line.patches / target)  # whoever reads the table can rely on it
    indexes = [source for source in lock.sources if isinstance(source, IndexSource)]
    return Line(
        name,
        line.top == line,
        str(line.root),
        lock.pin.record(),
        {part: len(patches) for part, patches in load_parts(line).items()},
        tuple(map(str, lock.sources)),
        max((len(source.files) for source in indexes), default=None),
        len(lock.pin.files),
        targets,
    )


def earlier_state(project: Project, named: str, stack: ExitStack) -> Project:
    """A folder that is another checkout, or the stacks and the lock of a commit, put into a folder for a while.

    Args:
        stack: removes the folder when it is closed.

    Raises:
        WrongUsage: there is neither, or the commit has no such files.
        EnvironmentFailed: the folder cannot be written.
    """
    if Path(named).is_dir():
        return Project.find(Path(named))
    repository = Repository(project.root)
    try:
        commit = repository.text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{named}^{{commit}}")
        inside = repository.text("rev-parse", "--show-prefix")
    except GitFailed as error:
        hint = "Name a commit of porter's repository, or the folder of another checkout."
        raise WrongUsage(f"{printable(named)} is neither a folder nor a commit in {project.root}", hint=hint) from error
    names = {
        path[len(inside) :]: entry.id
        for path, entry in repository.files(commit).items()
        if path.startswith((f"{inside}{PATCHES_NAME}/", f"{inside}{LOCK_NAME}"))
    }
    if LOCK_NAME not in names:
        raise WrongUsage(f"{printable(named)} has no {LOCK_NAME}: it is no state of the stacks")
    folder = stack.enter_context(temporary_folder("porter-diff-"))
    with os_errors(f"cannot write {folder}"):
        for path, found in zip(names, repository.read(names.values())):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(found.data)
    return Project(folder)
