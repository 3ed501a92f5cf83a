"""Have the device built ahead of its first use, by the interpreter that will use it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from porter import files, process
from porter.emulator.profiles import SITE
from porter.errors import SurroundingsFailed

_PROGRAM = "import sys; from porter_emulated.build import main; sys.exit(main())"


def cache_folder() -> Path:
    """Where builds are kept: in porter's cache.

    Raises:
        SurroundingsFailed: there is no home folder to put it in.
    """
    return files.cache_folder().absolute() / "emulator"


def build(python: Path, cache: Path) -> Path:
    """The folder of the device built for this interpreter, its torch and the C++ compiler; built if it is not there.

    Builds that need the same wait for one another; one that fails or is killed leaves nothing that would be used.

    Raises:
        SurroundingsFailed: there is no compiler, torch is missing or too old, the compiler fails (``why`` ends with its
            log), or the cache cannot be written to.
    """
    env = {key: value for key, value in os.environ.items() if not key.startswith("PORTER_EMULATED_")}
    # torch would import the plugins that are installed, which this does not need
    env.update(PYTHONPATH=str(SITE), PORTER_EMULATED_CACHE=str(cache), TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    try:
        # torch's headers take a compiler a minute: neither it nor its half-made files outlive a porter that is ended
        done = process.run([python, "-c", _PROGRAM], env=env, supervisor=["--grace", "3"])
    except OSError as error:
        raise SurroundingsFailed(f"no emulated device: cannot run {python}", error.strerror or str(error)) from error
    if done.returncode:
        raise _failure(python, done)
    return Path(os.fsdecode(done.stdout.splitlines()[-1]))


def _failure(python: Path, done: subprocess.CompletedProcess[bytes]) -> SurroundingsFailed:
    lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"it left with status {done.returncode}"]
    for number, line in enumerate(lines):
        if line.startswith("no emulated device"):
            return SurroundingsFailed(line, "\n".join(lines[number + 1 :]))
    return SurroundingsFailed(f"no emulated device: {python} failed", "\n".join(lines[-15:]))
