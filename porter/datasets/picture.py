"""What a picture file is, by its own bytes: format, size, and whether it is all there.

Nothing is decoded, so this is quick and needs no imaging library.  A JPEG or WebP with damage in the midst of its
data passes, as it does when v6.0 looks; one that is cut short does not.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# v6.0's own list (utils/datasets.py)
SUFFIXES = ("bmp", "jpg", "jpeg", "png", "tif", "tiff", "dng", "webp", "mpo")
LEAST = 10  # pixels, a side: v6.0 leaves out what is smaller

_NO_LENGTH = (0x01, *range(0xD0, 0xD9))  # JPEG markers that stand alone
_FRAMES = tuple(n for n in range(0xC0, 0xD0) if n not in (0xC4, 0xC8, 0xCC))  # JPEG's starts of a frame


class Corrupt(Exception):
    """The file is no picture that can be used; the text says why."""


@dataclass(frozen=True)
class Picture:
    """A picture's format, in Pillow's words in lower case, and its size in pixels."""

    format: str
    width: int
    height: int


def identify(path: Path) -> Picture:
    """What a picture file is.

    Raises:
        Corrupt: it is none, is cut short, or is smaller than v6.0 takes.
        OSError: it cannot be read.
    """
    size = os.stat(path).st_size
    if size == 0:
        raise Corrupt("the file is empty")
    with open(path, "rb") as file:
        head = file.read(16)
        file.seek(0)
        try:
            found = _identify(file, head, size)
        except struct.error as error:
            raise Corrupt("it is cut short") from error
    if min(found.width, found.height) < LEAST:
        raise Corrupt(f"it is {found.width} x {found.height} pixels, less than {LEAST} on a side")
    return found


def _identify(file: BinaryIO, head: bytes, size: int) -> Picture:
    if head.startswith(b"\xff\xd8"):
        return _jpeg(file, size)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(file)
    if head.startswith(b"BM"):
        return _bmp(file, size)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp(file, size)
    if head[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(file, size)
    raise Corrupt(f"it is no picture: it begins with {head[:8]!r}")


def _jpeg(file: BinaryIO, size: int) -> Picture:
    """ISO/IEC 10918-1, annex B: markers with lengths, up to the frame's."""
    found = None
    file.seek(2)
    while found is None:
        marker = file.read(2)
        while len(marker) == 2 and marker[0] == 0xFF and marker[1] == 0xFF:  # fill bytes
            marker = marker[1:] + file.read(1)
        if len(marker) < 2 or marker[0] != 0xFF:
            raise Corrupt("it is a JPEG without a frame, or cut short")
        if marker[1] in _NO_LENGTH:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker[1] in _FRAMES:
            _, height, width = struct.unpack(">BHH", file.read(5))
            found = Picture("jpeg", width, height)
        else:
            file.seek(length - 2, os.SEEK_CUR)
    file.seek(max(size - 2, 0))
    if file.read(2) != b"\xff\xd9":
        raise Corrupt("it does not end as a JPEG does: cut short, or v6.0 would write it anew when it trains")
    return found


def _png(file: BinaryIO) -> Picture:
    """PNG specification (W3C): chunks with check sums, up to IEND."""
    file.seek(8)
    found = None
    while True:
        length, kind = struct.unpack(">I4s", file.read(8))
        data = file.read(length)
        (check,) = struct.unpack(">I", file.read(4))
        if zlib.crc32(kind + data) != check:
            raise Corrupt(f"the check sum of its {kind.decode('latin-1')} is wrong")
        if kind == b"IHDR":
            width, height = struct.unpack(">II", data[:8])
            found = Picture("png", width, height)
        if kind == b"IEND":
            break
    if found is None:
        raise Corrupt("it is a PNG without a header")
    return found


def _bmp(file: BinaryIO, size: int) -> Picture:
    file.seek(2)
    (whole,) = struct.unpack("<I", file.read(4))
    file.seek(14)
    (header,) = struct.unpack("<I", file.read(4))
    width, height = struct.unpack("<HH", file.read(4)) if header == 12 else struct.unpack("<ii", file.read(8))
    if size < whole:
        raise Corrupt(f"it is cut short: {size} of {whole} bytes")
    return Picture("bmp", width, abs(height))


def _webp(file: BinaryIO, size: int) -> Picture:
    """RFC 9649."""
    file.seek(4)
    (whole,) = struct.unpack("<I", file.read(4))
    if size < whole + 8:
        raise Corrupt(f"it is cut short: {size} of {whole + 8} bytes")
    file.seek(12)
    kind = file.read(4)
    file.seek(20)
    data = file.read(10)
    if kind == b"VP8X" and len(data) == 10:
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (4, 7))
    elif kind == b"VP8L":
        bits = struct.unpack("<I", data[1:5])[0]
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (n & 0x3FFF for n in struct.unpack("<HH", data[6:10]))
    else:
        raise Corrupt(f"it is a WebP of an unknown kind, {kind!r}")
    return Picture("webp", width, height)


def _tiff(file: BinaryIO, size: int) -> Picture:
    """TIFF 6.0: the first directory's width (256) and length (257)."""
    order = "<" if file.read(2) == b"II" else ">"
    file.seek(4)
    (at,) = struct.unpack(f"{order}I", file.read(4))
    if at >= size:
        raise Corrupt("it is cut short")
    file.seek(at)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    found = {}
    for _ in range(count):
        tag, kind, _, value = struct.unpack(f"{order}HHI4s", file.read(12))
        if tag in (256, 257):
            found[tag] = struct.unpack(f"{order}H", value[:2])[0] if kind == 3 else struct.unpack(f"{order}I", value)[0]
    if len(found) < 2:
        raise Corrupt("it is a TIFF without a size")
    return Picture("tiff", found[256], found[257])
