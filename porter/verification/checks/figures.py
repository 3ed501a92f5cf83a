"""Checks against published figures: what the official weights reach, and where a short training from them ends."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from porter.datasets.generate import data_yaml
from porter.downloads import datasets, weights
from porter.downloads.datasets import SETS
from porter.downloads.digests import KNOWN, sha256_of
from porter.errors import WrongUsage
from porter.verification.child import Run
from porter.verification.plan import check
from porter.verification.releases import results, table
from porter.verification.report import Failed, Finding, NotShown, showing
from porter.verification.session import Session, newest

FILE = Path(__file__).parents[1] / "figures.yaml"
VARIABLE = "PORTER_TEST_WEIGHTS"  # the official checkpoint, where --weights names none
_SMALL, _FULL = 320, 640  # pixels
# Student's t, two-sided, 0.2 %, by the degrees of freedom: of five figures one in a hundred runs of v6.0's own would
# have one outside
_STUDENT = {4: 7.173, 5: 5.893, 6: 5.208, 7: 4.785, 8: 4.501, 9: 4.297, 14: 3.787, 19: 3.579}
LEAST = 5  # runs that make a band


@check("full", "with the official weights val.py on the device reaches the mAP that upstream publishes")
def reference(session: Session) -> Finding:
    model, figures = _official(session), _figures()
    size, said, shown = _size(session), [], {}
    wanted = figures["coco128"]["models"].get(session.upstream, {}).get(model.stem, {}).get(size)
    pictures = _coco128(session) if wanted else None
    if pictures:
        words: list[object] = ["--img", size, "--batch-size", 16]
        found = table(_val(session, _data_set(session, "coco128", pictures), model, words))[2:]
        shown["coco128"] = {"found": found, "asked": wanted, "pixels": size}
        with showing(shown):
            said.append(
                _held(session.upstream, f"coco128 at {size} pixels", found, wanted, figures["coco128"]["within"])
            )
    published = figures["coco"]["models"].get(session.upstream, {}).get(model.stem)
    coco = _coco(session) if published and session.device.kind == "hardware" else None  # 5000 pictures
    if coco:
        pixels, *wanted = published
        words = ["--img", pixels, "--batch-size", 32, "--conf-thres", 0.001, "--iou-thres", 0.65, "--save-json"]
        found = _by_pycocotools(_val(session, _data_set(session, "coco", coco), model, words).text)
        shown["coco"] = {"found": found, "asked": wanted, "pixels": pixels}
        with showing(shown):
            said.append(_held(session.upstream, f"COCO at {pixels} pixels", found, wanted, figures["coco"]["within"]))
    if not said:
        unmeasured = f"{session.upstream}'s {model.name} was not measured on coco128 at {size} pixels"
        lacks = "coco128 is not at hand" if wanted else unmeasured
        raise NotShown(f"{lacks} (COCO is for cards)")
    return Finding("; ".join(said), shown)


@check("full", "three epochs from the official weights end where upstream's own do, whatever the seed")
def converges(session: Session) -> Finding:
    figures = _figures()["converges"]
    if session.upstream != figures["release"]:
        raise NotShown(f"unpatched {session.upstream} was not measured, as {figures['release']} was")
    model = _official(session)
    size, pictures = _size(session), _coco128(session)
    runs = figures["runs"].get(size, [])
    if model.stem != figures["model"]:
        raise NotShown(f"v6.0's own runs were measured from {figures['model']}.pt, not from {model.name}")
    if len(runs) < LEAST:
        raise NotShown(f"v6.0's own runs at {size} pixels were not measured: there is no band to fall into")
    if pictures is None:
        raise NotShown("coco128 is not at hand")
    cwd = session.children.folder("converges")
    words = ["--weights", model, "--data", _data_set(session, "coco128", pictures), "--img", size, "--batch-size", 16]
    words += ["--epochs", figures["epochs"], "--noautoanchor", "--noval", "--workers", 0, "--sync-bn"]
    limit = session.children.limit * 8 * (size // _SMALL) ** 2
    session.script("train.py", *words, "--project", "runs", cwd=cwd, limit=limit)
    last = results(newest(cwd / "runs"))[-1]
    found = {name: last[name] for name in figures["columns"]}
    return judge(found, dict(zip(figures["columns"], map(list, zip(*runs)))))


def judge(found: dict[str, float], runs: dict[str, list[float]]) -> Finding:
    """Whether a run's figures are such as those of the others, each by itself.

    A band is where one more run of the same kind lies in 998 of 1000 cases, if they are normally distributed: the mean,
    and the standard deviation times Student's t and the root of 1 + 1/n on both sides.  What is too good is no better
    than what is too bad: MLPerf's reference convergence points are asked in the same way
    (https://github.com/mlcommons/logging/tree/master/mlperf_logging/rcp_checker).

    Raises:
        Failed: a figure is outside of its band.
    """
    bands = {name: _band(values) for name, values in runs.items()}
    shown = {"found": found, "bands": {name: list(band) for name, band in bands.items()}}
    with showing(shown):
        for name, (low, high) in bands.items():
            if not low <= found[name] <= high:
                count = len(runs[name])
                raise Failed(f"{name} is {found[name]:.5g}; {count} runs of v6.0's own ask for {low:.5g} to {high:.5g}")
    parts = (
        f"{name.partition('/')[2]} {found[name]:.4g} ({low:.4g}-{high:.4g})" for name, (low, high) in bands.items()
    )
    return Finding(", ".join(parts), shown)


def _band(values: Sequence[float]) -> tuple[float, float]:
    count = len(values)
    student = _STUDENT[max(free for free in _STUDENT if free < count)]
    half = student * stdev(values) * sqrt(1 + 1 / count)
    return mean(values) - half, mean(values) + half


def _held(whose: str, what: str, found: Sequence[float], wanted: Sequence[float], within: float) -> str:
    """The figures in words.

    Raises:
        Failed: they are not what is wanted.
    """
    said = f"{what}: mAP@.5 {found[0]:g} and mAP {found[1]:g}"
    if any(abs(ours - theirs) > within * 1.001 for ours, theirs in zip(found, wanted)):  # 0.623 - 0.621 is above 0.002
        raise Failed(f"{said}, where {whose} has {wanted[0]:g} and {wanted[1]:g} (within {within:g})")
    return f"{said} ({whose}: {wanted[0]:g} and {wanted[1]:g})"


def _figures() -> dict[str, Any]:
    with open(FILE, encoding="utf-8") as file:
        found: dict[str, Any] = yaml.safe_load(file)
    return found


def _size(session: Session) -> int:
    """Pixels: as published on a card and where it is asked for, else what takes minutes on a processor."""
    return _FULL if session.full_size or session.device.kind == "hardware" else _SMALL


def _official(session: Session) -> Path:
    """One of the release's own checkpoints.

    Raises:
        NotShown: there is none at hand.
    """
    named = session.model or os.environ.get(VARIABLE)
    if not named:
        whose = f"{session.upstream}'s yolov5s.pt"
        raise NotShown(f"no official checkpoint is at hand: name {whose} with --weights or in {VARIABLE}")
    path = Path(named).absolute()
    if path.name not in weights.NAMES:
        raise NotShown(f"{path.name} is none of {session.upstream}'s checkpoints")
    if not path.is_file():
        raise NotShown(f"{path} is not there")
    digest = sha256_of(path)
    others = [KNOWN.get(weights.url(path.name, other)) for other in weights.RELEASES if other != session.upstream]
    if digest != KNOWN.get(weights.url(path.name, session.upstream), digest) or digest in others:
        raise NotShown(f"{path} is not {session.upstream}'s {path.name}")
    return path


def _coco128(session: Session) -> Path | None:
    """The published coco128, if it is at hand."""
    try:
        found = datasets.find_coco128(session.whole.tree)
    except WrongUsage:  # PORTER_DATA names something else, COCO maybe
        return None
    return found.path if found else None


def _coco(session: Session) -> Path | None:
    """COCO's part for validation, where v6.0 looks for it or PORTER_DATA says."""
    named = os.environ.get(datasets.DATA_VARIABLE)
    folders = [Path(named), Path(named) / "coco"] if named else []
    for path in (*folders, session.whole.tree / "datasets" / "coco", session.whole.tree.parent / "datasets" / "coco"):
        if all((path / part).exists() for part in (*_VAL, "images/val2017")):
            return path.absolute()
    return None


_VAL = ("val2017.txt", "labels/val2017", "annotations/instances_val2017.json")


def _data_set(session: Session, name: str, pictures: Path) -> Path:
    """A data set without copying its pictures, for one run: v6.0 writes caches beside the labels; its data.yaml."""
    folder = session.children.folder("data") / name  # v6.0 knows COCO by the name of its folder
    for part in ("images", "labels/train2017") if name == "coco128" else ("images", *_VAL):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(pictures / part)
    splits = SETS[name].splits if name == "coco128" else {"train": "val2017.txt", "val": "val2017.txt"}
    (folder.parent / "data.yaml").write_text(data_yaml("", folder, splits), encoding="utf-8")
    return folder.parent / "data.yaml"


def _val(session: Session, data: Path, model: Path, words: Sequence[object]) -> Run:
    cwd, limit = session.children.folder("reference"), session.children.limit * 8
    words = ("--data", data, "--weights", model, *words, "--project", "runs")
    return session.script("val.py", *words, cwd=cwd, limit=limit)


def _by_pycocotools(said: str) -> list[float]:
    """mAP@.5 and mAP@.5:.95 in percent, as pycocotools prints them.

    Raises:
        NotShown: it did not.
    """
    found = []
    for overlap in r"0\.50     ", r"0\.50:0\.95":
        row = re.search(rf"\(AP\) @\[ IoU={overlap} \| area=   all \| maxDets=100 \] = (\d\.\d+)", said)
        if row is None:
            raise NotShown("pycocotools, which counts as v6.0's table does, did not run: pip install pycocotools")
        found.append(round(100 * float(row[1]), 1))
    return found
