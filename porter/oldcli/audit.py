"""``porter audit``."""

from __future__ import annotations

from pathlib import Path

import click

from porter.commands.options import FOLDER, STDOUT, UPSTREAM, colour, tell, terminal, write_out

_COLOURS = {"not ported": "red", "routed": "green", "gone": "green"}


@click.command()
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Without TREE: make this stack's in memory.")
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
def audit(
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
    from porter.api import audit as run

    with terminal() as progress:
        found = run(tree, targets, baseline=baseline, upstream=upstream, progress=progress)
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
    from porter.auditing.rules import RULES

    for rule in RULES.values():
        click.echo(f"{click.style(rule.id, bold=True)}: {rule.title}")
        click.echo(f"  why: {rule.why}")
        click.echo(f"  instead: {rule.instead}")
