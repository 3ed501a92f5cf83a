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

from porter.diagnosis.hints import Hint
from porter.diagnosis.interpreter import NEEDED, Interpreter, bounded, torch_wanted
from porter.diagnosis.machine import GIB, Cards, Machine
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
        do: what to do, as a command where there is one.  Both are hints where they hold words of ours.
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
        what = Hint("Python {version} is older than 3.6", version=setup.interpreter.version)
        yield Trouble("python", PROBLEM, what, Hint("Use a newer Python."))
    plugin = setup.target and setup.interpreter.plugins[setup.target.name]
    if setup.target and setup.target.name == "tpu" and plugin and not plugin.installed and numbers > (3, 11):
        what = Hint("Sophgo's wheels are for Python 3.9 to 3.11, this is {version}", version=setup.interpreter.version)
        do = Hint("Make an environment with Python 3.10, as Sophgo's guide does.")
        yield Trouble("python", WARNING, what, do)


def _torch(setup: Setup) -> Iterator[Trouble]:
    torch = setup.interpreter.torch
    if not torch["version"]:
        pin = torch_wanted(setup.pinned, setup.interpreter.version)
        missing = "No module named 'torch'" in torch["why"]
        what = Hint("torch is not installed") if missing else Hint("torch does not import: {why}", why=torch["why"])
        do = f"{setup.pip} install {pin} --index-url {_CPU_TORCH}"
        target = setup.target
        if target and target.plugin.own_torch:
            text = "On a card, use the torch that comes with {source}; without one, {command}"
            do = Hint(text, source=target.plugin.source, command=do)
        yield Trouble("torch", PROBLEM, what, do)
    elif () < setup.interpreter.release("torch") < _LEAST_TORCH:
        what = Hint("torch {version} is older than 1.9", version=torch["version"])
        yield Trouble("torch", PROBLEM, what, f"{setup.pip} install 'torch>=1.9'")


def _numpy_of_torch(setup: Setup) -> Iterator[Trouble]:
    why = setup.interpreter.torch.get("numpy", "")
    if not why or "numpy" in setup.interpreter.broken:
        return
    if _is_numpy_2(setup):
        versions = {
            "torch": setup.interpreter.torch["version"],
            "numpy": setup.interpreter.packages["numpy"].version,
        }
        what = Hint("torch {torch} cannot use NumPy {numpy}", **versions)
        opencv = [name for name in _opencvs(setup) if setup.interpreter.release(name) >= (4, 12)]
        if opencv:
            of = f"{opencv[0]} {setup.interpreter.packages[opencv[0]].version}"
            what = Hint("torch {torch} cannot use NumPy {numpy}; {opencv} asks for NumPy 2", **versions, opencv=of)
        wants = ['"numpy<2"', *(f'"{name}<4.12"' for name in opencv or _opencvs(setup)[:1])]
        wants += ['"pandas<3"'] if setup.interpreter.release("pandas") >= (3,) else []
        yield Trouble("numpy-2", PROBLEM, what, f"{setup.pip} install {' '.join(wants)}")
    else:
        what = Hint("torch cannot use NumPy: {why}", why=why)
        yield Trouble("numpy", PROBLEM, what, f"{setup.pip} install --force-reinstall numpy")


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
        what = Hint("not installed: {names}", names=", ".join(missing))
        yield Trouble("packages", PROBLEM, what, f"{setup.pip} install {pins}")
    for name, why in broken.items():
        if name.startswith("opencv") and "libGL" in why:
            do = f"{setup.pip} uninstall opencv-python; {setup.pip} install {_pinned(setup, name)}"
            what = Hint("OpenCV wants the libraries of a desktop: {why}", why=why)
            yield Trouble("opencv", PROBLEM, what, do)
        else:
            do = f"{setup.pip} install --force-reinstall --no-deps {_pinned(setup, name)}"
            what = Hint("{name} is installed but does not import: {why}", name=name, why=why)
            yield Trouble("packages", PROBLEM, what, do)


def _tensorboard(setup: Setup) -> Iterator[Trouble]:
    why = setup.interpreter.torch.get("tensorboard", "")
    if not why or "No module named 'tensorboard'" in why:
        return
    if "distutils" in why:  # torch before 1.11 takes LooseVersion from it, which setuptools 59.6 moved
        there = setup.interpreter.packages.get("setuptools")
        what = Hint(
            "torch {torch} cannot start TensorBoard with setuptools {setuptools}",
            torch=setup.interpreter.torch["version"],
            setuptools=there.version if there else "new",
        )
        yield Trouble("setuptools", PROBLEM, what, f"{setup.pip} install setuptools==59.5.0")
    elif "Descriptors cannot" in why or "protobuf" in why:
        version = setup.interpreter.packages["protobuf"].version
        what = Hint("TensorBoard is older than protobuf {version}", version=version)
        yield Trouble("protobuf", PROBLEM, what, f"{setup.pip} install protobuf==3.19.6")
    else:
        do = f"{setup.pip} install --force-reinstall {_pinned(setup, 'tensorboard')}"
        yield Trouble("tensorboard", PROBLEM, Hint("torch cannot use TensorBoard: {why}", why=why), do)


def _opencv_twice(setup: Setup) -> Iterator[Trouble]:
    found = _opencvs(setup)
    if len(found) > 1:
        what = Hint("{names} put their files in the same folder: which one is used is chance", names=", ".join(found))
        do = f"{setup.pip} uninstall {' '.join(found)}; {setup.pip} install {_pinned(setup, 'opencv-python-headless')}"
        yield Trouble("opencv", WARNING, what, do)


def _torchvision(setup: Setup) -> Iterator[Trouble]:
    found = setup.interpreter.packages.get("torchvision")
    torch = setup.interpreter.torch["version"].partition("+")[0]
    for text in found.requires if found else ():
        wanted = re.match(r"torch\s*\(?==\s*([\d.]+\d)", text)
        if found and wanted and torch and wanted[1] != torch:
            text = "torchvision {version} is built for torch {wanted}, this is {torch}"
            what = Hint(text, version=found.version, wanted=wanted[1], torch=torch)
            do = Hint("{pip} uninstall torchvision (a ported tree does without it)", pip=setup.pip)
            yield Trouble("torchvision", WARNING, what, do)


def _namesake(setup: Setup) -> Iterator[Trouble]:
    """PyPI has a project with the name of Sophgo's plugin; pip does not tell ``torch-tpu`` from ``torch_tpu``."""
    there = setup.interpreter.packages.get("torch-tpu")
    plugin = setup.interpreter.plugins.get("tpu")
    if there is None or plugin is None or (plugin.installed and not plugin.foreign):
        return
    level = PROBLEM if setup.target and setup.target.name == "tpu" else WARNING
    what = Hint(
        "torch-tpu {version} is installed, PyPI's project of that name: Google's TorchTPU, not Sophgo's plugin",
        version=there.version,
    )
    do = f"{setup.pip} uninstall torch-tpu"
    if level == PROBLEM and setup.target:
        do = Hint("{command} and install {source}", command=do, source=setup.target.plugin.source)
    yield Trouble("torch-tpu", level, what, do)


def _cuda_torch(setup: Setup) -> Iterator[Trouble]:
    torch, target = setup.interpreter.torch, setup.target
    if target is None or target.plugin.in_tree or not torch.get("cuda"):
        return
    plugin = setup.interpreter.plugins[target.name]
    if plugin.computes or plugin.emulated:
        return
    keeps_it_out = plugin.installed and not plugin.loads and not plugin.foreign
    pin = f"torch=={torch['version'].partition('+')[0]}"
    module = target.plugin.module
    what = Hint(
        "torch {version} is the build for CUDA {cuda}; {module} extends the CPU build",
        version=torch["version"],
        cuda=torch["cuda"],
        module=module,
    )
    # this torch works, on CUDA, and stays
    how = command_line("pip", "install", pin, "--index-url", _CPU_TORCH)
    if target.plugin.own_torch:
        how = Hint("the torch of {source}", source=target.plugin.source)
    text = "Leave it, and make an environment of its own for {module}: python -m venv DIR, in there {how}"
    do = Hint(text, module=module, how=how)
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
        text = "{module} {version} is built for torch {wanted}, this is {torch}"
        what = Hint(text, module=target.plugin.module, version=found.version, wanted=wanted[1], torch=torch)
        do = f"{setup.pip} install torch=={wanted[1]} --index-url {_CPU_TORCH}"
        if target.plugin.own_torch:
            do = Hint("Take both from one place: {source}", source=target.plugin.source)
        works = setup.interpreter.plugins[target.name].computes
        yield Trouble(
            "plugin-torch", WARNING if works else PROBLEM, what, Hint("Leave it: it computes.") if works else do
        )


def _device(setup: Setup) -> Iterator[Trouble]:
    """From the driver to a number that the card computed: the first step that fails is said."""
    target = setup.target
    if target is None or not setup.interpreter.torch["version"]:
        return
    plugin, module = setup.interpreter.plugins[target.name], target.plugin.module
    if plugin.computes:
        return
    if not plugin.installed or plugin.foreign:
        do = Hint("Get {source}: {url}", source=target.plugin.source, url=target.plugin.url)
        yield Trouble("plugin", PROBLEM, Hint("{module} is not installed", module=module), do)
    elif not plugin.loads:
        do = Hint(
            "In this shell first: {first}; or use the vendor's container. It comes from {source}.",
            first=target.plugin.setup or Hint("what the vendor's guide says (LD_LIBRARY_PATH)"),
            source=target.plugin.source,
        )
        yield Trouble("plugin", PROBLEM, Hint("{module} does not load: {why}", module=module, why=plugin.why), do)
    elif plugin.available:
        text = "The driver and {module} may not fit each other: compare their versions with {url}"
        do = Hint(text, module=module, url=target.plugin.url)
        yield Trouble(
            "probe", PROBLEM, Hint("the {name} does not compute: {why}", name=target.name, why=plugin.why), do
        )
    else:
        what = Hint("{module} loads, but {why}", module=module, why=plugin.why)
        yield Trouble("device", PROBLEM, what, _why_no_device(setup, target))


def _why_no_device(setup: Setup, target: Target) -> str:
    for name in target.visible_devices:
        if name in os.environ:
            text = "{name}={value} says which devices are seen: unset {name}"
            return Hint(text, name=name, value=os.environ[name])
    nodes = _nodes(target)
    if nodes and not any(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        text = "You may not open {node}: sudo chmod a+rw /dev/{nodes}, or join its group"
        return Hint(text, node=str(nodes[0]), nodes=_NODES[target.name])
    if target.plugin.in_tree:
        page = target.documentation[0]
        text = "It takes a build of torch that has the {name}, and the card: {title}, {url}"
        return Hint(text, name=target.name, title=page.title, url=page.url)
    if setup.machine.container and not nodes:
        text = "This container was started without the card: docker run --device /dev/{nodes} …"
        return Hint(text, nodes=_NODES.get(target.name, "…"))
    if setup.cards and not setup.cards.cards:
        text = "{why}: install the driver ({url}), or check that the card is in"
        return Hint(text, why=setup.cards.why, url=target.plugin.url)
    return Hint("Look for the driver's own message: dmesg | tail; {url}", url=target.plugin.url)


def _nodes(target: Target) -> list[Path]:
    return sorted(Path("/dev").glob(_NODES[target.name])) if target.name in _NODES else []


def _simulator(setup: Setup) -> Iterator[Trouble]:
    name = setup.target.simulated if setup.target else ""
    if name:
        what = Hint("{name} is set: the device is the vendor's SIMULATOR of the chip, no card, and slow", name=name)
        yield Trouble("simulator", WARNING, what, Hint("unset {name} to train on a card", name=name))


def _descending(setup: Setup) -> Iterator[Trouble]:
    for name in setup.target.visible_devices if setup.target else ():
        right = in_order(name, os.environ.get(name, ""))
        if right:
            text = "{name}={value} does not ascend: no device is seen with such a list"
            what = Hint(text, name=name, value=os.environ[name])
            yield Trouble("visible-devices", PROBLEM, what, f"export {name}={right}")


def _sick_card(setup: Setup) -> Iterator[Trouble]:
    for card in setup.cards.cards if setup.cards else ():
        if card.state != "ok":
            what = Hint(
                "card {index} ({name}): {state}, says {tool}",
                index=str(card.index),
                name=card.name,
                state=card.state,
                tool=setup.cards.tool if setup.cards else "",
            )
            yield Trouble("card", WARNING, what, Hint("Load the driver again, or use the other cards."))


def _fallback(setup: Setup) -> Iterator[Trouble]:
    if os.environ.get("ENABLE_FALLBACK_TO_CPU", "0") not in ("", "0") and setup.target and setup.target.name == "mlu":
        what = Hint("ENABLE_FALLBACK_TO_CPU is set: operators that the MLU has not run on the host, unsaid and slowly")
        yield Trouble("fallback", WARNING, what, "unset ENABLE_FALLBACK_TO_CPU")


def _shared_memory(setup: Setup) -> Iterator[Trouble]:
    if setup.machine.shared is not None and setup.machine.shared < GIB:
        size = f"{setup.machine.shared / 2**20:.0f} MiB"
        what = Hint("/dev/shm has {size}: data loading workers die of a bus error when it is full", size=size)
        how = "docker run --shm-size=8g …" if setup.machine.container else "sudo mount -o remount,size=8g /dev/shm"
        yield Trouble("shared-memory", WARNING, what, Hint("{command}; or train with --workers 0", command=how))


def _room(setup: Setup) -> Iterator[Trouble]:
    folder, another = setup.machine.folder, Hint("Free some, or work on another disk.")
    if setup.machine.disk < GIB / 4:
        left = f"{setup.machine.disk / 2**20:.0f} MiB"
        what = Hint("{folder} has {left} left on its disk: no checkpoint fits", folder=folder, left=left)
        yield Trouble("disk", PROBLEM, what, another)
    elif setup.machine.disk < 5 * GIB:
        left = f"{setup.machine.disk / GIB:.1f} GiB"
        what = Hint("{folder} has {left} left on its disk (COCO takes 20)", folder=folder, left=left)
        yield Trouble("disk", WARNING, what, another)
    if 0 < setup.machine.memory < 4 * GIB:
        what = Hint("{size} GiB of memory are few", size=f"{setup.machine.memory / GIB:.1f}")
        yield Trouble("memory", WARNING, what, Hint("Train with a small --batch-size and --workers 0 or 1."))


def _git(setup: Setup) -> Iterator[Trouble]:
    if not setup.machine.git:
        yield Trouble("git", WARNING, Hint("git is not installed: porter apply needs it"), "apt-get install git")


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
