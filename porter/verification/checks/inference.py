"""Checks of what is done with a trained model: checkpoints, val.py, detect.py, and files from strangers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from porter.checkpoints import inspect
from porter.datasets import generate
from porter.output import counted
from porter.verification.plan import check
from porter.verification.releases import release, results, table
from porter.verification.report import Failed, Finding, NotShown, showing
from porter.verification.session import BOXES, DRIVERS, UNSURE, Record, Session, newest

Boxes = dict[str, list[list[float]]]  # picture -> class, x, y, width, height (parts of the picture), confidence
_BOX = 1.0 / 96  # hardware: a box may be a pixel off
_PLACES = 2e-3  # hardware: what precision, recall and mAP may differ by


@check("smoke", "a checkpoint written on the device loads where there is neither the device nor its plugin")
def checkpoint(session: Session) -> Finding:
    run, plugin = session.trained(), session.target.plugin.module
    cwd = session.children.folder("load")
    found = session.driver("checkpoint.py", "held", plugin, *_checkpoints(session, run), cwd=cwd, device="cpu")
    for name, held in found.items():
        devices = held["devices"] + (held["written"] if name != FOREIGN else [])
        if set(devices) != {"cpu"}:
            raise Failed(f"{name} holds tensors of {', '.join(sorted(set(devices)))}")
        if held["modules"]:
            raise Failed(f"loading {name} imported {', '.join(held['modules'])}")
        if not held["finite"]:
            raise Failed(f"{name} holds numbers that are not finite")
        if name == FOREIGN and session.device.kind != "cpu" and not held["written"]:
            raise Failed(f"{name} holds no tensor of the device: nothing was tried")
    return Finding(f"{found['last.pt']['tensors']} tensors, all of the host", figures=found)


FOREIGN = "foreign.pt"


def _checkpoints(session: Session, run: Record) -> list[Path]:
    """What the training left, and what another port, with an old torch, would have."""
    cwd = session.children.folder("foreign")
    session.driver("checkpoint.py", "foreign", run.best, cwd / FOREIGN, session.device.name, cwd=cwd)
    return [run.last, run.best, run.unstripped, cwd / FOREIGN]


@check("smoke", "val.py on the device gives the cpu's metrics and predictions")
def val(session: Session) -> Finding:
    return _validated(session, session.weights, "val")[0]


@check("full", "of a model that finds things, val.py on the device gives the cpu's metrics")
def accuracy(session: Session) -> Finding:
    run = session.whole.learned()
    scenes = run.run.folder / "scenes"
    found, cpu, ours = _validated(session, run.best, "accuracy", scenes)
    if not found.figures["metrics"][2]:
        raise Failed("the model finds nothing")
    # the pictures in which it is surest, so that there is something to see
    best = sorted(cpu, key=lambda name: (-max((box[5] for box in cpu[name]), default=0.0), name))[:_SHOWN]
    files = [path for name in best for path in (scenes / "images" / "val").glob(f"{name}.*")]
    model = f"yolov5n, trained here from nothing in {len(results(run.folder))} epochs"
    pictures = detections(session, model, generate.SHOWN, files, cpu, ours)
    return Finding(found.said, {**found.figures, "seen": pictures})


_SHOWN = 4  # pictures of the report


def _validated(
    session: Session, weights: Path, name: str, data: Path | None = None
) -> tuple[Finding, Boxes, Boxes | None]:
    """Compare val.py on the device with val.py on the cpu; what is to be said, and what each predicted."""
    cpu, expected = _val(session, weights, "cpu", name, data)
    count = sum(map(len, expected.values()))
    if not count:
        raise Failed("val.py predicted nothing at all: there is nothing to compare")
    said = f"P {cpu[0]:.4g}, R {cpu[1]:.4g}, mAP@.5 {cpu[2]:.4g}, {counted(count, 'prediction')}"
    if session.device.kind == "cpu":
        only = Finding(f"{said}; there is only the cpu to compare", {"metrics": cpu, "cpu": None})
        return only, expected, None
    ours, predicted = _val(session, weights, session.device.name, name, data)
    figures = {"metrics": ours, "cpu": cpu}
    exact = session.device.kind == "emulated"
    with showing(figures):
        if ours != cpu if exact else any(abs(a - b) > _PLACES for a, b in zip(ours, cpu)):
            raise Failed(f"P, R, mAP are {ours} here and {cpu} on the cpu")
        if exact and predicted != expected:
            wrong = next(name for name in expected if predicted.get(name) != expected[name])
            raise Failed(f"the predictions in {wrong} are not the cpu's")
    return Finding(f"{said}: the cpu's", figures), expected, predicted


def _val(session: Session, weights: Path, device: str, name: str, data: Path | None) -> tuple[list[float], Boxes]:
    """val.py's P, R, mAP@.5 and mAP@.5:.95 over all classes, and what it predicted."""
    cwd = session.children.folder(f"{name}-{device}")
    words = ["--data", session.copy_data(cwd, data), "--weights", weights, "--img", 96, "--batch-size", 4]
    words += ["--conf-thres", UNSURE, *BOXES]
    run = session.script("val.py", *words, cwd=cwd, device=device)
    return table(run), _read(newest(cwd / "runs") / "labels")


@check("smoke", "detect.py on the device finds the cpu's boxes")
def detect(session: Session) -> Finding:
    cpu = _read(newest(session.detected("cpu") / "runs") / "labels")
    device = session.device.name
    ours = None if device == "cpu" else _read(newest(session.detected(device) / "runs") / "labels")
    count = sum(map(len, cpu.values()))
    if not count:
        raise Failed("detect.py found nothing at all: there is nothing to compare")
    said = f"{counted(count, 'box')} in {counted(len(cpu), 'picture')}{_WHOSE[ours is None]}"
    pairs = {} if ours is None else {name: (ours.get(name, []), boxes) for name, boxes in cpu.items()}
    for name, (mine, boxes) in pairs.items():
        if session.device.kind == "emulated":
            if mine != boxes:
                raise Failed(f"{name}: {counted(len(mine), 'box')} here, {len(boxes)} on the cpu, or others")
        elif len(mine) != len(boxes) or not all(_near(a, b) for a, b in zip(mine, boxes)):
            raise Failed(f"{name}: the boxes are not the cpu's")
    return Finding(said) if session.model is None else _look(session, session.model, said)


_WHOSE = (": the cpu's", "; there is only the cpu to compare")


def _look(session: Session, model: Path, before: str) -> Finding:
    """The same with a checkpoint that the person named, on the picture that comes with v6.0."""
    source = session.tree / "data" / "images" / "bus.jpg"
    if not source.is_file():
        return Finding(f"{before}; the tree has no {source.name} to try {model.name} on")
    device = session.device.name
    cpu = _boxes(session, "cpu", source, model)
    ours = None if device == "cpu" else _boxes(session, device, source, model)
    shown = detections(session, model.name, inspect(model).classes, [source], cpu, ours)
    theirs = cpu.get(source.stem, [])
    mine = theirs if ours is None else ours.get(source.stem, [])
    with showing({"seen": shown}):
        if session.device.kind == "emulated" and mine != theirs:
            raise Failed(
                f"{model.name} finds {counted(len(mine), 'box')} in {source.name} here, {len(theirs)} on the cpu"
            )
        # a box at the threshold may be there on one side alone
        for ones, others in (mine, theirs), (theirs, mine):
            lost = [one for one in ones if one[5] >= SURE + _EDGE and not any(_near(one, other) for other in others)]
            if lost:
                raise Failed(f"{model.name} finds a box in {source.name} here or on the cpu alone: {lost[0]}")
    said = f"{before}; {model.name} finds {counted(len(mine), 'box')} in {source.name}{_WHOSE[ours is None]}"
    return Finding(said, {"seen": shown})


_EDGE = 0.02  # hardware: what a confidence may differ by


def _near(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes are of one class and at one place, for hardware."""
    return one[0] == other[0] and max(abs(x - y) for x, y in zip(one[1:5], other[1:5])) < _BOX


def _boxes(session: Session, device: str, source: Path, model: Path) -> Boxes:
    """What detect.py finds in a picture on one device, with a checkpoint that the person named."""
    cwd = session.children.folder(f"look-{device}")
    words = ["--weights", model, "--img", 640, "--conf-thres", SURE, "--source", source, "--nosave", *BOXES]
    session.script("detect.py", *words, cwd=cwd, device=device)
    return _read(newest(cwd / "runs") / "labels")


def _read(labels: Path) -> Boxes:
    """What --save-txt wrote."""
    return {
        path.stem: [list(map(float, row.split())) for row in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted(labels.glob("*.txt"))
    }


@check("full", "a file that would run code when it is loaded is refused, by name, and runs nothing")
def safety(session: Session) -> Finding:
    cwd = session.children.folder("safety")
    out = cwd / "hostile.json"
    run = session.run(DRIVERS / "hostile.py", session.tree, session.weights, cwd=cwd, device="cpu")
    if not out.exists():
        raise Failed(f"trying them out {run.ending}", run.tail(), run.shown())
    found = json.loads(out.read_text(encoding="utf-8"))
    if found["honest"]:
        raise Failed(f"an honest checkpoint is refused: {found['honest']}")
    for case, ends in found["cases"].items():
        if ends["ran"]:
            raise Failed(f"{case}: the file's code ran")
        for way in "attempt_load", "strip_optimizer", "load_checkpoint":
            if not ends[way] or "refused" not in ends[way][1] or ends["expected"] not in ends[way][1]:
                raise Failed(f"{case}: {way} does not refuse it by name but says {ends[way]}")
    for place, ends in found["yaml"].items():
        if ends["ran"] or not ends["attempt_load"] or not ends["Model"]:
            raise Failed(f"a model's yaml was run, or was not refused ({place}): {ends}")
    if len(found["plain"]) < 5:
        raise Failed("plain pickle runs these files no more: nothing was tried")
    return Finding(f"{len(found['cases'])} hostile files refused by name, none ran anything")


# Detections for the report: pictures with the boxes that a model finds in them on the cpu and on the device.

SURE = 0.25  # confidence from which boxes are drawn: detect.py's own
_SIDE = 640  # pixels of a picture at most; bus.jpg is then about 60 kB


def detections(
    session: Session, model: str, classes: Sequence[str], files: Sequence[Path], cpu: Boxes, device: Boxes | None
) -> dict[str, Any]:
    """Pictures and boxes as plain data.

    Args:
        model: which model found them, in words.
        classes: the names of its classes.
        files: the pictures; their names without endings are those of ``cpu`` and ``device``.
        device: None where there is only the cpu.
    """
    cwd = session.children.folder("pictures")
    pictures: Any = session.driver("shrink.py", _SIDE, *files, cwd=cwd, device="cpu") if files else []
    shown = [
        {
            "name": file.name,
            **picture,
            "cpu": _sure(cpu.get(file.stem, ())),
            "device": None if device is None else _sure(device.get(file.stem, ())),
        }
        for file, picture in zip(files, pictures)
    ]
    numbers = sorted({int(box[0]) for each in shown for side in ("cpu", "device") for box in each[side] or ()})
    names = {str(n): classes[n] if n < len(classes) else f"class {n}" for n in numbers}
    return {"model": model, "sure": SURE, "classes": names, "pictures": shown}


def _sure(boxes: Sequence[Sequence[float]]) -> list[list[float]]:
    """The boxes to draw, the surest first."""
    return sorted((list(box) for box in boxes if box[5] >= SURE), key=lambda box: (-box[5], box))


# Checks of what other programs get: exported files, results of the hub's model, TensorBoard's graph.

_AWAY = 1e-3  # what a number may differ by, as a part of 1 or of itself


@check(
    "full", "exported files are as asked for and compute what the model does; an export that fails ends with status 1"
)
def export(session: Session) -> Finding:
    cwd = session.children.folder("export")
    own = cwd / "own.pt"  # as torch before 1.11 pickled it: as v6.0's own checkpoints
    session.driver("checkpoint.py", "foreign", session.weights, own, "cpu", cwd=cwd, device="cpu")
    _one_fails(session, own)
    words = (own, session.device.name, session.data / "images" / "val")
    found = session.driver("exports.py", *words, cwd=cwd)
    if found["lacks"]:
        raise NotShown(f"TorchScript is right; no {' and no '.join(found['lacks'])} to look at ONNX with")
    runtime, dnn = found["detected"]
    if not any(runtime.values()):
        raise Failed("detect.py finds nothing with the exported model: there is nothing to compare")
    for name, ours in runtime.items():
        theirs = dnn.get(name, [])
        if len(ours) != len(theirs) or any(abs(a - b) > _AWAY * max(a, 1e-3) for a, b in zip(ours, theirs)):
            raise Failed(f"{name}: detect.py --dnn is sure by {theirs}, without --dnn by {ours}")
    said = [*found["away"], *(["--half"] if "half" in found else [])]
    skipped = [f"not {option}: {why}" for option, why in found["skipped"].items()]
    return Finding("; ".join([", ".join(said), *skipped]), found)


def _one_fails(session: Session, own: object) -> None:
    """TorchScript and ONNX are made although CoreML's package is missing, which is said in a line, and is a failure."""
    lacking = session.children.folder("lacking")
    (lacking / "coremltools.py").write_text(
        "raise ModuleNotFoundError('No module named it', name='coremltools')\n", encoding="utf-8"
    )
    words = ("--weights", own, "--img", 64, "--opset", 12, "--include", "torchscript", "coreml", "onnx")
    cwd = session.children.folder("export-cli")
    env = {"PYTHONPATH": str(lacking)}
    run = session.run(session.tree / "export.py", *words, "--device", "cpu", cwd=cwd, device="cpu", env=env)
    if run.forbidden:
        raise Failed(f"it tried: {run.forbidden[0]}", run.tail(), run.shown())
    lines = [line for line in run.text.splitlines() if "export failure" in line and "CoreML" in line]
    if run.status != 1 or "Traceback" in run.text or "Export complete" in run.text:
        raise Failed(f"an export that fails: it {run.ending}{run.reason}", run.tail(), run.shown())
    if len(lines) != 1 or "pip install coremltools" not in lines[0]:
        raise Failed("the package that an export needs is not named in a line", run.tail(), run.shown())


@check("full", "the hub's model takes every kind of picture; its results print, save, show, crop, render and tabulate")
def hub(session: Session) -> Finding:
    picture = min((session.data / "images" / "val").iterdir())
    found = {}
    for device in session.devices:
        cwd = session.children.folder(f"hub-{device}")
        found[device] = session.driver("hub.py", session.weights, device, picture, cwd=cwd, device=device)
    ours, cpu = found[session.device.name], found["cpu"]
    if session.device.kind == "emulated" and ours != cpu:
        name = next(name for name in cpu if ours[name] != cpu[name])
        raise Failed(f"{name}: the boxes are not the cpu's")
    return Finding(f"{len(cpu)} kinds of input, every method of their results", {"inputs": list(cpu)})


@check("full", "a model that torch cannot trace is trained all the same, without TensorBoard's graph")
def graph(session: Session) -> Finding:
    graphless = release(session.upstream).graphless
    trained = session.watched("graph", "--epochs", 1, "--noval")
    run = trained.run
    said = re.findall(f"{graphless}.*", run.text)  # a progress bar may stand before it
    if len(said) != 1:
        raise Failed("nothing says that there is no graph", run.tail(), run.shown())
    if not trained.last.is_file():
        raise Failed("it left no checkpoint", run.tail(), run.shown())
    return Finding(said[0])
