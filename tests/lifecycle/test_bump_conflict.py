"""A bump that stops at a conflict, goes on, leaves a patch out or is given up."""

from __future__ import annotations

from pathlib import Path

import pytest
from histories import STEPS, Line
from sources import git
from stacks import inventory, porter

from porter.commands.apply import apply
from porter.commands.bump import bump, bump_abort, bump_continue, bump_skip
from porter.commands.lint import lint
from porter.errors import WrongUsage
from porter.lockfile import Lock
from porter.project import Project
from porter.stack import load_parts

from .test_bump import (
    CONFLICTING,
    RESOLVED,
    SUBJECT,
    TWO,
    commit_of,
    files_of,
    outcomes,
    patch_of,
    resolve,
    worktree_of,
)


@pytest.fixture
def project(bumping: Project) -> Project:
    """The stacks for v6.0 in a folder of their own, which is the current one."""
    return bumping


def test_a_conflict_stops_and_says_all(project: Project, synthetic_line: Line) -> None:
    before = files_of(project)
    done = porter("bump", CONFLICTING, cwd=project.root)
    assert done.returncode == 1, done.stderr
    assert f"conflict: common/4  {SUBJECT}" in done.stdout
    assert "val.py: both changed the same lines" in done.stdout
    sides = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("|")]
    assert sides == ["| # val line 15, otherwise", "| # val line 15", "| # val line 15, on a device"]
    assert f"{commit_of(synthetic_line, CONFLICTING)[:9]} 2021-10-11 Change what the patch changes" in done.stdout
    assert "porter bump --continue" in done.stdout
    assert files_of(project) == before
    assert lint(project=project) == []  # an open bump is in nobody's way


def test_the_worktree_is_a_rebase_that_stopped(project: Project, synthetic_line: Line) -> None:
    bump(CONFLICTING, project=project)
    folder = worktree_of(project)
    assert git("status", "--porcelain", cwd=folder) == "UU val.py"
    assert "You are currently rebasing branch 'bump' on" in git("status", cwd=folder)
    stages = [row.split() for row in git("ls-files", "--unmerged", cwd=folder).splitlines()]
    assert [stage for _, _, stage, _ in stages] == ["1", "2", "3"]
    texts = [git("cat-file", "blob", blob, cwd=folder) for _, blob, _, _ in stages]
    assert ["otherwise" in text for text in texts] == [False, True, False]
    assert ["on a device" in text for text in texts] == [False, False, True]
    assert git("log", "--format=%s", "-4", "HEAD", cwd=folder).splitlines() == [
        "Load on the host",
        "Train on any device",
        "Change what the patch changes",
        "Fix the same bug",
    ]
    assert git("show", "-s", "--format=%s", "REBASE_HEAD", cwd=folder) == SUBJECT
    assert "||||||| parent of " in (folder / "val.py").read_text()


def test_continue_takes_the_resolution(project: Project, tmp_path: Path) -> None:
    old = next(patch for patch in load_parts(project)["common"] if patch.subject == SUBJECT)
    bump(CONFLICTING, project=project)
    resolve(project)
    found = bump_continue(project=project)
    assert found.state == "done"
    assert outcomes(found)[SUBJECT] == "resolved"
    new = next(patch for patch in load_parts(project)["common"] if patch.subject == SUBJECT)
    assert (new.message, new.author, new.date) == (old.message, old.author, old.date)
    assert [line for line in new.text.splitlines() if line[:1] in "+-"] == [
        "--- a/val.py",
        "+++ b/val.py",
        "-# val line 15, otherwise",
        "+# val line 15, otherwise, on a device",
    ]
    apply(["mlu", "tpu"], tmp_path / "tree", project=project)
    assert lint(project=project) == []


def test_continue_in_another_shell(project: Project, tmp_path: Path) -> None:
    """From inside the worktree, with git's own rebase, as somebody who knows it would do it."""
    assert porter("bump", CONFLICTING, cwd=project.root).returncode == 1
    again = porter("bump", cwd=worktree_of(project))
    assert (again.returncode, again.stderr) == (1, "")
    assert f"conflict: common/4  {SUBJECT}" in again.stdout
    resolve(project)
    git("-c", "core.editor=true", "rebase", "--continue", cwd=worktree_of(project))
    done = porter("bump", "--continue", cwd=worktree_of(project))
    assert done.returncode == 0, done.stderr
    assert "1 resolved" in done.stdout
    assert "upstream.lock pins v6.1-1-g" in done.stdout
    assert Lock.load(project.lock_path).pin.tag.startswith("v6.1-1-g")


def test_the_worktree_keeps_its_place_from_patch_to_patch(project: Project) -> None:
    """Somebody's shell is in it."""
    assert patch_of(bump(TWO, project=project)) == "common/5"
    inode = worktree_of(project).stat().st_ino
    (worktree_of(project) / "notes.txt").write_text("mine\n")
    assert patch_of(bump_skip(project=project)) == "common/6"
    assert worktree_of(project).stat().st_ino == inode
    assert (worktree_of(project) / "notes.txt").read_text() == "mine\n"
    assert git("status", "--porcelain", cwd=worktree_of(project)).splitlines() == [
        "AA utils/accelerator/__init__.py",
        "?? notes.txt",
    ]


@pytest.mark.parametrize("state", ["unmerged", "marks", "unstaged", "nothing", "link", "binary"])
def test_a_resolution_that_is_not_finished_is_refused(project: Project, state: str) -> None:
    bump(CONFLICTING, project=project)
    path = worktree_of(project) / "val.py"
    says = {
        "unmerged": "1 file is unmerged",
        "marks": "val.py holds conflict marks still",
        "unstaged": "1 file is .* changed since git was told",
        "nothing": "nothing is left of common/validate-on-any-device",
        "link": "val.py is a link",
        "binary": "val.py is a binary file",
    }
    if state == "marks":
        git("add", "val.py", cwd=worktree_of(project))
    elif state == "unstaged":
        resolve(project)
        path.write_text(path.read_text() + "more\n")
    elif state == "nothing":
        git("checkout", "--ours", "val.py", cwd=worktree_of(project))
        git("add", "val.py", cwd=worktree_of(project))
    elif state == "link":
        path.unlink()
        path.symlink_to("train.py")
        git("add", "val.py", cwd=worktree_of(project))
    elif state == "binary":
        path.write_bytes(b"\0\1")
        git("add", "val.py", cwd=worktree_of(project))
    before = inventory(project.root / "patches")
    with pytest.raises(WrongUsage, match=says[state]):
        bump_continue(project=project)
    assert inventory(project.root / "patches") == before
    # and it can be mended
    git("checkout", "-q", "HEAD", "--", "val.py", cwd=worktree_of(project))
    path.write_text(path.read_text().replace("# val line 15, otherwise\n", RESOLVED))
    git("add", "val.py", cwd=worktree_of(project))
    assert bump_continue(project=project).state == "done"


def test_files_that_git_does_not_know_are_left_out_and_named(project: Project) -> None:
    bump(CONFLICTING, project=project)
    (worktree_of(project) / "val.py.orig").write_text("mergetool's\n")
    assert "val.py.orig" in porter("bump", cwd=project.root).stdout
    resolve(project)
    assert bump_continue(project=project).state == "done"
    assert not any("val.py.orig" in str(patch.changes) for part in load_parts(project).values() for patch in part)


def test_a_resolution_may_add_rename_and_delete(project: Project, tmp_path: Path) -> None:
    bump(CONFLICTING, project=project)
    resolve(project)
    folder = worktree_of(project)
    git("mv", "README.md", "READ.md", cwd=folder)
    git("rm", "-q", "old.py", cwd=folder)
    (folder / "new.py").write_text("new\n")
    git("add", "new.py", cwd=folder)
    found = bump_continue(project=project)
    assert found.halt is not None  # the next patch changes old.py
    assert [clash.path for clash in found.halt.files] == ["old.py"]
    assert git("status", "--porcelain", cwd=folder) == "DU old.py"
    assert bump_skip(project=project).state == "done"
    apply(["mlu"], tmp_path / "tree", project=project)
    assert (tmp_path / "tree/new.py").read_text() == "new\n"
    assert (tmp_path / "tree/READ.md").is_file()
    assert not (tmp_path / "tree/old.py").exists()


def test_upstream_deleted_the_file(project: Project, synthetic_line: Line) -> None:
    found = bump("v6.2", project=project)
    assert found.halt is not None
    (clash,) = found.halt.files
    assert (clash.path, clash.why) == ("old.py", "upstream has this file no more")
    assert [step.subject for step in clash.commits] == ["Remove old.py"]
    # keep it: the patch then adds the file
    git("add", "old.py", cwd=worktree_of(project))
    assert bump_continue(project=project).state == "done"
    patch = next(p for p in load_parts(project)["common"] if p.subject == "Change what will be removed")
    assert [(change.kind, change.new) for change in patch.changes] == [("add", "old.py")]


def test_skip_leaves_the_patch_out(project: Project) -> None:
    bump(CONFLICTING, project=project)
    found = bump_skip(project=project)
    assert found.state == "done"
    assert outcomes(found)[SUBJECT] == "skipped"
    assert SUBJECT not in [patch.subject for patch in load_parts(project)["common"]]
    with pytest.raises(WrongUsage, match="no bump is open"):
        bump_skip(project=project)


def test_what_a_skipped_patch_takes_with_it(project: Project) -> None:
    """The patch that adds the accelerators is left out, and so there is nothing for the ones after it."""
    bump(TWO, project=project)
    bump_skip(project=project)
    assert bump_skip(project=project).state == "done"
    rows = [(patch.stack, patch.subject) for part in load_parts(project).values() for patch in part]
    assert ("mlu", "Add the mlu") in rows  # a file of its own
    assert ("common", "Add utils/accelerator") not in rows
    assert len(rows) == len(STEPS) - 3


def test_abort_gives_exactly_the_state_before(project: Project, synthetic_line: Line) -> None:
    before, repository = files_of(project), inventory(synthetic_line.upstream)
    bump(CONFLICTING, project=project)
    resolve(project)
    done = porter("bump", "--abort", cwd=project.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert files_of(project) == before
    assert inventory(synthetic_line.upstream) == repository
    assert not (project.state / "bump").exists()
    with pytest.raises(WrongUsage, match="no bump is open"):
        bump_abort(project=project)
