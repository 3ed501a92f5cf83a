from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from porter import files
from porter.errors import SurroundingsFailed
from porter.rebase import threeway
from porter.rebase.threeway import Merged, Sides

BASE = b"".join(b"line %d\n" % n for n in range(40))


def merge_file(job: Sides, folder: Path) -> Merged:
    """What ``git merge-file`` makes of one merge."""
    for name, data in zip(("base", "ours", "theirs"), job):
        (folder / name).write_bytes(data)
    command = ["git", "merge-file", "-p", "-q", "-L", "ours", "-L", "base", "-L", "theirs", "ours", "base", "theirs"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert 0 <= done.returncode < 128, done.stderr
    return Merged(done.stdout, done.returncode == 0)


def edited(text: bytes, chance: random.Random) -> bytes:
    lines = text.split(b"\n")
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(lines))
        what = chance.choice(["change", "insert", "delete", "repeat"])
        if what == "change":
            lines[at] = b"changed %d" % chance.randrange(3)
        elif what == "insert":
            lines[at:at] = [b"", b"new %d" % chance.randrange(3)]
        elif what == "delete":
            del lines[at : at + chance.randrange(1, 4)]
        else:
            lines[at:at] = lines[max(0, at - 3) : at]
        lines = lines or [b""]
    return b"\n".join(lines)


def test_many_at_once_are_what_git_merge_file_makes_of_each(tmp_path: Path) -> None:
    """Random edits, with lines that repeat: the same bytes where it merges, a conflict where that has one."""
    chance = random.Random(6)
    base = b"\n".join(b"x" if chance.random() < 0.3 else b"line %d" % n for n in range(30)) + b"\n"
    jobs = [Sides(base, edited(base, chance), edited(base, chance)) for _ in range(60)]
    found = threeway.merge(jobs)
    assert len(found) == len(jobs)
    expected = [merge_file(job, tmp_path) for job in jobs]
    assert [f.clean for f in found] == [e.clean for e in expected]
    assert [f.data for f in found if f.clean] == [e.data for e in expected if e.clean]
    assert 10 < sum(f.clean for f in found) < 50


def test_conflicts_carry_markers_with_the_sides_names() -> None:
    job = Sides(BASE, BASE.replace(b"line 7\n", b"ours 7\n"), BASE.replace(b"line 7\n", b"theirs 7\n"))
    (found,) = threeway.merge([job], "upstream", "Do a thing: (now)")
    assert not found.clean
    assert b"<<<<<<< upstream\nours 7\n=======\ntheirs 7\n>>>>>>> Do a thing: (now)\n" in found.data


@pytest.mark.parametrize(
    ("ours", "theirs", "result"),
    [(BASE, b"new\n", b"new\n"), (b"new\n", BASE, b"new\n"), (b"same\n", b"same\n", b"same\n"), (b"", BASE, b"")],
)
def test_one_sided_changes_need_no_git(
    ours: bytes, theirs: bytes, result: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert threeway.merge([Sides(BASE, ours, theirs)]) == [Merged(result, True)]


def test_bytes_stay_bytes(tmp_path: Path, own_home: Path) -> None:
    """CRLF, no newline at the end, no UTF-8; nothing of the user's configuration matters."""
    (own_home / ".gitconfig").write_text("[core]\n\tautocrlf = true\n[merge]\n\tconflictStyle = diff3\n")
    base = b"".join(b"\xff line %d\r\n" % n for n in range(20)) + b"end"
    job = Sides(base, base.replace(b"line 2\r", b"two\r"), base.replace(b"line 15\r", b"fifteen\r"))
    conflict = Sides(b"a\r\nb", b"a\r\nc", b"a\r\nd")
    clean, marked = threeway.merge([job, conflict])
    assert clean == Merged(base.replace(b"line 2\r", b"two\r").replace(b"line 15\r", b"fifteen\r"), True)
    assert not marked.clean
    assert b"|||||||" not in marked.data


def test_binary_contents_do_not_merge() -> None:
    (found,) = threeway.merge([Sides(b"\0a\nb\nc\n", b"\0a\nb\nc\nd\n", b"\0x\nb\nc\n")])
    assert not found.clean


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, with none in memory."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


JOB = Sides(BASE, BASE + b"a\n", b"b\n" + BASE)


def test_nothing_is_left_behind(usual: Path) -> None:
    threeway.merge([JOB])
    assert os.listdir(usual) == []


def test_no_room_for_temporary_files_is_said(usual: Path) -> None:
    usual.rmdir()
    with pytest.raises(SurroundingsFailed, match="cannot merge") as error:
        threeway.merge([JOB])
    assert "TMPDIR" in error.value.hint


def test_memory_that_is_full_is_not_the_end(usual: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full is a folder of no use, too: whatever goes wrong there, the usual folder is tried."""
    monkeypatch.setattr(threeway, "quick_root", lambda: "/dev/full")
    assert threeway.merge([JOB]) == [Merged(b"b\n" + BASE + b"a\n", True)]
    assert os.listdir(usual) == []


def test_a_merge_that_gives_what_ours_is() -> None:
    """git does not write a file that it would not change; found by a reordering of commits."""
    base, ours = b"1\n2\n3\n4\n5\n6\n7\n", b"1\n2 a\n3\n4\n5\n6 b\n7\n"
    assert threeway.merge([Sides(base, ours, b"1\n2\n3\n4\n5\n6 b\n7\n")]) == [Merged(ours, True)]


def test_no_merges_at_all() -> None:
    assert threeway.merge([]) == []


def test_what_lives_for_a_second_is_in_memory_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    usual = files.temporary_root()
    assert files.quick_root() in ("/dev/shm", usual)
    monkeypatch.setattr(files, "_ROOM", 1 << 60)
    assert files.quick_root() == usual
    monkeypatch.setattr(files, "_ROOM", 0)
    monkeypatch.setattr(files, "_MEMORY", Path("/nowhere"))
    assert files.quick_root() == usual
