"""A device that nobody has a profile of goes by any name, and everything torch has is allowed on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from porter.emulator import generic_profile
from porter.process import free_port

from .conftest import DRIVERS, Run
from .test_distributed import check_collectives

FOO = generic_profile("foo", "plugin_of_foo", ["foocl"], ["FOO_VISIBLE_DEVICES"])
# drivers name a plugin torch_TYPE
BAR = generic_profile("bar", "torch_bar", ["gloo"], [])


def test_it_says_what_it_is() -> None:
    assert (FOO.name, FOO.device, FOO.operators, FOO.path) == ("generic", "EMULATED generic FOO", None, None)
    assert FOO.listed_in == "no operator list: everything torch has is allowed"


@pytest.mark.device
def test_any_module_and_any_device(run: Run) -> None:
    code = (
        "import torch, plugin_of_foo, plugin_of_foo.foo.amp\n"
        "print(torch.ones(2, device='foo:1').device, torch.foo is plugin_of_foo.foo, torch.foo.device_count(),"
        " torch.foo.get_device_name(), plugin_of_foo.__version__)\n"
    )
    done = run(FOO, "-c", code, devices=3, env={"FOO_VISIBLE_DEVICES": "2,1"})
    assert done.out.split() == ["foo:1", "True", "2", "EMULATED", "generic", "FOO", "0+emulated"], done.error
    assert done.error.splitlines() == ["plugin_of_foo: EMULATED generic FOO, 2 devices, strict: no card is used"]


@pytest.mark.device
def test_it_computes_what_the_cpu_does_and_refuses_nothing(run: Run) -> None:
    found: dict[str, Any] = run(BAR, DRIVERS / "checks.py", "bar").json
    assert {name: result["failed"] for name, result in found.items() if result and "failed" in result} == {}
    one, other = found["losses_and_weights"]["losses"]
    assert one == other and found["losses_and_weights"]["weights"]
    assert {name: why for name, why in found["optimizers"].items() if why} == {}
    assert found["autocast"]["product"] == "torch.bfloat16"
    snippets = ["torch.igamma(x, x)", "torch.heaviside(x, x)", "x.cumsum(0)", "torch.linalg.svd(x.view(1, -1))"]
    outcomes = run(BAR, DRIVERS / "limits.py", "bar", *snippets).json
    assert [(outcome["error"], outcome["refused"]) for outcome in outcomes] == [(None, [])] * len(snippets)


@pytest.mark.device
def test_two_ranks_over_a_group_of_any_name(run: Run, tmp_path: Path) -> None:
    card = generic_profile("bar", "torch_bar", ["barcl"], [])
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", 2, "--master_port", free_port()]
    done = run(card, *launcher, DRIVERS / "ranks.py", tmp_path / "rank", "bar", "barcl")
    assert done.status == 0, done.error
    one, other = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2))
    assert one["state"] == other["state"]
    check_collectives(one, "barcl")
