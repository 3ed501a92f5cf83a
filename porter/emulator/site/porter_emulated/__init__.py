"""A card that is not there: what the shim of a vendor's plugin is made of (see ``shim.py``).

This folder runs inside the checked process, which may be any interpreter with torch 2.1 or later: nothing but the
standard library and torch, Python 3.8.  A shim calls :func:`start` once; the device then goes by the vendor's name.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from porter_emulated import build
from porter_emulated import profile as profiles
from porter_emulated import settings as environment
from porter_emulated.build import BuildFailed

__all__ = ["BuildFailed", "Device", "start"]


class Device:
    """The emulated device of this process: its profile, its settings, and the compiled half of it."""

    def __init__(self, plugin: str) -> None:
        try:
            self.settings = environment.read()
            self.profile = profiles.Profile(self.settings.profile)
            rule = self.profile.visible
            self.visible = environment.visible(self.settings.devices, rule["variables"], rule.get("rule", "list"))
        except ValueError as error:
            raise ImportError(f"no emulated device: {error}") from error
        if self.profile.plugin != plugin:
            # torch has one name for devices of plugins in a process
            raise ImportError(f"{plugin} is not emulated here: {self.profile.plugin} is, as {self.profile.device}")
        self.memory = self.settings.memory or self.profile.memory
        self.native: Any = build.load()
        self.initialised = False  # by a function of the plugin's module; a tensor on the device does it too

    def initialise(self) -> None:
        self.initialised = True

    @property
    def count(self) -> int:
        return len(self.visible)


_device: Device | None = None


def start(plugin: str) -> Device:
    """Make the emulated device of this process, the first time; afterwards the same one.

    Raises:
        ImportError: it cannot be built here, the settings are wrong, or another plugin's card is emulated.
    """
    global _device
    if _device is None:
        made = Device(plugin)
        from porter_emulated import leaving, operators

        operators.register(made)
        if made.settings.kernels:
            operators.load_kernels(made)
        leaving.wait_for_autograd()
        _device = made
        print(_banner(made), file=sys.stderr, flush=True)
    if _device.profile.plugin != plugin:
        raise ImportError(f"{plugin} is not emulated here: {_device.profile.plugin} is")
    return _device


def _banner(device: Device) -> str:
    mode = "strict" if device.settings.strict else "lenient"
    mode += f", with kernels of {device.settings.kernels}" if device.settings.kernels else ""
    return f"{device.profile.plugin}: {device.profile.device}, {device.count} devices, {mode}: no card is used"


def publish(device: Device, module: ModuleType) -> None:
    """Make ``module`` torch's module for the device, with all that every plugin has."""
    import torch

    from porter_emulated import counts, surface

    torch._register_device_module(device.profile.type, module)  # type: ignore[no-untyped-call]
    surface.add_methods(device)
    counts.begin(device)
