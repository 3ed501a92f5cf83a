"""The lines after v6.0 that are shipped: each tree is what its lock says, and trains on an emulated card."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mutants.mutants import load, make
from stacks import CHECKOUT

import porter
from porter.datasets import generate
from porter.errors import EnvironmentFailed, WrongUsage
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


def test_a_data_set_is_read_as_the_lines_loader_reads_it(line: Project, tmp_path: Path) -> None:
    """v7.0 counts the names, a mapping in its own data sets; the releases before want `nc`."""
    tree = porter.apply("mlu", tmp_path / "tree", project=line).path
    path = generate.make(tmp_path / "scenes", images=4, size=(64, 64)).yaml
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    del said["nc"]
    path.write_text(yaml.safe_dump({**said, "names": dict(enumerate(said["names"]))}), encoding="utf-8")
    if line.root.name == "v7.0":
        found = porter.data.check(path, tree=tree)
        assert not found.problems and len(found.names) == len(said["names"])
        path.write_text(yaml.safe_dump({**said, "names": []}), encoding="utf-8")
    with pytest.raises(WrongUsage, match=r"has no nc|names should be a list of classes"):
        porter.data.check(path, tree=tree)


def test_each_mistake_can_be_made(line: Project, tmp_path: Path) -> None:
    """`python -m tests.mutants` makes them weekly: a patch that moves must not leave them behind until then."""
    for number, mutant in enumerate(each for each in load() if each.line == line.root.name):
        make(mutant, porter.apply(mutant.target, tmp_path / str(number), project=line).path)
