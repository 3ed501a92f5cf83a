"""Commits put elsewhere by git: what comes of them, and what is said of those that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from sources import git
from stacks import commit

from porter.errors import CheckFailed
from porter.git import Repository, scratch
from porter.rebase.commits import pick

TEXT = "".join(f"{n}\n" for n in range(20))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A repository whose first commit is tagged ``base``."""
    git("init", "-q", tmp_path / "work", cwd=tmp_path)
    (tmp_path / "work/file").write_text(TEXT)
    commit(tmp_path / "work", "base", 1700000000)
    git("tag", "base", cwd=tmp_path / "work")
    return tmp_path / "work"


def made(work: Path, start: str, files: dict[str, str | None], subject: str = "change") -> str:
    """A commit on ``start`` that writes these files, or deletes one."""
    git("checkout", "-q", "--detach", start, cwd=work)
    for name, text in files.items():
        if text is None:
            (work / name).unlink()
        else:
            (work / name).write_text(text)
    commit(work, subject, 1700000000)
    return git("rev-parse", "HEAD", cwd=work)


def picked(work: Path, onto: str, *ids: str) -> list[str]:
    with scratch(borrow=Repository(work)) as repository:
        names = [f"commit {n}" for n in range(len(ids))]
        found = pick(repository, onto, ids, names, "common", "Mend it.")
        return [repository.text("show", f"{tree}:file") for _, tree in found]


def test_commits_follow_the_lines_that_they_change(work: Path) -> None:
    onto = made(work, "base", {"file": f"above\n{TEXT}"})
    one = made(work, "base", {"file": TEXT.replace("\n9\n", "\nnine\n")})
    two = made(work, one, {"file": TEXT.replace("\n9\n", "\nnine\nten\n")})
    found = picked(work, onto, one, two)
    assert found[0] == f"above\n{TEXT}".replace("\n9\n", "\nnine\n").rstrip("\n")
    assert "nine\nten\n" in found[1]
    # one that is there already changes nothing, and is still one
    assert picked(work, one, one, two)[0] == git("show", f"{one}:file", cwd=work)
    assert picked(work, onto) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ({"new": "ours\n"}, {"new": "theirs\n"}, "new: both add it"),
        ({"file": None}, {"file": f"{TEXT}more\n"}, "file: it is not there"),
        ({"file": f"{TEXT}more\n"}, {"file": None}, "file: it would delete what is changed"),
        (
            {"file": TEXT.replace("\n9\n", "\nours\n")},
            {"file": TEXT.replace("\n9\n", "\ntheirs\n")},
            "file: both change the same lines\n  <<<<<<< common\n  ours\n  =======\n  theirs\n  >>>>>>> the (odd) one",
        ),
    ],
)
def test_what_does_not_fit(work: Path, ours: dict[str, str | None], theirs: dict[str, str | None], why: str) -> None:
    onto = made(work, "base", ours)
    good = made(work, "base", {"other": "other\n"})
    bad = made(work, good, theirs, "the (odd) one")
    with pytest.raises(CheckFailed) as error:
        picked(work, onto, good, bad)
    assert (error.value.what, error.value.why, error.value.hint) == ("commit 1 does not fit there", why, "Mend it.")
