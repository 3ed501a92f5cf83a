from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from sources import git
from stacks import commit

from porter.errors import CheckFailed
from porter.foreign.base import Base, Judge, best
from porter.foreign.hunks import FileChange, Incoming, parse
from porter.foreign.reader import is_series, read
from porter.foreign.tree import rebound
from porter.git.objects import Entry, blob
from porter.rebase.commits import completed_message

KNOWN = {"train.py", "utils/general.py"}
HUNK = b"@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n"
CHANGE = b"diff --git a/train.py b/train.py\nindex 1234567..89abcde 100644\n--- a/train.py\n+++ b/train.py\n" + HUNK
COMMIT = (
    b"commit 0123456789012345678901234567890123456789 (HEAD -> main)\nAuthor: Ann <ann@example.org>\n"
    b"Date:   Tue Oct 12 10:00:00 2021 +0800\n\n    Raise it\n    \n    Why: fewer boxes.\n\n"
)


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
    assert (hunk.whole, hunk.old) == (True, (b"one\n", b"two\n", b"three\n"))
    assert hunk.new == (b"one\n", b"zwei\n", b"three\n")


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
    assert (found[0].new_mode, found[0].hunks[0].new) == ("100755", (b"one\n", b"two"))
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
    assert (first.whole, first.old) == (False, (b"five\n", b"\n", b"seven\n"))
    assert first.new == (b"five\n", b"\n", b"seven\n", b"new\n")
    assert first.is_loose
    assert (second.whole, second.old_position) == (True, 19)


def test_lines_that_look_like_the_next_file() -> None:
    text = b"--- a/train.py\n+++ b/train.py\n@@ -1,3 +1,2 @@\n one\n--- two\n three\n-- \n2.39\n"
    (hunk,) = single(text).hunks
    assert hunk.old == (b"one\n", b"-- two\n", b"three\n")


def test_a_line_that_looks_like_a_signature() -> None:
    """What is taken away may be "- ", of a list; a mail's signature has text below it."""
    head = b"--- a/train.py\n+++ b/train.py\n"
    (hunk,) = single(head + b"@@ -1,3 +1 @@\n one\n-- \n-two\n").hunks
    assert (hunk.whole, hunk.old[1:]) == (True, (b"- \n", b"two\n"))
    (hunk,) = single(head + b"@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n-- \n2.39.5\n").hunks
    assert (hunk.whole, hunk.old) == (False, (b"one\n", b"two\n"))


def test_no_context_says_nothing_about_the_place() -> None:
    (hunk,) = single(b"--- a/train.py\n+++ b/train.py\n@@ -7,0 +8 @@\n+new\n").hunks
    assert (hunk.is_loose, hunk.old_position) == (True, 7)


def test_text_without_a_change(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="no change"):
        parse(b"Hello\n", KNOWN)
    with pytest.raises(CheckFailed, match="before any file's name"):
        parse(HUNK, KNOWN)
    (tmp_path / "mail").write_text("From: A <a@example.org>\nSubject: Hello\nDate: now\n\nNo diff here.\n")
    with pytest.raises(CheckFailed, match="there is no diff"):
        read(tmp_path / "mail", KNOWN)


@pytest.mark.parametrize(
    ("quoted", "name"),
    [
        (rb"docs \303\274/read me \347\214\253.txt", "docs ü/read me 猫.txt"),
        (rb"a \"quoted\" name\t", 'a "quoted" name\t'),
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


def test_what_they_say_stays_the_message() -> None:
    rows = "Reason: TODO\nUpstream: no\nCheck: TODO\nStack: mlu\n"
    assert completed_message("Raise it", "Why: fewer boxes.", "mlu") == f"Raise it\n\nWhy: fewer boxes.\n\n{rows}"
    signed = completed_message(": [x] Re: it", "Signed-off-by: A <a@example.org>", "mlu")
    assert signed.startswith("it\n\nTODO: what goes wrong without it?\n\nSigned-off-by: A <a@example.org>\nReason: ")
    assert completed_message("[x", "", "mlu").startswith("Import what others changed\n")


def test_what_is_taken_back_gets_its_mode_back_or_says_why_not() -> None:
    text = (
        b"diff --git a/train.py b/train.py\nold mode 100755\nnew mode 100644\n"
        b"diff --git a/gone.py b/gone.py\ndeleted file mode 100755\nindex 1234567..0000000\n"
    )
    mode, gone = (change.reversed for change in parse(text, KNOWN))
    assert (mode.new_mode, mode.old_mode, mode.unusable) == ("100755", "100644", "")
    assert (gone.kind, gone.new_mode) == ("add", "100755")
    assert gone.unusable.startswith("what it held is not in the diff (git diff -D)")


def test_what_is_no_text_is_called_what_it_is() -> None:
    changed = b"diff --git a/train.py b/train.py\nindex 1234567..89abcde %s\n--- a/train.py\n+++ b/train.py\n" + HUNK
    binary = b"diff --git a/x.bin b/x.bin\nindex 1234567..89abcde 100644\nGIT binary patch\nliteral 2\nJc${}\n\n"
    found = [single(changed % b"120000"), single(changed % b"160000"), single(binary)]
    assert [change.unusable.partition(";")[0] for change in found] == [
        "it is a symbolic link (mode 120000)",
        "it is a submodule (mode 160000)",
        "it is a binary file",
    ]


def test_names_are_those_that_git_reads(tmp_path: Path) -> None:
    """Of every odd name, changed in every way, printed with every prefix: what `git apply --numstat -z` says."""
    names = (
        b" ",
        b"a b/c",
        b'"q"',
        b"b\\s",
        b"t\tn\n\a\b\v\f\r\x01\x7f",
        "ü 猫".encode(),
        b"\xff",
        b"x b/x",
        b"-- ",
        b"e .orig",
    )
    git("init", "-q", tmp_path, cwd=tmp_path)

    def put(name: bytes, data: bytes) -> bytes:
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(data)
        return path

    paths = [put(name, b"one\ntwo\nthree\n" + name) for name in names]
    commit(tmp_path, "All", 1700000000)
    for n, path in enumerate(paths):
        if n % 5 == 0:
            put(names[n], b"other\n")
        elif n % 5 == 1:
            os.unlink(path)
        elif n % 5 == 2:
            os.rename(path, path + b" b/ moved".replace(b"/", b""))
        elif n % 5 == 3:
            os.chmod(path, 0o755)
        put(b"new " + names[n], b"\0" if n % 2 else b"")
    git("add", "-A", cwd=tmp_path)
    settings = {"quotePath=true": 1, "quotePath=false": 1, "mnemonicPrefix=true": 1, "noprefix=true": 0}
    for setting, strip in settings.items():
        group = "core" if "quote" in setting else "diff"
        for option in ("-U0", "--no-renames"):
            command = ["git", "-C", tmp_path, "-c", f"{group}.{setting}", "diff", "--cached", option, "HEAD"]
            text = subprocess.run(command, capture_output=True, check=True).stdout
            command = ["git", "-C", tmp_path, "apply", "--numstat", "-z", f"-p{strip}"]
            said = subprocess.run(command, input=text, capture_output=True, check=True).stdout
            for given in (strip, None):
                found = [change.new for change in parse(text, map(os.fsdecode, names), given)]
                assert found == [os.fsdecode(row.split(b"\t", 2)[2]) for row in said.split(b"\0")[:-1]], (
                    setting,
                    option,
                )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (b"a/../../x", "leads out of the tree"),
        (b"a/.GIT/x", "git's own folder"),
        ("a/.g\u200cit/x".encode(), "git's own folder"),
        (b"a/git~1 ./x", "git's own folder"),
        (rb'"a/x\\y"', "a backslash"),
        (rb'"a/x\377"', "not UTF-8"),
    ],
)
def test_names_that_no_stack_can_hold(name: bytes, why: str) -> None:
    assert why in single(b"--- /dev/null\n+++ " + name + b"\n@@ -0,0 +1 @@\n+hi\n", 1).unusable


def test_a_name_that_git_would_not_quote_so() -> None:
    with pytest.raises(CheckFailed, match="cannot be read") as error:
        parse(b'diff --git "a/x\\9" "b/x\\9"\n', KNOWN)
    assert '"a/x\\9"' in error.value.why


def test_how_deep_upstream_lies_in_their_repository() -> None:
    """Two files that upstream has tell it; one README.md far down does not, and what is elsewhere is not taken."""
    deep = b"diff --git a/x/yolo/%s b/x/yolo/%s\n--- a/x/yolo/%s\n+++ b/x/yolo/%s\n" + HUNK
    both = deep % ((b"train.py",) * 4) + deep % ((b"utils/general.py",) * 4)
    move = b"diff --git a/x/yolo/train.py b/x/yolo/t/t.py\nrename from x/yolo/train.py\nrename to x/yolo/t/t.py\n"
    found = parse(both + move + deep.replace(b"yolo", b"other") % ((b"train.py",) * 4), KNOWN)
    assert [change.new for change in found[:3]] == ["train.py", "utils/general.py", "t/t.py"]
    assert found[3].unusable == "it is not in x/yolo/, where this diff has upstream's files"
    assert single(deep % ((b"train.py",) * 4)).new == "x/yolo/train.py"
    names = b"utils/general.py", b"utils/g.py"
    longer = b"diff --git old/x/%s new/x/%s\nrename from %s\nrename to %s\n" % (names * 2)
    assert (single(longer).old, single(longer).new) == ("utils/general.py", "utils/g.py")
    new = b"diff --git utils/mlu.py utils/mlu.py\nnew file mode 100644\n--- /dev/null\n+++ utils/mlu.py\n"
    assert single(new).new == "utils/mlu.py"


def test_what_gnu_diff_subversion_and_mercurial_print(tmp_path: Path) -> None:
    text = (
        b"diff -ru a/train.py b/train.py\n--- a/train.py\t2021-10-12\n+++ b/train.py\t2022-01-01\n" + HUNK +
        b"Binary files a/bus.jpg and b/bus.jpg differ\nOnly in b/utils: mlu.py\n"
    )  # fmt: skip
    found = parse(text, KNOWN)
    assert [(change.new, change.unusable[:21]) for change in found] == [
        ("train.py", ""),
        ("bus.jpg", "it is a binary file; "),
        ("utils/mlu.py", "it is in one of the f"),
    ]
    svn = b"Index: n.py\n====\n--- n.py\t(%s)\n+++ n.py\t(working copy)\n@@ -0,0 +1 @@\n+x\n"
    assert [single(svn % said).kind for said in (b"nonexistent", b"revision 0")] == ["add", "add"]
    gone = b"Index: train.py\n====\n--- train.py\t(revision 1)\n+++ train.py\t(nonexistent)\n@@ -1 +0,0 @@\n-x\n"
    assert single(gone).kind == "delete"
    binary = b"Index: bus.jpg\n====\nCannot display: file marked as a binary type.\nsvn:mime-type = image/jpeg\n"
    found = parse(svn % b"nonexistent" + binary, KNOWN)
    assert [(change.new, change.unusable[:19]) for change in found] == [
        ("n.py", ""),
        ("bus.jpg", "it is a binary file"),
    ]
    hg = b"# HG changeset patch\n# User Ann <ann@example.org>\n# Date 1634004000 -28800\nRaise it\n\nWhy.\n\n"
    (tmp_path / "hg").write_bytes(hg + CHANGE + hg.replace(b"Raise", b"Lower") + CHANGE)
    patches = read(tmp_path / "hg", KNOWN)
    assert [(patch.subject, patch.body) for patch in patches] == [("Raise it", "Why."), ("Lower it", "Why.")]
    assert (patches[0].author, patches[0].date) == ("Ann <ann@example.org>", "1634004000 +0800")


def test_hunks_that_are_not_what_they_look_like() -> None:
    head = b"diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n"
    words = head + b"@@ -1,3 +1,3 @@\none\n[-two-]{+zwei+}\nthree\n"
    assert "--word-diff" in single(words).unusable
    for numbers in (b"-%s +1", b"-1 +%s", b"-1,%s +1", b"-1 +1,%s"):
        long = head + b"@@ " + numbers % (b"9" * 5000) + b" @@\n-a\n"
        assert "begins as a hunk and is none" in single(long).unusable
    merge = b"diff --cc train.py\nindex 1,2..3\n--- a/train.py\n+++ b/train.py\n@@@ -1,1 -1,1 +1,1 @@@\n- a\n -b\n++c\n"
    assert (single(merge).new, single(merge).unusable[:24]) == ("train.py", "it is a combined diff, o")
    cut = single(head + HUNK.replace(b"-1,3 +1,3", b"-1,9 +1,9"))
    assert (cut.is_cut, cut.unusable, single(head + HUNK).is_cut) == (True, "", False)


def test_lines_without_end_take_no_time() -> None:
    begun = time.process_time()
    parse(b"--- a/train.py\n+++ b/train.py\n@@ -1,999999 +1,999999 @@\n-x\n" + b"\n" * 400_000 + b"+x\n", KNOWN)
    assert time.process_time() - begun < 10


def test_a_copy_of_upstream_with_a_patch_in_it_is_a_copy(tmp_path: Path) -> None:
    for name in ("train.py", "val.py", "detect.py", "fix.patch"):
        (tmp_path / name).write_text("")
    assert not is_series(tmp_path, ["train.py", "val.py", "detect.py"])
    assert is_series(tmp_path, ["train.py", "val.py"])


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (
            "def log(): pass\nlog = {}\n",
            "log of line 1 is bound again in line 2, which replaces it: the import's counts",
        ),
        (
            "from x import log\ndef log(): pass\n",
            "log of line 1 is bound again in line 2, which replaces it: the stack's counts",
        ),
        (
            "def log(): pass\nif 1:\n    from x import log\nelse:\n    log = 1\n",
            "log of line 1 is bound again in line 2",
        ),
        ("def log(): pass\nimport os\nimport os\n", ""),
        ("def log(): pass\ndef f():\n    log = 1\n", ""),
        ("def log(): return 1\n", ""),
    ],
)
def test_names_that_are_bound_again(after: str, said: str) -> None:
    found = [str(name) for name in rebound("x.py", b"def log(): pass\n", after.encode())]
    assert found == ([f"x.py: {said}"] if said.endswith("counts") else []) or (
        said and found[0].startswith(f"x.py: {said}")
    )


def test_branches_bind_a_name_once() -> None:
    (found,) = rebound("x.py", b"log = 1\n", b"log = 1\nif log:\n    from x import log\nelse:\n    log = 2\n")
    assert (found.lines, found.added) == ((1, 2), (2,))


def test_methods_that_are_bound_again() -> None:
    ours = b"class A:\n    def f(self): 1\n    @property\n    def g(self): 1\n"
    assert rebound("x.py", ours, ours + b"    @g.setter\n    def g(self, x): 1\n") == []
    (found,) = rebound("x.py", ours, ours + b"    f = None\n")
    assert (found.name, found.lines, found.added) == ("A.f", (2, 5), (5,))


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
