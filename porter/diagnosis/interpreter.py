"""An interpreter: its packages, torch and plugins; what it lacks, and pip, which replaces nothing that is there."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from porter.diagnosis.hints import Hint
from porter.diagnosis.machine import Answer, ask
from porter.downloads.retry import WHY, is_offline, pip
from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage, os_errors
from porter.output import command_line
from porter.target import Target
from porter.temporary import temporary_folder

_DRIVER = Path(__file__).resolve().parents[1] / "verification" / "drivers" / "interpreter.py"
_TIMEOUT = 60.0  # seconds; a cold disk or a network file system needs 20 for torch, a plugin's first use some more
# module that a tree imports -> the distribution that has it
NEEDED = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "PyYAML",
    "matplotlib.pyplot": "matplotlib",
    "pandas": "pandas",
    "seaborn": "seaborn",
    "scipy.cluster.vq": "scipy",
    "requests": "requests",
    "tqdm": "tqdm",
    "packaging.version": "packaging",
}


@dataclass(frozen=True)
class Package:
    """A distribution that is installed.

    Attributes:
        requires: its requirements, as its metadata has them.
        modules: the modules at its top, if its metadata says so.
    """

    version: str
    requires: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plugin:
    """A vendor's plugin, and which of the steps from import to a computed number worked.

    Attributes:
        installed: its folder; empty if it is not installed.
        foreign: a package of the same name that is something else.
        loads, available, computes: whether it imports, finds a device, and computes what the host computes.
        count: devices that it finds.
        name: what it calls the first.
        version: its own.
        why: what went wrong; empty if nothing did.
        lacks: the function that would say whether there is a device, if the plugin has none; one tries then.
    """

    installed: str
    foreign: bool = False
    loads: bool = False
    available: bool = False
    computes: bool = False
    count: int = 0
    name: str = ""
    version: str = ""
    why: str = ""
    lacks: str = ""

    @property
    def emulated(self) -> bool:
        """Whether it is porter's stand-in, which says so in its device's name and its version."""
        return self.name.startswith("EMULATED") or self.version.endswith("+emulated")


@dataclass(frozen=True)
class Interpreter:
    """What was found.

    Attributes:
        executable, version: the Python's.
        virtual: whether it is a virtual environment's.
        packages: name, as pip normalises it -> what is installed.
        broken: module that a tree needs -> why it does not import.
        torch: ``version`` (empty: none), ``cuda``, ``hip``, ``folder``, ``why`` it does not import; ``numpy`` and
            ``tensorboard``: why torch cannot be used with them.
        plugins: of each target asked for.
        pip, ensurepip: whether it has pip, and what brings one.
        managed: whether the system's packages are all that may be installed into it (PEP 668).
    """

    executable: str
    version: str
    virtual: bool
    packages: Mapping[str, Package]
    broken: Mapping[str, str]
    torch: Mapping[str, str]
    plugins: Mapping[str, Plugin] = field(default_factory=dict)
    pip: bool = True
    ensurepip: bool = True
    managed: bool = False

    def release(self, name: str) -> tuple[int, ...]:
        """A package's version as numbers; empty if it is not installed."""
        from packaging.version import InvalidVersion, Version

        text = self.torch.get("version", "") if name == "torch" else ""
        text = text or (self.packages[name].version if name in self.packages else "")
        try:
            return Version(text).release if text else ()
        except InvalidVersion:  # a vendor's own way to count
            return ()


def find_python(name: str) -> str:
    """The whole path of an interpreter; a link stays a link, for it is what makes a virtual environment.

    Raises:
        WrongUsage: there is none.
    """
    found = shutil.which(name)
    if found is None:
        raise WrongUsage(f"cannot run {name}", "there is no such program", "--python takes a Python.")
    return os.path.abspath(found)


def examine(python: str, targets: Sequence[Target]) -> Interpreter:
    """Use an interpreter in two processes at once, and say what came of it.

    Raises:
        WrongUsage: it is no Python that answers.
    """
    plugins = [word for target in targets for word in (target.name, target.plugin.place)]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, [python, _DRIVER, "packages", *NEEDED], seconds=_TIMEOUT)
        second = pool.submit(ask, [python, _DRIVER, "torch", *plugins], seconds=_TIMEOUT)
        answer, of_torch = first.result(), second.result()
    more = _merged(of_torch)
    torch = {"version": "", "why": f"it {of_torch.why or 'said nothing'}", **more.get("torch", {})}
    found = {target.name: _plugin(more, target, torch, of_torch) for target in targets}
    return replace(_read(python, answer), torch=torch, plugins=found)


def packages(python: str) -> Interpreter:
    """What is installed in an interpreter; nothing is imported, so nothing is known of ``torch`` but its version.

    Raises:
        WrongUsage: it is no Python that answers.
    """
    return _read(python, ask([python, _DRIVER, "packages"], seconds=_TIMEOUT))


def _read(python: str, answer: Answer) -> Interpreter:
    found = _merged(answer)
    if "python" not in found:
        said = (answer.err or answer.out).strip().splitlines()[-1:]
        why = "".join(said) or answer.why
        raise WrongUsage(f"{python} is not a Python that answers", why, "--python takes a Python, 3.6 or newer.")
    here = found["python"]
    return Interpreter(
        executable=here["executable"] or python,
        version=here["version"],
        virtual=here["virtual"],
        packages={
            name: Package(each["version"], tuple(each["requires"]), tuple(each["modules"]))
            for name, each in found["packages"].items()
        },
        broken=found.get("broken", {"numpy": f"importing them all {answer.why}"}),
        torch={},
        pip=here["pip"],
        ensurepip=here["ensurepip"],
        managed=here["managed"],
    )


def _merged(answer: Answer) -> dict[str, Any]:
    """The driver's lines, later ones over earlier ones; what packages print between them is passed over."""
    found: dict[str, Any] = {}
    for line in answer.out.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            if "plugin" in row:
                row = {f"plugin {row.pop('plugin')}": row}
            found.update(row)
    return found


def _plugin(found: Mapping[str, Any], target: Target, torch: Mapping[str, str], answer: Answer) -> Plugin:
    row = found.get(f"plugin {target.name}")
    if row is None:
        return Plugin("", why="torch does not import" if torch["why"] else f"the interpreter {answer.why} before it")
    row.pop("error", None)
    if row["why"].startswith("it ended the interpreter"):
        did = row["why"].rpartition(" ")[2]  # loaded, or computed
        text = "the interpreter {how} while {module} " + did
        row["why"] = Hint(text, how=answer.why or "ended", module=target.plugin.module)
    return Plugin(**row)


# What a tree still needs in an interpreter, and pip called so that it replaces nothing that is there.

_PIP_SECONDS = 3600.0
_TALK = ("Requirement already", "Looking in", "Processing", "Collecting", "Downloading", "Using cached")
# what a vendor's machine runs on: pip may not choose another, whatever a package asks for
_HELD = ("torch", "torchvision", "torchaudio", "numpy")
# pinned for an old torch's sake alone: TensorBoard's protobuf, and setuptools, which moved what torch < 1.11 imports
_OLD_TORCH = {"setuptools": "setuptools", "protobuf": "protobuf"}

# the newest of these that go with NumPy 1, which is all that torch before 2.3 can use
_NUMPY_1 = {"numpy": "numpy<2", "opencv-python-headless": "opencv-python-headless<4.12", "pandas": "pandas<3"}


# torch's release -> the Python 3 minors, first and last, that PyPI has wheels for Linux for, by the wheels' names
# (tests/diagnosis/test_torch_wheels.py asks the index); where there are fewer for ARM, that is below.
_PYTHONS: dict[tuple[int, ...], tuple[int, int]] = {
    (1, 9): (6, 9), (1, 10): (6, 9), (1, 11): (7, 10), (1, 12): (7, 10), (1, 13): (7, 11), (2, 0): (8, 11),
    (2, 1): (8, 11), (2, 2): (8, 12), (2, 3): (8, 12), (2, 4): (8, 12), (2, 5): (9, 13), (2, 6): (9, 13),
    (2, 7): (9, 13), (2, 8): (9, 13), (2, 9): (10, 14), (2, 10): (10, 14), (2, 11): (10, 14), (2, 12): (10, 14),
    (2, 13): (10, 14), (2, 14): (10, 14), (2, 15): (11, 15),
}  # fmt: skip
_NONE = (0, -1)
_ON_ARM = {(1, 9, 1): _NONE, (1, 10, 2): (6, 10), (1, 13): (7, 10), (2, 5): (9, 12)}


def has_wheel(torch: str, python: str, machine: str = "") -> bool:
    """Whether a torch has a wheel for a Python, both by their versions; True where that is not known.

    Args:
        machine: as :func:`platform.machine` says it; empty: this one.
    """
    release = _numbers(torch)
    known = {**_PYTHONS, **(_ON_ARM if (machine or platform.machine()) == "aarch64" else {})}
    first, last = known.get(release[:3], known.get(release[:2], (0, 1000)))
    major, minor = (*_numbers(python), 0)[:2]
    return major == 3 and first <= minor <= last


def torch_wanted(pinned: Mapping[str, str], python: str) -> str:
    """The requirement for the torch that the pins name; any torch where that has no wheel for this Python."""
    version = pinned.get("torch", "")
    return f"torch=={version}" if version and has_wheel(version, python) else "torch"


def way_to_pip(found: Interpreter, python: str, place: Path) -> tuple[list[str], str]:
    """What to type before pip can install into an interpreter, and the interpreter to use afterwards.

    Args:
        place: where a virtual environment may be made, if that is what it takes.
    """
    if found.pip and not found.managed:
        return [], python
    if not found.managed and found.ensurepip:
        return [command_line(python, "-m", "ensurepip")], python
    # it sees what is installed in the Python that it is made with, such as the vendor's torch
    make = command_line(python, "-m", "venv", "--system-site-packages", place)
    first = [] if found.ensurepip else ["apt-get install python3-venv"]  # Debian has it apart
    return [*first, make], str(place / "bin" / "python")


def pins(path: Path) -> dict[str, str]:
    """The pinned requirements of a file: name in lower case -> version.

    Raises:
        EnvironmentFailed: it cannot be read.
    """
    with os_errors(f"cannot read {path}"):
        text = path.read_text(encoding="utf-8")
    rows = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE)
    return {name.lower(): version for name, version in rows}


def bounded(name: str, torch: tuple[int, ...]) -> str:
    """A package that is not pinned, so that no old torch gets NumPy 2 with it.

    Args:
        torch: the numbers of its version; empty if there is none.
    """
    return _NUMPY_1.get(name, name) if () < torch < (2, 3) else name


def lacking(found: Interpreter, pinned: Mapping[str, str]) -> list[str]:
    """Requirements that are not met, torch left out: pinned where this is the torch that the pins belong to."""
    torch = found.release("torch")
    pin = pinned.get("torch", "")
    same = torch[:2] == _numbers(pin)[:2] if torch else not pin or has_wheel(pin, found.version)
    wanted = []
    for name, version in pinned.items():
        if name in _HELD and name != "numpy":
            continue
        if name in _OLD_TORCH:
            if not () < torch < (1, 11) or (name in found.packages and found.release(name) <= _numbers(version)):
                continue
        elif _there(found, name):
            continue
        wanted.append(f"{name}=={version}" if same or name in _OLD_TORCH else bounded(name, torch))
    return wanted


def constraints(found: Interpreter, target: Target) -> list[str]:
    """What pip has to leave alone, as lines of a constraints file."""
    held = [*_HELD, target.plugin.module.replace("_", "-")]
    lines = [f"{name}=={found.packages[name].version}" for name in held if name in found.packages]
    if "numpy" not in found.packages and () < found.release("torch") < (2, 3):
        lines.append("numpy<2")
    return lines


def install(python: str, wanted: Sequence[str], limits: Sequence[str]) -> None:
    """Have pip install requirements.

    Raises:
        EnvironmentFailed: it cannot; its last words are in ``why``.
    """
    if is_offline():
        hint = f"Where there is a network: {command_line(python, '-m', 'pip', 'install', *wanted)}"
        raise EnvironmentFailed("pip may not install what is missing", WHY, hint)
    with temporary_folder("porter-pip-") as folder:
        file = folder / "constraints.txt"
        file.write_text("".join(f"{line}\n" for line in limits), encoding="utf-8")
        words = [*pip(python), "install", "--disable-pip-version-check", "-c", str(file), *wanted]
        # what a pip that was killed leaves, the next run sweeps
        answer = ask(words, seconds=_PIP_SECONDS, environment={"TMPDIR": str(folder)})
    if answer.why:
        lines = [line.strip() for line in (answer.out + answer.err).splitlines()]
        last = [line for line in lines if line and not line.startswith(_TALK)][-12:]
        hint = f"Install them yourself: {command_line(python, '-m', 'pip', 'install', *wanted)}"
        raise EnvironmentFailed(f"pip {answer.why}", "\n".join(last), hint)


def must_be_the_same(before: Interpreter, after: Interpreter) -> None:
    """Refuse to go on if torch or NumPy was replaced.

    Raises:
        CheckFailed: one was.
    """
    for name in _HELD:
        was, is_ = before.packages.get(name), after.packages.get(name)
        if was and (not is_ or is_.version != was.version):
            now = is_.version if is_ else "gone"
            raise CheckFailed(
                f"pip replaced {name}: it was {was.version}, it is {now}",
                hint=command_line("pip", "install", f"{name}=={was.version}"),
            )


def _there(found: Interpreter, name: str) -> bool:
    """Whether a package, or one that brings the same module, is installed."""
    if name.startswith("opencv-"):
        return any(re.match(r"opencv-(contrib-)?python", each) for each in found.packages)
    return name in found.packages


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0]))
