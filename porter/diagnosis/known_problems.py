"""What is known to go wrong, each with what to do about it.

Each function looks at a setup and says what is wrong, or nothing.  Versions are compared only where using the thing
would not tell: what breaks at once is found by using it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from porter.diagnosis.cards import Cards
from porter.diagnosis.interpreter import NEEDED, Interpreter
from porter.diagnosis.machine import GIB, Machine
from porter.diagnosis.requirements import bounded, torch_wanted
from porter.output import command_line
from porter.target import Target, in_order

PROBLEM, WARNING = "problem", "warning"
_LEAST_TORCH = (1, 9)
_CPU_TORCH = "https://download.pytorch.org/whl/cpu"
# device family -> the files in /dev through which its driver is reached
_NODES = {"mlu": "cambricon_dev*", "tpu": "bm-sophon*", "npu": "davinci[0-9]*", "cuda": "nvidia[0-9]*"}


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong.

    Attributes:
        trap: a short name.
        level: ``problem`` if training cannot work with it, ``warning`` otherwise.
        what: one sentence.
        do: what to do, as a command where there is one.
    """

    trap: str
    level: str
    what: str
    do: str


@dataclass(frozen=True)
class Setup:
    """What is to train: all that is looked at.

    Attributes:
        target: None: training on the cpu is looked at.
        pinned: the target's requirements.txt, name -> version.
        pip: how pip is called for the interpreter.
    """

    machine: Machine
    interpreter: Interpreter
    target: Target | None
    cards: Cards | None
    pinned: Mapping[str, str]
    pip: str


def judge(setup: Setup) -> list[Trouble]:
    """What is wrong, problems first."""
    found = [trouble for find in KNOWN for trouble in find(setup)]
    return sorted(found, key=lambda trouble: trouble.level != PROBLEM)


def _python(setup: Setup) -> Iterator[Trouble]:
    numbers = tuple(int(part) for part in re.findall(r"\d+", setup.interpreter.version)[:2])
    if numbers < (3, 6):
        yield Trouble("python", PROBLEM, f"Python {setup.interpreter.version} is older than 3.6", "Use a newer Python.")
    plugin = setup.target and setup.interpreter.plugins[setup.target.name]
    if setup.target and setup.target.name == "tpu" and plugin and not plugin.installed and numbers > (3, 11):
        what = f"Sophgo's wheels are for Python 3.9 to 3.11, this is {setup.interpreter.version}"
        yield Trouble("python", WARNING, what, "Make an environment with Python 3.10, as Sophgo's guide does.")


def _torch(setup: Setup) -> Iterator[Trouble]:
    torch = setup.interpreter.torch
    if not torch["version"]:
        pin = torch_wanted(setup.pinned, setup.interpreter.version)
        missing = "No module named 'torch'" in torch["why"]
        what = "torch is not installed" if missing else f"torch does not import: {torch['why']}"
        do = f"{setup.pip} install {pin} --index-url {_CPU_TORCH}"
        target = setup.target
        if target and target.plugin.own_torch:
            do = f"On a card, use the torch that comes with {target.plugin.source}; without one, {do}"
        yield Trouble("torch", PROBLEM, what, do)
    elif () < setup.interpreter.release("torch") < _LEAST_TORCH:
        yield Trouble(
            "torch", PROBLEM, f"torch {torch['version']} is older than 1.9", f"{setup.pip} install 'torch>=1.9'"
        )


def _numpy_of_torch(setup: Setup) -> Iterator[Trouble]:
    why = setup.interpreter.torch.get("numpy", "")
    if not why or "numpy" in setup.interpreter.broken:
        return
    if _is_numpy_2(setup):
        text = (
            f"torch {setup.interpreter.torch['version']} cannot use NumPy {setup.interpreter.packages['numpy'].version}"
        )
        opencv = [name for name in _opencvs(setup) if setup.interpreter.release(name) >= (4, 12)]
        blame = f"; {opencv[0]} {setup.interpreter.packages[opencv[0]].version} asks for NumPy 2" if opencv else ""
        wants = ['"numpy<2"', *(f'"{name}<4.12"' for name in opencv or _opencvs(setup)[:1])]
        wants += ['"pandas<3"'] if setup.interpreter.release("pandas") >= (3,) else []
        yield Trouble("numpy-2", PROBLEM, f"{text}{blame}", f"{setup.pip} install {' '.join(wants)}")
    else:
        yield Trouble(
            "numpy", PROBLEM, f"torch cannot use NumPy: {why}", f"{setup.pip} install --force-reinstall numpy"
        )


def _is_numpy_2(setup: Setup) -> bool:
    """Whether NumPy is too new for this torch."""
    return setup.interpreter.release("numpy") >= (2,) and () < setup.interpreter.release("torch") < (2, 3)


def _packages(setup: Setup) -> Iterator[Trouble]:
    missing, broken = [], {}
    for module, why in setup.interpreter.broken.items():
        name = NEEDED.get(module, module)
        if re.search(rf"No module named '{re.escape(module.partition('.')[0])}'", why):
            missing.append(name)
        elif not ("numpy" in why and _is_numpy_2(setup)):  # what was built for NumPy 1: _numpy_of_torch says it
            broken[name] = why
    if "No module named 'tensorboard'" in setup.interpreter.torch.get("tensorboard", ""):
        missing.append("tensorboard")
    if missing:
        pins = " ".join(_pinned(setup, name) for name in missing)
        yield Trouble("packages", PROBLEM, f"not installed: {', '.join(missing)}", f"{setup.pip} install {pins}")
    for name, why in broken.items():
        if name.startswith("opencv") and "libGL" in why:
            do = f"{setup.pip} uninstall opencv-python; {setup.pip} install {_pinned(setup, name)}"
            yield Trouble("opencv", PROBLEM, f"OpenCV wants the libraries of a desktop: {why}", do)
        else:
            do = f"{setup.pip} install --force-reinstall --no-deps {_pinned(setup, name)}"
            yield Trouble("packages", PROBLEM, f"{name} is installed but does not import: {why}", do)


def _tensorboard(setup: Setup) -> Iterator[Trouble]:
    why = setup.interpreter.torch.get("tensorboard", "")
    if not why or "No module named 'tensorboard'" in why:
        return
    if "distutils" in why:  # torch before 1.11 takes LooseVersion from it, which setuptools 59.6 moved
        version = (
            setup.interpreter.packages["setuptools"].version if "setuptools" in setup.interpreter.packages else "new"
        )
        what = f"torch {setup.interpreter.torch['version']} cannot start TensorBoard with setuptools {version}"
        yield Trouble("setuptools", PROBLEM, what, f"{setup.pip} install setuptools==59.5.0")
    elif "Descriptors cannot" in why or "protobuf" in why:
        what = f"TensorBoard is older than protobuf {setup.interpreter.packages['protobuf'].version}"
        yield Trouble("protobuf", PROBLEM, what, f"{setup.pip} install protobuf==3.19.6")
    else:
        do = f"{setup.pip} install --force-reinstall {_pinned(setup, 'tensorboard')}"
        yield Trouble("tensorboard", PROBLEM, f"torch cannot use TensorBoard: {why}", do)


def _opencv_twice(setup: Setup) -> Iterator[Trouble]:
    found = _opencvs(setup)
    if len(found) > 1:
        what = f"{' and '.join(found)} put their files in the same folder: which one is used is chance"
        do = f"{setup.pip} uninstall {' '.join(found)}; {setup.pip} install {_pinned(setup, 'opencv-python-headless')}"
        yield Trouble("opencv", WARNING, what, do)


def _torchvision(setup: Setup) -> Iterator[Trouble]:
    found = setup.interpreter.packages.get("torchvision")
    torch = setup.interpreter.torch["version"].partition("+")[0]
    for text in found.requires if found else ():
        wanted = re.match(r"torch\s*\(?==\s*([\d.]+\d)", text)
        if found and wanted and torch and wanted[1] != torch:
            what = f"torchvision {found.version} is built for torch {wanted[1]}, this is {torch}"
            do = f"{setup.pip} uninstall torchvision (a ported tree does without it)"
            yield Trouble("torchvision", WARNING, what, do)


def _namesake(setup: Setup) -> Iterator[Trouble]:
    """PyPI has a project with the name of Sophgo's plugin; pip does not tell ``torch-tpu`` from ``torch_tpu``."""
    there = setup.interpreter.packages.get("torch-tpu")
    plugin = setup.interpreter.plugins.get("tpu")
    if there is None or plugin is None or (plugin.installed and not plugin.foreign):
        return
    level = PROBLEM if setup.target and setup.target.name == "tpu" else WARNING
    what = (
        f"torch-tpu {there.version} is installed, PyPI's project of that name: Google's TorchTPU, not Sophgo's plugin"
    )
    source = f" and install {setup.target.plugin.source}" if level == PROBLEM and setup.target else ""
    yield Trouble("torch-tpu", level, what, f"{setup.pip} uninstall torch-tpu{source}")


def _cuda_torch(setup: Setup) -> Iterator[Trouble]:
    torch, target = setup.interpreter.torch, setup.target
    if target is None or target.plugin.in_tree or not torch.get("cuda"):
        return
    plugin = setup.interpreter.plugins[target.name]
    if plugin.computes or plugin.emulated:
        return
    keeps_it_out = plugin.installed and not plugin.loads and not plugin.foreign
    pin = f"torch=={torch['version'].partition('+')[0]}"
    what = (
        f"torch {torch['version']} is the build for CUDA {torch['cuda']}; {target.plugin.module} extends the CPU build"
    )
    # this torch works, on CUDA, and stays
    how = f"the torch of {target.plugin.source}"
    how = how if target.plugin.own_torch else command_line("pip", "install", pin, "--index-url", _CPU_TORCH)
    do = f"Leave it, and make an environment of its own for {target.plugin.module}: python -m venv DIR, in there {how}"
    yield Trouble("cuda-torch", PROBLEM if keeps_it_out else WARNING, what, do)


def _plugin_torch(setup: Setup) -> Iterator[Trouble]:
    """A plugin is compiled against one torch.  Cambricon says which after a plus, the others count as torch."""
    target = setup.target
    found = target and setup.interpreter.packages.get(target.plugin.module.replace("_", "-"))
    if not target or not found or setup.interpreter.plugins[target.name].foreign:
        return
    wanted = re.search(r"\+.*?torch(\d+(?:\.\d+)+)", found.version)
    if not wanted and target.name in ("tpu", "npu"):
        wanted = re.match(r"(\d+\.\d+\.\d+)(?:\.post\d+)?(?:\+|$)", found.version)
    torch = setup.interpreter.torch["version"].partition("+")[0]
    if wanted and torch and wanted[1] != torch:
        what = f"{target.plugin.module} {found.version} is built for torch {wanted[1]}, this is {torch}"
        do = f"{setup.pip} install torch=={wanted[1]} --index-url {_CPU_TORCH}"
        if target.plugin.own_torch:
            do = f"Take both from one place: {target.plugin.source}"
        works = setup.interpreter.plugins[target.name].computes
        yield Trouble("plugin-torch", WARNING if works else PROBLEM, what, "Leave it: it computes." if works else do)


def _device(setup: Setup) -> Iterator[Trouble]:
    """From the driver to a number that the card computed: the first step that fails is said."""
    target = setup.target
    if target is None or not setup.interpreter.torch["version"]:
        return
    plugin, module = setup.interpreter.plugins[target.name], target.plugin.module
    if plugin.computes:
        return
    if not plugin.installed or plugin.foreign:
        do = f"Get {target.plugin.source}: {target.plugin.url}"
        yield Trouble("plugin", PROBLEM, f"{module} is not installed", do)
    elif not plugin.loads:
        first = target.plugin.setup or "what the vendor's guide says (LD_LIBRARY_PATH)"
        do = f"In this shell first: {first}; or use the vendor's container. It comes from {target.plugin.source}."
        yield Trouble("plugin", PROBLEM, f"{module} does not load: {plugin.why}", do)
    elif plugin.available:
        do = f"The driver and {module} may not fit each other: compare their versions with {target.plugin.url}"
        yield Trouble("probe", PROBLEM, f"the {target.name} does not compute: {plugin.why}", do)
    else:
        yield Trouble("device", PROBLEM, f"{module} loads, but {plugin.why}", _why_no_device(setup, target))


def _why_no_device(setup: Setup, target: Target) -> str:
    for name in target.visible_devices:
        if name in os.environ:
            return f"{name}={os.environ[name]} says which devices are seen: unset {name}"
    nodes = _nodes(target)
    if nodes and not any(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        return f"You may not open {nodes[0]}: sudo chmod a+rw /dev/{_NODES[target.name]}, or join its group"
    if target.plugin.in_tree:
        page = target.documentation[0]
        return f"It takes a build of torch that has the {target.name}, and the card: {page.title}, {page.url}"
    if setup.machine.container and not nodes:
        return f"This container was started without the card: docker run --device /dev/{_NODES.get(target.name, '…')} …"
    if setup.cards and not setup.cards.cards:
        return f"{setup.cards.why}: install the driver ({target.plugin.url}), or check that the card is in"
    return f"Look for the driver's own message: dmesg | tail; {target.plugin.url}"


def _nodes(target: Target) -> list[Path]:
    return sorted(Path("/dev").glob(_NODES[target.name])) if target.name in _NODES else []


def _simulator(setup: Setup) -> Iterator[Trouble]:
    name = setup.target.simulated if setup.target else ""
    if name:
        what = f"{name} is set: the device is the vendor's SIMULATOR of the chip, no card, and slow"
        yield Trouble("simulator", WARNING, what, f"unset {name} to train on a card")


def _descending(setup: Setup) -> Iterator[Trouble]:
    for name in setup.target.visible_devices if setup.target else ():
        right = in_order(name, os.environ.get(name, ""))
        if right:
            what = f"{name}={os.environ[name]} does not ascend: no device is seen with such a list"
            yield Trouble("visible-devices", PROBLEM, what, f"export {name}={right}")


def _sick_card(setup: Setup) -> Iterator[Trouble]:
    for card in setup.cards.cards if setup.cards else ():
        if card.state != "ok":
            what = f"card {card.index} ({card.name}): {card.state}, says {setup.cards.tool if setup.cards else ''}"
            yield Trouble("card", WARNING, what, "Load the driver again, or use the other cards.")


def _fallback(setup: Setup) -> Iterator[Trouble]:
    if os.environ.get("ENABLE_FALLBACK_TO_CPU", "0") not in ("", "0") and setup.target and setup.target.name == "mlu":
        what = "ENABLE_FALLBACK_TO_CPU is set: operators that the MLU has not run on the host, unsaid and slowly"
        yield Trouble("fallback", WARNING, what, "unset ENABLE_FALLBACK_TO_CPU")


def _shared_memory(setup: Setup) -> Iterator[Trouble]:
    if setup.machine.shared is not None and setup.machine.shared < GIB:
        size = f"{setup.machine.shared / 2**20:.0f} MiB"
        what = f"/dev/shm has {size}: data loading workers die of a bus error when it is full"
        how = "docker run --shm-size=8g …" if setup.machine.container else "sudo mount -o remount,size=8g /dev/shm"
        yield Trouble("shared-memory", WARNING, what, f"{how}; or train with --workers 0")


def _room(setup: Setup) -> Iterator[Trouble]:
    if setup.machine.disk < GIB / 4:
        what = f"{setup.machine.folder} has {setup.machine.disk / 2**20:.0f} MiB left on its disk: no checkpoint fits"
        yield Trouble("disk", PROBLEM, what, "Free some, or work on another disk.")
    elif setup.machine.disk < 5 * GIB:
        what = f"{setup.machine.folder} has {setup.machine.disk / GIB:.1f} GiB left on its disk (COCO takes 20)"
        yield Trouble("disk", WARNING, what, "Free some, or work on another disk.")
    if 0 < setup.machine.memory < 4 * GIB:
        what = f"{setup.machine.memory / GIB:.1f} GiB of memory are few"
        yield Trouble("memory", WARNING, what, "Train with a small --batch-size and --workers 0 or 1.")


def _git(setup: Setup) -> Iterator[Trouble]:
    if not setup.machine.git:
        yield Trouble("git", WARNING, "git is not installed: porter apply needs it", "apt-get install git")


def _opencvs(setup: Setup) -> list[str]:
    return sorted(name for name in setup.interpreter.packages if re.match(r"opencv-(contrib-)?python", name))


def _pinned(setup: Setup, name: str) -> str:
    """The requirement that the target pins, else the bare name; what NumPy 2 does to an old torch is avoided."""
    if name.lower() in setup.pinned:
        return f"{name}=={setup.pinned[name.lower()]}"
    wanted = bounded(name, setup.interpreter.release("torch"))
    return name if wanted == name else f'"{wanted}"'


KNOWN: tuple[Callable[[Setup], Iterator[Trouble]], ...] = (
    _python,
    _torch,
    _numpy_of_torch,
    _packages,
    _tensorboard,
    _namesake,
    _cuda_torch,
    _plugin_torch,
    _device,
    _simulator,
    _descending,
    _sick_card,
    _torchvision,
    _opencv_twice,
    _fallback,
    _shared_memory,
    _room,
    _git,
)
