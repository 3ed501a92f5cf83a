"""``porter targets``: the device families that there are stacks for."""

from __future__ import annotations

import click

from porter.commands.arguments import AnyProject, find
from porter.output import hanging, labelled, to_json
from porter.target import Target, load_all


def targets(*, project: AnyProject = None) -> list[Target]:
    """The device families that there are stacks for, by name.

    Raises:
        WrongUsage: a ``target.yaml`` is malformed.
    """
    return load_all(find(project))


@click.command(name="targets")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def command(as_json: bool) -> None:
    """List the device families that there are stacks for."""
    found = targets()
    if as_json:
        click.echo(to_json([labelled("target", target.record()) for target in found], for_stdout=True), nl=False)
        return
    for target in found:
        click.echo(f"{click.style(target.name, bold=True)}  {target.title['en']}")
        click.echo(hanging(f"  plugin: {target.plugin.module}, from {target.plugin.source}", 10))
        if target.plugin.confused_with:
            click.echo(hanging(f"          not {target.plugin.confused_with}", 10))
        click.echo(hanging(f"  probe: {' or '.join(target.probe)}", 9))
        devices = f"; devices: {', '.join(target.visible_devices)}" if target.visible_devices else ""
        click.echo(hanging(f"  distributed: {', '.join(target.distributed)}{devices}", 15))
        for link in target.documentation:
            click.echo(hanging(f"  {link.title}: {link.url}", 4))
