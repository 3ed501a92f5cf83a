"""A label file of YOLOv5: an object a line, its class and where it is, as shares of the picture.

``class x y width height``, the box's centre and size; or, in a file where a line has more than eight columns,
``class x1 y1 x2 y2 …`` for all lines, the corners of its outline.  That is how v6.0 tells them apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SLACK = 1e-3  # of the picture: what rounding may put a box outside of it
_BOX = 5
_MOST_OF_A_BOX = 8  # columns; with more, a line is an outline


@dataclass(frozen=True)
class Box:
    """An object: its class, and centre and size as shares of the picture."""

    label: int
    x: float
    y: float
    width: float
    height: float


Complain = Callable[[int, str, str], None]  # line, from 1; kind; what is there


def parse(data: bytes, classes: int, problem: Complain, warning: Complain) -> list[Box]:
    """The objects of a label file; those of lines that make no sense are left out.

    Args:
        classes: how many there are.
        problem: told of what makes v6.0 leave out the picture, or learn something wrong.
        warning: told of what is odd, but does no harm.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        problem(data.count(b"\n", 0, error.start) + 1, "not text", f"byte {data[error.start]:#04x} is no UTF-8")
        return []
    rows = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    rows = [(number, words) for number, words in rows if words]
    outlines = any(len(words) > _MOST_OF_A_BOX for _, words in rows)
    seen: dict[tuple[float, ...], int] = {}
    boxes = []
    for number, words in rows:
        values = _numbers(words, number, outlines, problem)
        if values is None or not _sound(values, number, classes, problem):
            continue
        box = _around(values) if outlines else Box(int(values[0]), *values[1:])
        if values in seen:
            problem(number, "duplicate label", f"the same as line {seen[values]}")
            continue
        seen[values] = number
        if box.width <= 0 or box.height <= 0:
            problem(number, "empty box", f"its width is {box.width:g} and its height {box.height:g}")
            continue
        if max(abs(box.x - 0.5) + box.width / 2, abs(box.y - 0.5) + box.height / 2) > 0.5 + SLACK:
            warning(number, "box leaves the picture", " ".join(words[1:5]))
        boxes.append(box)
    return boxes


def _numbers(words: list[str], number: int, outlines: bool, problem: Complain) -> tuple[float, ...] | None:
    """A line's columns as numbers, if it has as many as it should and all are finite."""
    count = len(words)
    if outlines and (count < _BOX or count % 2 == 0):
        problem(number, "wrong number of columns", f"{count}; an outline has a class and pairs of numbers")
        return None
    if not outlines and count != _BOX:
        problem(number, "wrong number of columns", f"{count}; a box has {_BOX}")
        return None
    values = []
    for word in words:
        try:
            value = float(word)
        except ValueError:
            problem(number, "not a number", repr(word))
            return None
        if not math.isfinite(value):
            problem(number, "not finite", repr(word))
            return None
        values.append(value)
    return tuple(values)


def _sound(values: tuple[float, ...], number: int, classes: int, problem: Complain) -> bool:
    """Whether the class is one of those there are, and every coordinate within the picture."""
    label, coordinates = values[0], values[1:]
    if label != int(label) or not 0 <= label < classes:
        problem(number, "wrong class", f"{label:g}; there are 0 to {classes - 1}")
        return False
    outside = [value for value in coordinates if not 0 <= value <= 1]
    if outside:
        problem(number, "out of range", f"{outside[0]:g}; coordinates are shares of the picture, 0 to 1")
        return False
    return True


def _around(values: tuple[float, ...]) -> Box:
    """The box around an outline."""
    across, down = values[1::2], values[2::2]
    left, right, top, bottom = min(across), max(across), min(down), max(down)
    return Box(int(values[0]), (left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
