"""``porter verify``: prove that a tree trains, and with ``--necessity`` that each patch is needed for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from porter import process
from porter.checkpoints import inspect
from porter.commands.arguments import AnyPath, AnyProject, Names, find, find_of, names, path
from porter.commands.options import (
    FOLDER,
    STDOUT,
    colour,
    complete_check,
    complete_patch,
    is_quiet,
    list_row,
    must_take,
    target_option,
    terminal,
    write_out,
)
from porter.commands.options import device as device_options
from porter.errors import WrongUsage
from porter.line import name_of, option_of
from porter.lockfile import Lock
from porter.output import Progress, Terminal, command_line, counted, hanging, to_json
from porter.patch import Patch
from porter.project import Project
from porter.sources.obtain import obtain
from porter.stack import Stack, find_patch, load_parts
from porter.target import Target, load_known
from porter.tree import must_hold
from porter.tree.make import apply_stack
from porter.verification.checks import attempt, known, select
from porter.verification.child import CONFINEMENTS, Children, workplace
from porter.verification.device import Device, choose
from porter.verification.necessity import Judge, Necessity, Verdict, checks_of, named_checks
from porter.verification.plan import Check
from porter.verification.report import Outcome, Report
from porter.verification.session import Session
from porter.verification.variants import variants

NOTHING_RUN = "none: nothing is run"
TIMEOUT = 300.0  # seconds a program of a check may take; the longest takes a fifth of that on two idle cores


def verify(
    target: str,
    tree: AnyPath | None = None,
    *,
    device: str = "auto",
    profile: str = "",
    level: str = "smoke",
    checks: Names = (),
    python: str | None = None,
    jobs: int = 0,
    timeout: float = TIMEOUT,
    keep: bool = False,
    data: str = "auto",
    weights: AnyPath | None = None,
    full_size: bool = False,
    begun: Callable[[str], None] = lambda line: None,
    ended: Callable[[Outcome], None] = lambda outcome: None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Report:
    """Prove that a tree trains as on the target's device.

    Args:
        tree: the folder.  None: a temporary one.
        device: ``hardware``, ``simulator``, ``emulated``, ``cpu``, or ``auto``: the first of these that is to be had.
        profile: the card to emulate, as ``sg2260``; empty: the target's usual one.
        level: ``static`` looks at files alone, ``smoke`` trains for seconds, ``full`` makes every check.
        checks: make these only, whatever the level.
        python: the interpreter that runs the tree.  None: this one.
        jobs: how many programs may run at once; 0: one a core, at most 4.
        timeout: seconds that one program may take.
        keep: leave the folder that the checks worked in.
        data: ``coco128``, ``scenes`` (drawn here), or ``auto``: coco128 where it can be had.
        weights: a checkpoint that sees something: the check ``detect`` shows what it sees in v6.0's picture; of
            v6.0's own, ``reference`` and ``converges`` need one.
        full_size: these two at 640 pixels, as on a card; elsewhere it is 320.
        begun: gets the first lines; ``ended``: gets each outcome as it comes.

    Returns:
        every outcome; ``failed`` is empty if all is as it should be.

    Raises:
        WrongUsage: there is no such target, check, tree or interpreter.
        EnvironmentFailed: the device asked for is not to be had, or the disk is full.
    """
    started = time.monotonic()
    found, progress, python = find_of(project, tree), progress or Progress(), python or sys.executable
    family = load_known(found, target)
    chosen = select(level, names(checks), family)
    given, model = path(tree), path(weights)
    commit = "" if given is None else must_hold(found, given, target).head
    if model is not None and not inspect(model).classes:
        raise WrongUsage(
            f"{model} is no YOLOv5 checkpoint",
            hint=f"{command_line('porter', 'weights', 'inspect', model)} says what it is.",
        )
    with workplace(keep, progress) as root:
        place = given or root / "tree"
        commit = commit or _make_tree(found, target, place, progress)
        runs = any(check.level != "static" for check in chosen)
        nothing = Device("cpu", "cpu", "no device: nothing is run")
        if runs:
            begun(f"{target}: looking for a device with {python}")
        on = choose(device, family, python, profile=profile, begun=begun) if runs else nothing
        of = "" if found.top == found else f" of {name_of(found)}"
        begun(f"{target}: {given or 'a temporary tree'}{of}, on {on.says}")
        children = Children(root, python, jobs, timeout, kept=family.inherited, hardware=on.kind == "hardware")
        session = Session(
            found, place.absolute(), family, on, children, root, data, progress,
            model=model.absolute() if model else None, full_size=full_size, begun=begun,
        )  # fmt: skip
        pictures = NOTHING_RUN
        if runs:
            pictures = session.pictures.says  # made once, before the checks' threads look at it
            begun(f"data: {pictures}")
            begun(f"confinement: {children.confinement}: {CONFINEMENTS[children.confinement]}")
        asked = on.kind if on.kind != "cpu" or device == "cpu" else "auto"
        options = _options(asked, profile, python, data)
        repeats = [_repeat(target, check, options, model, full_size, given, _line(found, given)) for check in chosen]
        outcomes = _make(session, chosen, repeats, progress, ended)
    seconds = time.monotonic() - started
    confined = children.confinement if runs else NOTHING_RUN
    return Report(
        target, str(place), on.says, pictures, on.kind, confined, level, tuple(outcomes), seconds, commit,
        session.upstream,
    )  # fmt: skip


def necessity(
    target: str,
    patches: Names = (),
    *,
    device: str = "auto",
    profile: str = "",
    python: str | None = None,
    jobs: int = 0,
    timeout: float = TIMEOUT,
    keep: bool = False,
    data: str = "auto",
    begun: Callable[[str], None] = lambda line: None,
    ended: Callable[[Verdict], None] = lambda verdict: None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Necessity:
    """Leave out each patch of a target's stack in turn: the check that its header names has to fail.

    Args:
        patches: these only, named as :func:`porter.show` takes them.
        begun: gets the first line; ``ended``: gets each verdict as it comes.

    The other arguments are those of :func:`verify`.

    Returns:
        a verdict a patch; ``unnoticed`` is empty if each is needed.

    Raises:
        WrongUsage: there is no such target, patch or interpreter.
        CheckFailed: a patch does not apply.
        EnvironmentFailed: upstream or the device is not to be had, or the disk is full.
    """
    started = time.monotonic()
    found, progress, python = find(project), progress or Progress(), python or sys.executable
    stack = Stack.load(found, [target])
    chosen = _patches(found, stack, names(patches))
    family = Target.load(found.patches / target)
    checks = {patch.id: checks_of(patch, family) for patch in chosen}
    snapshot = obtain(Lock.load(found.lock_path), progress=progress)
    with variants(
        found, stack, snapshot, device=device, profile=profile, python=python, jobs=jobs, timeout=timeout, keep=keep,
        progress=progress,
    ) as trees:  # fmt: skip
        says = trees.whole.device.says
        begun(f"{target}: the stack without each of {counted(len(chosen), 'patch')}, on {says}")
        options = _options(device, profile, python)
        trial = Judge(trees, lambda patch: _repeat_patch(target, patch, options, _line(found, None)))
        verdicts = {}
        # closed before the folder is removed, however this ends: its threads write there
        with closing(trial.judge_all(chosen, checks, progress)) as judged:
            for verdict in judged:
                verdicts[verdict.patch] = verdict
                ended(verdict)
    ordered = tuple(verdicts[patch.id] for patch in chosen)
    return Necessity(target, says, ordered, time.monotonic() - started)


def _make_tree(project: Project, target: str, tree: Path, progress: Progress) -> str:
    """Make a tree; return its commit."""
    stack = Stack.load(project, [target])
    return apply_stack(Lock.load(project.lock_path), stack, tree, None, False, progress).build.tip


def _make(
    session: Session,
    checks: Sequence[Check],
    repeats: Sequence[str],
    progress: Progress,
    ended: Callable[[Outcome], None],
) -> list[Outcome]:
    """Every check's outcome; checks wait for each other's trainings, so each has a thread of its own."""
    with process.threads(len(checks), "check", session.children.stop) as threads:
        futures = [threads.submit(attempt, session, check, repeat) for check, repeat in zip(checks, repeats)]
        pending: set[Future[Outcome]] = set(futures)
        while pending:
            progress.step("checking", len(checks) - len(pending), len(checks))
            done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in futures:
                if future in done:
                    ended(future.result())
        return [future.result() for future in futures]


def _patches(project: Project, stack: Stack, wanted: Sequence[str]) -> list[Patch]:
    """The patches that are named, or all of a stack."""
    ids = {find_patch(project, name).id for name in wanted}
    for name in sorted(ids - {patch.id for patch in stack.patches}):
        raise WrongUsage(f"{name} is not in the stack of {stack.key}")
    return [patch for patch in stack.patches if not ids or patch.id in ids]


def _options(device: str, profile: str, python: str, data: str = "auto") -> list[str]:
    """The options of a command that repeats what was done, as far as they are not the defaults."""
    words = ["--device", device] if device != "auto" else []
    words += ["--profile", profile] if profile else []
    words += ["--data", data] if data != "auto" else []
    words += ["--python", python] if python != sys.executable else []
    return words


def _repeat(
    target: str,
    check: Check,
    options: Sequence[str],
    weights: Path | None,
    full_size: bool,
    tree: Path | None,
    line: Sequence[str],
) -> str:
    words: list[str | Path] = ["porter", "verify", *line, "--target", target, "--check", check.name, *options]
    words += ["--weights", weights] if weights and check.name in ("detect", "reference", "converges") else []
    words += ["--full-size"] if full_size else []
    return command_line(*words, "--keep", *([tree] if tree else []))


def _line(project: Project, tree: Path | None) -> list[str]:
    """What names the project's line in a command; nothing where it is the default one, or a tree says it."""
    return [] if tree else option_of(project)


def _repeat_patch(target: str, patch: Patch, options: Sequence[str], line: Sequence[str]) -> str:
    words = ["porter", "verify", *line, "--target", target, "--necessity", "--patch", patch.label]
    return command_line(*words, *options, "--keep")


def _list(context: click.Context, parameter: click.Parameter, is_given: bool) -> None:
    if is_given:
        checks = known().values()
        width = max(len(check.name) for check in checks)
        for check in checks:
            click.echo(hanging(f"{check.name:{width}}  {check.level:6}  {check.proves}{_only(check)}", width + 10))
        context.exit()


def _explain(context: click.Context, parameter: click.Parameter, name: str | None) -> None:
    if name is None:
        return
    checks = known()
    if name not in checks:
        raise WrongUsage(f"there is no check {name!r}", hint=f"There are: {', '.join(checks)}.")
    check, parts = checks[name], load_parts(find(None))
    needed = [
        patch.id.removesuffix(".patch") for part in parts.values() for patch in part if name in named_checks(patch)
    ]
    click.echo(hanging(f"{name}: {check.proves}{_only(check)}", 2))
    alone = command_line("porter", "verify", "--target", "TARGET", "--check", name)
    click.echo(f"Made from the level {check.level} on, or alone: {alone}")
    if needed:
        click.echo("It fails where one of these is left out:")
        for patch in needed:
            click.echo(f"  {patch}")
    context.exit()


def _only(check: Check) -> str:
    return f" (targets with {check.feature})" if check.feature else ""


@click.command(name="verify")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the checks.")
@click.option(
    "--explain",
    metavar="CHECK",
    is_eager=True,
    expose_value=False,
    callback=_explain,
    shell_complete=complete_check,
    help="Say what a check proves and which patches it fails without.",
)
@target_option(required=True)
@device_options
@click.option(
    "--level",
    type=click.Choice(["static", "smoke", "full"]),
    default="smoke",
    show_default=True,
    help="static looks at files alone, smoke trains for about a minute, full makes every check.",
)
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_check,
    help="Make this check only; may be repeated.",
)
@click.option("--python", metavar="EXE", default=sys.executable, help="Run the tree under this interpreter.")
@click.option(
    "--jobs", type=click.IntRange(1), help="Programs that may run at once.  [default: a core each, at most 4]"
)
@click.option(
    "--timeout", type=click.FloatRange(1), default=TIMEOUT, show_default=True, help="Seconds that one program may take."
)
@click.option(
    "--weights",
    metavar="FILE",
    type=FOLDER,
    help="detect shows what this checkpoint sees in bus.jpg; reference and converges need one of v6.0's.",
)
@click.option(
    "--full-size", is_flag=True, help="reference and converges at 640 pixels, as on a card; elsewhere it is 320."
)
@click.option(
    "--json", "json_file", metavar="FILE", type=FOLDER, help="Write the record here, for `porter report`; - prints it."
)
@click.option("--html", "html_file", metavar="FILE", type=FOLDER, help="Write the page of `porter report` here.")
@click.option(
    "--data",
    type=click.Choice(["auto", "coco128", "scenes"]),
    default="auto",
    show_default=True,
    help="auto: coco128 if it is there or can be downloaded, else generated scenes.",
)
@click.option("--keep", is_flag=True, help="Leave the folder that the checks worked in.")
@click.option(
    "--necessity",
    "leave_out",
    is_flag=True,
    help="Leave out each patch in turn: the check that its header names has to fail.",
)
@click.option(
    "--patch",
    "patches",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_patch,
    help="With --necessity: this patch; may be repeated.",
)
@click.argument("tree", metavar="[TREE]", type=FOLDER, required=False)
def command(
    target: str,
    checks: tuple[str, ...],
    level: str,
    jobs: int | None,
    weights: Path | None,
    full_size: bool,
    json_file: Path | None,
    html_file: Path | None,
    leave_out: bool,
    patches: tuple[str, ...],
    tree: Path | None,
    **asked: Any,
) -> None:
    """Prove that TREE trains as on the target's device; without TREE, a temporary one.

    Exit code 1 if a check fails. What cannot be shown on a device is said and is no failure.

    With --necessity each patch of the target's stack is left out in turn; exit code 1 if nothing misses one.
    """
    if (leave_out or patches) and (tree or checks or html_file or weights or full_size or not leave_out):
        raise click.UsageError("--necessity makes its own trees and chooses checks itself; --patch goes with it.")
    must_take(json_file, html_file)
    say = json_file != STDOUT  # else the record is all that standard output gets
    with terminal() as progress:
        begun = progress.note if is_quiet() or not say else progress.say
        made: Report | Necessity
        how = {**asked, "jobs": jobs or 0, "begun": begun, "progress": progress}
        if leave_out:
            how["ended"] = lambda verdict: _print_verdict(verdict, progress) if say else None
            made = necessity(target, patches, **how)
        else:
            how["ended"] = lambda outcome: _print_outcome(outcome, progress) if say else None
            made = verify(target, tree, **how, level=level, checks=checks, weights=weights, full_size=full_size)
    _write(made, json_file, html_file)
    if say:
        click.echo(made.summary)
    raise SystemExit(1 if (made.unnoticed if isinstance(made, Necessity) else made.failed) else 0)


def _write(made: Report | Necessity, json_file: Path | None, html_file: Path | None) -> None:
    if json_file:
        text = to_json(made.record()) if isinstance(made, Necessity) else made.json()
        write_out(json_file, text.encode("utf-8", "backslashreplace"))
    if html_file:
        from porter.reports import page, records  # has much to say of other kinds of records

        stack = Stack.load(find(None), [made.target])
        write_out(html_file, page.page([records.of_result(made)], stack.patches).encode("utf-8", "backslashreplace"))


def _print_outcome(found: Outcome, progress: Terminal) -> None:
    if is_quiet() and found.state == "passed":
        return
    colours = {"passed": "green", "failed": "red", "not shown": "yellow"}
    text = f"{found.state:9} {found.check:12} {found.said}  ({found.seconds:.1f} s)"
    painted = list_row(text, 23, found.state, colours[found.state]) if colour() else hanging(text, 23)
    progress.say(painted)
    if found.state == "failed":
        for line in found.log.splitlines():
            progress.say(f"    | {line}")
        if found.command:
            progress.say(f"    command: {found.command}")
        progress.say(f"    repeat: {found.repeat}")


def _print_verdict(verdict: Verdict, progress: Terminal) -> None:
    if is_quiet() and verdict.state in ("noticed", "built on"):
        return
    colours = {"noticed": "green", "built on": "green", "unnoticed": "red", "not shown": "yellow"}
    state = click.style(f"{verdict.state:9}", fg=colours[verdict.state]) if colour() else f"{verdict.state:9}"
    progress.say(f"{state} {verdict.patch}  ({verdict.seconds:.1f} s)")
    progress.say(f"          {verdict.said}")
    if verdict.dependants:
        how = "needed by" if verdict.state == "built on" else "left out with it:"
        progress.say(f"          {how} {', '.join(name.removesuffix('.patch') for name in verdict.dependants)}")
    if verdict.state == "unnoticed":
        progress.say(f"    repeat: {verdict.repeat}")
