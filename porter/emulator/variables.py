"""The environment variables by which a program finds the emulated device."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from porter.emulator.plugins import write_plugin
from porter.emulator.profiles import SITE, Profile


def environment(
    profile: Profile,
    *,
    cache: Path,
    strict: bool = True,
    devices: int = 2,
    memory: int | None = None,
    counts: Path | None = None,
    root: Path | None = None,
    built: Path | None = None,
    steps: bool = True,
    trace: bool = False,
    alone: bool = False,
    base: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The variables to add to a program's environment; they concern that process and its children only.

    Args:
        profile: the card.
        cache: where the module that stands in for the plugin is written, and the device built, as for
            :func:`porter.emulator.build`, if it is not there.
        strict: refuse what the card refuses, else count it and go on.
        devices: how many devices there are.
        memory: bytes of memory of each, if not what the card has.
        counts: file for the counts, written when the process ends.  ``%p`` in it stands for the process id, which
            a program of several processes needs.
        root: the program's folder; lines of Python in it are what counts are put down to.
        built: what :func:`porter.emulator.build` gave for the program's interpreter; then nothing is compiled.
        steps: end a step of the counts with each step of an optimizer.
        trace: find the line of every operator; slower, by several times.
        alone: stand in for the plugin also where it is installed, which otherwise takes the place.
        base: the environment that this is added to, by default this process's: its PYTHONPATH is kept.

    Raises:
        EnvironmentFailed: the cache cannot be written to.
    """
    plugin, name = write_plugin(profile, cache)
    path = (os.environ if base is None else base).get("PYTHONPATH")
    names = {
        "PYTHONPATH": os.pathsep.join([str(SITE), str(plugin), *([path] if path else [])]),
        "PORTER_EMULATED_PROFILE": name,
        "PORTER_EMULATED_MODE": "strict" if strict else "lenient",
        "PORTER_EMULATED_DEVICES": str(devices),
        "PORTER_EMULATED_CACHE": str(cache),
        "PORTER_EMULATED_STEP": "optimizer" if steps else "",
        "PORTER_EMULATED_TRACE": "1" if trace else "",
        "PORTER_EMULATED_ALONE": "1" if alone else "",
        # torch would import the plugins that are installed, one of another project with the name too
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
        # set in any case: what an outer run asked for must not leak in
        "PORTER_EMULATED_MEMORY": str(memory or ""),
        "PORTER_EMULATED_COUNTS": str(counts or ""),
        "PORTER_EMULATED_ROOT": str(root or ""),
        "PORTER_EMULATED_BUILD": str(built or ""),
    }
    return names
