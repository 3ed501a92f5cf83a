"""What a bump does to what is around it: the folders beside its worktree, and stacks that shall go together."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from histories import Line
from sources import git
from stacks import commit, export, inventory, message, porter
from stacks import replace as put

from porter.commands.arguments import find
from porter.commands.bump import bump, bump_abort, bump_continue, bump_redo
from porter.commands.lint import lint
from porter.commands.lock import lock as write_lock
from porter.errors import CheckFailed
from porter.lockfile import GitSource, Lock
from porter.project import Project

from .test_bump import CONFLICTING, files_of, resolve, worktree_of
from .test_bump_killed import copy, run_killed, signalled

# beside the patches: the worktree and all that belongs to one bump, and what outlives it
OF_THE_BUMP = {"bump", "bump.dead"}
OUTLIVING = {".gitignore", "bump.lock", "rewrite.lock", "resolutions", "rr-cache"}
# of one step that was cut off, taken up by the next porter that runs
OF_A_STEP = {"rewrite", "rewrite.new"}


@pytest.fixture
def project(
    synthetic_line: Line, bump_cache: Path, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """The stacks for v6.0 in a folder of their own; temporary files have one, too."""
    shutil.copytree(synthetic_line.project.root, tmp_path / "project", symlinks=True)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("PORTER_CACHE", str(bump_cache))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return Project(tmp_path / "project")


def strays(project: Project) -> set[str]:
    """What is neither a stack's, nor the lock, nor a thing that porter is known to keep beside them."""
    own = {path for part in project.patches.iterdir() if part.is_dir() for path in part.iterdir()}
    kept = {project.lock_path, *(path for path in own if path.suffix == ".patch" or path.name in PART_FILES)}
    found = {path for path in project.root.rglob("*") if path.is_file()} - kept
    names = OF_THE_BUMP | OUTLIVING | OF_A_STEP
    inside = {path for path in found if path.parts[len(project.root.parts)] == ".porter"}
    known = {path for path in inside if path.parts[len(project.root.parts) + 1] in names}
    return {str(path.relative_to(project.root)) for path in found - known}


PART_FILES = ("series", "target.yaml", "requirements.txt")


def temporary(project: Project) -> list[str]:
    place = project.root.parent / "tmp"
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def test_nothing_is_left_beside_the_worktree(project: Project) -> None:
    cache = Path(os.environ["PORTER_CACHE"])

    def clean(open_: bool) -> None:
        assert strays(project) == set()
        assert {path.name for path in project.state.iterdir()} <= OUTLIVING | (OF_THE_BUMP if open_ else set())
        assert temporary(project) == []
        assert [path for path in cache.iterdir() if path.name.startswith("staging-")] == []

    bump(CONFLICTING, project=project)
    clean(open_=True)
    bump_abort(project=project)
    clean(open_=False)
    bump(CONFLICTING, project=project)
    resolve(project)
    assert bump_continue(project=project).state == "done"
    clean(open_=False)
    bump("v6.0", dry_run=True, project=project)
    clean(open_=False)


@pytest.mark.parametrize("act", [bump_continue, bump_abort])
def test_a_kill_leaves_nothing_beside_it(project: Project, tmp_path: Path, act: Callable[..., object]) -> None:
    """Whatever lies in ``.porter`` then is the bump's own, and gone with it."""
    bump(CONFLICTING, project=project)
    resolve(project)
    number, lived = 0, False
    while not lived:
        copied = copy(project, tmp_path / f"killed-{number}")
        lived = run_killed(lambda project: act(project=project), copied, number)
        assert strays(copied) == set()
        copied = find(copied.root)
        if (copied.state / "bump/journal.json").exists():
            bump_abort(project=copied)
        else:
            bump("v6.2" if Lock.load(copied.lock_path).pin.tag != "v6.0" else CONFLICTING, project=copied)
            bump_abort(project=copied)
        assert {path.name for path in copied.state.iterdir()} <= OUTLIVING
        assert strays(copied) == set()
        shutil.rmtree(copied.root)
        number += 3
    assert number > 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_temporary_file(project: Project, number: signal.Signals) -> None:
    """It comes while there is one."""
    bump(CONFLICTING, project=project)
    resolve(project)
    place = project.root.parent / "tmp"
    status, errors = signalled(project, number, lambda: any(place.iterdir()))
    assert status in (0, 130, 128 + number, -number), errors  # the last: when all was done
    assert temporary(project) == []
    assert strays(project) == set()


def test_stacks_that_go_together_no_more(
    project: Project, synthetic_line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstream takes out what was between mlu's lines and tpu's: each fits alone, and not on the other."""
    work, upstream = tmp_path / "work", tmp_path / "other"
    git("clone", "-q", synthetic_line.upstream, upstream, cwd=tmp_path)
    git("switch", "-q", "-c", "other", "v6.0", cwd=upstream)
    text = (upstream / "utils/datasets.py").read_text().splitlines(keepends=True)
    (upstream / "utils/datasets.py").write_text("".join(text[:51] + text[56:]))
    commit(upstream, "Take out what was between", 1634200000)
    git("clone", "-q", upstream, work, cwd=tmp_path)
    git("switch", "-q", "-c", "stack", "v6.0", cwd=work)
    git("am", "-q", *sorted((project.patches / "common").glob("*.patch")), cwd=work)
    git("tag", "common", cwd=work)
    git("am", "-q", *sorted((project.patches / "tpu").glob("*.patch")), cwd=work)
    put("utils/datasets.py", "datasets line 57\n", "datasets line 57\ntpu()\n")(work)
    commit(work, message("Time the TPU", "tpu"), 1700009000)
    export(work, "common", project.patches / "tpu")
    lock = Lock.load(project.lock_path)
    replace(lock, sources=(GitSource(str(upstream)),)).write(project.lock_path)
    write_lock(project=project)
    assert lint(project=project) == []
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "cache"))
    before = files_of(project)
    with pytest.raises(CheckFailed, match=r"in a tree for mlu\+tpu, tpu/\S+ does not apply to utils/datasets\.py"):
        bump(git("rev-parse", "HEAD", cwd=upstream), project=project)
    assert files_of(project) == before
    done = porter("bump", "--continue", cwd=project.root)
    assert done.returncode == 1
    assert "in a tree for mlu+tpu, tpu/time-the-tpu.patch does not apply to utils/datasets.py" in done.stderr
    assert "porter bump --redo PATCH goes back to a patch, --abort gives the bump up" in done.stderr
    assert files_of(project) == before
    # it can be mended: tpu's patch with context that mlu's change leaves alone
    assert bump_redo("tpu/2", project=project).halt is not None
    assert inventory(worktree_of(project)) != {}
    bump_abort(project=project)
    assert files_of(project) == before
