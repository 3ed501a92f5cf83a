"""``porter prepare``: from nothing to the command that trains.  Called again, it does what is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyPath, AnyProject, find_of
from porter.commands.options import (
    FOLDER,
    JSON,
    MIRROR,
    UPSTREAM,
    colour,
    complete_dataset,
    complete_weights,
    is_quiet,
    print_json,
    target_option,
    terminal,
)
from porter.datasets import generate
from porter.diagnosis import interpreter
from porter.diagnosis.interpreter import Interpreter, find_python, pins
from porter.downloads import datasets
from porter.downloads import weights as checkpoints
from porter.errors import EnvironmentFailed, WrongUsage
from porter.lockfile import Lock, glance
from porter.output import Progress, command_line, counted
from porter.project import Project
from porter.stack import Stack
from porter.target import Target, load_known
from porter.tree import TRAIN, must_hold
from porter.tree.make import apply_stack
from porter.verification.device import facts, unusable

DONE, ALREADY, YOURS = "done", "there already", "left to you"
SCENES = "scenes"
_CPU_TORCH = "https://download.pytorch.org/whl/cpu"


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


def prepare(
    target: str,
    tree: AnyPath,
    *,
    install: bool = False,
    torch: bool = False,
    weights: str = "",
    release: str = "",
    data: str = "",
    python: str | None = None,
    upstream: str | None = None,
    mirrors: Sequence[str] = (),
    ended: Callable[[Step], None] = lambda step: None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Prepared:
    """From nothing to the command that trains: tree, packages, weights, data.  Again, it does what is missing.

    Args:
        tree: the folder, made if it is not there.
        install: have pip install what is missing; torch and NumPy stay as they are.
        torch: with ``install``: the pinned torch too, where there is none.
        weights: a checkpoint of upstream's, as ``yolov5m.pt``; empty: train from nothing.
        release: upstream's release that it belongs to; empty: the line's own.
        data: ``coco128``, ``coco``, ``scenes`` (drawn here), a data set's yaml, or empty for none.
        python: the interpreter that is to train.  None: this one.
        mirrors: where downloads are tried first.
        ended: gets each step as it ends.

    Raises:
        CheckFailed: a patch does not apply, a download is not what it should be, or pip replaced torch.
        WrongUsage: there is no such target, interpreter, checkpoint or data set.
        EnvironmentFailed: network, disk or pip failed.
    """
    project, progress = find_of(project, tree, to_be_made=True), progress or Progress()
    family = load_known(project, target)
    python = find_python(python or sys.executable)
    known = [*datasets.SETS, SCENES]
    if data and data not in known and not Path(data).is_file():
        raise WrongUsage(f"there is no data set {data}", hint=f"--data {', '.join(known)}, or a yaml's path.")
    release = release or checkpoints.release_of(glance(project.lock_path)[0])
    if weights:
        checkpoints.known(weights, release)
    steps: list[Step] = []

    def end(step: Step) -> None:
        steps.append(step)
        ended(step)

    folder = Path(tree).absolute()
    end(_tree(project, target, Path(tree), upstream, progress))
    pinned = pins(project.patches / family.name / family.requirements)
    end(_requirements(family, pinned, python, install, torch, folder, progress))
    if weights:
        end(_weights(weights, folder, release, mirrors, progress))
    argument = ""
    if data:
        step, argument = _data(data, folder, mirrors, progress)
        end(step)
    command = _command(target, folder, python, weights, data, argument)
    return Prepared(tuple(steps), command, _unusable(family, python, progress))


@click.command(name="prepare")
@target_option(required=True)
@click.option("--install", is_flag=True, help="Have pip install what is missing; torch and NumPy stay as they are.")
@click.option("--torch", is_flag=True, help="With --install: the pinned torch too, where there is none.")
@click.option(
    "--weights",
    default="",
    metavar="NAME",
    shell_complete=complete_weights,
    help="Download this checkpoint of upstream's, as yolov5m.pt.",
)
@click.option("--release", default="", help="Of upstream, for the checkpoint.  [default: the line's]")
@click.option(
    "--data",
    default="",
    metavar="NAME|YAML",
    shell_complete=complete_dataset,
    help="coco128, coco, scenes (drawn here), or a yaml you have.",
)
@click.option("--python", metavar="EXE", default=sys.executable, help="The interpreter that is to train.")
@UPSTREAM
@MIRROR
@JSON
@click.argument("tree", metavar="DIR", type=FOLDER)
def command(target: str, as_json: bool, tree: Path, **asked: Any) -> None:
    """From nothing to the command that trains: make the tree in DIR, see to packages, weights and data.

    Run again it does what is missing and says what is there. Without --install packages are named, not installed.
    """
    silent = as_json or is_quiet()
    with terminal() as progress:
        ended = (lambda step: None) if silent else _print(progress.say)
        found = prepare(target, tree, **asked, ended=ended, progress=progress)
    if as_json:
        print_json("prepare", found.record())
    elif is_quiet():
        click.echo(found.train)
    else:
        click.echo(f"Then: {command_line('porter', 'doctor', '--target', target)}, and train:")
        click.echo(f"  {found.train}")
    if found.unusable and as_json:
        raise SystemExit(EnvironmentFailed.exit_code)  # the record says it
    if found.unusable:
        doctor = command_line("porter", "doctor", "--target", target)
        raise EnvironmentFailed(found.unusable, hint=f"All the rest is done. Next: {doctor}")


def _print(say: Callable[[str], None]) -> Callable[[Step], None]:
    def show(step: Step) -> None:
        colours = {"done": "green", "left to you": "yellow"}
        state = f"{step.state:13}"
        state = click.style(state, fg=colours.get(step.state)) if colour() else state
        say(f"{state} {step.name}: {step.said}")
        for command in step.commands:
            say(f"{'':13}   {command}")

    return show


def _unusable(target: Target, python: str, progress: Progress) -> str:
    """What keeps an installed plugin from being used; torch and the plugin are imported for it, if both are there."""
    there = interpreter.packages(python).packages
    if target.plugin.in_tree or not {"torch", target.plugin.module.replace("_", "-")} <= set(there):
        return ""
    progress.step(f"importing {target.plugin.module}")
    return unusable(target, facts(python, target))


def _tree(project: Project, target: str, tree: Path, upstream: str | None, progress: Progress) -> Step:
    if (tree / TRAIN).is_file():
        try:
            found = must_hold(project, tree.absolute(), target)
        except WrongUsage:
            found = None  # a clone of the user's: apply says whether it can be used
        if found and found.whole:
            return Step("tree", ALREADY, f"{tree}: {'+'.join(found.targets)}, {counted(len(found.patches), 'patch')}")
    lock, stack = Lock.load(project.lock_path), Stack.load(project, [target])
    made = apply_stack(lock, stack, tree.absolute(), upstream, False, progress)
    lacks = f"; it lacks {counted(len(made.missing), 'file')} that nobody needs to train" if made.missing else ""
    state = ALREADY if made.how == "already" else DONE
    return Step("tree", state, f"{tree}: {made.stack.key}, {counted(len(made.build.commits), 'patch')}{lacks}")


def _requirements(
    target: Target,
    pinned: Mapping[str, str],
    python: str,
    install: bool,
    torch: bool,
    tree: Path,
    progress: Progress,
) -> Step:
    progress.step("looking at the interpreter")
    found = interpreter.packages(python)
    wanted = interpreter.lacking(found, pinned)
    there = "torch" in found.packages
    first, usable = interpreter.way_to_pip(found, python, tree.with_name(f"{tree.name}-python"))
    commands: list[str] = []
    pip = (usable, "-m", "pip", "install")
    if not there:
        commands.append(command_line(*pip, *_torch(pinned, found)))
    if wanted:
        commands.append(command_line(*pip, *wanted))
    if not commands:
        return Step("requirements", ALREADY, f"all that {python} needs beside the plugin")
    why = "may be given packages by its system alone (PEP 668)" if found.managed else "has no pip"
    if install and first:
        again = command_line("porter", "prepare", "--target", target.name, "--install", "--python", usable, tree)
        raise EnvironmentFailed(f"{python} {why}", hint=" && ".join([*first, again]))
    if not install:
        names = ", ".join(([] if there else ["torch"]) + wanted)
        how = f"it {why}, so first" if first else "--install has pip install them"
        return Step("requirements", YOURS, f"{python} lacks {names}; {how}", (*first, *commands))
    return _install(target, python, found, wanted, _torch(pinned, found) if torch else [], commands, progress)


def _torch(pinned: Mapping[str, str], found: Interpreter) -> list[str]:
    """What pip is told for the torch that the target's requirements pin: the CPU build, which plugins extend."""
    return [interpreter.torch_wanted(pinned, found.version), "--index-url", _CPU_TORCH]


def _install(
    target: Target, python: str, found: Interpreter, wanted: list[str], torch: list[str], commands: list[str],
    progress: Progress,
) -> Step:  # fmt: skip
    """With pip, in the interpreter; torch only if there is none and it was asked for by name."""
    now = found
    if "torch" not in found.packages and torch:
        progress.step("pip installs torch")
        interpreter.install(python, torch, ())
        now = interpreter.packages(python)
    if wanted:
        progress.step(f"pip installs {counted(len(wanted), 'package')}")
        interpreter.install(python, wanted, interpreter.constraints(now, target))
    after = interpreter.packages(python)
    interpreter.must_be_the_same(now, after)
    if "torch" not in after.packages:
        of = counted(len(wanted), "package")
        said = f"installed {of}; torch is the vendor's or yours to choose (--torch takes the pinned one)"
        return Step("requirements", YOURS, said, tuple(commands[:1]))
    return Step("requirements", DONE, f"pip installed {', '.join(wanted) or 'torch'}; torch and NumPy are as they were")


def _weights(name: str, tree: Path, release: str, mirrors: Sequence[str], progress: Progress) -> Step:
    made = checkpoints.obtain(name, tree, progress, release=release, mirrors=mirrors)
    return Step("weights", DONE if made.source else ALREADY, f"{made.path.name}: {made.trust}")


def _data(name: str, tree: Path, mirrors: Sequence[str], progress: Progress) -> tuple[Step, str]:
    """The step, and what --data gets."""
    folder = tree.parent / "datasets"  # where the yaml of v6.0 looks
    if name in datasets.SETS:
        made = datasets.obtain(datasets.SETS[name], folder, progress, mirrors=mirrors)
        state = DONE if made.how == "fetched" else ALREADY
        return Step("data", state, f"{made.path}: {'; '.join(made.trust) or 'whole'}"), f"{name}.yaml"
    if name == SCENES:
        scenes = folder / SCENES
        if (scenes / generate.YAML).is_file():
            return Step("data", ALREADY, str(scenes)), str(scenes / generate.YAML)
        drawn = generate.make(scenes, progress=progress)
        return Step("data", DONE, f"{scenes}: {sum(drawn.images.values())} drawn pictures"), str(drawn.yaml)
    path = Path(name).absolute()
    return Step("data", ALREADY, str(path)), str(path)


def _command(target: str, tree: Path, python: str, weights: str, data: str, argument: str) -> str:
    """What to type to train; ``argument`` is what --data gets."""
    checkpoint = weights and (weights if weights.endswith(".pt") else f"{weights}.pt")
    words = [python, TRAIN, "--data", argument or "coco128.yaml", "--weights", checkpoint]
    words += [] if checkpoint else ["--cfg", "yolov5n.yaml" if data == SCENES else "yolov5s.yaml"]
    words += ["--img", "160" if data == SCENES else "640", "--device", target]
    return command_line(*words, folder=tree)
