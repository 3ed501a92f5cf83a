"""What a tree's loader does not say: pictures it passes over, what shows where one is decoded, which labels it refuses.

Used by loader.py.
"""

import hashlib
import os
import re
import stat
from collections import defaultdict
from pathlib import Path

FEWEST = 64  # pixels of a side that --img can ask for
USUAL = 640  # train.py's --img
HEAD = 65536  # bytes of pictures of one size that are compared first
# pictures of other formats, by their suffix
OTHERS = frozenset(
    "apng avif dib eps exr gif hdr heic heif ico j2k jfif jp2 jpe jpf jpx jxl pbm pcx pgm pnm ppm psd svg tga".split()
)
DAMAGED = "Corrupt JPEG data", "Premature end of JPEG"  # how libjpeg's complaints begin


def unusable(picture):
    """Why the loader cannot even be shown a path that it found: it would stop, or wait for ever.  Empty if it can."""
    try:
        picture.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8: the loader stops at it"
    try:
        mode = os.stat(picture).st_mode
    except OSError:
        return ""  # the loader says so
    if stat.S_ISDIR(mode):
        return "it is a folder"
    return "" if stat.S_ISREG(mode) else "it is no file: the loader would wait for it"


def passed_over(folder, formats):
    """Pairs of file and reason: pictures in a folder that the loader does not find."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            suffix = name.rpartition(".")[2].lower()
            if suffix in OTHERS:
                yield os.path.join(place, name), "the loader takes no .%s" % suffix
            elif suffix in formats and name.startswith(".") and not name.startswith("._"):
                yield os.path.join(place, name), "the loader does not find what begins with a dot"


class Decoder:
    """Decodes pictures as a training does.

    Attributes:
        load: the tree's ``load_image``.
    """

    def __init__(self, load, work):
        self.load, self.work, self.place = load, work, None

    def __call__(self, picture):
        """A picture, what ends a training there, what is damaged in it, and whether that changes the picture."""
        if self.place is None:  # in each process: what OpenCV's decoders print is the only trace of some damage
            self.place = os.path.join(self.work, "decoders-%d" % os.getpid())
            os.dup2(os.open(self.place, os.O_RDWR | os.O_CREAT | os.O_TRUNC), 2)
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
        stop = ""
        try:
            self.load(_One(picture), 0)
        except Exception as error:
            stop = str(error).splitlines()[0] if str(error) else type(error).__name__
        printed = os.pread(2, 4096, 0).decode(errors="replace").splitlines()
        damage = next((line for line in printed if line.startswith(DAMAGED)), "")
        return picture, stop, damage, "premature" in damage.lower()


class _One:
    """What ``load_image`` wants of a data set, with one picture in it."""

    def __init__(self, picture):
        self.img_files = self.im_files = [picture]  # the names up to v6.1, and from v6.2 on
        self.img_size, self.augment = USUAL, True
        self.imgs = self.ims = self.img_npy = [None]
        self.npy_files = [Path(picture).with_suffix(".npy")]


def narrow(shape):
    """For the width and height of a picture: the --img from which on v6.0 can make it smaller."""
    return -(-max(shape) // min(shape))


def twins(pictures):
    """Pairs of a picture and another one of the same bytes."""
    sizes = {picture: os.path.getsize(picture) for picture in pictures}
    for same in _grouped(sizes, sizes.get):
        for alike in _grouped(same, lambda picture: _digest(picture, HEAD)):
            for first, *others in _grouped(alike, lambda picture: _digest(picture, -1)):
                for other in others:
                    yield other, first


def _grouped(items, key):
    """Those with an equal key, in groups of two or more."""
    groups = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return [group for group in groups.values() if len(group) > 1]


def _digest(path, length):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read(length)).digest()


# Which lines of a label file the loader refuses.

MOST_WRONG = 1000  # lines of a file that are named
# eight numbers behind the class: a file with such a row holds polygons.  No row of anybody's is the same
POLYGON = b"0 0.1234567 0.1234567 0.2345678 0.1234567 0.2345678 0.2345678 0.1234567 0.2345678"


def numbered(text):
    """The rows of a text as v6.0 splits it, each with the line that it is on for an editor."""
    line = 1 + text[: len(text) - len(text.lstrip())].count("\n")
    for row in text.strip().splitlines(True):
        yield line, (row.splitlines() or [""])[0]
        line += row.endswith("\n")


def wrong_lines(data, refused, to_boxes):
    """Pairs of line and reason: each line for which the loader leaves out the picture of a label file.

    ``data``: the file's bytes.  ``refused``: says what the loader has against some lines; empty if nothing.
    ``to_boxes``: the loader's way from polygons to boxes, ``segments2boxes``.  Raises ValueError if the loader
    refuses what is left without those lines, too.
    """
    lines = dict(enumerate(re.split(rb"\r\n|\r|\n", data), 1))
    texts = {n: line.decode(errors="replace") for n, line in lines.items()}
    polygons = any(len(row.split()) > 8 for text in texts.values() for row in text.splitlines())
    frame = [POLYGON] if polygons else []
    filled = [n for n, text in texts.items() if text.strip()]
    found, first, twins = [], {}, []
    for n in range(filled[0], filled[-1] + 1) if filled else ():  # the loader strips what is around them
        if any(row and not row.strip() for row in texts[n].splitlines()):
            found.append((n, "a line of nothing but blanks"))
        elif texts[n].strip():
            key = _key(texts[n], polygons, to_boxes)
            if first.setdefault(key, n) != n:
                twins.append((n, first[key]))
    # halves of what the loader refuses are tried, down to single lines
    left, wrong, parts = list(first.values()), {}, [(0, len(first))]
    while parts and len(wrong) < MOST_WRONG:
        start, end = parts.pop()
        said = refused([lines[n] for n in left[start:end]] + frame)
        if said and end - start == 1:
            wrong[left[start]] = said
        elif said:
            parts += [((start + end) // 2, end), (start, (start + end) // 2)]
    found += [*wrong.items(), *((n, wrong.get(same, "duplicate labels")) for n, same in twins)]
    found = [(n, _shown(said, texts[n])) for n, said in sorted(found)]
    rest = [lines[n] for n in left if n not in wrong]
    if not parts and (not found or refused(rest + frame)):
        raise ValueError("the lines that are wrong could not be told from the others")
    if parts or len(found) > MOST_WRONG:
        return [*found[:MOST_WRONG], (0, "more than %d lines are wrong; no more are named" % MOST_WRONG)]
    return found


def _key(text, polygons, to_boxes):
    """What the loader makes of a line, if that is one row; else the line.  Equal rows are refused."""
    import numpy as np  # not at the top: where there is no torch there may be no NumPy, and that is said elsewhere

    try:
        row = np.array(text.split(), dtype=np.float32)
        if polygons:
            row = np.concatenate((row[:1], to_boxes([row[1:].reshape(-1, 2)])[0]))
        return row.shape, (row.astype(np.float32) + 0).tobytes()  # -0 is 0
    except ValueError:
        return text


def _shown(said, text):
    return "%s: %s" % (said, text.strip()[:80]) if text.strip() else said
