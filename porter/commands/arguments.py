"""What callers may give in more than one form."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Union

from porter.errors import WrongUsage

if TYPE_CHECKING:
    from porter.project import Project

AnyPath = Union[str, "os.PathLike[str]"]
Names = Union[str, Iterable[str]]  # one, or several
AnyProject = Union["Project", str, "os.PathLike[str]", None]


def find(project: AnyProject) -> Project:
    """The project that is meant; None: what ``--project`` and ``--line`` name, or what we are in.

    Stacks that a killed porter was writing are whole before this returns.

    Raises:
        WrongUsage: there is none, or no such line, or a file of those stacks was edited since.
        EnvironmentFailed: those stacks cannot be written.
    """
    return _whole(_meant(project)[0])


def find_of(project: AnyProject, tree: AnyPath | None, *, to_be_made: bool = False) -> Project:
    """As :func:`find`, but of the line that a tree is of, where nobody names one.

    A :class:`porter.Project` and the folder of a line name one, as ``--line`` does.

    Args:
        tree: None, or a folder that is no tree: the default line is meant.
        to_be_made: what is named is to be made there, if it is not; else the tree has to be of that line already.

    Raises:
        WrongUsage, EnvironmentFailed: as :func:`find`; or the tree is of another line than the one named.
    """
    found, is_named = _meant(project)
    if tree is None or not found.top.others or (is_named and to_be_made):
        return _whole(found)
    from porter.line import name_of, of_tree  # of no use to a project with one line

    of = of_tree(found, Path(tree))
    if of is None or of == found:
        return _whole(found)
    if is_named:
        what = f"{tree} is of the line {name_of(of)}, not {name_of(found)}"
        raise WrongUsage(what, hint="Name no line: porter sees which one a tree is of.")
    return _whole(of)


def is_line_named(project: AnyProject) -> bool:
    """Whether somebody says which line is meant."""
    return _meant(project)[1]


def _meant(project: AnyProject) -> tuple[Project, bool]:
    """The project that is meant, and whether its line is named."""
    from porter.commands.options import named_line, named_project
    from porter.project import Project

    if isinstance(project, Project):
        return project, True
    folder = named_project() if project is None else project
    found = Project.find(None if folder is None else Path(folder))
    line = named_line() if project is None else ""
    if line:
        from porter.line import named

        return named(found, line), True
    return found, folder is not None and found.top != found


def _whole(found: Project) -> Project:
    from porter.project import REWRITE_NAME

    if (found.state / REWRITE_NAME).exists():
        from porter.rebase import write_stacks  # seldom needed, and not light

        write_stacks.recover(found)
    return found


def names(given: Names) -> tuple[str, ...]:
    """Names as a tuple; one alone is one name, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)


def path(given: AnyPath | None) -> Path | None:
    return None if given is None else Path(given)
