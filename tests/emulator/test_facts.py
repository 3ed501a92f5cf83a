"""Facts of a plugin that nobody ships: each kind of demand is enforced, where its condition holds, and counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from porter.emulator import Profile, generic_profile

from .conftest import DRIVERS, Run

pytestmark = pytest.mark.device
AT = "csrc/kernels.cpp:7"


def when(*atoms: tuple[int, str, str, Any]) -> dict[str, Any]:
    return {"text": "…", "test": [dict(zip(("argument", "what", "is", "value"), atom)) for atom in atoms]}


def demand(rule: str, argument: int = 0, condition: Any = None, name: str = "self", **more: Any) -> dict[str, Any]:
    return {"argument": argument, "name": name, "rule": rule, "at": AT, "when": condition, **more}


def kernel(*demands: dict[str, Any], host: Any = ()) -> dict[str, Any]:
    return {"at": AT, "kernel": AT, "demands": list(demands), "host": list(host)}


def trip(condition: Any = None, down: Any = (0,), up: Any = (0,)) -> dict[str, Any]:
    return {"at": AT, "when": condition, "down": list(down), "up": list(up)}


NAMES = """aten::empty.memory_format aten::empty_strided aten::_copy_from aten::as_strided aten::view aten::add.out
aten::_local_scalar_dense aten::copy_ aten::sub.out aten::neg.out aten::clamp_min.out aten::log.out aten::uniform_
aten::fill_.Scalar aten::zero_ aten::mul.out"""
OPERATORS = {
    **{name: kernel() for name in NAMES.split()},
    "aten::sigmoid.out": kernel(demand("contiguous"), demand("contiguous", 1, name="out")),
    "aten::exp.out": kernel(demand("contiguous", condition=when((0, "dim", ">", 2)))),
    "aten::abs.out": kernel(demand("contiguous", condition={"text": "who knows", "test": None})),
    "aten::sum.IntList_out": kernel(demand("neighbours", 1, when((0, "dim", "!=", 0)), "dim")),
    "aten::sqrt.out": kernel(demand("dtype", dtypes=["float32", "float16"])),
    "aten::mm.out": kernel(demand("dimensions", least=3, most=4)),
    "aten::maximum.out": kernel(demand("same_dtype", 1, name="other", **{"as": 0})),
    "aten::cat.out": kernel(demand("contiguous", name="tensors")),
    "aten::index.Tensor": kernel(host=[trip(when((1, "length", ">", 1)), down=[0, 1])]),
    "aten::tanh.out": kernel(host=[trip(when((0, "dtype", "in", ["int32", "float64"])))]),
    "aten::floor.out": kernel(host=[trip({"text": "who knows", "test": None})]),
}


@pytest.fixture(scope="module")
def card() -> Profile:
    generic = generic_profile("bar", "torch_bar", ["gloo"], [])
    facts = {"version": "1", "commit": "0" * 40, "operators": OPERATORS, "python": {}}
    data = {**generic.data, "source": "made.json"}
    return replace(generic, data=data, facts=facts, operators=frozenset(OPERATORS))


REFUSED = {
    "x[..., 1].sigmoid()": "aten::sigmoid.out: self is not contiguous",
    "torch.sigmoid(x, out=torch.empty(5, 4, 3, 2, device=kind).permute(3, 2, 1, 0))": "aten::sigmoid.out: out is not",
    "torch.nn.functional.silu(x[..., 1].requires_grad_()).sum().backward()": "aten::silu.out",
    "x[..., 1].exp()": "aten::exp.out: self is not contiguous",
    "x.sum((0, 2, 3))": "aten::sum.IntList_out: the dimensions of dim are no neighbours",
    "x.sum((-1, 0))": "aten::sum.IntList_out: the dimensions of dim are no neighbours",
    "x.int().to(torch.float64).sqrt()": "aten::sqrt.out: self has to be float32 or float16",
    "x[0, 0] @ x[0, 0].t()": "aten::mm.out: self has to have 3 to 4 dimensions",
    "torch.maximum(x, x.to(torch.float64))": "aten::maximum.out: other has another dtype",
    "torch.cat([x, x[..., :1]], 3)": "aten::cat.out: tensors is not contiguous",
}
ALLOWED = [
    "x.sigmoid()",
    "x[:1].sigmoid()",
    "x[0, :, 1].exp()",
    "x[..., 1].abs()",
    "x.sum((2, 1))",
    "x.sum()",
    "x.sum(1)",
    "torch.tensor(1.).to(kind).sum(())",
    "x.sqrt()",
    "x.half().sqrt()",
    "torch.maximum(x, x)",
    "torch.cat([x, x])",
]


def outcomes(run: Run, card: Profile, expressions: list[str], **asked: Any) -> dict[str, dict[str, Any]]:
    found = run(card, DRIVERS / "facts.py", "bar", *expressions, **asked).json
    return dict(zip(expressions, found))


def test_what_the_kernel_does_not_take_is_refused_where_the_fact_is(run: Run, card: Profile) -> None:
    found = outcomes(run, card, [*REFUSED, *ALLOWED])
    for expression, words in REFUSED.items():
        error = found[expression]["error"] or ""
        if "silu" in expression:  # the list has no silu at all
            assert error.startswith("NotImplementedError: Could not run 'aten::silu.out'"), error
            continue
        assert error.startswith(f"RuntimeError: {words}") and error.endswith(f"{AT}]"), (expression, error)
        assert sum(entry["count"] for entry in found[expression]["refused"]) == 1
    assert {expression: found[expression]["error"] for expression in ALLOWED} == dict.fromkeys(ALLOWED)
    assert [found[expression]["refused"] for expression in ALLOWED] == [[]] * len(ALLOWED)


def test_lenient_counts_it_and_goes_on(run: Run, card: Profile) -> None:
    found = outcomes(run, card, list(REFUSED), strict=False)
    assert {outcome["error"] for outcome in found.values()} == {None}
    assert all(outcome["refused"] for outcome in found.values())


def test_a_composite_hands_its_arguments_to_its_parts(run: Run, card: Profile) -> None:
    parts = {name: kernel() for name in ("aten::silu.out", "aten::mul.out", "aten::sub.out")}
    whole = replace(card, facts={**(card.facts or {}), "operators": {**OPERATORS, **parts}})
    backward = "torch.ops.aten.silu_backward({0}, {0})"
    found = outcomes(run, whole, [backward.format("x[..., 1]"), backward.format("x")])
    strided, dense = found.values()
    assert strided["error"].startswith("RuntimeError: aten::sigmoid.out: self is not contiguous")
    assert dense["error"] is None


def test_trips_through_the_host_inside_kernels_are_counted_apart(run: Run, card: Profile) -> None:
    asked = ["x[torch.tensor([0]).to(kind)]", "x[torch.tensor([0]).to(kind), torch.tensor([1]).to(kind)]"]
    asked += ["x.tanh()", "x.to(torch.float64).tanh()", "x.floor()"]
    found = [
        [(entry["operator"], entry["direction"], entry["count"], entry["bytes"]) for entry in outcome["inside"]]
        for outcome in outcomes(run, card, asked).values()
    ]
    index, size = "aten::index.Tensor", 2 * 3 * 4 * 5 * 4
    assert found[0] == []  # the condition does not hold
    assert found[1] == [(index, "down", 3, size + 16), (index, "up", 1, 80)]
    assert found[2] == found[4] == []  # another dtype; a condition that nobody understood
    assert found[3] == [("aten::tanh.out", "down", 1, 2 * size), ("aten::tanh.out", "up", 1, 2 * size)]
