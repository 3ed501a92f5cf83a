"""On a cpu the ported trees compute what unpatched v6.0 computes: every loss and weight, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Tree
from .jobs import LOCKSTEP, NB, Shop

pytestmark = pytest.mark.pristine


@pytest.mark.jobs("lockstep-sgd")
def test_every_loss_and_weight_is_upstreams(shop: Shop, tree: Tree, pristine: Tree) -> None:
    assert_equal(shop.get("lockstep-sgd", tree), shop.get("lockstep-sgd", pristine))


@pytest.mark.parametrize(
    "config", [pytest.param(c, marks=pytest.mark.jobs(f"lockstep-{c}")) for c in LOCKSTEP if c != "sgd"]
)
def test_with_options_too(shop: Shop, tree: Tree, pristine: Tree, config: str) -> None:
    assert_equal(shop.get(f"lockstep-{config}", tree), shop.get(f"lockstep-{config}", pristine))


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Two records of drivers/lockstep.py, and that there is something in them."""
    assert len(theirs["weights"]) == len(theirs["losses"]) == 2 * NB
    assert len(set(theirs["weights"])) > NB, "the weights of upstream's run hardly change: this compares nothing"
    for what in "shapes", "losses", "weights", "ema":
        differing = [i for i, (a, b) in enumerate(zip(ours[what], theirs[what])) if a != b]
        assert not differing, f"{what} differ from iteration {differing[0]} on: {ours[what][differing[0]]}"
        assert len(ours[what]) == len(theirs[what])
    assert ours["final"] == theirs["final"]
    assert ours["results.csv"] == theirs["results.csv"]


def test_every_validation_is_upstreams(shop: Shop, tree: Tree, pristine: Tree) -> None:
    """After each epoch with the averaged weights, and at the end with best.pt as it is on disk, layers fused."""
    ours, theirs = (shop.get("lockstep-sgd", t)["validation"] for t in (tree, pristine))
    assert len(theirs) == 3 * 2  # ten pictures are two batches
    assert ours == theirs


def test_new_anchors_are_made(shop: Shop, pristine: Tree) -> None:
    assert "New anchors saved to model" in shop.get("lockstep-multi-scale", pristine)["output"]


def test_multi_scale_changes_the_images(shop: Shop, pristine: Tree) -> None:
    assert len({tuple(s) for s in shop.get("lockstep-multi-scale", pristine)["shapes"]}) > 1
