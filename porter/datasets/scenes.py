"""Scenes: pictures of shapes on a noisy ground, with a box for each, that a detector can learn.

A class is a shape in a colour: 8 shapes and 10 hues make COCO's 80.  Shapes differ in size, proportion,
shade and texture, cover each other in part, and stand among grey blocks that are nothing.  A mirror image
keeps its class and the hues are further apart than v6.0's colour augmentation moves them.

A scene is the same on every machine and Python: only ``Random.random()``, whose numbers Python promises to
keep, and arithmetic that IEEE 754 defines to the last bit (no sine, no power) go into it.
"""

from __future__ import annotations

import colorsys
import hashlib
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

HUES = 10
_GRAIN = 8  # shades of noise on a surface
_GROUND = 64  # palette entries of the ground's gradient
_BLOCKS = 3  # grey blocks at most, _GRAIN palette entries each
_MOST = 10  # objects at most
_SMALLEST = 8  # pixels: a shape below that says nothing
_HIDDEN = 0.4  # the share of an object that others may cover

Colour = tuple[int, int, int]
Span = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """Where an object is: class number and pixels, the right and lower edges exclusive."""

    label: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """Width times height, in pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    def overlap(self, other: Box) -> int:
        """The pixels that both boxes hold."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0) * max(height, 0)


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it."""

    width: int
    palette: Sequence[Colour]
    rows: Sequence[bytearray]
    boxes: Sequence[Box]

    def picture(self) -> bytes:
        """The picture as a PNG file."""
        return encode(self.width, self.palette, self.rows)

    def labels(self) -> str:
        """YOLO's label file: a line per object, class, then centre and size as shares of the picture."""
        height = len(self.rows)
        lines = []
        for box in self.boxes:
            across = (box.left + box.right) / 2 / self.width
            down = (box.top + box.bottom) / 2 / height
            share = (box.right - box.left) / self.width, (box.bottom - box.top) / height
            lines.append(f"{box.label} {across:.6f} {down:.6f} {share[0]:.6f} {share[1]:.6f}\n")
        return "".join(lines)


def scene(key: str, width: int, height: int, classes: int, *, empty: bool = False) -> Scene:
    """The scene of a key, ``width`` x ``height`` pixels, with objects of the first ``classes`` classes.

    The same arguments give the same scene; ``empty`` leaves the objects out.
    """
    rng = Random(int.from_bytes(hashlib.sha256(key.encode()).digest(), "big"))
    palette, rows = _ground(rng, width, height)
    boxes: list[Box] = []
    covered: list[int] = []
    for _ in range(0 if empty else _whole(rng, 1, _MOST)):
        label = _whole(rng, 0, classes - 1)
        box = _place(rng, label, width, height)
        hidden = [box.overlap(other) for other in boxes]
        if any(c + h > _HIDDEN * b.area for c, h, b in zip(covered, hidden, boxes)):
            continue
        covered = [c + h for c, h in zip(covered, hidden)] + [0]
        first = len(palette)
        palette += _shades(_colour(rng, label))
        boxes.append(_draw(rng, rows, box, first))
    return Scene(width, palette, rows, boxes)


def _whole(rng: Random, low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return low + int(rng.random() * (high - low + 1))


def _between(rng: Random, low: float, high: float) -> float:
    return low + rng.random() * (high - low)


@cache
def _noise() -> bytes:
    """Grain for every surface, cut at random places."""
    rng = Random(0)
    return bytes(int(rng.random() * _GRAIN) for _ in range(1 << 16))


@cache
def _raise(by: int) -> bytes:
    """The table for bytes.translate that adds ``by``."""
    return bytes((i + by) & 255 for i in range(256))


def _grain(rng: Random, width: int, first: int) -> bytes:
    """A row of noisy pixels from the palette's entry ``first`` on."""
    noise = _noise()
    at = int(rng.random() * (len(noise) - width))
    return noise[at : at + width].translate(_raise(first))


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return int(red * 255), int(green * 255), int(blue * 255)


def _hue(label: int) -> int:
    return (label + label // len(SHAPES)) % HUES  # any few classes in a row differ in shape and hue alike


def _colour(rng: Random, label: int) -> Colour:
    return _rgb((_hue(label) + _between(rng, -0.15, 0.15)) / HUES, _between(rng, 0.75, 1.0), _between(rng, 0.7, 1.0))


def _mix(one: Colour, other: Colour, at: int, last: int) -> Colour:
    """The colour at step ``at`` on the way from one (step 0) to the other (step ``last``)."""
    red, green, blue = ((a * (last - at) + b * at) // last for a, b in zip(one, other))
    return red, green, blue


def _shades(colour: Colour) -> list[Colour]:
    """The palette entries of one surface, from four fifths of the colour to the whole."""
    dark = _mix((0, 0, 0), colour, 4, 5)
    return [_mix(dark, colour, i, _GRAIN - 1) for i in range(_GRAIN)]


def _ground(rng: Random, width: int, height: int) -> tuple[list[Colour], list[bytearray]]:
    """The palette so far and the rows of a ground: a grey gradient with grain, and a few grey blocks."""
    ends = [_rgb(rng.random(), _between(rng, 0.0, 0.15), _between(rng, 0.15, 0.9)) for _ in range(2)]
    last = _GROUND - 1
    palette = [_mix(ends[0], ends[1], i, last) for i in range(_GROUND)]
    rows = [bytearray(_grain(rng, width, y * (_GROUND - _GRAIN) // height)) for y in range(height)]
    for _ in range(_whole(rng, 0, _BLOCKS)):
        first = len(palette)
        palette += _shades(_rgb(rng.random(), _between(rng, 0.0, 0.1), _between(rng, 0.1, 0.9)))
        left, top = int(rng.random() * width), int(rng.random() * height)
        right = left + _whole(rng, 2, max(width // 3, 2))
        for row in rows[top : top + _whole(rng, 2, max(height // 3, 2))]:
            piece = min(right, width) - left
            row[left : left + piece] = _grain(rng, piece, first)
    return palette, rows


def _place(rng: Random, label: int, width: int, height: int) -> Box:
    """A box for an object: mostly small, up to half the picture's shorter side, wholly inside."""
    low, high = max(min(width, height) * 0.1, _SMALLEST), min(width, height) * 0.5
    side, stretch = low + (high - low) * rng.random() * rng.random(), _between(rng, 0.75, 1.33)
    w, h = min(int(side * stretch), width), int(side)
    left, top = _whole(rng, 0, width - w), _whole(rng, 0, height - h)
    return Box(label, left, top, left + w, top + h)


def _draw(rng: Random, rows: list[bytearray], box: Box, first: int) -> Box:
    """Draw an object of palette entries ``first`` and following; return the box of the pixels it has."""
    width, height = box.right - box.left, box.bottom - box.top
    shape = SHAPES[box.label % len(SHAPES)]
    lefts, rights, filled = [], [], []
    for y in range(height):
        spans = shape((2 * y + 1) / height - 1)
        for start, end in spans:
            x0 = box.left + int((start + 1) / 2 * width + 0.5)
            x1 = box.left + int((end + 1) / 2 * width + 0.5)
            if x0 < x1:
                rows[box.top + y][x0:x1] = _grain(rng, x1 - x0, first)
                lefts.append(x0)
                rights.append(x1)
                filled.append(box.top + y)
    return Box(box.label, min(lefts), filled[0], max(rights), filled[-1] + 1)


# Each shape gives, for a height from -1 (top) to 1, the stretches it fills from -1 (left) to 1.


def _circle(v: float) -> list[Span]:
    half = math.sqrt(1 - v * v)
    return [(-half, half)]


def _square(v: float) -> list[Span]:
    return [(-1, 1)]


def _triangle(v: float) -> list[Span]:
    return [(-(v + 1) / 2, (v + 1) / 2)]


def _diamond(v: float) -> list[Span]:
    return [(abs(v) - 1, 1 - abs(v))]


def _cross(v: float) -> list[Span]:
    return [(-1, 1)] if abs(v) < 0.35 else [(-0.35, 0.35)]


def _ring(v: float) -> list[Span]:
    ((start, end),) = _circle(v)
    if abs(v) >= 0.6:
        return [(start, end)]
    hole = math.sqrt(0.36 - v * v)
    return [(start, -hole), (hole, end)]


def _frame(v: float) -> list[Span]:
    return [(-1, 1)] if abs(v) > 0.6 else [(-1, -0.6), (0.6, 1)]


def _hourglass(v: float) -> list[Span]:
    half = 0.15 + 0.85 * abs(v)
    return [(-half, half)]


SHAPES = (_circle, _square, _triangle, _diamond, _cross, _ring, _frame, _hourglass)
_HUE_NAMES = ("red", "orange", "lime", "green", "mint", "cyan", "blue", "indigo", "purple", "pink")  # each 36 degrees


def class_name(label: int) -> str:
    """What an object of a class shows, such as ``red disc`` for class 0."""
    return f"{_HUE_NAMES[_hue(label)]} {SHAPES[label % len(SHAPES)].__name__.strip('_')}"


# Palette pictures as PNG, with the same bytes on every machine.
#
# JPEG bytes depend on the encoder's build, and so do the deflated bytes of a PNG: zlib, zlib-ng and Intel's fork each
# compress differently, and how they cut uncompressed data into blocks differs between versions too.  Pillow writes with
# whichever of them it was built with, so it cannot be used here; nor is it there where porter is installed without
# ``[train]``.  So the pixels are stored (deflate's uncompressed blocks), which needs no compressor at all, and a
# palette keeps that to one byte a pixel.  Any reader, OpenCV's among them, gives the exact pixels back.  Format: PNG
# specification (W3C), RFC 1950 and RFC 1951, section 3.2.4.

_STORED = 65535  # the most bytes that one stored block holds


def encode(
    width: int,
    palette: Sequence[tuple[int, int, int]],
    rows: Sequence[bytes | bytearray],
    *,
    compressed: bool = False,
) -> bytes:
    """A PNG of ``rows``, each ``width`` indices into ``palette`` (up to 256 of red, green, blue, 0 to 255).

    Args:
        compressed: a small file rather than one with the same bytes everywhere.
    """
    header = struct.pack(">IIBBBBB", width, len(rows), 8, 3, 0, 0, 0)  # 8 bits a pixel, colour type 3: palette
    colours = bytes(channel for colour in palette for channel in colour)
    pixels = b"".join(b"\0" + row for row in rows)  # each row's filter: none
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", colours),
            _chunk(b"IDAT", zlib.compress(pixels, 9) if compressed else _stored(pixels)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _stored(data: bytes) -> bytes:
    """``data`` as a zlib stream of stored blocks."""
    out = [b"\x78\x01"]
    for start in range(0, len(data), _STORED):
        block = data[start : start + _STORED]
        last = start + _STORED >= len(data)
        out += (struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block)
    out.append(struct.pack(">I", zlib.adler32(data)))
    return b"".join(out)
