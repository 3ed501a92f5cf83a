from __future__ import annotations

import io
import json
import math
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from PIL import Image

import porter
from porter.datasets.generate import make
from porter.datasets.labels import parse
from porter.datasets.picture import Corrupt, Picture, identify
from porter.datasets.review import Review, review
from porter.errors import WrongUsage
from porter.output import Progress

GOOD = "1 0.5 0.5 0.2 0.2"


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("review") / "data", images=8, size=(64, 48)).path


@pytest.fixture
def data(made_once: Path, tmp_path: Path) -> Path:
    """A sound data set of 8 and 2 pictures."""
    shutil.copytree(made_once, tmp_path / "data")
    text = (tmp_path / "data" / "data.yaml").read_text()
    (tmp_path / "data" / "data.yaml").write_text(text.replace(str(made_once), str(tmp_path / "data")))
    return tmp_path / "data"


def look(data: Path) -> Review:
    return review(data / "data.yaml", Progress())


def found(data: Path) -> list[tuple[str, int, str]]:
    return [(Path(f.file).name, f.line, f.kind) for f in look(data).problems]


def test_a_sound_data_set(data: Path) -> None:
    seen = look(data)
    assert (seen.problems, seen.warnings) == ([], [])
    assert (seen.splits["train"].pictures, seen.splits["val"].pictures) == (8, 2)
    lines = [line for p in data.glob("labels/*/*.txt") for line in p.read_text().splitlines()]
    assert sum(split.objects for split in seen.splits.values()) == len(lines) == sum(seen.classes.values())


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("1 0.5 0.5 0.2", "wrong number of columns"),
        ("1 0.5 0.5 0.2 0.2 0.9", "wrong number of columns"),
        ("80 0.5 0.5 0.2 0.2", "wrong class"),
        ("-1 0.5 0.5 0.2 0.2", "wrong class"),
        ("1.5 0.5 0.5 0.2 0.2", "wrong class"),
        ("cat 0.5 0.5 0.2 0.2", "not a number"),
        ("1 nan 0.5 0.2 0.2", "not finite"),
        ("1 0.5 inf 0.2 0.2", "not finite"),
        ("1 1.2 0.5 0.2 0.2", "out of range"),
        ("1 0.5 -0.1 0.2 0.2", "out of range"),
        ("1 320 240 64 48", "out of range"),
        ("1 0.5 0.5 0 0.2", "empty box"),
        (GOOD, "duplicate label"),
        ("1.0 0.50 0.5 2e-1 0.2", "duplicate label"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_line(data: Path, line: str, kind: str) -> None:
    file = data / "labels/train/000000000002.txt"
    file.write_text(f"{GOOD}\n\n{line}\n2 0.3 0.3 0.1 0.1\n")
    assert found(data) == [("000000000002.txt", 3, kind)]


def test_outlines() -> None:
    said: list[tuple[int, str]] = []

    def complain(line: int, kind: str, detail: str) -> None:
        said.append((line, kind))

    text = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n0 0.1 0.1 0.2 0.2 0.3 0.1\n0 0.1 0.1 0.2\n"
    boxes = parse(text.encode(), 1, complain, complain)
    assert next((b.x, b.y, b.width, b.height) for b in boxes) == pytest.approx((0.3, 0.3, 0.4, 0.4))
    assert (len(boxes), said) == (2, [(3, "wrong number of columns")])


def test_a_box_that_leaves_the_picture_is_odd_and_no_more(data: Path) -> None:
    (data / "labels/train/000000000002.txt").write_text("1 0.95 0.5 0.2 0.2\n")
    seen = look(data)
    assert (seen.problems, [f.kind for f in seen.warnings]) == ([], ["box leaves the picture"])


def test_files_that_are_wrong(data: Path) -> None:
    images, labels = data / "images/train", data / "labels/train"
    (images / "000000000001.png").write_bytes((images / "000000000001.png").read_bytes()[:-20])
    (images / "000000000002.png").unlink()
    (labels / "000000000003.txt").write_bytes(b"1 0.5 0.5 0.2 0.2\n\xff\n")
    (images / "000000000004.jpg").write_bytes(b"not a picture")
    shutil.copy(images / "000000000005.png", images / "twin.png")
    (images / "empty.bmp").write_bytes(b"")
    assert sorted(found(data)) == [
        ("000000000001.png", 0, "corrupt picture"),
        ("000000000002.txt", 0, "label without a picture"),
        ("000000000003.txt", 2, "not text"),
        ("000000000004.jpg", 0, "corrupt picture"),
        ("000000000004.png", 0, "shared label file"),
        ("empty.bmp", 0, "corrupt picture"),
        ("twin.png", 0, "duplicate picture"),
    ]


def test_a_list_of_pictures(data: Path) -> None:
    """As COCO has it: lines from ./, one that is not there, one twice."""
    names = [f"./images/train/{n:012d}.png" for n in (1, 2, 3, 3, 99)]
    (data / "train.txt").write_text("\n".join(names))
    text = (data / "data.yaml").read_text()
    (data / "data.yaml").write_text(text.replace("train: images/train", "train: train.txt"))
    problems = [(Path(f.file).name, f.line, f.kind) for f in look(data).problems if f.kind != "label without a picture"]
    assert problems == [("train.txt", 4, "duplicate picture"), ("train.txt", 5, "missing")]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("nc: 80", "nc: 81", "80 names for 81 classes"),
        ("nc: 80", "", "it has no nc"),
        ("nc: 80", "nc: many", "a number of classes"),
        ("nc: 80", "nc: [80", "not YAML"),
    ],
)
def test_a_yaml_that_v6_would_not_take(data: Path, before: str, after: str, said: str) -> None:
    text = (data / "data.yaml").read_text()
    (data / "data.yaml").write_text(text.replace(before, after))
    with pytest.raises(WrongUsage, match=said):
        look(data)


def test_a_split_that_is_not_there(data: Path) -> None:
    shutil.rmtree(data / "images/val")
    seen = look(data)
    assert seen.problems[0].kind == "missing"
    assert seen.problems[0].line > 0


def test_no_labels_at_all(data: Path) -> None:
    shutil.rmtree(data / "labels/train")
    assert ("data.yaml", "no labels") in [(Path(f.file).name, f.kind) for f in look(data).problems]


def test_a_yaml_in_a_tree_is_read_from_anywhere(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    (tree / "data").mkdir(parents=True)
    text = (data / "data.yaml").read_text().replace(f'"{data}"', "../data")
    (tree / "data" / "mine.yaml").write_text(text)
    (tree / "train.py").write_text("")
    monkeypatch.chdir(tmp_path / "data" / "images")
    seen = review(tree / "data" / "mine.yaml", Progress())
    assert (seen.problems, seen.splits["train"].pictures) == ([], 8)


def test_a_thousand_damaged_label_files() -> None:
    """What is said agrees with what v6.0's own rules make of each file, and nothing is raised."""
    rng = random.Random(7)
    words = ["0", "1", "79", "80", "-1", "0.5", "1.5", "nan", "inf", "-0.1", "1e-3", "x", "", "0x1", "1e999", "０"]
    damaged = sound = 0
    for _ in range(1000):
        rows = []
        for _ in range(rng.randint(0, 4)):
            if rng.random() < 0.5:
                rows.append(f"{rng.randint(0, 79)} {rng.random():.3f} {rng.random():.3f} 0.1 0.1")
            else:
                rows.append(" ".join(rng.choice(words) for _ in range(rng.choice((1, 4, 5, 5, 5, 6, 9)))))
        data = "\n".join(rows).encode()
        if rng.random() < 0.1 and data:
            at = rng.randrange(len(data))
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        said: list[int] = []
        boxes = parse(data, 80, lambda line, kind, detail, said=said: said.append(line), lambda *_: None)
        assert all(1 <= line <= data.count(b"\n") + 1 + data.count(b"\r") + 4 for line in said)
        for box in boxes:
            assert 0 <= box.label < 80
            assert all(math.isfinite(n) and 0 <= n <= 1 for n in (box.x, box.y, box.width, box.height))
        if not said:
            sound += 1
            assert accepted_by_v6(data)
        else:
            damaged += 1
    assert damaged > 300 and sound > 100


def accepted_by_v6(data: bytes) -> bool:
    """v6.0's rules (utils/datasets.py, verify_image_label), in our words, for files of boxes."""
    rows = [[float(word) for word in line.split()] for line in data.decode().strip().splitlines() if line.split()]
    if any(len(row) > 8 for row in rows):
        return all(len(row) % 2 == 1 for row in rows)
    same = len({tuple(row) for row in rows}) == len(rows)
    return same and all(len(row) == 5 and min(row) >= 0 and max(row[1:]) <= 1 for row in rows)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "BMP", "WEBP", "TIFF"])
def test_pictures_are_identified_as_pillow_does(tmp_path: Path, format_: str) -> None:
    rng = random.Random(1)
    picture = Image.frombytes("RGB", (57, 33), rng.randbytes(57 * 33 * 3))
    buffer = io.BytesIO()
    picture.save(buffer, format_)
    file = tmp_path / "picture"
    file.write_bytes(buffer.getvalue())
    assert identify(file) == Picture(format_.lower(), 57, 33)
    if format_ != "TIFF":  # whose directory may stand before its pixels
        for cut in (1, 2, 5, 20, len(buffer.getvalue()) // 2):
            file.write_bytes(buffer.getvalue()[:-cut])
            with pytest.raises(Corrupt):
                identify(file)
    picture.resize((9, 40)).save(buffer := io.BytesIO(), format_)
    file.write_bytes(buffer.getvalue())
    with pytest.raises(Corrupt, match="9 x 40 pixels, less than 10"):
        identify(file)


def test_opencvs_pictures_too(tmp_path: Path) -> None:
    import numpy as np

    for suffix in ("jpg", "png", "bmp", "webp", "tiff"):
        file = tmp_path / f"x.{suffix}"
        assert cv2.imwrite(str(file), np.zeros((20, 30, 3), np.uint8))
        found = identify(file)
        assert (found.width, found.height) == (30, 20)


def run(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "porter", "data", "check", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(porter.__file__).parents[1])


def test_the_command(data: Path, tmp_path: Path) -> None:
    done = run(data / "data.yaml", "--sheet", tmp_path / "sheet.jpg")
    assert (done.returncode, done.stderr) == (0, "")
    assert "train: 8 pictures" in done.stdout and "problems: 0" in done.stdout
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert min(sheet.size) > 600
    file = data / "labels/train/000000000002.txt"
    file.write_text(f"{GOOD}\n9 9 9\n")
    done = run(data / "data.yaml")
    assert done.returncode == 1
    assert f"{file}:2: wrong number of columns: 3; a box has 5\n" in done.stdout
    done = run(data / "data.yaml", "--json", "--sheet", tmp_path / "sheet.png")
    assert done.returncode == 1
    assert json.loads(done.stdout)["problems"][0]["line"] == 2
    assert run(data / "data.yaml", "--sheet", tmp_path / "sheet.gif").returncode == 2
    assert run(tmp_path / "absent.yaml").returncode == 2


def test_boxes_are_drawn_where_the_labels_say(data: Path, tmp_path: Path) -> None:
    """A blank picture with one box: the sheet's coloured pixels are that box's edge."""
    import numpy as np

    from porter.datasets.labels import Box
    from porter.datasets.sheet import draw

    file = tmp_path / "blank.png"
    Image.new("RGB", (100, 100)).save(file)
    draw(tmp_path / "sheet.png", {file: [Box(2, 0.5, 0.5, 0.5, 0.5)]}, ["a", "b", "c"])
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    rows, columns = np.nonzero(abs(pixels - [0x00, 0x9E, 0x73]).sum(axis=2) == 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (84, 244, 84, 244)


def test_five_thousand_pictures_are_looked_through_quickly(data: Path) -> None:
    images, labels = data / "images/train", data / "labels/train"
    picture = (images / "000000000001.png").read_bytes()
    for n in range(100, 5100):
        (images / f"{n}.png").write_bytes(picture)
        (labels / f"{n}.txt").write_text(f"{GOOD}\n3 0.1 0.1 0.05 0.05\n")
    started = time.process_time()
    seen = look(data)
    assert time.process_time() - started < 5
    assert len(seen.problems) == 5000 and {f.kind for f in seen.problems} == {"duplicate picture"}
