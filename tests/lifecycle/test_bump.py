"""porter bump on the history of tests/histories.py: real repositories, real git in the worktree."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from histories import Line
from sources import closed_port, git
from stacks import inventory, porter

from porter.commands.apply import apply
from porter.commands.bump import bump, bump_abort, bump_continue, bump_skip
from porter.commands.lint import lint
from porter.errors import EnvironmentFailed, WrongUsage
from porter.lockfile import GitSource, IndexSource, Lock
from porter.project import Project
from porter.rebase.outcome import APPLIES, CONFLICT, MERGED, TAKEN, Bump
from porter.stack import load_parts

CONFLICTING = "v7.0~10"  # "Change what the patch changes": val.py, line 15
TWO = "v6.2~1"  # "Add an accelerator of our own": two conflicts in common, and what hangs on them
SUBJECT = "Validate on any device"
RESOLVED = "# val line 15, otherwise, on a device\n"


@pytest.fixture
def project(bumping: Project) -> Project:
    """The stacks for v6.0 in a folder of their own, which is the current one."""
    return bumping


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
