"""porter compare in half precision and over several steps, on an emulated device with and without a wrong kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from stacks import CHECKOUT

import porter
from comparison.conftest import SMALL
from porter.comparison import Comparison
from porter.project import Project

pytestmark = pytest.mark.device
GRADIENT = """
def wrong(host, grad, x, weight, *rest):
    made = list(host("aten::convolution_backward", grad, x, weight, *rest))
    if tuple(weight.shape) == (256, 256, 1, 1):
        made[0] = host("aten::mul.Scalar", made[0], 1.05)
    return tuple(made)


KERNELS = {"aten::convolution_backward": wrong}
"""
LATE = """
calls = []


def wrong(host, x):
    made = host("aten::silu", x)
    if tuple(x.shape[1:]) == (16, 32, 32):  # the first of a step
        calls.append(1)
    return host("aten::mul.Scalar", made, 4.0) if len(calls) > 2 else made


KERNELS = {"aten::silu": wrong}
"""


@pytest.fixture(scope="module")
def tpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return porter.apply("tpu", tmp_path_factory.mktemp("tpu") / "tree", project=Project(CHECKOUT)).path


def compared(target: str, tree: Path, **more: object) -> Comparison:
    found = porter.compare(target, tree, device="emulated", **{**SMALL, **more})
    assert found is not None and found.emulated
    return found


def test_mixed_precision(tree: Path, emulated: Path) -> None:
    """What is off by half precision's rounding is right; a gradient of a wrong kernel is not."""
    emulated.write_text(GRADIENT)
    found = compared("mlu", tree, precision="amp")
    kinds = {row.dtype for row in found.rows if row.path.endswith(".conv") and row.what == "output"}
    assert (found.precision, kinds) == ("amp", {"float16"})
    assert found.first is not None and found.operator is not None
    assert (found.first.phase, found.first.path) == ("backward", "model.23.cv3.conv")
    assert (found.operator.name, found.operator.path) == ("aten::convolution_backward", "model.23.cv3.conv")
    errors = [row.absolute / row.allowed for row in found.rows if row.phase == "forward" and row.allowed]
    assert 0.01 < max(errors) < 1.0  # a band of its own: in that of float32 it would be outside


def test_train_fp16(tpu: Path, emulated: Path) -> None:
    """As train_fp16.py trains: weights and gradients in half precision."""
    found = compared("tpu", tpu, precision="fp16")
    assert {row.dtype for row in found.rows if row.phase == "step"} == {"float16"}
    assert found.first is None
    emulated.write_text(GRADIENT)
    wrong = compared("tpu", tpu, precision="fp16")
    assert wrong.first is not None and wrong.operator is not None
    assert (wrong.first.phase, wrong.first.path) == ("backward", "model.23.cv3.conv")
    assert wrong.operator.name == "aten::convolution_backward"


def test_when_two_trainings_part(tree: Path, emulated: Path) -> None:
    emulated.write_text(LATE)
    found = compared("mlu", tree, steps=4)
    assert (found.steps, found.parted, found.first, found.operator) == (4, 2, None, None)
    assert not any(row.absolute for row in found.rows if row.step < 2)


def test_a_record_of_the_device_compared_on_the_cpu(tree: Path, emulated: Path, tmp_path: Path) -> None:
    """Recorded where the card is, compared elsewhere: the module is named, the operator cannot be."""
    emulated.write_text(LATE.replace("> 2", "> 0"))
    small = {**SMALL, "record": tmp_path / "card.npz"}
    assert porter.compare("mlu", tree, device="emulated", **small) is None
    found = porter.compare("mlu", tree, device="cpu", against=tmp_path / "card.npz", project=SMALL["project"])
    assert found is not None and found.first is not None and found.emulated
    assert (found.first.path, found.first.what, found.operator) == ("model.0.act", "output", None)
