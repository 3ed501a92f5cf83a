"""Whether a folder is a clone that porter can work in: a plain one, with its own ``.git`` and its files beside that."""

from __future__ import annotations

import os
from pathlib import Path

from porter.errors import EnvironmentFailed, WrongUsage
from porter.git import GitFailed, Repository
from porter.output import command_line


def checked(path: Path) -> tuple[Path, dict[str, str]]:
    """A clone's folder without symbolic links, and the settings that git has to have there beside porter's own.

    Raises:
        WrongUsage: there is something else.
        EnvironmentFailed: it cannot be read.
    """
    path = _folder(path)
    repository = Repository(path, user_config=True)
    _check_repository(path, repository)
    return path, _line_ends(repository)


def _folder(path: Path) -> Path:
    if path.is_symlink() and not path.exists():
        raise WrongUsage(f"{path} is a link to nothing", hint="Remove it, or name another folder.")
    if not path.exists():
        apply = command_line("porter", "apply", "--target", "TARGET", path)
        raise WrongUsage(f"there is no {path}", hint=f"`{apply}` makes it.")
    if not path.is_dir():
        raise WrongUsage(f"{path} is a file", hint="Name a folder.")
    path = path.resolve()
    git_dir = path / ".git"
    if git_dir.is_file():
        raise WrongUsage(
            f"{path} is a linked worktree or a submodule of another repository",
            hint="Clone it by itself (git clone), or let porter make a new folder.",
        )
    if not os.access(path, os.R_OK | os.X_OK):
        raise EnvironmentFailed(f"cannot read {path}", "permission denied")
    if not git_dir.is_dir():
        if (path / "HEAD").is_file() and (path / "objects").is_dir():
            raise WrongUsage(f"{path} is a bare repository", hint="Name a clone with a working tree.")
        raise WrongUsage(
            f"{path} is no git repository",
            "something else is in it" if any(path.iterdir()) else "it is empty",
            "Name a tree or a clone of upstream. `porter apply --target TARGET DIR` makes a tree in a new folder.",
        )
    return path


def _check_repository(path: Path, repository: Repository) -> None:
    bare = f"{path} is a bare repository"
    try:
        answer = repository.text("rev-parse", "--is-bare-repository", "--absolute-git-dir", "--show-toplevel")
    except GitFailed as error:
        if "dubious ownership" in error.stderr:
            raise EnvironmentFailed(f"{path} belongs to another user", error.stderr) from error
        if "must be run in a work tree" in error.stderr:
            raise WrongUsage(bare, hint="Name a clone with a working tree.") from error
        if "not a git repository" in error.stderr:
            raise WrongUsage(f"{path}/.git is no git repository", error.stderr) from error
        raise EnvironmentFailed(f"git cannot read {path}", error.stderr) from error
    is_bare, git_dir, top = answer.split("\n", 2)
    if is_bare == "true":
        raise WrongUsage(bare, hint="Name a clone with a working tree.")
    if Path(git_dir) != path / ".git" and Path(git_dir).resolve() != (path / ".git").resolve():
        raise WrongUsage(f"{path}/.git is no git repository", f"git finds {git_dir} instead")
    if Path(top).resolve() != path:
        raise WrongUsage(f"the files of {path}/.git are in {top}", "its core.worktree says so", "Name a plain clone.")


def _line_ends(repository: Repository) -> dict[str, str]:
    """How this user's git writes line ends in this clone, which porter has to follow there."""
    answer = repository.text("config", "--get-regexp", r"^core\.(autocrlf|eol)$", status=(0, 1))
    # the last word is what porter itself gives on the command line; the one before is the user's
    found: dict[str, list[str]] = {}
    for line in answer.split("\n"):
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return {name: values[-2] for name, values in found.items() if len(values) > 1}
