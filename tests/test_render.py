from __future__ import annotations

from pathlib import Path

import pytest
from sources import git
from stacks import AUTHOR, commit, message

from porter.commands.export import export
from porter.errors import WrongUsage
from porter.git import Repository, scratch
from porter.lockfile import Lock
from porter.project import Project
from porter.rebase import commits
from porter.rebase.commits import canonical, mails
from porter.sources.obtain import obtain
from porter.stack import Stack, load_part, load_parts
from porter.stack.build import Builder

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def work(clone: Path, project: Project) -> Path:
    """The clone with common's and mlu's patches as commits, by git am."""
    for name in ("common", "mlu"):
        for patch in load_part(project.patches / name):
            git("am", "-q", project.patches / patch.id, cwd=clone)
    return clone


def test_commits_become_the_patches_that_they_came_from(work: Path, project: Project) -> None:
    listed = [*load_part(project.patches / "common"), *load_part(project.patches / "mlu")]
    ids = git("rev-list", "--reverse", "v6.0..HEAD", cwd=work).split()
    with scratch(borrow=Repository(work)) as clean:
        base = git("rev-parse", "v6.0", cwd=work)
        found = mails(clean, base, ids)
        assert mails(clean, base, ids[:2], ids, []) == found
    assert [found[i] for i in ids] == [patch.data for patch in listed]


def test_nothing_of_the_users_changes_a_byte(work: Path, project: Project) -> None:
    """Settings, attributes, a template for mails: all of these change what plain git format-patch writes there."""
    for name, value in {
        "diff.suppressBlankEmpty": "true",
        "diff.context": "1",
        "diff.interHunkContext": "20",
        "diff.orderFile": ".git/order",
        "diff.algorithm": "histogram",
        "diff.mnemonicPrefix": "true",
        "format.headers": "X-Spam: no",
        "format.signature": "me",
        "format.attach": "true",
        "format.numbered": "true",
        "format.from": "Me <me@example.org>",
        "diff.odd.xfuncname": "^line_1 .*",
    }.items():
        git("config", name, value, cwd=work)
    (work / ".git/order").write_text("utils/long.py\n")
    (work / ".git/info/attributes").write_text("*.py diff=odd\n")
    plain = git("format-patch", "--stdout", "v6.0..HEAD", cwd=work)
    assert "X-Spam" in plain
    assert export(work, project=project).rewrite.edits == ()


def test_a_message_that_quotes_a_mail_does_not_end_its_patch(work: Path, project: Project) -> None:
    """The line that begins a mail stands in the message, with the id of a commit that really is in the range."""
    quoted = git("rev-parse", "HEAD", cwd=work)
    (work / "train.py").write_text("new = 1\n")
    text = message("Quote", "mlu").replace(
        "needs it.", f"needs it.\n\n{'0' * 40} Mon Sep 17 00:00:00 2001\n> From {quoted}"
    )
    commit(work, text, 1700000000)
    export(work, project=project)
    assert [patch.subject for patch in load_part(project.patches / "mlu")][1:] == ["Know the MLU at the top", "Quote"]


def test_a_range_that_is_none(work: Path) -> None:
    git("switch", "-q", "--orphan", "alone", cwd=work)
    commit(work, message("Alone", "mlu"), 1700000000)
    with pytest.raises(WrongUsage, match="has not grown from"):
        commits.between(Repository(work), git("rev-parse", "v6.0", cwd=work), "HEAD")


def test_built_stacks_in_canonical_form(project: Project) -> None:
    snapshot, parts = obtain(Lock.load(project.lock_path)), load_parts(project)
    builder = Builder(snapshot)
    builds = [builder.build(Stack.of(parts, [name]).patches) for name in ("mlu", "tpu")]
    for name, found in zip(("mlu", "tpu"), canonical(snapshot, builds)):
        assert [(patch.id, patch.data) for patch in found] == [(p.id, p.data) for p in Stack.of(parts, [name]).patches]
    # with mlu below, tpu's second patch moves by a line and names other blobs: as git writes it there
    both = builder.build(Stack.of(parts, ["mlu", "tpu"]).patches)
    moved = canonical(snapshot, [both])[0][-1]
    assert moved.data != parts["tpu"][-1].data
    assert b"@@ -48,7 +48,7 @@ line_46 = 46" in moved.data


def test_a_commit_is_read_as_it_is_stored(work: Path) -> None:
    (work / "new.py").write_text("new = 1\n")
    git("add", "-A", cwd=work)
    text = "Fold\n  this\n\nBody   \n\n\nMore\n\nStack: mlu\n"
    git(
        "-c",
        "i18n.commitEncoding=ISO-8859-1",
        "commit",
        "-q",
        "--cleanup=verbatim",
        f"--author={AUTHOR}",
        "-m",
        text,
        cwd=work,
    )
    found = commits.between(Repository(work), "HEAD~1", "HEAD")
    assert [(c.subject, c.body, c.stack) for c in found] == [("Fold this", "Body\n\nMore\n\nStack: mlu", "mlu")]
    assert found[0].id == git("rev-parse", "HEAD", cwd=work)
    assert found[0].tree == git("rev-parse", "HEAD^{tree}", cwd=work)


def test_a_scratch_repository_sees_what_it_borrows_and_is_gone(work: Path) -> None:
    with scratch(borrow=Repository(work)) as repository:
        assert repository.text("rev-parse", "--is-bare-repository") == "true"
        assert repository.text("cat-file", "-t", git("rev-parse", "HEAD", cwd=work)) == "commit"
        place = repository.path
    assert not place.exists()
