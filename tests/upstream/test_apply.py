"""``porter apply`` on the real v6.0, through the real sources."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import git
import pytest

from porter.commands.audit import audit
from porter.lockfile import Lock
from porter.project import Project
from porter.stack import series

from .conftest import TREES
from .harness import CHECKOUT, Lab, Tree, porter
from .jobs import BARE, Shop

LOCK = Lock.load(CHECKOUT / "upstream.lock")


def assert_is_the_locks(path: Path, name: str) -> None:
    """Commit, tree and every file on disk, read by git itself; of several targets, what the first one's commits are."""
    targets = name.split("+")
    expected = LOCK.stacks[targets[0]]
    repo = git.Repo(path)
    whole = (path / "requirements.txt").exists()
    ends = {True: (expected.commit, expected.tree)}
    if expected.partial is not None:
        ends[False] = (expected.partial.commit, expected.partial.tree)
    later = sum(len(series(CHECKOUT / "patches" / other)) for other in targets[1:])
    end = repo.commit(f"HEAD~{later}")
    assert (end.hexsha, end.tree.hexsha) == ends[whole]
    files: dict[str, str | None] = {}
    for part in ("common", *targets):
        files.update(LOCK.stacks[part].files)
    both = [path for path in files if sum(path in LOCK.stacks[target].files for target in targets) > 1]
    for file, blob in files.items():
        if file in both:  # no lock says what two targets make of it together
            continue
        if blob is None:
            assert not (path / file).exists()
        else:
            assert repo.git.hash_object("--no-filters", str(path / file)) == blob, file
    untouched = {p: e for p, e in LOCK.pin.files.items() if p not in files}
    for file, entry in untouched.items():
        if whole or (path / file).exists():
            assert repo.git.hash_object("--no-filters", str(path / file)) == entry.id, file


@pytest.mark.trees(*TREES)
def test_the_result_is_the_locks(tree: Tree) -> None:
    assert_is_the_locks(tree.path, tree.name)
    assert not git.Repo(tree.path).is_dirty()


@pytest.mark.trees(*TREES)
def test_one_commit_per_patch(tree: Tree, trees: dict[str, Tree]) -> None:
    """Stacks compose: mlu+tpu is common's, mlu's and tpu's patches, in this order."""
    subjects = {
        name: [c.summary for c in git.Repo(t.path).iter_commits(first_parent=True)][::-1][1:]
        for name, t in trees.items()
        if name != "pristine"
    }
    common = [a for a, b in zip(subjects["mlu"], subjects["tpu"]) if a == b]
    own = {name: subjects[name][len(common) :] for name in ("mlu", "tpu")}
    assert len(common) > 20 and own["mlu"] and own["tpu"]
    assert subjects["mlu+tpu"] == common + own["mlu"] + own["tpu"]


def test_status_knows_every_patch(tree: Tree, lab: Lab, porter_env: dict[str, str]) -> None:
    status = json.loads(porter("status", "--json", tree.path, env=porter_env).stdout)
    assert sorted(status["targets"]) == sorted(tree.targets)
    assert {patch["state"] for patch in status["patches"]} == {"applied"}


def test_again_is_nothing(tree: Tree, porter_env: dict[str, str]) -> None:
    targets = [word for target in tree.targets for word in ("--target", target)]
    before = {p: p.stat().st_mtime_ns for p in tree.path.rglob("*") if p.is_file()}
    done = porter("apply", *targets, tree.path, env=porter_env)
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.fixture(scope="module")
def from_index(lab: Lab, porter_env: dict[str, str]) -> Path:
    """A tree made where no git server can be reached: the package index is asked, with the user's own settings."""
    home, real = lab.folder("no-git"), Path.home()
    (home / ".gitconfig").write_text(
        f'[url "file://{home}/nothing/"]\n'
        "\tinsteadOf = https://github.com/\n\tinsteadOf = git://\n\tinsteadOf = ssh://\n\tinsteadOf = git@\n"
    )
    env = {**porter_env, "HOME": str(home), "PORTER_CACHE": str(home / "cache")}
    env.setdefault("XDG_CONFIG_HOME", str(real / ".config"))
    if "PIP_CONFIG_FILE" not in env and (real / ".pip" / "pip.conf").exists():
        env["PIP_CONFIG_FILE"] = str(real / ".pip" / "pip.conf")
    done = porter("apply", "--target", "mlu", home / "yolov5", env=env)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"\d+ of \d+ files are not in the package index: ", done.stdout + done.stderr)
    assert len(said) == 1, "what is missing is said once"
    return home / "yolov5"


def test_from_the_package_index_alone(from_index: Path) -> None:
    assert not (from_index / "requirements.txt").exists()
    assert_is_the_locks(from_index, "mlu")


def test_what_is_allowed_in_files_that_no_index_has_is_not_stale(from_index: Path) -> None:
    found = audit(from_index, ["mlu"], project=Project(CHECKOUT))
    assert not found.failed, found.lines()


def test_a_partial_tree_trains(from_index: Path, shop: Shop) -> None:
    training = shop.train(Tree("mlu", from_index), *BARE, "--epochs", 1)
    training.run.ok()
    assert len(training.rows) == 1
    assert porter("status", from_index, env=dict(os.environ)).returncode == 0
    assert not git.Repo(from_index).is_dirty(untracked_files=True), "a run's outputs must not look like changes"


def test_lint(porter_env: dict[str, str]) -> None:
    done = porter("lint", env=porter_env)
    assert done.returncode == 0, done.stdout + done.stderr
