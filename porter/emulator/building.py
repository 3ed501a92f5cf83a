"""What a program needs to find the device, made in the cache ahead of its first use: the build, the plugin's module."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from porter import files, process
from porter.emulator.profiles import SITE, Profile
from porter.errors import EnvironmentFailed, os_errors
from porter.files import move
from porter.temporary import temporary_folder

_PROGRAM = "import sys; from porter_emulated.build import main; sys.exit(main())"


def cache_folder() -> Path:
    """Where builds are kept: in porter's cache.

    Raises:
        EnvironmentFailed: there is no home folder to put it in.
    """
    return files.cache_folder().absolute() / "emulator"


USUAL = 21  # seconds on two quiet cores: what verify took with the build, less without (benchmarks/README.md)
_BEGUN = b"building"  # what the program says when a build begins


def build(python: Path, cache: Path, begun: Callable[[], None] = lambda: None) -> Path:
    """The folder of the device built for this interpreter, its torch and the C++ compiler; built if it is not there.

    Builds that need the same wait for one another; one that fails or is killed leaves nothing that would be used.

    Args:
        begun: called when it has to be built, or somebody else builds it; that takes :data:`USUAL` seconds.

    Raises:
        EnvironmentFailed: there is no compiler, torch is missing or too old, the compiler fails (``why`` ends with its
            log), or the cache cannot be written to.
    """
    env = {key: value for key, value in os.environ.items() if not key.startswith("PORTER_EMULATED_")}
    # torch would import the plugins that are installed, which this does not need
    env.update(PYTHONPATH=str(SITE), PORTER_EMULATED_CACHE=str(cache), TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    said: list[bytes] = []
    # torch's headers take a compiler a minute: neither it nor its half-made files outlive a porter that is ended
    starting = process.started([python, "-c", _PROGRAM], env=env, supervisor=["--grace", "3"], **how)
    with os_errors(f"no emulated device: cannot run {python}"), starting as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.rstrip(b"\n") == _BEGUN:
                begun()
            else:
                said.append(line.rstrip(b"\n"))
        status = child.wait()
    places = [place for place in map(os.fsdecode, said) if os.path.isabs(place) and os.path.isdir(place)]
    if status or not places:
        raise _failure(python, status, said)
    return Path(places[-1])


def _failure(python: Path, status: int, said: list[bytes]) -> EnvironmentFailed:
    lines = b"\n".join(said).decode(errors="replace").strip().splitlines() or [f"it left with status {status}"]
    for number, line in enumerate(lines):
        if line.startswith("no emulated device"):
            return EnvironmentFailed(line, "\n".join(lines[number + 1 :]))
    return EnvironmentFailed(f"no emulated device: {python} failed", "\n".join(lines[-15:]))


# What the processes of a program counted.


def read_counts(path: Path) -> list[dict[str, Any]]:
    """What each process wrote to this file, in the order of their process ids; ``%p`` stands for any.

    A process that was killed wrote nothing.  ``site/porter_emulated/counts.py`` says what is in it.
    """
    named = re.compile(re.escape(path.name).replace("%p", r"\d+"))
    found = [each for each in path.parent.glob("*") if named.fullmatch(each.name)]
    read: list[dict[str, Any]] = [json.loads(each.read_text(encoding="utf-8")) for each in found]
    return sorted(read, key=lambda counts: int(counts["pid"]))


# The module of a vendor's name that stands in for the plugin, written for a card into a folder of the cache.
#
# It holds no more than a call (``site/porter_emulated/shim.py`` says of what); an unknown card's profile and facts lie
# beside it.

_SHIM = '''\
"""{plugin} is not here: this stands in for it, as {device}; where it is installed, it is used instead."""

from porter_emulated.shim import stand_in

stand_in(__name__, __file__, {folder!r})
'''


def write_plugin(profile: Profile, cache: Path) -> tuple[Path, str]:
    """A folder for PYTHONPATH that has the card's plugin, and what PORTER_EMULATED_PROFILE has to be.

    The same card gives the same folder, which is written once and never changed.

    Raises:
        EnvironmentFailed: the cache cannot be written to.
    """
    folder = profile.data.get("real", {}).get("folder", "")
    files = {f"{profile.plugin}/__init__.py": _SHIM.format(plugin=profile.plugin, device=profile.device, folder=folder)}
    if folder:  # by which programs tell it from the other project as well
        files[f"{profile.plugin}/{folder}/__init__.py"] = (
            f'"""{profile.plugin} makes this module when it is imported."""\n'
        )
    if profile.path is None:
        files[f"{Path(profile.name).stem}.json"] = json.dumps(profile.data, indent=2) + "\n"
        if profile.facts is not None:
            files[profile.data["source"]] = json.dumps(profile.facts, indent=2) + "\n"
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    made = cache / "plugins" / f"{profile.plugin}-{digest[:16]}"
    with os_errors(f"no emulated device: cannot write to {cache}"):
        if not made.is_dir():
            _write(made, files)
    return made, str(made / f"{Path(profile.name).stem}.json") if profile.path is None else profile.name


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder("staging-", str(folder.parent)) as staging:
        for name, text in files.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_text(text, encoding="utf-8")
        os.chmod(staging, 0o755)
        try:
            move(staging, folder)
        except OSError:
            if not folder.is_dir():  # else somebody else wrote the same
                raise


# The environment variables by which a program finds the emulated device.


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
