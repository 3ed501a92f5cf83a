from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from porter.datasets import scenes


def decode(data: bytes) -> np.ndarray:
    """The picture as OpenCV, which v6.0 loads images with, gives it: height x width x (blue, green, red)."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 3), (300, 400)])  # the last needs two stored blocks
def test_opencv_reads_the_very_pixels_back(width: int, height: int) -> None:
    palette = [(i, 255 - i, i * 7 % 256) for i in range(256)]
    rows = [bytes((x * 31 + y * 17) % 256 for x in range(width)) for y in range(height)]
    picture = decode(scenes.encode(width, palette, rows))
    expected = np.array([[palette[i][::-1] for i in row] for row in rows], np.uint8)
    np.testing.assert_array_equal(picture, expected)


def test_no_compressor_touches_the_pixels() -> None:
    rows = [bytes(300)] * 400
    data = scenes.encode(300, [(1, 2, 3)], rows)
    start = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    stream = data[start + 4 : start + 4 + length]
    pixels = b"".join(b"\0" + row for row in rows)
    assert zlib.decompress(stream) == pixels
    assert len(stream) == 2 + len(pixels) + 2 * 5 + 4  # header, two blocks' heads, checksum: nothing shrunk
