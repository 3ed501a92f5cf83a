"""A sheet of pictures with their boxes drawn: what the labels mean, for eyes.  Used by loader.py."""

import math
import os

_SIDE = 320  # pixels of a picture on the sheet
_EDGE = 4
_MOST = 16  # pictures
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
# Ten colours that can be told apart, also by most of the colour-blind (Tol's and Okabe and Ito's palettes mixed)
# fmt: off
_COLOURS = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#882255", "#44aa99", "#ffffff",
)
# fmt: on


def draw(file, pictures, names):
    """Write a sheet of some pictures, taken evenly from all; how many there are on it.

    ``pictures``: path -> rows of class, and centre and size of a box as shares of the picture.
    """
    from PIL import Image

    every = list(pictures)
    chosen = [every[i * len(every) // _MOST] for i in range(_MOST)] if len(every) > _MOST else every
    if not chosen:
        return 0
    across = math.ceil(math.sqrt(len(chosen)))
    step = _SIDE + _EDGE
    sheet = Image.new("RGB", (across * step + _EDGE, math.ceil(len(chosen) / across) * step + _EDGE), "#202020")
    for number, path in enumerate(chosen):
        place = (_EDGE + number % across * step, _EDGE + number // across * step)
        sheet.paste(_tile(path, pictures[path], names), place)
    sheet.save(file, _FORMATS[os.path.splitext(file)[1].lower()], quality=90)
    return len(chosen)


def _tile(path, boxes, names):
    """One picture, as wide or high as the sheet has room for, its boxes drawn."""
    from PIL import Image, ImageDraw, ImageOps

    tile = Image.new("RGB", (_SIDE, _SIDE), "#404040")
    draw = ImageDraw.Draw(tile)
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:  # Pillow raises any of them for damaged data
        draw.text((8, 8), _ascii("%s\n%s" % (os.path.basename(path), error))[:200], fill="#ff4040")
        return tile
    scale = _SIDE / max(picture.size)
    width, height = (max(round(side * scale), 1) for side in picture.size)
    left, top = (_SIDE - width) // 2, (_SIDE - height) // 2
    tile.paste(picture.resize((width, height)), (left, top))
    for label, x, y, w, h in boxes:
        x0, y0 = left + (x - w / 2) * width, top + (y - h / 2) * height
        x1, y1 = left + (x + w / 2) * width, top + (y + h / 2) * height
        known = label < len(names)  # a class may be infinite
        colour = _COLOURS[int(label) % len(_COLOURS) if known else -1]
        draw.rectangle((x0, y0, max(x1, x0), max(y1, y0)), outline=colour, width=2)
        name = _ascii(names[int(label)] if known else str(label))
        at = (min(max(x0 + 3, 0), _SIDE - 6 * len(name)), max(y0 + 1, 0))
        draw.rectangle(draw.textbbox(at, name), fill=colour)
        draw.text(at, name, fill="#000000" if _bright(colour) else "#ffffff")
    return tile


def _ascii(text):
    return text.encode("ascii", "replace").decode()  # Pillow's own font has no more


def _bright(colour):
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue > 128  # luma, ITU-R BT.601
