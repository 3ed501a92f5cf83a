"""Distributed training on the cpu: two processes over gloo, started as upstream's documentation says."""

from __future__ import annotations

import json

import pytest

from porter.process import free_port

from .harness import DRIVERS, OURS, Lab, Tree, newest, own_data
from .jobs import BARE, NB, Shop

LAUNCH = ("-m", "torch.distributed.run", "--nproc_per_node", 2, "--master_addr", "127.0.0.1", "--master_port")


@pytest.mark.verified("ddp")
def test_two_processes_train_one_model(shop: Shop, tree: Tree) -> None:
    cwd = shop.lab.folder("ddp")
    data = own_data(shop.data, cwd)
    words = ("--data", data, "--img", 64, "--device", "cpu", "--workers", 0, "--project", "runs/train")
    script = (OURS / "training.py", tree.path, "ranks", cwd, "--", *BARE, "--epochs", 2, *words)
    run = shop.lab.run(*LAUNCH, free_port(), *script, cwd=cwd)
    assert run.status == 0, run.story()
    ranks = [json.loads((cwd / f"rank{n}.json").read_text()) for n in range(2)]
    assert ranks[0]["images"] == ranks[1]["images"] == 2 * NB * 2, "a batch of four is shared by two"
    for ours, theirs in zip(ranks[0]["order"], ranks[1]["order"]):
        assert ours and not set(ours) & set(theirs), "both saw the same images"
    assert ranks[0]["weights"] == ranks[1]["weights"] != ranks[0]["before"]
    assert ranks[0]["before"] == ranks[1]["before"]
    assert [p.name for p in (cwd / "runs" / "train").iterdir()] == ["exp"], "one run, written by one process"
    folder = newest(cwd / "runs" / "train")
    assert len((folder / "results.csv").read_text().splitlines()) == 3
    assert (folder / "weights" / "best.pt").is_file()
    assert "Using SyncBatchNorm" not in run.text, "torch has it for accelerators only"


@pytest.mark.trees("tpu")
def test_batch_norm_of_plain_operators_is_that_of_the_whole_batch(lab: Lab, tree: Tree) -> None:
    """torch has no SyncBatchNorm for the cpu to compare with: one process with all pictures is what it stands for."""
    cwd = lab.folder("syncnorm")
    script = (DRIVERS / "syncnorm.py", tree.path, cwd)
    run = lab.run(*LAUNCH, free_port(), *script, cwd=cwd, env={"PYTHONPATH": str(OURS)})
    assert run.status == 0, run.story()
    for number in range(2):
        found = json.loads((cwd / f"rank{number}.json").read_text())
        assert max(found["errors"].values()) < 1e-5, found["errors"]
        assert found["batches"] == [1, 1]
        assert found["class"] and found["copy"], "copies hold torch's own class, for checkpoints"


@pytest.mark.trees("tpu")
def test_one_collective_for_all_gradients_averages_as_torch_does(lab: Lab, tree: Tree) -> None:
    """Bit for bit: where torch's DistributedDataParallel works, the tpu's is no other training."""
    cwd = lab.folder("averaged")
    script = (DRIVERS / "averaged.py", tree.path, cwd)
    run = lab.run(*LAUNCH, free_port(), *script, cwd=cwd, env={"PYTHONPATH": str(OURS)})
    assert run.status == 0, run.story()
    for number in range(2):
        found = json.loads((cwd / f"rank{number}.json").read_text())
        assert found == {"different": [], "between": [], "moved": True, "parallel": [True, True]}, found


@pytest.mark.trees("tpu")
def test_what_stands_in_for_the_plugin_does_what_torch_does(lab: Lab, tree: Tree) -> None:
    run = lab.run(DRIVERS / "parts.py", tree.path, cwd=lab.folder("parts"), env={"PYTHONPATH": str(OURS)})
    assert run.status == 0, run.story()
    found = json.loads(run.out.splitlines()[-1])
    assert found["cat"] == found["contiguous"] == [True, True] and found["elsewhere"]
    assert found["fetched"] == [True, True, True]
    assert found["2024"] == [[0, 0, 0], {"memory_reserved": 1, "memory_allocated": 1, "empty_cache": 1}], "asked again"
    assert found["2025"] == [[7, 7, 7], {"memory_reserved": 1, "memory_allocated": 3, "empty_cache": 1}]
    assert found["both"] == [[9, 9, 9], {"memory_reserved": 3}]
    assert found["none"] == [[0, 0, 0], {}]
