"""A run that was killed goes on where it stopped."""

from __future__ import annotations

import json
import math

import pytest

from .harness import Training, Tree
from .jobs import NB, Shop, copy_of_killed


@pytest.mark.jobs("killed")
def test_killed_in_the_second_epoch(shop: Shop, tree: Tree) -> None:
    """What the resume tests start from: the first epoch is whole, of the second nothing is saved."""
    killed: Training = shop.get("killed", tree)
    assert [row["epoch"] for row in killed.rows] == [0]
    assert killed.last.is_file()


@pytest.mark.jobs("killed", "resumed")
def test_goes_on(shop: Shop, tree: Tree) -> None:
    """Every epoch is there once, with the learning rates of its number."""
    training: Training = shop.get("resumed", tree)
    assert "Resuming training from" in training.run.text
    assert [row["epoch"] for row in training.rows] == [0, 1, 2]
    assert training.rows[0] == shop.get("killed", tree).rows[0]
    for epoch, row in enumerate(training.rows):
        weights, biases = learning_rates(epoch, epochs=3)
        assert row["x/lr0"] == row["x/lr1"] == pytest.approx(weights, rel=1e-4)  # results.csv has five digits
        assert row["x/lr2"] == pytest.approx(biases, rel=1e-4)


def learning_rates(epoch: int, epochs: int) -> tuple[float, float]:
    """Of weights and of biases at an epoch's last iteration in v6.0: train.py, hyp.scratch.yaml (lr0 0.01, lrf 0.1).

    A thousand iterations of warm-up lead to the epoch's rate: weights from 0, biases from 0.1.
    """
    rate = 0.01 * ((1 - math.cos(epoch * math.pi / epochs)) / 2 * (0.1 - 1) + 1)
    done = ((epoch + 1) * NB - 1) / 1000
    return done * rate, 0.1 + done * (rate - 0.1)


@pytest.mark.jobs("killed")
def test_state_is_restored_exactly(shop: Shop, tree: Tree) -> None:
    """Optimizer, averaged weights, their count, best fitness and the learning rates, at the first step after."""
    was = copy_of_killed(shop, tree, "restored")
    out = was.run.folder / "restored.json"
    run = shop.lab.driver(tree, "restored.py", out, was.last, "--", "--resume", was.last, cwd=was.run.folder).ok()
    found = json.loads(out.read_text())
    assert found["same"] and all(found["same"].values()), (found, run.story())
    assert found["first_ni"] == NB
    assert found["momentum_buffers"] > 100


@pytest.mark.pristine
@pytest.mark.jobs("killed")
def test_each_goes_on_with_the_others_run(shop: Shop, tree: Tree, pristine: Tree) -> None:
    for begins, ends in (pristine, tree), (tree, pristine):
        was = copy_of_killed(shop, begins, f"{begins.name}-{ends.name}")
        cwd = was.run.folder
        run = shop.lab.script(ends, "train.py", "--resume", was.last.relative_to(cwd), cwd=cwd, charts=False)
        assert run.status == 0, run.story()
        assert [row["epoch"] for row in Training(run, was.folder).rows] == [0, 1, 2]


def test_nothing_to_resume_is_said(shop: Shop, tree: Tree) -> None:
    cwd = shop.lab.folder("nothing")
    run = shop.lab.script(tree, "train.py", "--resume", "--device", "cpu", cwd=cwd, charts=False).offline()
    assert run.status != 0
    assert "--resume checkpoint does not exist" in run.err
