"""A sheet of pictures with their boxes drawn: what the labels mean, for eyes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter.datasets.labels import Box
from porter.errors import SurroundingsFailed, WrongUsage
from porter.files import write_file

if TYPE_CHECKING:
    from PIL import Image

_SIDE = 320  # pixels of a picture on the sheet
_EDGE = 4
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
# Ten colours that can be told apart, also by most of the colour-blind (Tol's and Okabe and Ito's palettes mixed)
# fmt: off
_COLOURS = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#882255", "#44aa99", "#ffffff",
)
# fmt: on


def draw(file: Path, pictures: Mapping[Path, Sequence[Box]], names: Sequence[str], count: int = 16) -> int:
    """Write a sheet of up to ``count`` pictures, taken evenly from all; how many there are on it.

    Raises:
        WrongUsage: the file's suffix is none of .jpg and .png, or there is no picture.
        SurroundingsFailed: Pillow is missing, or the file cannot be written.
    """
    kind = _FORMATS.get(file.suffix.lower())
    if kind is None:
        raise WrongUsage(f"{file} is no .jpg and no .png", hint="Name the sheet as sheet.jpg.")
    try:
        from PIL import Image
    except ImportError as error:
        raise SurroundingsFailed(
            "a sheet is drawn with Pillow, which is not installed", str(error), "Install it: pip install pillow"
        ) from error
    if not pictures:
        raise WrongUsage("there is no picture for a sheet")
    every = list(pictures)
    chosen = [every[i * len(every) // count] for i in range(count)] if len(every) > count else every
    across = math.ceil(math.sqrt(len(chosen)))
    step = _SIDE + _EDGE
    sheet = Image.new("RGB", (across * step + _EDGE, math.ceil(len(chosen) / across) * step + _EDGE), "#202020")
    for number, path in enumerate(chosen):
        place = (_EDGE + number % across * step, _EDGE + number // across * step)
        sheet.paste(_tile(Image, path, pictures[path], names), place)
    buffer = io.BytesIO()
    sheet.save(buffer, kind, quality=90)
    write_file(file, buffer.getvalue())
    return len(chosen)


def _tile(image: Any, path: Path, boxes: Sequence[Box], names: Sequence[str]) -> Image.Image:
    """One picture, as wide or high as the sheet has room for, its boxes drawn."""
    from PIL import ImageDraw, ImageOps

    tile = image.new("RGB", (_SIDE, _SIDE), "#404040")
    draw = ImageDraw.Draw(tile)
    try:
        with image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:  # Pillow raises any of them for damaged data
        draw.text((8, 8), f"{path.name}\n{error}"[:200], fill="#ff4040")
        return tile  # type: ignore[no-any-return]
    scale = _SIDE / max(picture.size)
    width, height = (max(round(side * scale), 1) for side in picture.size)
    left, top = (_SIDE - width) // 2, (_SIDE - height) // 2
    tile.paste(picture.resize((width, height)), (left, top))
    for box in boxes:
        x0, y0 = left + (box.x - box.width / 2) * width, top + (box.y - box.height / 2) * height
        x1, y1 = left + (box.x + box.width / 2) * width, top + (box.y + box.height / 2) * height
        colour = _COLOURS[box.label % len(_COLOURS)]
        draw.rectangle((x0, y0, max(x1, x0), max(y1, y0)), outline=colour, width=2)
        name = names[box.label].encode("ascii", "replace").decode()  # Pillow's own font has no more
        at = (min(max(x0 + 3, 0), _SIDE - 6 * len(name)), max(y0 + 1, 0))
        draw.rectangle(draw.textbbox(at, name), fill=colour)
        draw.text(at, name, fill="#000000" if _bright(colour) else "#ffffff")
    return tile  # type: ignore[no-any-return]


def _bright(colour: str) -> bool:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue > 128  # luma, ITU-R BT.601
