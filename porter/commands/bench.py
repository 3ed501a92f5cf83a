"""``porter bench``: measure how fast a tree trains, on its device and, in turn, on another or in another tree."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from porter.commands.arguments import AnyPath, AnyProject, find_of, path
from porter.commands.options import FOLDER, JSON, print_json, target_option, terminal
from porter.commands.options import device as device_options
from porter.datasets import generate
from porter.errors import CheckFailed, WrongUsage
from porter.files import append_line
from porter.output import Progress, heading
from porter.target import Target, load_known
from porter.temporary import work_folder
from porter.tree import must_hold
from porter.verification.child import A_DAY, Children
from porter.verification.device import Device, choose
from porter.verification.launch import PRECISIONS, must_train_in
from porter.verification.session import DRIVERS

DRAWN = 3  # iterations at first, during which v6.0 draws pictures in threads
_PRECISIONS: dict[str, tuple[str, ...]] = {"fp32": (), "amp": ("--pyamp",), "fp16": ("--fp16",)}
# what the emulated device counts -> as target.yaml's budget calls it
_COUNTED = {
    "synchronisations": "synchronisations",
    "host_to_device": "uploads",
    "device_to_host": "downloads",
    "inside_kernels": "inside",
}
_T = TypeVar("_T")


def bench(
    target: str,
    tree: AnyPath,
    *,
    device: str = "auto",
    profile: str = "",
    iters: int = 100,
    warm_up: int = 10,
    runs: int = 3,
    cfg: str = "yolov5s.yaml",
    img: int = 640,
    batch: int = 16,
    workers: int = 8,
    data: AnyPath | None = None,
    precision: str = "fp32",
    against: str = "",
    python: str | None = None,
    threads: int = 0,
    begun: Callable[[str], None] = lambda line: None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Result:
    """Measure how fast a tree trains on the target; with ``against``, in turn with another device or tree.

    Args:
        device: as for :func:`porter.verify`; ``profile``: the card to emulate.
        iters: iterations that count, in each run; ``warm_up``: iterations before them, which do not.
        runs: how often each is measured.
        cfg: the model's yaml; ``img``: pixels; ``batch``: images in a batch; ``workers``: processes that load data.
        data: a data set's yaml.  None: scenes drawn for it.
        precision: ``fp32``, ``amp`` or ``fp16``.
        against: ``cpu``, ``cuda`` or another tree's folder; empty: nothing.
        python: the interpreter that trains.  None: this one.
        threads: of torch, on the host; 0: a core each.
        begun: gets a line for each subject, before the emulated device is built, and for each run when it begins.

    Raises:
        WrongUsage: there is no such target, tree or interpreter, or the stack has no such precision.
        CheckFailed: a training fails.
        EnvironmentFailed: there is no such device, or the disk is full.
    """
    family = load_known(find_of(project, tree), target)
    progress, python = progress or Progress(), python or sys.executable
    load = Workload(iters, warm_up, cfg, img, batch, workers, path(data), precision)
    choosing = partial(choose, device, family, python, profile=profile, begun=begun)
    subjects = _subjects(project, family, Path(tree).absolute(), precision, against, device, python, choosing)
    for subject in subjects:
        begun(f"{subject.name}: {subject.tree} on {subject.device.says}")
    if warm_up < DRAWN:
        progress.note(f"v6.0 draws pictures during the first {DRAWN} iterations; --warm-up {DRAWN} leaves them out")
    with work_folder("porter-bench-") as root:
        images = load.data.absolute() if load.data else _scenes(root, load)
        children = Children(root, python, 1, A_DAY, False, threads or os.cpu_count() or 1, family.inherited)
        took: dict[str, list[float]] = {each.name: [] for each in subjects}

        def run(subject: Subject) -> Mapping[str, Any]:
            before = took[subject.name]
            usual = f"; usually {statistics.median(before):.0f} s" if before else f", {warm_up + iters} iterations"
            begun(f"measuring {subject.name}, run {len(before) + 1} of {runs}{usual}")
            progress.step(f"measuring {subject.name}", sum(map(len, took.values())), runs * len(subjects))
            started = time.monotonic()
            made = _run(children, subject, load, images)
            before.append(time.monotonic() - started)
            return made

        made = in_turn(runs, {each.name: partial(run, each) for each in subjects})
    measured = tuple(_measured(each, made[each.name], batch) for each in subjects)
    return Result(target, load, measured, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def _subjects(
    project: AnyProject,
    target: Target,
    tree: Path,
    precision: str,
    against: str,
    kind: str,
    python: str,
    choosing: Callable[[], Device],
) -> list[Subject]:
    """What is measured.  Interpreters are started last: whatever is wrong with the request is said at once."""
    commit = must_hold(find_of(project, tree), tree, target.name).head
    must_train_in(precision, tree)
    device_named = against in ("cpu", "cuda")
    if against == kind:
        raise WrongUsage(f"this is the {kind} already", hint="--against another device, or another tree.")
    if not against or device_named:
        device = choosing()
        first = Subject(device.name, tree, commit, device)
        return [first, *([_other(first, target, against, python)] if device_named else [])]
    place = Path(against).absolute()
    found = must_hold(find_of(project, place), place, target.name)
    must_train_in(precision, place)
    device = choosing()
    names = (tree.name, place.name) if tree.name != place.name else (str(tree), str(place))
    return [Subject(names[0], tree, commit, device), Subject(names[1], place, found.head, device)]


def _other(first: Subject, target: Target, named: str, python: str) -> Subject:
    """The same tree on the device that is named: ``cpu`` or ``cuda``."""
    if first.device.name == named:
        raise WrongUsage(f"there is only the {named} here", hint="--device emulated, or another tree.")
    cpu = choose("cpu", target, python)
    other = cpu if named == "cpu" else Device("hardware", "0", "CUDA device 0", facts=cpu.facts)
    return replace(first, name=named, device=other)


def _scenes(root: Path, load: Workload) -> Path:
    """Pictures for a few epochs: fewer than the iterations take, so that drawing them takes seconds."""
    count = load.batch * max(2, min(8, load.warm_up + load.iters))
    return generate.make(root / "scenes", images=count, size=(load.img, load.img)).yaml


def _run(children: Children, subject: Subject, load: Workload, data: Path) -> Mapping[str, Any]:
    cwd = children.folder("bench")
    total = load.warm_up + load.iters
    # --skip: neither validate nor save.  --sync-bn in one process does nothing but keep v6.0 from tracing a graph.
    words: list[object] = ["--iters", total, "--epochs", total, "--skip", "--sync-bn", "--noautoanchor"]
    words += ["--weights", "", "--cfg", load.cfg, "--img", load.img, "--batch-size", load.batch]
    words += ["--workers", load.workers, "--data", data, "--project", "runs", "--device", subject.device.name]
    words += _PRECISIONS[load.precision]
    out = cwd / "figures.json"
    env = {**subject.device.environment, "BENCHMARK_LOG": str(cwd / "benchmark.log")}
    run = children.run(DRIVERS / "bench.py", subject.tree, out, load.warm_up, "--", *words, cwd=cwd, env=env)
    if run.status != 0 or not out.is_file():
        raise CheckFailed(f"the training on {subject.name} {run.ending}", run.tail(), run.shown())
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    if len(found["batch_time"]) != load.iters:
        raise CheckFailed(f"{len(found['batch_time'])} iterations were measured, not {load.iters}", run.tail())
    shutil.rmtree(cwd, ignore_errors=True)
    return found


def _measured(subject: Subject, runs: list[Mapping[str, Any]], batch: int) -> Measured:
    return Measured(
        subject,
        tuple(figures([run], batch) for run in runs),
        figures(runs, batch),
        str(runs[0]["metrics"]["precision"]),
        str(runs[0]["device"]),
    )


@dataclass(frozen=True)
class Workload:
    """What each run trains: the same for everything that is compared.

    Attributes:
        iters: iterations that count; ``warm_up``: iterations before them, which do not.
        data: a data set's yaml; None: scenes drawn for it.
        precision: ``fp32``, ``amp`` or ``fp16``.
    """

    iters: int
    warm_up: int
    cfg: str
    img: int
    batch: int
    workers: int
    data: Path | None
    precision: str


@dataclass(frozen=True)
class Figures:
    """What one run, or several together, came to.  Times are seconds of one iteration.

    Attributes:
        throughput: images per second.
        iterations: how many were counted.
        batch_time_avg, batch_time_var, batch_time_p50, batch_time_p95: wall time, the wait for data in it.
        hardware_time_avg, hardware_time_var: of the same iterations by the device's own clock, what the card was busy
            on mlu, else the time between two events; None where it has none.
        data_time_avg: the wait for the batch.
        memory_device, memory_host: the most that was held, bytes; of the device 0 where it does not tell.
        per_step: name -> calls in a usual iteration (the median); None where nothing counts them.
    """

    throughput: float
    iterations: int
    batch_time_avg: float
    batch_time_var: float
    batch_time_p50: float
    batch_time_p95: float
    hardware_time_avg: float | None
    hardware_time_var: float | None
    data_time_avg: float
    memory_device: int
    memory_host: int
    per_step: Mapping[str, int] | None

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Subject:
    """What is measured: a tree on a device."""

    name: str
    tree: Path
    commit: str
    device: Device


@dataclass(frozen=True)
class Measured:
    """A subject, each of its runs, and all of them together."""

    subject: Subject
    runs: tuple[Figures, ...]
    together: Figures
    precision: str
    card: str

    @property
    def mark(self) -> str:
        """EMULATED or SIMULATOR where no card was in it."""
        return self.subject.device.mark

    @property
    def speeds(self) -> list[float]:
        """Images per second, of each run."""
        return [run.throughput for run in self.runs]

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.subject.name,
            "tree": str(self.subject.tree),
            "commit": self.subject.commit,
            "device": self.subject.device.says,
            "card": self.card,
            "emulated": self.mark == "EMULATED",
            "simulator": self.mark == "SIMULATOR",
            "precision": self.precision,
            "runs": [run.record() for run in self.runs],
            "together": self.together.record(),
        }


@dataclass(frozen=True)
class Result:
    """Everything measured.

    Attributes:
        target: a device family; ``workload``: what was trained.
        measured: the subject, and what it is compared with if there is such a thing.
        date: when it was done.
    """

    target: str
    workload: Workload
    measured: tuple[Measured, ...]
    date: str

    @property
    def ratio(self) -> list[float]:
        """How many times as fast the subject is as the other, round by round; empty without another."""
        return ratios(*(each.speeds for each in self.measured)) if len(self.measured) == 2 else []

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        load = self.workload
        how = {name: getattr(load, name) for name in ("cfg", "img", "batch", "precision", "workers")}
        ratio = self.ratio
        summary = {"median": statistics.median(ratio), "min": min(ratio), "max": max(ratio)} if ratio else None
        return {
            **heading("bench"),
            "target": self.target,
            **how,
            "iters": load.iters,
            "warm_up": load.warm_up,
            "data": str(load.data) if load.data else "generated scenes",
            "date": self.date,
            "machine": f"{platform.platform()}, {os.cpu_count()} cores",
            "emulated": any(each.mark == "EMULATED" for each in self.measured),
            "simulator": any(each.mark == "SIMULATOR" for each in self.measured),
            "subjects": [each.record() for each in self.measured],
            "ratio": {**summary, "rounds": ratio} if summary else None,
        }

    def trend(self) -> dict[str, Any]:
        """What a file of measurements over commits keeps: the subject, not what it was compared with."""
        first, load = self.measured[0], self.workload
        together = first.together.record()
        return {
            "date": self.date,
            "commit": first.subject.commit,
            "target": self.target,
            "device": first.card,
            "emulated": first.mark == "EMULATED",
            "simulator": first.mark == "SIMULATOR",
            "cfg": load.cfg,
            "img": load.img,
            "batch": load.batch,
            "precision": first.precision,
            "throughput": statistics.median(first.speeds),
            "throughput_min": min(first.speeds),
            "throughput_max": max(first.speeds),
            **{name: value for name, value in together.items() if name not in ("throughput", "iterations")},
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A table for people: the first row is the heading."""
        all_ = [each.together for each in self.measured]
        shown: list[tuple[str, Callable[[Figures], str]]] = [
            ("batch time, mean", lambda f: _ms(f.batch_time_avg)),
            ("  variance", lambda f: f"{f.batch_time_var * 1e6:.4g} ms2"),
            ("  median, p95", lambda f: f"{_ms(f.batch_time_p50)}, {_ms(f.batch_time_p95)}"),
            ("hardware time, mean", lambda f: "-" if f.hardware_time_avg is None else _ms(f.hardware_time_avg)),
            ("waiting for data", lambda f: f"{_ms(f.data_time_avg)} ({f.data_time_avg / f.batch_time_avg:.0%})"),
            ("device memory, peak", lambda f: f"{f.memory_device / 2**20:.0f} MiB" if f.memory_device else "-"),
            ("host memory, peak", lambda f: f"{f.memory_host / 2**20:.0f} MiB"),
            ("synchronisations in a step", lambda f: str(f.per_step["synchronisations"]) if f.per_step else "-"),
            ("copies to and from the device", lambda f: _copies(f.per_step)),
        ]
        marks = [f"{each.subject.name}{f' ({each.mark})' if each.mark else ''}" for each in self.measured]
        rows = [("", *marks), ("precision", *(each.precision for each in self.measured))]
        rows.append(("images/s, of the runs", *(spread(each.speeds, "") for each in self.measured)))
        return [*rows, *((name, *map(say, all_)) for name, say in shown)]


def figures(runs: Sequence[Mapping[str, Any]], batch: int) -> Figures:
    """The figures of what drivers/bench.py wrote, of one run or of all together."""
    times = [float(t) for run in runs for t in run["batch_time"]]
    hardware = [float(t) for run in runs for t in run["hardware_time"]]
    waits = [float(t) for run in runs for t in run["data_time"]]
    steps = [step for run in runs for step in run["steps"]]
    mean = statistics.fmean(times)
    return Figures(
        throughput=batch / mean,
        iterations=len(times),
        batch_time_avg=mean,
        batch_time_var=statistics.pvariance(times),
        batch_time_p50=percentile(times, 50),
        batch_time_p95=percentile(times, 95),
        hardware_time_avg=statistics.fmean(hardware) if hardware else None,
        hardware_time_var=statistics.pvariance(hardware) if hardware else None,
        data_time_avg=statistics.fmean(waits) if waits else 0.0,
        memory_device=max(int(run["memory"]["device"]) for run in runs),
        memory_host=max(int(run["memory"]["host"]) for run in runs),
        per_step=_steady(steps),
    )


def _steady(steps: Sequence[Mapping[str, int]]) -> Mapping[str, int] | None:
    """Of the steps of a run; the few at the end of an epoch do more."""
    if not steps:
        return None
    return {name: int(statistics.median_low([step[kind] for step in steps])) for name, kind in _COUNTED.items()}


def in_turn(repeats: int, subjects: Mapping[str, Callable[[], _T]]) -> dict[str, list[_T]]:
    """Measure each subject once, then each again, ``repeats`` times over; subject -> its measurements.

    Every other round goes backwards, so that no subject always follows the same one.
    """
    found: dict[str, list[_T]] = {name: [] for name in subjects}
    for turn in range(repeats):
        names = list(subjects) if turn % 2 == 0 else list(reversed(list(subjects)))
        for name in names:
            found[name].append(subjects[name]())
    return found


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """The ratio in each round: both were measured one right after the other."""
    return [a / b for a, b in zip(over, under)]


def spread(values: Sequence[float], unit: str, scale: float = 1.0) -> str:
    """Median and range, as ``12.3 ms (11.9 to 14.0)``."""
    low, middle, high = (scale * v for v in (min(values), statistics.median(values), max(values)))
    return f"{middle:.4g} {unit} ({low:.4g} to {high:.4g})".replace("  ", " ")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many percent lie, between two neighbours in proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.4g} ms"


def _copies(per_step: Mapping[str, int] | None) -> str:
    return f"{per_step['host_to_device']}, {per_step['device_to_host']}" if per_step else "-"


@click.command(name="bench")
@target_option(required=True)
@device_options
@click.option("--iters", type=click.IntRange(1), default=100, show_default=True, help="Iterations that count, a run.")
@click.option("--warm-up", type=click.IntRange(0), default=10, show_default=True, help="Iterations before, left out.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="How often each is measured.")
@click.option("--cfg", default="yolov5s.yaml", show_default=True, metavar="YAML", help="The model.")
@click.option("--img", type=click.IntRange(32), default=640, show_default=True, help="Pixels.")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Images in a batch.")
@click.option("--workers", type=click.IntRange(0), default=8, show_default=True, help="Processes that load data.")
@click.option("--data", metavar="YAML", type=FOLDER, help="A data set.  [default: scenes drawn for it]")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="amp is --pyamp; fp16, in a tree for tpu, is train_fp16.py.",
)
@click.option(
    "--against", default="", metavar="cpu|cuda|DIR", help="Measure this device, or this tree, in turn with it."
)
@click.option("--python", metavar="EXE", default=sys.executable, help="Train with this interpreter.")
@click.option("--threads", type=click.IntRange(0), default=0, help="Of torch, on the host.  [default: a core each]")
@JSON
@click.option("--trend", metavar="FILE", type=FOLDER, help="Append the figures to this file, a JSON object a line.")
@click.argument("tree", metavar="DIR", type=FOLDER)
def command(target: str, tree: Path, as_json: bool, trend: Path | None, **asked: Any) -> None:
    """Measure how fast the tree in DIR trains on the target.

    Each run is a process of its own that trains from nothing; the times are those of the tree's metric collector. What
    it is compared with is measured in turn with it, and the ratio is taken round by round.
    """
    with terminal() as progress:
        found = bench(target, tree, **asked, begun=progress.note, progress=progress)
    if trend:
        append_line(trend, json.dumps(found.trend(), ensure_ascii=False).encode())
    if as_json:
        print_json("bench", found.record())
    else:
        _print(found)


def _print(found: Result) -> None:
    rows = found.rows()
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        click.secho(line, bold=number == 0)
    if found.ratio:
        names = " / ".join(each.subject.name for each in found.measured)
        click.echo(f"images/s, {names}: {spread(found.ratio, '')}")
    for mark in sorted({each.mark for each in found.measured if each.mark}):
        click.secho(f"{mark}: these are times of this machine's processor; no card was in it.", fg="yellow", bold=True)
