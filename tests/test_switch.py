"""Runs that are cut off: by the terminal, by kill, by kill -9 in the middle of git's own work."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sources import git
from stacks import CHECKOUT, inventory, porter

from porter.commands.apply import apply
from porter.commands.revert import revert
from porter.errors import EnvironmentFailed, WrongUsage
from porter.lockfile import Lock
from porter.project import Project
from porter.tree import Tree
from porter.tree.switch import locked

pytestmark = pytest.mark.usefixtures("warm")


def start(*args: object, cwd: Path, path: Path | None = None) -> subprocess.Popen[str]:
    """porter in a process group of its own; ``path`` is a folder to look for git in first."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    if path:
        env["PATH"] = f"{path}{os.pathsep}{env['PATH']}"
    command = [sys.executable, "-m", "porter", *map(str, args)]
    return subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def shim(folder: Path, verb: str, code: str) -> Path:
    """A program ``git`` that runs ``code`` for ``git … verb``; in it ``real()`` runs git itself."""
    folder.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (folder / "special").write_text(
        "import os, resource, signal, subprocess, sys, time\n"
        "def real(**how):\n"
        f"    code = subprocess.run([{real!r}, *sys.argv[1:]], close_fds=False, **how).returncode\n"
        "    if code < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return code\n" + textwrap.dedent(code)
    )
    special = f'{sys.executable} {folder}/special "$@"'
    (folder / "git").write_text(f'#!/bin/sh\ncase " $* " in *" {verb} "*) exec {special};; esac\nexec {real} "$@"\n')
    (folder / "git").chmod(0o755)
    return folder


def untouched(clone: Path, lock: Lock) -> bool:
    return git("rev-parse", "HEAD", cwd=clone) == lock.pin.commit


def assert_whole(clone: Path, lock: Lock, head: str) -> None:
    """The clone is on one side, entirely, with what the user had."""
    assert git("rev-parse", "HEAD", cwd=clone) == head
    assert git("status", "--porcelain", cwd=clone) == "?? mine.txt"
    assert git("rev-parse", "mine", cwd=clone) == lock.pin.commit
    assert (clone / "mine.txt").read_text() == "mine"
    assert not (clone / ".git/porter/journal.json").exists()
    assert not (clone / ".git/index.lock").exists()
    assert git("fsck", "--full", "--no-dangling", cwd=clone) == ""


@pytest.fixture
def lock(project: Project, clone: Path) -> Lock:
    (clone / "mine.txt").write_text("mine")
    return Lock.load(project.lock_path)


# -- killed between two of git's calls, or in the middle of one -------------------------------------------

KILL_BEFORE = "os.kill(os.getppid(), signal.SIGKILL); sys.exit(1)"
KILL_AFTER = "code = real(); os.kill(os.getppid(), signal.SIGKILL); sys.exit(code)"
# git is ended by the kernel when a file grows beyond the limit: in the middle of a file, or of the index
IN_THE_MIDDLE = """
os.kill(os.getppid(), signal.SIGKILL)
sys.exit(real(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))))
"""
KILLS = [("update-ref", KILL_BEFORE), ("update-ref", KILL_AFTER), ("switch", KILL_BEFORE), ("switch", KILL_AFTER)]
KILLS += [("switch", IN_THE_MIDDLE.format(size)) for size in (0, 20, 500, 1100)]
IDS = ["before update-ref", "after update-ref", "before switch", "after switch", "0", "20", "500", "1100"]


def cut_off(project: Project, clone: Path, verb: str, when: str, code: str) -> None:
    """Run porter, kill -9 it at a certain call of git, and wait until that git is gone."""
    words = ["apply", "--target", "mlu"] if verb == "apply" else [verb]
    folder = shim(clone.parent / "shim", when, code)
    process = start(*words, clone, cwd=project.root, path=folder)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    with locked(Tree.open(clone)):  # git holds it until it ends
        pass


@pytest.mark.parametrize("then", ["apply", "revert"])
@pytest.mark.parametrize("killed", ["apply", "revert"])
@pytest.mark.parametrize(("when", "code"), KILLS, ids=IDS)
def test_killed_then_apply_or_revert(
    project: Project, clone: Path, lock: Lock, when: str, code: str, killed: str, then: str
) -> None:
    if killed == "revert":
        apply(["mlu"], clone, project=project)
    cut_off(project, clone, killed, when, code)
    if then == "apply":
        assert apply(["mlu"], clone, project=project).how in ("switched", "already")
        assert_whole(clone, lock, lock.stacks["mlu"].commit)
    else:
        revert(clone, project=project)
        assert_whole(clone, lock, lock.pin.commit)
        assert git("branch", "--list", "porter/*", cwd=clone) == ""
    # and all goes on as ever
    apply(["mlu"], clone, project=project)
    assert revert(clone, project=project).head == "refs/heads/mine"
    assert_whole(clone, lock, lock.pin.commit)


def test_the_middle_is_really_the_middle(project: Project, clone: Path, lock: Lock) -> None:
    cut_off(project, clone, "apply", "switch", IN_THE_MIDDLE.format(500))
    assert (clone / ".git/index.lock").exists()
    assert (clone / "utils/long.py").stat().st_size == 500
    assert (clone / "train.py").read_text().startswith("from utils")
    assert untouched(clone, lock)
    done = porter("status", clone, cwd=project.root)
    assert "a porter apply that was cut off" in done.stdout


def test_an_edit_after_the_cut_is_nobodys_to_throw_away(project: Project, clone: Path, lock: Lock) -> None:
    cut_off(project, clone, "apply", "switch", IN_THE_MIDDLE.format(500))
    (clone / "train.py").write_text("mine, written after the crash\n")
    for attempt in (lambda: apply(["mlu"], clone, project=project), lambda: revert(clone, project=project)):
        with pytest.raises(WrongUsage, match=r"train\.py was edited since"):
            attempt()
        assert (clone / "train.py").read_text() == "mine, written after the crash\n"
        assert (clone / "utils/long.py").stat().st_size == 500
    git("checkout", "-q", "-f", "HEAD", "--", "train.py", cwd=clone)
    assert apply(["mlu"], clone, project=project).how == "switched"


def test_a_user_who_went_on_with_git_keeps_what_they_made(project: Project, clone: Path, lock: Lock) -> None:
    cut_off(project, clone, "apply", "switch", IN_THE_MIDDLE.format(500))
    (clone / ".git/index.lock").unlink()
    git("reset", "-q", "--hard", cwd=clone)
    git("clean", "-q", "-f", "-d", "-e", "mine.txt", cwd=clone)
    git("switch", "-q", "-c", "newer", "origin/master", cwd=clone)
    (clone / "train.py").write_text("mine, on another commit\n")
    with pytest.raises(WrongUsage, match="not at v6"):
        apply(["mlu"], clone, project=project)
    assert (clone / "train.py").read_text() == "mine, on another commit\n"
    assert not (clone / ".git/porter/journal.json").exists()


def test_a_killed_porter_keeps_the_lock_while_its_git_still_writes(project: Project, clone: Path, lock: Lock) -> None:
    slow = "os.kill(os.getppid(), signal.SIGKILL); time.sleep(1); sys.exit(real())"
    folder = shim(clone.parent / "shim", "switch", slow)
    process = start("apply", "--target", "mlu", clone, cwd=project.root, path=folder)
    process.wait(300)
    begun = time.monotonic()
    assert untouched(clone, lock)
    assert apply(["mlu"], clone, project=project).how == "already"  # the slow git finished meanwhile
    assert time.monotonic() - begun > 0.5
    assert_whole(clone, lock, lock.stacks["mlu"].commit)


def test_a_lock_that_somebody_keeps_is_not_waited_for_forever(
    project: Project, clone: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("porter.tree.switch._WAIT", 0.1)
    with locked(Tree.open(clone)), pytest.raises(EnvironmentFailed, match="another porter"):
        apply(["mlu"], clone, project=project)


# -- git fails, porter lives ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 20, 500, 1100])
def test_a_switch_that_fails_is_undone_at_once(
    project: Project, clone: Path, lock: Lock, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = f"real(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size})))"
    folder = shim(clone.parent / "shim", "switch", f"sys.exit({limit})")
    before = {k: v for k, v in inventory(clone).items() if not k.startswith(".git")}
    done = porter("apply", "--target", "mlu", clone, cwd=project.root, env={"PATH": f"{folder}:{os.environ['PATH']}"})
    assert (done.returncode, "as it was before" in done.stderr) == (3, True), done.stderr
    assert_whole(clone, lock, lock.pin.commit)
    assert git("branch", "--list", "porter/*", cwd=clone) == ""
    after = {k: v for k, v in inventory(clone).items() if not k.startswith(".git")}
    assert {k: v[1:] for k, v in after.items()} == {k: v[1:] for k, v in before.items()}


def test_an_ignored_file_that_comes_up_meanwhile_is_not_overwritten(project: Project, clone: Path, lock: Lock) -> None:
    (clone / ".git/info/exclude").write_text("data/empty\n")
    late = f"open({str(clone / 'data/empty')!r}, 'w').write('mine too'); sys.exit(real())"
    path = shim(clone.parent / "shim", "switch", late)
    done = porter("apply", "--target", "mlu", clone, cwd=project.root, env={"PATH": f"{path}:{os.environ['PATH']}"})
    assert (done.returncode, "data/empty" in done.stderr) == (3, True), done.stderr
    assert (clone / "data/empty").read_text() == "mine too"
    assert_whole(clone, lock, lock.pin.commit)


def test_a_git_of_the_users_at_work_is_left_alone(project: Project, clone: Path, lock: Lock) -> None:
    (clone / ".git/index.lock").write_text("theirs")
    done = porter("apply", "--target", "mlu", clone, cwd=project.root)
    assert (done.returncode, "index.lock" in done.stderr) == (3, True), done.stderr
    assert (clone / ".git/index.lock").read_text() == "theirs"
    (clone / ".git/index.lock").unlink()
    assert_whole(clone, lock, lock.pin.commit)
    assert git("branch", "--list", "porter/*", cwd=clone) == ""


# -- signals that can wait, and moments nobody chose -------------------------------------------------------


def elapsed(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def test_a_clone_hit_at_any_moment(project: Project, clone: Path, lock: Lock) -> None:
    """By signals that porter hears; where SIGKILL hits it is chosen above."""
    tip = lock.stacks["mlu"].commit
    whole = elapsed(lambda: porter("apply", "--target", "mlu", clone, cwd=project.root))
    revert(clone, project=project)
    chance = random.Random(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 2:
        process = start("apply", "--target", "mlu", clone, cwd=project.root)
        time.sleep(whole * chance.uniform(0.3, 1.1))
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=300)
        assert "Traceback" not in errors or process.returncode == -number, errors  # before porter's own handlers
        head = tip if git("symbolic-ref", "HEAD", cwd=clone).endswith("porter/mlu") else lock.pin.commit
        assert_whole(clone, lock, head)
        assert process.returncode in (0, 130, 128 + number, -number)
        if chance.random() < 0.5:
            apply(["mlu"], clone, project=project)
            assert_whole(clone, lock, tip)
        revert(clone, project=project)
        assert_whole(clone, lock, lock.pin.commit)


def test_a_new_folder_hit_at_any_moment(project: Project, tmp_path: Path) -> None:
    lock = Lock.load(project.lock_path)
    tree = tmp_path / "place/tree"
    whole = elapsed(lambda: porter("apply", "--target", "mlu", tmp_path / "first", cwd=project.root))
    chance = random.Random(2)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL) * 2:
        process = start("apply", "--target", "mlu", tree, cwd=project.root)
        time.sleep(whole * chance.uniform(0.3, 1.1))
        os.killpg(process.pid, number)
        process.communicate(timeout=300)
        if tree.exists():
            assert git("rev-parse", "HEAD", cwd=tree) == lock.stacks["mlu"].commit
            assert git("status", "--porcelain", cwd=tree) == ""
            subprocess.run(["rm", "-rf", tree], check=True)
        elif number != signal.SIGKILL:
            assert not tree.parent.exists() or list(tree.parent.iterdir()) == []
    assert apply(["mlu"], tree, project=project).how == "made"
    assert [path.name for path in tree.parent.iterdir()] == ["tree"]  # what the killed left is gone
