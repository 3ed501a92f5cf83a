"""A bump that is killed: no patch, no resolution and no byte of the stacks is lost, wherever it happens.

Each run is a real child process that is really killed (SIGKILL, nothing is cleaned up), before its first act on the
disk, before its second, and so on until it lives to its end.  Python's audit events tell a child what it is about to
do: to open a file for writing, to rename, to remove, to start a git that writes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from histories import Line
from sources import git
from stacks import CHECKOUT, porter

from porter.commands.arguments import find
from porter.commands.bump import bump, bump_abort, bump_continue, bump_redo, bump_skip, bump_status
from porter.errors import WrongUsage
from porter.project import Project
from porter.stack import load_parts

from .test_bump import CONFLICTING, SUBJECT, outcomes, patch_of, resolve, worktree_of

WRITES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}
WRITING_GITS = {"init", "index-pack", "checkout", "rebase", "read-tree", "add"}
Verb = Callable[[Project], object]


@pytest.fixture
def place(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch, bump_cache: Path) -> Path:
    monkeypatch.setenv("PORTER_CACHE", str(bump_cache))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def contents(project: Project) -> dict[str, bytes]:
    """The stacks and the lock."""
    paths = [project.lock_path, *(path for path in project.patches.rglob("*") if path.is_file())]
    return {str(path.relative_to(project.root)): path.read_bytes() for path in paths}


def copy(project: Project, to: Path) -> Project:
    shutil.copytree(project.root, to, symlinks=True)
    return Project(to)


def run_killed(verb: Verb, project: Project, number: int) -> bool:
    """Run a verb in a child that is killed before its act ``number`` on the project; whether it lived."""
    child = os.fork()
    if child == 0:
        try:
            _count(project.root, number)
            verb(project)
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def _count(root: Path, number: int) -> None:
    left = number
    seen: Counter[tuple[str, str]] = Counter()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        what = _act(event, arguments, str(root))
        if what:
            seen[what] += 1
            # the third file of a folder is as the second, but for the journal
            if seen[what] > (8 if what[1].endswith(".porter/bump") else 2):
                return
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(hook)


def _act(event: str, arguments: tuple[object, ...], root: str) -> tuple[str, str] | None:
    """What is about to be written in the project: the event, and the folder or git's verb."""
    if event == "subprocess.Popen":
        words = [str(word) for word in arguments[1]]  # type: ignore[attr-defined]
        verbs = WRITING_GITS & set(words)
        return ("git", verbs.pop()) if verbs and any(root in word for word in words) else None
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        return None
    if event not in (*WRITES, "open") or not str(arguments[0]).startswith(root):
        return None
    folder = os.path.dirname(str(arguments[0]))
    for whole in ("bump/new", "bump.dead"):  # to copy or remove one of these is an act or two
        folder = folder.partition(whole)[0]
    return event, folder


def every_kill(verb: Verb, start: Project, place: Path, after: Callable[[Project, int], None], number: int = 0) -> int:
    """Kill a verb at each of its acts from one on, each time on a fresh copy of a project; how many acts there are."""
    while True:
        copied = copy(start, place / f"killed-{number}")
        lived = run_killed(verb, copied, number)
        after(copied, number)
        shutil.rmtree(copied.root)
        if lived:
            return number
        number += 1


def test_while_it_begins(synthetic_line: Line, place: Path) -> None:
    start = synthetic_line.project
    before = contents(start)

    def after(project: Project, number: int) -> None:
        assert contents(find(project.root)) == before
        if number % 2 and (project.state / "bump/journal.json").exists():
            bump_abort(project=project)
            assert contents(project) == before
            return
        try:
            found = bump_status(project=project)  # lays the patch out if that was not done
        except WrongUsage as error:
            assert error.what == "no bump is open"
            found = bump(CONFLICTING, project=project)
        assert patch_of(found) == "common/4"
        assert git("status", "--porcelain", cwd=worktree_of(project)) == "UU val.py"
        assert "<<<<<<< " in (worktree_of(project) / "val.py").read_text()

    assert every_kill(lambda project: bump(CONFLICTING, project=project), start, place, after) > 15


@pytest.fixture
def resolved(synthetic_line: Line, place: Path) -> Project:
    """A bump with one conflict, resolved in the worktree; what is left is to say --continue."""
    project = copy(synthetic_line.project, place / "resolved")
    bump(CONFLICTING, project=project)
    resolve(project)
    return project


def test_while_it_continues_and_ends(synthetic_line: Line, resolved: Project, place: Path) -> None:
    before = contents(synthetic_line.project)
    done = copy(resolved, place / "done")
    assert bump_continue(project=done).state == "done"
    goal = contents(done)
    assert goal != before
    seen = set()

    def after(project: Project, number: int) -> None:
        project = find(project.root)  # as every command does; it finishes what began to be written
        state = contents(project)
        assert state in (before, goal)
        is_open = (project.state / "bump/journal.json").exists()
        seen.add((state == goal, is_open))
        if number % 3 and is_open:
            bump_abort(project=project)
            assert contents(project) == before
            assert not (project.state / "bump").exists()
            if number % 3 == 1:
                return
            # the resolution is where it was made or remembered: nobody makes it twice
            found = bump(CONFLICTING, project=project)
            if found.halt is not None:
                assert not list((project.state / "resolutions").glob("*.json"))
                return
            assert outcomes(found)[SUBJECT] == "resolved"
        elif is_open:
            bump_continue(project=project)
        assert contents(project) == goal
        assert not (project.state / "bump").exists()

    assert every_kill(lambda project: bump_continue(project=project), resolved, place, after) > 25
    # open with the old stacks, open with the new ones in place, and over
    assert {(False, True), (True, True), (True, False)} <= seen


def test_where_upstream_took_a_patch(synthetic_line: Line, place: Path) -> None:
    """Git stops at a patch of which nothing is left; nobody is needed, whether porter came to say so or not."""
    before = contents(synthetic_line.project)
    done = copy(synthetic_line.project, place / "done")
    assert "taken" in outcomes(bump("v6.1", project=done)).values()
    goal = contents(done)

    def after(project: Project, number: int) -> None:
        project = find(project.root)
        if (project.state / "bump/journal.json").exists():
            assert bump_continue(project=project).state == "done"
        elif contents(project) == before:
            bump("v6.1", project=project)
        assert contents(project) == goal

    # until git rebases all is as in any other bump
    assert every_kill(lambda project: bump("v6.1", project=project), synthetic_line.project, place, after, 20) > 30


def test_while_it_aborts(synthetic_line: Line, resolved: Project, place: Path) -> None:
    before = contents(synthetic_line.project)

    def after(project: Project, number: int) -> None:
        assert contents(project) == before
        if (project.state / "bump/journal.json").exists():
            bump_abort(project=project)
        assert contents(project) == before
        # what is left over is in nobody's way
        assert patch_of(bump(CONFLICTING, project=project)) == "common/4"

    assert every_kill(lambda project: bump_abort(project=project), resolved, place, after) > 3


def test_while_it_skips(synthetic_line: Line, place: Path) -> None:
    start = copy(synthetic_line.project, place / "start")
    bump("v6.2~1", project=start)
    before = contents(start)

    def after(project: Project, number: int) -> None:
        assert contents(project) == before
        found = bump_status(project=project)
        if patch_of(found) == "common/5":
            found = bump_skip(project=project)
        assert patch_of(found) == "common/6"
        assert git("status", "--porcelain", cwd=worktree_of(project)) == "AA utils/accelerator/__init__.py"

    assert every_kill(lambda project: bump_skip(project=project), start, place, after) > 8


def test_while_it_goes_back(synthetic_line: Line, place: Path) -> None:
    """One patch is resolved, another waits: what was resolved stays so, whether the bump has gone back or not."""
    start = copy(synthetic_line.project, place / "start")
    bump("v6.2~1", project=start)
    git("add", "old.py", cwd=worktree_of(start))
    bump_continue(project=start)
    shutil.rmtree(start.state / "resolutions")  # nor is it taken from there
    before = contents(start)

    def after(project: Project, number: int) -> None:
        assert contents(project) == before
        found = bump_status(project=project)
        if patch_of(found) == "common/1":
            found = bump_continue(project=project)
        assert patch_of(found) == "common/6"
        found = bump_status(project=project)
        assert outcomes(found)["Change what will be removed"] == "resolved"
        assert git("status", "--porcelain", cwd=worktree_of(project)) == "AA utils/accelerator/__init__.py"

    assert every_kill(lambda project: bump_redo("common/1", project=project), start, place, after) > 8


def test_git_goes_on_after_porter_died(synthetic_line: Line, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next porter waits for it: they must not write the worktree at the same time."""
    real = shutil.which("git")
    script = place / "bin/git"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\n"
        f'case " $* " in *" rebase "*) [ -e {place}/shot ] || {{ : >{place}/shot; kill -9 $PPID; sleep 0.5; }};; esac\n'
        f'exec {real} "$@"\n'
    )
    script.chmod(0o755)
    project = copy(synthetic_line.project, place / "project")
    path = os.pathsep.join((str(script.parent), os.environ["PATH"]))
    done = porter("bump", CONFLICTING, cwd=project.root, env={"PATH": path})
    assert done.returncode == -signal.SIGKILL
    assert (place / "shot").exists()
    found = porter("bump", cwd=project.root)
    assert "conflict: common/4" in found.stdout, found.stderr
    assert git("status", "--porcelain", cwd=worktree_of(project)) == "UU val.py"
    assert git("fsck", "--strict", "--no-dangling", cwd=worktree_of(project)) == ""


def signalled(project: Project, number: signal.Signals, moment: Callable[[], bool]) -> tuple[int, str]:
    """Send a signal to `porter bump --continue` as soon as a moment has come; its status and what it complained of."""
    process = subprocess.Popen(
        [sys.executable, "-m", "porter", "bump", "--continue"],
        cwd=project.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    while process.poll() is None and not moment():
        pass
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_it_goes_on(
    resolved: Project, synthetic_line: Line, place: Path, number: signal.Signals
) -> None:
    status, _ = signalled(resolved, number, (resolved.state / "resolutions").exists)
    project = find(resolved.root)
    if (project.state / "bump/journal.json").exists():
        assert status in (130, 128 + number)
        assert porter("bump", "--continue", cwd=project.root).returncode == 0
    assert not any(patch.subject == "Fix a bug" for patch in load_parts(project)["common"])
