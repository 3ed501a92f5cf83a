"""Random data sets in which things are wrong, and what that is: whoever writes a fault knows its file and line."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

NC = 3
ENDINGS = ("jpg", "png", "bmp", "tif", "webp", "JPG", "jpeg", "PNG")
# of a yaml, with three names
REFUSED = (
    *(("nc", 2), ("nc", 0), ("nc", "many"), ("nc", ""), ("names", "abc"), ("names", "{1: a, 2: b, 3: c}")),
    *(("names", "[a, b]"), ("names", "[a, b"), ("val", "[5]"), ("train", 5), ("train", "{}\n\tx: 1")),
)
Row = tuple[float, float, float, float, float]


@dataclass
class Picture:
    """A picture of a set.

    Attributes:
        name: its file in the folder of its split.
        lines: of its label file; None: it has none.
        rows: what those mean: class, centre and size of each box.
        kept: does the loader take it?  None: it depends on the versions of Pillow and OpenCV.
        learned: does a training learn what ``rows`` says, if it is taken?
        listed: is it in the list of pictures, if its split has one?
    """

    name: str
    data: bytes
    lines: list[str] | None
    rows: list[Row]
    kept: bool | None = True
    learned: bool = True
    listed: bool = True

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0]


@dataclass
class Made:
    """A set that was written.

    Attributes:
        faults: file, from the set's folder, and line of everything that is wrong.
        pictures: file, from the set's folder -> the picture.
        refused: the yaml is none of a data set.
    """

    root: Path
    faults: set[tuple[str, int]] = field(default_factory=set)
    pictures: dict[str, Picture] = field(default_factory=dict)
    refused: bool = False


def encoded(draw: random.Random, ending: str, size: tuple[int, int] = (24, 20), mode: str = "RGB") -> bytes:
    """A picture like no other, as bytes."""
    image = Image.new("RGB", size, tuple(draw.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = draw.randrange(size[0]), draw.randrange(size[1])
        pen.rectangle([x, y, x + 6, y + 5], fill=tuple(draw.randrange(256) for _ in range(3)))
    buffer = io.BytesIO()
    kinds = {"jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF"}
    image.convert(mode).save(buffer, kinds.get(ending.lower(), ending.upper()))
    return buffer.getvalue()


def box(draw: random.Random) -> Row:
    w, h = draw.uniform(0.05, 0.4), draw.uniform(0.05, 0.4)
    x, y = draw.uniform(w / 2, 1 - w / 2), draw.uniform(h / 2, 1 - h / 2)
    return draw.randrange(NC), round(x, 6), round(y, 6), round(w, 6), round(h, 6)


def written(draw: random.Random, row: Row) -> str:
    """A line of a label file, in one of the ways in which a number and the space between two can be written."""
    between = draw.choice((" ", " ", " ", "  ", "\t", "\u00a0"))
    form = draw.choice(("{}", "{}", "{:.6f}", "+{}", "{:.8e}"))
    label = draw.choice((str(int(row[0])), str(int(row[0])), f"{row[0]:.1f}"))
    return between.join([label, *(form.format(number) for number in row[1:])])


# -- faults of a label file: each changes the picture, and returns the line -----------------------------------------


def _numbers(draw: random.Random, picture: Picture, words: list[str]) -> int:
    """A line more, somewhere among the others."""
    at = draw.randint(0, len(picture.lines or ()))
    assert picture.lines is not None
    picture.lines.insert(at, " ".join(words))
    return at + 1


def left_out_line(draw: random.Random, picture: Picture) -> int:
    """A line for which the loader leaves the picture out."""
    words = [str(number) for number in box(draw)]
    words[0] = str(int(words[0]))
    at = draw.randrange(1, 5)
    kind = draw.randrange(10)
    if kind == 0:
        words = words[: draw.randrange(1, 5)]
    elif kind == 1:
        words += [str(draw.random()) for _ in range(draw.randrange(1, 4))]
    elif kind == 2:
        words[draw.randrange(5)] = draw.choice(("nan", "-nan", "NaN"))
    elif kind == 3:
        words[at] = draw.choice(("inf", "1e39", "1.0000002", "1.5", "320"))
    elif kind == 4:
        words[draw.randrange(5)] = draw.choice(("-0.1", "-1", "-inf", "-1e-30"))
    elif kind == 5:
        words[draw.randrange(5)] = draw.choice(("cat", "0,5", "0x1", "#", "\ufeff0", "1.2.3", "--1", "\x00"))
    elif kind == 6:
        words = [",".join(words)]
    elif kind == 7:  # which cannot be decoded; the file is written with surrogateescape
        words[at] = "\udcff"
    elif kind == 8:
        picture.lines = picture.lines or []
        twin = draw.choice(picture.rows)
        picture.kept = False
        picture.lines.append(" ".join([str(int(twin[0])), *(f"{number:.7f}" for number in twin[1:])]))
        return len(picture.lines)
    else:
        assert picture.lines is not None
        at = draw.randint(1, len(picture.lines) - 1) if len(picture.lines) > 1 else 0
        picture.kept = False
        if not at:
            picture.lines += [" \t", "0 0.5 0.5 0.1 0.1"]
            return len(picture.lines) - 1
        picture.lines.insert(at, draw.choice((" ", "\t", "   ", "\u3000")))
        return at + 1
    picture.kept = False
    return _numbers(draw, picture, words)


def mislearned_line(draw: random.Random, picture: Picture) -> int:
    """A line that the loader takes, and a training learns as something else or stops at."""
    words = [str(number) for number in box(draw)]
    words[0] = str(int(words[0]))
    if draw.random() < 0.6:
        words[0] = draw.choice((str(NC), "80", "0.5", "1.5", "2.99", "inf", "1e30", "99999999999"))
    else:
        words[draw.choice((3, 4))] = draw.choice(("0", "0.0", "-0.0", "1e-60"))
    picture.learned = False
    return _numbers(draw, picture, words)


def polygons(draw: random.Random, picture: Picture, fault: bool) -> int:
    """The file holds polygons; with a fault, one line that is none."""
    picture.lines, picture.rows = [], []
    for _ in range(draw.randrange(1, 4)):
        points = [(round(draw.uniform(0, 1), 5), round(draw.uniform(0, 1), 5)) for _ in range(draw.randrange(4, 9))]
        (left, right), (top, bottom) = ((min(each), max(each)) for each in zip(*points))
        label = draw.randrange(NC)
        picture.lines.append(" ".join(str(word) for word in (label, *(n for point in points for n in point))))
        picture.rows.append((label, (left + right) / 2, (top + bottom) / 2, right - left, bottom - top))
    if not fault:
        return 0
    words, kind = [str(number) for number in box(draw)], draw.randrange(4)
    words[0] = str(int(words[0]))
    if kind < 2:
        picture.learned = False  # taken for two corners, or for a box without a size
        return _numbers(draw, picture, words if kind else words[:3])
    picture.kept = False
    return _numbers(draw, picture, words[:4] if kind == 2 else words[:1])


def long_file(draw: random.Random, picture: Picture) -> int:
    """Thousands of lines, one of them wrong."""
    picture.rows = list({box(draw): None for _ in range(draw.randrange(1001, 3000))})
    picture.lines = [written(draw, row) for row in picture.rows]
    return draw.choice((left_out_line, mislearned_line))(draw, picture)


# -- faults of a picture --------------------------------------------------------------------------------------------


def damaged(draw: random.Random, picture: Picture) -> None:
    """Its bytes are no picture that can be trained on."""
    ending = picture.name.rpartition(".")[2].lower()
    kind = draw.randrange(6)
    picture.kept = False
    if kind == 0:
        picture.data = draw.choice((b"", b"x", b"<html>404 Not Found</html>", bytes(200)))
    elif kind == 1:
        picture.data = encoded(draw, draw.choice(("gif", "ppm")))
    elif kind == 2:
        picture.data = encoded(draw, ending, draw.choice(((9, 30), (30, 9), (1, 1))))
    elif kind == 3:
        picture.data = encoded(draw, "png", draw.choice(((10, 6500), (6500, 10))))
        picture.kept = None
    elif kind == 4 and ending in ("jpg", "jpeg"):
        picture.data += b"more"
        picture.kept = None
    else:
        picture.data = picture.data[: draw.randrange(len(picture.data) // 4, len(picture.data) * 7 // 8)]
        picture.kept = None


def harmless(draw: random.Random, picture: Picture) -> None:
    """Something that looks odd, and is not wrong."""
    ending = picture.name.rpartition(".")[2].lower()
    kind = draw.randrange(6)
    if kind == 0:
        picture.lines, picture.rows = draw.choice((None, [], ["", "  "])), []
    elif kind == 1:
        modes = {"png": ("L", "LA", "RGBA", "P", "1"), "webp": ("RGBA",), "bmp": ("L", "P"), "tif": ("L", "RGBA")}
        picture.data = encoded(draw, ending, mode=draw.choice(modes.get(ending, ("L", "CMYK"))))
    elif kind == 2:
        picture.data = encoded(draw, draw.choice(("png", "jpg", "bmp", "webp")))
    elif kind == 3:
        picture.data = encoded(draw, ending, draw.choice(((10, 10), (10, 300), (400, 12))))
    elif kind == 4 and picture.lines:
        picture.lines = ["", *picture.lines, "", "", " "]
        picture.lines.insert(draw.randint(1, 2), "")
    else:
        polygons(draw, picture, False)


# -- a set ----------------------------------------------------------------------------------------------------------


class Maker:
    """Writes a set."""

    def __init__(self, root: Path, seed: int) -> None:
        self.draw, self.made = random.Random(seed), Made(root)
        self.listed = self.draw.random() < 0.35
        self.list_lines: list[str] = []
        self.named = False  # is there a picture in it?
        for split in "train", "val":
            for kind in "images", "labels":
                (root / kind / split).mkdir(parents=True)

    def make(self) -> Made:
        draw = self.draw
        share = draw.choice((0, 0.2, 0.5))  # of pictures that are spoilt
        for split, count in ("train", draw.randrange(4, 9)), ("val", draw.randrange(2, 5)):
            pictures = [self.picture(n) for n in range(count)]
            for picture in pictures[1:]:
                if draw.random() < share:
                    self.spoil(split, picture)
                elif draw.random() < 0.3:
                    harmless(draw, picture)
            for picture in pictures:
                self.write(split, picture, share)
        if self.listed:
            self.write_list(share)
        self.write_yaml()
        return self.made

    def picture(self, n: int) -> Picture:
        draw = self.draw
        ending = draw.choice(ENDINGS)
        name = draw.choice((f"{n:05d}", f"{n}", f"a b {n}", f"猫{n}", f"x.y.{n}"))
        rows = list({box(draw): None for _ in range(draw.randrange(1, 6))})
        return Picture(f"{name}.{ending}", encoded(draw, ending), [written(draw, row) for row in rows], rows)

    def fault(self, *where: str, line: int = 0) -> None:
        self.made.faults.add(("/".join(where), line))

    def spoil(self, split: str, picture: Picture) -> None:
        draw = self.draw
        label = f"{picture.stem}.txt"
        kind = draw.randrange(20)
        if kind < 13:
            ways: tuple[Callable[[random.Random, Picture], int], ...] = (left_out_line, left_out_line, mislearned_line)
            ways += (lambda draw, picture: polygons(draw, picture, True),)
            way = long_file if draw.random() < 0.04 else draw.choice(ways)
            self.fault("labels", split, label, line=way(draw, picture))
        elif kind < 17:
            damaged(draw, picture)
            self.fault("images", split, picture.name)
        else:
            self.misplace(split, picture, kind)

    def misplace(self, split: str, picture: Picture, kind: int) -> None:
        """A file of it is not where it should be, or there twice."""
        draw, root = self.draw, self.made.root
        label = f"{picture.stem}.txt"
        if kind == 17:
            elsewhere = draw.choice(
                (("labels", split, f"{picture.stem}.TXT"), ("images", split, label), ("labels", split, f"{label}.txt"))
            )
            root.joinpath(*elsewhere).write_text("\n".join(picture.lines or ()))
            picture.lines, picture.learned = None, False
            self.fault(*elsewhere)
        elif kind == 18:
            place = root / "labels" / split / label
            place.mkdir() if draw.random() < 0.5 else place.symlink_to("nowhere")
            picture.lines, picture.learned = None, False
            self.fault("labels", split, label)
        else:
            extra = draw.choice(("label", "copy", "gif", "link"))
            if extra == "label":
                (root / "labels" / split / f"more{label}").write_text("0 0.5 0.5 0.1 0.1")
                self.fault("labels", split, f"more{label}")
            elif self.listed and split == "train":
                name = f"none{len(self.list_lines)}.jpg"
                self.list_lines.append(f"./images/train/{name}")
                self.made.pictures[f"images/train/{name}"] = Picture(name, b"", None, [], kept=False)
                self.fault("train.txt", line=-len(self.list_lines))
            elif extra == "copy":
                name = f"龍{picture.name}"  # comes last
                (root / "images" / split / name).write_bytes(picture.data)
                (root / "labels" / split / f"龍{label}").write_text("\n".join(picture.lines or ()))
                self.made.pictures[f"images/{split}/{name}"] = Picture(name, b"", picture.lines, picture.rows)
                self.fault("images", split, name)
            elif extra == "gif":
                (root / "images" / split / f"{picture.stem}.gif").write_bytes(encoded(draw, "gif"))
                self.fault("images", split, f"{picture.stem}.gif")
            else:
                name = f"~{picture.stem}.png"
                (root / "images" / split / name).symlink_to("nowhere.png")
                self.made.pictures[f"images/{split}/{name}"] = Picture(name, b"", None, [], kept=False)
                self.fault("images", split, name)

    def write(self, split: str, picture: Picture, share: float) -> None:
        root, draw = self.made.root, self.draw
        (root / "images" / split / picture.name).write_bytes(picture.data)
        self.made.pictures[f"images/{split}/{picture.name}"] = picture
        if picture.lines is not None:
            end = draw.choice(("\n", "\n", "\r\n", "\r"))
            text = end.join([*picture.lines, *draw.choice(((), ("",)))])
            (root / "labels" / split / f"{picture.stem}.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
        if self.listed and split == "train":
            self.enter(picture, share)

    def enter(self, picture: Picture, share: float) -> None:
        """The line of a picture in the list; some are such that the loader passes over it."""
        draw = self.draw
        row = draw.choice(("./", f"{self.made.root}/")) + f"images/train/{picture.name}"
        if draw.random() < 0.1:
            self.list_lines.append("")
        if draw.random() < share / 6 and picture.kept and picture.learned and self.named:
            row = draw.choice((f"{row} ", f"{row} 1,2,3,4,0", f"# {row}x"))
            picture.listed = False
            self.fault("train.txt", line=-len(self.list_lines) - 1)
            if picture.lines is not None:
                self.fault("labels", "train", f"{picture.stem}.txt")
        self.named |= picture.listed
        self.list_lines.append(row)

    def write_list(self, share: float) -> None:
        """A list's faults have lines below 0 until it is known how many are before them."""
        draw, root = self.draw, self.made.root
        lines = [*[""] * draw.randrange(2), *self.list_lines]
        before = len(lines) - len(self.list_lines)
        self.made.faults = {(file, before - n if n < 0 else n) for file, n in self.made.faults}
        twice = next((line for line in self.list_lines if line.startswith("./") and line.endswith("jpg")), "")
        if twice and draw.random() < share / 3:
            lines.append(twice)
            self.made.faults.add(("train.txt", len(lines)))
        lines.append("./images/train/last.png")  # so that no line with a blank at its end is the last
        (root / "images/train/last.png").write_bytes(encoded(draw, "png"))
        self.made.pictures["images/train/last.png"] = Picture("last.png", b"", None, [])
        end = draw.choice(("\n", "\r\n"))
        (root / "train.txt").write_bytes(end.join([*lines, *draw.choice(((), ("",)))]).encode())

    def write_yaml(self) -> None:
        draw, root = self.draw, self.made.root
        train = "train.txt" if self.listed else draw.choice(("images/train", "[images/train]", "images/train/"))
        keys: dict[str, Any] = {"train": train, "val": draw.choice(("images/val", "[images/val]")), "nc": NC}
        keys["names"] = draw.choice(("[a, b, c]", "{0: a, 1: b, 2: c}", "[1, 2, 3]", "['', a, a]"))
        if draw.random() < 0.1:
            key, value = draw.choice(REFUSED)
            keys[key] = value
            self.made.refused = True
        lines = [f"{key}: {value}" for key, value in draw.sample(sorted(keys.items()), len(keys))]
        if not self.made.refused and draw.random() < 0.05:
            key = draw.choice(("train", "val"))
            at = next(n for n, line in enumerate(lines) if line.startswith(key))
            lines[at] = f"{key}: " + draw.choice(("", "nowhere", "[]", "''"))
            gone = [file for file in self.made.pictures if f"/{key}/" in file]
            self.made.pictures = {f: p for f, p in self.made.pictures.items() if f not in gone}
            self.made.faults = {
                (f, n) for f, n in self.made.faults if f"/{key}/" not in f and (key, f) != ("train", "train.txt")
            }
            self.made.faults.add(("data.yaml", at + 2))
        (root / "data.yaml").write_text("\n".join([f"path: {root}", *lines, ""]), encoding="utf-8")


def make(root: Path, seed: int) -> Made:
    """Write the set of a seed into a new folder."""
    return Maker(root, seed).make()
