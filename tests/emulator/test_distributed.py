"""Two processes train together over each card's own process group."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from porter.emulator import load_profile
from porter.process import free_port

from .conftest import DRIVERS, PROFILES, Run

pytestmark = pytest.mark.device


@pytest.mark.parametrize("profile", [name for name in PROFILES if name != "bm1684x"])  # it has no group of its own
def test_ranks_end_with_equal_weights(run: Run, profile: str, tmp_path: Path) -> None:
    card = load_profile(profile)
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", 2, "--master_port", free_port()]
    done = run(profile, *launcher, DRIVERS / "ranks.py", tmp_path / "rank", card.type, card.backend)
    assert done.status == 0, done.error
    one, other = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2))
    # only SyncBatchNorm, which Sophgo's plugin has no operators for, shares the statistics as well
    states = [
        {k: v for k, v in each["state"].items() if card.type != "tpu" or "running" not in k} for each in (one, other)
    ]
    assert states[0] == states[1]
    assert (one["device"], other["device"]) == (f"{card.type}:0", f"{card.type}:1")
    for found in (one, other):
        check_collectives(found, card.backend)


def check_collectives(found: dict[str, Any], backend: str) -> None:
    assert (found["sum"], found["parts"], found["objects"]) == (1.0, [0.0, 1.0], ["from 0"])
    assert found["backend"] == backend
