"""What apply refuses to put a stack on, with nothing changed."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

import pytest
from sources import git
from stacks import inventory, porter

from porter.commands.apply import apply
from porter.commands.lock import lock as write_lock
from porter.errors import EnvironmentFailed, WrongUsage, os_errors
from porter.project import Project

pytestmark = pytest.mark.usefixtures("warm")


def dirty(clone: Path) -> None:
    (clone / "train.py").write_text("edited\n")


def staged(clone: Path) -> None:
    (clone / "new.py").write_text("new\n")
    git("add", "new.py", cwd=clone)


def deleted(clone: Path) -> None:
    (clone / "LICENSE").unlink()


def elsewhere(clone: Path) -> None:
    git("switch", "-q", "--detach", "origin/master", cwd=clone)


def older(clone: Path) -> None:
    git("switch", "-q", "--detach", "v6.0~1", cwd=clone)


def merging(clone: Path) -> None:
    (clone / ".git/MERGE_HEAD").write_text(git("rev-parse", "HEAD", cwd=clone) + "\n")


def rebasing(clone: Path) -> None:
    (clone / ".git/rebase-merge").mkdir()


def in_the_way(clone: Path) -> None:
    (clone / "utils/accelerator").mkdir()
    (clone / "utils/accelerator/mlu.py").write_text("mine\n")


def ignored_in_the_way(clone: Path) -> None:
    (clone / ".git/info/exclude").write_text("data/empty\n")
    (clone / "data/empty").write_text("mine\n")


def link_in_the_way(clone: Path) -> None:
    (clone.parent / "target").mkdir()
    (clone / "utils/accelerator").symlink_to(clone.parent / "target")


def file_in_the_way(clone: Path) -> None:
    (clone / "utils/accelerator").write_text("mine\n")


def hidden_change(clone: Path) -> None:
    git("update-index", "--assume-unchanged", "train.py", cwd=clone)
    (clone / "train.py").write_text("mine\n")


def skipped(clone: Path) -> None:
    git("update-index", "--skip-worktree", "train.py", cwd=clone)


def branch_taken(clone: Path) -> None:
    git("branch", "porter/mlu", "v6.0~1", cwd=clone)


def worktree(clone: Path) -> None:
    git("clone", "-q", clone, clone.with_name("main"), cwd=clone.parent)
    shutil.rmtree(clone)
    git("worktree", "add", "-q", "--detach", clone, "v6.0", cwd=clone.with_name("main"))


def bare(clone: Path) -> None:
    git("clone", "-q", "--bare", clone, clone.with_name("bare"), cwd=clone.parent)
    shutil.rmtree(clone)
    clone.with_name("bare").rename(clone)


def bare_inside(clone: Path) -> None:
    git("config", "core.bare", "true", cwd=clone)


def no_repository(clone: Path) -> None:
    shutil.rmtree(clone / ".git")


def broken_repository(clone: Path) -> None:
    (clone / ".git/HEAD").unlink()


def unborn(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    git("init", "-q", cwd=clone)


def a_file(clone: Path) -> None:
    shutil.rmtree(clone)
    clone.write_text("a file")


def a_dangling_link(clone: Path) -> None:
    shutil.rmtree(clone)
    clone.symlink_to("nowhere")


def subfolder(clone: Path) -> None:
    git("init", "-q", cwd=clone.parent)
    shutil.rmtree(clone / ".git")


def git_folder_of_another(clone: Path) -> None:
    """.git is no repository, and git would go up and find one."""
    git("init", "-q", cwd=clone.parent)
    shutil.rmtree(clone / ".git")
    (clone / ".git").mkdir()


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (dirty, "not committed"),
        (staged, "not committed"),
        (deleted, "not committed"),
        (elsewhere, "not at v6.0"),
        (older, "not a clone of example/small at v6.0"),
        (merging, "middle of a merge"),
        (rebasing, "middle of a rebase"),
        (in_the_way, "utils/accelerator/mlu.py is in the way"),
        (ignored_in_the_way, "data/empty is in the way"),
        (link_in_the_way, "utils/accelerator is in the way"),
        (file_in_the_way, "utils/accelerator is in the way"),
        (hidden_change, "told not to look at"),
        (skipped, "told not to look at"),
        (branch_taken, "something else on it"),
        (worktree, "linked worktree"),
        (bare, "bare repository"),
        (bare_inside, "bare repository"),
        (no_repository, "no git repository"),
        (broken_repository, "no git repository"),
        (unborn, "not a clone"),
        (a_file, "is a file"),
        (a_dangling_link, "link to nothing"),
        (subfolder, "no git repository"),
        (git_folder_of_another, "no git repository"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_anything_else_is_refused_and_left_alone(project: Project, clone: Path, spoil: object, what: str) -> None:
    assert callable(spoil)
    spoil(clone)
    before = inventory(clone)
    with pytest.raises(WrongUsage, match=what) as error:
        apply(["mlu"], clone, project=project)
    assert error.value.hint or error.value.why
    assert inventory(clone) == before


def another_stack(project: Project, clone: Path) -> None:
    apply(["tpu"], clone, project=project)


def wider_stack(project: Project, clone: Path) -> None:
    apply(["mlu", "tpu"], clone, project=project)


def commit_on_top(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    git("commit", "-q", "--allow-empty", "-m", "Mine", cwd=clone)


def change_on_top(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    dirty(clone)


def older_version(project: Project, clone: Path) -> None:
    series = project.patches / "mlu/series"
    whole, lock = series.read_text(), project.lock_path.read_bytes()
    series.write_text("".join(whole.splitlines(keepends=True)[:2]))
    write_lock(project=project)
    apply(["mlu"], clone, project=project)
    series.write_text(whole)
    project.lock_path.write_bytes(lock)


@pytest.mark.parametrize(
    ("prepare", "what", "hint"),
    [
        (another_stack, "the stack of tpu", "porter revert"),
        (wider_stack, r"the stack of mlu\+tpu", "porter revert"),
        (commit_on_top, "1 commit of yours", "porter status"),
        (change_on_top, "with changes of yours", "stash"),
        (older_version, "another version", "porter revert"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_another_stack_or_work_on_it_is_refused(
    project: Project, clone: Path, prepare: object, what: str, hint: str
) -> None:
    assert callable(prepare)
    prepare(project, clone)
    before = inventory(clone)
    with pytest.raises(WrongUsage, match=what) as error:
        apply(["mlu"], clone, project=project)
    assert hint in error.value.hint
    assert inventory(clone) == before


def test_notes_that_porter_did_not_write(project: Project, clone: Path) -> None:
    apply(["mlu"], clone, project=project)
    (clone / ".git/porter/state.json").write_text("[]")
    with pytest.raises(WrongUsage, match="not as porter writes it"):
        apply(["tpu"], clone, project=project)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM])
def test_what_the_system_refuses_has_a_way_out(number: int) -> None:
    with pytest.raises(EnvironmentFailed) as caught, os_errors("cannot write x"):
        raise OSError(number, os.strerror(number))
    assert caught.value.why == os.strerror(number) and "another" in caught.value.hint
    with pytest.raises(EnvironmentFailed) as caught, os_errors("cannot write x", "Name it in X."):
        raise OSError(number, os.strerror(number))
    assert caught.value.hint == "Name it in X."


def test_where_nobody_can_make_a_folder(warm: None, project: Project) -> None:
    done = porter("apply", "--target", "mlu", "/sys/tree", cwd=project.root)
    assert done.returncode == 3
    assert re.fullmatch(r"porter: error: cannot make /sys/tree\n  .*\nhint: .*another.*\n", done.stderr), done.stderr
