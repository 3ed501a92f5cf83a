"""porter compare of two trees, and with records, on the cpu: in any torch, the oldest among them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import porter
from comparison.conftest import SMALL
from porter.errors import WrongUsage


@pytest.fixture(scope="module")
def changed(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tree, in which a bottleneck adds a little less than it should."""
    made = tmp_path_factory.mktemp("changed") / "tree"
    shutil.copytree(tree, made, symlinks=True)
    file = made / "models" / "common.py"
    text, was = file.read_text(), "return x + self.cv2(self.cv1(x))"
    assert text.count(was) == 1
    file.write_text(text.replace(was, was + " * 0.999"))
    return made


def test_a_changed_tree_is_named(tree: Path, changed: Path) -> None:
    found = porter.compare("mlu", changed, device="cpu", against=tree, **SMALL)
    assert found is not None and found.first is not None
    assert (found.first.phase, found.first.path, found.first.what) == ("forward", "model.2.m.0", "output")
    assert found.line(found.first) == "models/yolov5n.yaml:17  [-1, 3, C3, [128]]"
    assert (found.parted, found.operator, found.missing) == (0, None, 0)
    before = found.rows[: found.rows.index(next(row for row in found.rows if row.outside))]
    assert len(before) > 20 and not any(row.absolute for row in before)


def test_a_tree_is_itself_over_steps(tree: Path) -> None:
    """In more than one step losses and parameters are compared, from a noise that lies on the disk."""
    found = porter.compare("mlu", tree, device="cpu", steps=3, **SMALL)
    assert found is not None
    assert (found.steps, found.parted, found.first, found.missing) == (3, None, None, 0)
    assert {row.step for row in found.rows} == {0, 1, 2}
    later = [row for row in found.rows if row.step == 2]
    assert {(row.phase, row.path) for row in later} == {("forward", "loss"), ("step", "optimizer")}
    assert all(row.allowed > 0 for row in later) and not any(row.absolute for row in found.rows)


def test_records_of_steps(tree: Path, changed: Path, tmp_path: Path) -> None:
    """A record holds weights, batch and steps: what is asked for on the other machine counts no more."""
    record = tmp_path / "two.npz"
    assert porter.compare("mlu", tree, device="cpu", steps=2, seed=3, record=record, **SMALL) is None
    same = porter.compare("mlu", tree, device="cpu", against=record, steps=5, project=SMALL["project"])
    assert same is not None and (same.steps, same.differs, same.missing) == (2, False, 0)
    other = porter.compare("mlu", changed, device="cpu", against=record, steps=1, project=SMALL["project"])
    assert other is not None and other.first is not None
    assert (other.steps, other.first.path, other.parted) == (1, "model.2.m.0", 0)


def test_sides_that_are_no_multiple_of_the_noises(tree: Path) -> None:
    found = porter.compare("mlu", tree, device="cpu", **{**SMALL, "img": 224, "batch": 1})
    assert found is not None and not found.differs and not found.missing


def test_a_precision_that_a_tree_has_not(tree: Path) -> None:
    with pytest.raises(WrongUsage, match="no FP16 training"):
        porter.compare("mlu", tree, device="cpu", precision="fp16", **SMALL)
