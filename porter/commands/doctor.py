"""``porter doctor``: look at machine, cards and interpreter, all at once, and say whether training can work."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyProject, find
from porter.commands.options import JSON, print_json, target_option, tell, terminal
from porter.diagnosis import interpreter, machine
from porter.diagnosis.hints import catalogue, in_chinese, wants_chinese
from porter.diagnosis.interpreter import Interpreter, Plugin, pins
from porter.diagnosis.known_problems import PROBLEM, Setup, Trouble, judge
from porter.diagnosis.machine import GIB, Cards, Machine
from porter.output import Progress, command_line, counted, hanging
from porter.stack import must_be_known
from porter.target import Target, load_all


@dataclass(frozen=True)
class Diagnosis:
    """What was found, and what is wrong.

    Attributes:
        target: the device family asked about; None for the cpu.
        machine, interpreter: as found.
        cards: what each vendor's tool that is installed says, and the target's in any case.
        pinned: the target's requirements, name -> version.
        troubles: what is wrong, problems first.
        seconds: how long it took.
    """

    target: Target | None
    machine: Machine
    interpreter: Interpreter
    cards: tuple[Cards, ...]
    pinned: Mapping[str, str]
    troubles: tuple[Trouble, ...]
    seconds: float

    @property
    def problems(self) -> list[Trouble]:
        """Why training cannot work."""
        return [trouble for trouble in self.troubles if trouble.level == PROBLEM]

    @property
    def device(self) -> str:
        """What training would run on, as --device has it."""
        return self.target.name if self.target else "cpu"

    @property
    def plugin(self) -> Plugin | None:
        """The target's plugin."""
        return self.interpreter.plugins[self.target.name] if self.target else None

    @property
    def verdict(self) -> str:
        """The last line."""
        warnings = len(self.troubles) - len(self.problems)
        count = f"{counted(len(self.problems), 'problem')}, {counted(warnings, 'warning')}"
        emulated = "EMULATED " if self.plugin and self.plugin.emulated else ""
        mark = "SIMULATOR of the " if self.simulated else emulated
        can = "cannot" if self.problems else "can"
        return f"training on the {mark}{self.device} {can} work here ({count}, {self.seconds:.1f} s)"

    @property
    def simulated(self) -> str:
        """The variable that puts the vendor's simulator in the card's place; empty if none is set."""
        return self.target.simulated if self.target else ""

    def record(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        return {
            "target": self.target.name if self.target else None,
            "can_train": not self.problems,
            "simulator": bool(self.simulated),
            "machine": asdict(self.machine),
            "python": asdict(self.interpreter),
            "cards": [asdict(each) for each in self.cards],
            "pinned": dict(self.pinned),
            "troubles": [asdict(trouble) for trouble in self.troubles],
            "seconds": round(self.seconds, 2),
        }

    def sections(self) -> dict[str, list[tuple[str, str]]]:
        """Heading -> rows of name and value, for people."""
        return {
            "machine": _machine(self.machine),
            "python": _python(self.interpreter, self.pinned),
            **{f"{each.target} driver": _cards(each) for each in self.cards},
            **{f"{name} plugin": _plugin(each) for name, each in self.interpreter.plugins.items()},
        }


def doctor(
    target: str = "", *, python: str | None = None, project: AnyProject = None, progress: Progress | None = None
) -> Diagnosis:
    """Look at the machine, the driver, the cards and an interpreter by using them, and judge; changes nothing.

    Args:
        target: a device family; empty: look at all of them, and judge whether training on the cpu can work.
        python: the interpreter that would train.  None: this one.

    Returns:
        what was found; ``problems`` is empty if training can work.

    Raises:
        WrongUsage: there is no such target, or no such Python.
    """
    started = time.monotonic()
    project, python = find(project), python or sys.executable
    (progress or Progress()).step("looking at the machine, the cards and the interpreter")
    everyone = load_all(project)
    must_be_known([target] if target else [], [each.name for each in everyone])
    wanted = next((each for each in everyone if each.name == target), None)
    shown = [wanted] if wanted else everyone
    families = [wanted.name] if wanted else list(machine.TOOLS)
    with ThreadPoolExecutor(2 + len(families)) as pool:
        try:
            using = pool.submit(interpreter.examine, python, shown)
            asking = [pool.submit(machine.cards_of, family) for family in families]
            looking = pool.submit(machine.look, Path())
            looked, found, used = [future.result() for future in asking], looking.result(), using.result()
        except BaseException:
            machine.stop()
            raise
    cards = tuple(each for each in looked if each and (each.found or wanted))
    pinned = pins(project.patches / wanted.name / wanted.requirements) if wanted else {}
    pip = command_line(python, "-m", "pip")
    setup = Setup(found, used, wanted, cards[0] if wanted and cards else None, pinned, pip)
    return Diagnosis(wanted, found, used, cards, pinned, tuple(judge(setup)), time.monotonic() - started)


@click.command(name="doctor")
@target_option("; without it, the cpu", default="")
@click.option("--python", metavar="EXE", default=sys.executable, help="The interpreter that is to train.")
@JSON
def command(target: str, python: str, as_json: bool) -> None:
    """Say whether training can work here, and what to do where it cannot.

    Looks at the machine, the driver, the cards, the interpreter and its packages by using them; changes nothing. Exit
    code 1 if training on the target, or without one on the cpu, could not work.
    """
    with terminal() as progress:
        found = doctor(target, python=python, progress=progress)
    if as_json:
        print_json("doctor", found.record())
    else:
        _print(found)
    raise SystemExit(1 if found.problems else 0)


def _print(found: Diagnosis) -> None:
    for heading, rows in found.sections().items():
        click.secho(heading, bold=True)
        for name, value in rows:
            click.echo(hanging(f"  {name:22} {value}", 25))
    chinese = _chinese(found.troubles)
    for trouble in found.troubles:
        click.echo()
        level = click.style(trouble.level, fg="red" if trouble.level == "problem" else "yellow", bold=True)
        click.echo(f"{level}: {trouble.what} [{trouble.trap}]")
        if trouble in chinese:
            what, do = chinese[trouble]
            click.echo(f"  {what}")
            click.echo(f"  办法：{do}")
        else:
            click.echo(f"  do: {trouble.do}")
    click.echo()
    click.secho(found.verdict, fg="red" if found.problems else "green")
    if found.problems and found.target:
        name = found.target.name
        there = found.plugin and found.plugin.installed and not found.plugin.foreign
        device = ["--device", "emulated"] if there else []  # an installed plugin goes before, unless this is said
        where = "an emulated one"
        if found.target.plugin.in_tree:
            device, where = [], "the cpu"
        verify = command_line("porter", "verify", "--target", name, *device)
        tell(f"Without a card: {verify} proves a tree on {where}.")
    elif found.problems == []:
        seen = [each.target for each in found.cards if each.cards and each.target in found.interpreter.plugins]
        if found.target:
            tell(f"Next: {command_line('porter', 'prepare', '--target', found.target.name, './yolov5')}")
        else:
            tell(f"Next: {command_line('porter', 'doctor', '--target', seen[0] if seen else 'NAME')}")


def _chinese(troubles: tuple[Trouble, ...]) -> dict[Trouble, tuple[str, str]]:
    """What and do of each in Chinese; empty where the locale asks for English, or its encoding has no such characters.

    The English line stays above it: it is what people search for, and what the troubleshooting pages quote.
    """
    if not troubles or not wants_chinese(os.environ):
        return {}
    known = catalogue()
    said = {each: tuple(in_chinese(text, each.trap, known) for text in (each.what, each.do)) for each in troubles}
    try:
        "办法".join(text for texts in said.values() for text in texts).encode(sys.stdout.encoding)
    except (LookupError, UnicodeEncodeError):
        return {}
    return {each: (what, do) for each, (what, do) in said.items()}


def _machine(found: Machine) -> list[tuple[str, str]]:
    memory = f"{found.memory / GIB:.1f} GiB, {found.free_memory / GIB:.1f} free" if found.memory else "unknown"
    rows = [
        ("system", found.system + (" (a container)" if found.container else "")),
        ("processor", f"{found.processor}, {counted(found.cores, 'core')}"),
        ("memory", memory),
        ("disk", f"{found.disk / GIB:.1f} GiB free in {found.folder}"),
    ]
    if found.shared is not None:
        rows.append(("shared memory", f"{found.shared / GIB:.1f} GiB"))
    rows.append(("git", found.git.replace("git version ", "") or "missing"))
    rows.append(("compiler", found.compiler or "missing: no device can be emulated"))
    return rows


def _python(found: Interpreter, pinned: Mapping[str, str]) -> list[tuple[str, str]]:
    torch = found.torch
    build = f"CUDA {torch['cuda']}" if torch.get("cuda") else f"ROCm {torch['hip']}" if torch.get("hip") else "CPU"
    kind = " (a virtual environment)" if found.virtual else ""
    rows = [("python", f"{found.version}, {found.executable}{kind}")]
    rows.append(("torch", f"{torch['version']}, {build} build{_differs(pinned, 'torch', torch['version'])}"
                 if torch["version"] else f"none: {torch['why']}"))  # fmt: skip
    for name in sorted({"torchvision", "numpy", "pillow", *(n for n in found.packages if n.startswith("opencv"))}):
        package = found.packages.get(name)
        absent = "not installed; a ported tree does without it" if name == "torchvision" else "not installed"
        rows.append((name, f"{package.version}{_differs(pinned, name, package.version)}" if package else absent))
    others = sorted(n for n in pinned if n in found.packages and n not in dict(rows))
    off = [f"{n} {found.packages[n].version} ({pinned[n]})" for n in others if found.packages[n].version != pinned[n]]
    if pinned:
        rows.append(("the rest", f"as pinned, but for {', '.join(off)}" if off else "as pinned"))
    return rows


def _differs(pinned: Mapping[str, str], name: str, version: str) -> str:
    wanted = pinned.get(name, "")
    return f" ({wanted} is pinned)" if wanted and version.partition("+")[0] != wanted else ""


def _cards(found: Cards) -> list[tuple[str, str]]:
    rows = [("driver", f"{found.driver} ({found.tool})" if found.driver else found.why or f"unknown ({found.tool})")]
    for card in found.cards:
        state = "" if card.state == "ok" else f", {card.state.upper()}"
        rows.append((f"card {card.index}", f"{card.name}, {card.used} of {card.memory} MiB in use{state}"))
    return rows


def _plugin(found: Plugin) -> list[tuple[str, str]]:
    if not found.installed:
        return [("plugin", found.why or "not installed")]
    rows = [("plugin", f"{found.version or 'installed'}, {found.installed}")]
    if found.available:
        name = f"{found.count} x {found.name}" if found.count else found.name
        rows.append(("devices", f"it works; it has no {found.lacks} to ask" if found.lacks else name))
    rows.append(("probe", "a linear layer computes as on the host" if found.computes else found.why))
    return rows
