"""After an export the tree is one of the patches': its branch is at the commits that apply makes of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sources import git
from stacks import inventory, porter

from porter.commands.apply import apply
from porter.commands.export import export
from porter.commands.revert import revert
from porter.project import Project
from porter.tree import status

from .test_export import edit, fresh

pytestmark = pytest.mark.usefixtures("warm")


def is_as_locked(project: Project, tree: Path) -> None:
    """That verify's check `tree`, apply and revert take the tree for what the patches give, and revert undoes it."""
    found = status(project, tree)
    assert found.whole and not found.commits and not found.changes, found
    assert apply(["mlu"], tree, project=project).how == "already"
    assert export(tree, project=project).head == ""
    assert revert(tree, project=project).pristine


@pytest.mark.parametrize("how", ["amended", "fixup below", "the same anew"])
def test_the_branch_moves_to_the_exported_commits(project: Project, tmp_path: Path, how: str) -> None:
    tree = fresh(project, tmp_path / "tree", "mlu")
    if how == "the same anew":  # another committer, another date: nothing for a patch
        git("commit", "-q", "--amend", "--no-edit", cwd=tree)
    else:
        place, words = (
            (("mlu = 1\n", "mlu = 2\n"), ["--amend", "--no-edit"])
            if how == "amended"
            else (("line_30 = 30\n", "new = 1\nline_30 = 30\n"), ["--fixup=HEAD~3"])
        )
        edit(tree, "utils/long.py", *place)
        git("commit", "-q", "-a", *words, cwd=tree)
    (tree / "notes.txt").write_text("mine\n")  # git does not know it
    before, branch = git("rev-parse", "HEAD", cwd=tree), git("symbolic-ref", "HEAD", cwd=tree)
    content = git("rev-parse", "HEAD^{tree}", cwd=tree)
    files = inventory(tree / "utils")

    checked = export(tree, check=True, project=project)
    assert (checked.head, git("rev-parse", "HEAD", cwd=tree)) == ("", before)
    done = porter("export", tree, cwd=project.root)

    after = git("rev-parse", "HEAD", cwd=tree)
    assert (done.returncode, f"exported commits now ({after[:12]})" in done.stdout) == (0, True), done.stderr
    assert after != before and git("rev-parse", "HEAD^{tree}", cwd=tree) == content
    assert git("symbolic-ref", "HEAD", cwd=tree) == branch
    assert git("rev-parse", "HEAD@{1}", cwd=tree) == before  # nothing is lost
    assert inventory(tree / "utils") == files and (tree / "notes.txt").read_text() == "mine\n"
    assert git("status", "--porcelain", "--untracked-files=no", cwd=tree) == ""
    is_as_locked(project, tree)


def test_what_was_not_committed_is_in_them(project: Project, tmp_path: Path) -> None:
    tree = fresh(project, tmp_path / "tree", "mlu")
    edit(tree, "utils/long.py", "mlu = 1\n", "mlu = 2\n")
    done = export(tree, into="mlu/2", project=project)
    assert done.head == git("rev-parse", "HEAD", cwd=tree) and "mlu = 2\n" in (tree / "utils/long.py").read_text()
    is_as_locked(project, tree)


def test_what_was_edited_in_the_second_in_which_git_wrote_the_file(project: Project, tmp_path: Path) -> None:
    """As a script does: the same size and time as in git's index, which is as old."""
    tree = fresh(project, tmp_path / "tree", "mlu")
    git("config", "core.trustCTime", "false", cwd=tree)  # the one time that a test cannot set
    os.utime(tree / "utils/long.py", (10**9, 10**9))
    git("update-index", "--refresh", cwd=tree)
    edit(tree, "utils/long.py", "mlu = 1\n", "mlu = 2\n")
    for file in tree / "utils/long.py", tree / ".git/index":
        os.utime(file, (10**9, 10**9))
    export(tree, into="mlu/2", project=project)
    assert "mlu = 2" in git("show", "HEAD:utils/long.py", cwd=tree)


def test_in_a_clone_of_the_users(project: Project, clone: Path) -> None:
    """It goes back to the user's branch afterwards."""
    mine = git("symbolic-ref", "HEAD", cwd=clone)
    fresh(project, clone, "mlu")
    edit(clone, "utils/long.py", "mlu = 1\n", "mlu = 2\n")
    git("commit", "-q", "-a", "--amend", "--no-edit", cwd=clone)
    assert export(clone, project=project).head == git("rev-parse", "refs/heads/porter/mlu", cwd=clone)
    is_as_locked(project, clone)
    assert git("symbolic-ref", "HEAD", cwd=clone) == mine
