"""One verification of one tree: its children, its data, and what several checks look at, done once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from porter.lockfile import Lock as PinLock
from porter.output import Progress
from porter.project import Project
from porter.target import Target
from porter.verification.child import Children, Run
from porter.verification.device import Device
from porter.verification.report import Failed

if TYPE_CHECKING:
    from porter.verification.data import Pictures

T = TypeVar("T")
DRIVERS = Path(__file__).resolve().parent / "drivers"
IMAGES, BATCH = 40, 4  # of the smoke data; a batch
PER_EPOCH = IMAGES // BATCH  # iterations
# yolov5n at 96 pixels from nothing: an epoch takes a second or two on one core.  --sync-bn in a single process does
# nothing but keep v6.0 from tracing a graph for TensorBoard, which takes seconds.
NANO = ("--weights", "", "--cfg", "yolov5n.yaml", "--batch-size", BATCH, "--img", 96, "--workers", 0, "--sync-bn")
UNSURE = 1e-5  # confidence from which boxes count: a model after 20 iterations is sure of nothing
BOXES = ("--save-txt", "--save-conf", "--project", "runs")  # have val.py and detect.py write what they found
DETECT = ("--img", 96, "--conf-thres", UNSURE, "--max-det", 50, "--nosave", *BOXES)
COUNTS = "counts.json"
# 256 scenes of 4 classes in 15 epochs, on the cpu with torch 2.13: mAP@0.5 0.324; with the backbone frozen 0.053.
# In 12 epochs 0.123, in 10 0.079.
LEARN: dict[str, Any] = {"images": 256, "size": (96, 96), "classes": 4}
LEARN_EPOCHS = 15
# Seconds of a processor that a training of NANO takes, its beginning and end, and an epoch more; those of LEARN,
# and those of an epoch with all that a person gets of it.
# Measured on a virtual machine of two AMD EPYC cores with torch 2.13, one thread: 8.0, 9.7 and 13.2 s for 1, 2 and 5
# epochs on the cpu, 8.1, 9.3 and 13.5 s on the emulated MLU.
START, EPOCH, LEARN_TAKES, PLAIN_TAKES = 6.8, 1.3, 62, 14


@dataclass(frozen=True)
class Record:
    """What drivers/record.py wrote of a training, and the folder that train.py filled."""

    run: Run
    folder: Path
    found: Mapping[str, Any]

    @property
    def last(self) -> Path:
        return self.folder / "weights" / "last.pt"

    @property
    def unstripped(self) -> Path:
        """A checkpoint with all that a training that goes on needs."""
        return self.folder / "weights" / "epoch1.pt"

    @property
    def best(self) -> Path:
        return self.folder / "weights" / "best.pt"


@dataclass(eq=False)
class Session:
    """What the checks of one run share.

    Attributes:
        tree: the folder that is checked.
        target: whose stack it holds.
        device: what it is checked on.
        children: starts every program.
        root: this run's own folder.
        data_kind: of the smoke data, see :mod:`porter.verification.data`.
        progress: hears of a download.
        model: a checkpoint that sees something, if the person named one.
        full_size: hold the tree to published figures at the published size, although it takes long here.
        begun: gets a line for each step that takes a while, when it begins.
        variant_of: the session of the tree that this one is a variant of, if it is one.
    """

    project: Project
    tree: Path
    target: Target
    device: Device
    children: Children
    root: Path
    data_kind: str = "scenes"
    progress: Progress = field(default_factory=Progress)
    variant_of: Session | None = None
    model: Path | None = None
    full_size: bool = False
    begun: Callable[[str], None] = lambda line: None
    _lock: Lock = field(default_factory=Lock, init=False)
    _done: dict[str, Future[Any]] = field(default_factory=dict, init=False)

    @property
    def whole(self) -> Session:
        """What checks begin with is its."""
        return self.variant_of or self

    @property
    def devices(self) -> list[str]:
        """What ``--device`` gets where both sides are wanted: the cpu, and the device where that is another."""
        return list(dict.fromkeys(("cpu", self.device.name)))

    @cached_property
    def upstream(self) -> str:
        """The tag of the release that the tree is of, or what its commit is called."""
        return PinLock.load(self.project.lock_path).pin.tag

    # -- what is done once ---------------------------------------------------------------------------

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` returns, or raises: done by whoever asks first, the others wait."""
        with self._lock:
            future = self._done.get(name)
            mine = future is None
            if future is None:
                future = self._done[name] = Future()
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
        found: T = future.result()
        return found

    @cached_property
    def pictures(self) -> Pictures:
        """The smoke data, made before any check begins."""
        if self.whole is not self:
            return self.whole.pictures
        from porter.verification.data import pictures  # brings all that downloads; nothing static needs it

        return pictures(self.data_kind, IMAGES, self.root / "pictures", self.tree, self.progress, self.begun)

    @property
    def data(self) -> Path:
        """The folder of the smoke data."""
        return self.pictures.path

    # -- programs ------------------------------------------------------------------------------------

    def run(
        self,
        *words: object,
        cwd: Path,
        device: str | None = None,
        env: Mapping[str, str] | None = None,
        limit: float | None = None,
    ) -> Run:
        """``python WORDS`` with the device's environment, unless it is for the cpu."""
        own = self.device.environment if (device or self.device.name) != "cpu" else {}
        return self.children.run(*words, cwd=cwd, env={**own, **self.rooted, **(env or {})}, limit=limit)

    @property
    def rooted(self) -> dict[str, str]:
        """Tells the emulated device which lines of Python are the tree's."""
        return {"PORTER_EMULATED_ROOT": str(self.tree)}

    def script(
        self,
        name: str,
        *words: object,
        cwd: Path,
        device: str | None = None,
        env: Mapping[str, str] | None = None,
        limit: float | None = None,
        charts: bool = False,
    ) -> Run:
        """``python TREE/NAME WORDS --device DEVICE``, which has to end well; without charts: drivers/program.py."""
        device = device or self.device.name
        program = [self.tree / name] if charts else [DRIVERS / "program.py", self.tree, name, "--"]
        words = (*program, *words, "--device", device)
        return well(self.run(*words, cwd=cwd, device=device, env=env, limit=limit))

    def driver(
        self, name: str, *words: object, cwd: Path, device: str | None = None, env: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The JSON that one of our drivers printed in the tree.

        Raises:
            Failed: it did not end well, or what it expected does not hold (``expect`` in drivers/entry.py).
        """
        run = well(self.run(DRIVERS / name, self.tree, *words, cwd=cwd, device=device, env=env))
        found: dict[str, Any] = json.loads(run.out.splitlines()[-1])
        if "failed" in found:
            raise Failed(found["failed"], run.tail(), run.shown())
        return found

    def copy_data(self, cwd: Path, data: Path | None = None) -> Path:
        """A copy of the data for one run (v6.0 writes caches beside the labels); returns its data.yaml."""
        own, data = cwd / "data", data or self.data
        if not own.exists():
            shutil.copytree(data, own)
            text = (data / "data.yaml").read_text(encoding="utf-8")
            (own / "data.yaml").write_text(
                re.sub(r"(?m)^path:.*$", lambda _: f"path: {json.dumps(str(own))}", text), encoding="utf-8"
            )
        return own / "data.yaml"

    def record(
        self,
        name: str,
        *words: object,
        device: str | None = None,
        kill_at: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        takes: int = 0,
        script: str = "",
    ) -> Record:
        """A recorded training from nothing (see drivers/record.py) on a device, made anew each time."""
        device = device or self.device.name
        cwd = cwd or self.children.folder(name)
        out = cwd / f"record-{name}.json"
        driver = [DRIVERS / "record.py", self.tree, out, *([] if kill_at is None else [kill_at]), "--"]
        words = (*(() if "--resume" in words else self.nano(cwd)), *words, "--device", device)
        self.begun(f"training {name} on {device}: usually {takes or usual(words)} s")
        run = self.run(*driver, *words, cwd=cwd, device=device, env=env)
        if kill_at is None:
            well(run)
        elif run.status != -9:
            raise Failed(f"train.py {run.ending} before iteration {kill_at}", run.tail(), run.shown())
        if not out.exists():
            raise Failed("train.py wrote no record", run.tail(), run.shown())
        return Record(run, newest(cwd / "runs"), json.loads(out.read_text(encoding="utf-8")))

    def watched(self, what: str, *words: object) -> Record:
        """A training from nothing on the device, of which drivers/training.py watches one thing."""
        cwd = self.children.folder(what)
        out, driver = cwd / "found.json", DRIVERS / "training.py"
        run = self.run(
            driver, self.tree, what, out, "--", *self.nano(cwd), *words, "--device", self.device.name, cwd=cwd
        )
        well(run)
        return Record(run, newest(cwd / "runs"), json.loads(out.read_text(encoding="utf-8")))

    def nano(self, cwd: Path) -> list[object]:
        """:data:`NANO` on a copy of the data."""
        return [*NANO, "--data", self.copy_data(cwd), "--project", "runs"]

    # -- trainings that several checks look at -------------------------------------------------------

    def trained(self, device: str | None = None) -> Record:
        """Two epochs from nothing on a device, recorded."""
        device = device or self.device.name
        return self.once(
            f"trained {device}",
            lambda: self.record(f"recorded-{device}", "--epochs", 2, "--save-period", 1, device=device),
        )

    @property
    def weights(self) -> Path:
        """A checkpoint for checks to begin with, trained on the cpu."""
        return self.whole.trained("cpu").best

    def detected(self, device: str) -> Path:
        """The folder in which detect.py ran on a device, over the pictures to validate on.

        ``runs/exp/labels`` in it holds the boxes, :data:`COUNTS` what the emulated device counted.
        """

        def make() -> Path:
            cwd = self.children.folder(f"detect-{device}")
            words = ["--weights", self.weights, "--source", self.data / "images" / "val", *DETECT]
            self.script("detect.py", *words, cwd=cwd, device=device, env={"PORTER_EMULATED_COUNTS": str(cwd / COUNTS)})
            return cwd

        return self.once(f"detected {device}", make)

    def learned(self, device: str | None = None) -> Record:
        """The overfit run of :data:`LEARN`, on a device."""

        def make() -> Record:
            from porter.datasets import generate  # draws; of no use where nothing is run

            cwd = self.children.folder("learns")
            made = generate.make(cwd / "scenes", **LEARN)
            words = ("--epochs", LEARN_EPOCHS, "--batch-size", 16, "--optimizer", "Adam", "--data", made.yaml)
            return self.record("learns", *words, cwd=cwd, device=device, takes=LEARN_TAKES)

        return self.once(f"learned {device or self.device.name}", make)

    def plain(self) -> Record:
        """An epoch from nothing on the device as a person runs it, with the metric collector's files asked for."""

        def make() -> Record:
            cwd = self.children.folder("train")
            env = {"BENCHMARK_LOG": str(cwd / "benchmark.log"), "AVG_LOG": str(cwd / "accuracy.log")}
            (cwd / ".git").mkdir()  # v6.0 asks for updates where it believes to be in a clone
            self.begun(f"training plain on {self.device.name}: usually {PLAIN_TAKES} s")
            words = ("--epochs", 1, "--optimizer", "SGD")
            run = self.script("train.py", *self.nano(cwd), *words, cwd=cwd, env=env, charts=True)
            return Record(run, newest(cwd / "runs"), {})

        return self.once("plain", make)


def usual(words: Sequence[object]) -> int:
    """Seconds that a training of the smoke data with these options for train.py usually takes."""
    epochs = int(str(words[words.index("--epochs") + 1])) if "--epochs" in words else 1
    return round(START + EPOCH * epochs)


def well(run: Run) -> Run:
    """A run that ended well.

    Raises:
        Failed: it did not, a thread died in it (v6.0 draws in threads), or it tried what is forbidden.
    """
    if run.forbidden:
        raise Failed(f"it tried: {run.forbidden[0]}", run.tail(), run.shown())
    if run.status != 0:
        raise Failed(f"it {run.ending}{run.reason}", run.tail(), run.shown())
    if "Traceback (most recent call last)" in run.text:
        raise Failed("something in it died, although it ended with status 0", run.tail(), run.shown())
    return run


def newest(folder: Path) -> Path:
    """The last of exp, exp2, exp3, … in ``folder`` (or ``exp``, which then is not there)."""
    found = sorted(folder.glob("exp*"), key=lambda path: int(path.name[3:] or 1))
    return found[-1] if found else folder / "exp"
