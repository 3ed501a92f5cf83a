from __future__ import annotations

import json
from pathlib import Path

import pytest
from sources import git
from stacks import STEPS, inventory, porter

from porter.commands.apply import apply
from porter.errors import WrongUsage
from porter.lockfile import Lock
from porter.project import Project
from porter.tree import status

pytestmark = pytest.mark.usefixtures("warm")


def test_upstream_as_it_is(project: Project, clone: Path) -> None:
    found = status(project, clone)
    pin = Lock.load(project.lock_path).pin
    assert found.pin == {"name": "example/small", "tag": "v6.0", "commit": pin.commit}
    assert (found.targets, found.patches, found.commits, found.changes, found.missing) == ((), (), (), (), ())
    assert (found.branch, found.head, found.unfinished) == ("mine", pin.commit, "")


@pytest.mark.parametrize("targets", [("mlu",), ("tpu",), ("mlu", "tpu")])
def test_a_whole_stack(project: Project, clone: Path, targets: tuple[str, ...]) -> None:
    build = apply(targets, clone, project=project).build
    before = inventory(clone)
    found = status(project, clone)
    assert found.targets == targets
    assert found.branch == "porter/" + "+".join(targets)
    assert [(p.subject, p.state, p.commit) for p in found.patches] == [
        (built.patch.subject, "applied", built.commit) for built in build.commits
    ]
    assert found.whole
    assert inventory(clone) == before


@pytest.mark.parametrize("targets", [("mlu",), ("mlu", "tpu")])
def test_a_clone_of_a_tree_is_known_by_its_commits(project: Project, tmp_path: Path, targets: tuple[str, ...]) -> None:
    apply(targets, tmp_path / "tree", project=project)
    git("clone", "-q", tmp_path / "tree", tmp_path / "copy", cwd=tmp_path)
    git("switch", "-q", "-c", "other-name", cwd=tmp_path / "copy")
    assert status(project, tmp_path / "copy").targets == targets


def test_commits_and_changes_on_top(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    (clone / "mine.py").write_text("mine\n")
    git("add", "mine.py", cwd=clone)
    git("commit", "-q", "-m", "Mine | with a bar", cwd=clone)
    (clone / "train.py").write_text("edited\n")
    (clone / "LICENSE").unlink()
    found = status(project, clone)
    assert [(commit.subject, commit.id) for commit in found.commits] == [
        ("Mine | with a bar", git("rev-parse", "HEAD", cwd=clone))
    ]
    assert {(change.code, change.path) for change in found.changes} == {(".M", "train.py"), (".D", "LICENSE")}
    assert found.whole


def test_a_patch_that_changed_since_and_one_that_is_new(project: Project, clone: Path) -> None:
    """The tree holds an older version: every commit from the first difference on has another id."""
    apply(["mlu"], clone, project=project)
    series = project.patches / "mlu/series"
    first, second = [line for line in series.read_text().splitlines() if line.endswith(".patch")]
    path = project.patches / "mlu" / second
    path.write_text(path.read_text().replace("+mlu = 1\n", "+mlu = 2\n"))
    common = project.patches / "common/import-the-accelerator.patch"
    common.write_text(common.read_text().replace("The test needs it.", "The test needs it badly."))
    new = project.patches / "mlu/say-hello.patch"
    new.write_text(
        (project.patches / "mlu" / first)
        .read_text()
        .replace("mlu.py", "hello.py")
        .replace("=?UTF-8?q?Register=20the=20MLU=20=28=E5=AF=92=E6=AD=A6=E7=BA=AA=29?=", "Say hello")
    )
    series.write_text(f"{first}\n{second}\n{new.name}\n")
    found = status(project, clone)
    assert [patch.state for patch in found.patches] == [
        "applied",
        "applied",
        "applied",
        "applied",
        "changed",
        "missing",
    ]
    assert found.commits == ()
    assert not found.whole


def test_a_patch_dropped_by_hand_is_missing(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    git("-c", "user.name=A", "rebase", "-q", "--onto", "HEAD~2", "HEAD~1", cwd=clone)
    states = [patch.state for patch in status(project, clone).patches]
    assert states == ["applied", "applied", "applied", "missing", "applied"]


def test_on_an_earlier_patch_the_patches_are_not_the_users_commits(project: Project, clone: Path) -> None:
    """As in the middle of a rebase; a branch of the user's own in the same clone is none of the stack's."""
    apply(["mlu"], clone, project=project)
    git("switch", "-q", "--detach", "HEAD~2", cwd=clone)
    found = status(project, clone)
    assert (found.targets, found.commits) == (("mlu",), ())
    assert [patch.state for patch in found.patches] == ["applied"] * 3 + ["missing"] * 2
    git("switch", "-q", "mine", cwd=clone)
    git("-c", "user.name=A", "commit", "-q", "--allow-empty", "-m", "Mine", cwd=clone)
    found = status(project, clone)
    assert (found.targets, len(found.commits)) == ((), 1)


def test_an_unfinished_merge_shows(project: Project, clone: Path) -> None:
    (clone / ".git/MERGE_HEAD").write_text(git("rev-parse", "HEAD", cwd=clone))
    assert status(project, clone).unfinished == "a merge"


def test_another_repository(project: Project, tmp_path: Path) -> None:
    git("init", "-q", tmp_path / "other", cwd=tmp_path)
    with pytest.raises(WrongUsage, match="not a clone of example/small") as caught:
        status(project, tmp_path / "other")
    assert caught.value.why == "it has no commit yet" and "porter apply" in caught.value.hint


@pytest.mark.parametrize(("names", "why"), [((), "it is empty"), (("a",), "something else is in it")])
def test_a_folder_that_is_no_repository(project: Project, tmp_path: Path, names: tuple[str, ...], why: str) -> None:
    (tmp_path / "folder").mkdir()
    for name in names:
        (tmp_path / "folder" / name).write_text("")
    with pytest.raises(WrongUsage, match="is no git repository") as caught:
        status(project, tmp_path / "folder")
    assert caught.value.why == why and "porter apply" in caught.value.hint


def test_for_programs(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    done = porter("status", "--json", clone, cwd=project.root)
    found = json.loads(done.stdout)
    assert found["targets"] == ["mlu"]
    assert [patch["number"] for patch in found["patches"]] == [1, 2, 3, 1, 2]
    assert {patch["state"] for patch in found["patches"]} == {"applied"}
    assert found["path"] == str(clone)
    assert found["changes"] == found["commits"] == found["missing"] == []


def test_for_people_and_without_a_name_the_current_folder(project: Project, tmp_path: Path) -> None:
    apply(["mlu"], project.root / "tree", project=project)
    done = porter("status", cwd=project.root / "tree")
    assert "stack: mlu, 5 patches" in done.stdout
    for step in STEPS[:5]:
        assert step.subject in done.stdout
    assert "\x1b" not in done.stdout
