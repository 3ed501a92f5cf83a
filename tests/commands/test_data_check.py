"""porter data check: what the loader of a ported v6.0 says of data sets in which something is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stacks import CHECKOUT, porter

from porter.commands.data import check, make
from porter.errors import EnvironmentFailed, WrongUsage
from porter.project import Project
from porter.tree import status
from porter.verification import loader
from porter.verification.loader import Review

GOOD = "1 0.5 0.5 0.2 0.2"
POLYGON = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loader") / "tree"
    done = porter("apply", "--target", "mlu", path, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("review") / "data", images=20, size=(64, 48)).path


@pytest.fixture
def data(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound data set of 20 and 5 pictures; the current folder is beside it."""
    shutil.copytree(made_once, tmp_path / "data")
    text = (tmp_path / "data" / "data.yaml").read_text()
    (tmp_path / "data" / "data.yaml").write_text(text.replace(str(made_once), str(tmp_path / "data")))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def look(data: Path, tree: Path) -> Review:
    return check(data / "data.yaml", tree=tree, project=Project(CHECKOUT))


def found(data: Path, tree: Path) -> list[tuple[str, int, str]]:
    return sorted((Path(f.file).name, f.line, f.kind) for f in look(data, tree).problems)


def snapshot(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Every file's time and bytes, and every folder's time."""
    return {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in (folder, *folder.rglob("*"))}


class Payload:
    """Leaves a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_a_sound_data_set_is_read_and_not_written_to(data: Path, tree: Path, tmp_path: Path) -> None:
    """With a label cache of a stranger's that would run something, in both of the places where v6.0 looks."""
    for name in "train", "val":
        (data / "labels" / f"{name}.cache").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
        np.save(data / "labels" / f"{name}.cache.npy", np.array({"hash": 1}), allow_pickle=True)
    before = snapshot(data), snapshot(tree)
    seen = look(data, tree)
    assert (seen.problems, seen.warnings) == ([], [])
    assert (seen.splits["train"].pictures, seen.splits["val"].pictures) == (20, 5)
    lines = [line for p in data.glob("labels/*/*.txt") for line in p.read_text().splitlines()]
    assert sum(split.objects for split in seen.splits.values()) == len(lines) == sum(seen.classes.values())
    assert (snapshot(data), snapshot(tree)) == before
    assert not (tmp_path / "ran").exists()


# a line among good ones -> the kind, and what the loader says
LINES = {
    "1 0.5 0.5 0.2": ("wrong label", "labels require 5 columns each"),
    "1 0.5 0.5 0.2 0.2 0.9": ("wrong label", "labels require 5 columns each"),
    "80 0.5 0.5 0.2 0.2": ("wrong class", "80; there are 0 to 79"),
    "-1 0.5 0.5 0.2 0.2": ("wrong label", "negative labels"),
    "1.5 0.5 0.5 0.2 0.2": ("wrong class", "1.5; there are 0 to 79"),
    "cat 0.5 0.5 0.2 0.2": ("wrong label", "could not convert string to float"),
    "1 nan 0.5 0.2 0.2": ("wrong label", "negative labels"),
    "1 0.5 inf 0.2 0.2": ("wrong label", "non-normalized"),
    "1 1.2 0.5 0.2 0.2": ("wrong label", "non-normalized"),
    "1 0.5 -0.1 0.2 0.2": ("wrong label", "negative labels"),
    "1 320 240 64 48": ("wrong label", "non-normalized"),
    "1 0.5 0.5 1.0000001 0.2": ("wrong label", "1.0000001"),
    "1 0.5 0.5 0 0.2": ("empty box", "its width is 0"),
    "1.0 0.50 0.5 2e-1 0.2": ("wrong label", "duplicate labels"),
    "   ": ("wrong label", "nothing but blanks"),
}


def test_a_wrong_line_is_named_by_file_and_line(data: Path, tree: Path) -> None:
    files = [data / f"labels/train/{n:012d}.txt" for n in range(1, 21)]
    for file, line in zip(files, LINES):
        file.write_text(f"{GOOD}\n\n{line}\n2 0.3 0.3 0.1 0.1\n")
    polygons = files[len(LINES) :]
    polygons[0].write_text(f"{POLYGON}\n0 0.1 0.1 0.2 0.2 0.3 0.1\n")
    polygons[1].write_text(f"{POLYGON}\n{GOOD}\n")  # learned as another box, silently
    polygons[2].write_text(f"{POLYGON}\n0 0.1 0.1 0.2\n0 0.1 0.1 0.2 0.2 0.3 0.1\n")
    polygons[3].write_text("1 0.95 0.5 0.2 0.2\n")
    polygons[4].write_text(f"{GOOD}\r\n2 0.3 0.3 0.1 0.1\r\n\r\n")
    seen = look(data, tree)
    said = {(f.file, f.line): (f.kind, f.detail) for f in seen.problems}
    assert said.pop((str(polygons[1]), 2))[0] == "box among polygons"
    assert said.pop((str(polygons[2]), 2))[0] == "wrong label"
    assert set(said) == {(str(file), 3) for file in files[: len(LINES)]}
    for file, (kind, words) in zip(files, LINES.values()):
        assert said[str(file), 3][0] == kind and words in said[str(file), 3][1], said[str(file), 3]
    assert f"{files[0]}:3: wrong label: labels require 5 columns each: 1 0.5 0.5 0.2" in map(str, seen.problems)
    assert [(f.file, f.line, f.kind) for f in seen.warnings] == [(str(polygons[3]), 1, "box leaves the picture")]


def test_files_that_are_wrong_and_stay_as_they_are(data: Path, tree: Path) -> None:
    images, labels = data / "images/train", data / "labels/train"
    (images / "000000000001.png").write_bytes((images / "000000000001.png").read_bytes()[:-2000])
    (images / "000000000002.png").unlink()
    (labels / "000000000003.txt").write_bytes(b"1 0.5 0.5 0.2 0.2\n\xff\n")
    (images / "000000000004.jpg").write_bytes(b"not a picture")
    shutil.copy(images / "000000000005.png", images / "twin.png")
    (images / "empty.bmp").write_bytes(b"")
    Image.new("RGB", (9, 40)).save(images / "small.png")
    Image.new("RGB", (40, 40), "red").save(images / "open.jpg")
    (images / "open.jpg").write_bytes((images / "open.jpg").read_bytes() + b"more")  # v6.0 writes it anew
    Image.new("RGB", (40, 40), "blue").save(images / "cut.jpg")
    (images / "cut.jpg").write_bytes((images / "cut.jpg").read_bytes()[:-100])  # v6.0 tries to, and fails
    before = snapshot(data)
    seen = look(data, tree)
    assert sorted((Path(f.file).name, f.line, f.kind) for f in seen.problems) == [
        ("000000000001.png", 0, "corrupt picture"),
        ("000000000002.txt", 0, "label without a picture"),
        ("000000000003.txt", 2, "wrong label"),
        ("000000000004.jpg", 0, "corrupt picture"),
        ("000000000004.png", 0, "shared label file"),
        ("cut.jpg", 0, "corrupt picture"),
        ("empty.bmp", 0, "corrupt picture"),
        ("open.jpg", 0, "corrupt picture"),
        ("small.png", 0, "corrupt picture"),
        ("twin.png", 0, "duplicate picture"),
    ]
    details = {Path(f.file).name: f.detail for f in seen.problems}
    assert "would write it anew" in details["open.jpg"] and "truncated" in details["cut.jpg"].lower()
    assert "<10 pixels" in details["small.png"] and "cannot identify" in details["000000000004.jpg"]
    assert snapshot(data) == before
    assert seen.splits["train"].unlabelled == 2  # twin.png and open.jpg


def test_what_the_loader_says_nothing_of(data: Path, tree: Path) -> None:
    """It waits for a pipe for ever, stops at a name that is no text, and passes over files without a word."""
    images = data / "images/train"
    os.mkfifo(images / "pipe.jpg")
    (images / "folder.jpg").mkdir()
    Image.new("RGB", (40, 40), "red").save(os.fsencode(images) + b"/\xff.png")
    for n, name in enumerate((".hidden.png", "film.gif")):
        Image.new("RGB", (40, 40 + n), "red").save(images / name)
    Image.new("RGB", (10, 1000)).save(images / "narrow.png")
    Image.new("RGB", (10, 6500)).save(images / "narrower.png")
    Image.effect_noise((80, 80), 90).save(images / "half.jpg")
    (images / "half.jpg").write_bytes((images / "half.jpg").read_bytes()[:1500] + b"\xff\xd9")
    Image.fromarray(np.zeros((40, 40), np.float32)).save(images / "float.tif")
    long = data / "labels/train/000000000001.txt"
    lines = [f"{n % 80} 0.5 0.5 0.{n + 1:04d} 0.2" for n in range(1500)]
    lines[1399], lines[1449] = "1 0.5 0.5 0.2", lines[1000]
    long.write_text("\r".join(lines))
    (data / "labels/train/000000000002.txt").rename(images / "000000000002.txt")
    seen = look(data, tree)
    assert {(Path(f.file).name, f.line, f.kind) for f in seen.problems} == {
        ("000000000001.txt", 1400, "wrong label"),
        ("000000000001.txt", 1450, "wrong label"),
        ("000000000002.txt", 0, "label in another folder"),
        (".hidden.png", 0, "left out"),
        ("film.gif", 0, "left out"),
        ("float.tif", 0, "corrupt picture"),
        ("folder.jpg", 0, "unusable picture"),
        ("half.jpg", 0, "corrupt picture"),
        ("narrower.png", 0, "narrow picture"),
        ("pipe.jpg", 0, "unusable picture"),
        ("\udcff.png", 0, "unusable picture"),
    }
    assert [(Path(f.file).name, f.kind) for f in seen.warnings] == [("narrow.png", "narrow picture")]


def test_an_old_label_cache_that_a_training_would_take(data: Path, tree: Path) -> None:
    """v6.0 knows one by the paths and the sum of the sizes: another class changes neither."""
    spec = spec_from_file_location("label_cache", tree / "utils" / "label_cache.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for split in "train", "val":
        images = sorted(map(str, (data / "images" / split).iterdir()))
        labels = [file.replace("/images/", "/labels/").replace(".png", ".txt") for file in images]
        size = sum(os.path.getsize(file) for file in labels + images if os.path.exists(file))
        digest = hashlib.md5(f"{size}{''.join(labels + images)}".encode()).hexdigest()
        rows = [np.loadtxt(file, np.float32, ndmin=2).reshape(-1, 5) for file in labels]
        scan = {file: [row, (64, 48), []] for file, row in zip(images, rows)}
        count = len(images)
        scan |= {"hash": digest, "results": (count, 0, 0, 0, count), "msgs": [], "version": 0.5}
        module.save_label_cache(data / "labels" / f"{split}.cache", scan)
    assert found(data, tree) == []
    file = next(file for file in sorted((data / "labels/train").iterdir()) if file.read_text()[:1].isdigit())
    text = file.read_text()
    file.write_text(("1" if text[0] != "1" else "2") + text[1:])
    assert found(data, tree) == [("train.cache", 0, "old label cache")]


def test_paths_that_do_not_lead_where_they_seem_to(data: Path, tree: Path, tmp_path: Path) -> None:
    """One with brackets is a pattern to v6.0, and one from the current folder leads nowhere from the tree."""
    (data / "images/val").rename(data / "images/val[1]")
    text = (data / "data.yaml").read_text().replace(f'"{data}"', "data").replace("images/val", "images/val[1]")
    (data / "data.yaml").write_text(f"nc: 3\n{text}")
    seen = look(data, tree)
    lines = {row.partition(":")[0]: n for n, row in enumerate(text.splitlines(), 2)}
    kinds = {(f.line, f.kind) for f in seen.problems if f.file == str(data / "data.yaml")}
    assert kinds == {(lines["val"], "path is a pattern"), (lines["val"], "no pictures")}
    assert [(f.line, f.kind) for f in seen.warnings] == [(lines["nc"], "same key"), (lines["path"], "relative path")]
    assert str(tmp_path) in seen.warnings[1].detail


@pytest.mark.long
def test_a_list_of_pictures(data: Path, tree: Path) -> None:
    """As COCO has it: lines from ./, one that is not there, one twice; and val of the same pictures."""
    names = [f"./images/train/{n:012d}.png" for n in (1, 2, 3, 3, 99)]
    (data / "train.txt").write_text("\n".join(names))
    text = (data / "data.yaml").read_text()
    (data / "data.yaml").write_text(
        text.replace("train: images/train", "train: train.txt").replace("val: images/val", "val: images/train")
    )
    seen = look(data, tree)
    problems = [(Path(f.file).name, f.line, f.kind) for f in seen.problems if f.kind != "label without a picture"]
    assert sorted(problems) == [("train.txt", 4, "duplicate picture"), ("train.txt", 5, "missing")]
    said = [(f.line, f.kind, f.detail) for f in seen.warnings]
    line = [n for n, row in enumerate(text.splitlines(), 1) if row.startswith("val:")]
    assert said == [(line[0], "same pictures", "3 of 20 pictures of val are in train too")]


# each level has ten times the values of the one before, which PyYAML copies
BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("nc: 80", "nc: 81", "line [0-9]+: 80 names for 81 classes"),
        ("nc: 80", "", "it has no nc"),
        ("nc: 80", "nc: many", "a number of classes"),
        ("nc: 80", "nc: [80", "line [0-9]+: not YAML"),
        ("train: ", "train:\t", "line [0-9]+: not YAML"),
        ("nc: 80", "nc: !!python/object/apply:os.mkdir ['ran']", "not YAML"),
        ("names: [", "names: 80 #", "line [0-9]+: names should be a list"),
        ("nc: 80", "nc: 1000000000", "line [0-9]+: nc is 1000000000"),
        ("train: images/train", "train: [5]", "line [0-9]+: train should be a list of paths, found 5"),
        ("nc: 80", f"{BOMB}nc: 80", "line [0-9]+: not YAML"),
    ],
)
def test_a_yaml_that_v6_would_not_take(data: Path, tree: Path, before: str, after: str, said: str) -> None:
    text = (data / "data.yaml").read_text()
    (data / "data.yaml").write_text(text.replace(before, after))
    with pytest.raises(WrongUsage, match=said):
        look(data, tree)
    assert not Path("ran").exists()


@pytest.mark.long
@pytest.mark.parametrize("missing", [True, False])
def test_val_without_pictures_and_train_without_labels(data: Path, tree: Path, missing: bool, tmp_path: Path) -> None:
    """The yaml's own download is not done."""
    shutil.rmtree(data / "images/val")
    for file in (data / "labels/train").iterdir():
        file.unlink() if missing else file.write_text("")
    text = (data / "data.yaml").read_text().replace("val: images/val", "val: images/val" if missing else "val:")
    (data / "data.yaml").write_text(f"{text}download: |\n  import os\n  os.mkdir({str(tmp_path / 'ran')!r})\n")
    lines = {row.partition(":")[0]: n for n, row in enumerate(text.splitlines(), 1)}
    assert found(data, tree) == [
        ("data.yaml", lines["train"], "no labels"),
        ("data.yaml", lines["val"], "missing" if missing else "no pictures"),
    ]
    assert not (tmp_path / "ran").exists()


@pytest.mark.long
def test_a_yaml_in_a_tree_is_read_from_anywhere(data: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is taken from the tree, as train.py takes it."""
    text = (data / "data.yaml").read_text().replace(f'"{data}"', os.path.relpath(data, tree))
    mine = tree / "data" / "mine.yaml"
    mine.write_text(text)
    try:
        monkeypatch.chdir(data / "images")
        seen = check(mine, tree=tree, project=Project(CHECKOUT))
        assert (seen.problems, seen.splits["train"].pictures) == ([], 20)
    finally:
        mine.unlink()


@pytest.mark.long
def test_the_tree_that_one_is_in_reads(data: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told by what its loader says; one that is not ported is not used, and is refused where it is named."""
    own = shutil.copytree(tree, tmp_path / "own", symlinks=True)
    text = (own / "utils" / "datasets.py").read_text()
    (own / "utils" / "datasets.py").write_text(text.replace("No images found", "nothing to see"))
    shutil.rmtree(data / "images/val")
    (data / "images/val").mkdir()
    monkeypatch.chdir(own / "data")
    project = Project(CHECKOUT)
    assert ["nothing to see" in f.detail for f in check(data / "data.yaml", project=project).problems][:1] == [True]
    subprocess.run(["git", "checkout", "-q", status(project, own).pin["commit"], "-f"], cwd=own, check=True)
    assert ["No images found" in f.detail for f in check(data / "data.yaml", project=project).problems][:1] == [True]
    with pytest.raises(WrongUsage, match="is not a ported tree"):
        check(data / "data.yaml", tree=own, project=project)


def test_the_command(data: Path, tree: Path, tmp_path: Path) -> None:
    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return porter("data", "check", "--tree", tree, *words, cwd=CHECKOUT)

    file = data / "labels/train/000000000002.txt"
    file.write_text(f"{GOOD}\n9 9 9\n")
    (data / "images/train/\x1b]0;mine\x07.jpg").write_bytes(b"none")  # a name that would rename the window
    done = run(data / "data.yaml", "--sheet", tmp_path / "sheet.jpg")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"{file}:2: wrong label: labels require 5 columns each: 9 9 9\n" in done.stdout
    assert "train: 21 pictures" in done.stdout and "problems: 2" in done.stdout
    assert r"/\x1b]0;mine\x07.jpg: corrupt picture" in done.stdout
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert min(sheet.size) > 1200
    done = run(data / "data.yaml", "--json", "--sheet", tmp_path / "sheet.png")
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert list(record.items())[:2] == [("kind", "data-check"), ("schema", 1)]
    assert {"file": str(file), "line": 2} == {key: record["problems"][-1][key] for key in ("file", "line")}
    assert run(data / "data.yaml", "--sheet", tmp_path / "sheet.gif").returncode == 2
    assert run(tmp_path / "absent.yaml").returncode == 2
    assert run("--python", "no-python", data / "data.yaml").returncode == 2


def test_pythons_that_cannot_read_it(data: Path, tree: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    with pytest.raises(WrongUsage, match="has no torch"):
        check(data / "data.yaml", tree=tree, python=str(python), project=Project(CHECKOUT))
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "torch.py").write_text("")
    (site / "yaml.py").write_text("raise SystemExit(9)")
    with pytest.raises(EnvironmentFailed, match="ended with status 9"):
        check(data / "data.yaml", tree=tree, python=str(python), project=Project(CHECKOUT))


@pytest.fixture
def sheet() -> Iterator[object]:
    """The driver's module that draws."""
    spec = spec_from_file_location("sheet", Path(loader.__file__).parent / "drivers" / "sheet.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


def test_boxes_are_drawn_where_the_labels_say(sheet: object, tmp_path: Path) -> None:
    """A blank picture with one box: the sheet's coloured pixels are that box's edge."""
    file = tmp_path / "blank.png"
    Image.new("RGB", (100, 100)).save(file)
    assert sheet.draw(str(tmp_path / "sheet.png"), {file: [(2, 0.5, 0.5, 0.5, 0.5)]}, ["a", "b", "c"]) == 1  # type: ignore[attr-defined]
    with Image.open(tmp_path / "sheet.png") as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    rows, columns = np.nonzero(abs(pixels - [0x00, 0x9E, 0x73]).sum(axis=2) == 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (84, 244, 84, 244)
