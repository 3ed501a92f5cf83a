from __future__ import annotations

import base64
from pathlib import Path

import pytest

from porter.errors import CheckFailed, WrongUsage
from porter.foreign.base import Base, Judge, best
from porter.foreign.hunks import FileChange, parse
from porter.foreign.reader import Incoming, read
from porter.objects import Entry, blob

KNOWN = {"train.py", "utils/general.py"}
HUNK = b"@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n"


def single(text: bytes, strip: int | None = None) -> FileChange:
    (change,) = parse(text, KNOWN, strip)
    return change


@pytest.mark.parametrize(
    "head",
    [
        b"diff --git a/train.py b/train.py\nindex 1234567..89abcde 100644\n--- a/train.py\n+++ b/train.py\n",
        b"diff --git train.py train.py\n--- train.py\n+++ train.py\n",
        b"diff -ru yolov5/train.py new/train.py\n--- yolov5/train.py\t2021-10-12\n+++ new/train.py\t2022-01-01\n",
        b"--- x/y/train.py\n+++ z/y/train.py\n",
        b"Index: train.py\n====\n--- train.py.orig\n+++ train.py\n",
    ],
)
def test_ways_to_name_a_file(head: bytes) -> None:
    change = single(head + HUNK)
    assert (change.kind, change.old, change.new) == ("modify", "train.py", "train.py")
    assert change.blob == ("1234567" if b"index" in head else "")
    (hunk,) = change.hunks
    assert (hunk.whole, hunk.old, hunk.new) == (True, b"one\ntwo\nthree\n", b"one\nzwei\nthree\n")


def test_added_deleted_renamed_and_what_cannot_be_taken() -> None:
    text = (
        b"diff --git a/new.py b/new.py\nnew file mode 100755\nindex 0000000..1234567\n--- /dev/null\n+++ b/new.py\n"
        b"@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\n"
        b"diff --git a/train.py b/train.py\ndeleted file mode 100644\n"
        b"--- a/train.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n"
        b"diff --git a/utils/general.py b/utils/all.py\nsimilarity index 90%\nrename from utils/general.py\n"
        b"rename to utils/all.py\n--- a/utils/general.py\n+++ b/utils/all.py\n" + HUNK +
        b"diff --git a/bus.jpg b/bus.jpg\nindex 1..2\nBinary files a/bus.jpg and b/bus.jpg differ\n"
        b"diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+train.py\n"
        b"diff --git a/a b/b\nsimilarity index 100%\ncopy from a\ncopy to b\n"
        b"--- a/../../etc/passwd\n+++ b/../../etc/passwd\n" + HUNK
    )  # fmt: skip
    found = parse(text, KNOWN)
    assert [(change.kind, change.old, change.new) for change in found[:3]] == [
        ("add", "new.py", "new.py"),
        ("delete", "train.py", "train.py"),
        ("rename", "utils/general.py", "utils/all.py"),
    ]
    assert (found[0].mode, found[0].hunks[0].new) == ("100755", b"one\ntwo")
    assert [change.unusable.split(";")[0][:24] for change in found[3:]] == [
        "it is a binary file",
        "it is a symbolic link (m",
        "it is a copy of another ",
        "the path '../../etc/pass",
    ]


def test_files_that_gnu_diff_dates_at_the_beginning_of_time_are_not_there() -> None:
    text = (
        b"diff -ruN a/new.py b/new.py\n--- a/new.py\t1970-01-01 00:00:00.000000000 +0000\n+++ b/new.py\t2022-01-01\n"
        b"@@ -0,0 +1 @@\n+one\ndiff -ruN a/train.py b/train.py\n--- a/train.py\t2021-10-12\n"
        b"+++ b/train.py\t1969-12-31 19:00:00.000000000 -0500\n@@ -1 +0,0 @@\n-one\n"
    )
    assert [(change.kind, change.new) for change in parse(text, KNOWN)] == [("add", "new.py"), ("delete", "train.py")]


def test_hunks_as_they_are_printed_in_a_text() -> None:
    """The end left out, the blanks of empty lines lost, an empty line before what comes next."""
    text = (
        b"--- a/train.py\n+++ b/train.py\n@@ -5,6 +5,7 @@ def f():\n five\n\n seven\n+new\n\n"
        b"@@ -20,3 +21,3 @@\n twenty\n-old\n+new\n twentytwo\n\n\n"
    )
    first, second = single(text).hunks
    assert (first.whole, first.old) == (False, b"five\n\nseven\n")
    assert first.new == b"five\n\nseven\nnew\n"
    assert first.is_loose
    assert (second.whole, second.place) == (True, 19)


def test_lines_that_look_like_the_next_file() -> None:
    text = b"--- a/train.py\n+++ b/train.py\n@@ -1,3 +1,2 @@\n one\n--- two\n three\n-- \n2.39\n"
    (hunk,) = single(text).hunks
    assert hunk.old == b"one\n-- two\nthree\n"


def test_no_context_says_nothing_about_the_place() -> None:
    (hunk,) = single(b"--- a/train.py\n+++ b/train.py\n@@ -7,0 +8 @@\n+new\n").hunks
    assert (hunk.is_loose, hunk.place) == (True, 7)


def test_text_without_a_change(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="no change"):
        parse(b"Hello\n", KNOWN)
    with pytest.raises(CheckFailed, match="before any file's name"):
        parse(HUNK, KNOWN)
    (tmp_path / "mail").write_text("From: A <a@example.org>\nSubject: Hello\nDate: now\n\nNo diff here.\n")
    with pytest.raises(CheckFailed, match="there is no diff"):
        read(tmp_path / "mail", KNOWN)


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
    assert read(tmp_path / "dos", KNOWN)[0].changes[0].hunks[0].old.startswith(b"one\n")


CHANGE = b"diff --git a/train.py b/train.py\nindex 1234567..89abcde 100644\n--- a/train.py\n+++ b/train.py\n" + HUNK
COMMIT = (
    b"commit 0123456789012345678901234567890123456789 (HEAD -> main)\nAuthor: Ann <ann@example.org>\n"
    b"Date:   Tue Oct 12 10:00:00 2021 +0800\n\n    Raise it\n    \n    Why: fewer boxes.\n\n"
)


def one(path: Path, data: bytes) -> Incoming:
    path.write_bytes(data)
    (patch,) = read(path, KNOWN)
    assert [(c.kind, c.old, c.hunks[0].new) for c in patch.changes] == [("modify", "train.py", b"one\nzwei\nthree\n")]
    return patch


@pytest.mark.parametrize(
    ("quoted", "name"),
    [
        (rb"docs \303\274/read me \347\214\253.txt", "docs ü/read me 猫.txt"),
        (rb"a \"quoted\" \\ name\t", 'a "quoted" \\ name\t'),
        (rb"\377", "\udcff"),
    ],
)
def test_names_that_git_quotes(quoted: bytes, name: str) -> None:
    new, b = b'"a/' + quoted + b'"', b'"b/' + quoted + b'"'
    added = b"diff --git %s %s\nnew file mode 100644\n--- /dev/null\n+++ %s\t\n@@ -0,0 +1 @@\n+hi\n" % (new, b, b)
    moved = b"diff --git a/train.py %s\nsimilarity index 100%%\nrename from train.py\nrename to %s\n" % (
        b,
        b'"' + quoted + b'"',
    )
    assert [(c.kind, c.new) for c in parse(added + moved, KNOWN)] == [("add", name), ("rename", name)]


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
    assert (first.old, first.new, first.place) == (b"one\nzwei\nthree\n", b"one\ntwo\nthree\n", 0)
    assert (second.old, second.new, second.place) == (b"ten\n", b"", 9)
    (tmp_path / "series").write_text("a.diff -p1 --fuzz=3\n")
    with pytest.raises(WrongUsage, match="series, line 1: porter knows no option --fuzz=3"):
        read(tmp_path, KNOWN)


def test_what_is_no_text_is_called_what_it_is() -> None:
    changed = b"diff --git a/train.py b/train.py\nindex 1234567..89abcde %s\n--- a/train.py\n+++ b/train.py\n" + HUNK
    binary = b"diff --git a/x.bin b/x.bin\nindex 1234567..89abcde 100644\nGIT binary patch\nliteral 2\nJc${}\n\n"
    found = [single(changed % b"120000"), single(changed % b"160000"), single(binary)]
    assert [change.unusable.partition(";")[0] for change in found] == [
        "it is a symbolic link (mode 120000)",
        "it is a submodule (mode 160000)",
        "it is a binary file",
    ]


def test_the_commit_that_fits_best() -> None:
    texts = {name: blob(data) for name, data in {"old": b"one\ntwo\nthree\n", "new": b"0\n" * 9 + b"one\n"}.items()}
    objects = {item.id: item for item in texts.values()}
    files = {name: {"train.py": Entry("100644", item.id)} for name, item in texts.items()}
    change = single(b"diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n" + HUNK)
    judge = Judge([Incoming("x", changes=(change,))])
    bases = [Base("new", "1" * 40, files["new"]), Base("none", "2" * 40, {})]
    assert best(judge, bases, objects)[1].name == "new"
    more = [Base("old", "3" * 40, files["old"]), Base("older", "4" * 40, files["old"])]
    score, found = best(judge, [*bases, *more], objects)
    assert (found.name, score.hunks, judge.words(score)) == ("old", 1, "1 of 1 hunks fit")
    assert judge.score(files["new"], objects).hunks == 0
