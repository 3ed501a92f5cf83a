from __future__ import annotations

import hashlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from porter.datasets.generate import SHOWN, make
from porter.errors import EnvironmentFailed, WrongUsage


def content(root: Path) -> dict[str, bytes]:
    """The pictures and labels of a data set, by path."""
    files = (p for p in root.rglob("*") if p.is_file() and p.name != "data.yaml")
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def digest(root: Path) -> str:
    sha = hashlib.sha256()
    for path, data in sorted(content(root).items()):
        sha.update(b"%s %d\n" % (path.encode(), len(data)) + data)
    return sha.hexdigest()


def test_the_bytes_of_a_seed_never_change(tmp_path: Path) -> None:
    """The literal holds for every machine and every Python; a change of it needs a new EDITION."""
    made = make(tmp_path / "data", images=6, seed=7, size=(128, 96))
    assert digest(made.path) == "a9f96235545f90221d200aad67a463b26ffdab3984b2db39d31d231b37b7d238"


def test_layout(tmp_path: Path) -> None:
    made = make(tmp_path / "data", images=60, size=(64, 48))
    assert made.images == {"train": 60, "val": 15}
    read = yaml.safe_load(made.yaml.read_text())
    assert (read["path"], read["nc"], read["names"]) == (str(tmp_path / "data"), 80, list(SHOWN))
    for split, count in made.images.items():
        folder = Path(read["path"]) / read[split]
        pictures = sorted(folder.iterdir())
        assert len(pictures) == count
        assert {cv2.imread(str(p)).shape for p in pictures} == {(48, 64, 3)}
        labels = [Path(str(p).replace("/images/", "/labels/")).with_suffix(".txt") for p in pictures]
        there = [p for p in labels if p.exists()]
        assert count - len(there) == count // 50  # pictures with nothing on them have no label file
        lines = [line for p in there for line in p.read_text().splitlines()]
        assert len(lines) == made.objects[split] > 0
        for line in lines:
            label, *box = line.split()
            assert 0 <= int(label) < 80
            assert all(0 < float(part) <= 1 for part in box)


def test_more_images_begin_with_the_same_ones(tmp_path: Path) -> None:
    few = content(make(tmp_path / "few", images=4).path)
    more = content(make(tmp_path / "more", images=8).path)
    assert few == {path: more[path] for path in few}
    assert few != content(make(tmp_path / "other", images=4, seed=1).path)


def test_only_the_first_classes_occur(tmp_path: Path) -> None:
    made = make(tmp_path / "data", images=40, classes=3)
    labels = b"".join(data for path, data in content(made.path).items() if path.endswith(".txt")).decode()
    assert {line.split()[0] for line in labels.splitlines()} == {"0", "1", "2"}


@pytest.mark.parametrize(
    ("wrong", "value"),
    [
        ({"images": 0}, 0),
        ({"images": -1}, -1),
        ({"size": (31, 120)}, 31),
        ({"size": (160, 5000)}, 5000),
        ({"classes": 0}, 0),
        ({"classes": 81}, 81),
    ],
)
def test_what_is_out_of_bounds_is_refused(wrong: dict[str, Any], value: int, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=f"not {value}"):
        make(tmp_path / "data", **wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_is_there_is_left_alone(tmp_path: Path, kind: str) -> None:
    dest = tmp_path / "data"
    if kind == "folder":
        dest.mkdir()
    elif kind == "file":
        dest.write_text("mine")
    else:
        dest.symlink_to(tmp_path / "nowhere")
    with pytest.raises(WrongUsage, match="exists already"):
        make(dest, images=1)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_an_odd_path_survives_in_data_yaml(tmp_path: Path) -> None:
    made = make(tmp_path / 'da "ta: #1 数据\\', images=1)
    text = made.yaml.read_bytes().decode("ascii")  # v6.0 reads it in the locale's encoding
    assert yaml.safe_load(text)["path"] == str(made.path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_an_interrupted_run_leaves_nothing_that_stays(tmp_path: Path, number: int, code: int) -> None:
    command = [sys.executable, "-m", "porter", "data", "make", "--size", "320x240"]
    child = subprocess.Popen([*command, "--images", "100000", "data"], cwd=tmp_path, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".data*/images/train/*5.png")):
        assert child.poll() is None
        assert time.monotonic() < deadline
    child.send_signal(number)
    assert child.wait(20) == code
    assert not (tmp_path / "data").exists()
    assert number == signal.SIGKILL or list(tmp_path.iterdir()) == []
    # what a killed one had no time to remove, the next one removes
    subprocess.run([*command, "--images", "2", "data"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["data.yaml", "images", "labels"]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from porter.datasets.generate import make\n"
        "from porter.errors import EnvironmentFailed\n"
        "try: make(Path(sys.argv[1]), images=2)\n"
        "except EnvironmentFailed as error: print(error)\n"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # a picture has 19 kB
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that write says EFBIG, as it says ENOSPC on a full disk

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert re.search(r"cannot make .*data\nFile too large", done.stdout)
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailed, match="cannot make"):
        make(tmp_path / "file" / "data", images=1)


def porter(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "porter", "data", "make", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_command_makes_what_it_was_asked_for(tmp_path: Path) -> None:
    done = porter(
        "--like", "coco128", "--images", "3", "--seed", "5", "--size", "64x40", "--classes", "2", "a", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 pictures" in done.stdout
    assert str(tmp_path / "a" / "data.yaml") in done.stdout
    made = make(tmp_path / "b", images=3, seed=5, size=(64, 40), classes=2)
    assert content(tmp_path / "a") == content(made.path)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--images", "0", "a"], "the number of images must be from 1"),
        (["--size", "64", "a"], "'64' is not a width and a height"),
        (["--size", "64x", "a"], "'64x' is not a width and a height"),
        (["--like", "voc", "a"], "'voc'"),
        ([], "DEST"),
        (["."], "exists already"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_why(tmp_path: Path, args: list[str], said: str) -> None:
    done = porter(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
