"""What a person decides in a bump that stopped: remembered resolutions, git used by hand, redo, one target first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from histories import Line
from sources import git
from stacks import porter

from porter.commands.bump import bump, bump_abort, bump_continue, bump_redo, bump_skip, bump_status
from porter.commands.lint import lint
from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage
from porter.output import Progress
from porter.project import Project

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


@pytest.mark.parametrize("words", [("reset", "-q", "--hard"), ("rebase", "--abort"), ("checkout", "HEAD", "--", ".")])
def test_redo_has_the_conflict_again_that_a_person_took_back(project: Project, words: tuple[str, ...]) -> None:
    bump(CONFLICTING, project=project)
    before = git("ls-files", "--unmerged", cwd=worktree_of(project))
    git(*words, cwd=worktree_of(project))
    if words[0] != "rebase":
        with pytest.raises(WrongUsage, match="nothing is left") as caught:
            bump_continue(project=project)
        assert "porter bump --redo common/validate-on-any-device" in caught.value.hint
    assert patch_of(bump_redo("common/4", project=project)) == "common/4"
    assert git("ls-files", "--unmerged", cwd=worktree_of(project)) == before != ""
    resolve(project)
    assert bump_continue(project=project).state == "done"


def test_redo_keeps_what_a_person_committed(project: Project) -> None:
    bump(CONFLICTING, project=project)
    resolve(project)
    git("-c", "core.editor=true", "commit", "-q", "--no-edit", cwd=worktree_of(project))
    head = git("rev-parse", "HEAD", cwd=worktree_of(project))
    with pytest.raises(WrongUsage, match="you are at work on"):
        bump_redo("common/4", project=project)
    assert git("rev-parse", "HEAD", cwd=worktree_of(project)) == head


def test_what_was_edited_while_a_bump_came_to_its_end_is_not_overwritten(project: Project) -> None:
    bump(CONFLICTING, project=project)
    resolve(project)
    series = project.patches / "mlu/series"

    class Meanwhile(Progress):
        def step(self, what: str, done: int = 0, total: int | None = None) -> None:
            if what == "writing the patches":
                series.write_text(series.read_text() + "# mine\n")

    with pytest.raises(WrongUsage, match="series was changed just now"):
        bump_continue(project=project, progress=Meanwhile())
    assert series.read_text().endswith("# mine\n")
    bump_abort(project=project)
    assert series.read_text().endswith("# mine\n") and bump(CONFLICTING, project=project).state == "done"


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
