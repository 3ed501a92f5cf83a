from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from sources import git
from stacks import inventory

from porter.commands.apply import apply
from porter.commands.revert import revert
from porter.errors import WrongUsage
from porter.lockfile import Lock
from porter.project import Project

pytestmark = pytest.mark.usefixtures("warm")


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Modes and bytes of the files outside .git."""
    return {k: v[1:] for k, v in inventory(folder).items() if not k.startswith(".git/") and k not in (".", ".git")}


def test_a_users_clone_is_as_it_was(project: Project, clone: Path) -> None:
    (clone / "notes.txt").write_text("mine")
    before = content(clone)
    refs = git("for-each-ref", cwd=clone)
    apply(["mlu"], clone, project=project)
    assert content(clone) != before
    done = revert(clone, project=project)
    assert (done.done, done.head, done.pristine) == (True, "refs/heads/mine", True)
    assert content(clone) == before
    assert git("for-each-ref", cwd=clone) == refs
    assert git("symbolic-ref", "HEAD", cwd=clone) == "refs/heads/mine"
    assert [path.name for path in (clone / ".git/porter").iterdir()] == ["lock"]


def test_a_tree_that_porter_made_is_upstream_again(project: Project, tmp_path: Path) -> None:
    apply(["mlu", "tpu"], tmp_path / "tree", project=project)
    done = revert(tmp_path / "tree", project=project)
    assert done.head == "refs/heads/master"
    assert git("rev-parse", "HEAD^{tree}", cwd=tmp_path / "tree") == Lock.load(project.lock_path).pin.tree
    assert git("branch", "--format=%(refname:short)", cwd=tmp_path / "tree") == "master"
    assert apply(["tpu"], tmp_path / "tree", project=project).how == "switched"


def test_a_detached_head_comes_back(project: Project, clone: Path) -> None:
    git("switch", "-q", "--detach", "v6.0", cwd=clone)
    apply(["mlu"], clone, project=project)
    pin = Lock.load(project.lock_path).pin.commit
    assert revert(clone, project=project).head == pin
    assert git("rev-parse", "--abbrev-ref", "HEAD", cwd=clone) == "HEAD"


def test_nothing_to_revert_touches_nothing(project: Project, clone: Path) -> None:
    before = inventory(clone)
    assert not revert(clone, project=project).done
    assert inventory(clone) == before


def test_a_branch_that_moved_meanwhile_is_gone_back_to_where_it_is(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    git("branch", "-q", "-f", "mine", "origin/master", cwd=clone)
    done = revert(clone, project=project)
    assert (done.head, done.pristine) == ("refs/heads/mine", False)
    assert git("rev-parse", "HEAD", cwd=clone) == git("rev-parse", "origin/master", cwd=clone)


def test_a_branch_that_is_gone_leaves_the_pin(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    git("branch", "-q", "-D", "mine", cwd=clone)
    assert revert(clone, project=project).head == Lock.load(project.lock_path).pin.commit


def test_a_branch_of_the_users_own_at_the_stacks_end_stays(project: Project, clone: Path) -> None:
    tip = apply(["mlu"], clone, project=project).build.tip
    git("switch", "-q", "-c", "experiment", cwd=clone)
    revert(clone, project=project)
    assert git("rev-parse", "experiment", cwd=clone) == tip
    assert git("branch", "--list", "porter/*", cwd=clone) == ""


@pytest.mark.parametrize("targets", [["mlu"], ["mlu", "tpu"]])
def test_a_clone_of_a_tree_has_no_notes_and_needs_none(targets: list[str], project: Project, tmp_path: Path) -> None:
    apply(targets, tmp_path / "tree", project=project)
    git("clone", "-q", tmp_path / "tree", tmp_path / "copy", cwd=tmp_path)
    done = revert(tmp_path / "copy", project=project)
    assert done.head == Lock.load(project.lock_path).pin.commit
    assert git("branch", "--format=%(refname:short)", "--list", "porter/*", cwd=tmp_path / "copy") == ""


def test_a_stack_of_an_older_porter_is_taken_off_by_its_notes(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    shutil.rmtree(project.patches / "mlu")
    assert revert(clone, project=project).head == "refs/heads/mine"


@pytest.mark.parametrize("what", ["commit", "edit", "staged", "deleted", "merge", "elsewhere"])
def test_what_would_be_lost_is_refused(project: Project, clone: Path, what: str) -> None:
    apply(["mlu"], clone, project=project)
    if what == "commit":
        (clone / "train.py").write_text("mine\n")
        git("commit", "-q", "-a", "-m", "Mine", cwd=clone)
    elif what == "edit":
        (clone / "train.py").write_text("mine\n")
    elif what == "staged":
        (clone / "new.py").write_text("mine\n")
        git("add", "new.py", cwd=clone)
    elif what == "deleted":
        (clone / "train.py").unlink()
    elif what == "merge":
        (clone / ".git/MERGE_HEAD").write_text(git("rev-parse", "HEAD", cwd=clone))
    else:
        git("reset", "-q", "--hard", "HEAD~1", cwd=clone)
    before = inventory(clone)
    with pytest.raises(WrongUsage) as error:
        revert(clone, project=project)
    assert error.value.hint
    if what == "commit":
        assert "Mine" in error.value.why
    assert inventory(clone) == before


def test_below_the_end_of_the_stack_what_is_printed_goes_there(project: Project, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    apply(["mlu"], tree, project=project)
    git("switch", "-q", "--detach", "HEAD~1", cwd=tree)
    (tree / ".git/rebase-merge").mkdir()
    with pytest.raises(WrongUsage, match="in the middle of a rebase"):  # in which git goes nowhere else
        revert(tree, project=project)
    (tree / ".git/rebase-merge").rmdir()
    with pytest.raises(WrongUsage, match="is not at the end of its stack") as error:
        revert(tree, project=project)
    subprocess.run(error.value.hint.partition(": ")[2], shell=True, check=True, cwd=tmp_path, capture_output=True)
    assert revert(tree, project=project).pristine


def test_an_untracked_file_in_the_way_is_kept(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    (clone / "README.md").write_text("mine\n")  # the stack deletes upstream's
    before = inventory(clone)
    with pytest.raises(WrongUsage, match=r"README\.md is in the way"):
        revert(clone, project=project)
    assert inventory(clone) == before


def test_files_of_the_users_in_a_folder_of_the_stacks_stay(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    (clone / "utils/accelerator/npu.py").write_text("mine\n")
    revert(clone, project=project)
    assert (clone / "utils/accelerator/npu.py").read_text() == "mine\n"


def test_commits_of_nobodys_stack(project: Project, clone: Path) -> None:
    git("commit", "-q", "--allow-empty", "-m", "Mine", cwd=clone)
    with pytest.raises(WrongUsage, match="no stack that this porter knows"):
        revert(clone, project=project)


def test_another_repository(project: Project, tmp_path: Path) -> None:
    git("init", "-q", tmp_path / "other", cwd=tmp_path)
    with pytest.raises(WrongUsage, match="no stack"):
        revert(tmp_path / "other", project=project)
