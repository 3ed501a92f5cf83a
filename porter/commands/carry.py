"""``porter carry``: a change of a patch, made in one line, made in the later ones too: not the patch as a whole.

The difference that the change makes, from the tree after the old patch to the tree after the new one, is a commit,
which git cherry-picks onto the stack of the next line: what upstream changed between the two releases, and what a
person resolved for it, stays.  There it is a fixup of the line's own patch, and `export` folds it.  From that line to
the one after it, what is carried is what it became.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyPath, AnyProject, find
from porter.commands.options import FOLDER, JSON, UPSTREAM, complete_line, complete_patch, print_json, tell, terminal
from porter.errors import WrongUsage
from porter.git import objects
from porter.git.objects import Object
from porter.line import earlier_state, lines, name_of
from porter.lockfile import Lock
from porter.output import Progress, command_line
from porter.patch import Patch
from porter.project import Project
from porter.rebase.commits import parse
from porter.rebase.export import export_tree
from porter.sources.obtain import obtain
from porter.sources.snapshot import Snapshot
from porter.stack import COMMON, Stack, available, find_patch, load_parts
from porter.stack.build import Build
from porter.temporary import work_folder
from porter.tree import Tree
from porter.tree.make import apply_stack

CARRIED, SAME, ABSENT, CONFLICT = "carried", "same", "absent", "conflict"
_COMMITTER = {"GIT_COMMITTER_NAME": "porter", "GIT_COMMITTER_EMAIL": "porter@example.invalid"}
_PICK = ("cherry-pick", "--allow-empty", "--keep-redundant-commits")


@dataclass(frozen=True)
class LineOutcome:
    """What became of a change in one line.

    Attributes:
        line: its name.
        state: ``carried``; ``same``: it is there already; ``absent``: the line has no such patch; ``conflict``.
        files: what was written, relative to the line's folder.
        conflicts: the files that do not merge.
        tree: where a person resolves them; empty else.
    """

    line: str
    state: str
    files: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    tree: str = ""


@dataclass(frozen=True)
class _Fix:
    """A change of a patch.

    Attributes:
        patch: what it is by now.
        old: what it was; None where it is new.
        commit: what it does, as a commit; ``content``: all that git has to have to pick that.
    """

    patch: Patch
    old: Patch | None
    commit: Object
    content: Mapping[str, Object]


def _carry_on(
    source: Project,
    before: Project,
    name: str,
    lines: Mapping[str, Project],
    conflicts: Path,
    upstream: str | None,
    progress: Progress,
) -> Iterator[LineOutcome]:
    """Carry the change of a patch to lines, one after the other, up to the first that it does not merge in.

    Args:
        source: the line with the change.
        before: the same without it.
        name: the patch, as :func:`porter.stack.find_patch` takes it.
        lines: name -> line, in order.
        conflicts: in which folder the tree is made in which a person is needed: ``carry-LINE``.

    Raises:
        WrongUsage: there is no such patch, or it has not changed; or that tree's folder is taken.
        CheckFailed: a stack does not apply.
        EnvironmentFailed: upstream cannot be had, or a folder cannot be written.
    """
    patch = find_patch(source, name)
    fix = _fix(source, load_parts(before), patch, obtain(Lock.load(source.lock_path), upstream, progress=progress))
    for line_name, line in lines.items():
        progress.step(f"carrying {patch.id} to {line_name}")
        old = load_parts(line)
        if fix.old is not None and _own(old, fix.patch) is None:
            yield LineOutcome(line_name, ABSENT)
            continue
        found = _carry(fix, line_name, line, conflicts / f"carry-{line_name}", upstream, progress)
        yield found
        if found.state == CONFLICT:
            return
        if found.state == CARRIED:
            snapshot = obtain(Lock.load(line.lock_path), upstream, progress=progress)
            now = _own(load_parts(line), fix.patch)
            assert now is not None
            fix = _fix(line, old, now, snapshot)


def _carry(fix: _Fix, name: str, line: Project, place: Path, upstream: str | None, progress: Progress) -> LineOutcome:
    with work_folder("porter-carry-") as folder:
        if not _pick(fix, line, folder / "tree", upstream, progress):
            done = export_tree(line, folder / "tree", progress=progress)
            files = tuple(edit.path for edit in done.rewrite.edits)
            return LineOutcome(name, CARRIED if files else SAME, files)
    if place.exists():
        raise WrongUsage(
            f"the change conflicts in {name}, and {place} is in the way of a tree to resolve it in",
            hint=f"Is it that of an earlier try? Finish it: {command_line('porter', 'export', place)}; or remove it.",
        )
    return LineOutcome(name, CONFLICT, (), _pick(fix, line, place, upstream, progress), str(place))


def _pick(fix: _Fix, line: Project, place: Path, upstream: str | None, progress: Progress) -> tuple[str, ...]:
    """Make a tree of a line and pick the change in it; the files that do not merge."""
    targets = available(line.patches)[:1] if fix.patch.stack == COMMON else (fix.patch.stack,)
    lock = Lock.load(line.lock_path)
    apply_stack(lock, Stack.load(line, targets), place, upstream, False, progress)
    repository = Tree.open(place).repository
    repository.write(objects.pack(fix.content.values()))
    repository.run(*_PICK, fix.commit.id, env=_COMMITTER, status=(0, 1))
    tree = Tree.open(place)
    if not tree.unfinished:
        return ()
    return tuple(change.path for change in tree.changes if "U" in change.code or change.code in ("AA", "DD"))


def _fix(line: Project, before: Mapping[str, Sequence[Patch]], patch: Patch, snapshot: Snapshot) -> _Fix:
    """The change of a patch as a commit.

    Raises:
        WrongUsage: there is none.
    """
    old = _own(before, patch)
    if old is not None and old.data == patch.data:
        raise WrongUsage(
            f"{patch.id} has not changed",
            hint="Change it first (porter export writes it). --since names the commit before an older change.",
        )
    parts = load_parts(line) if old is None else {**before, patch.stack: _replaced(before[patch.stack], old, patch)}
    after = _built(parts, patch, snapshot)
    made = {one.patch.id: one for one in after.commits}[patch.id]
    content = {**snapshot.objects, **after.objects}
    commit = parse(after.objects[made.commit])
    if old is None:
        first, message = parse(content[commit.parents[0]]).tree, commit.message
    else:
        build = _built(before, old, snapshot)
        content.update(build.objects)
        earlier = parse(build.objects[{one.patch.id: one for one in build.commits}[old.id].commit])
        first = earlier.tree
        same = (earlier.message, earlier.author) == (commit.message, commit.author)
        message = f"fixup! {old.subject}\n" if same else f"amend! {old.subject}\n\n{commit.message}"
    who = f"{commit.author} {commit.date}"
    parent = objects.commit(first, (), who, who, "before\n")
    fix = objects.commit(commit.tree, (parent.id,), who, who, message)
    # without the stacks' own commits, whose history the line's tree may not have
    files = [one for one in content.values() if one.kind != "commit"]
    return _Fix(patch, old, fix, {one.id: one for one in (*files, parent, fix)})


def _own(parts: Mapping[str, Sequence[Patch]], patch: Patch) -> Patch | None:
    """The patch of the same name in other stacks."""
    return next((one for one in parts.get(patch.stack, ()) if one.name == patch.name), None)


def _replaced(part: Sequence[Patch], old: Patch, new: Patch) -> list[Patch]:
    return [new if one.name == old.name else one for one in part]


def _built(parts: Mapping[str, Sequence[Patch]], patch: Patch, snapshot: Snapshot) -> Build:
    return Stack.of(parts, [] if patch.stack == COMMON else [patch.stack]).build(snapshot)


@dataclass(frozen=True)
class Carried:
    """What :func:`carry` did.

    Attributes:
        patch: its id; ``source``: the line that the change was made in.
        lines: what became of it in each later line, in order, up to the first in which it conflicts.
    """

    patch: str
    source: str
    lines: tuple[LineOutcome, ...]

    @property
    def conflict(self) -> LineOutcome | None:
        """The line in which a person is needed, or None."""
        return next((line for line in self.lines if line.state == CONFLICT), None)

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"patch": self.patch, "from": self.source, "lines": [asdict(line) for line in self.lines]}


def carry(
    patch: str,
    *,
    to: str = "",
    since: str = "HEAD",
    folder: AnyPath = ".",
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Carried:
    """Make the change of a patch in the later lines too: what was mended, merged into the patch that each line has.

    The line with the change is the project's own, the default one unless another is named.

    Args:
        patch: named as :func:`porter.show` takes it.
        to: the last line to carry it to; empty: all that come after.
        since: the commit of the project's repository that has the patch as it was before the change.
        folder: where the tree ``carry-LINE`` is made if the change conflicts.

    Raises:
        WrongUsage: there is no such patch, line or commit, the patch has not changed, or no line comes after.
        CheckFailed: a stack does not apply, or another target's does not fit any more.
        EnvironmentFailed: upstream cannot be had, or a folder cannot be written.
    """
    found, progress = find(project), progress or Progress()
    found.must_be_a_checkout()
    known, source = lines(found), name_of(found)
    after = list(known)[list(known).index(source) + 1 :]
    if to and to not in after:
        raise WrongUsage(f"no line {to} comes after {source}", hint=f"These do: {', '.join(after) or 'none'}.")
    if not after:
        raise WrongUsage(f"no line comes after {source}", hint="`porter lines` lists them.")
    wanted = {name: known[name] for name in after[: after.index(to) + 1 if to else None]}
    named = find_patch(found, patch).id
    with ExitStack() as stack:
        before = earlier_state(found, since, stack)
        made = tuple(_carry_on(found, before, named, wanted, Path(folder), upstream, progress))
    return Carried(named, source, made)


@click.command(name="carry")
@click.option(
    "--to", metavar="LINE", default="", shell_complete=complete_line, help="The last line.  [default: all that follow]"
)
@click.option(
    "--since",
    metavar="REV",
    default="HEAD",
    show_default=True,
    help="The commit of porter's repository that has the patch as it was.",
)
@click.option(
    "--folder",
    metavar="DIR",
    type=FOLDER,
    default=".",
    help="Where a tree is left if it conflicts.  [default: the current folder]",
)
@UPSTREAM
@JSON
@click.argument("patch", metavar="PATCH", shell_complete=complete_patch)
def command(to: str, since: str, folder: Path, upstream: str | None, as_json: bool, patch: str) -> None:
    """Make the change of PATCH in the later lines too.

    What was mended is merged into the patch that each line has, so that what was resolved for a release stays. Where it
    conflicts, the tree carry-LINE is left to resolve it in, and the exit code is 1.

    \b
    porter export ./yolov5 && porter carry common/12
    porter carry --line v6.2 common/12      from v6.2 on
    """
    with terminal() as progress:
        done = carry(patch, to=to, since=since, folder=folder, upstream=upstream, progress=progress)
    if as_json:
        print_json("carry", done.record())
    else:
        _print(done)
    raise SystemExit(1 if done.conflict else 0)


_SAYS = {
    CARRIED: "carried",
    "same": "has it already",
    ABSENT: "has no such patch",
    CONFLICT: "conflicts in",
}


def _print(done: Carried) -> None:
    for line in done.lines:
        detail = ", ".join(line.conflicts or line.files)
        click.echo(f"{line.line}: {_SAYS[line.state]}{f' {detail}' if line.conflicts else ''}")
        if line.files:
            tell(f"  wrote {detail}")
    if done.conflict:
        tree = done.conflict.tree
        go_on = command_line("git", "-C", tree, "cherry-pick", "--continue")
        again = command_line("porter", "carry", "--line", done.conflict.line, done.patch)
        tell(f"Resolve it in {tree}, git add, then: {go_on}; {command_line('porter', 'export', tree)}")
        tell(f"Then, for the lines after it: {again}")
