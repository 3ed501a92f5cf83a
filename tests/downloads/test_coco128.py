from __future__ import annotations

from pathlib import Path

import pytest
from fileserver import shelf
from published import coco128 as archive
from published import numbered, stand_in
from sources import closed_port, mute_port

from porter.downloads import datasets
from porter.downloads.archive import unpack
from porter.errors import EnvironmentFailed, PorterError, WrongUsage
from porter.output import Progress


@pytest.fixture(autouse=True)
def cut_off(
    own_home: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network but what a test names; and nothing near the current folder."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    stand_in(archive(), tmp_path_factory.mktemp("sums"), monkeypatch)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def real(path: Path) -> Path:
    """A folder that passes for coco128."""
    path.mkdir(parents=True, exist_ok=True)
    zipped = path / "coco128.zip"
    zipped.write_bytes(archive())
    unpack(zipped, path, Progress(), below="coco128")
    zipped.unlink()
    return path


@pytest.mark.parametrize("below", [".", "coco128", "datasets/coco128"])
def test_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    real(tmp_path / "data" / below)
    monkeypatch.setenv("PORTER_DATA", str(tmp_path / "data"))
    found = datasets.find_coco128()
    assert found is not None
    assert found.path == tmp_path / "data" / below
    assert found.word == "coco128 (PORTER_DATA)"


def test_a_variable_that_names_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTER_DATA", str(tmp_path))
    real(tmp_path / "here" / "datasets" / "coco128")
    with pytest.raises(WrongUsage, match="no coco128 is there"):
        datasets.find_coco128()


@pytest.mark.parametrize("place", ["tree/../datasets", "here/datasets", "datasets", "home/cache/data"])
def test_where_a_person_would_have_it(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "home" / "cache"))
    (tmp_path / "deep").mkdir()
    tree = tmp_path / ("tree" if place.startswith("tree") else "deep/tree")
    tree.mkdir()
    assert datasets.find_coco128(tree) is None
    path = real((tmp_path / place / "coco128").resolve())
    found = datasets.find_coco128(tree)
    assert found is not None
    assert found.path == path
    assert ("porter's cache" in found.word) is place.startswith("home")


def test_a_set_that_lacks_a_picture_does_not_count(tmp_path: Path) -> None:
    path = real(tmp_path / "datasets" / "coco128")
    next((path / "images" / "train2017").iterdir()).unlink()
    assert datasets.find_coco128() is None


def test_a_set_with_another_label_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = real(tmp_path / "datasets" / "coco128")
    next((path / "labels" / "train2017").iterdir()).write_bytes(b"0 0.5 0.5 1 1\n")
    assert datasets.find_coco128(tmp_path / "tree") is None
    monkeypatch.setenv("PORTER_DATA", str(path))
    with pytest.raises(WrongUsage) as caught:
        datasets.find_coco128()
    assert "is another than was published" in caught.value.why


def test_it_is_downloaded_into_the_cache_once(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with shelf({"/coco128.zip": archive()}) as server:
        monkeypatch.setenv("PORTER_MIRROR", server.url)
        found = datasets.fetch_coco128(Progress())
        assert found.word == "coco128 (downloaded into porter's cache)"
        assert found.path == own_home / "cache" / "data" / "coco128"
        again = datasets.find_coco128()
    assert again is not None and (again.path, len(server.log)) == (found.path, 1)
    assert sorted(p.name for p in found.path.parent.iterdir()) == ["coco128"]


def test_a_server_that_says_nothing_costs_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_TIMEOUT", 0.3)
    with mute_port() as port:
        monkeypatch.setenv("PORTER_MIRROR", f"http://127.0.0.1:{port}")
        with pytest.raises(EnvironmentFailed) as error:
            datasets.fetch_coco128(Progress())
    assert "said nothing for 0.3 s" in str(error.value)


def test_a_download_that_is_something_else_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with shelf({"/coco128.zip": archive(numbered(127))}) as server:
        monkeypatch.setenv("PORTER_MIRROR", server.url)
        with pytest.raises(PorterError) as error:
            datasets.fetch_coco128(Progress())
    assert "it has 127 pictures in coco128/images/train2017, not 128" in str(error.value)
    assert datasets.find_coco128() is None
