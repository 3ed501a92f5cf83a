from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import COCO128
from fileserver import Shelf, shelf
from published import PICTURE, archive, coco, coco128, numbered, stand_in
from sources import closed_port

from porter.datasets.generate import COCO
from porter.downloads import datasets
from porter.downloads.datasets import SETS, Published, default_folder, examine, obtain
from porter.downloads.retry import RetryPolicy
from porter.errors import CheckFailed, EnvironmentFailed, PorterError, WrongUsage
from porter.output import Progress


@pytest.fixture(autouse=True)
def cut_off(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    sums = tmp_path / "sums"
    sums.mkdir()
    stand_in(coco128(), sums, monkeypatch)
    (tmp_path / "work").mkdir()


@pytest.fixture
def server() -> Iterator[Shelf]:
    with shelf({"/coco128.zip": coco128()}) as one:
        yield one


def small_coco(train: int, val: int) -> Published:
    """COCO with fewer pictures; all else is as in the real one."""
    labels, first, second = SETS["coco"].archives
    return Published(
        "coco",
        (
            replace(labels, lists={"train2017.txt": train, "val2017.txt": val}),
            replace(first, url=first.url.replace("train2017.zip", "small/train2017.zip"), pictures={".": train}),
            replace(second, url=second.url.replace("val2017.zip", "small/val2017.zip"), pictures={".": val}),
        ),
        {"train2017": train, "val2017": val},
        SETS["coco"].splits,
    )


def failed(made: Published, folder: Path, *mirrors: str) -> PorterError:
    with pytest.raises(PorterError) as caught:
        obtain(made, folder, Progress(), mirrors=mirrors, policy=RetryPolicy(timeout=5, tries=1))
    assert not (folder / made.name).exists()
    return caught.value


def test_coco128_is_laid_out_as_upstreams_yaml_says(tmp_path: Path, server: Shelf, own_home: Path) -> None:
    made = obtain(SETS["coco128"], tmp_path / "datasets", Progress(), mirrors=(server.url,))
    assert (made.path, made.how) == (tmp_path / "datasets" / "coco128", "fetched")
    assert [p.name for p in made.path.parent.iterdir()] == ["coco128"]
    assert sorted(p.name for p in made.path.iterdir()) == ["LICENSE", "README.txt", "data.yaml", "images", "labels"]
    assert len(list((made.path / "images/train2017").iterdir())) == 128
    assert len(list((made.path / "labels/train2017").iterdir())) == 127
    read = yaml.safe_load((made.path / "data.yaml").read_text())
    assert read == {
        "path": str(made.path),
        "train": "images/train2017",
        "val": "images/train2017",
        "nc": 80,
        "names": list(COCO),
    }
    assert made.trust == ("coco128.zip: its 255 pictures and labels have the digests that porter knows",)
    again = obtain(SETS["coco128"], tmp_path / "datasets", Progress(), mirrors=(server.url,))
    assert (again.how, len(server.log)) == ("there already", 1)
    second = obtain(SETS["coco128"], tmp_path / "second", Progress(), mirrors=(server.url,))
    assert second.trust == made.trust
    assert not list(own_home.rglob("digests.json")), "its own digest is of no use"


def test_coco_is_laid_out_as_upstreams_script_does_it(tmp_path: Path) -> None:
    with shelf(coco(12, 5)) as server:
        made = obtain(small_coco(12, 5), tmp_path, Progress(), mirrors=(server.url,))
    read = yaml.safe_load((made.path / "data.yaml").read_text())
    for split, count in (("train", 12), ("val", 5)):
        lines = (made.path / read[split]).read_text().split()  # as v6.0 reads it
        assert len(lines) == count
        assert all((made.path / line).is_file() for line in lines)
        assert len(list((made.path / "labels" / f"{split}2017").iterdir())) == count - 1
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("work", "sums")] == ["coco"]


def test_the_real_numbers_are_upstreams() -> None:
    labels, train, val = SETS["coco"].archives
    assert (train.pictures, val.pictures) == ({".": 118_287}, {".": 5_000})
    assert labels.lists == {"train2017.txt": 118_287, "val2017.txt": 5_000}
    assert SETS["coco128"].archives[0].pictures == {"images/train2017": 128}
    assert labels.url == "https://github.com/ultralytics/yolov5/releases/download/v1.0/coco2017labels.zip"
    assert train.url == "http://images.cocodataset.org/zips/train2017.zip"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (coco128(numbered(127)), "it has 127 pictures in coco128/images/train2017, not 128"),
        (coco128(numbered(129)), "it has 129 pictures"),
        (b"<html>", "is damaged, or no zip archive"),
        (coco128()[:-1000], "is damaged, or no zip archive"),
    ],
)
def test_what_is_not_coco128_is_not_kept(tmp_path: Path, server: Shelf, own_home: Path, data: bytes, said: str) -> None:
    server.files["/coco128.zip"] = data
    error = failed(SETS["coco128"], tmp_path / "datasets", server.url)
    assert said in error.why
    assert not (tmp_path / "datasets").exists()
    assert not list(own_home.rglob("digests.json"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images/train2017/000000000007.jpg": b"another"}, "images/train2017/000000000007.jpg is another than was"),
        ({"labels/train2017/000000000009.txt": b""}, "labels/train2017/000000000009.txt is another than was published"),
        ({"labels/train2017/000000000009.txt": None}, "labels/train2017/000000000009.txt is missing"),
        (
            {f"labels/train2017/{n}.txt": b"" for n in numbered(2)},
            "000000000001.txt is another than was published, and 1",
        ),
    ],
)
def test_another_content_is_not_trusted_even_the_first_time(
    tmp_path: Path, server: Shelf, change: dict[str, bytes | None], said: str
) -> None:
    """Whichever zip it comes in: the one with the right content is taken, from the next mirror."""
    members = {f"coco128/{name}": data for name, data in change.items()}
    server.files["/bad/coco128.zip"] = repacked(server.files["/coco128.zip"], members)
    error = failed(SETS["coco128"], tmp_path / "datasets", f"{server.url}/bad")
    assert said in error.why and not (tmp_path / "datasets").exists()
    server.files["/coco128.zip"] = repacked(server.files["/coco128.zip"], {}, zipfile.ZIP_STORED)
    mirrors = (f"{server.url}/bad", server.url)
    assert obtain(SETS["coco128"], tmp_path / "datasets", Progress(), mirrors=mirrors).how == "fetched"


def repacked(data: bytes, change: dict[str, bytes | None], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive with other members; None: without one."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as made:
        for name, content in {**members, **change}.items():
            if content is not None:
                made.writestr(name, content)
    return buffer.getvalue()


CACHE = b"a pickle, in the place of v6.0's label cache"


def test_what_does_not_belong_stays_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In coco128 what is not on the list; in COCO's archives what is named otherwise than its files."""
    files = coco(4, 2)
    files["/coco128.zip"] = repacked(
        coco128(), {f"coco128/labels/train2017{end}": CACHE for end in (".cache", "/9.txt")}
    )
    strays = {"coco/labels/train2017.cache": CACHE, "coco/train.py": b"", "coco/labels/train2017/x.txt": b""}
    files["/coco2017labels.zip"] = repacked(files["/coco2017labels.zip"], dict(strays))
    files["/val2017.zip"] = repacked(files["/val2017.zip"], {"val2017/000000900000.jpg.cache": CACHE})
    with shelf(files) as server:
        for one in SETS["coco128"], small_coco(4, 2):
            path = obtain(one, tmp_path / "datasets", Progress(), mirrors=(server.url,)).path
            names = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
            assert not {name for name in names if name.endswith((".cache", ".py", "x.txt", "/9.txt"))}
            assert len(names) == {"coco128": 258, "coco": 14}[one.name]


def test_require_known_takes_no_first_download(tmp_path: Path, server: Shelf) -> None:
    """coco128 is known by its content; of COCO's labels nothing is."""
    made = run("coco128", "--require-known", "--mirror", server.url, cwd=tmp_path / "work")
    assert made.returncode == 0, made.stderr
    server.log.clear()
    done = run("coco", "--require-known", "--mirror", server.url, cwd=tmp_path / "work")
    assert done.returncode == 1 and "porter knows no digest of https://github.com/" in done.stderr
    assert server.log == [] and os.listdir(tmp_path / "work" / "datasets") == ["coco128"]


@pytest.mark.coco128
def test_the_real_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has labels of two pictures that it does not hold; and one bit more is seen."""
    monkeypatch.undo()
    copy = shutil.copytree(COCO128, tmp_path / "coco128", copy_function=shutil.copyfile)
    assert examine(SETS["coco128"], copy) == ""
    picture = copy / "images" / "train2017" / "000000000009.jpg"
    data = picture.read_bytes()
    picture.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert examine(SETS["coco128"], copy) == f"{picture} is another than was published"


def test_a_list_that_names_other_pictures(tmp_path: Path) -> None:
    files = coco(12, 5)
    files["/val2017.zip"] = coco(12, 6)["/val2017.zip"]
    with shelf(files) as server:
        error = failed(small_coco(12, 6), tmp_path, server.url)
        assert "names 5 pictures, not 6" in error.why


def test_a_folder_that_is_not_whole_is_left_alone(tmp_path: Path, server: Shelf) -> None:
    path = obtain(SETS["coco128"], tmp_path, Progress(), mirrors=(server.url,)).path
    next((path / "images/train2017").iterdir()).unlink()
    with pytest.raises(CheckFailed, match="not the whole of coco128") as caught:
        obtain(SETS["coco128"], tmp_path, Progress(), mirrors=(server.url,))
    assert "has 127 pictures, not 128" in caught.value.why
    assert len(list((path / "images/train2017").iterdir())) == 127


def test_archives_are_kept_while_one_is_missing(tmp_path: Path) -> None:
    files = coco(12, 5)
    last = files.pop("/val2017.zip")
    with shelf(files) as server:
        failed(small_coco(12, 5), tmp_path, server.url)
        assert sorted(p.name for p in (tmp_path / ".coco.downloads").iterdir()) == [
            "coco2017labels.zip",
            "train2017.zip",
        ]
        server.files["/val2017.zip"] = last
        server.log.clear()
        obtain(small_coco(12, 5), tmp_path, Progress(), mirrors=(server.url,))
        assert [asked.path for asked in server.log] == ["/val2017.zip"]


def test_where_upstream_looks(tmp_path: Path) -> None:
    tree = tmp_path / "work" / "yolov5"
    (tree / "data").mkdir(parents=True)
    assert default_folder(tree) == tree / "datasets"
    for name in ("train.py", "data/coco128.yaml"):
        (tree / name).write_text("")
    assert default_folder(tree) == tmp_path / "work" / "datasets" == default_folder(tree.parent)


def test_a_link_to_where_upstream_looks(tmp_path: Path) -> None:
    data = tmp_path / "private" / "coco"
    data.mkdir(parents=True)
    place = datasets.link(data, tmp_path / "datasets")
    assert place.is_symlink() and place.samefile(data)
    assert datasets.link(data, tmp_path / "datasets") == place
    (tmp_path / "other" / "coco").mkdir(parents=True)
    with pytest.raises(WrongUsage, match="is there already, and is not"):
        datasets.link(data, tmp_path / "other")
    with pytest.raises(EnvironmentFailed, match="cannot make /sys/datasets/coco") as caught:
        datasets.link(data, Path("/sys/datasets"))  # nobody can make a folder there
    assert "another place" in caught.value.hint or "place on another disk" in caught.value.hint


def run(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "porter", "data", "fetch", *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_command(tmp_path: Path, server: Shelf) -> None:
    work = tmp_path / "work"
    done = run("coco128", "--mirror", server.url, cwd=work)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{work}/datasets/coco128: coco128, fetched" in done.stdout
    assert "--data coco128.yaml" in done.stdout
    elsewhere = tmp_path / "elsewhere"
    done = run("coco128", "--mirror", server.url, "--dest", tmp_path / "big", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["data"] == str(tmp_path / "big" / "coco128" / "data.yaml")
    elsewhere.mkdir()
    done = run("coco128", "--dest", tmp_path / "big", "--link", cwd=elsewhere)
    assert (done.returncode, f"{elsewhere}/datasets/coco128 leads there" in done.stdout) == (0, True)
    assert examine(SETS["coco128"], elsewhere / "datasets" / "coco128") == ""


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["voc"], 2, "'voc'"),
        ([], 2, "Missing argument"),
        (["coco128", "--mirror", "nowhere"], 2, "'nowhere' is no mirror"),
        (["coco128"], 3, "cannot reach github.com through the proxy"),
    ],
)
def test_the_commands_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], code: int, said: str
) -> None:
    monkeypatch.setenv("PORTER_TIMEOUT", "2")
    done = run(*args, cwd=tmp_path / "work")
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert list((tmp_path / "work").iterdir()) == []


def test_ctrl_c_keeps_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same command goes on from there."""
    work, noise = tmp_path / "work", {"coco128/README.txt": os.urandom(3_000_000)}
    names = numbered(128)
    data = archive(
        {f"coco128/images/train2017/{n}.jpg": PICTURE for n in names}
        | noise
        | {f"coco128/labels/train2017/{n}.txt": b"" for n in names}
    )
    stand_in(data, tmp_path, monkeypatch)
    with shelf({"/coco128.zip": data}, rate=500_000) as server:
        command = [sys.executable, "-m", "porter", "data", "fetch", "coco128", "--mirror", server.url]
        child = subprocess.Popen(command, cwd=work, stderr=subprocess.PIPE, text=True)
        part = work / "datasets" / ".coco128.downloads" / "coco128.zip.part"
        deadline = time.monotonic() + 30
        while not part.exists() or part.stat().st_size < 200_000:
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=30)
        assert child.returncode == 130
        assert "are kept in" in said and "the same command goes on from there" in said
        assert sorted(p.name for p in part.parent.iterdir()) == ["coco128.zip.part", "coco128.zip.part.json"]
        server.rate = 0
        assert run("coco128", "--mirror", server.url, cwd=work).returncode == 0
        assert (server.log[-1].start or 0) > 100_000
    assert [p.name for p in (work / "datasets").iterdir()] == ["coco128"]
