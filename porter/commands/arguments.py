"""What callers may give in more than one form."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from porter.project import Project

AnyPath = Union[str, "os.PathLike[str]"]
Names = Union[str, Iterable[str]]  # one, or several
AnyProject = Union["Project", str, "os.PathLike[str]", None]


def find(project: AnyProject) -> Project:
    """The project that is meant; None: what ``--project`` names, where a command line is at work, or what we are in.

    Stacks that a killed porter was writing are whole before this returns.

    Raises:
        WrongUsage: there is none, or a file of those stacks was edited since.
        EnvironmentFailed: those stacks cannot be written.
    """
    from porter.commands.options import named_project
    from porter.project import REWRITE_NAME, Project

    project = named_project() if project is None else project
    found = project if isinstance(project, Project) else Project.find(None if project is None else Path(project))
    if (found.state / REWRITE_NAME).exists():
        from porter.rebase import write_stacks  # seldom needed, and not light

        write_stacks.recover(found)
    return found


def names(given: Names) -> tuple[str, ...]:
    """Names as a tuple; one alone is one name, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)


def path(given: AnyPath | None) -> Path | None:
    """A path as a Path; None stays None."""
    return None if given is None else Path(given)
