"""``porter new-target``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from porter.commands.options import JSON, UPSTREAM, is_quiet, print_json, terminal

if TYPE_CHECKING:
    from porter.commands.new_target import Made


def _document(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = [value.rpartition("=") for value in values]
    if any(not title or not url for title, _, url in pairs):
        raise click.BadParameter("it is TITLE=URL", context, option)
    return [(title, url) for title, _, url in pairs]


@click.command()
@click.option("--title", default="", help="What people call the device family.  [default: NAME in capitals]")
@click.option("--title-zh", default="", help="The same in Chinese.  [default: --title]")
@click.option("--plugin", default="", metavar="MODULE", help="What to import.  [default: torch_NAME]")
@click.option("--from", "source", default="", metavar="TEXT", help="Where the plugin comes from, in words.")
@click.option("--url", default="", help="Where that is.")
@click.option("--not", "confused_with", default="", metavar="TEXT", help="What the plugin is not, if a name is alike.")
@click.option(
    "--probe", multiple=True, metavar="EXPR", help="Tells that a device is there.  [default: torch.NAME.is_available()]"
)
@click.option(
    "--backend", "distributed", multiple=True, help="Of torch.distributed, the preferred first.  [default: gloo]"
)
@click.option(
    "--visible-devices", multiple=True, metavar="VAR", help="Restricts the devices.  [default: NAME_VISIBLE_DEVICES]"
)
@click.option("--environment", multiple=True, metavar="VAR", help="What else the vendor's software needs to be set.")
@click.option("--profile", "emulated", multiple=True, metavar="CARD", help="Cards to emulate.  [default: generic]")
@click.option("--pin-memory", is_flag=True, help="Pin batches in host memory for the device.")
@click.option("--fp16/--no-fp16", default=True, help="Whether the device has FP16.  [default: --fp16]")
@click.option(
    "--document", "documentation", multiple=True, metavar="TITLE=URL", callback=_document, help="The vendor's."
)
@click.option("--like", default="", metavar="TARGET", help="Take its requirements.txt.  [default: the newest torch's]")
@UPSTREAM
@JSON
@click.argument("name")
def new_target(name: str, as_json: bool, **options: Any) -> None:
    """Make patches/NAME, a stack for another device family, and bring the lock in step.

    NAME is the device's type as its plugin for PyTorch registers it (PrivateUse1), or a type that torch has
    itself (xpu, mps). The stack is a target.yaml and one generated patch; it applies, lints and verifies on an
    emulated device at once. Options that may be repeated go by their order.
    """
    from porter.api import new_target as run

    with terminal() as progress:
        made = run(name, **options, progress=progress)
    if as_json:
        print_json("new-target", made.record())
    elif not is_quiet():
        _print(made)


def _print(made: Made) -> None:
    name = made.target.name
    click.echo(f"{made.folder}: target.yaml, requirements.txt, series and {made.patch.name}")
    click.echo(f"upstream.lock: wrote {', '.join(made.stacks)}")
    if made.unsaid:
        click.echo(f"To fill in: {', '.join(made.unsaid)} in {made.folder / 'target.yaml'}")
    if made.target.plugin.in_tree:
        click.echo(f"{name} is torch's own: verify uses the card or the cpu, nothing can be emulated under its name.")
    click.echo(f"Next: porter verify --target {name}")
