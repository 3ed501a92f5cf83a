"""What reference and converges hold a tree to, without the minutes that they take; .ci/run makes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from stacks import CHECKOUT

from porter.project import Project
from porter.target import Target
from porter.verification.checks import figures
from porter.verification.child import Children
from porter.verification.device import Device
from porter.verification.report import Failed, NotShown
from porter.verification.session import Session

CONVERGES = yaml.safe_load(figures.FILE.read_text())["converges"]
RUNS = {name: list(values) for name, values in zip(CONVERGES["columns"], zip(*CONVERGES["runs"][320]))}


@pytest.fixture
def session(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Of an empty tree on the cpu, with nothing at hand."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tree").mkdir()
    project = Project(CHECKOUT)
    children = Children(tmp_path / "root", sys.executable, 1, 10.0)
    target = Target.load(project.patches / "mlu")
    return Session(project, tmp_path / "tree", target, Device("cpu", "cpu", "the cpu"), children, tmp_path / "root")


@pytest.mark.parametrize("size", [320, 640])
def test_each_of_v6s_own_runs_is_in_the_band_of_all(size: int) -> None:
    runs = {name: list(values) for name, values in zip(CONVERGES["columns"], zip(*CONVERGES["runs"][size]))}
    for number in range(figures.LEAST):
        figures.judge({name: values[number] for name, values in runs.items()}, runs)


def test_a_run_with_other_packages_is_in_it() -> None:
    """An emulated MLU370 with torch 2.13: the losses are those of the first run, the metrics are not."""
    found = [0.55944, 0.37657, 0.053736, 0.052658, 0.031458]
    figures.judge(dict(zip(CONVERGES["columns"], found)), RUNS)


def test_a_run_without_warm_up_is_not() -> None:
    """Unpatched v6.0 with ``nw = -1`` in train.py, else as the others: a wrong schedule of learning rates."""
    found = [0.53028, 0.29467, 0.060111, 0.04614, 0.029431]
    with pytest.raises(Failed, match=r"mAP_0\.5 is 0\.53028"):
        figures.judge(dict(zip(CONVERGES["columns"], found)), RUNS)


def test_a_figure_outside_its_band_fails() -> None:
    """Each of them, on either side: too good is no better than too bad."""
    run = {name: values[0] for name, values in RUNS.items()}
    for name, (low, high) in figures.judge(run, RUNS).figures["bands"].items():
        for edge, out in (low, -1e-9), (high, 1e-9):
            figures.judge({**run, name: edge - out}, RUNS)
            with pytest.raises(Failed, match=f"{name} is .*runs of v6.0's own ask for"):
                figures.judge({**run, name: edge + out}, RUNS)


def test_the_band_is_the_prediction_interval() -> None:
    """Of 1, 2, 3, 4, 5 by a table of Student's t: 3 +- 7.173 x 1.5811 x 1.0954."""
    band = figures.judge({"a/b": 3.0}, {"a/b": [1.0, 2.0, 3.0, 4.0, 5.0]}).figures["bands"]["a/b"]
    assert band == [pytest.approx(-9.4237, abs=1e-3), pytest.approx(15.4237, abs=1e-3)]


def test_within_holds_at_its_very_edge() -> None:
    said = figures._held("v6.0", "coco128", [0.623, 0.404], [0.621, 0.406], 0.002)
    assert said == "coco128: mAP@.5 0.623 and mAP 0.404 (v6.0: 0.621 and 0.406)"
    for found in [0.624, 0.406], [0.618, 0.406], [0.621, 0.403], [0.621, 0.409]:
        with pytest.raises(Failed, match=r"where v6\.0 has 0\.621 and 0\.406"):
            figures._held("v6.0", "coco128", found, [0.621, 0.406], 0.002)


def test_what_pycocotools_prints_is_read() -> None:
    row = " Average Precision  (AP) @[ IoU={:<9} | area=   all | maxDets=100 ] = {:.3f}\n"
    small = " Average Precision  (AP) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = 0.211\n"
    said = small + row.format("0.50:0.95", 0.372) + row.format("0.50", 0.56) + row.format("0.75", 0.4)
    assert figures._by_pycocotools(said) == [56.0, 37.2]
    with pytest.raises(NotShown, match="pip install pycocotools"):
        figures._by_pycocotools("pycocotools unable to run: No module named 'pycocotools'")


def test_what_is_lacking_is_said(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def why() -> list[str]:
        found = []
        for check in figures.reference, figures.converges:
            with pytest.raises(NotShown) as caught:
                check(session)
            found.append(str(caught.value))
        return found

    assert all("no official checkpoint is at hand" in said for said in why())
    own = tmp_path / "best.pt"
    own.write_bytes(b"")
    monkeypatch.setenv(figures.VARIABLE, str(own))
    assert all("best.pt is none of v6.0's checkpoints" in said for said in why())
    session.model = own.rename(tmp_path / "yolov5s.pt")
    assert all(f"{session.model} is not v6.0's yolov5s.pt" in said for said in why())
    session.model = session.model.rename(tmp_path / "yolov5m.pt")  # nobody knows its digest
    assert ["was not measured on coco128 at 320" in why()[0], "not from yolov5m.pt" in why()[1]] == [True, True]


def test_the_full_size_has_a_band_too(session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "yolov5s.pt").write_bytes(b"")
    session.model, session.full_size = tmp_path / "yolov5s.pt", True
    monkeypatch.setattr(figures, "KNOWN", {})
    for check in figures.converges, figures.reference:
        with pytest.raises(NotShown, match="coco128 is not at hand"):
            check(session)


def test_coco_is_laid_without_a_copy(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And v6.0's label cache goes into the run's own folder."""
    coco = tmp_path / "coco"
    for name in (*figures._VAL, "images/val2017"):
        (coco / name).parent.mkdir(parents=True, exist_ok=True)
        assert figures._coco(session) is None
        (coco / name).write_text("") if Path(name).suffix else (coco / name).mkdir()
        monkeypatch.setenv("PORTER_DATA", str(tmp_path))
    found = figures._coco(session)
    assert found == coco
    read = yaml.safe_load(figures._data_set(session, "coco", found).read_text())
    path = Path(read["path"])
    assert str(path / read["val"]).endswith("coco/val2017.txt"), "v6.0 knows COCO by it"
    assert (path / "images/val2017").samefile(coco / "images/val2017")
    (path / "labels" / "val2017.cache").write_text("")
    assert not (coco / "labels" / "val2017.cache").exists()
