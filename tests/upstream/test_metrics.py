"""The files of Cambricon's benchmark scripts; their names, keys and units are `porter verify`'s check ``metrics``."""

from __future__ import annotations

import json

import pytest

from .harness import Tree
from .jobs import BARE, NB, Shop


def test_first_iterations_are_not_counted(shop: Shop, tree: Tree) -> None:
    """MLU_ADAPTIVE_STRATEGY_COUNT: the device's compiler is at work in them.  All but one: no variance is left."""
    cwd = shop.lab.folder("counted")
    env = {"BENCHMARK_LOG": str(cwd / "log"), "MLU_ADAPTIVE_STRATEGY_COUNT": str(NB - 1), "DATASET_NAME": "scenes"}
    shop.train(tree, *BARE, "--epochs", 1, "--noval", "--nosave", "--skip", cwd=cwd, env=env).run.ok()
    found = json.loads((cwd / "log").read_text())
    assert found["batch_time_var"] == 0
    assert found["dataset"] == "scenes"


@pytest.mark.jobs("killed", "resumed")
def test_nothing_is_written_unasked(shop: Shop, tree: Tree) -> None:
    run = shop.get("resumed", tree).run
    assert not [p for p in run.folder.iterdir() if p.suffix in (".log", ".json")]
