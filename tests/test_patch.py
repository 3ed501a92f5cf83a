from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from sources import git

from porter.errors import CheckFailed, EnvironmentFailed
from porter.patch import FORMAT, Patch, file_names, slug, tidy, trailers

MAIL = b"""From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Ann Other <ann@example.org>
Date: Sun, 22 Nov 2026 08:01:00 +0800
Subject: [PATCH] Load every checkpoint
 into host memory

A card may be gone.

Reason: device
Upstream: aff028196 (#6516) in train.py
Check: checkpoint
Stack: common

diff --git a/f b/f
index 1111111..2222222 100644
--- a/f
+++ b/f
@@ -1 +1 @@
-a
+b
"""


def parse(data: bytes = MAIL) -> Patch:
    return Patch.parse(data, "common", "load.patch")


def test_the_parts_of_a_patch() -> None:
    patch = parse()
    assert patch.id == "common/load.patch"
    assert (patch.number, patch.label) == (0, "common/0")  # it stands in no series
    assert patch.subject == "Load every checkpoint into host memory"
    assert patch.body.startswith("A card may be gone.\n\nReason: device\n")
    assert patch.message.endswith("\nStack: common\n")
    assert patch.trailers == (
        ("Reason", "device"),
        ("Upstream", "aff028196 (#6516) in train.py"),
        ("Check", "checkpoint"),
        ("Stack", "common"),
    )
    assert patch.trailer("Check") == "checkpoint"
    assert patch.trailer("Other") == ""
    assert patch.author == "Ann Other <ann@example.org>"
    assert patch.date == "1795305660 +0800"
    assert [(change.kind, change.new) for change in patch.changes] == [("modify", "f")]
    assert MAIL.decode().split("\n")[patch.diff_line - 1] == "diff --git a/f b/f"
    assert patch.text.startswith("diff --git a/f b/f\nindex")


def test_a_name_without_a_number() -> None:
    assert Patch.parse(MAIL, "common", "load.patch").number == 0


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        (b"From 0000", b"Frim 0000", 1, "not a patch"),
        (b"Subject: [PATCH] ", b"Subject: ", 4, r"\[PATCH\]"),
        (b"[PATCH] Load", b"[PATCH] [RFC] Load", 4, "would not keep the subject"),
        (b"[PATCH] Load", b"[PATCH] Re: Load", 4, "would not keep the subject"),
        (b"[PATCH] Load", b"[PATCH] : Load", 4, "would not keep the subject"),
        (b"Ann Other <ann@example.org>", b"nobody", 2, "Name <mail>"),
        (b"Ann Other", b"Ann \xff", 2, "not encoded"),
        (b"Ann Other", b"=?nonsense?q?Ann?=", 2, "cannot decode"),
        (b"Sun, 22 Nov 2026 08:01:00 +0800", b"yesterday", 3, "not a date"),
        (b"Sun, 22 Nov 2026 08:01:00 +0800", b"Sun, 22 Nov 2026 08:01:00", 3, "zone"),
        (b"Date:", b"Subject: [PATCH] x\nDate:", 3, "one Subject"),
        (b"Date: Sun, 22 Nov 2026 08:01:00 +0800\n", b"", 1, "one Date"),
        (b"\nSubject", b"\nContent-Transfer-Encoding: base64\nSubject", 4, "encoded"),
        (b"\nSubject", b"\nContent-Type: text/plain; charset=gbk\nSubject", 4, "UTF-8"),
        (b"A card", b"A \xff card", 7, "not UTF-8"),
        (b"A card may be gone.", b"A\n---\n f | 2 +-\n", 8, "---"),
        (b"A card", b"diff -u\nA card", 7, "diff -"),
        (b"A card", b"Index: f\nA card", 7, "Index:"),
        (b"A card", b"Subject: other\n\nA card", 7, "Subject:"),
        (b"A card", b"From: Other <o@example.org>\n\nA card", 7, "From:"),
        (b"diff --git a/f b/f", b"diff a/f b/f", 6, "no diff|diff -"),
        (b"100644", b"120000", 15, "plain files"),
        (b"+b\n", b"+b\n-- \n2.39.5\n\n", 20, "belongs to no file|not a line"),
    ],
)
def test_what_is_no_patch_is_refused_by_line(old: bytes, new: bytes, line: int, what: str) -> None:
    assert MAIL.count(old) >= 1
    with pytest.raises(CheckFailed, match=what) as error:
        parse(MAIL.replace(old, new, 1))
    assert error.value.what.startswith("common/load.patch, line ")
    found = int(error.value.what.split("line ")[1].split(":")[0])
    assert abs(found - line) <= 1
    assert "git format-patch" in error.value.hint


def test_line_ends_of_another_system_are_named() -> None:
    with pytest.raises(CheckFailed, match="CRLF") as error:
        parse(MAIL.replace(b"\n", b"\r\n"))
    assert "core.autocrlf=false" in error.value.hint


def test_a_file_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="there is no"):
        Patch.read(tmp_path / "0001-x.patch", "common")
    with pytest.raises(EnvironmentFailed, match="cannot read"):
        Patch.read(tmp_path, "common")


def test_a_message_is_tidied_as_git_am_does() -> None:
    assert tidy("\n\na  \n\n\n\nb\t\n\n") == "a\n\nb"
    assert trailers("Why.\n\nReason: device\nStack: mlu") == (("Reason", "device"), ("Stack", "mlu"))
    assert trailers("Why.\n\nReason: device\nand more") == ()
    assert trailers("") == ()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("patch")
    git("-c", "init.defaultBranch=master", "init", "-q", cwd=path)
    git("config", "user.name", "A", cwd=path)
    (path / "f").write_bytes(b"a\n" * 10)
    git("add", "f", cwd=path)
    git("commit", "-q", "-m", "Base", cwd=path)
    git("tag", "base", cwd=path)
    return path


def commit_and_format(path: Path, message: str, author: str, date: str) -> tuple[str, Path]:
    """Commit a change and let git write it as a patch; the commit's id and the file."""
    git("reset", "-q", "--hard", "base", cwd=path)
    (path / "f").write_bytes(b"a\n" * 5 + b"\xff \xe5\xaf\x92\n" + b"a\n" * 4)
    (path / "message").write_text(message, encoding="utf-8")
    git("commit", "-q", "-a", f"--author={author}", f"--date={date}", "-F", "message", cwd=path)
    (path / "message").unlink()
    out = path / ".git" / "out"
    for old in out.glob("*"):
        old.unlink()
    git("format-patch", "-q", *FORMAT, "-o", out, "base..HEAD", cwd=path)
    (file,) = out.iterdir()
    return git("rev-parse", "HEAD", cwd=path), file


WORD = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
WORDS = st.lists(WORD, min_size=1, max_size=12).map(" ".join)


@settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(subject=WORDS)
def test_slugs_are_gits(repository: Path, subject: str) -> None:
    assume(not subject.startswith("#"))
    _, file = commit_and_format(repository, subject, "A <a@example.org>", "1634021238 +0000")
    # a subject's words are separated by one space; that is how git keeps it
    assert f"0001-{slug(git('log', '-1', '--format=%s', cwd=repository))}"[:57] + ".patch" == file.name


def test_file_names_say_what_patches_do_and_not_where_they_stand() -> None:
    assert file_names(["Run without torchvision", "Know the MLU."]) == [
        "run-without-torchvision.patch",
        "know-the-mlu.patch",
    ]
    assert file_names(["Fix it", "FIX it", "fix-it"]) == ["fix-it.patch", "fix-it-2.patch", "fix-it-3.patch"]
    assert file_names(["寒武纪", "...", "x" * 100]) == ["patch.patch", "patch-2.patch", "x" * 60 + ".patch"]


def test_slugs() -> None:
    assert slug("Don't  use np.int... (NumPy 2)") == "Don-t-use-np.int.-NumPy-2"


def test_the_configuration_of_whoever_renders_changes_nothing(repository: Path, tmp_path: Path) -> None:
    """FORMAT and porter.git's settings against a configuration that changes everything they can."""
    from porter.git import Repository

    _, file = commit_and_format(repository, "Subject\n\nWhy.\n", "A <a@example.org>", "1634021238 +0000")
    config = tmp_path / "config"
    config.write_text(
        "[user]\n\tname = B\n\temail = b@example.org\n"
        "[diff]\n\tcontext = 9\n\tnoprefix = true\n\tmnemonicPrefix = true\n\talgorithm = patience\n"
        "\tinterHunkContext = 9\n\torderFile = /dev/null\n"
        "[format]\n\tsignature = S\n\tattach = x\n\tsubjectPrefix = RFC\n\tnumbered = true\n\tfrom = true\n"
        '\theaders = "X-Spam: yes\\n"\n\tto = x@example.org\n\tcc = y@example.org\n\tsignOff = true\n'
        "\tthread = deep\n\tnotes = true\n\tencodeEmailHeaders = false\n\tsuffix = .txt\n"
        "[core]\n\tquotePath = false\n\tabbrev = 7\n"
    )
    env = {**os.environ, "GIT_CONFIG_GLOBAL": str(config)}
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        for key, value in env.items():
            patch.setenv(key, value)
        Repository(repository).run("format-patch", "-q", *FORMAT, "-o", str(out), "base..HEAD")
    (rendered,) = out.iterdir()
    assert rendered.read_bytes() == file.read_bytes()
    # the configuration is one that matters
    plain = subprocess.run(
        ["git", "format-patch", "--stdout", "base..HEAD"], cwd=repository, env=env, stdout=subprocess.PIPE, check=True
    )
    assert b"[RFC" in plain.stdout
