from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sources import git

from porter.patch import diff
from porter.patch.diff import Change, Mismatch
from porter.patch.parser import Malformed
from porter.patch.parser import parse as parsed


def make_diff(root: Path, before: dict[str, bytes], after: dict[str, bytes], *options: str) -> str:
    """git's own diff between two sets of files."""
    trees = []
    for files in (before, after):
        rows = []
        for path, data in files.items():
            made = subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=root, input=data, capture_output=True)
            mode = "100755" if data.startswith(b"#!") else "100644"
            rows.append(f"{mode} blob {made.stdout.decode().strip()}\t{path}".encode())
        tree = subprocess.run(
            ["git", "mktree", "-z"], cwd=root, input=b"".join(row + b"\0" for row in rows), capture_output=True
        )
        trees.append(tree.stdout.decode().strip())
    done = subprocess.run(["git", "diff", "--full-index", *options, *trees], cwd=root, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "surrogateescape")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("diff")
    git("init", "-q", cwd=path)
    return path


def parse(text: str) -> tuple[Change, ...]:
    return parsed(text.encode("utf-8", "surrogateescape"))


def one(text: str) -> Change:
    (change,) = parse(text)
    return change


def git_apply(folder: Path, files: dict[str, bytes], text: str) -> dict[str, bytes] | None:
    """What `git apply` makes of the files, None if it refuses."""
    for path in folder.iterdir():
        path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o755 if data.startswith(b"#!") else 0o644)
    command = ["git", "apply", "--whitespace=nowarn", "-"]
    done = subprocess.run(command, cwd=folder, input=text.encode("utf-8", "surrogateescape"), capture_output=True)
    return None if done.returncode else {path.name: path.read_bytes() for path in folder.iterdir()}


def ours(files: dict[str, bytes], text: str) -> dict[str, bytes] | None:
    result = dict(files)
    for change in parse(text):
        if change.kind == "add" and change.new in files:
            return None
        if change.kind != "add" and change.old not in files:
            return None
        try:
            data, _ = change.apply(files.get(change.old, b"") if change.kind != "add" else b"")
        except Mismatch:
            return None
        if change.kind in ("delete", "rename"):
            del result[change.old]
        if change.kind != "delete":
            result[change.new] = data
    return result


def assert_as_git(work: Path, files: dict[str, bytes], text: str) -> None:
    mine, theirs = ours(files, text), git_apply(work, files, text)
    # where the patch knows a last line without a newline git also takes one that has it, and drops that newline
    assert mine == theirs or (mine is None and "\\ No newline" in text)


# few different lines, so that hunks find wrong places too
LINE = st.sampled_from(
    [b"a\n", b"b\n", b"c\n", b"\n", b"  x\n", b"-- \n", b"- \n", b"+\n", b"\r\n", b"\xff\xfe\n", "寒武纪\n".encode()]
)
TEXT = st.builds(lambda rows, end: b"".join(rows) + end, st.lists(LINE, max_size=25), st.sampled_from([b"", b"end"]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=TEXT, after=TEXT, other=TEXT, context=st.integers(1, 4))
@example(before=b"a\n", after=b"a", other=b"a\n", context=3)
@example(before=b"", after=b"a\n", other=b"", context=3)
@example(before=b"a\nb\n" * 4, after=b"a\nb\n" * 2 + b"c\n" + b"a\nb\n" * 2, other=b"c\n" + b"a\nb\n" * 8, context=1)
def test_random_edits_apply_as_git_apply_does(
    root: Path, before: bytes, after: bytes, other: bytes, context: int
) -> None:
    work = root.parent / "work-diff"
    work.mkdir(exist_ok=True)
    text = make_diff(root, {"f": before}, {"f": after}, f"-U{context}")
    if not text:
        return
    assert ours({"f": before}, text) == {"f": after}
    # and to a file that the patch was not made for
    assert_as_git(work, {"f": other}, text)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=TEXT, after=TEXT, shift=st.lists(LINE, max_size=6), tail=st.lists(LINE, max_size=3))
def test_a_file_with_lines_added_around_takes_the_patch_where_git_puts_it(
    root: Path, before: bytes, after: bytes, shift: list[bytes], tail: list[bytes]
) -> None:
    work = root.parent / "work-diff"
    work.mkdir(exist_ok=True)
    text = make_diff(root, {"f": before}, {"f": after})
    if text:
        moved = b"".join(shift) + before + b"".join(tail)
        assert_as_git(work, {"f": moved}, text)


NAMES = st.sampled_from(["a", "b c", "ä\t1", '"q"', "寒", "d.py"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.dictionaries(NAMES, TEXT, max_size=4), after=st.dictionaries(NAMES, TEXT, max_size=4))
def test_whole_trees(root: Path, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    text = make_diff(root, before, after, "-M50%")
    if text:
        assert ours(before, text) == after


def test_what_kinds_of_change_there_are(root: Path) -> None:
    body = b"".join(b"%d\n" % n for n in range(9))
    before = {"gone": b"x\n", "mode": b"y\n", "old": body, "same": b"s\n"}
    after = {"new": b"n\n", "mode": b"#!\n", "renamed": body + b"9\n", "same": b"t\n"}
    found = {change.new: change for change in parse(make_diff(root, before, after, "-M"))}
    assert {name: change.kind for name, change in found.items()} == {
        "gone": "delete",
        "mode": "modify",
        "new": "add",
        "renamed": "rename",
        "same": "modify",
    }
    assert found["renamed"].old == "old"
    assert (found["mode"].old_mode, found["mode"].new_mode) == ("100644", "100755")
    assert found["new"].new_mode == "100644"
    assert found["same"].new_mode == ""


def test_a_mode_alone_and_an_empty_file(root: Path) -> None:
    text = "diff --git a/x y b/x y\nold mode 100644\nnew mode 100755\n"
    change = one(text)
    assert (change.new, change.new_mode, change.hunks) == ("x y", "100755", ())
    assert change.apply(b"kept")[0] == b"kept"
    empty = one(make_diff(root, {"k": b"1\n"}, {"k": b"1\n", "e": b""}))
    assert (empty.kind, empty.hunks) == ("add", ())


def test_no_newline_at_the_end_on_either_side(root: Path) -> None:
    for before, after in ((b"a\nb", b"a\nb\n"), (b"a\nb\n", b"a\nb"), (b"a", b"b")):
        change = one(make_diff(root, {"f": before}, {"f": after}))
        assert change.apply(before)[0] == after
        with pytest.raises(Mismatch):
            change.apply(before + b"\n" if not before.endswith(b"\n") else before[:-1])


def test_a_hunk_does_not_go_where_an_earlier_one_wrote() -> None:
    text = (
        "diff --git a/f b/f\nindex 1111111..2222222 100644\n--- a/f\n+++ b/f\n"
        "@@ -1,2 +1,3 @@\n+x\n x\n y\n@@ -4,2 +5,3 @@\n x\n+new\n y\n"
    )
    with pytest.raises(Mismatch) as error:
        one(text).apply(b"x\ny\n")
    assert error.value.hunk is not None and error.value.hunk.header == "@@ -4,2 +5,3 @@"


def test_deleting_a_file_with_other_lines(root: Path) -> None:
    change = one(make_diff(root, {"k": b"", "f": b"a\n"}, {"k": b""}))
    with pytest.raises(Mismatch):
        change.apply(b"a\nmore\n")


HEAD = "diff --git a/f b/f\nindex 1111111..2222222 100644\n--- a/f\n+++ b/f\n"
HUNK = "@@ -1 +1 @@\n-a\n+b\n"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (HEAD + HUNK + "-- \n2.39.5\n", 8, "belongs to no file"),
        (HEAD + HUNK + "\n", 8, "belongs to no file"),
        ("stray\n" + HEAD + HUNK, 1, "diff --git"),
        (HEAD + HUNK + "stray\n" + HEAD.replace("/f", "/g") + HUNK, 8, "belongs to no file"),
        (HEAD + "@@ -1,3 +1,3 @@\n one\n\n-a\n+b\n", 7, "not a line of a hunk"),
        (HEAD.replace("--- a/f", "--- a/f\n+++ b/f\n--- a/f") + HUNK, 5, "belongs to no file"),
        (
            HEAD.replace("100644\n--- a/f\n+++ b/f\n", "100644\n--- a/f\n+++ b/f\nsimilarity index 9%\n") + HUNK,
            3,
            "right above",
        ),
        (HEAD, 3, "right above"),
        (HEAD.replace("100644", "100664") + HUNK, 1, "has the mode 100664"),
        (HEAD.replace("100644", "100644 x") + HUNK, 2, "belongs to no file"),
        (HEAD + "@@ -1,2 +1 @@\n-a\n+b\n", 5, "length is not"),
        (HEAD.replace("--- a/f", "--- a/g") + HUNK, 3, "expected 'diff --git"),
        (HEAD.replace("a/f b/f", "a/f b/g") + HUNK, 1, "with one path"),
        (HEAD.replace("/f", "/../f") + HUNK, 1, "out of the tree"),
        (HEAD.replace("/f", "/.git/config") + HUNK, 1, "out of the tree"),
        (HEAD.replace("/f", "/x/.GIT/f") + HUNK, 1, "out of the tree"),
        (
            HEAD.replace("a/f b/f", "a//f b//f").replace("a/f", "a//f").replace("b/f", "b//f") + HUNK,
            1,
            "one path|out of",
        ),
        (HEAD.replace("100644", "120000") + HUNK, 2, "plain files"),
        ("diff --git a/l b/l\nnew file mode 120000\nindex 0000000..1111111\n", 1, "plain files"),
        ("diff --git a/l b/l\nnew file mode 160000\nindex 0000000..1111111\n", 1, "plain files"),
        ("diff --git a/b b/b\nindex 1111111..2222222 100644\nBinary files a/b and b/b differ\n", 1, "binary"),
        ("diff --git a/b b/b\nindex 1111111..2222222 100644\nGIT binary patch\nliteral 1\nIcmZQ\n\n", 1, "binary"),
        ("diff --git a/a b/b\nsimilarity index 100%\ncopy from a\ncopy to b\n", 1, "a copy of another"),
        ("diff --git a/a b/b\nsimilarity index 100%\nrename from a\n", 1, "both names|rename"),
        (HEAD + HUNK + HEAD + HUNK, 8, "twice"),
        (HEAD + "@@ -1 +1 @@\n-a\n+b", 8, "newline"),
        ('diff --git "a/\\q" "b/\\q"\nold mode 100644\nnew mode 100755\n', 1, "quoted|git would not"),
    ],
)
def test_what_is_no_diff_of_plain_files_is_refused(text: str, line: int, what: str) -> None:
    with pytest.raises(Malformed, match=what) as error:
        parse(text)
    assert abs(error.value.line - line) <= 1


def test_lines_end_at_line_feeds_only() -> None:
    assert diff.lines(b"a\rb\r\nc\x0cd\ne") == [b"a\rb\r\n", b"c\x0cd\n", b"e"]
    assert diff.lines(b"") == []


def test_a_displaced_hunk_tells_how_far_and_whether_it_was_the_only_place(root: Path) -> None:
    body = b"".join(b"%d\n" % n for n in range(20))
    change = one(make_diff(root, {"f": body}, {"f": body.replace(b"10\n", b"ten\n")}))
    assert change.apply(body)[1] == []
    ((placed),) = change.apply(b"new\n" * 3 + body)[1]
    assert (placed.offset, placed.places) == (3, 1)
    ((placed),) = change.apply(b"new\n" + body + body)[1]
    assert (placed.offset, placed.places) == (1, 2)
