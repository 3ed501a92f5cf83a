"""val.py, detect.py, export.py and hubconf.py in each ported tree, on the cpu."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .harness import HERE, Tree, newest
from .jobs import Detection, Shop, detect, table, validate

REFERENCE = json.loads((HERE / "reference" / "detect.json").read_text())["boxes"]
PERSON, BUS, TIE = 0, 5, 27  # COCO's class numbers
CORNERS = "x1", "y1", "x2", "y2"


def assert_same_boxes(found: list[dict[str, float]], expected: list[dict[str, float]], pixels: float) -> None:
    """Every box has its partner: class, corners within ``pixels``, confidence within 0.01."""
    assert Counter(b["class"] for b in found) == Counter(b["class"] for b in expected)
    left = list(expected)
    for box in found:
        near = min(
            (b for b in left if b["class"] == box["class"]), key=lambda b: sum(abs(b[c] - box[c]) for c in CORNERS)
        )
        left.remove(near)
        # labels/*.txt has six digits of a fraction of the picture: 0.01 px
        assert all(abs(box[c] - near[c]) <= pixels + 0.01 for c in CORNERS), (box, near)
        assert abs(box["conf"] - near["conf"]) <= 0.01, (box, near)


def test_reference_is_what_upstream_is_known_to_find() -> None:
    assert Counter(b["class"] for b in REFERENCE["bus"]) == {PERSON: 4, BUS: 1}
    assert Counter(b["class"] for b in REFERENCE["zidane"]) == {PERSON: 2, TIE: 1}


@pytest.mark.jobs("detected")
def test_detect(shop: Shop, tree: Tree, weights: Path) -> None:
    found: Detection = shop.get("detected", tree)
    for name, boxes in REFERENCE.items():
        assert_same_boxes(found.boxes[name], boxes, pixels=1)
    assert "640x480 4 persons, 1 bus" in found.run.out
    assert "384x640 2 persons, 1 tie" in found.run.out
    for name in REFERENCE:
        (picture,) = found.run.folder.rglob(f"{name}.jpg")
        assert picture.read_bytes()[:3] == b"\xff\xd8\xff"


def test_all_that_detect_can_write(shop: Shop, tree: Tree, weights: Path) -> None:
    cwd = shop.lab.folder("detect-all")
    words = "--img 320 --save-crop --visualize --agnostic-nms --classes 0 5 --save-txt --project runs"
    source = tree.path / "data" / "images" / "bus.jpg"
    (cwd / "own.pt").write_bytes(weights.read_bytes())
    arguments = [*words.split(), "--weights", "own.pt", "--source", source, "--device", "cpu"]
    run = shop.lab.script(tree, "detect.py", *arguments, cwd=cwd).ok()
    folder = newest(cwd / "runs")
    assert "persons" in run.out and "1 bus" in run.out, run.story()
    assert len(list((folder / "crops" / "person").glob("*.jpg"))) >= 3
    assert list((folder / "bus").glob("stage0_Conv_features.png")), "no features were drawn"


def test_all_that_val_can_write(shop: Shop, tree: Tree, weights: Path) -> None:
    words = "--save-txt --save-hybrid --save-conf --save-json --augment --half --verbose --conf 0.1"
    validated = validate(shop, tree, weights, *words.split())
    assert len(table(validated.run)) > 1, "no line per class"
    assert list((validated.folder / "labels").glob("*.txt"))
    (predictions,) = validated.folder.glob("*_predictions.json")
    assert json.loads(predictions.read_text())


@pytest.mark.pristine
@pytest.mark.jobs("detected")
def test_reference_is_what_upstream_finds_here(shop: Shop, pristine: Tree, weights: Path) -> None:
    for name, boxes in shop.get("detected", pristine).boxes.items():
        assert_same_boxes(boxes, REFERENCE[name], pixels=0)


@pytest.mark.verified("reference")
@pytest.mark.jobs("detected")
def test_val_of_a_model_that_finds_things(shop: Shop, tree: Tree, weights: Path, tmp_path: Path) -> None:
    """Labels written by detect are the truth that val measures against: nearly everything must be found again."""
    pictures, labels = tmp_path / "images" / "val", tmp_path / "labels" / "val"
    pictures.mkdir(parents=True)
    labels.mkdir(parents=True)
    found: Detection = shop.get("detected", tree)
    for name in REFERENCE:
        (pictures / f"{name}.jpg").write_bytes((tree.path / "data" / "images" / f"{name}.jpg").read_bytes())
        (source,) = found.run.folder.rglob(f"{name}.txt")
        lines = [line.split()[:5] for line in source.read_text().splitlines()]
        (labels / f"{name}.txt").write_text("\n".join(map(" ".join, lines)) + "\n")
    names = (shop.data / "data.yaml").read_text().split("names:")[1]
    data = tmp_path / "data.yaml"
    data.write_text(f"path: {tmp_path}\ntrain: images/val\nval: images/val\nnc: 80\nnames:{names}")
    cwd = shop.lab.folder("val-found")
    words = ("--data", data, "--weights", weights, "--device", "cpu", "--project", "runs/val", "--conf", 0.25)
    run = shop.lab.script(tree, "val.py", *words, cwd=cwd, charts=False).ok()
    everything = table(run)[0].split()
    assert everything[:3] == ["all", "2", "8"], run.story()
    assert float(everything[5]) > 0.9 and float(everything[6]) > 0.8, run.story()  # mAP@.5, mAP@.5:.95


def test_hub_and_export(shop: Shop, tree: Tree, weights: Path) -> None:
    """hubconf.custom, AutoShape on a file, .pandas(), export to TorchScript and what it gives back."""
    cwd = shop.lab.folder("hub")
    run = shop.lab.driver(tree, "hub.py", weights, tree.path / "data" / "images" / "bus.jpg", cwd=cwd).ok()
    found: dict[str, Any] = json.loads(run.out.splitlines()[-1])
    assert Counter(found["names"]) == {"person": 4, "bus": 1}
    assert found["columns"] == ["xmin", "ymin", "xmax", "ymax", "confidence", "class", "name"]
    boxes = [{**dict(zip(CORNERS, b[:4])), "conf": b[4], "class": b[5]} for b in found["boxes"]]
    assert_same_boxes(boxes, REFERENCE["bus"], pixels=1)
    assert found["traced difference"] < 1e-3, found


@pytest.mark.pristine
@pytest.mark.jobs("scratch", "finetuned")
def test_each_reads_the_others_checkpoint(shop: Shop, tree: Tree, pristine: Tree, weights: Path) -> None:
    for writer, reader in (tree, pristine), (pristine, tree):
        best = shop.get("finetuned", writer).best
        theirs, own = detect(shop, reader, best).boxes, detect(shop, writer, best).boxes
        assert own["bus"], "it finds nothing: this compares nothing"
        assert theirs == own
        for job in "scratch", "finetuned":
            best = shop.get(job, writer).best
            assert table(validate(shop, reader, best).run) == table(validate(shop, writer, best).run) != []


def test_weights_are_not_looked_up_unasked(shop: Shop, tree: Tree) -> None:
    """A file that is there is used as it is; only a name that is missing is asked for, and that is said."""
    cwd = shop.lab.folder("missing-weights")
    run = shop.lab.script(
        tree, "val.py", "--weights", "mine.pt", "--data", shop.data / "data.yaml", cwd=cwd, charts=False
    ).offline()
    assert run.status != 0, run.story()
