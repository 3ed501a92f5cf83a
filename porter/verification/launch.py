"""A program of a person's, to be run where a target's device is to be found.

What is known here is cheap to know: no interpreter is asked for its torch, no device is built ahead.  ``porter verify``
does that (:func:`porter.verification.device.choose`); a program says itself what it has not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from porter import emulator, process
from porter.errors import WrongUsage
from porter.output import command_line
from porter.target import Target
from porter.verification.device import Device, card_of, missing, must_have_torch

PRECISIONS = ("fp32", "amp", "fp16")  # that a tree trains in: as it is, with --pyamp, by train_fp16.py
# options whose value is a file: one that is here and not in the tree is named by its whole path
_FILES = ("--weights", "--data", "--cfg", "--hyp", "--resume", "--source")
_TAKES_DEVICE = re.compile(r"""add_argument\(\s*['"]--device['"]""")
_DEVICE = re.compile(r"--device(=.*)?")
_WHERE = """import importlib.util, sys
spec = importlib.util.find_spec(sys.argv[1])
print(*((spec.submodule_search_locations or [spec.origin]) if spec else []), sep="\\n")"""


@dataclass(frozen=True)
class Launch:
    """A program to become.

    Attributes:
        words: the command, its interpreter first, by its whole path.
        folder: where it runs.
        environment: variables that it gets beside those of this process.
        stand_in: what the device is called where it is no card but an emulated one, or the vendor's simulator.
    """

    words: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    stand_in: str = ""

    @property
    def shown(self) -> str:
        """The same as a line of a shell."""
        return command_line(*self.words, folder=self.folder, variables=self.environment)

    def go(self) -> NoReturn:
        """Become the program; handlers of signals end with this one.  What was printed has to be flushed by now.

        Raises:
            WrongUsage: it cannot be started.
            EnvironmentFailed: its interpreter is porter's own, which has no torch.
        """
        must_have_torch(self.words[0])
        try:
            os.chdir(self.folder)
            os.execve(self.words[0], self.words, {**os.environ, **self.environment})
        except OSError as error:
            why = error.strerror or str(error)
            raise WrongUsage(f"cannot run {self.words[0]}", why, "--python takes a Python.") from error


def run_device(
    kind: str, target: Target, python: str, *, profile: str = "", tree: Path, counts: Path | None = None
) -> Device:
    """Where a target's device is to be found: on the card, on an emulated one, or, for ``cpu``, nowhere.

    ``auto`` is the card where its plugin is installed, else an emulated one.  Whether the plugin finds its card the
    program will see; one that is installed is never passed over in silence.  What the device says is what it is called
    where it is no card; else nothing.

    Args:
        kind: of :data:`porter.verification.device.KINDS`.
        python: the program's interpreter.
        tree: the folder whose lines of Python the counts are put down to.
        counts: where an emulated device writes what it counted.

    Raises:
        WrongUsage: the profile is not this target's, nothing can be emulated as it, or nothing counts there.
        EnvironmentFailed: the vendor's simulator was asked for and is not chosen, or the card and it is; the cache
            cannot be written to.
    """
    if kind == "auto":
        card = card_of(target, profile)
        kind = "hardware" if card is None or (not profile and has_plugin(python, target)) else "emulated"
    if counts is not None and kind != "emulated":
        raise WrongUsage(f"nothing counts operators on the {kind}", hint="--counts goes with --device emulated.")
    if profile and kind != "emulated":
        raise WrongUsage(f"--profile {profile} is a card to emulate", hint="It goes with --device emulated.")
    if kind == "cpu":
        return Device("cpu", "cpu", "")
    if kind in ("hardware", "simulator"):
        if (kind == "simulator") != bool(target.simulated):
            raise missing(kind, target)
        return on_card(target)
    card = card_of(target, profile)
    if card is None:
        what = f"nothing can be emulated as {target.name}, a device type of torch's"
        raise WrongUsage(what, hint="Run it on the card (--device hardware) or on the cpu (--device cpu).")
    found = emulator.environment(card, cache=emulator.cache_folder(), counts=counts, root=tree, alone=True)
    # an empty one only keeps an outer run's from leaking in
    needed = {name: value for name, value in found.items() if value or name in os.environ}
    return Device(kind, target.name, card.device, needed)


def on_card(target: Target, environment: Mapping[str, str] | None = None) -> Device:
    """The vendor's device, a card or its simulator, with what a program needs in its environment beside it."""
    kind, called = ("simulator", target.called) if target.simulated else ("hardware", "")
    return Device(kind, target.name, called, environment or {})


def launch(
    on: Device, python: str, tree: Path, program: Sequence[str], here: Path, launcher: Sequence[str] = ()
) -> Launch:
    """A program of the tree, a module (``-m NAME``), or a script of one's own, with its arguments.

    One of the tree, or an installed module, runs in the tree; what is one's own runs where one is, and finds the tree's
    modules.  A program of the tree that takes ``--device`` gets it, unless its arguments name one.

    Args:
        program: its name, then its arguments.
        here: the folder that names of one's own files are relative to.
        launcher: what stands between the interpreter and the program, such as ``-m torch.distributed.run``.

    Raises:
        WrongUsage: there is no such program.
    """
    if not program:
        raise WrongUsage("no program was named", hint="Put it after --, such as: -- val.py --data coco128.yaml")
    tree, first = tree.absolute(), program[0]
    if first == "-m":
        if len(program) < 2:
            raise WrongUsage("-m names no module")
        words, rest = ["-m", program[1]], program[2:]
        path = Path(*program[1].split("."))
        script, own = tree / path.with_suffix(".py"), not _is_module(tree / path) and _is_module(here / path)
    else:
        own = not (tree / first).is_file()
        script, words, rest = (here if own else tree) / first, [first], program[1:]
        if not script.is_file():
            raise WrongUsage(f"there is no {first}, neither in {tree} nor here", hint="-m NAME runs a module.")
    environment = dict(on.environment)
    if own:
        path_before = environment.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [path_before, str(tree)]))
    else:
        rest = [*rooted(rest, here, tree), *_device(on, script, rest)]
    asked = " ".join(rest)
    elsewhere = re.search(r"--device[= ](\S+)", asked)
    stands = on.says if not elsewhere or elsewhere[1].split(":")[0] == on.name else ""
    return Launch((python, *launcher, *words, *rest), here if own else tree, environment, stands)


def rooted(arguments: Sequence[str], here: Path, tree: Path) -> list[str]:
    """Arguments of a program that runs in the tree: a file that is only here gets its whole path."""

    def whole(value: str) -> str:
        found = value and not os.path.isabs(value) and not (tree / value).exists() and (here / value).exists()
        return str(here / value) if found else value

    made: list[str] = []
    for number, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if equals and name in _FILES:
            word = f"{name}={whole(value)}"
        elif number and arguments[number - 1] in _FILES:
            word = whole(word)
        made.append(word)
    return made


def names_device(arguments: Sequence[str]) -> bool:
    """Whether they hold ``--device``."""
    return any(_DEVICE.fullmatch(word) for word in arguments)


def _device(on: Device, script: Path, arguments: Sequence[str]) -> list[str]:
    if names_device(arguments) or not script.is_file():
        return []
    takes = _TAKES_DEVICE.search(script.read_text(encoding="utf-8", errors="replace"))
    return ["--device", on.name] if takes else []


def _is_module(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file() or (path / "__main__.py").is_file()


def has_plugin(python: str, target: Target) -> bool:
    """Whether an interpreter has a target's plugin; neither it nor torch is imported.

    A package of the plugin's name without the plugin's folder is another project's.
    """
    module, _, inside = target.plugin.place.partition("/")
    if python == sys.executable:
        spec = find_spec(module)
        folders = list(spec.submodule_search_locations or [str(spec.origin)]) if spec else []
    else:
        try:
            done = process.run([python, "-c", _WHERE, module], timeout=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WrongUsage(f"cannot run {python}", str(error), "--python takes a Python.") from error
        folders = done.stdout.decode(errors="replace").split("\n")[:-1] if not done.returncode else []
    return any(folder and (not inside or (Path(folder) / inside).is_dir()) for folder in folders)


def must_train_in(precision: str, path: Path) -> None:
    """Refuse a precision, one of :data:`PRECISIONS`, that a tree has no training in: FP16 is in Sophgo's stack alone.

    Raises:
        WrongUsage: it has none.
    """
    if precision == "fp16" and not (path / "train_fp16.py").is_file():
        raise WrongUsage(f"{path} has no FP16 training: it is in the stack of tpu", hint="--precision amp")
