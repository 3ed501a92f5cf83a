"""An emulated device refuses what the card refuses, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from porter.emulator import load_profile

from .conftest import DRIVERS, Run

pytestmark = pytest.mark.device

REFUSED = {
    "mlu370": {
        "x.cross(x, 1) if False else torch.cdist(x, x); torch.heaviside(x, x)": "aten::heaviside.out",
        "torch.igamma(x, x)": "aten::igamma.out",
    },
    "bm1684x": {
        "x.atan()": "aten::atan.out",
        "torch.linspace(0, 1, 3, device=kind)": "aten::linspace.out",
        "torch.remainder(x, 1.0)": "aten::remainder.Tensor_out",
        "x[x > 0.5].cumsum(0)": "aten::cumsum.out",
    },
    "ascend910b": {"torch.igamma(x, x)": "aten::igamma.out", "torch.heaviside(x, x)": "aten::heaviside.out"},
    "sg2260": {"torch.igamma(x, x)": "aten::igamma.out", "torch.full_like(x, 2).erfinv()": "aten::erfinv.out"},
}
ALLOWED = {
    "ascend910b": ["x.atan()", "x.prod()", "x.erfinv()", "torch.zeros(3, dtype=torch.uint8).to(kind)"],
    "mlu370": [
        "x.atan()",
        "x.prod()",
        "torch.linspace(0, 1, 3, device=kind)",
        "torch.zeros(3, dtype=torch.uint8).to(kind)",
    ],
    "bm1684x": [
        "x.prod(1)",
        "torch.arange(3, dtype=torch.float32, device=kind)",
        "torch.zeros(3, dtype=torch.uint8).to(kind)",
        "torch.ones(3, dtype=torch.int64).tpu()",
        "torch.arange(3, device=kind)",
        "torch.arange(3., device=kind)",
        "x.t().contiguous()",
        "x[x > 0.5]",
        "x.sum()",
    ],
    "sg2260": [
        "x.atan()",
        "x.cumsum(0)",
        "torch.arange(3, dtype=torch.float32, device=kind)",
        "torch.remainder(x, 1.0)",
    ],
}


WORDS = {
    "mlu370": "is not currently implemented for the MLU device",
    "ascend910b": "is not currently supported on the NPU backend",
    "bm1684x": "Could not run",
    "sg2260": "Could not run",
}


def outcomes(run: Run, profile: str, *snippets: str, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run(
        profile, DRIVERS / "limits.py", load_profile(profile).type, *snippets, **asked
    ).json
    return found


@pytest.mark.parametrize("profile", REFUSED)
def test_strict_refuses_with_the_vendors_error(run: Run, profile: str) -> None:
    snippets = [*REFUSED[profile], *ALLOWED[profile]]
    found = dict(zip(snippets, outcomes(run, profile, *snippets)))
    for snippet, operator in REFUSED[profile].items():
        outcome = found[snippet]
        assert (outcome["error"] or "").startswith("NotImplementedError: "), snippet
        assert WORDS[profile] in outcome["error"] and f"'{operator}'" in outcome["error"]
        assert [entry["operator"] for entry in outcome["refused"]] == [operator]
    assert {snippet: found[snippet]["error"] for snippet in ALLOWED[profile]} == dict.fromkeys(ALLOWED[profile])


def test_lenient_counts_and_goes_on(run: Run) -> None:
    found = outcomes(run, "bm1684x", *REFUSED["bm1684x"], strict=False)
    assert [outcome["error"] for outcome in found] == [None] * len(found)
    assert [outcome["refused"][0]["operator"] for outcome in found] == list(REFUSED["bm1684x"].values())


@pytest.mark.parametrize("value", ["1", "0"])
def test_mlu_falls_back_to_the_host_only_where_it_was_asked_to(run: Run, value: str) -> None:
    (outcome,) = outcomes(run, "mlu370", "torch.igamma(x, x)", env={"ENABLE_FALLBACK_TO_CPU": value})
    assert (outcome["error"] is None) == (value == "1")
    assert [entry["operator"] for entry in outcome["fallen_back"]] == (["aten::igamma.out"] if value == "1" else [])


def test_memory_is_as_large_as_asked(run: Run) -> None:
    snippets = [
        "torch.empty(1 << 20, device=kind)",
        "torch.empty(100, device=kind)",
        "torch.ones(1 << 15, device=kind).exp().exp()",
    ]
    large, small, tight = outcomes(run, "mlu370", *snippets, memory=1 << 18)
    assert large["error"].startswith("OutOfMemoryError: MLU out of memory. Tried to allocate 4.00 MiB")
    assert small["error"] is None
    assert "out of memory" in tight["error"]
