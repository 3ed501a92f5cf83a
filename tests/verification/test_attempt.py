"""One check of one tree, however it ends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from stacks import CHECKOUT

from porter.errors import EnvironmentFailed
from porter.process import Stopped
from porter.project import Project
from porter.target import Target
from porter.verification.checks import BROKE, attempt
from porter.verification.child import Children
from porter.verification.device import Device
from porter.verification.plan import Check
from porter.verification.report import FAILED, NOT_SHOWN, PASSED, Failed, Finding, NotShown, showing
from porter.verification.session import Session, usual


@pytest.fixture
def session(tmp_path: Path) -> Session:
    project = Project(CHECKOUT)
    children = Children(tmp_path, sys.executable, 1, 10)
    return Session(
        project, tmp_path, Target.load(project.patches / "mlu"), Device("cpu", "cpu", ""), children, tmp_path
    )


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (Failed("a tensor is lost", "its log"), FAILED, "a tensor is lost"),
        (NotShown("no device"), NOT_SHOWN, "no device"),
        (Stopped(), NOT_SHOWN, "given up"),
        (KeyError("batch_time_avg"), FAILED, f"{BROKE}: KeyError: 'batch_time_avg'"),
    ],
)
def test_how_it_ends(session: Session, error: Exception, state: str, said: str) -> None:
    def make(session: Session) -> Finding:
        raise error

    outcome = attempt(session, Check("x", "full", "that x", make), "again")
    assert (outcome.state, outcome.said, outcome.repeat) == (state, said, "again")
    if said.startswith(BROKE):
        assert "raise error" in outcome.log


def test_it_passes(session: Session) -> None:
    outcome = attempt(session, Check("x", "full", "that x", lambda _: Finding("3 of 3", {"a": 1})), "")
    assert (outcome.state, outcome.said, outcome.figures) == (PASSED, "3 of 3", {"a": 1})


@pytest.mark.parametrize("error", [Failed("too slow"), NotShown("no device")])
def test_a_check_that_does_not_pass_has_figures_too(session: Session, error: Exception) -> None:
    def make(session: Session) -> Finding:
        with showing({"losses": [1.0], "more": 2}):
            raise error

    assert attempt(session, Check("x", "full", "that x", make), "").figures == {"losses": [1.0], "more": 2}


def test_an_environment_that_fails_ends_everything(session: Session, tmp_path: Path) -> None:
    def make(session: Session) -> Finding:
        raise EnvironmentFailed("the disk is full")

    with pytest.raises(EnvironmentFailed):
        attempt(session, Check("x", "full", "that x", make), "")
    with pytest.raises(Stopped):
        session.children.run("-c", "", cwd=tmp_path)


def test_folders_of_a_part_are_its_own(tmp_path: Path) -> None:
    children = Children(tmp_path, sys.executable, 1, 10)
    part = children.part("tree")
    assert part.folder("x").parent == part.runs != children.runs
    part.stop()
    with pytest.raises(Stopped):
        children.run("-c", "", cwd=tmp_path)


def test_a_failure_comes_with_what_was_run(session: Session) -> None:
    """Also where the program ended well, and what it printed or made is wrong."""

    def make(session: Session) -> Finding:
        session.children.run("-c", "print('3 boxes')", cwd=session.root)
        raise Failed("3 boxes, not 4")

    outcome = attempt(session, Check("x", "full", "that x", make), "again")
    assert (outcome.log, outcome.command) == ("3 boxes", f"{sys.executable} -c 'print('\"'\"'3 boxes'\"'\"')'")
    told = attempt(session, Check("x", "full", "that x", failing), "")
    assert (told.log, told.command) == ("its log", "its command")


def failing(session: Session) -> Finding:
    raise Failed("a tensor is lost", "its log", "its command")


def test_a_training_is_said_when_it_begins(tmp_path: Path) -> None:
    """With how long it usually takes: more epochs take longer."""
    said: list[str] = []
    project = Project(CHECKOUT)
    place = Device("cpu", "cpu", "")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "train.py").write_text("raise SystemExit('no')\n")
    session = Session(
        project, tree, Target.load(project.patches / "mlu"), place, Children(tmp_path, sys.executable, 1, 60), tmp_path,
        begun=said.append,
    )  # fmt: skip
    with pytest.raises(Failed):
        session.trained()
    assert [line.partition(": usually")[0] for line in said] == ["training recorded-cpu on cpu"]
    assert said[0].endswith(" s") and usual(["--epochs", 2]) < usual(["--epochs", 4])
