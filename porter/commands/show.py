"""Find a patch by what a person remembers of it."""

from __future__ import annotations

from porter.errors import WrongUsage
from porter.patch import Patch
from porter.project import Project
from porter.stack import COMMON, available, load_part


def find(project: Project, name: str) -> Patch:
    """The patch that ``name`` means: ``3``, ``common/3``, ``0003-Load``, ``common/Load`` (with or without number).

    Raises:
        WrongUsage: none or several fit.
        CheckFailed: a stack is malformed.
    """
    stack, slash, rest = name.rpartition("/")
    stacks = (COMMON, *available(project.patches))
    if slash and stack not in stacks:
        raise WrongUsage(f"there is no stack {stack!r}", hint=f"Known: {', '.join(stacks)}.")
    patches = [patch for part in ([stack] if slash else stacks) for patch in load_part(project.patches / part)]
    for fits in (_same, _begins):
        found = [patch for patch in patches if fits(patch, rest)]
        if len(found) == 1:
            return found[0]
        if found:
            several = "\n".join(patch.id for patch in found)
            raise WrongUsage(f"{name} means {len(found)} patches", several, f"Say which: {found[0].stack}/{rest}.")
    parts = [[patch for patch in patches if patch.stack == part] for part in stacks]
    there = ", ".join(f"{part[0].stack}/{part[0].number} to {part[-1].number}" for part in parts if part)
    raise WrongUsage(f"there is no patch {name}", hint=f"There are {there}; `porter status TREE` says their subjects.")


def _same(patch: Patch, name: str) -> bool:
    return name == patch.name or (name.isdecimal() and int(name) == patch.number)


def _begins(patch: Patch, name: str) -> bool:
    wanted = name.lower()
    return bool(wanted) and (patch.name.lower().startswith(wanted) or patch.name[5:].lower().startswith(wanted))
