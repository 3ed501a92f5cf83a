"""What a tree is checked on: the vendor's card, an emulated device, or the cpu."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter import emulator
from porter.errors import SurroundingsFailed, WrongUsage
from porter.target import Target

KINDS = ("auto", "hardware", "emulated", "cpu")
_FACTS = Path(__file__).resolve().parent / "drivers" / "facts.py"
_PATIENCE = 120  # seconds for an interpreter to import torch and a plugin; a cold disk needs 20


@dataclass(frozen=True)
class Device:
    """Where the checks run.

    Attributes:
        kind: ``hardware``, ``emulated`` or ``cpu``.
        name: what ``--device`` gets.
        says: one line for people; an emulated device says EMULATED.
        environment: what a child needs in its environment to have the device.
        facts: of the interpreter: versions of python and torch, the plugin's folder.
        profile: which card is emulated; empty if none is.
    """

    kind: str
    name: str
    says: str
    environment: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    profile: str = ""


def facts(python: str, plugin: str) -> dict[str, Any]:
    """What an interpreter has: see drivers/facts.py.

    Raises:
        WrongUsage: it cannot be run, or has no torch.
        SurroundingsFailed: it did not answer.
    """
    try:
        done = subprocess.run(
            [python, str(_FACTS), plugin], capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise SurroundingsFailed(f"{python} did not import torch within {_PATIENCE} s") from error
    except OSError as error:
        raise WrongUsage(f"cannot run {python}", error.strerror or str(error), "--python takes a Python.") from error
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        end = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise WrongUsage(f"{python} is not a Python that answers", "".join(end), "--python takes a Python.") from error
    if not found["torch"]:
        raise WrongUsage(f"{python} has no torch", found["why"], "Install torch there, or name another --python.")
    return found


def choose(kind: str, target: Target, python: str, *, profile: str = "") -> Device:
    """The device for a target: of a kind, or the best that is to be had (``auto``).

    Raises:
        WrongUsage: the interpreter is none; the profile is not this target's.
        SurroundingsFailed: a device of just this kind is not to be had here.
    """
    found = facts(python, target.plugin.module)
    where = f"Python {found['python']}, torch {found['torch']}"
    if kind in ("auto", "hardware"):
        if found["available"]:
            return Device("hardware", target.name, f"{target.title['en']}, {where}", facts=found)
        if kind == "hardware":
            raise SurroundingsFailed(
                f"no {target.name} device is to be had", found["why"] or f"{target.plugin.module} is not installed",
                f"It comes from {target.plugin.source} ({target.plugin.url}).",
            )  # fmt: skip
    if kind == "cpu":
        return Device("cpu", "cpu", f"the cpu ({where})", facts=found)
    card = emulator.load_profile(profile or target.emulated[0])
    if card.type != target.name:
        raise WrongUsage(f"{card.name} is no {target.name}", hint=f"There are: {', '.join(target.emulated)}.")
    cache = emulator.cache_folder()
    try:
        built = emulator.build(Path(python), cache)
    except SurroundingsFailed as error:
        if kind == "emulated":
            raise
        return Device("cpu", "cpu", f"the cpu ({where}); {error.what}", facts=found)
    environment = emulator.environment(card, cache=cache, built=built, steps=False, base={})
    return Device("emulated", target.name, f"{card.device} ({where})", environment, found, profile=card.name)
