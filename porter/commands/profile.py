"""``porter profile``: what is known of a card, out of its plugin's source and out of its profile."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyPath, AnyProject, Names, find, names, path
from porter.commands.options import (
    FOLDER,
    JSON,
    STDOUT,
    complete_card,
    print_json,
    target_option,
    tell,
    terminal,
    write_out,
)
from porter.commands.options import device as device_options
from porter.emulator.profiles import BARE, GENERIC, SITE, is_record, load_profile
from porter.emulator.recorded import read_record, reading
from porter.errors import WrongUsage
from porter.files import write_file
from porter.output import Progress, command_line, counted, hanging, printable, record_of, to_json
from porter.recording.difference import Difference, difference, tally
from porter.recording.record import LIMIT, Recorder, assembled, visible
from porter.scan import scan_plugin
from porter.scan.facts import Summary, dumps, summarise
from porter.target import load_known
from porter.verification.device import card_of, choose, must_have_torch

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
        recorded: of a record, how many calls run, raise and so on; None of any other card.
    """

    card: str
    type: str
    file: str
    scan: Summary | None
    facts: tuple[Fact, ...]
    recorded: Mapping[str, int] | None = None

    def record(self) -> dict[str, Any]:
        """The same for ``--json``."""
        return record_of(self)


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
    found = scan_plugin(Path(checkout), target, card, list(names(defines)), path(also))
    return Scanned(found, summarise(found))


def show(card: str, *, target: str | None = None, project: AnyProject = None) -> Known:
    """What is known of a card, from where, and what is not known.

    Args:
        card: a profile's name, such as ``sg2260``, or the path of a record; ``bare`` and ``generic`` stand for a card
            of any target.
        target: whose card it is; only ``bare`` and ``generic`` need it.

    Raises:
        WrongUsage: there is no profile of this card, or none of this target's.
    """
    recorded = read_record(Path(card)) if is_record(card) else None
    if recorded is not None:
        target = target or str(recorded["target"])
    if target is not None:
        family = load_known(find(project), target)
        profile = card_of(family, card)
        if profile is None:
            raise WrongUsage(f"nothing can be emulated as {family.name}, a device type of torch's")
    elif card in (BARE, GENERIC):
        raise WrongUsage(
            f"{card} stands for a card of any target",
            hint=command_line("porter", "profile", "show", "--target", "mlu", card),
        )
    else:
        profile = load_profile(card)
    if recorded is not None:
        file = Path(card)
        with reading(file):
            surface = profile.data["surface"]
            short = {**surface, "raises": sorted(surface["raises"]), "names": len(surface.get("names", ()))}
            known = facts({**profile.data, "surface": short})
            return Known(printable(recorded["card"]), profile.type, file.name, None, known, tally(recorded))
    scanned = facts_file(card, profile.data)
    record = json.loads(scanned.read_text(encoding="utf-8")) if scanned else None
    named = scanned.name if scanned else ""
    return Known(card, profile.type, named, summarise(record) if record else None, facts(profile.data))


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


@dataclass(frozen=True)
class Recorded:
    """A record that was made.

    Attributes:
        file: where it is; ``device``: what was recorded, in words.
        tally: how many calls run, raise and so on, and ``outside``: how many results rounding does not explain.
    """

    file: Path
    device: str
    tally: Mapping[str, int]


def record(
    target: str,
    file: AnyPath,
    *,
    device: str = "auto",
    profile: str = "",
    python: str | None = None,
    limit: int = LIMIT,
    begun: Callable[[str], None] = lambda line: None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Recorded:
    """Record a card: each operator call of YOLOv5 made on the device and on the CPU, and what the plugin has.

    A run that was cut short left ``FILE.partial``, and the next goes on there.

    Args:
        file: where the record goes, a JSON file that says nothing of the machine or its user.
        device, profile, python: as for :func:`porter.verify`.
        limit: seconds that a call may take before it counts as hanging.
        begun: gets a line about what is recorded.

    Raises:
        WrongUsage: there is no such target or interpreter.
        EnvironmentFailed: the device is not to be had, or the file cannot be written.
    """
    progress, interpreter, out = progress or Progress(), python or sys.executable, Path(file)
    family = load_known(find(project), target)
    must_have_torch(interpreter)
    on = choose(device, family, interpreter, profile=profile, begun=begun)
    begun(f"{target}: recording {on.says}")
    recorder = Recorder(family, on, interpreter, out.with_name(f"{out.name}.partial"), limit)
    outcomes = recorder.run(progress, begun)
    made = assembled(recorder, outcomes, visible(recorder))
    write_file(out, to_json(made).encode())
    recorder.journal.unlink()
    return Recorded(out, on.says, tally(made))


def diff(first: AnyPath, second: AnyPath) -> Difference:
    """What changed between two records of :func:`record`.

    Raises:
        WrongUsage: one of them is none.
    """
    files = Path(first), Path(second)
    records = [read_record(file) for file in files]
    with reading(*files):
        return difference(*records)


@click.group(name="profile")
def command() -> None:
    """What is known of a card, out of the vendor's own source or out of a record of it."""


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
            click.echo(hanging(line, 4))


@command.command(name="show")
@target_option(" whose card it is, where CARD does not say that")
@JSON
@click.argument("card", metavar="CARD", shell_complete=complete_card)
def show_command(target: str | None, as_json: bool, card: str) -> None:
    """Say what is known of CARD, from where, and what is not known.

    CARD is a profile of the emulated device, such as sg2260, or the file of a record; bare and generic stand for a card
    of any target, which --target names.
    """
    found = show(card, target=target)
    if as_json:
        print_json("profile", found.record())
        return
    click.echo(f"{click.style(found.card, bold=True)}  device type {found.type}")
    if found.recorded is not None:
        click.echo(f"\nOut of a record ({found.file}): {_tallied(found.recorded)}.")
    elif found.scan is not None:
        click.echo(f"\nOut of the plugin's source ({found.file}):")
        for line in _summary(found.scan):
            click.echo(hanging(line, 4))
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


@command.command(name="record")
@target_option(required=True)
@device_options
@click.option("--python", metavar="EXE", default=sys.executable, help="The interpreter that has the card's plugin.")
@click.option(
    "--limit",
    metavar="SECONDS",
    type=click.IntRange(1),
    default=LIMIT,
    show_default=True,
    help="A call that takes longer counts as hanging.",
)
@click.argument("file", metavar="FILE", type=FOLDER)
def record_command(target: str, file: Path, **asked: Any) -> None:
    """Record what a card does, into FILE.

    Makes each operator call of YOLOv5's training, validation and detection on the device and on the CPU, in minutes:
    what runs, what raises, how far its results are. FILE holds no path, no name of the machine or of you: send it to
    porter's issues, and everybody can verify a tree against your card. Where the machine goes down or you stop it,
    the same command goes on behind the last call.
    """
    with terminal() as progress:
        found = record(target, file, **asked, begun=progress.note, progress=progress)
    click.echo(f"{found.file}: {found.device}: {_tallied(found.tally)}")
    tell(f"Next: {command_line('porter', 'verify', '--target', target, '--profile', found.file)}")


@command.command(name="diff")
@JSON
@click.argument("first", metavar="A", type=FOLDER)
@click.argument("second", metavar="B", type=FOLDER)
def diff_command(as_json: bool, first: Path, second: Path) -> None:
    """Say what changed from record A to record B.

    Versions, the plugin's module, what raises, how far results are from the CPU's, copies. Exit code 1 if anything did.
    """
    found = diff(first, second)
    if as_json:
        print_json("profile-diff", found.record())
    else:
        for change, times in found.grouped():
            where = f"{change.name} {change.arguments}".strip()
            more = f"  and {counted(times - 1, 'call')} more of it" if times > 1 else ""
            click.echo(f"{change.what:8} {printable(where)}{more}")
            click.echo(f"    {click.style('-', fg='red')} {printable(change.before)}")
            click.echo(f"    {click.style('+', fg='green')} {printable(change.after)}")
        alone = f"; {found.alone} are in one record alone" if found.alone else ""
        click.echo(f"{counted(len(found.changes), 'change')}; {found.compared} calls are in both records{alone}")
    if found.changes:
        raise SystemExit(1)


def _tallied(found: Mapping[str, int]) -> str:
    """Counts of calls in words; of nothing but calls that run, only where there is any."""
    return ", ".join(
        f"{found[state]} {words}" for state, words in _STATES.items() if state == "runs" or found.get(state)
    )


_STATES = {
    "runs": "calls run",
    "raises": "raise",
    "crashes": "end the process",
    "hangs": "hang",
    "unmade": "cannot be made there",
    "absent": "are not in this torch",
    "outside": "results are outside what rounding explains",
}


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
    width = min(100, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 100
    return textwrap.wrap(
        ", ".join(words),
        max(width, 2 * len(indent) + 24),
        initial_indent=head,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
