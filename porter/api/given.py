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
    """The project that is meant.

    Raises:
        WrongUsage: there is none.
    """
    from porter.project import Project

    if isinstance(project, Project):
        return project
    return Project.find(None if project is None else Path(project))


def names(given: Names) -> tuple[str, ...]:
    """Names as a tuple; one alone is one name, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)


def path(given: AnyPath | None) -> Path | None:
    """A path as a Path; None stays None."""
    return None if given is None else Path(given)
