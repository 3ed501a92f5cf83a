"""From nothing to the command that trains: the tree, packages, weights, data.  Again, it does what is missing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from porter.commands.doctor import pins
from porter.commands.train import SCRIPT, find_python
from porter.datasets import generate
from porter.diagnosis import interpreter, requirements
from porter.diagnosis.interpreter import Interpreter
from porter.downloads import datasets, weights
from porter.errors import WrongUsage
from porter.lockfile import Lock
from porter.output import Progress
from porter.project import Project
from porter.stack import Stack
from porter.target import Target, load_known
from porter.tree.clone import must_hold
from porter.tree.make import put
from porter.verification.device import facts, unusable

DONE, ALREADY, YOURS = "done", "there already", "left to you"
SCENES = "scenes"
_CPU_TORCH = "https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class Request:
    """What to prepare.

    Attributes:
        target: a device family.
        tree: the folder, made if it is not there.
        install: have pip install what is missing, torch left out; ``torch``: torch too, if there is none.
        weights: a checkpoint of upstream's, as ``yolov5m.pt``; empty to train from nothing.
        release: upstream's release that it belongs to.
        data: ``coco128``, ``coco``, ``scenes`` (drawn here, no network), or a data set's yaml; empty for none.
        python: the interpreter that is to train.
        upstream: as for porter apply.
        mirrors: where downloads are tried first.
    """

    target: str
    tree: Path
    install: bool = False
    torch: bool = False
    weights: str = ""
    release: str = "v6.0"
    data: str = ""
    python: str = sys.executable
    upstream: str | None = None
    mirrors: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Step:
    """A step: how it ended (``done``, ``there already``, ``left to you``), one line on it, commands to type."""

    name: str
    state: str
    said: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """Every step, and the command that trains.

    Attributes:
        unusable: why the plugin that is installed cannot be used, with what to do first; empty if nothing is wrong.
    """

    steps: tuple[Step, ...]
    train: str
    unusable: str = ""

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)


def prepare(project: Project, request: Request, progress: Progress, ended: Callable[[Step], None]) -> Prepared:
    """Make the steps that are not done yet; ``ended`` gets each as it ends, so that a failure leaves the others said.

    Raises:
        CheckFailed: a patch does not apply, a download is not what it should be, pip replaced torch.
        WrongUsage: no such target, interpreter, checkpoint or data set.
        SurroundingsFailed: network, disk, pip.
    """
    target = load_known(project, request.target)
    python = find_python(request.python)
    _must_be_data(request)
    steps: list[Step] = []

    def end(step: Step) -> None:
        steps.append(step)
        ended(step)

    tree = request.tree.absolute()
    end(_tree(project, request, tree, progress))
    end(_requirements(project, request, target, python, progress))
    if request.weights:
        end(_weights(request, tree, progress))
    argument = ""
    if request.data:
        step, argument = _data(request, tree, progress)
        end(step)
    return Prepared(tuple(steps), _command(request, tree, python, argument), _unusable(target, python, progress))


def _unusable(target: Target, python: str, progress: Progress) -> str:
    """What keeps an installed plugin from being used; torch and the plugin are imported for it, if both are there."""
    there = interpreter.packages(python).packages
    if target.plugin.in_tree or not {"torch", target.plugin.module.replace("_", "-")} <= set(there):
        return ""
    progress.step(f"importing {target.plugin.module}")
    return unusable(target, facts(python, target))


def _must_be_data(request: Request) -> None:
    known = [*datasets.SETS, SCENES]
    if request.data and request.data not in known and not Path(request.data).is_file():
        raise WrongUsage(f"there is no data set {request.data}", hint=f"--data {', '.join(known)}, or a yaml's path.")


def _tree(project: Project, request: Request, tree: Path, progress: Progress) -> Step:
    if (tree / SCRIPT).is_file():
        try:
            found = must_hold(project, tree, request.target)
        except WrongUsage:
            found = None  # a clone of the user's: apply says whether it can be used
        if found and found.whole:
            return Step("tree", ALREADY, f"{request.tree}: {'+'.join(found.targets)}, {len(found.patches)} patches")
    made = put(
        Lock.load(project.lock_path), Stack.load(project, [request.target]), tree, request.upstream, False, progress
    )
    lacks = f"; it lacks {len(made.missing)} files that nobody needs to train" if made.missing else ""
    state = ALREADY if made.how == "already" else DONE
    return Step("tree", state, f"{request.tree}: {made.stack.key}, {len(made.build.commits)} patches{lacks}")


def _requirements(project: Project, request: Request, target: Target, python: str, progress: Progress) -> Step:
    progress.step("looking at the interpreter")
    pinned = pins(project.patches / target.name / target.requirements)
    found = interpreter.packages(python)
    wanted = requirements.lacking(found, pinned)
    torch = "torch" in found.packages
    commands: list[str] = []
    pip = (python, "-m", "pip", "install")
    if not torch:
        commands.append(shlex.join([*pip, *_torch(pinned)]))
    if wanted:
        commands.append(shlex.join([*pip, *wanted]))
    if not commands:
        return Step("requirements", ALREADY, f"all that {python} needs beside the plugin")
    if not request.install:
        names = ", ".join(([] if torch else ["torch"]) + wanted)
        return Step("requirements", YOURS, f"{python} lacks {names}; --install has pip install them", tuple(commands))
    return _install(request, target, python, found, wanted, _torch(pinned), commands, progress)


def _torch(pinned: Mapping[str, str]) -> list[str]:
    """What pip is told for the torch that the target's requirements pin: the CPU build, which plugins extend."""
    return [f"torch=={pinned['torch']}", "--index-url", _CPU_TORCH]


def _install(
    request: Request, target: Target, python: str, found: Interpreter, wanted: list[str], torch: list[str],
    commands: list[str], progress: Progress,
) -> Step:  # fmt: skip
    """With pip, in the interpreter; torch only if there is none and it was asked for by name."""
    now = found
    if "torch" not in found.packages and request.torch:
        progress.step("pip installs torch")
        requirements.install(python, torch, ())
        now = interpreter.packages(python)
    if wanted:
        progress.step(f"pip installs {len(wanted)} packages")
        requirements.install(python, wanted, requirements.constraints(now, target))
    after = interpreter.packages(python)
    requirements.must_be_the_same(now, after)
    if "torch" not in after.packages:
        said = (
            f"installed {len(wanted)} packages; torch is the vendor's or yours to choose (--torch takes the pinned one)"
        )
        return Step("requirements", YOURS, said, tuple(commands[:1]))
    return Step("requirements", DONE, f"pip installed {', '.join(wanted) or 'torch'}; torch and NumPy are as they were")


def _weights(request: Request, tree: Path, progress: Progress) -> Step:
    made = weights.obtain(request.weights, tree, progress, release=request.release, mirrors=request.mirrors)
    return Step("weights", DONE if made.source else ALREADY, f"{made.path.name}: {made.trust}")


def _data(request: Request, tree: Path, progress: Progress) -> tuple[Step, str]:
    """The step, and what --data gets."""
    folder = tree.parent / "datasets"  # where the yaml of v6.0 looks
    if request.data in datasets.SETS:
        made = datasets.obtain(datasets.SETS[request.data], folder, progress, mirrors=request.mirrors)
        state = DONE if made.how == "fetched" else ALREADY
        return Step("data", state, f"{made.path}: {'; '.join(made.trust) or 'whole'}"), f"{request.data}.yaml"
    if request.data == SCENES:
        place = folder / SCENES
        if (place / generate.YAML).is_file():
            return Step("data", ALREADY, str(place)), str(place / generate.YAML)
        drawn = generate.make(place, generate.Recipe(), progress)
        return Step("data", DONE, f"{place}: {sum(drawn.images.values())} drawn pictures"), str(drawn.yaml)
    path = Path(request.data).absolute()
    return Step("data", ALREADY, str(path)), str(path)


def _command(request: Request, tree: Path, python: str, data: str) -> str:
    """What to type to train."""
    checkpoint = request.weights and (request.weights if request.weights.endswith(".pt") else f"{request.weights}.pt")
    words = [python, SCRIPT, "--data", data or "coco128.yaml", "--weights", checkpoint]
    words += [] if checkpoint else ["--cfg", "yolov5n.yaml" if request.data == SCENES else "yolov5s.yaml"]
    words += ["--img", "160" if request.data == SCENES else "640", "--device", request.target]
    return f"cd {shlex.quote(str(tree))} && {shlex.join(words)}"
