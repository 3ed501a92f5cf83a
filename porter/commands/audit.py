"""``porter audit``: every place in a tree's Python that names a device, and whether the port has taken care of it."""

from __future__ import annotations

from pathlib import Path

import click

from porter import auditing
from porter.auditing.report import Audit
from porter.auditing.rules import RULES
from porter.commands.arguments import AnyPath, AnyProject, Names, find_of, names, path
from porter.commands.options import FOLDER, STDOUT, UPSTREAM, colour, target_option, tell, terminal, write_out
from porter.errors import WrongUsage
from porter.lockfile import Lock
from porter.output import Progress, command_line
from porter.sources.obtain import obtain
from porter.stack import Stack, available, key

_COLOURS = {"not ported": "red", "routed": "green", "gone": "green"}


def audit(
    tree: AnyPath | None = None,
    targets: Names = (),
    *,
    baseline: bool = False,
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Audit:
    """Every place in a tree's Python that names a device, or runs something: routed, allowed, or not ported.

    Args:
        tree: a ported tree, a clone of upstream at any commit, or a plain folder of its files.  None: what the stacks
            of ``targets`` make of the pin, in memory.
        targets: for a tree that is there: it has to hold them.
        baseline: compare with upstream at the pin; with neither tree nor targets, list upstream itself.

    Returns:
        every place; ``failed`` says whether anything is left to do.

    Raises:
        WrongUsage: there is no such tree or target, or ``patches/audit.yaml`` is malformed.
        CheckFailed: a file is not Python, or a patch does not apply.
        EnvironmentFailed: upstream cannot be had, or a file cannot be read.
    """
    found, folder, wanted = find_of(project, tree), path(tree), names(targets)
    if folder is None and not wanted and not baseline:
        known = ", ".join(available(found.patches))
        raise WrongUsage("neither a tree nor a target named", hint=f"Name a folder, or --target: {known}.")
    pin = obtain(Lock.load(found.lock_path), upstream, progress=progress) if folder is None or baseline else None
    if folder is not None:
        made = auditing.of_folder(found, folder)
    else:
        assert pin is not None
        if not wanted:
            return auditing.of_upstream(pin)
        stack = Stack.load(found, wanted)
        made = auditing.of_files(found, auditing.python(pin, stack.build(pin)), f"{stack.key}, made in memory", None)
    lacking = sorted(set(wanted) - set(made.targets))
    if lacking:
        holds = key(made.targets) or "no stack"
        raise WrongUsage(
            f"{tree} holds {holds}, not {lacking[0]}",
            hint=command_line("porter", "apply", "--target", lacking[0], "DIR"),
        )
    return auditing.beside(made, pin) if baseline and pin else made


@click.command(name="audit")
@target_option(" whose tree is made in memory, without TREE", multiple=True)
@click.option("--baseline", is_flag=True, help="Compare with upstream at the pin; alone, list upstream's places.")
@click.option("--all", "every", is_flag=True, help="Print every place, not only those that are not ported.")
@click.option("--rules", is_flag=True, help="Say what each rule is about, why, and what to do, and look at nothing.")
@click.option(
    "--json", "json_file", metavar="FILE", type=FOLDER, help="Write every place here, for programs; - prints it."
)
@click.option(
    "--sarif", "sarif_file", metavar="FILE", type=FOLDER, help="Write a SARIF 2.1.0 log here, for reviews; - prints it."
)
@UPSTREAM
@click.argument("tree", metavar="[TREE]", type=FOLDER, required=False)
def command(
    targets: tuple[str, ...],
    baseline: bool,
    every: bool,
    rules: bool,
    json_file: Path | None,
    sarif_file: Path | None,
    upstream: str | None,
    tree: Path | None,
) -> None:
    """Find every place in TREE's Python that names a device: routed, allowed with a reason, or not ported.

    What runs or fetches something counts too, whatever the device: a shell, eval(), a pickle, a download.

    TREE is a ported tree or upstream at any commit. Exit code 1 if a place is not ported, or an entry of
    patches/audit.yaml, the list of allowed places, matches nothing any more.
    """
    if rules:
        _print_rules()
        return
    with terminal() as progress:
        found = audit(tree, targets, baseline=baseline, upstream=upstream, progress=progress)
    for file, text in (json_file, found.json()), (sarif_file, found.sarif()):
        if file:
            write_out(file, text.encode())
    if STDOUT not in (json_file, sarif_file):
        for line in found.lines(every):
            click.echo(_painted(line))
        click.echo(found.summary)
    if found.failed:
        tell(
            "Route each through the accelerator (`porter audit --rules`), or allow it in patches/audit.yaml, "
            "saying why.",
            err=True,
        )
        raise SystemExit(1)


def _painted(line: str) -> str:
    state = line.rpartition(": ")[2]
    return line[: -len(state)] + click.style(state, fg=_COLOURS[state]) if colour() and state in _COLOURS else line


def _print_rules() -> None:
    for rule in RULES.values():
        click.echo(f"{click.style(rule.id, bold=True)}: {rule.title}")
        click.echo(f"  why: {rule.why}")
        click.echo(f"  instead: {rule.instead}")
