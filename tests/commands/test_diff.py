"""`porter diff`: what changed between two states of the stacks, held to `git range-diff` by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sources import git
from stacks import porter

import porter as api
from porter.errors import WrongUsage
from porter.project import Project
from porter.stack import load_part


@pytest.fixture
def committed(project: Project, warm: None) -> Project:
    """The project as a repository, all of it committed."""
    git("init", "-q", "-b", "main", cwd=project.root)
    git("add", ".", cwd=project.root)
    git("commit", "-q", "-m", "as it was", cwd=project.root)
    return project


def edit(project: Project) -> str:
    """Change a line that the last patch of mlu writes; return its subject."""
    patch = load_part(project.patches / "mlu")[-1]
    file = project.patches / patch.id
    lines = file.read_text().split("\n")
    number = next(n for n, line in enumerate(lines) if line.startswith("+") and not line.startswith("+++"))
    lines[number] += "  # edited"
    file.write_text("\n".join(lines))
    return patch.subject


def test_a_patch_that_changed(committed: Project) -> None:
    subject = edit(committed)
    found = api.diff("HEAD", project=committed)
    assert {pair.state for pair in found.parts["common"] + found.parts["tpu"]} == {"same"}
    (changed,) = (pair for pair in found.parts["mlu"] if pair.state != "same")
    assert (changed.state, changed.old, changed.new, changed.subject) == (
        "changed",
        len(found.parts["mlu"]),
        len(found.parts["mlu"]),
        subject,
    )
    assert "  # edited" in changed.diff and "\x1b" not in changed.diff
    said = porter("diff", "HEAD", "--target", "mlu", cwd=committed.root)
    assert said.returncode == 0 and "1 changed" in said.stdout and "# edited" in said.stdout
    assert "tpu:" not in said.stdout
    record = json.loads(porter("diff", "HEAD", "--json", cwd=committed.root).stdout)
    assert (record["kind"], record["parts"]["mlu"][-1]["state"]) == ("diff", "changed")


def test_nothing_changed(committed: Project) -> None:
    found = api.diff("HEAD", "main", project=committed)
    assert {pair.state for pairs in found.parts.values() for pair in pairs} == {"same"}
    assert [len(pairs) for pairs in found.parts.values()] == [
        len(load_part(committed.patches / part)) for part in found.parts
    ]


def test_a_patch_and_a_target_that_went(committed: Project, tmp_path: Path) -> None:
    """Against a folder: the other way round they came."""
    other = tmp_path / "other"
    shutil.copytree(committed.root, other)
    shutil.rmtree(other / "patches" / "tpu")
    last = load_part(other / "patches" / "mlu")[-1]
    (other / "patches" / last.id).unlink()
    series = other / "patches" / "mlu" / "series"
    series.write_text(series.read_text().replace(f"{last.name}\n", ""))
    api.lock(project=other)
    gone, came = api.diff(committed.root, other, project=committed), api.diff(other, project=committed)
    assert {pair.state for pair in gone.parts["tpu"]} == {"removed"}
    assert {pair.state for pair in came.parts["tpu"]} == {"added"}
    assert (gone.parts["mlu"][-1].state, gone.parts["mlu"][-1].new, gone.parts["mlu"][-1].subject) == (
        "removed",
        0,
        last.subject,
    )
    assert (came.parts["mlu"][-1].state, came.parts["mlu"][-1].old) == ("added", 0)


@pytest.mark.parametrize("named", ["nobody", "--output=x", "HEAD:patches", "-"])
def test_what_is_no_state(committed: Project, named: str) -> None:
    with pytest.raises(WrongUsage, match="is neither a folder nor a commit"):
        api.diff(named, project=committed)


def test_a_commit_without_stacks(committed: Project) -> None:
    git("checkout", "-q", "--orphan", "empty", cwd=committed.root)
    git("rm", "-rfq", "--cached", ".", cwd=committed.root)
    git("commit", "-q", "--allow-empty", "-m", "nothing", cwd=committed.root)
    with pytest.raises(WrongUsage, match="has no upstream"):
        api.diff("HEAD", project=committed)
