"""porter bump on the history of tests/histories.py: real repositories, real git in the worktree."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from histories import STEPS, Line
from sources import closed_port, git
from stacks import inventory, porter

from porter.commands.apply import apply
from porter.commands.bump import bump, bump_abort, bump_continue, bump_redo, bump_skip, bump_status
from porter.commands.lint import lint
from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage
from porter.lockfile import GitSource, IndexSource, Lock
from porter.project import Project
from porter.rebase.outcome import APPLIES, CONFLICT, MERGED, TAKEN, Bump
from porter.stack import load_parts

CONFLICTING = "v7.0~10"  # "Change what the patch changes": val.py, line 15
TWO = "v6.2~1"  # "Add an accelerator of our own": two conflicts in common, and what hangs on them
SUBJECT = "Validate on any device"
RESOLVED = "# val line 15, otherwise, on a device\n"


@pytest.fixture
def project(
    synthetic_line: Line, bump_cache: Path, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """The stacks for v6.0 in a folder of their own, which is the current one."""
    shutil.copytree(synthetic_line.project.root, tmp_path / "project", symlinks=True)
    monkeypatch.setenv("PORTER_CACHE", str(bump_cache))
    monkeypatch.chdir(tmp_path / "project")
    return Project(tmp_path / "project")


def commit_of(line: Line, rev: str) -> str:
    return git("rev-parse", f"{rev}^{{commit}}", cwd=line.upstream)


def files_of(project: Project) -> dict[str, tuple[int, int, bytes]]:
    """The project without what porter keeps beside it."""
    return {
        name: found for name, found in inventory(project.root).items() if name != "." and not name.startswith(".porter")
    }


def worktree_of(project: Project) -> Path:
    return project.root / ".porter/bump/tree"


def resolve(project: Project, file: str = "val.py", line: str = RESOLVED) -> None:
    """What a person does in the worktree: take both changes, tell git."""
    path = worktree_of(project) / file
    text = path.read_text()
    before, _, rest = text.partition("<<<<<<< ")
    path.write_text(before + line + rest.partition(">>>>>>> ")[2].partition("\n")[2])
    git("add", file, cwd=worktree_of(project))


def patch_of(found: Bump) -> str:
    """Where it halted: ``common/5``."""
    assert found.halt is not None
    return found.halt.label


def outcomes(found: Bump) -> dict[str, str]:
    return {row.subject: row.outcome for row in found.rows}


# -- to the end ------------------------------------------------------------------------------------------


def test_to_a_release_without_a_conflict(project: Project, synthetic_line: Line, tmp_path: Path) -> None:
    before = load_parts(project)
    found = bump("v6.1", project=project)
    assert found.state == "done"
    assert outcomes(found) == {
        "Train on any device": MERGED,
        "Fix a bug": TAKEN,
        "Load on the host": MERGED,
        SUBJECT: APPLIES,
        "Change what will be removed": APPLIES,
        "Add utils/accelerator": APPLIES,
        "Set a hyperparameter": APPLIES,
        "Train twice": MERGED,
        "Move the script": APPLIES,
        "Add the mlu": APPLIES,
        "Time the MLU": MERGED,
        "Add the tpu": APPLIES,
    }
    assert [row.said for row in found.rows if row.outcome == TAKEN] == [
        f"{commit_of(synthetic_line, 'v6.1')[:9]} Fix the same bug"
    ]
    # the patches: those that are left, numbered anew, with message, author and dates as they were
    after = load_parts(project)
    kept = [patch for patch in before["common"] if patch.subject != "Fix a bug"]
    assert [patch.subject for patch in after["common"]] == [patch.subject for patch in kept]
    assert [patch.number for patch in after["common"]] == list(range(1, len(kept) + 1))
    for old, new in zip([*kept, *before["mlu"]], [*after["common"], *after["mlu"]]):
        assert (new.message, new.author, new.date) == (old.message, old.author, old.date)
    assert [change.new for change in after["common"][1].changes] == ["utils/dataloaders.py"]
    assert lint(project=project) == []
    # a tree is upstream there with the patches on it
    apply(["mlu"], tmp_path / "tree", project=project)
    assert git("rev-parse", "v6.1", cwd=tmp_path / "tree") == commit_of(synthetic_line, "v6.1")
    assert "# datasets line 50\ntime()\n" in (tmp_path / "tree/utils/dataloaders.py").read_text()
    train = (tmp_path / "tree/train.py").read_text()
    assert "# train line 40, twice\n# train line 41\n# train line 42\n# train line 43, changed\n" in train
    assert list(found.checks) == ["mlu", "tpu"]
    assert all(("tree", "passed") in [(o.check, o.state) for o in outcomes] for outcomes in found.checks.values())
    assert found.failed == []
    assert sorted(path.name for path in project.state.iterdir()) == [".gitignore", "bump.lock", "rewrite.lock"]


def test_the_new_pin(project: Project, synthetic_line: Line) -> None:
    old = Lock.load(project.lock_path)
    bump("v6.1", project=project)
    lock = Lock.load(project.lock_path)
    pin, at = lock.pin, synthetic_line.upstream
    assert (pin.name, pin.tag, pin.license) == (old.pin.name, "v6.1", "GPL-3.0-only")
    assert pin.commit == commit_of(synthetic_line, "v6.1")
    assert pin.tree == git("rev-parse", "v6.1^{tree}", cwd=at)
    assert pin.stamp == git("show", "-s", "--format=%cd", "--date=raw", "v6.1", cwd=at)
    rows = [f"{entry.mode} blob {entry.id}\t{path}" for path, entry in pin.files.items()]
    assert rows == sorted(git("ls-tree", "-r", "v6.1", cwd=at).splitlines(), key=lambda row: row.split("\t")[1])
    assert lock.sources == old.sources
    assert set(lock.stacks) == {"common", "mlu", "tpu"}


def test_there_and_back_gives_the_same_lock(project: Project) -> None:
    """From v6.1 back to v6.0: the pin is what the lock said by hand, and the patches are but one the same bytes."""
    lock, patches = Lock.load(project.lock_path), load_parts(project)
    bump("v6.1", project=project)
    assert bump("v6.0", project=project).state == "done"
    back = Lock.load(project.lock_path)
    assert (back.pin.commit, back.pin.tree, back.pin.files) == (lock.pin.commit, lock.pin.tree, lock.pin.files)
    kept = {patch.subject: patch.data for part in patches.values() for patch in part if patch.subject != "Fix a bug"}
    now = {patch.subject: patch.data for part in load_parts(project).values() for patch in part}
    assert now == kept


def test_a_commit_without_a_tag(project: Project, synthetic_line: Line, tmp_path: Path) -> None:
    bump("v6.1~2", project=project)
    pin = Lock.load(project.lock_path).pin
    commit = commit_of(synthetic_line, "v6.1~2")
    assert pin.tag == f"v6.0-3-g{commit[:12]}"
    assert not pin.tagged
    assert pin.rev == commit
    apply(["tpu"], tmp_path / "tree", project=project)
    assert git("tag", cwd=tmp_path / "tree") == ""
    assert git("rev-parse", "master", cwd=tmp_path / "tree") == commit


def test_a_package_index_has_the_old_pin_only(project: Project) -> None:
    from dataclasses import replace

    from porter.commands.lock import lock as write_lock
    from porter.lockfile import Part, Wheel

    lock = Lock.load(project.lock_path)
    wheel = Wheel("a-wheel==1", "0" * 64, (Part("{path}", (), ("train.py", "val.py")),))
    replace(lock, sources=(*lock.sources, IndexSource((wheel,)))).write(project.lock_path)
    write_lock(project=project)
    found = bump("v6.1", project=project)
    assert found.new_pin is not None
    assert found.new_pin.dropped == ("package index (a-wheel==1)",)
    assert [type(source) for source in Lock.load(project.lock_path).sources] == [GitSource]
    # and where nothing else is left
    bump("v6.0", project=project)
    lock = Lock.load(project.lock_path)
    replace(lock, sources=(IndexSource((wheel,)),)).write(project.lock_path)
    with pytest.raises(WrongUsage, match="names no git repository"):
        bump("v6.1", upstream=str(lock.sources[0]).partition(" ")[2], project=project)


def test_the_pin_itself(project: Project) -> None:
    before = files_of(project)
    done = porter("bump", "v6.0", cwd=project.root)
    assert (done.returncode, done.stdout) == (0, "example/detector v6.0 is the pin already.\n")
    assert files_of(project) == before


def test_what_a_bump_left_that_was_killed_at_its_end_goes_although_nothing_is_left_to_do(project: Project) -> None:
    (project.state / "bump.dead").mkdir(parents=True)
    (project.state / "bump.dead/journal.json").write_text("{}")
    assert bump("v6.0", project=project).state == "already"
    assert not (project.state / "bump.dead").exists()


def test_only_a_licence_that_changes_is_warned_of(project: Project) -> None:
    done = porter("bump", "v6.2", "--dry-run", cwd=project.root)
    assert "licence" not in done.stdout + done.stderr
    done = porter("bump", "v7.0", "--dry-run", cwd=project.root)
    assert "warning: the licence changes from GPL-3.0-only to AGPL-3.0-only (LICENSE, by " in done.stderr
    assert "(Use the AGPL))" in done.stderr
    bump("v7.0", project=project)
    assert bump_skip(project=project).state == "done"
    assert Lock.load(project.lock_path).pin.license == "AGPL-3.0-only"


# -- a conflict ------------------------------------------------------------------------------------------


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


# -- decisions -------------------------------------------------------------------------------------------


def test_a_second_try_does_not_ask_again(project: Project) -> None:
    before = files_of(project)
    assert patch_of(bump(TWO, project=project)) == "common/5"
    git("add", "old.py", cwd=worktree_of(project))
    assert patch_of(bump_continue(project=project)) == "common/6"
    bump_abort(project=project)
    assert files_of(project) == before
    again = bump(TWO, project=project)
    assert patch_of(again) == "common/6"
    assert [(row.label, row.outcome, row.said) for row in again.rows[4:]] == [
        ("common/5", "resolved", "as you did before")
    ]
    bump_abort(project=project)
    # another commit at which the same files meet
    assert bump("v6.2", project=project).state == "done"


def test_a_resolution_is_for_the_files_it_was_made_on(
    project: Project, synthetic_line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person changed beside the conflict is not put over other files."""
    bump(TWO, project=project)
    git("add", "old.py", cwd=worktree_of(project))
    (worktree_of(project) / "train.py").write_text("everything = 'else'\n")
    git("add", "train.py", cwd=worktree_of(project))
    bump_continue(project=project)
    bump_abort(project=project)
    assert patch_of(bump(TWO, project=project)) != "common/5"
    bump_abort(project=project)
    # at this commit train.py is another, and upstream has removed old.py just so
    other = tmp_path / "other"
    git("clone", "-q", synthetic_line.upstream, other, cwd=tmp_path)
    git("switch", "-q", "-c", "other", TWO, cwd=other)
    (other / "train.py").write_text((other / "train.py").read_text() + "# one more line\n")
    git("commit", "-q", "-a", "-m", "One more line", cwd=other)
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "cache"))
    assert patch_of(bump(git("rev-parse", "HEAD", cwd=other), upstream=str(other), project=project)) == "common/5"


def test_git_rerere_knows_a_conflict_again(project: Project) -> None:
    """Without what porter itself remembers of whole patches."""
    bump("v7.0~8", project=project)
    resolve(project)
    assert patch_of(bump_continue(project=project)) == "common/5"
    bump_abort(project=project)
    shutil.rmtree(project.state / "resolutions")
    found = bump(CONFLICTING, project=project)
    assert found.state == "done"
    assert [(row.outcome, row.said) for row in found.rows if row.subject == SUBJECT] == [
        ("resolved", "as you did before")
    ]


def test_git_rerere_does_not_take_a_part_for_the_whole(project: Project) -> None:
    """A resolution changed another file, too; where porter does not know the whole any more, a person is asked."""
    bump("v7.0~8", project=project)
    resolve(project)
    (worktree_of(project) / "train.py").write_text("everything = 'else'\n")
    git("add", "train.py", cwd=worktree_of(project))
    bump_continue(project=project)
    bump_abort(project=project)
    shutil.rmtree(project.state / "resolutions")
    assert patch_of(bump(CONFLICTING, project=project)) == "common/4"


def test_a_person_takes_the_rebase_on_with_git(project: Project) -> None:
    """What became of each patch is told just so."""
    bump(TWO, project=project)
    folder = worktree_of(project)
    git("rebase", "--skip", cwd=folder, status=1)
    found = bump_status(project=project)
    assert (patch_of(found), outcomes(found)["Change what will be removed"]) == ("common/6", "skipped")
    git("checkout", "--theirs", "utils/accelerator/__init__.py", cwd=folder)
    git("add", "utils/accelerator/__init__.py", cwd=folder)
    git("-c", "core.editor=true", "rebase", "--continue", cwd=folder)
    found = bump_continue(project=project)
    assert found.state == "done"
    assert found.counts["resolved"] == found.counts["skipped"] == 1


def test_a_person_ends_the_rebase_with_git(project: Project) -> None:
    """It is begun anew."""
    bump(CONFLICTING, project=project)
    git("rebase", "--abort", cwd=worktree_of(project))
    assert patch_of(bump_status(project=project)) == "common/4"
    assert git("status", "--porcelain", cwd=worktree_of(project)) == "UU val.py"


def test_a_commit_that_a_person_put_on_gits_list(project: Project, synthetic_line: Line) -> None:
    bump(CONFLICTING, project=project)
    folder, other = worktree_of(project), commit_of(synthetic_line, "v7.0~11")
    resolve(project)
    git("-c", f"sequence.editor=sed -i '1i edit {other} theirs'", "rebase", "--edit-todo", cwd=folder)
    git("-c", "core.editor=true", "rebase", "--continue", cwd=folder, status=1)
    with pytest.raises(WrongUsage, match="stopped at a commit that is none of the stacks'"):
        bump_status(project=project)
    git("rebase", "--skip", cwd=folder)
    found = bump_continue(project=project)
    assert (found.state, found.counts["resolved"]) == ("done", 1)


@pytest.mark.parametrize("goes_on", ["porter", "git"])
def test_a_rebase_that_was_cut_off_is_begun_anew(project: Project, goes_on: str) -> None:
    """As by a power cut in the middle of a step: nothing that was resolved is asked again, nor taken from elsewhere."""
    bump(TWO, project=project)
    git("add", "old.py", cwd=worktree_of(project))
    if goes_on == "porter":
        bump_continue(project=project)
        shutil.rmtree(project.state / "resolutions")
    else:
        git("-c", "core.editor=true", "rebase", "--continue", cwd=worktree_of(project), status=1)
    inside = worktree_of(project) / ".git"
    (inside / "rebase-merge/stopped-sha").unlink()
    (inside / "index.lock").write_text("")
    found = bump_status(project=project)
    assert patch_of(found) == "common/6"
    assert [(row.outcome, row.said) for row in found.rows[4:]] == [("resolved", "")]
    assert git("status", "--porcelain", cwd=worktree_of(project)) == "AA utils/accelerator/__init__.py"


@pytest.mark.parametrize("release", [CONFLICTING, "v6.2"])  # git comes to the file later, or with the next patch
def test_a_file_in_the_way_is_named_and_not_overwritten(project: Project, release: str) -> None:
    bump(release, project=project)
    path = worktree_of(project) / "utils/accelerator/__init__.py"
    path.parent.mkdir()
    path.write_text("mine\n")
    if release == CONFLICTING:
        resolve(project)
    else:
        git("add", "old.py", cwd=worktree_of(project))
    with pytest.raises(EnvironmentFailed, match="git rebase does not go on") as caught:
        bump_continue(project=project)
    assert "utils/accelerator/__init__.py" in caught.value.why
    assert path.read_text() == "mine\n"
    path.unlink()
    found = bump_continue(project=project)
    assert found.state == "done"
    assert found.counts["resolved"] == 1


def test_nobodys_settings_change_a_bump(project: Project, tmp_path: Path) -> None:
    """Not the user's, and not the environment's: the same bytes come out, after a conflict too."""
    plain = shutil.copytree(project.root, tmp_path / "plain")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "pre-rebase", "prepare-commit-msg", "post-checkout", "post-rewrite", "commit-msg"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    (tmp_path / "attributes").write_text("*.py merge=union text eol=crlf ident\n")
    hostile = {
        "commit.gpgSign": "true", "core.abbrev": "4", "core.attributesFile": tmp_path / "attributes",
        "core.autocrlf": "true", "core.commentChar": "T", "core.editor": "false", "core.hooksPath": hooks,
        "merge.conflictStyle": "merge", "merge.renames": "false", "rebase.abbreviateCommands": "true",
        "rebase.autoSquash": "true", "rebase.missingCommitsCheck": "error", "rerere.enabled": "false",
        "sequence.editor": "false", "user.useConfigOnly": "true",
    }  # fmt: skip
    env = {"GIT_CONFIG_COUNT": str(len(hostile)), "GIT_DIR": "/nowhere", "GIT_INDEX_FILE": "/nowhere/index"}
    env.update({f"GIT_{name}_EDITOR": "false" for name in ("SEQUENCE", "REBASE")}, EDITOR="false", GIT_EDITOR="false")
    for number, (name, value) in enumerate(hostile.items()):
        env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": str(value)}
    for root, more in ((plain, {}), (project.root, env)):
        assert porter("bump", CONFLICTING, cwd=root, env=more).returncode == 1
        resolve(Project(root))
        done = porter("bump", "--continue", cwd=root, env=more)
        assert done.returncode == 0, done.stderr
    written = [{path: found[2] for path, found in files_of(one).items()} for one in (project, Project(plain))]
    assert written[0] == written[1]


def test_a_git_that_cannot_go_on_is_heard(project: Project) -> None:
    """Another git is at work in the folder, or was killed there."""
    bump(CONFLICTING, project=project)
    resolve(project)
    lock = worktree_of(project) / ".git/HEAD.lock"
    lock.write_text("")
    with pytest.raises(EnvironmentFailed, match="git rebase does not go on") as caught:
        bump_continue(project=project)
    assert "HEAD.lock" in caught.value.why
    lock.unlink()
    assert bump_continue(project=project).counts["resolved"] == 1


def test_redo_goes_back_to_a_patch(project: Project) -> None:
    bump(TWO, project=project)
    bump_skip(project=project)
    # one that was skipped
    assert patch_of(bump_redo("common/5", project=project)) == "common/5"
    git("add", "old.py", cwd=worktree_of(project))
    assert patch_of(bump_continue(project=project)) == "common/6"
    # one that was resolved: it lies there as it was
    assert patch_of(bump_redo("common/5", project=project)) == "common/5"
    assert git("show", "--format=", "--name-status", cwd=worktree_of(project)) == "A\told.py"
    assert patch_of(bump_continue(project=project)) == "common/6"
    # one that fitted by itself: it lies there as it fits
    found = bump_redo("common/1", project=project)
    assert found.halt is not None
    assert (patch_of(found), found.halt.files) == ("common/1", ())
    assert git("show", "--format=", "--name-status", cwd=worktree_of(project)) == "M\ttrain.py"
    text = (worktree_of(project) / "train.py").read_text()
    (worktree_of(project) / "train.py").write_text(
        text.replace("train line 40, on a device", "train line 40, anywhere")
    )
    git("add", "train.py", cwd=worktree_of(project))
    assert patch_of(bump_continue(project=project)) == "common/6"
    # the patch that changes the same line again does not fit now
    assert patch_of(bump_skip(project=project)) == "common/8"


def test_redo_does_not_throw_work_away(project: Project) -> None:
    bump(CONFLICTING, project=project)
    with pytest.raises(WrongUsage, match="has not come to"):
        bump_redo("mlu/1", project=project)
    (worktree_of(project) / "val.py").write_text("half done\n")
    with pytest.raises(WrongUsage, match="you are at work on common/validate-on-any-device"):
        bump_redo("common/1", project=project)
    assert (worktree_of(project) / "val.py").read_text() == "half done\n"


def test_what_does_not_verify_is_not_written(project: Project) -> None:
    before = files_of(project)
    bump(CONFLICTING, project=project)
    resolve(project, line="def (:\n")
    with pytest.raises(CheckFailed, match="the new tree of mlu does not verify") as caught:
        bump_continue(project=project)
    assert "val.py:15" in caught.value.why
    assert "--redo" in caught.value.hint
    assert files_of(project) == before
    bump_redo("common/4", project=project)
    path = worktree_of(project) / "val.py"
    path.write_text(path.read_text().replace("def (:\n", RESOLVED))
    git("add", "val.py", cwd=worktree_of(project))
    assert bump_continue(project=project).state == "done"


def test_what_is_not_ported_yet_is_shown_and_does_not_stop_it(project: Project) -> None:
    """A resolution that names a device directly, needs a package that is not there, and drops upstream's side whole."""
    assert porter("bump", CONFLICTING, cwd=project.root).returncode == 1
    resolve(project, line="import torch\nimport pkg_resources\ntorch.cuda.synchronize()\n")
    done = porter("bump", "--continue", cwd=project.root)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed, mlu: audit: val.py:17" in done.stdout
    assert "failed, mlu: import: val.py:16: imports pkg_resources" in done.stdout
    assert "takes away 1 line that upstream added to val.py: # val line 15, otherwise" in done.stderr
    assert "upstream.lock pins v6.1-1-g" in done.stdout
    assert not (project.state / "bump").exists()


def test_one_target_first(project: Project) -> None:
    before = files_of(project)
    done = porter("bump", "v6.1", "--target", "mlu", cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert "Still to be carried: tpu. Nothing is written yet: porter bump --continue" in done.stdout
    assert "tpu/1" not in done.stdout
    assert files_of(project) == before
    done = porter("bump", "--continue", cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert "tpu/1" in done.stdout
    assert "mlu/1" not in done.stdout
    assert "upstream.lock pins v6.1" in done.stdout
    assert lint(project=project) == []


def test_an_edit_meanwhile_is_noticed(project: Project) -> None:
    bump(CONFLICTING, project=project)
    resolve(project)
    path = project.patches / "mlu/series"
    text = path.read_text()
    path.write_text(text + "# edited\n")
    for verb in (bump_continue, bump_skip, bump_status):
        with pytest.raises(WrongUsage, match="patches/mlu/series was changed since the bump to"):
            verb(project=project)
    assert path.read_text() == text + "# edited\n"
    path.write_text(text)
    assert bump_continue(project=project).state == "done"


def test_two_at_once(project: Project) -> None:
    bump(CONFLICTING, project=project)
    with pytest.raises(WrongUsage, match=rf"a bump to {CONFLICTING} is open"):
        bump("v6.1", project=project)
    import fcntl

    with open(project.state / "bump.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = porter("bump", "--skip", cwd=project.root)
    assert done.returncode == 3
    assert "another porter is moving the stacks" in done.stderr


# -- a dry run -------------------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing(project: Project) -> None:
    before = inventory(project.root)
    done = porter("bump", "v6.1", "--dry-run", cwd=project.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 merged, 1 taken, 7 applies. Nothing was written." in done.stdout
    done = porter("bump", TWO, "--dry-run", "--json", cwd=project.root)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["counts"]["conflict"] == 2
    assert [row["label"] for row in found["patches"] if row["outcome"] == CONFLICT][:2] == [
        "common/5",
        "common/6",
    ]
    assert inventory(project.root) == before


def test_a_dry_run_of_one_target(project: Project) -> None:
    done = porter("bump", "v6.1", "--dry-run", "--target", "tpu", cwd=project.root)
    assert "tpu/1" in done.stdout
    assert "mlu/1" not in done.stdout


def test_a_dry_run_agrees_with_skipping(project: Project) -> None:
    """And a second bump, from the new pin, goes on from there."""
    for rev in (CONFLICTING, "v6.2"):
        dry = outcomes(bump(rev, dry_run=True, project=project))
        found = bump(rev, project=project)
        really = outcomes(found)
        while found.halt is not None:
            found = bump_skip(project=project)
            really.update(outcomes(found))
        assert {subject: "skipped" if word == CONFLICT else word for subject, word in dry.items()} == really


# -- wrong usage and environment -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["v9.9"], "upstream has no commit v9.9"),
        (["--target", "npu", "v6.1"], "there is no target 'npu'"),
        (["v6.1", "--continue"], "REV and --continue do not go together"),
        (["--skip", "--abort"], "--skip and --abort do not go together"),
        (["--dry-run"], "go with a REV"),
        (["--continue"], "no bump is open"),
        (["--abort"], "no bump is open"),
        ([], "no bump is open"),
        (["-x"], "No such option"),
    ],
)
def test_wrong_usage(project: Project, arguments: list[str], says: str) -> None:
    before = files_of(project)
    done = porter("bump", *arguments, cwd=project.root)
    assert done.returncode == 2
    assert says in done.stderr
    assert files_of(project) == before


def test_a_history_that_cannot_be_reached(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = files_of(project)
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "empty"))
    done = porter("bump", "v6.1", "--upstream", f"git://127.0.0.1:{closed_port()}/up", cwd=project.root)
    assert done.returncode == 3
    assert "no source has the history" in done.stderr
    assert files_of(project) == before
    assert not (project.state / "bump").exists()


def test_an_open_bump_needs_no_network(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    bump(CONFLICTING, project=project)
    resolve(project)
    monkeypatch.setenv("PORTER_UPSTREAM", f"git://127.0.0.1:{closed_port()}/up")
    assert bump_continue(project=project).state == "done"


def test_the_cache_may_move_meanwhile(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worktree sees upstream's objects there."""
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "one"))
    bump(CONFLICTING, project=project)
    resolve(project)
    (tmp_path / "one").rename(tmp_path / "two")
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "two"))
    assert bump_continue(project=project).state == "done"


def test_the_installed_packages_stacks_are_not_moved(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Project, "packaged", property(lambda self: True))
    for act in (lambda: bump("v6.1", project=project), lambda: bump_abort(project=project)):
        with pytest.raises(WrongUsage, match="came with the installed porter"):
            act()


def test_a_folder_that_cannot_be_written(project: Project) -> None:
    if os.geteuid() == 0:  # root writes anywhere: a file where the folder goes stands in its way just so
        (project.root / ".porter").write_text("")
    else:
        project.root.chmod(0o555)
    try:
        with pytest.raises(EnvironmentFailed, match="cannot write"):
            bump("v6.1", project=project)
    finally:
        project.root.chmod(0o755)


def test_a_journal_of_another_version(project: Project) -> None:
    bump(CONFLICTING, project=project)
    (project.state / "bump/journal.json").write_text('{"goal": 1}')
    with pytest.raises(WrongUsage, match="not as porter writes it"):
        bump_continue(project=project)
