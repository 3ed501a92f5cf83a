"""NMS in plain torch keeps what torchvision's keeps, index for index."""

from __future__ import annotations

import importlib.util
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .harness import Tree

try:
    from torchvision.ops import nms as reference
except ImportError:
    reference = None

coarse = st.integers(-4, 40).map(float)  # many equal corners, areas and overlaps
fine = st.floats(-1e4, 1e4, width=32)
huge = st.sampled_from([-1e30, -1e18, 0.0, 1e18, 1e19, 1e30])  # areas overflow float32
corner = st.one_of(coarse, fine, huge)
score = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))
threshold = st.one_of(st.sampled_from([0.0, 0.45, 0.5, 0.6, 1.0]), st.floats(0, 1))


@st.composite
def scene(draw: st.DrawFn) -> tuple[list[list[float]], list[float]]:
    kind = draw(st.sampled_from([coarse, fine, corner]))
    boxes = draw(st.lists(st.lists(kind, min_size=4, max_size=4), max_size=40))
    boxes = [[min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)] for x1, y1, x2, y2 in boxes]
    if boxes:
        boxes += draw(st.lists(st.sampled_from(boxes), max_size=10))  # equal boxes
    return boxes, draw(st.lists(score, min_size=len(boxes), max_size=len(boxes)))


@pytest.fixture(scope="session")
def module(tree: Tree) -> ModuleType:
    """The tree's utils/nms.py alone: it depends on torch only."""
    spec = importlib.util.spec_from_file_location(f"nms_of_{tree.name}", tree.path / "utils" / "nms.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def by_hand(boxes: torch.Tensor, scores: torch.Tensor, limit: float) -> list[int]:
    """The definition, box by box, in float32 as torchvision's cpu kernel has it; equal scores in the order given."""
    order = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    zero = torch.zeros(())
    for i in order:
        for j in kept:
            w = torch.maximum(zero, torch.minimum(boxes[i, 2], boxes[j, 2]) - torch.maximum(boxes[i, 0], boxes[j, 0]))
            h = torch.maximum(zero, torch.minimum(boxes[i, 3], boxes[j, 3]) - torch.maximum(boxes[i, 1], boxes[j, 1]))
            if float(w * h / (area[j] + area[i] - w * h)) > limit:
                break
        else:
            kept.append(i)
    return kept


def one_by_one(boxes: torch.Tensor, scores: torch.Tensor, limit: float, stable: bool) -> list[int]:
    """The definition, a kept box against all that are left, for more boxes than :func:`by_hand` can take."""
    left = scores.sort(stable=True, dim=0, descending=True)[1] if stable else scores.sort(descending=True)[1]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(left):
        i, left = int(left[0]), left[1:]
        kept.append(i)
        size = torch.minimum(boxes[i, 2:], boxes[left, 2:]) - torch.maximum(boxes[i, :2], boxes[left, :2])
        inter = size.clamp(min=0).prod(1)
        left = left[~((inter / (area[i] + area[left] - inter)).double() > limit)]
    return kept


def expected(boxes: torch.Tensor, scores: torch.Tensor, limit: float) -> list[int]:
    """torchvision's answer where it is installed, else the definition's."""
    if reference is None:
        return one_by_one(boxes, scores, limit, stable=True)
    return list(map(int, reference(boxes, scores, limit)))


@given(scene(), threshold)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(([], []), 0.5)
@example(([[0.0, 0.0, 0.0, 0.0]] * 3, [0.5] * 3), 0.0)  # 0 / 0
@example(([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.0]], [0.5, 0.25]), 0.5)  # exactly at the threshold
@example(([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 6.0]], [1.0, 0.5]), 0.6)  # 0.6 is not 0.6 in float32
@example(([[0.0, 0.0, 1e30, 1e30]] * 2, [1.0, 0.5]), 0.5)  # inf / inf
def test_equal_to_torchvision(module: ModuleType, made: tuple[list[list[float]], list[float]], limit: float) -> None:
    boxes, scores = torch.tensor(made[0]).reshape(-1, 4), torch.tensor(made[1]).reshape(-1)
    found = module.plain_nms(boxes, scores, limit)
    assert found.dtype == torch.int64
    assert found.tolist() == expected(boxes, scores, limit)
    assert module.nms(boxes, scores, limit).tolist() == found.tolist()


@given(scene(), threshold, st.integers(1, 12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_max_det(module: ModuleType, made: tuple[list[list[float]], list[float]], limit: float, most: int) -> None:
    boxes, scores = torch.tensor(made[0]).reshape(-1, 4), torch.tensor(made[1]).reshape(-1)
    for function in module.plain_nms, module.nms:
        assert function(boxes, scores, limit, max_det=most).tolist() == expected(boxes, scores, limit)[:most]


def test_as_many_boxes_as_validation_has(module: ModuleType) -> None:
    """30,000 is the most that v6.0 hands over; thresholds of val.py; scores with ties."""
    generator = torch.Generator().manual_seed(0)
    corners = (
        torch.rand(30000, 2, generator=generator) * 600 + torch.randint(80, (30000, 1), generator=generator) * 4096
    )
    boxes = torch.cat((corners, corners + torch.rand(30000, 2, generator=generator) * 80), 1)
    scores = (torch.rand(30000, generator=generator) * 1000).round() / 1000
    found = module.plain_nms(boxes, scores, 0.6, max_det=300)
    assert len(found) == 300
    if reference is not None:
        assert found.tolist() == reference(boxes, scores, 0.6)[:300].tolist()


@given(scene(), threshold, st.integers(1, 12))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks(module: ModuleType, made: tuple[list[list[float]], list[float]], limit: float, most: int) -> None:
    """Blocks of three boxes, so that a picture's boxes are many blocks and windows; never more pairs than fit one."""
    boxes, scores = torch.tensor(made[0]).reshape(-1, 4), torch.tensor(made[1]).reshape(-1)
    pairs, sizes = module.Overlap.pairs, [0]

    def counted(self: Any, a: Any, b: Any) -> Any:
        sizes.append(a.shape[1] * b.shape[1])
        return pairs(self, a, b)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 3)
        patch.setattr(module.Overlap, "pairs", counted)
        assert module.plain_nms(boxes, scores, limit).tolist() == expected(boxes, scores, limit)
        assert module.plain_nms(boxes, scores, limit, most).tolist() == expected(boxes, scores, limit)[:most]
    assert max(sizes) <= 9


@given(scene(), threshold, st.integers(1, 12))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_beside_torchvision(
    module: ModuleType, made: tuple[list[list[float]], list[float]], limit: float, most: int
) -> None:
    """The road of many boxes, for a few."""
    boxes, scores = torch.tensor(made[0]).reshape(-1, 4), torch.tensor(made[1]).reshape(-1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MANY", 5)
        assert module.nms(boxes, scores, limit, most).tolist() == expected(boxes, scores, limit)[:most]


@pytest.mark.parametrize(
    ("number", "objects"), [(191, 1), (191, 40), (192, 1), (192, 299), (193, 40), (193, 299), (1500, 40), (1500, 3000)]
)
def test_crowds(module: ModuleType, number: int, objects: int) -> None:
    """Many candidates of few objects and few of many, scores with ties, around the size of a block.

    torchvision sorts stably only since the release for torch 1.11, which shows from 17 scores on.
    """
    generator = torch.Generator().manual_seed(objects * number)
    corners = torch.rand(objects, 2, generator=generator) * 600
    sizes = 20 + torch.rand(objects, 2, generator=generator) * 40
    which = torch.randint(objects, (number,), generator=generator)
    boxes = torch.cat((corners, corners + sizes), 1)[which] + torch.rand(number, 4, generator=generator) * 8
    scores = (torch.rand(number, generator=generator) * 1000).round() / 1000
    for dtype in torch.float32, torch.float64:
        defined = one_by_one(boxes.to(dtype), scores, 0.6, stable=not module.OLD)
        if reference is not None:
            assert reference(boxes.to(dtype), scores.to(dtype), 0.6).tolist() == defined, (
                "the definition is not torchvision's"
            )
        assert module.plain_nms(boxes.to(dtype), scores, 0.6).tolist() == defined
        for most in 1, 190, 300:
            assert module.plain_nms(boxes.to(dtype), scores, 0.6, most).tolist() == defined[:most]


def test_definition(module: ModuleType) -> None:
    """What stands in for torchvision where there is none: figures worked out on paper."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    scores = torch.tensor([0.8, 0.9, 0.7])
    for function in module.plain_nms, by_hand, partial(one_by_one, stable=True):
        assert list(map(int, function(boxes, scores, 81 / 119 + 1e-6))) == [1, 0, 2]
        assert list(map(int, function(boxes, scores, 81 / 119 - 1e-6))) == [1, 2]
