"""Earlier states of a project's stacks: of a commit of its repository, put into a folder for a while."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from porter.errors import EnvironmentFailed, WrongUsage
from porter.git import GitFailed, Repository
from porter.output import printable
from porter.project import LOCK_NAME, PATCHES_NAME, Project
from porter.temporary import temporary_folder


def state(project: Project, named: str, stack: ExitStack) -> Project:
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
    try:
        for path, found in zip(names, repository.read(names.values())):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(found.data)
    except OSError as error:
        raise EnvironmentFailed(f"cannot write {folder}", error.strerror or str(error)) from error
    return Project(folder)
