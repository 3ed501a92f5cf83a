"""What a tree is checked on: the vendor's card, the vendor's simulator, an emulated device, or the cpu."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from porter import emulator, process
from porter.emulator import building
from porter.errors import EnvironmentFailed, PorterError, WrongUsage
from porter.output import command_line
from porter.target import Target

KINDS = ("auto", "hardware", "simulator", "emulated", "cpu")
_DRIVER = Path(__file__).resolve().parent / "drivers" / "interpreter.py"
MISSING = "No module named 'torch'"  # what Python says
_INSTALL = "pip install 'yolov5-porter[train]'"
_TIMEOUT = 120  # seconds for an interpreter to import torch and a plugin; a cold disk needs 20


@dataclass(frozen=True)
class Device:
    """Where the checks run.

    Attributes:
        kind: ``hardware``, ``simulator`` (the vendor's own plugin, on the vendor's simulator of the chip), ``emulated``
            (porter's stand-in for plugin and card) or ``cpu``.
        name: what ``--device`` gets.
        says: one line for people; an emulated device says EMULATED, a vendor's simulator SIMULATOR.
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

    @property
    def vendors(self) -> bool:
        """Whether the vendor's plugin computes, a card's way or its simulator's: not to the cpu's last bit."""
        return self.kind in ("hardware", "simulator")

    @property
    def mark(self) -> str:
        """What has to stand beside every result of a device that is no card: EMULATED, SIMULATOR; else empty."""
        return {"emulated": "EMULATED", "simulator": "SIMULATOR"}.get(self.kind, "")


def facts(python: str, target: Target) -> dict[str, Any]:
    """What an interpreter has: see drivers/interpreter.py; ``why`` says in one line why there is no device.

    Raises:
        WrongUsage: it cannot be run, or it is another than porter's and has no torch.
        EnvironmentFailed: porter's own has no torch, or it did not answer.
    """
    found = _ask(python, "device", target.name, target.plugin.place, *target.probe)
    if found["foreign"]:
        what = f"not the vendor's, but {target.plugin.confused_with}"
        found["why"] = f"the {target.plugin.module} that is installed is {what} ({found['foreign']})"
    return found


def no_torch(python: str, why: str) -> PorterError:
    """That an interpreter has no torch, or one that cannot be imported, and what to do about it.

    Porter is installed without torch; the extra ``train`` brings one where there is none, and replaces none.
    """
    if why == MISSING and os.path.abspath(shutil.which(python) or python) == sys.executable:
        return EnvironmentFailed(f"this needs torch, which {python} does not have", hint=f"Install it: {_INSTALL}")
    return WrongUsage(f"{python} has no torch", why, "Install torch there, or name another --python.")


def must_have_torch(python: str) -> None:
    """Refuse porter's own interpreter where it has no torch, before anything is started; another one says so itself.

    Raises:
        EnvironmentFailed: it has none.
    """
    if python == sys.executable and find_spec("torch") is None:
        raise no_torch(python, MISSING)


def unusable(target: Target, found: Mapping[str, Any]) -> str:
    """Why the plugin that is installed cannot be used, in one line with what to do first; empty if it loads.

    Args:
        found: what :func:`facts` returned.
    """
    if not found["plugin"] or found["loads"]:
        return str(found["why"]) if found["foreign"] else ""
    if not target.plugin.setup or "undefined symbol" in found["why"]:  # that is of a plugin for another torch
        return str(found["why"])
    return f"{found['why']}; in this shell first: {target.plugin.setup}"


def known_to_torch(python: str, name: str) -> dict[str, Any]:
    """Whether an interpreter's torch has a name for itself: as a device's ``type``, as a ``module`` torch.NAME.

    Raises:
        WrongUsage, EnvironmentFailed: as :func:`facts`.
    """
    return _ask(python, "name", name)


def _ask(python: str, what: str, *words: str) -> dict[str, Any]:
    """The JSON that drivers/interpreter.py prints."""
    command = [python, str(_DRIVER), what, *words]
    try:
        done = process.run(command, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailed(f"{python} did not import torch within {_TIMEOUT} s") from error
    except OSError as error:
        raise WrongUsage(f"cannot run {python}", error.strerror or str(error), "--python takes a Python.") from error
    try:
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
        found: dict[str, Any] = rows[-1]  # what comes last knows most
    except (IndexError, ValueError) as error:
        end = b"".join((done.stderr or done.stdout).strip().splitlines()[-1:]).decode(errors="replace")
        raise WrongUsage(f"{python} is not a Python that answers", end, "--python takes a Python.") from error
    if not found["torch"]:
        raise no_torch(python, found["why"])
    return found


def card_of(target: Target, profile: str = "") -> emulator.Profile | None:
    """What is known of a target's card: the one of this profile, or the usual one; None where nothing can be emulated.

    A profile may be the path of a record of a card.

    Raises:
        WrongUsage: the profile is not this target's.
    """
    if not target.emulated:
        return None
    name = profile or target.emulated[0]
    known = (target.name, target.plugin.module)
    backends, visible, folder = target.distributed, target.visible_devices, target.plugin.folder
    if name == emulator.GENERIC:
        return emulator.generic_profile(*known, backends, visible, folder)
    if name == emulator.BARE:
        return emulator.bare_profile(*known, visible, folder)
    if emulator.is_record(name):
        return emulator.recorded_profile(Path(name), *known, backends, visible, folder)
    card = emulator.load_profile(name)
    if card.type != target.name:
        raise WrongUsage(f"{card.name} is no {target.name}", hint=f"There are: {', '.join(target.emulated)}.")
    return card


def missing(kind: str, target: Target, why: str = "") -> EnvironmentFailed:
    """That the vendor's card, or the vendor's simulator, is not to be had, and why."""
    what = f"no {target.name} {'device' if kind == 'hardware' else 'simulator'} is to be had"
    if kind == "hardware" and target.simulated:
        why = f"{target.simulated} is set: the device of {target.plugin.module} is the vendor's simulator, no card"
        return EnvironmentFailed(what, why, f"unset {target.simulated}, or --device simulator.")
    if kind == "simulator" and not target.simulated:
        names = " or ".join(target.simulator)
        why = f"{names} is not set" if names else f"porter knows of no simulator of the vendor's for {target.name}"
        return EnvironmentFailed(what, why, "docs/verify.md says how a vendor's simulator is used." if names else "")
    why = why or f"{target.plugin.module} is not installed"
    return EnvironmentFailed(what, why, f"It comes from {target.plugin.source} ({target.plugin.url}).")


def choose(
    kind: str, target: Target, python: str, *, profile: str = "", begun: Callable[[str], None] = lambda line: None
) -> Device:
    """The device for a target: of a kind, or the best that is to be had (``auto``).

    Args:
        begun: gets a line when the emulated device has to be built, which takes a while.

    Raises:
        WrongUsage: the interpreter is none; the profile is not this target's.
        EnvironmentFailed: a device of just this kind is not to be had here, or the plugin that is installed does not
            load, which nobody wants to have passed over in silence.
    """
    found = facts(python, target)
    if kind not in ("cpu", "emulated") and found["plugin"] and not found["loads"]:
        doctor = command_line("porter", "doctor", "--target", target.name)
        hint = f"{doctor} looks at everything; --device cpu and emulated do without it."
        raise EnvironmentFailed(unusable(target, found), hint=hint)
    where = f"Python {found['python']}, torch {found['torch']}"
    real = "simulator" if target.simulated else "hardware"
    if kind in ("auto", "hardware", "simulator"):
        if found["available"] and kind in ("auto", real):
            says = f"{target.called}, {where}"
            lacks = f" (it works; {target.plugin.module} has no {found['lacks']})" if found["lacks"] else ""
            return Device(real, target.name, says + lacks, facts=found)
        if kind != "auto":
            raise missing(kind, target, found["why"])
    if kind == "cpu":
        return Device("cpu", "cpu", f"the cpu ({where})", facts=found)
    card = card_of(target, profile)
    if card is None:
        what = f"nothing can be emulated as {target.name}, a device type of torch's"
        if kind == "emulated":
            raise WrongUsage(what, hint="Verify it on the card (--device hardware) or on the cpu (--device cpu).")
        return Device("cpu", "cpu", f"the cpu ({where}); {what}", facts=found)
    cache = emulator.cache_folder()
    try:
        usual = f"once for this Python and torch; usually {building.USUAL} s"
        built = emulator.build(Path(python), cache, lambda: begun(f"building the emulated device, {usual}"))
    except EnvironmentFailed as error:
        if kind == "emulated":
            raise
        return Device("cpu", "cpu", f"the cpu ({where}); {error.what}", facts=found)
    environment = emulator.environment(card, cache=cache, built=built, steps=False, alone=True, base={})
    return Device("emulated", target.name, f"{card.device} ({where})", environment, found, profile=card.name)
