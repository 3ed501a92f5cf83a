from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import git as gitpython
import pytest
from sources import MISSING, git, make_index, make_upstream, package_index
from stacks import CHECKOUT, STEPS, inventory, make_project, porter

from porter.commands.apply import apply
from porter.commands.lock import lock as write_lock
from porter.errors import EnvironmentFailed, PorterError, WrongUsage
from porter.lockfile import Lock
from porter.patch import PatchFailed
from porter.project import Project

pytestmark = pytest.mark.usefixtures("warm")


def subjects(path: Path) -> list[str]:
    return [str(commit.summary) for commit in gitpython.Repo(path).iter_commits("v6.0..HEAD", reverse=True)]


def expected(*stacks: str) -> list[str]:
    return [step.subject for step in STEPS if step.stack in ("common", *stacks)]


# -- a new folder -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [["mlu"], ["tpu"], ["tpu", "mlu"]])
def test_a_new_folder(project: Project, tmp_path: Path, targets: list[str]) -> None:
    done = apply(targets, tmp_path / "tree", project=project)
    lock = Lock.load(project.lock_path)
    repo = gitpython.Repo(tmp_path / "tree")
    key = "+".join(sorted(targets))
    assert (done.how, done.path) == ("made", tmp_path / "tree")
    assert repo.head.commit.hexsha == done.build.tip  # held to git am in tests/test_stack.py
    if len(targets) == 1:
        assert repo.head.commit.hexsha == lock.stacks[key].commit
        assert repo.head.commit.tree.hexsha == lock.stacks[key].tree
    assert repo.active_branch.name == f"porter/{key}"
    assert subjects(tmp_path / "tree") == expected(*targets)
    assert not repo.is_dirty(untracked_files=True)
    assert repo.commit("master").hexsha == repo.commit("v6.0").hexsha == lock.pin.commit
    assert repo.remotes.origin.url == str(lock.sources[0]).removeprefix("git ")
    assert git("fsck", "--full", "--strict", cwd=tmp_path / "tree") == ""
    assert (tmp_path / "tree/utils/accelerator/__init__.py").read_text() == "REGISTRY = {}\n"
    assert os.access(tmp_path / "tree/data/coco.yaml", os.X_OK)
    assert not (tmp_path / "tree/README.md").exists()
    assert [path.name for path in tmp_path.iterdir() if "porter-" in path.name] == []


def test_every_commit_says_who_and_when_as_its_patch_does(project: Project, tmp_path: Path) -> None:
    apply(["mlu"], tmp_path / "tree", project=project)
    for number, commit in enumerate(gitpython.Repo(tmp_path / "tree").iter_commits("v6.0..HEAD", reverse=True)):
        assert (commit.author.name, commit.author.email) == ("Zoë Porter", "zoe@example.org")
        assert commit.committer == commit.author
        assert commit.committed_date == commit.authored_date == 1700000000 + 60 * number
        assert commit.author_tz_offset == -8 * 3600


def test_an_empty_folder_and_missing_folders_above(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert apply(["mlu"], tmp_path / "empty", project=project).how == "made"
    assert apply(["mlu"], tmp_path / "a/b/tree", project=project).how == "made"
    assert subjects(tmp_path / "a/b/tree") == expected("mlu")


def test_a_relative_path_and_a_link_to_an_empty_folder(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert apply(["mlu"], Path("link"), project=project).path == tmp_path / "real"
    assert (tmp_path / "link").is_symlink()
    assert apply(["mlu"], Path("link"), project=project).how == "already"
    with pytest.raises(WrongUsage, match="there is no nowhere"):  # though nobody would ask it
        apply(["mlu"], Path("link"), upstream="nowhere", project=project)


def test_what_runs_leave_is_ignored(project: Project, tmp_path: Path) -> None:
    apply(["mlu"], tmp_path / "tree", project=project)
    for name in ("runs/train/exp/results.csv", "yolov5s.pt", "utils/__pycache__/x.pyc", "data/labels.cache"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text("")
    assert git("status", "--porcelain", cwd=tmp_path / "tree") == ""


def test_the_folder_one_is_in_is_not_replaced(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    inside = (tmp_path / "here").stat().st_ino
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(WrongUsage, match="the folder you are in"):
        apply(["mlu"], Path(), project=project)
    assert (tmp_path / "here").stat().st_ino == inside


def test_check_writes_nothing(project: Project, tmp_path: Path, clone: Path) -> None:
    assert apply(["mlu"], tmp_path / "tree", check=True, project=project).how == "checked"
    assert not (tmp_path / "tree").exists()
    before = inventory(clone)
    assert apply(["mlu"], clone, check=True, project=project).how == "switched"
    assert inventory(clone) == before


def test_a_patch_that_does_not_apply_leaves_nothing(project: Project, tmp_path: Path) -> None:
    path = project.patches / "mlu/know-the-mlu-at-the-top.patch"
    path.write_text(path.read_text().replace(" line_3 = 3\n", " line_3 = 'other'\n"))
    for check in (True, False):
        with pytest.raises(PatchFailed):
            apply(["mlu"], tmp_path / "a/tree", check=check, project=project)
    assert not (tmp_path / "a").exists()


def test_a_tree_of_a_package_index_is_partial(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project(tmp_path)
    project = Project(tmp_path / "project")
    from dataclasses import replace

    # the stacks give utils/__init__.py no change, and README.md is in the wheels
    with_git = Lock.load(project.lock_path)
    replace(with_git, sources=(*with_git.sources, make_index(tmp_path / "wheels"))).write(project.lock_path)
    write_lock(project=project)
    both = Lock.load(project.lock_path)
    replace(both, sources=both.sources[1:]).write(project.lock_path)
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "empty-cache"))
    with package_index(tmp_path / "wheels", tmp_path / "served") as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        done = apply(["mlu"], tmp_path / "tree", project=project)
    assert done.missing == tuple(sorted(MISSING))
    repo = gitpython.Repo(tmp_path / "tree")
    partial = both.stacks["mlu"].partial
    assert partial is not None
    assert (repo.head.commit.hexsha, repo.head.commit.tree.hexsha) == (partial.commit, partial.tree)
    assert repo.commit("master").parents == ()
    assert repo.tags == []  # it is not upstream's v6.0
    assert (tmp_path / "tree/train.py").read_bytes() == (tmp_path / "work/train.py").read_bytes()
    # the same tree again, then off and on, all without a source
    assert apply(["mlu"], tmp_path / "tree", project=project).how == "already"
    from porter.commands.revert import revert

    assert revert(tmp_path / "tree", project=project).head == "refs/heads/master"
    assert apply(["mlu"], tmp_path / "tree", project=project).missing == tuple(sorted(MISSING))


# -- the user's own clone ---------------------------------------------------------------------------------


def test_a_clone_gets_a_branch_and_keeps_its_own(project: Project, clone: Path) -> None:
    (clone / "runs").mkdir()
    (clone / "runs/mine.txt").write_text("mine")
    (clone / "notes.txt").write_text("mine")
    old = (clone / "LICENSE").stat().st_mtime_ns
    done = apply(["mlu"], clone, project=project)
    repo = gitpython.Repo(clone)
    lock = Lock.load(project.lock_path)
    assert (done.how, done.before) == ("switched", "refs/heads/mine")
    assert repo.active_branch.name == "porter/mlu"
    assert repo.head.commit.hexsha == lock.stacks["mlu"].commit
    assert repo.commit("mine").hexsha == lock.pin.commit
    assert not repo.is_dirty()
    assert sorted(repo.untracked_files) == ["notes.txt", "runs/mine.txt"]
    assert (clone / "LICENSE").stat().st_mtime_ns == old
    assert not (clone / ".git/porter/journal.json").exists()


def test_a_clone_at_the_pin_without_a_branch(project: Project, clone: Path) -> None:
    git("switch", "-q", "--detach", "v6.0", cwd=clone)
    assert apply(["tpu"], clone, project=project).before == Lock.load(project.lock_path).pin.commit


def test_a_clone_needs_no_source(project: Project, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTER_CACHE", str(clone.parent / "none"))
    monkeypatch.setenv("PORTER_UPSTREAM", str(clone.parent / "nowhere"))
    assert apply(["mlu"], clone, project=project).how == "switched"


def test_a_branch_that_holds_the_stack_already_is_used(project: Project, clone: Path) -> None:
    tip = apply(["mlu"], clone, project=project).build.tip
    git("switch", "-q", "mine", cwd=clone)
    assert apply(["mlu"], clone, project=project).how == "switched"
    assert git("rev-parse", "HEAD", cwd=clone) == tip


@pytest.mark.parametrize("where", ["tree", "clone"])
def test_the_same_stack_again_touches_nothing(project: Project, tmp_path: Path, clone: Path, where: str) -> None:
    apply(["mlu"], tmp_path / where, project=project)
    before = inventory(tmp_path / where)
    assert apply(["mlu"], tmp_path / where, project=project).how == "already"
    assert inventory(tmp_path / where) == before


def test_the_users_configuration_changes_no_id(
    project: Project, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = own_home / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "pre-commit", "commit-msg", "post-index-change", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> '{own_home}/ran'\nexit 1\n")
        (hooks / name).chmod(0o755)
    (own_home / ".gitconfig").write_text(
        f"[core]\n\tautocrlf = true\n\thooksPath = {hooks}\n\texcludesFile = {own_home}/ignore\n\tfsmonitor = false\n"
        "[commit]\n\tgpgSign = true\n[user]\n\tname = Somebody\n\temail = some@body\n[apply]\n\twhitespace = fix\n"
        "[init]\n\tdefaultBranch = trunk\n\ttemplateDir = /nowhere\n[index]\n\tversion = 4\n[core]\n\tbare = false\n"
    )
    (own_home / "ignore").write_text("*.py\n")
    lock = Lock.load(project.lock_path)
    done = apply(["mlu"], tmp_path / "tree", project=project)
    assert done.build.tip == lock.stacks["mlu"].commit
    assert b"\r" not in (tmp_path / "tree/train.py").read_bytes()
    # a clone as this user's git makes it has CRLF, and stays clean in this user's eyes
    mine = tmp_path / "crlf"
    subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", "clone", "-q", str(lock.sources[0]).removeprefix("git "), mine],
        check=True,
    )
    subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", "switch", "-q", "-c", "mine", "v6.0"], cwd=mine, check=True
    )
    assert b"\r\n" in (mine / "LICENSE").read_bytes()
    assert not (own_home / "ran").exists(), (own_home / "ran").read_text()
    assert apply(["mlu"], mine, project=project).build.tip == lock.stacks["mlu"].commit
    assert b"\r\n" in (mine / "train.py").read_bytes()
    assert not (own_home / "ran").exists(), (own_home / "ran").read_text()
    status = subprocess.run(["git", "status", "--porcelain"], cwd=mine, capture_output=True, check=True)
    assert status.stdout == b""


def test_git_variables_of_a_hook_lead_nowhere(
    project: Project, tmp_path: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    git("clone", "-q", clone, other, cwd=tmp_path)
    before = inventory(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / ".git/objects"))
    assert apply(["mlu"], tmp_path / "tree", project=project).how == "made"
    assert apply(["mlu"], clone, project=project).how == "switched"
    assert inventory(other) == before
    assert git("fsck", "--full", cwd=clone) == ""


# -- the environment --------------------------------------------------------------------------------------


def limited(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """porter as somebody to whom permissions apply: root without what lets root pass them by."""

    def drop() -> None:
        libc = ctypes.CDLL(None)
        for capability in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; without root there is nothing to drop

    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "porter", *map(str, args)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, preexec_fn=drop)


def test_no_permission(project: Project, tmp_path: Path, clone: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o555)
    done = limited("apply", "--target", "mlu", folder / "tree", cwd=project.root)
    assert (done.returncode, f"cannot make {folder}/tree" in done.stderr) == (3, True), done.stderr
    assert "Permission denied" in done.stderr and "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []
    for name in (".git", "utils", "."):
        (clone / name).chmod(0o555)
        before = inventory(clone)
        done = limited("apply", "--target", "mlu", clone, cwd=project.root)
        assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
        assert f"cannot write {clone / name}" in done.stderr
        assert {k: v for k, v in inventory(clone).items() if k not in (".git", ".git/porter", ".git/porter/lock")} == {
            k: v for k, v in before.items() if k not in (".git", ".git/porter", ".git/porter/lock")
        }
        (clone / name).chmod(0o755)
    clone.chmod(0o000)
    done = limited("apply", "--target", "mlu", clone, cwd=project.root)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    clone.chmod(0o755)
    assert limited("apply", "--target", "mlu", clone, cwd=project.root).returncode == 0


@pytest.mark.root
def test_a_clone_that_belongs_to_somebody_else(project: Project, own_home: Path, clone: Path) -> None:
    subprocess.run(["chown", "-R", "65534:65534", clone], check=True)
    before = inventory(clone)
    done = porter("apply", "--target", "mlu", clone, cwd=project.root)
    assert (done.returncode, "belongs to another user" in done.stderr) == (3, True), done.stderr
    assert inventory(clone) == before
    # git says how to allow it, and porter asks the same setting
    (own_home / ".gitconfig").write_text(f"[safe]\n\tdirectory = {clone}\n")
    assert porter("apply", "--target", "mlu", clone, cwd=project.root).returncode == 0


@pytest.mark.root
def test_a_mount_point_cannot_be_replaced(project: Project, small_disk: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="cannot put a folder at") as error:
        apply(["mlu"], small_disk, project=project)
    assert "mount point" in error.value.hint
    assert os.listdir(small_disk) == []
    assert apply(["mlu"], small_disk / "tree", project=project).how == "made"


@pytest.mark.root
def test_a_full_disk(project: Project, small_disk: Path, clone: Path) -> None:
    mine, filler, tree = small_disk / "mine", small_disk / "filler", small_disk / "tree"
    shutil.copytree(clone, mine, symlinks=True)

    def files() -> dict[str, tuple[int, bytes]]:
        return {k: v[1:] for k, v in inventory(mine).items() if not k.startswith(".git")}

    before, failed = files(), {tree: 0, mine: 0}
    for room in range(0, 1_500_000, 8_192):
        filler.write_bytes(b"")
        free = os.statvfs(small_disk)
        filler.write_bytes(b"\0" * max(free.f_bavail * free.f_frsize - room, 0))
        for place in failed:
            try:
                apply(["mlu"], place, project=project)
            except EnvironmentFailed as error:
                failed[place] += 1
                assert "No space left" in str(error) or "disk is full" in str(error)
                assert sorted(path.name for path in small_disk.iterdir() if path != tree) == ["filler", "mine"]
                # without room even to undo, the journal says so, and the next run undoes
                if place == mine and not (mine / ".git/porter/journal.json").exists():
                    assert files() == before
        assert tree.exists() == (failed[tree] * 8_192 <= room)
        if tree.exists() and (mine / "utils/accelerator").exists():
            break
    assert min(failed.values()) > 1
    filler.unlink()
    for place in failed:
        assert apply(["mlu"], place, project=project).how == "already"
        assert git("status", "--porcelain", cwd=place) == ""
        assert git("fsck", "--full", cwd=place) == ""


def test_two_at_once_make_one_tree(project: Project, tmp_path: Path) -> None:
    found: list[str] = []

    def run() -> None:
        done = porter("apply", "--target", "mlu", tmp_path / "tree", cwd=project.root)
        found.append(f"{done.returncode} {'already' in done.stdout} {done.stderr}")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["0 False ", "0 True ", "0 True ", "0 True "]
    assert subjects(tmp_path / "tree") == expected("mlu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project", "tree"]


@pytest.mark.parametrize("same", [True, False])
def test_a_folder_that_comes_up_while_the_tree_is_built(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    apply(["mlu"], tmp_path / "first", project=project)
    late = (
        f"cp -r '{tmp_path}/first' '{tmp_path}/tree'"
        if same
        else f"mkdir '{tmp_path}/tree'; touch '{tmp_path}/tree/mine'"
    )
    real = shutil.which("git")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(f'#!/bin/sh\ncase " $* " in *" reset "*) {late};; esac\nexec {real} "$@"\n')
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    if same:
        assert apply(["mlu"], tmp_path / "tree", project=project).how == "already"
    else:
        with pytest.raises(WrongUsage, match="no git repository"):
            apply(["mlu"], tmp_path / "tree", project=project)
        assert os.listdir(tmp_path / "tree") == ["mine"]
    assert not [path.name for path in tmp_path.iterdir() if "porter-" in path.name]


def test_two_at_once_on_a_clone(project: Project, clone: Path) -> None:
    found: list[tuple[int, str]] = []

    def run(target: str) -> None:
        done = porter("apply", "--target", target, clone, cwd=project.root)
        found.append((done.returncode, done.stderr))

    threads = [threading.Thread(target=run, args=(target,)) for target in ("mlu", "tpu", "mlu", "tpu")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # one target wins; who asks for the other hears that its stack is there
    assert sorted(code for code, _ in found) == [0, 0, 2, 2], found
    winner = gitpython.Repo(clone).active_branch.name.removeprefix("porter/")
    assert subjects(clone) == expected(winner)
    assert git("status", "--porcelain", cwd=clone) == ""


def test_every_refusal_is_an_error_of_porters_own(project: Project, tmp_path: Path) -> None:
    with pytest.raises(PorterError):
        apply(["mlu"], project.lock_path / "below-a-file", project=project)


def test_another_upstream_is_no_clone_of_it(project: Project, tmp_path: Path) -> None:
    other = make_upstream(tmp_path / "o").path
    git("commit", "-q", "--amend", "-m", "Other", cwd=other)
    git("checkout", "-q", "--orphan", "alone", cwd=other)
    git("commit", "-q", "-m", "Alone", cwd=other)
    with pytest.raises(WrongUsage, match="not a clone of example/small"):
        apply(["mlu"], other, project=project)
