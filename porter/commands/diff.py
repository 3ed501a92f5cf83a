"""``porter diff``: two states of the stacks, compared patch by patch as ``git range-diff`` does it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import click

from porter import git
from porter.commands.arguments import AnyPath, AnyProject, Names, find, names
from porter.commands.options import JSON, colour, print_json, target_option, terminal
from porter.git import Repository, objects
from porter.line import earlier_state
from porter.line import lines as all_lines
from porter.lockfile import Lock
from porter.output import Progress, counted
from porter.project import Project
from porter.sources.obtain import obtain
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON, load_parts, must_be_known, single_stacks
from porter.stack.build import Build, Built

_COLOUR = rb"\x1b\[[0-9;]*m"
_PAIR = re.compile(rb"(?:C)* *(\d+|-): +\S+ (?:C)*([=!<>])(?:C)* +(\d+|-): +\S+ (.*)".replace(b"C", _COLOUR))
_STATES = {"=": "same", "!": "changed", "<": "removed", ">": "added"}


@dataclass(frozen=True)
class PatchPair:
    """A patch in both states, or in one of them.

    Attributes:
        state: ``same`` (its change is, whatever upstream's lines around it are), ``changed``, ``removed`` or ``added``.
        old, new: its place in its stack, from 1; 0 where it is not there.
        subject: the new one's, or the old one's.
        diff: the difference of the two, as git prints it, without colours; empty unless it changed.
    """

    state: str
    old: int
    new: int
    subject: str
    diff: str = ""


@dataclass(frozen=True)
class StackDiff:
    """Two states of the stacks.

    Attributes:
        old, new: what was compared, as it was named.
        pins: upstream's tag of each.
        parts: stack -> its patches, in the new one's order.
    """

    old: str
    new: str
    pins: tuple[str, str]
    parts: dict[str, list[PatchPair]]

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Side:
    lock: Lock
    snapshot: Snapshot
    builds: dict[str, Build]

    def own(self, part: str) -> list[Built]:
        """The commits of a part's own patches; none where there is no such part."""
        return [made for made in self.builds[part].commits if made.patch.stack == part] if part in self.builds else []

    def range(self, part: str) -> str:
        """The same as git takes a range of commits."""
        build = self.builds[part]
        return f"{build.base if part == COMMON else build.end(COMMON)}..{build.tip}"


def diff(
    old: AnyPath,
    new: AnyPath | None = None,
    *,
    targets: Names = (),
    project: AnyProject = None,
    progress: Progress | None = None,
) -> StackDiff:
    """Compare two states of the stacks patch by patch, what moved with upstream left out.

    Args:
        old: a commit of the project's repository, as git names it (``HEAD``, ``v0.1.0``), or another checkout's folder,
            or a line's name.
        new: the same.  None: the project's files as they are now.
        targets: the stacks of these only, besides ``common``.

    Raises:
        WrongUsage: there is no such commit, folder or target.
        CheckFailed: a patch does not apply to its upstream.
        EnvironmentFailed: upstream cannot be had.
    """
    return _read(str(old), "" if new is None else str(new), names(targets), find(project), progress or Progress())[0]


def _read(
    old: str, new: str, targets: Sequence[str], project: Project, progress: Progress, *, coloured: bool = False
) -> tuple[StackDiff, dict[str, list[bytes]]]:
    """The two states compared, and each pair's lines as git printed them."""
    known_lines = all_lines(project)
    with ExitStack() as stack:
        sides = []
        for named in old, new:
            found = (known_lines.get(named) or earlier_state(project, named, stack)) if named else project
            sides.append(_side(found, progress))
        known = sorted({part for side in sides for part in side.builds} - {COMMON})
        must_be_known(targets, known)
        content: dict[str, objects.Object] = {}
        for side in sides:
            content.update(side.snapshot.objects)
            for build in side.builds.values():
                content.update(build.objects)
        shallow = {side.snapshot.base for side in sides if side.snapshot.shallow}
        repository = stack.enter_context(git.scratch(shallow=shallow))
        repository.write(objects.pack(content.values()))
        parts: dict[str, list[PatchPair]] = {}
        printed: dict[str, list[bytes]] = {}
        for part in (COMMON, *(targets or known)):
            printed[part] = _compare(repository, sides, part, coloured)
            parts[part] = [_pair(text) for text in printed[part]]
    pins = (sides[0].lock.pin.tag, sides[1].lock.pin.tag)
    return StackDiff(old, new or str(project.root), pins, parts), printed


def _side(project: Project, progress: Progress) -> _Side:
    lock = Lock.load(project.lock_path)
    snapshot = obtain(lock, progress=progress)
    stacks = single_stacks(load_parts(project))
    return _Side(lock, snapshot, {part: stack.build(snapshot) for part, stack in stacks.items()})


def _compare(repository: Repository, sides: Sequence[_Side], part: str, coloured: bool) -> list[bytes]:
    """The pairs of a part, as git prints them."""
    before, after = (side.own(part) for side in sides)
    if before and after:
        ranges = [side.range(part) for side in sides]
        colour = f"--color={'always' if coloured else 'never'}"
        return _split(repository.run("-c", "core.abbrev=12", "range-diff", colour, *ranges))
    # git takes no empty range
    none = "-:  ------------"
    rows = [f"{n}:  {made.commit[:12]} < {none} {made.patch.subject}" for n, made in enumerate(before, 1)]
    rows += [f"{none} > {n}:  {made.commit[:12]} {made.patch.subject}" for n, made in enumerate(after, 1)]
    return [f"{row}\n".encode() for row in rows]


def _split(out: bytes) -> list[bytes]:
    """The lines of each pair: one that names the two, and those of their difference, which are indented."""
    pairs: list[list[bytes]] = []
    for line in out.splitlines(keepends=True):
        if _PAIR.match(line):
            pairs.append([line])
        else:
            pairs[-1].append(line)
    return [b"".join(lines) for lines in pairs]


def _pair(text: bytes) -> PatchPair:
    head, _, rest = text.partition(b"\n")
    match = _PAIR.match(re.sub(_COLOUR, b"", head))
    assert match
    old, state, new, subject = (group.decode(errors="replace") for group in match.groups())
    before, after = (0 if number == "-" else int(number) for number in (old, new))
    return PatchPair(_STATES[state], before, after, subject, re.sub(_COLOUR, b"", rest).decode(errors="replace"))


@click.command(name="diff")
@target_option(", whose stack is compared beside common", multiple=True)
@JSON
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="[NEW]", default="")
def command(targets: tuple[str, ...], as_json: bool, old: str, new: str) -> None:
    """Compare two states of the stacks, patch by patch, as git range-diff does.

    OLD and NEW are commits of porter's repository, lines, or folders of other checkouts; without NEW, OLD is compared
    with the files as they are. What only upstream moved is no difference: so a bump can be read.

    \b
    porter diff HEAD          what is not committed
    porter diff main my-branch
    porter diff v6.2 v7.0     what each patch became
    """
    with terminal() as progress:
        found, printed = _read(old, new, targets, find(None), progress, coloured=colour() and not as_json)
    if as_json:
        print_json("diff", found.record())
        return
    if found.pins[0] != found.pins[1]:
        click.echo(f"upstream: {found.pins[0]} -> {found.pins[1]}")
    for part, pairs in found.parts.items():
        states = [pair.state for pair in pairs]
        tally = [f"{states.count(state)} {state}" for state in _STATES.values() if state in states]
        click.echo(f"{part}: {counted(len(pairs), 'patch')}{': ' if tally else ''}{', '.join(tally)}")
        for pair, lines in zip(pairs, printed[part]):
            if pair.state != "same":
                click.echo(lines, nl=False)
