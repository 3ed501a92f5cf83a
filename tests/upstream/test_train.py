"""Trainings on the cpu in each ported tree: from nothing and from the official weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .harness import Training, Tree
from .jobs import Shop

# v6.0, utils/loggers/__init__.py
COLUMNS = [
    "epoch", "train/box_loss", "train/obj_loss", "train/cls_loss", "metrics/precision", "metrics/recall",
    "metrics/mAP_0.5", "metrics/mAP_0.5:0.95", "val/box_loss", "val/obj_loss", "val/cls_loss",
    "x/lr0", "x/lr1", "x/lr2",
]  # fmt: skip
PICTURES = [
    "train_batch0.jpg", "train_batch1.jpg", "train_batch2.jpg", "labels.jpg", "labels_correlogram.jpg", "results.png",
    "val_batch0_labels.jpg", "val_batch0_pred.jpg",
]  # fmt: skip
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG"


@pytest.fixture
def scratch(shop: Shop, tree: Tree) -> Training:
    training: Training = shop.get("scratch", tree)
    return training


@pytest.mark.verified("train", "learns")
@pytest.mark.jobs("scratch")
def test_from_scratch(scratch: Training) -> None:
    assert list(scratch.rows[0]) == COLUMNS
    assert [row["epoch"] for row in scratch.rows] == [0, 1]
    for row in scratch.rows:
        assert all(row[c] > 0 for c in COLUMNS[1:4] + COLUMNS[8:]), row
    assert scratch.last.is_file() and scratch.best.is_file()


@pytest.mark.verified("pictures")
@pytest.mark.jobs("scratch")
@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_drawn(scratch: Training, name: str) -> None:
    """They are drawn in threads, where an exception stops nothing: v6.0 on a current Pillow just lacks them."""
    head = (scratch.folder / name).read_bytes()[:4]
    assert head.startswith(JPEG if name.endswith("jpg") else PNG)


@pytest.mark.verified("warnings")
@pytest.mark.jobs("scratch")
def test_the_tree_uses_nothing_deprecated(scratch: Training, tree: Tree) -> None:
    """Children run with PYTHONWARNINGS=default, so each place that warns does so once."""
    kinds = "DeprecationWarning|PendingDeprecationWarning|FutureWarning"
    found = [line for line in scratch.run.err.splitlines() if re.search(rf"{tree.path}/\S+:\d+: (?:{kinds})", line)]
    assert not found, "\n".join(found)
    assert "pin_memory" not in scratch.run.err, scratch.run.story()


@pytest.mark.verified("finetune", "converges")
@pytest.mark.jobs("finetuned")
def test_from_the_official_weights(shop: Shop, tree: Tree, weights: Path) -> None:
    training = shop.get("finetuned", tree)
    assert "Transferred 349/349 items" in training.run.text, training.run.story()
    assert [row["epoch"] for row in training.rows] == [0]
    assert training.best.is_file()
