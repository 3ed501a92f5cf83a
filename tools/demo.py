"""What ``make demo`` does: make a tree for one device family, train it for a minute or two, say what came of it.

python tools/demo.py [--target mlu] [--epochs N] [--log demo.log] [yolov5]

With coco128 and one of v6.0's checkpoints at hand, or quickly downloaded, it trains on from the checkpoint; else from
nothing, on drawn scenes.  ``DEVICE`` says where: a device of ``train.py --device``, or ``emulated``; empty: the card
where its plugin is installed, else the CPU.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

import porter
from porter.commands import data
from porter.downloads import datasets, weights
from porter.downloads.retry import RetryPolicy, timeout
from porter.files import cache_folder
from porter.output import Terminal, counted
from porter.project import Project
from porter.target import load_known
from porter.verification import launch

SCENES, IMAGES, CLASSES = Path("demo-data"), 256, 4
LEARNED = 0.2  # mAP@.5 from which a network is said to find things; one of random weights has about 0.001
PICTURES = {
    "val_batch0_pred.jpg": "what the network finds",
    "val_batch0_labels.jpg": "what there is to find",
    "results.png": "losses and mAP, epoch by epoch",
}
KINDS = ("hardware", "simulator", "emulated", "cpu")  # of `porter run --device`


@dataclass(frozen=True)
class Plan:
    """What is trained, and on what.

    Attributes:
        says: the data, in a line for people.
        model: the network, the same way.
        yaml: what ``--data`` of ``train.py`` and ``val.py`` gets.
        checkpoint: where the training begins; None: from nothing.
        size: pixels of a picture's longer side.
        epochs: so many take a minute or two on two cores.
        words: what else ``train.py`` gets.
    """

    says: str
    model: str
    yaml: Path
    checkpoint: Path | None
    size: int
    epochs: int
    words: Sequence[str]


def choose(tree: Path, log: Path, terminal: Terminal) -> Plan:
    """coco128 and a checkpoint, or drawn scenes where one of the two cannot be had."""
    try:
        found = datasets.find_coco128(tree) or datasets.fetch_coco128(terminal)
        checkpoint = find_checkpoint(tree, terminal)
    except (porter.EnvironmentFailed, porter.CheckFailed) as error:
        return draw_scenes(error.what, terminal)
    yaml = log.absolute().with_suffix(".yaml")
    yaml.write_text(found.yaml, encoding="utf-8")
    words, epochs = ["--batch", "16"], 3
    return Plan(found.word, f"{checkpoint.stem} on from {checkpoint}", yaml, checkpoint, 320, epochs, words)


def find_checkpoint(tree: Path, terminal: Terminal) -> Path:
    """One of v6.0's smallest: where it usually lies, or downloaded into porter's cache, if that is quick."""
    data_folder = os.environ.get(datasets.DATA_VARIABLE)
    for folder in (*([Path(data_folder)] if data_folder else []), Path(), tree):
        for name in "yolov5n.pt", "yolov5s.pt":
            if (folder / name).is_file():
                return (folder / name).absolute()
    policy = RetryPolicy(min(timeout(), 5.0), tries=1, longest_wait=0.0, total=60.0)
    return weights.obtain("yolov5n", cache_folder().absolute() / "weights", terminal, policy=policy).path


def draw_scenes(why: str, terminal: Terminal) -> Plan:
    """The plan for drawn scenes; those of an earlier time are drawn no more."""
    if not SCENES.exists():
        data.make(SCENES, images=IMAGES, size=(96, 96), classes=CLASSES, progress=terminal)
    says = f"{counted(IMAGES, 'drawn picture')} in {SCENES}, {CLASSES} kinds of shapes ({why})"
    words = ["--cfg", "yolov5n.yaml", "--batch", "8", "--optimizer", "Adam"]
    return Plan(says, "yolov5n from nothing", (SCENES / data.YAML).absolute(), None, 96, 20, words)


@dataclass(frozen=True)
class Place:
    """Where it trains.

    Attributes:
        kind: of :data:`KINDS`.
        words: what says so to the tree's programs, where ``kind`` does not.
        says: what it is called.
        why: why it is that one, where nobody named it.
    """

    kind: str
    words: Sequence[str]
    says: str
    why: str = ""


def place(target: str) -> Place:
    """As ``DEVICE`` says."""
    named = os.environ.get("DEVICE", "").strip()
    why = ""
    if not named:
        found = load_known(Project.find(Path(__file__).parent), target)
        named = "hardware" if launch.has_plugin(sys.executable, found) else "cpu"
        why = (
            f": {found.plugin.module} is not installed; DEVICE=emulated trains on an emulated card"
            if named == "cpu"
            else ""
        )
    if named in KINDS:
        return Place(named, (), {"cpu": "the CPU", "hardware": target}.get(named, ""), why)
    return Place("hardware", ("--device", named), f"device {named}")


class Demo:
    """The tree's programs, run one after the other; what they print goes into the log."""

    def __init__(self, target: str, tree: Path, log: Path, terminal: Terminal) -> None:
        self.target, self.tree, self.log, self.terminal, self.place = target, tree, log, terminal, place(target)

    def run(self, program: Sequence[str], step: str, reached: Callable[[], tuple[int, int]] | None = None) -> str:
        """Run a program; return where it ran, in words.

        Args:
            reached: how far it is, and how far it has to go.

        Raises:
            CheckFailed: it did not end well.
        """
        found = porter.run(self.target, self.tree, [*program, *self.place.words], device=self.place.kind)
        environment = {**os.environ, **found.environment, "BENCHMARK_LOG": str(self.speeds)}
        with self.log.open("ab") as log:
            log.write(f"\n$ {found.shown}\n".encode(errors="backslashreplace"))
            log.flush()
            child = subprocess.Popen(
                found.words, cwd=found.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            try:
                while child.poll() is None:
                    self.terminal.step(step, *(reached() if reached else ()))
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(0.25)
            finally:  # Ctrl-C reaches the child, too
                child.terminate()
                child.wait()
        if child.returncode:
            said = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            what = f"{program[0]} ended with status {child.returncode}"
            raise porter.CheckFailed(what, "\n".join(said), f"All that it said is in {self.log}.")
        return found.stand_in or self.place.says

    @property
    def speeds(self) -> Path:
        """Where the tree's metric collector writes."""
        return self.log.absolute().with_suffix(".json")

    def train(self, plan: Plan, epochs: int) -> tuple[Path, str]:
        """Train; return the run's folder and where it ran."""
        runs = self.tree / "runs" / "train"
        before = set(runs.glob("*"))
        self.speeds.unlink(missing_ok=True)  # an earlier demo's, to which the collector would add
        words = ["train.py", "--weights", str(plan.checkpoint or ""), *plan.words, "--epochs", str(epochs)]
        words += ["--data", str(plan.yaml), "--img", str(plan.size), "--workers", "2", "--name", "demo"]
        where = self.run(
            words, "training", lambda: (sum(map(len, map(epochs_of, set(runs.glob("*")) - before))), epochs)
        )
        (run,) = set(runs.glob("*")) - before
        return run, where


def epochs_of(run: Path) -> list[float]:
    """mAP@.5 of each epoch so far."""
    try:
        with (run / "results.csv").open(newline="", encoding="utf-8") as file:
            return [float({k.strip(): v for k, v in row.items()}["metrics/mAP_0.5"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError):  # not begun, or a line of which a part is written
        return []


def said_by(log: Path) -> float:
    """mAP@.5 that the last val.py printed."""
    rows = [line.split() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next(float(row[5]) for row in reversed(rows) if len(row) == 7 and row[0] == "all")


def verdict(
    where: str, seconds: float, images: float, first: float | None, reached: Sequence[float], why: str
) -> tuple[list[str], bool]:
    """What came of it, and whether the network learned.

    Args:
        seconds: that the training took.
        images: per second of a steady training step.
        first: mAP@.5 before the training; None: it began from nothing, and its first epoch stands for it.
        reached: mAP@.5 after each epoch.
    """
    before, said = (reached[0], "after epoch 1") if first is None else (first, "of the checkpoint")
    learned = max(reached) >= LEARNED
    warms_up = first is not None and reached[-1] < first
    why_less = " (v6.0 warms up: it falls at first, then rises)" if warms_up else ""
    lines = [
        "it trains and finds things" if learned else "it trained, but finds little",
        f"mAP@.5    {before:.3f} {said}, {reached[-1]:.3f} after epoch {len(reached)}{why_less}",
        f"time      {seconds:.0f} s, {images:.1f} images/s while it trained",
        f"device    {where}{why}",
    ]
    return lines, learned


@click.command(help=__doc__)
@click.option("--target", default="mlu")
@click.option("--epochs", type=int, default=0)
@click.option("--log", type=click.Path(path_type=Path), default=Path("demo.log"))
@click.argument("tree", type=click.Path(path_type=Path), default=Path("yolov5"))
def main(target: str, epochs: int, log: Path, tree: Path) -> None:
    """Every step a line, then the verdict; exit code 1 where the network did not learn."""
    try:
        log.write_bytes(b"")
        with Terminal() as terminal:
            learned = show(Demo(target, tree, log, terminal), epochs)
    except porter.PorterError as error:
        lines = filter(None, (f"error: {error.what}", error.why, error.hint))
        print("\n".join(lines), file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print(f"\nstopped; what was printed is in {log}, `make demo` begins anew", file=sys.stderr)
        sys.exit(130)
    sys.exit(0 if learned else 1)


def show(demo: Demo, epochs: int) -> bool:
    """The steps and the verdict, a line each; whether the network learned."""
    target, tree, log, say = demo.target, demo.tree, demo.log, demo.terminal.say
    made = porter.apply(target, tree, progress=demo.terminal)
    say(f"tree      {tree}: v6.0 and {counted(len(made.build.commits), 'patch')} for {target}")
    plan = choose(tree, log, demo.terminal)
    say(f"data      {plan.says}")
    epochs = epochs or plan.epochs
    say(f"training  {plan.model}, {counted(epochs, 'epoch')}, a minute or two; what it prints goes to {log}")
    first = None
    if plan.checkpoint:
        words = ["val.py", "--weights", str(plan.checkpoint), "--data", str(plan.yaml), "--img", str(plan.size)]
        demo.run(words, "validating the checkpoint")
        first = said_by(log)
    began = time.monotonic()
    run, where = demo.train(plan, epochs)
    seconds, reached = time.monotonic() - began, epochs_of(run)
    images = float(json.loads(demo.speeds.read_text(encoding="utf-8"))["throughput"])
    lines, learned = verdict(where, seconds, images, first, reached, demo.place.why)
    say("")
    for line in lines:
        say(line)
    say("\nto look at")
    for name, what in PICTURES.items():
        say(f"  {(run / name).absolute()}  {what}")
    say("\nnext")
    porter_command = Path(sys.executable).with_name("porter")
    with suppress(ValueError):
        porter_command = porter_command.relative_to(Path.cwd())
    for words, what in (
        (f"verify --target {target} --html report.html {shlex.quote(str(tree))}", "prove it, on an emulated card"),
        (f"doctor --target {target}", "what a machine with the card lacks"),
    ):
        say(f"  {porter_command} {words}  # {what}")
    return learned


if __name__ == "__main__":
    main()
