"""``porter profile``: the group of commands about what is known of a card."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porter.commands.options import FOLDER, JSON, STDOUT, complete_target, print_json, write_out

if TYPE_CHECKING:
    from porter.scan.summary import Summary


@click.group()
def profile() -> None:
    """What is known of a card, out of the vendor's own source."""


@profile.command(name="scan")
@click.option(
    "--target", required=True, metavar="NAME", shell_complete=complete_target, help="Whose plugin it is: tpu, mlu, npu."
)
@click.option("--card", metavar="CARD", help="The card whose build is read, such as bm1684x.")
@click.option("--define", "defines", multiple=True, metavar="NAME[=VALUE]", help="Defined in that build as well.")
@click.option("--also", metavar="DIR", type=FOLDER, help="A second repository that the plugin is built with.")
@click.option(
    "--json", "json_file", metavar="FILE", type=FOLDER, help="Write every fact here, for programs; - prints it."
)
@click.argument("checkout", metavar="PLUGIN_CHECKOUT", type=FOLDER)
def scan_plugin(
    target: str, card: str | None, defines: tuple[str, ...], also: Path | None, json_file: Path | None, checkout: Path
) -> None:
    """Read what a plugin's source says of its operators and Python.

    What it registers, what its kernels demand, where they go through the host, what its Python needs: each fact
    has its file and line. Comments, dead branches and other cards' code do not count. Nothing is compiled, and
    nothing of the plugin is run. Needs the packages tree-sitter and tree-sitter-cpp.
    """
    from porter.api.profile import scan as run

    found = run(target, checkout, card=card, defines=defines, also=also)
    if json_file:
        write_out(json_file, found.json().encode())
    if json_file != STDOUT:
        for line in summary_lines(found.summary):
            click.echo(line)


@profile.command(name="show")
@click.option(
    "--target", metavar="NAME", shell_complete=complete_target, help="Whose card it is, where CARD does not say that."
)
@JSON
@click.argument("card", metavar="CARD")
def show_card(target: str | None, as_json: bool, card: str) -> None:
    """Say what is known of CARD, from where, and what is not known.

    CARD is a profile of the emulated device, such as sg2260; bare and generic stand for a card of any target, which
    --target names.
    """
    from porter.api.profile import show as run

    found = run(card, target=target)
    if as_json:
        print_json("profile", found.record())
        return
    click.echo(f"{click.style(found.card, bold=True)}  device type {found.type}")
    if found.scan is not None:
        click.echo(f"\nOut of the plugin's source ({found.file}):")
        for line in summary_lines(found.scan):
            click.echo(line)
    else:
        click.echo("\nNo source of its plugin was read: every operator is allowed, and none is known.")
    click.echo("\nFrom elsewhere:")
    for one in found.facts:
        value = (
            ", ".join(f"{key}: {value}" for key, value in one.value.items())
            if isinstance(one.value, dict)
            else one.value
        )
        for line in listed(f"{one.name}: ", [str(value)]):
            click.echo(line)
        for line in listed("    from ", [one.source] if one.source else []):
            click.echo(line)


def summary_lines(found: Summary) -> list[str]:
    """Counts first, then lists: what cannot work, then what is not known."""
    where = f"commit {found.commit}" if found.commit else "no git checkout"
    lines = [f"  {found.plugin} {found.version}, {where}"]
    if found.defines:
        lines.append(f"  built with {' '.join(found.defines)}")
    lines += [f"  {number:>6}  {name}" for name, number in found.counts.items()]
    if found.missing:
        lines.append("  Names that cannot work, and what they lack:")
        lines += [line for name, what in found.missing.items() for line in listed(f"    {name}: ", what)]
    if found.kernels:
        lines.append(f"  Not known: kernels that were not found or could not be read ({len(found.kernels)}):")
        lines += listed("    ", found.kernels)
    if found.conditions:
        lines.append(f"  Not known: operators with a condition that could not be translated ({len(found.conditions)}):")
        lines += listed("    ", found.conditions)
    return lines


def listed(head: str, words: list[str] | tuple[str, ...]) -> list[str]:
    """The words after the head, wrapped for a terminal."""
    indent = " " * (len(head) - len(head.lstrip()) + 2)
    return textwrap.wrap(", ".join(words), 100, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
