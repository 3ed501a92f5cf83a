"""The files of Cambricon's benchmark scripts: names, keys and units are those of its model zoo's metric.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .harness import Tree
from .jobs import BARE, NB, Shop, table

SPEED = {
    "net", "batch_size", "cards", "precision", "DPF_mode", "batch_time_avg", "batch_time_var", "hardware_time_avg",
    "hardware_time_var", "throughput", "date", "device", "dataset",
}  # fmt: skip
ACCURACY = {"net", "accuracy", "date", "device", "dataset"}


def only(file: Path) -> dict[str, Any]:
    """The one record in a file."""
    record: dict[str, Any] = json.loads(file.read_text())
    return record


@pytest.mark.jobs("scratch")
def test_speed(shop: Shop, tree: Tree) -> None:
    run = shop.get("scratch", tree).run
    found = only(run.folder / "benchmark.log")
    assert set(found) == SPEED
    assert (found["net"], found["batch_size"], found["cards"]) == ("yolov5n", 4, 1)
    assert 0.005 < found["batch_time_avg"] < 30, "not seconds"
    assert found["throughput"] == pytest.approx(4 / found["batch_time_avg"], rel=1e-2)
    assert "CPU" in found["device"]
    assert not (run.folder / "accuracy.log").exists(), "training writes speed only"


@pytest.mark.jobs("scratch", "validated")
def test_accuracy(shop: Shop, tree: Tree) -> None:
    run = shop.get("validated", tree).run
    found = only(run.folder / "accuracy.log")
    assert set(found) == ACCURACY
    assert found["net"] == "best"
    assert found["accuracy"] == pytest.approx(float(table(run)[0].split()[-1]), abs=5e-3)
    assert not (run.folder / "benchmark.log").exists()


def test_first_iterations_are_not_counted(shop: Shop, tree: Tree) -> None:
    """MLU_ADAPTIVE_STRATEGY_COUNT: the device's compiler is at work in them.  All but one: no variance is left."""
    cwd = shop.lab.folder("counted")
    env = {"BENCHMARK_LOG": str(cwd / "log"), "MLU_ADAPTIVE_STRATEGY_COUNT": str(NB - 1), "DATASET_NAME": "scenes"}
    shop.train(tree, *BARE, "--epochs", 1, "--noval", "--nosave", "--skip", cwd=cwd, env=env).run.ok()
    found = only(cwd / "log")
    assert found["batch_time_var"] == 0
    assert found["dataset"] == "scenes"


@pytest.mark.jobs("finetuned")
def test_nothing_is_written_unasked(shop: Shop, tree: Tree, weights: Path) -> None:
    run = shop.get("finetuned", tree).run
    assert not [p for p in run.folder.iterdir() if p.suffix in (".log", ".json")]
