"""Checks of what later releases do besides detection: masks (segment/) and classes of whole pictures (classify/)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from porter.output import counted
from porter.verification.plan import check
from porter.verification.releases import results
from porter.verification.report import Failed, Finding, NotShown
from porter.verification.session import BATCH, UNSURE, Session

_CLOSE = 5e-2  # hardware: what figures after an epoch may differ by, as a part of 1 or of themselves
# classify/train.py's line of an epoch: losses of training and validation, and accuracy, behind the epoch and the memory
_EPOCH = re.compile(r"(?m)^ +1/1 +\S+ +([\d.e+-]+) +([\d.e+-]+) +([\d.e+-]+) +([\d.e+-]+): ")


@check("full", "segment/ trains, validates and predicts masks on the device, with the cpu's figures")
def segment(session: Session) -> Finding:
    _must_have(session, "segment")
    words: list[object] = [
        "--weights",
        "",
        "--cfg",
        "yolov5n-seg.yaml",
        "--img",
        96,
        "--batch-size",
        BATCH,
        "--sync-bn",
    ]
    made = {device: _trained(session, "segment", device, *words) for device in session.devices}
    said = _agree(session, {device: rows for device, (_, rows) in made.items()}, "a training")
    weights = made["cpu"][0] / "weights" / "best.pt"
    tables, masks = {}, {}
    for device in made:
        cwd = session.children.folder(f"segment-val-{device}")
        words = ["--weights", weights, "--data", _polygons(session, cwd), "--img", 96, "--batch-size", BATCH]
        words += ["--conf-thres", UNSURE, "--project", "runs"]
        run = session.script("segment/val.py", *words, cwd=cwd, device=device)
        rows = re.findall(r"(?m)^ +all +\d+ +\d+((?: +[\d.e+-]+){8})$", run.text)
        if not rows:
            raise Failed("segment/val.py printed no table of boxes and masks", run.tail(), run.shown())
        tables[device] = [list(map(float, rows[-1].split()))]
        words = ["--weights", weights, "--source", session.data / "images" / "val", "--img", 96, "--max-det", 20]
        words += ["--conf-thres", UNSURE, "--save-txt", "--save-conf", "--nosave", "--project", "runs"]
        session.script("segment/predict.py", *words, cwd=cwd, device=device)
        files = sorted((cwd / "runs").glob("exp*/labels/*.txt"))
        masks[device] = [list(map(float, row.split())) for file in files for row in _text(file).splitlines()]
    _agree(session, tables, "segment/val.py's table")
    if not masks["cpu"]:
        raise Failed("segment/predict.py found nothing at all: there is nothing to compare")
    if session.device.kind == "emulated" and masks[session.device.name] != masks["cpu"]:
        raise Failed("the masks of segment/predict.py are not the cpu's")
    return Finding(f"{said}, {counted(len(masks['cpu']), 'mask')}")


@check("full", "classify/ trains, validates and predicts on the device, with the cpu's figures")
def classify(session: Session) -> Finding:
    _must_have(session, "classify")
    words: list[object] = ["--model", session.weights, "--img", 64, "--batch-size", BATCH]
    made = {device: _trained(session, "classify", device, *words) for device in session.devices}
    said = _agree(session, {device: rows for device, (_, rows) in made.items()}, "a training")
    weights = made["cpu"][0] / "weights" / "best.pt"
    tables, picture = {}, min((session.data / "images" / "val").iterdir())
    for device in made:
        cwd = session.children.folder(f"classify-val-{device}")
        words = ["--weights", weights, "--data", _classes(session, cwd), "--img", 64, "--batch-size", BATCH]
        run = session.script("classify/val.py", *words, "--project", "runs", cwd=cwd, device=device)
        rows = re.findall(r"(?m)^ +all +\d+ +(\S+) +(\S+)$", run.text)
        if not rows:
            raise Failed("classify/val.py printed no accuracy", run.tail(), run.shown())
        tables[device] = [list(map(float, rows[-1]))]
        # v6.2's takes one picture
        words = ["--weights", weights, "--source", picture, "--img", 64, "--project", "runs"]
        session.script("classify/predict.py", *words, cwd=cwd, device=device)
    _agree(session, tables, "classify/val.py's accuracy")
    top1, top5 = tables["cpu"][0]
    return Finding(f"{said}, accuracy {top1:g} and {top5:g}")


def _must_have(session: Session, folder: str) -> None:
    if not (session.tree / folder / "train.py").is_file():
        raise NotShown(f"{session.upstream} has no {folder}/")


def _trained(session: Session, folder: str, device: str, *words: object) -> tuple[Path, list[list[float]]]:
    """An epoch of FOLDER/train.py: the folder that it filled, and its figures."""
    cwd = session.children.folder(f"{folder}-{device}")
    data = _polygons(session, cwd) if folder == "segment" else _classes(session, cwd)
    words = (*words, "--data", data, "--epochs", 1, "--workers", 0, "--project", "runs")
    session.begun(f"training {folder} on {device}: usually 20 s")
    run = session.script(f"{folder}/train.py", *words, cwd=cwd, device=device)
    made = cwd / "runs" / "exp"
    for name in "last.pt", "best.pt":
        if not (made / "weights" / name).is_file():
            raise Failed(f"{folder}/train.py left no {name}", run.tail(), run.shown())
    printed = _EPOCH.findall(run.text)
    if printed and not (made / "results.csv").exists():  # v6.2's classify/ writes none
        return made, [list(map(float, printed[-1]))]
    return made, _rows(made)


def _polygons(session: Session, cwd: Path) -> Path:
    """A copy of the data whose labels are polygons: the corners of the boxes."""
    data = session.copy_data(cwd)
    for file in data.parent.rglob("labels/**/*.txt"):
        rows = (list(map(float, row.split())) for row in _text(file).splitlines())
        polygons = ((label, (x - w / 2, x + w / 2), (y - h / 2, y + h / 2)) for label, x, y, w, h in rows)
        corners = (
            f"{label:g} {x[0]:.6f} {y[0]:.6f} {x[1]:.6f} {y[0]:.6f} {x[1]:.6f} {y[1]:.6f} {x[0]:.6f} {y[1]:.6f}"
            for label, x, y in polygons
        )
        file.write_text("".join(f"{row}\n" for row in corners), encoding="utf-8")
    return data


def _classes(session: Session, cwd: Path) -> Path:
    """The pictures of the data in two classes, every other one; what is in them plays no part."""
    folder = cwd / "classes"
    for split, pictures in {"train": "train", "test": "val"}.items():
        for number, picture in enumerate(sorted((session.data / "images" / pictures).iterdir())):
            place = folder / split / ("even", "odd")[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, place)
    return folder


def _rows(folder: Path) -> list[list[float]]:
    """The numbers of results.csv.

    Raises:
        Failed: there is none, or one is not finite.
    """
    rows = [list(row.values()) for row in results(folder, ())]
    if not rows:
        raise Failed("results.csv has no epoch")
    return rows


def _agree(session: Session, found: dict[str, list[list[float]]], what: str) -> str:
    """In words, that the device's figures are the cpu's.

    Raises:
        Failed: they are not.
    """
    ours, cpu = found[session.device.name], found["cpu"]
    if session.device.name == "cpu":
        return "an epoch on the cpu; there is only the cpu to compare"
    if session.device.vendors:
        near = len(ours) == len(cpu) and all(
            abs(a - b) <= _CLOSE * max(1, abs(b)) for mine, theirs in zip(ours, cpu) for a, b in zip(mine, theirs)
        )
    else:
        near = ours == cpu
    if not near:
        raise Failed(f"{what} says {ours} here and {cpu} on the cpu")
    return "an epoch with the cpu's figures"


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
