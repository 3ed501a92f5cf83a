"""What a ported tree asks of a plugin, beside the operators: its current device, a device a process, its scaler."""

from __future__ import annotations

from pathlib import Path

import pytest
from stacks import CHECKOUT

import porter
from porter.emulator import load_profile
from porter.process import free_port

from .conftest import Done, Run

pytestmark = pytest.mark.device
TARGETS = {"mlu": "mlu370", "tpu": "sg2260", "npu": "ascend910b", "musa": "s4000"}
CURRENT = """
import torch
from utils import accelerator
from utils.torch_utils import select_device

device = select_device("{0}:1")
held = torch.zeros(1 << 20, device=device)
acc = accelerator.current()
print(device, torch.{0}.current_device(), acc.memory_reserved() >= held.numel() * 4)
"""
RANKS = """
from utils.torch_utils import select_device

for given, rank in ("mlu", 1), ("mlu:1,0", 1), ("mlu:1", 0), ("mlu:1", 1), ("mlu", 2):
    try:
        print(select_device(given, local_rank=rank))
    except AssertionError as e:
        print(e)
"""
SCALER = """
import torch
from utils import accelerator

state = {"scale": 1024.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 7}
accelerator.get("npu").load()
scaler = accelerator.get("npu").scaler()
scaler.load_state_dict(state)
print(scaler.state_dict() == state)
"""


BARRIER = """
import os

import torch.distributed as dist
from utils import accelerator
from utils.torch_utils import select_device, torch_distributed_zero_first

rank = int(os.environ["LOCAL_RANK"])
device = select_device("{0}:2,3", local_rank=rank)
acc = accelerator.get(device)
dist.init_process_group(acc.distributed_backend())
with torch_distributed_zero_first(rank):
    pass
with open(os.environ["OUT"] + str(rank), "w") as file:
    print(device, [i for i in range(4) if acc.module.memory_reserved(i)], file=file)
dist.destroy_process_group()
os._exit(0)
"""


def in_tree(run: Run, target: str, tmp_path: Path, code: str) -> Done:
    porter.apply(target, tmp_path / "tree", project=CHECKOUT)
    return run(TARGETS[target], "-c", code, env={"PYTHONPATH": str(tmp_path / "tree")}, devices=2)


@pytest.mark.parametrize("target", TARGETS)
def test_the_device_asked_for_is_the_current_one(run: Run, tmp_path: Path, target: str) -> None:
    """A plugin waits for its current device, and tells that one's memory, where none is named."""
    done = in_tree(run, target, tmp_path, CURRENT.format(target))
    assert done.status == 0, done.error
    assert done.out.splitlines()[-1] == f"{target}:1 1 True"


def test_each_process_has_a_device_of_its_own(run: Run, tmp_path: Path) -> None:
    lacking = "insufficient mlu devices for DDP command"
    done = in_tree(run, "mlu", tmp_path, RANKS)
    assert done.out.splitlines() == ["mlu:1", "mlu:0", "mlu:1", lacking, lacking], done.error


def test_an_npu_goes_on_with_another_devices_scaler(run: Run, tmp_path: Path) -> None:
    """torch_npu's own wants an entry that only its own state has, and checkpoints with it were refused."""
    assert load_profile("ascend910b").data["surface"]["scaler_state"] == {"dynamic": True}
    done = in_tree(run, "npu", tmp_path, SCALER)
    assert done.status == 0 and done.out.splitlines()[-1] == "True", done.error


@pytest.mark.parametrize("target", ["mlu", "musa"])
def test_processes_wait_for_each_other_on_their_own_cards(run: Run, tmp_path: Path, target: str) -> None:
    """A first barrier is on the card of the rank's number, which may be another's, where the plugin has to guess."""
    porter.apply(target, tmp_path / "tree", project=CHECKOUT)
    (tmp_path / "barrier.py").write_text(BARRIER.format(target), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", 2, "--master_port", free_port()]
    env = {"PYTHONPATH": str(tmp_path / "tree"), "OUT": str(tmp_path / "rank")}
    done = run(TARGETS[target], *launcher, tmp_path / "barrier.py", env=env, devices=4)
    assert done.status == 0, done.error
    found = [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)]
    assert found == [f"{target}:2 [2]\n", f"{target}:3 [3]\n"]
