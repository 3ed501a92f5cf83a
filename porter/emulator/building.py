"""Have the device built ahead of its first use, by the interpreter that will use it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from porter import files, process
from porter.emulator.profiles import SITE
from porter.errors import EnvironmentFailed, os_errors

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
    if "%p" not in path.name:
        found = [path] if path.is_file() else []
    else:
        before, _, after = path.name.partition("%p")
        found = [
            each
            for each in path.parent.glob("*")
            if each.name.startswith(before)
            and each.name.endswith(after)
            and _middle(each.name, before, after).isdigit()
        ]
    read: list[dict[str, Any]] = [json.loads(each.read_text(encoding="utf-8")) for each in found]
    return sorted(read, key=lambda counts: int(counts["pid"]))


def _middle(name: str, before: str, after: str) -> str:
    return name[len(before) : len(name) - len(after)]
