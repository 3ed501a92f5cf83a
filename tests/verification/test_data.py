"""What the checks train on: coco128 where it is, else scenes; and which of them is said."""

from __future__ import annotations

from pathlib import Path

import published
import pytest
import yaml

from porter.downloads import archive, datasets
from porter.errors import EnvironmentFailed, WrongUsage
from porter.output import Progress
from porter.verification.data import pictures


@pytest.fixture
def real(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of coco128's layout, named in PORTER_DATA."""
    (tmp_path / "coco128.zip").write_bytes(published.coco128())
    published.stand_in(published.coco128(), tmp_path, monkeypatch)
    (tmp_path / "unpacked").mkdir()
    archive.unpack(tmp_path / "coco128.zip", tmp_path / "unpacked", Progress())
    monkeypatch.setenv(datasets.DATA_VARIABLE, str(tmp_path / "unpacked"))
    return tmp_path / "unpacked" / "coco128"


def test_a_part_of_coco128_is_taken_if_it_is_there(real: Path, tmp_path: Path) -> None:
    before = sorted(real.rglob("*"))
    made = pictures("auto", 40, tmp_path / "pictures", tmp_path, Progress())
    assert made.says == "50 pictures of coco128 (PORTER_DATA)"
    for split, count in ("train", 40), ("val", 10):
        names = {path.stem for path in (made.path / "images" / split).iterdir()}
        assert len(names) == count
        assert names == {path.stem for path in (made.path / "labels" / split).iterdir()}, "each has its labels"
        assert "000000000003" not in names, "a picture without labels"
    text = yaml.safe_load((made.path / "data.yaml").read_text())
    assert (text["path"], text["train"], text["nc"]) == (str(made.path), "images/train", 80)
    assert sorted(real.rglob("*")) == before, "the person's own folder is only read"


def test_scenes_where_coco128_is_not_to_be_had(own_home: Path, tmp_path: Path, unreachable: None) -> None:
    made = pictures("auto", 4, tmp_path / "pictures", tmp_path, Progress())
    assert made.says.startswith("generated scenes of coco128's layout and classes (no coco128: ")
    assert "through the proxy" in made.says, "why not is said"
    assert len(list((made.path / "images" / "train").iterdir())) == 4


def test_scenes_if_they_are_asked_for(real: Path, tmp_path: Path) -> None:
    assert pictures("scenes", 4, tmp_path / "p", tmp_path, Progress()).says == (
        "generated scenes of coco128's layout and classes"
    )


def test_coco128_or_nothing(own_home: Path, tmp_path: Path, unreachable: None) -> None:
    with pytest.raises(EnvironmentFailed, match="coco128 is not to be had") as caught:
        pictures("coco128", 4, tmp_path / "p", tmp_path, Progress())
    assert "porter data fetch coco128" in caught.value.hint
    assert not (tmp_path / "p").exists()


def test_a_folder_that_is_named_has_to_hold_it(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(datasets.DATA_VARIABLE, str(tmp_path))
    with pytest.raises(WrongUsage, match="PORTER_DATA"):
        pictures("auto", 4, tmp_path / "p", tmp_path, Progress())


@pytest.fixture
def unreachable(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way out leads to a port of this machine where nobody listens."""
    for name in "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy":
        monkeypatch.setenv(name, "http://127.0.0.1:9")
