from __future__ import annotations

import cv2
import numpy as np
import pytest

from porter.datasets.scenes import HUES, SHAPES, Box, scene


@pytest.fixture(scope="module")
def many() -> list:
    return [scene(f"test {i}", 160, 120, 80) for i in range(200)]


def test_boxes_are_inside_and_of_a_size_to_be_seen(many: list) -> None:
    boxes = [box for made in many for box in made.boxes]
    assert len(boxes) > 600
    for box in boxes:
        assert 0 <= box.left < box.right <= 160
        assert 0 <= box.top < box.bottom <= 120
        assert min(box.right - box.left, box.bottom - box.top) >= 5


def test_every_class_occurs(many: list) -> None:
    assert {box.label for made in many for box in made.boxes} == set(range(80))


def test_objects_overlap_but_none_is_hidden(many: list) -> None:
    overlaps = 0
    for made in many:
        for i, box in enumerate(made.boxes):
            # what is drawn later lies on top
            covered = sum(box.overlap(above) for above in made.boxes[i + 1 :])
            assert covered <= 0.5 * box.area
            overlaps += covered > 0
    assert overlaps > 30


def test_a_box_holds_its_object_and_nothing_is_left_of_it() -> None:
    """Draw the same scene with one object and without any: the pixels that differ are the box."""
    found = 0
    for i in range(60):
        key = f"alone {i}"
        with_objects, without = scene(key, 96, 96, 80), scene(key, 96, 96, 80, empty=True)
        assert not without.boxes
        if len(with_objects.boxes) != 1:
            continue
        (box,) = with_objects.boxes
        differ = np.array([list(row) for row in with_objects.rows]) != np.array([list(row) for row in without.rows])
        ys, xs = np.nonzero(differ)
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (box.left, box.top, box.right, box.bottom)
        found += 1
    assert found >= 3


def test_a_class_is_one_shape_in_one_hue() -> None:
    """The hue at an object's pixels tells its class's hue number; no two classes share shape and hue."""
    told = {(label % len(SHAPES), (label + label // len(SHAPES)) % HUES) for label in range(80)}
    assert len(told) == 80
    checked = 0
    for i in range(100):
        made = scene(f"hue {i}", 128, 128, 80)
        picture = cv2.imdecode(np.frombuffer(made.picture(), np.uint8), cv2.IMREAD_COLOR)
        hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
        for n, box in enumerate(made.boxes):
            if any(box.overlap(other) for m, other in enumerate(made.boxes) if m != n):
                continue
            inside = hsv[box.top : box.bottom, box.left : box.right].reshape(-1, 3)
            vivid = inside[inside[:, 1] > 128]  # the ground is grey
            assert len(vivid) > 0.2 * len(inside)
            angle = np.exp(1j * vivid[:, 0].astype(float) * 2 * np.pi / 180).mean()  # hues go round
            hue = np.angle(angle) / (2 * np.pi) * HUES % HUES
            assert round(hue) % HUES == (box.label + box.label // len(SHAPES)) % HUES
            checked += 1
    assert checked > 100


def test_labels_are_shares_of_the_picture() -> None:
    made = next(s for s in (scene(f"label {i}", 200, 100, 80) for i in range(20)) if s.boxes)
    for line, box in zip(made.labels().splitlines(), made.boxes):
        label, x, y, w, h = line.split()
        assert int(label) == box.label
        assert (float(x) - float(w) / 2) * 200 == pytest.approx(box.left, abs=1e-3)
        assert (float(x) + float(w) / 2) * 200 == pytest.approx(box.right, abs=1e-3)
        assert (float(y) - float(h) / 2) * 100 == pytest.approx(box.top, abs=1e-3)
        assert (float(y) + float(h) / 2) * 100 == pytest.approx(box.bottom, abs=1e-3)


def test_box_overlap() -> None:
    box = Box(0, 10, 10, 20, 20)
    assert box.overlap(Box(0, 15, 18, 40, 40)) == 5 * 2
    assert box.overlap(Box(0, 20, 10, 30, 20)) == 0
    assert box.overlap(Box(0, 30, 30, 40, 40)) == 0
