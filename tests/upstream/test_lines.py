"""The lines after v6.0 that are shipped: each tree is what its lock says, and trains on an emulated card."""

from __future__ import annotations

from pathlib import Path

import pytest
from stacks import CHECKOUT

import porter
from porter.errors import EnvironmentFailed
from porter.lockfile import Lock
from porter.project import Project
from porter.sources.obtain import obtain
from porter.stack import available

LINES = Project(CHECKOUT).others
# a target each, so that each target is verified on one of them
TARGETS = {"v6.1": "npu", "v6.2": "mlu", "v7.0": "tpu"}


@pytest.fixture(params=LINES)
def line(request: pytest.FixtureRequest) -> Project:
    found = LINES[request.param]
    try:
        obtain(Lock.load(found.lock_path))
    except EnvironmentFailed as error:  # no package index has these lines' files
        pytest.skip(str(error))
    return found


def test_each_tree_is_what_its_lock_says_and_all_ported(line: Project) -> None:
    assert not porter.lint(project=line)
    assert porter.lock(check=True, project=line).stale == ()
    for target in available(line.patches):
        report = porter.verify(target, level="static", project=line)
        assert not report.failed, report.failed


@pytest.mark.device
def test_a_line_trains_as_its_target_does(line: Project, tmp_path: Path) -> None:
    """The smoke checks alone; `porter verify --line NAME --level full` makes every one."""
    target = TARGETS.get(line.root.name, "mlu")
    tree = porter.apply(target, tmp_path / "tree", project=line).path
    report = porter.verify(target, tree, level="smoke", device="emulated", data="scenes", project=CHECKOUT)
    assert not report.failed, report.failed
    assert any(outcome.state == "passed" for outcome in report.outcomes)
