"""An interpreter, as verification/drivers/environment.py finds it: packages, torch, the vendors' plugins."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from porter.diagnosis.machine import Answer, ask
from porter.errors import WrongUsage
from porter.target import Target

_DRIVER = Path(__file__).resolve().parents[1] / "verification" / "drivers" / "environment.py"
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
        row["why"] = f"the interpreter {answer.why or 'ended'} while {row['why'].partition(' while ')[2]}".replace(
            "while it", f"while {target.plugin.module}"
        )
    return Plugin(**row)
