"""The forms in which one gets foreign patches: mails, what git log prints, a quilt series, what a terminal altered."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest
from sources import git
from stacks import commit

from porter.errors import CheckFailed, WrongUsage
from porter.foreign.hunks import Incoming
from porter.foreign.reader import read

from .test_foreign import CHANGE, COMMIT, HUNK, KNOWN


def test_a_mail_in_another_encoding_and_a_file_with_other_line_ends(tmp_path: Path) -> None:
    (tmp_path / "mail").write_bytes(
        b"From: =?iso-8859-1?q?Zo=EB?= <z@example.org>\nSubject: =?utf-8?b?5a+S?=\n =?utf-8?b?5q2m?= [x]\n"
        b"Date: Tue, 14 Nov 2023 22:13:20 -0130\nContent-Type: text/plain; charset=iso-8859-1\n"
        b"Content-Transfer-Encoding: quoted-printable\n\nWhy=3A Zo=EB\n---\n train.py | 2 +-\n\n"
        b"diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n" + HUNK
    )
    (patch,) = read(tmp_path / "mail", KNOWN)
    assert (patch.subject, patch.author, patch.date) == ("寒武 [x]", "Zoë <z@example.org>", "1700005400 -0130")
    assert (patch.body, len(patch.changes)) == ("Why: Zoë", 1)
    (tmp_path / "dos").write_bytes((b"--- a/train.py\n+++ b/train.py\n" + HUNK).replace(b"\n", b"\r\n"))
    assert read(tmp_path / "dos", KNOWN)[0].changes[0].hunks[0].old[0] == b"one\n"


def one(path: Path, data: bytes) -> Incoming:
    path.write_bytes(data)
    (patch,) = read(path, KNOWN)
    assert [(c.kind, c.old, c.hunks[0].new) for c in patch.changes] == [
        ("modify", "train.py", (b"one\n", b"zwei\n", b"three\n"))
    ]
    return patch


def test_what_git_show_and_git_log_print(tmp_path: Path) -> None:
    patch = one(tmp_path / "show", COMMIT + CHANGE)
    assert (patch.subject, patch.body) == ("Raise it", "Why: fewer boxes.")
    assert (patch.author, patch.date) == ("Ann <ann@example.org>", "1634004000 +0800")
    # git log begins with the newest; a commit without a change, a merge, says nothing
    older = COMMIT.replace(b"Oct 12", b"Oct 11").replace(b"Raise", b"Lower").replace(b" (HEAD -> main)", b"")
    merge = older.replace(b"Author", b"Merge: 1234567 89abcde\nAuthor")
    for text in (COMMIT + CHANGE + b"\n" + merge + b"\n" + older + CHANGE, older + CHANGE + b"\n" + COMMIT + CHANGE):
        (tmp_path / "log").write_bytes(text)
        assert [patch.subject for patch in read(tmp_path / "log", KNOWN)] == ["Lower it", "Raise it"]
    stat = b" train.py | 2 +-\n 1 file changed, 1 insertion(+), 1 deletion(-)\n\n"
    assert one(tmp_path / "stat", stat + CHANGE).subject == ""


@pytest.mark.parametrize("how", ["colour", "bom", "utf-16"])
def test_diffs_that_a_terminal_or_windows_changed(tmp_path: Path, how: str) -> None:
    coloured = b"".join(b"\x1b[1m%s\x1b[m\n" % row for row in CHANGE.split(b"\n")[:-1])
    text = {"colour": coloured, "bom": b"\xef\xbb\xbf" + CHANGE, "utf-16": CHANGE.decode().encode("utf-16")}
    one(tmp_path / "x.diff", text[how])


def test_mails_as_git_am_takes_them(tmp_path: Path) -> None:
    """Author and date above the message, text that says no encoding, a patch that is attached."""
    head = b"From: Sender <s@example.org>\nDate: Tue, 12 Oct 2021 10:00:00 +0800\nSubject: [PATCH 1/2] Raise it\n"
    above = b"\nFrom: Ann <ann@example.org>\nDate: Wed, 13 Oct 2021 11:00:00 +0000\n\nWhy.\n---\n"
    patch = one(tmp_path / "in-body", head + above + CHANGE + b"-- \n2.39\n")
    assert (patch.author, patch.date, patch.body) == ("Ann <ann@example.org>", "1634122800 +0000", "Why.")
    assert one(tmp_path / "latin", head + b"\nWhy: Zo\xeb.\n---\n" + CHANGE).body == "Why: Zoë."
    parts = b'Content-Type: multipart/mixed; boundary="B"\n\n--B\nContent-Type: text/plain\n\nWhy.\n\n--B\n'
    attached = b"Content-Type: text/x-patch\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(CHANGE)
    patch = one(tmp_path / "mime", head + b"MIME-Version: 1.0\n" + parts + attached + b"--B--\n")
    assert (patch.subject, patch.author, patch.body) == ("Raise it", "Sender <s@example.org>", "Why.")


def test_the_options_of_a_series(tmp_path: Path) -> None:
    (tmp_path / "a.diff").write_bytes(CHANGE + b"@@ -9,0 +10 @@\n+ten\n")
    (tmp_path / "series").write_text("a.diff -R  # not any more\n")
    (patch,) = read(tmp_path, KNOWN)
    first, second = patch.changes[0].hunks
    assert (first.old[1], first.new[1], first.old_position) == (b"zwei\n", b"two\n", 0)
    assert (second.old, second.new, second.old_position) == ((b"ten\n",), (), 9)
    (tmp_path / "series").write_text("a.diff -p1 --fuzz=3\n")
    with pytest.raises(WrongUsage, match="series, line 1: porter knows no option --fuzz=3"):
        read(tmp_path, KNOWN)


@pytest.mark.parametrize(
    ("row", "strip", "reverse"),
    [("-p0", 0, False), ("-p 1 --reverse", 1, True), ("-pab", 1, False), ("--strip=2 -R", 2, True)],
)
def test_options_that_a_series_may_have(tmp_path: Path, row: str, strip: int, reverse: bool) -> None:
    name = "/".join(["a", "b", "train.py"][2 - strip :]).encode()
    (tmp_path / "a.diff").write_bytes(b"--- %s\n+++ %s\n" % (name, name) + HUNK)
    (tmp_path / "series").write_bytes(b"\xef\xbb\xbfa.diff " + row.encode() + b"\r\n")
    (patch,) = read(tmp_path, KNOWN)
    new = (b"one\n", b"two\n" if reverse else b"zwei\n", b"three\n")
    assert [(change.old, change.hunks[0].new) for change in patch.changes] == [("train.py", new)]
    assert patch.name == ("a.diff in reverse" if reverse else "a.diff")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"PK\x03\x04" + CHANGE, "an archive"),
        (b"x" * 257 + b"ustar\0" + CHANGE, "an archive"),
        (b"\x1f\x8b\x08\0", "a compressed file"),
        (b"<!DOCTYPE html>\n" + CHANGE, "a web page"),
        (b"# v2 git bundle\n", "a git bundle"),
        (b"*** a/train.py\n--- b/train.py\n***************\n*** 1,3 ****\n", "a context diff"),
        (b"2c2\n< two\n---\n> zwei\n", "a diff without context"),
        (
            b"* commit 01234567\n| Author: A <a@b>\n| \n|     x\n| \n| diff --git a/x b/x\n| @@ -1 +1 @@\n",
            "a log with --graph",
        ),
        (CHANGE.decode().encode("utf-16-le"), "not text"),
        (b" train.py | 2 +-\n 1 file changed, 1 insertion(+)\n", "a summary of changes"),
    ],
)
def test_what_is_no_unified_diff_is_refused_by_name(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(CheckFailed, match=f"x is {name}") as error:
        read(tmp_path / "x", KNOWN)
    assert error.value.hint


def test_no_file_is_waited_for_or_read_without_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.diff")
    (tmp_path / "series").write_text("a.diff\n")
    for source in (tmp_path, tmp_path / "a.diff", Path("/dev/zero")):
        with pytest.raises(WrongUsage, match="no plain file"):
            read(source, KNOWN)
    with (tmp_path / "big").open("wb") as file:
        file.truncate(33 << 20)
    with pytest.raises(WrongUsage, match="more than 32 MB"):
        read(tmp_path / "big", KNOWN)
    reader, writer = os.pipe()  # what a shell makes of <(git diff)
    os.write(writer, CHANGE)
    os.close(writer)
    assert len(read(Path(f"/dev/fd/{reader}"), KNOWN)) == 1
    os.close(reader)


def test_every_form_of_git_log(tmp_path: Path) -> None:
    """Subject, author and date of each commit, the oldest first; notes and summaries are no part of the message."""
    git("init", "-q", tmp_path, cwd=tmp_path)
    for n, subject in enumerate(("Add it", "Raise it")):
        (tmp_path / "train.py").write_text(f"{n}\n")
        commit(tmp_path, f"{subject}\n\nWhy.\n", 1700000000 + n)
    git("-c", "user.name=N", "-c", "user.email=n@example.org", "notes", "add", "-m", "a note", cwd=tmp_path)
    who, dates = "Zoë Porter <zoe@example.org>", ["1700000000 +0800", "1700000001 +0800"]
    full = [("Add it", "Why.", who, dates[0]), ("Raise it", "Why.", who, dates[1])]
    brief = [(subject, "", "", "") for subject, *_ in full]
    forms = {
        **dict.fromkeys(
            ("--format=medium", "--format=fuller", "--format=raw", "--stat", "--summary", "--reverse"), full
        ),
        **dict.fromkeys(("--date=iso", "--date=iso-strict", "--date=rfc", "--date=raw", "--color=always"), full),
        "--oneline": brief,
        "--format=full": [(*one[:3], "") for one in full],
    }
    for form, expected in forms.items():
        command = ["git", "-C", tmp_path, "log", "-p", form]
        (tmp_path / "log").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
        found = [(p.subject, p.body, p.author, p.date) for p in read(tmp_path / "log", KNOWN)]
        assert found == expected, form


def test_mails_are_what_git_am_makes_of_them(tmp_path: Path) -> None:
    """Attached, inline, in other encodings, after a cover letter: subject, body, author and date of git's commit."""
    git("init", "-q", tmp_path, cwd=tmp_path)
    (tmp_path / "train.py").write_text("1\n")
    commit(tmp_path, "Add it", 1700000000)
    (tmp_path / "train.py").write_text("2\n")
    commit(tmp_path, "Raise it (寒武纪)\n\nWhy: Zoë.\n", 1700000001)
    for options in (["--attach"], ["--inline", "--cover-letter"], ["--from=Other <o@example.org>"]):
        command = ["git", "-C", tmp_path, "-c", "user.name=N", "-c", "user.email=n@example.org"]
        text = subprocess.run(
            [*command, "format-patch", "--stdout", *options, "HEAD~1"], capture_output=True, check=True
        ).stdout
        (tmp_path / "mails").write_bytes(text if "--attach" in options else text.replace(b"\n", b"\r\n"))
        *cover, patch = read(tmp_path / "mails", KNOWN)
        assert [len(one.changes) for one in cover] == [0] * ("--cover-letter" in options)
        assert (patch.subject, patch.body) == ("Raise it (寒武纪)", "Why: Zoë."), options
        assert (patch.author, patch.date) == ("Zoë Porter <zoe@example.org>", "1700000001 +0800")
    (tmp_path / "dep3").write_bytes(b"Description: Log it\n More.\nFrom: Ann <ann@example.org>\n\n" + CHANGE)
    (patch,) = read(tmp_path / "dep3", KNOWN)
    assert (patch.subject, patch.author) == ("Log it", "Ann <ann@example.org>")
