from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sources import git, make_index, package_index
from stacks import commit, inventory, message, porter

from porter.commands.apply import apply
from porter.commands.export import export
from porter.commands.lint import lint
from porter.commands.lock import lock as write_lock
from porter.errors import CheckFailed, WrongUsage
from porter.lockfile import Lock
from porter.project import Project
from porter.rebase.export import Exported
from porter.stack import load_part

from .test_rewrite import state

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def tree(project: Project, tmp_path: Path) -> Path:
    """A tree for mlu, whose owner has a name."""
    return fresh(project, tmp_path / "tree", "mlu")


def fresh(project: Project, path: Path, *targets: str) -> Path:
    apply(targets, path, project=project)
    for name, value in {"user.name": "Me", "user.email": "me@example.org"}.items():
        git("config", name, value, cwd=path)
    return path


def edit(tree: Path, name: str, old: str, new: str) -> None:
    text = (tree / name).read_text()
    assert text.count(old) == 1
    (tree / name).write_text(text.replace(old, new))


def content(tree: Path) -> str:
    return git("rev-parse", "HEAD^{tree}", cwd=tree)


def again(project: Project, tree: Path, *targets: str) -> None:
    """What every export leaves: patches that give the tree, nothing to lint, nothing more to export."""
    assert lint(project=project) == []
    other = tree.with_name("other")
    shutil.rmtree(other, ignore_errors=True)
    apply(targets or ["mlu"], other, project=project)
    assert content(other) == content(tree)
    before = inventory(project.root)
    assert export(tree, project=project).rewrite.edits == ()
    assert export(other, project=project).rewrite.edits == ()
    assert inventory(project.root) == before


def edited(done: Exported) -> list[str]:
    return [edit.path for edit in done.rewrite.edits]


@pytest.mark.parametrize("targets", [["mlu"], ["tpu"], ["mlu", "tpu"]])
def test_a_tree_as_apply_makes_it_touches_nothing(project: Project, tmp_path: Path, targets: list[str]) -> None:
    fresh(project, tmp_path / "tree", *targets)
    before, tree = inventory(project.root), inventory(tmp_path / "tree")
    done = export(tmp_path / "tree", project=project)
    assert (done.targets, done.rewrite.edits, done.moved) == (tuple(targets), (), 0)
    assert export(tmp_path / "tree", check=True, project=project).rewrite.edits == ()
    assert inventory(project.root) == before
    assert inventory(tmp_path / "tree") == tree


def test_an_amended_commit(project: Project, tree: Path) -> None:
    edit(tree, "utils/long.py", "mlu = 1\n", "mlu = 2\n")
    git("commit", "-q", "-a", "--amend", "--no-edit", cwd=tree)
    before = state(project)
    done = porter("export", "--check", tree, cwd=project.root)
    assert (done.returncode, "know-the-mlu" in done.stdout, "porter export" in done.stderr) == (1, True, True)
    assert state(project) == before
    assert edited(export(tree, project=project)) == ["patches/mlu/know-the-mlu-at-the-top.patch", "upstream.lock"]
    again(project, tree)


def test_a_fixup_of_common_below_the_targets_commits(project: Project, tree: Path) -> None:
    """tpu's stack, which the tree does not hold, is brought in step as well."""
    edit(tree, "utils/long.py", "line_30 = 30\n", "new = 1\nline_30 = 30\n")
    git("commit", "-q", "-a", "--fixup=HEAD~3", cwd=tree)
    done = export(tree, project=project)
    assert edited(done) == [
        "patches/common/add-utils-accelerator-a-registry-of-devices.patch",
        "patches/mlu/know-the-mlu-at-the-top.patch",
        "patches/tpu/know-the-tpu-at-the-bottom.patch",
        "upstream.lock",
    ]
    assert "@@ -48,7 +48,7 @@" in (project.patches / "tpu/know-the-tpu-at-the-bottom.patch").read_text()
    again(project, tree)
    # and git's own autosquash makes the same of it
    git("-c", "sequence.editor=true", "rebase", "-q", "-i", "--autosquash", "master", cwd=tree)
    assert git("rev-list", "--count", "master..HEAD", cwd=tree) == "5"
    assert export(tree, project=project).rewrite.edits == ()


def test_renamed_split_dropped_and_reordered(project: Project, tree: Path) -> None:
    kept = load_part(project.patches / "common")[1].data
    git("reset", "-q", "--hard", "HEAD~1", cwd=tree)  # the last is dropped
    git("commit", "-q", "--amend", "-m", message("Name the MLU", "mlu"), cwd=tree)
    git("reset", "-q", "--hard", "master", cwd=tree)
    picks = [git("rev-parse", name, cwd=tree) for name in ("HEAD@{1}~2", "HEAD@{1}~3", "HEAD@{1}")]
    git("cherry-pick", *picks, cwd=tree)  # two of common's the other way round, its third is dropped
    write = (tree / "utils/accelerator/more.py", tree / "utils/more.py")
    for number, path in enumerate(write):
        path.write_text("more = 1\n")
        commit(tree, message(f"Split {number}", "mlu"), 1700001000)
    export(tree, project=project)
    assert sorted(state(project)) == [
        "patches/common/add-utils-accelerator-a-registry-of-devices.patch",
        "patches/common/import-the-accelerator.patch",
        "patches/common/series",
        "patches/mlu/name-the-mlu.patch",
        "patches/mlu/requirements.txt",
        "patches/mlu/series",
        "patches/mlu/split-0.patch",
        "patches/mlu/split-1.patch",
        "patches/mlu/target.yaml",
        "patches/tpu/know-the-tpu-at-the-bottom.patch",
        "patches/tpu/register-the-tpu.patch",
        "patches/tpu/requirements.txt",
        "patches/tpu/series",
        "patches/tpu/target.yaml",
        "upstream.lock",
    ]
    assert (project.patches / "common/add-utils-accelerator-a-registry-of-devices.patch").read_bytes() == kept
    again(project, tree)


def test_commons_commits_among_the_targets_move_before_them(project: Project, tree: Path) -> None:
    edit(tree, "utils/long.py", "line_30 = 30\n", "line_30 = 'common'\n")
    commit(tree, message("More for all", "common"), 1700001000)
    done = export(tree, project=project)
    assert done.moved == 3
    assert (project.patches / "common/more-for-all.patch").exists()
    again(project, tree)


def test_commits_that_cannot_be_put_in_order_are_refused(project: Project, tree: Path) -> None:
    edit(tree, "utils/long.py", "mlu = 1\n", "mlu = 2\n")
    commit(tree, message("For all", "common"), 1700001000)
    before = state(project)
    with pytest.raises(
        CheckFailed, match=r"commit \w+ \(For all\), moved to its place in common, does not fit"
    ) as error:
        export(tree, project=project)
    assert "utils/long.py: both change the same lines" in error.value.why
    assert "rebase -i --autosquash" in error.value.hint
    assert state(project) == before


def test_what_is_not_committed_and_does_not_fit_into_an_earlier_patch(project: Project, tree: Path) -> None:
    """There is no commit yet that git could put in order."""
    edit(tree, "utils/long.py", "mlu = 1\n", "mlu = 2\n")
    with pytest.raises(CheckFailed, match="does not fit") as error:
        export(tree, into="common/2", project=project)
    assert "--into" in error.value.hint and "rebase" not in error.value.hint
    assert git("status", "--porcelain", cwd=tree) == "M utils/long.py"


def test_a_tree_for_two_targets_exports_both(project: Project, tmp_path: Path) -> None:
    tree = fresh(project, tmp_path / "tree", "mlu", "tpu")
    edit(tree, "utils/accelerator/tpu.py", "NAME = 'tpu'\n", "NAME = 'TPU'\n")
    git("commit", "-q", "-a", "--fixup=HEAD~1", cwd=tree)
    edit(tree, "utils/long.py", "mlu = 1\n", "mlu = 1\nmore = 1\n")
    commit(tree, message("More for mlu", "mlu"), 1700001000)
    edit(tree, "utils/long.py", "line_50 = 'tpu'\n", "line_50 = 'TPU'\n")
    git("commit", "-q", "-a", "--fixup=HEAD~2", cwd=tree)
    assert edited(export(tree, project=project)) == [
        "patches/mlu/more-for-mlu.patch",
        "patches/mlu/series",
        "patches/tpu/know-the-tpu-at-the-bottom.patch",
        "patches/tpu/register-the-tpu.patch",
        "upstream.lock",
    ]
    # tpu's patches are written where they stand in a tree for tpu alone
    assert "@@ -47,7 +47,7 @@" in (project.patches / "tpu/know-the-tpu-at-the-bottom.patch").read_text()
    again(project, tree, "mlu", "tpu")


def test_what_is_untouched_keeps_author_date_and_message(project: Project, tree: Path) -> None:
    """A rebase by somebody else gives every commit another id; the patches stay."""
    before = state(project)
    git("-c", "user.name=Other", "rebase", "-q", "--force-rebase", "master", cwd=tree)
    assert git("rev-parse", "HEAD", cwd=tree) != Lock.load(project.lock_path).stacks["mlu"].commit
    assert export(tree, project=project).rewrite.edits == ()
    assert state(project) == before


def test_uncommitted_changes_into_a_patch(project: Project, tree: Path) -> None:
    edit(tree, "utils/long.py", "line_30 = 30\n", "line_30 = 'common'\n")
    (tree / "utils/staged.py").write_text("staged = 1\n")
    git("add", "utils/staged.py", cwd=tree)
    (tree / "utils/intended.py").write_text("intended = 1\n")
    git("add", "-N", "utils/intended.py", cwd=tree)
    (tree / "utils/unknown.py").write_text("unknown = 1\n")
    head, before = git("rev-parse", "HEAD", cwd=tree), state(project)
    refused = porter("export", tree, cwd=project.root)
    assert (refused.returncode, "--into PATCH" in refused.stderr) == (2, True)
    assert ".M utils/long.py" in refused.stderr
    for wrong in ({"into": "tpu/1"}, {"into": "common/9"}, {"into": "common/2", "check": True}):
        with pytest.raises(WrongUsage):
            export(tree, **wrong, project=project)  # type: ignore[arg-type]
    assert (git("rev-parse", "HEAD", cwd=tree), state(project)) == (head, before)
    done = export(tree, into="common/2", project=project)
    assert done.untracked == ("utils/unknown.py",)
    assert git("status", "--porcelain", cwd=tree) == "?? utils/unknown.py"
    assert git("log", "-1", "--format=%s %P", "HEAD@{1}", cwd=tree).endswith(f"devices {head}")
    text = (project.patches / "common/add-utils-accelerator-a-registry-of-devices.patch").read_text()
    assert ("+staged = 1\n" in text, "+intended = 1\n" in text, "+line_30 = 'common'\n" in text) == (True, True, True)
    again(project, tree)
    with pytest.raises(WrongUsage, match="no changes that are not committed"):
        export(tree, into="common/2", project=project)


def test_uncommitted_changes_as_a_new_patch(project: Project, tree: Path, own_home: Path) -> None:
    edit(tree, "utils/long.py", "line_30 = 30\n", "line_30 = 'common'\n")
    before = git("rev-parse", "HEAD", cwd=tree)
    done = porter("export", tree, "--new", "Say it", "--stack", "common", cwd=project.root)
    assert done.returncode == 0, done.stderr
    found = load_part(project.patches / "common")[-1]
    assert (found.name, found.author) == ("say-it.patch", "Me <me@example.org>")
    assert dict(found.trailers) == {"Reason": "TODO", "Upstream": "no", "Check": "TODO", "Stack": "common"}
    wanting = {finding.what.partition(":")[0] for finding in lint(project=project)}
    assert wanting == {"Check", "Reason", "something is left to say"}, "what is left to say is complained about"
    git("reset", "-q", "--soft", before, cwd=tree)
    given = ("Reason: metrics", "Check: train", "Reported-by: Ann")
    export(tree, new="Say it", stack="common", why="It has to be said.", trailers=given, project=project)
    assert load_part(project.patches / "common")[-1].body == (
        "It has to be said.\n\nReason: metrics\nUpstream: no\nCheck: train\nReported-by: Ann\nStack: common"
    )
    again(project, tree)
    edit(tree, "utils/long.py", "line_31 = 31\n", "line_31 = 'common'\n")
    for name in ("user.name", "user.email"):
        git("config", "--unset", name, cwd=tree)
    with pytest.raises(WrongUsage, match="git does not know who"):
        export(tree, new="Say it", stack="common", project=project)
    refused = porter("export", tree, "--new", "Say it", cwd=project.root)
    assert (refused.returncode, "--stack common" in refused.stderr) == (2, True)
    refused = porter("export", tree, "--why", "So", cwd=project.root)
    assert (refused.returncode, "--new" in refused.stderr) == (2, True)


def test_commits_that_name_no_stack(project: Project, tree: Path) -> None:
    edit(tree, "utils/long.py", "line_30 = 30\n", "line_30 = 'common'\n")
    commit(tree, "Mine\n\nWhy.\n\nReason: speed\nUpstream: no\nCheck: train\n", 1700001000)
    with pytest.raises(WrongUsage, match=r"\(Mine\) does not say which stack") as error:
        export(tree, project=project)
    assert "--stack" in error.value.hint
    export(tree, stack="common", project=project)
    body = "Why.\n\nReason: speed\nUpstream: no\nCheck: train\nStack: common"
    assert load_part(project.patches / "common")[-1].body == body
    assert lint(project=project) == []
    git("commit", "-q", "--amend", "-m", "Mine", cwd=tree)
    export(tree, stack="mlu", project=project)
    assert load_part(project.patches / "mlu")[-1].body == "Stack: mlu"
    git("commit", "-q", "--amend", "-m", message("Mine", "npu"), cwd=tree)
    with pytest.raises(WrongUsage, match="no target 'npu'"):
        export(tree, project=project)
    git("commit", "-q", "--amend", "-m", message("Mine", "tpu"), cwd=tree)
    with pytest.raises(WrongUsage, match="says Stack: tpu, and the tree is for mlu"):
        export(tree, ["mlu"], project=project)


def test_kinds_of_fixups(project: Project, tree: Path) -> None:
    def fix(text: str, line: int) -> None:
        edit(tree, "utils/long.py", f"line_{line} = {line}\n", f"line_{line} = 'x'\n")
        commit(tree, text, 1700001000)

    fix("fixup! fixup! Add utils/accelerator: a registry of devices", 30)
    fix("fixup! Add utils", 31)
    fix(f"fixup! {git('rev-parse', 'HEAD~5', cwd=tree)[:9]}", 32)
    fix("squash! Add utils/accelerator: a registry of devices", 33)
    fix(f"amend! Add utils/accelerator: a registry of devices\n\n{message('Add a registry', 'common')}", 34)
    fix("fixup! Add a registry", 35)
    export(tree, project=project)
    (found,) = [patch for patch in load_part(project.patches / "common") if patch.subject == "Add a registry"]
    assert all(f"line_{n} = 'x'" in found.text for n in range(30, 36))
    again(project, tree)
    fix("squash! Add a registry\n\nAnd more to say.", 36)
    with pytest.raises(WrongUsage, match="wants its message joined"):
        export(tree, project=project)
    git("commit", "-q", "--amend", "-m", "fixup! Nothing of that name", cwd=tree)
    with pytest.raises(WrongUsage, match="mends no commit"):
        export(tree, project=project)
    git("commit", "-q", "--amend", "-m", f"amend! Add a registry\n\n{message('Add it', 'mlu')}", cwd=tree)
    with pytest.raises(WrongUsage, match="moves a patch from common to mlu"):
        export(tree, project=project)


def test_trees_that_cannot_be_exported(project: Project, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="there is no"):
        export(tmp_path / "absent", project=project)
    git("switch", "-q", "--orphan", "other", cwd=tree)
    commit(tree, "Other", 1700001000)
    with pytest.raises(WrongUsage, match=r"is not a tree of example/small at v6\.0"):
        export(tree, project=project)
    git("switch", "-q", "porter/mlu", cwd=tree)
    git("switch", "-q", "-c", "side", "HEAD~1", cwd=tree)
    (tree / "side.py").write_text("side = 1\n")
    commit(tree, message("Aside", "mlu"), 1700001000)
    git("switch", "-q", "porter/mlu", cwd=tree)
    git("merge", "-q", "-m", message("Both", "mlu"), "side", cwd=tree)
    with pytest.raises(WrongUsage, match=r"\(Both\) is a merge") as merge:
        export(tree, project=project)
    assert f"git -C {tree} rebase" in merge.value.hint
    git("reset", "-q", "--hard", "HEAD~1", cwd=tree)
    (tree / "picture.bin").write_bytes(bytes(range(256)))
    commit(tree, message("Add a picture", "mlu"), 1700001000)
    with pytest.raises(CheckFailed, match=r"is nothing for a patch: it is a binary file"):
        export(tree, project=project)
    (tree / "picture.bin").unlink()
    (tree / "link.py").symlink_to("train.py")
    git("add", "-A", cwd=tree)
    git("commit", "-q", "--amend", "--no-edit", cwd=tree)
    with pytest.raises(CheckFailed, match=r"is nothing for a patch: .*120000"):
        export(tree, project=project)
    git("reset", "-q", "--hard", "HEAD~1", cwd=tree)
    git("commit", "-q", "--allow-empty", "-m", message("Nothing", "mlu"), cwd=tree)
    with pytest.raises(WrongUsage, match="changes nothing"):
        export(tree, project=project)
    git("reset", "-q", "--hard", "HEAD~1", cwd=tree)
    (tree / ".git/MERGE_HEAD").write_text("0" * 40)
    with pytest.raises(WrongUsage, match="in the middle of a merge"):
        export(tree, project=project)


def test_a_users_own_clone(project: Project, clone: Path) -> None:
    """With settings of theirs, and a tree that porter did not make the commits of."""
    apply(["mlu"], clone, project=project)
    git("config", "core.autocrlf", "true", cwd=clone)
    git("config", "diff.noprefix", "true", cwd=clone)
    edit(clone, "utils/long.py", "line_30 = 30\n", "line_30 = 'mlu'\n")
    export(clone, into="mlu/2", project=project)
    assert b"\r" not in (project.patches / "mlu/know-the-mlu-at-the-top.patch").read_bytes()
    again(project, clone)
    shutil.rmtree(clone / ".git/porter")
    assert export(clone, project=project).targets == ("mlu",)
    git("reset", "-q", "--hard", "v6.0", cwd=clone)
    with pytest.raises(WrongUsage, match="does not say which target"):
        export(clone, project=project)


def test_a_partial_tree(project: Project, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the files of a package index alone, the lock becomes what it is with all of upstream at hand."""
    lock = Lock.load(project.lock_path)
    replace(lock, sources=(make_index(tmp_path / "wheels"), *lock.sources)).write(project.lock_path)
    write_lock(project=project)
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "empty"))
    with package_index(tmp_path / "wheels", tmp_path / "served") as url:
        monkeypatch.setenv("PIP_INDEX_URL", url)
        tree = fresh(project, tmp_path / "tree", "mlu")
    assert not (tree / "LICENSE").exists()
    assert export(tree, project=project).rewrite.edits == ()
    edit(tree, "utils/long.py", "line_30 = 30\n", "new = 1\nline_30 = 30\n")
    export(tree, into="common/2", project=project)
    assert export(tree, project=project).rewrite.edits == ()
    assert lint(project=project) == []
    written = Lock.load(project.lock_path)
    assert written.stacks["tpu"].commit != lock.stacks["tpu"].commit
    monkeypatch.setenv("PORTER_CACHE", str(made / "cache"))
    assert write_lock(check=True, project=project).stale == () and Lock.load(project.lock_path) == written


def test_killed_between_the_patches_and_the_commit(
    project: Project, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patches hold the change, the tree has it uncommitted: the same command again ends it."""
    edit(tree, "utils/long.py", "line_30 = 30\n", "line_30 = 'mlu'\n")
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("porter.rebase.export._Export._commit", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        export(tree, into="mlu/2", project=project)
    assert git("status", "--porcelain", cwd=tree) == "M utils/long.py"
    written = state(project)
    assert export(tree, into="mlu/2", project=project).rewrite.edits == ()
    assert state(project) == written
    again(project, tree)


def calls(project: Project, tree: Path, tmp_path: Path) -> list[str]:
    """Export a tree in a process of its own; the commands that it gave to git."""
    real, log, script = shutil.which("git"), tmp_path / "log", tmp_path / "bin/git"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\necho "$*" >>{log}\nexec {real} "$@"\n')
    script.chmod(0o755)
    log.unlink(missing_ok=True)
    done = porter(
        "export", tree, cwd=project.root, env={"PATH": os.pathsep.join((str(script.parent), os.environ["PATH"]))}
    )
    assert done.returncode == 0, done.stderr
    words = ("format-patch", "cherry-pick", "index-pack")
    return [word for row in log.read_text().splitlines() for word in words if f" {word} " in row]


def test_git_does_no_more_than_is_needed(project: Project, tree: Path, tmp_path: Path) -> None:
    before = state(project)
    assert calls(project, tree, tmp_path) == ["format-patch"]
    # a file that is not what git writes becomes it; what the other targets' patches change is as it was
    path = project.patches / "common/add-utils-accelerator-a-registry-of-devices.patch"
    path.write_text(path.read_text().replace(" @@\n", " @@ of git's\n", 1))
    assert state(project) != before
    assert calls(project, tree, tmp_path) == ["format-patch"]
    assert state(project) == before
    # a fixup of common/2: that one and those after it are picked, then tpu's on what comes of them
    edit(tree, "utils/long.py", "line_30 = 30\n", "new = 1\nline_30 = 30\n")
    git("commit", "-q", "-a", "--fixup=HEAD~3", cwd=tree)
    picked = ["cherry-pick", "index-pack", "format-patch"]
    moved = ["index-pack"]  # the commits to which the tree's branch moves
    assert calls(project, tree, tmp_path) == [*picked, "index-pack", "cherry-pick", "format-patch", *moved]
    # one of common/1, whose file no patch of tpu's names: those stay as they are
    edit(tree, "train.py", "accelerator", "accelerator  # of any vendor")
    git("commit", "-q", "-a", "--fixup=HEAD~4", cwd=tree)
    assert calls(project, tree, tmp_path) == [*picked, *moved]
    again(project, tree)


def test_a_patch_file_that_does_not_apply_becomes_what_the_tree_gives(project: Project, tree: Path) -> None:
    """tpu's stack, which cannot be built on that common, is put on the new one as it is."""
    before = state(project)
    path = project.patches / "common/import-the-accelerator.patch"
    path.write_text(path.read_text().replace("\n import torch", "\n import tensors"))
    assert state(project) != before
    with pytest.raises(CheckFailed, match="does not apply"):
        write_lock(check=True, project=project)
    export(tree, project=project)
    assert state(project) == before


def hostile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, hooks and variables that change what git does, or stop it."""
    hooks = home / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "commit-msg", "post-checkout", "post-rewrite", "prepare-commit-msg"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    (home / "attributes").write_text("*.py merge=union diff=odd\n")
    (home / "hostile").write_text(
        f"[core]\nhooksPath = {hooks}\nattributesFile = {home}/attributes\neditor = false\nabbrev = 4\n"
        "[commit]\ngpgSign = true\ncleanup = scissors\n[merge]\nconflictStyle = diff3\nrenames = false\nff = only\n"
        "[rerere]\nenabled = true\nautoUpdate = true\n[sequence]\neditor = false\n[gpg]\nprogram = false\n"
        '[diff]\nnoprefix = true\ncontext = 0\nalgorithm = patience\n[diff "odd"]\nxfuncname = ^line_1 .*\n'
        "[format]\nsignOff = true\nnumbered = true\nsubjectPrefix = ODD\nheaders = X-Spam: no\n"
        "[i18n]\ncommitEncoding = ISO-8859-1\nlogOutputEncoding = ISO-8859-1\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "hostile"))
    for name, value in {
        "COMMITTER_DATE": "never",
        "INDEX_FILE": "/dev/null",
        "WORK_TREE": "/",
        "EDITOR": "false",
    }.items():
        monkeypatch.setenv(f"GIT_{name}", value)


def test_nothing_of_the_users_changes_what_is_moved(
    project: Project, tree: Path, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(tree, "utils/long.py", "line_30 = 30\n", "new = 1\nline_30 = 30\n")
    git("commit", "-q", "-a", "--fixup=HEAD~3", cwd=tree)
    shutil.copytree(project.root, tmp_path / "plain")
    export(tree, project=Project(tmp_path / "plain"))
    with monkeypatch.context() as patched:
        hostile(own_home, patched)
        export(tree, project=project)
    assert state(project) == state(Project(tmp_path / "plain"))
    assert any(b"+new = 1\n" in data for data in state(project).values())


def test_attributes_in_the_tree_do_not_settle_a_conflict(project: Project, tree: Path) -> None:
    (tree / ".gitattributes").write_text("*.py merge=union text eol=crlf ident\n")
    commit(tree, message("Say how to merge", "common"), 1700001000)
    edit(tree, "utils/long.py", "mlu = 1\n", "mlu = 2\n")
    commit(tree, message("For all", "common"), 1700001000)
    with pytest.raises(CheckFailed, match=r"\(For all\), moved to its place in common, does not fit"):
        export(tree, project=project)
    git("reset", "-q", "--hard", "HEAD~1", cwd=tree)
    assert export(tree, project=project).moved == 3
