"""Measure how fast a tree trains, on its device and, in turn, on another or in another tree."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from porter.datasets import generate
from porter.errors import CheckFailed, WrongUsage
from porter.files import work_folder
from porter.measurement.figures import Figures, figures
from porter.measurement.turns import in_turn, ratios, spread
from porter.output import Progress, heading
from porter.project import Project
from porter.target import Target, load_known
from porter.tree.clone import must_hold
from porter.verification.child import Children
from porter.verification.device import Device, choose
from porter.verification.session import DRIVERS

WARM_UP = 10  # iterations: caches fill
DRAWN = 3  # iterations at first, during which v6.0 draws pictures in threads
_PRECISIONS: dict[str, tuple[str, ...]] = {"fp32": (), "amp": ("--pyamp",), "fp16": ("--fp16",)}
_TIMEOUT = 24 * 3600.0  # seconds of a run: nobody knows how fast the device is, and the person can press Ctrl-C


@dataclass(frozen=True)
class Request:
    """What to measure and how.

    Attributes:
        target: a device family.
        tree: the folder.
        device: as porter verify has it; ``profile``: the card to emulate.
        iters: iterations that count, in each run; ``warm_up``: iterations before them, which do not.
        runs: how often each subject is measured.
        cfg, img, batch, workers, data, precision: how is trained; without data scenes are drawn.
        against: ``cpu``, ``cuda``, another tree's folder, or nothing.
        python: the interpreter.
        threads: of torch, on the host.
    """

    target: str
    tree: Path
    device: str = "auto"
    profile: str = ""
    iters: int = 100
    warm_up: int = WARM_UP
    runs: int = 3
    cfg: str = "yolov5s.yaml"
    img: int = 640
    batch: int = 16
    workers: int = 8
    data: Path | None = None
    precision: str = "fp32"
    against: str = ""
    python: str = sys.executable
    threads: int = 0


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
        request: how.
        measured: the subject, and what it is compared with if there is such a thing.
        date: when it was done.
    """

    request: Request
    measured: tuple[Measured, ...]
    date: str

    @property
    def ratio(self) -> list[float]:
        """How many times as fast the subject is as the other, round by round; empty without another."""
        return ratios(*(each.speeds for each in self.measured)) if len(self.measured) == 2 else []

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        asked = self.request
        how = {name: getattr(asked, name) for name in ("target", "cfg", "img", "batch", "precision", "workers")}
        ratio = self.ratio
        summary = {"median": statistics.median(ratio), "min": min(ratio), "max": max(ratio)} if ratio else None
        return {
            **heading("bench"),
            **how,
            "iters": asked.iters,
            "warm_up": asked.warm_up,
            "data": str(asked.data) if asked.data else "generated scenes",
            "date": self.date,
            "machine": f"{platform.platform()}, {os.cpu_count()} cores",
            "emulated": any(each.mark == "EMULATED" for each in self.measured),
            "simulator": any(each.mark == "SIMULATOR" for each in self.measured),
            "subjects": [each.record() for each in self.measured],
            "ratio": {**summary, "rounds": ratio} if summary else None,
        }

    def trend(self) -> dict[str, Any]:
        """What a file of measurements over commits keeps: the subject, not what it was compared with."""
        first, asked = self.measured[0], self.request
        together = first.together.record()
        return {
            "date": self.date,
            "commit": first.subject.commit,
            "target": asked.target,
            "device": first.card,
            "emulated": first.mark == "EMULATED",
            "simulator": first.mark == "SIMULATOR",
            "cfg": asked.cfg,
            "img": asked.img,
            "batch": asked.batch,
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


def bench(project: Project, request: Request, progress: Progress, begun: Callable[[str], None]) -> Result:
    """Measure; ``begun`` gets a line for each subject first.

    Raises:
        WrongUsage: no such target, tree or interpreter; a precision that the stack has not.
        CheckFailed: a training fails.
        SurroundingsFailed: no such device, or the disk is full.
    """
    target = load_known(project, request.target)
    subjects = _subjects(project, request, target)
    for subject in subjects:
        begun(f"{subject.name}: {subject.tree} on {subject.device.says}")
    if request.warm_up < DRAWN:
        progress.note(f"v6.0 draws pictures during the first {DRAWN} iterations; --warm-up {DRAWN} leaves them out")
    with work_folder("porter-bench-") as root:
        data = request.data.absolute() if request.data else _scenes(root, request)
        threads = request.threads or os.cpu_count() or 1
        children = Children(root, request.python, 1, _TIMEOUT, False, threads, target.inherited)
        done = 0

        def run(subject: Subject) -> Mapping[str, Any]:
            nonlocal done
            progress.step(f"measuring {subject.name}", done, request.runs * len(subjects))
            found = _run(children, subject, request, data)
            done += 1
            return found

        found = in_turn(request.runs, {each.name: partial(run, each) for each in subjects})
    measured = tuple(_measured(each, found[each.name], request.batch) for each in subjects)
    return Result(request, measured, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def _subjects(project: Project, request: Request, target: Target) -> list[Subject]:
    """What is measured.  Interpreters are started last: whatever is wrong with the request is said at once."""
    tree = request.tree.absolute()
    commit = must_hold(project, tree, target.name).head
    _must_have(request, tree)
    device_named = request.against in ("cpu", "cuda")
    if request.against == request.device:
        raise WrongUsage(f"this is the {request.device} already", hint="--against another device, or another tree.")
    if not request.against or device_named:
        first = Subject("", tree, commit, choose(request.device, target, request.python, profile=request.profile))
        first = replace(first, name=first.device.name)
        return [first, *([_other(request, first, target)] if device_named else [])]
    place = Path(request.against).absolute()
    found = must_hold(project, place, target.name)
    _must_have(request, place)
    device = choose(request.device, target, request.python, profile=request.profile)
    names = (tree.name, place.name) if tree.name != place.name else (str(tree), str(place))
    return [Subject(names[0], tree, commit, device), Subject(names[1], place, found.head, device)]


def _other(request: Request, first: Subject, target: Target) -> Subject:
    """The same tree on the device that is named."""
    if first.device.name == request.against:
        raise WrongUsage(f"there is only the {request.against} here", hint="--device emulated, or another tree.")
    cpu = choose("cpu", target, request.python)
    other = cpu if request.against == "cpu" else Device("hardware", "0", "CUDA device 0", facts=cpu.facts)
    return replace(first, name=request.against, device=other)


def _must_have(request: Request, tree: Path) -> None:
    """FP16 training is Sophgo's, in the stack of its target alone."""
    if request.precision == "fp16" and not (tree / "train_fp16.py").is_file():
        raise WrongUsage(f"{tree} has no FP16 training: it is in the stack of tpu", hint="--precision amp")


def _scenes(root: Path, request: Request) -> Path:
    """Pictures for a few epochs: fewer than the iterations take, so that drawing them takes seconds."""
    count = request.batch * max(2, min(8, request.warm_up + request.iters))
    return generate.make(root / "scenes", images=count, size=(request.img, request.img)).yaml


def _run(children: Children, subject: Subject, request: Request, data: Path) -> Mapping[str, Any]:
    cwd = children.folder("bench")
    total = request.warm_up + request.iters
    # --skip: neither validate nor save.  --sync-bn in one process does nothing but keep v6.0 from tracing a graph.
    words: list[object] = ["--iters", total, "--epochs", total, "--skip", "--sync-bn", "--noautoanchor"]
    words += ["--weights", "", "--cfg", request.cfg, "--img", request.img, "--batch-size", request.batch]
    words += ["--workers", request.workers, "--data", data, "--project", "runs", "--device", subject.device.name]
    words += _PRECISIONS[request.precision]
    out = cwd / "figures.json"
    env = {**subject.device.environment, "BENCHMARK_LOG": str(cwd / "benchmark.log")}
    run = children.run(DRIVERS / "bench.py", subject.tree, out, request.warm_up, "--", *words, cwd=cwd, env=env)
    if run.status != 0 or not out.is_file():
        raise CheckFailed(f"the training on {subject.name} {run.ending}", run.tail(), run.shown())
    found: dict[str, Any] = json.loads(out.read_text())
    if len(found["batch_time"]) != request.iters:
        raise CheckFailed(f"{len(found['batch_time'])} iterations were measured, not {request.iters}", run.tail())
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


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.4g} ms"


def _copies(per_step: Mapping[str, int] | None) -> str:
    return f"{per_step['host_to_device']}, {per_step['device_to_host']}" if per_step else "-"
