"""What is known of a card: read out of its plugin's source, and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from porter.commands.arguments import AnyPath, AnyProject, Names, find, names, path

if TYPE_CHECKING:
    from porter.commands.profile import Known, Scanned


def scan(
    target: str, checkout: AnyPath, *, card: str | None = None, defines: Names = (), also: AnyPath | None = None
) -> Scanned:
    """Read a vendor's plugin: its operators, what their kernels demand, what its Python needs, each by file and line.

    Nothing is compiled, and nothing of the plugin is run.

    Args:
        checkout: the plugin's sources; a git checkout gives the record its commit.
        card: whose build is read, such as ``bm1684x``; None: the newest that is known.
        defines: ``NAME`` or ``NAME=VALUE``, added to what that build defines.
        also: a second repository that the plugin is built with, where it is not among its submodules.

    Returns:
        the facts, and the same in figures.

    Raises:
        WrongUsage: porter cannot read this target's plugin, or ``checkout`` is none of it.
        SurroundingsFailed: tree-sitter is not installed.
    """
    from pathlib import Path

    from porter.commands.profile import scan as run

    return run(Path(checkout), target, card, names(defines), path(also))


def show(card: str, *, target: str | None = None, project: AnyProject = None) -> Known:
    """What is known of a card, from where, and what is not known.

    Args:
        card: a profile's name, such as ``sg2260``; ``bare`` and ``generic`` stand for a card of any target.
        target: whose card it is; only ``bare`` and ``generic`` need it.

    Raises:
        WrongUsage: there is no profile of this card, or none of this target's.
    """
    from porter.commands.profile import show as run
    from porter.target import load_known

    return run(card, None if target is None else load_known(find(project), target))
