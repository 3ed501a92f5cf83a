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
_DRIVERS = Path(__file__).resolve().parent / "drivers"
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


def facts(python: str, target: Target) -> dict[str, Any]:
    """What an interpreter has: see drivers/facts.py.

    Raises:
        WrongUsage: it cannot be run, or has no torch.
        SurroundingsFailed: it did not answer.
    """
    found = _ask(python, "facts.py", target.plugin.module, *target.probe)
    if not found["torch"]:
        raise WrongUsage(f"{python} has no torch", found["why"], "Install torch there, or name another --python.")
    return found


def known_to_torch(python: str, name: str) -> dict[str, Any]:
    """Whether an interpreter's torch has a name for itself: as a device's ``type``, as a ``module`` torch.NAME.

    Raises:
        WrongUsage: it cannot be run, or has no torch.
        SurroundingsFailed: it did not answer.
    """
    return _ask(python, "names.py", name)


def _ask(python: str, driver: str, *words: str) -> dict[str, Any]:
    """The JSON that a driver prints that runs outside any tree."""
    command = [python, str(_DRIVERS / driver), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise SurroundingsFailed(f"{python} did not import torch within {_PATIENCE} s") from error
    except OSError as error:
        raise WrongUsage(f"cannot run {python}", error.strerror or str(error), "--python takes a Python.") from error
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        end = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise WrongUsage(f"{python} is not a Python that answers", "".join(end), "--python takes a Python.") from error
    return found


def card_of(target: Target, profile: str = "") -> emulator.Profile | None:
    """What is known of a target's card: the one of this profile, or the usual one; None for a device of torch's own.

    Raises:
        WrongUsage: the profile is not this target's.
    """
    if not target.emulated:
        return None
    name = profile or target.emulated[0]
    if name == emulator.GENERIC:
        return emulator.generic_profile(target.name, target.plugin.module, target.distributed, target.visible_devices)
    card = emulator.load_profile(name)
    if card.type != target.name:
        raise WrongUsage(f"{card.name} is no {target.name}", hint=f"There are: {', '.join(target.emulated)}.")
    return card


def choose(kind: str, target: Target, python: str, *, profile: str = "") -> Device:
    """The device for a target: of a kind, or the best that is to be had (``auto``).

    Raises:
        WrongUsage: the interpreter is none; the profile is not this target's.
        SurroundingsFailed: a device of just this kind is not to be had here.
    """
    found = facts(python, target)
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
    card = card_of(target, profile)
    if card is None:
        what = f"{target.name} is a device of torch's own, which nothing can be emulated as"
        if kind == "emulated":
            raise WrongUsage(what, hint="Verify it on the card (--device hardware) or on the cpu (--device cpu).")
        return Device("cpu", "cpu", f"the cpu ({where}); {what}", facts=found)
    cache = emulator.cache_folder()
    try:
        built = emulator.build(Path(python), cache)
    except SurroundingsFailed as error:
        if kind == "emulated":
            raise
        return Device("cpu", "cpu", f"the cpu ({where}); {error.what}", facts=found)
    environment = emulator.environment(card, cache=cache, built=built, steps=False, base={})
    return Device("emulated", target.name, f"{card.device} ({where})", environment, found, profile=card.name)
