"""Palette pictures as PNG, with the same bytes on every machine.

JPEG bytes depend on the encoder's build, and so do the deflated bytes of a PNG: zlib, zlib-ng and Intel's fork each
compress differently, and how they cut uncompressed data into blocks differs between versions too.  Pillow writes with
whichever of them it was built with, so it cannot be used here; nor is it there where porter is installed without
``[train]``.  So the pixels are stored (deflate's uncompressed blocks), which needs no compressor at all, and a palette
keeps that to one byte a pixel.  Any reader, OpenCV's among them, gives the exact pixels back.  Format: PNG
specification (W3C), RFC 1950 and RFC 1951, section 3.2.4.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

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
