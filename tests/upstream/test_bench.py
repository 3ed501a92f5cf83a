"""porter bench measures real trainings: of two trees in turn, on the cpu."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .harness import Lab, Tree, porter

HOW = ("--device", "cpu", "--cfg", "yolov5n.yaml", "--img", 64, "--batch", 2, "--workers", 0, "--threads", 1)


def test_two_trees_in_turn(lab: Lab, tree: Tree, porter_env: dict[str, str]) -> None:
    cwd = lab.folder("bench")
    other = cwd / "other"
    shutil.copytree(tree.path, other, symlinks=True)
    trend = cwd / "trend.jsonl"
    target = tree.name.split("+")[0]
    words = ("--iters", 4, "--warm-up", 3, "--runs", 2, "--against", other, "--trend", trend, "--json")
    done = porter("bench", "--target", target, *HOW, *words, tree.path, env=porter_env)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["schema"]) == ("bench", 1)
    assert (found["emulated"], found["batch"], found["precision"]) == (False, 2, "fp32")
    ours, theirs = found["subjects"]
    assert ours["commit"] == theirs["commit"] and Path(theirs["tree"]) == other
    for subject in ours, theirs:
        assert [run["iterations"] for run in subject["runs"]] == [4, 4]
        together = subject["together"]
        assert together["iterations"] == 8
        assert together["throughput"] == pytest.approx(2 / together["batch_time_avg"])
        assert 0 < together["data_time_avg"] < together["batch_time_avg"]
        assert together["batch_time_p50"] <= together["batch_time_p95"]
        assert (together["hardware_time_avg"], together["per_step"], subject["card"]) == (None, None, "CPU")
        assert together["memory_host"] > 50 << 20
    speeds = [[run["throughput"] for run in subject["runs"]] for subject in (ours, theirs)]
    assert found["ratio"]["rounds"] == pytest.approx([a / b for a, b in zip(*speeds)])
    (line,) = trend.read_text().splitlines()
    assert json.loads(line)["commit"] == ours["commit"]
