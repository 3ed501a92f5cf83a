"""``porter profile``: what is known of a card, out of its plugin's source and out of its profile."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyPath, AnyProject, Names, find, names, path
from porter.commands.options import FOLDER, JSON, STDOUT, complete_card, print_json, target_option, write_out
from porter.emulator.profiles import BARE, GENERIC, SITE, load_profile
from porter.errors import WrongUsage
from porter.output import command_line
from porter.scan import plugins
from porter.scan.facts import dumps
from porter.scan.summary import Summary, summarise
from porter.target import load_known
from porter.verification.device import card_of

SOURCES = SITE / "porter_emulated" / "sources"


@dataclass(frozen=True)
class Scanned:
    """What a plugin's source says.

    Attributes:
        facts: the record, as docs/formats.md has it.
        summary: the same in figures.
    """

    facts: Mapping[str, Any]
    summary: Summary

    def json(self) -> str:
        """The facts file: the same sources give the same bytes."""
        return dumps(dict(self.facts))


@dataclass(frozen=True)
class Fact:
    """One fact of a profile that no scan can find.

    Attributes:
        name: its key in the profile.
        value: what it says.
        source: where that is from; empty where the profile says no source.
    """

    name: str
    value: Any
    source: str


@dataclass(frozen=True)
class Known:
    """What is known of a card.

    Attributes:
        card: the profile's name.
        type: the device's type in torch.
        file: the facts file's name, empty where the card has none.
        scan: what that file amounts to; None where there is none.
        facts: what the profile says beside it.
    """

    card: str
    type: str
    file: str
    scan: Summary | None
    facts: tuple[Fact, ...]

    def record(self) -> dict[str, Any]:
        """The same for ``--json``."""
        return {
            "card": self.card,
            "type": self.type,
            "file": self.file,
            "scan": self.scan.record() if self.scan else None,
            "facts": [{"name": one.name, "value": one.value, "source": one.source} for one in self.facts],
        }


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
        EnvironmentFailed: tree-sitter is not installed.
    """
    found = plugins.scan(Path(checkout), target, card, list(names(defines)), path(also))
    return Scanned(found, summarise(found))


def show(card: str, *, target: str | None = None, project: AnyProject = None) -> Known:
    """What is known of a card, from where, and what is not known.

    Args:
        card: a profile's name, such as ``sg2260``; ``bare`` and ``generic`` stand for a card of any target.
        target: whose card it is; only ``bare`` and ``generic`` need it.

    Raises:
        WrongUsage: there is no profile of this card, or none of this target's.
    """
    if target is not None:
        family = load_known(find(project), target)
        profile = card_of(family, card)
        if profile is None:
            raise WrongUsage(f"{family.name} is a device of torch's own", hint="No card stands in for it.")
    elif card in (BARE, GENERIC):
        raise WrongUsage(
            f"{card} stands for a card of any target",
            hint=command_line("porter", "profile", "show", "--target", "mlu", card),
        )
    else:
        profile = load_profile(card)
    file = facts_file(card, profile.data)
    record = json.loads(file.read_text(encoding="utf-8")) if file else None
    return Known(
        card, profile.type, file.name if file else "", summarise(record) if record else None, facts(profile.data)
    )


def facts_file(card: str, data: Mapping[str, Any]) -> Path | None:
    """The file that the profile names, else the newest scan of this card that porter has."""
    named = data.get("source")
    if isinstance(named, Mapping):
        named = named.get("file")
    if isinstance(named, str) and (SOURCES / named).is_file():
        return SOURCES / named
    found = sorted(path for path in SOURCES.glob("*.json") if path.stem.endswith(f"-{card}"))
    return found[-1] if found else None


def facts(data: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Each entry of a profile with its source; a list's entries one by one."""
    out = []
    for name, value in data.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                rest = {key: inner for key, inner in each.items() if key != "source"}
                out.append(Fact(name, rest, str(each.get("source", ""))))
            else:
                out.append(Fact(name, each, ""))
    return tuple(out)


@click.group(name="profile")
def command() -> None:
    """What is known of a card, out of the vendor's own source."""


@command.command(name="scan")
@target_option(" whose plugin it is", required=True)
@click.option(
    "--card", metavar="CARD", shell_complete=complete_card, help="The card whose build is read, such as bm1684x."
)
@click.option("--define", "defines", multiple=True, metavar="NAME[=VALUE]", help="Defined in that build as well.")
@click.option("--also", metavar="DIR", type=FOLDER, help="A second repository that the plugin is built with.")
@click.option(
    "--json", "json_file", metavar="FILE", type=FOLDER, help="Write every fact here, for programs; - prints it."
)
@click.argument("checkout", metavar="PLUGIN_CHECKOUT", type=FOLDER)
def scan_command(
    target: str, card: str | None, defines: tuple[str, ...], also: Path | None, json_file: Path | None, checkout: Path
) -> None:
    """Read what a plugin's source says of its operators and Python.

    What it registers, what its kernels demand, where they go through the host, what its Python needs: each fact
    has its file and line. Comments, dead branches and other cards' code do not count. Nothing is compiled, and
    nothing of the plugin is run. Needs the packages tree-sitter and tree-sitter-cpp.
    """
    found = scan(target, checkout, card=card, defines=defines, also=also)
    if json_file:
        write_out(json_file, found.json().encode())
    if json_file != STDOUT:
        for line in _summary(found.summary):
            click.echo(line)


@command.command(name="show")
@target_option(" whose card it is, where CARD does not say that")
@JSON
@click.argument("card", metavar="CARD", shell_complete=complete_card)
def show_command(target: str | None, as_json: bool, card: str) -> None:
    """Say what is known of CARD, from where, and what is not known.

    CARD is a profile of the emulated device, such as sg2260; bare and generic stand for a card of any target, which
    --target names.
    """
    found = show(card, target=target)
    if as_json:
        print_json("profile", found.record())
        return
    click.echo(f"{click.style(found.card, bold=True)}  device type {found.type}")
    if found.scan is not None:
        click.echo(f"\nOut of the plugin's source ({found.file}):")
        for line in _summary(found.scan):
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
        for line in _listed(f"{one.name}: ", [str(value)]):
            click.echo(line)
        for line in _listed("    from ", [one.source] if one.source else []):
            click.echo(line)


def _summary(found: Summary) -> list[str]:
    """Counts first, then lists: what cannot work, then what is not known."""
    where = f"commit {found.commit}" if found.commit else "no git checkout"
    lines = [f"  {found.plugin} {found.version}, {where}"]
    if found.defines:
        lines.append(f"  built with {' '.join(found.defines)}")
    lines += [f"  {number:>6}  {name}" for name, number in found.counts.items()]
    if found.missing:
        lines.append("  Names that cannot work, and what they lack:")
        lines += [line for name, what in found.missing.items() for line in _listed(f"    {name}: ", what)]
    if found.kernels:
        lines.append(f"  Not known: kernels that were not found or could not be read ({len(found.kernels)}):")
        lines += _listed("    ", found.kernels)
    if found.conditions:
        lines.append(f"  Not known: operators with a condition that could not be translated ({len(found.conditions)}):")
        lines += _listed("    ", found.conditions)
    return lines


def _listed(head: str, words: list[str] | tuple[str, ...]) -> list[str]:
    """The words after the head, wrapped for a terminal."""
    indent = " " * (len(head) - len(head.lstrip()) + 2)
    return textwrap.wrap(", ".join(words), 100, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
