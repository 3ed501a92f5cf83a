from __future__ import annotations

import io
import os
import random
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from published import archive as zipped
from sources import small_file_system

from porter.downloads import archive
from porter.errors import CheckFailed, EnvironmentFailed, PorterError
from porter.output import Progress

FILES = {"top/a.txt": b"a", "top/images/b.jpg": bytes(100_000), "top/empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where archives are unpacked; beside it nothing may appear."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def unpack(data: bytes, folder: Path, below: str = "") -> dict[str, bytes]:
    file = folder.parent / "file.zip"
    file.write_bytes(data)
    count = archive.unpack(file, folder, Progress(), below=below)
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert len(found) == count
    return found


def refused(data: bytes, folder: Path, below: str = "") -> PorterError:
    """Nothing is written, inside the folder or beside it."""
    with pytest.raises(CheckFailed) as caught:
        unpack(data, folder, below)
    assert list(folder.iterdir()) == []
    assert sorted(p.name for p in folder.parent.iterdir()) == ["file.zip", "out"]
    return caught.value


def with_member(name: str, mode: int = 0, data: bytes = b"data", first: bool = False) -> bytes:
    """An archive with one odd member after good ones, or before them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        odd = zipfile.ZipInfo("placeholder")
        odd.filename = name
        odd.external_attr = mode << 16
        members = [("top/a.txt", b"a"), ("top/b.txt", b"b"), (odd, data)]
        for member, content in reversed(members) if first else members:
            opened.writestr(member, content)
    return buffer.getvalue()


def test_an_honest_archive(folder: Path) -> None:
    assert unpack(zipped(FILES), folder) == FILES
    shutil.rmtree(folder)
    folder.mkdir()
    inside = {name[len("top/") :]: data for name, data in FILES.items()}
    assert unpack(zipped({**FILES, "__MACOSX/top/._a.txt": b"x"}), folder, "top") == inside
    with archive.contents(folder.parent / "file.zip", below="top") as held:
        assert list(held.members) == list(inside)
        assert (held.read("a.txt"), held.read("absent")) == (b"a", b"")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../evil", "leads out"),
        ("top/../../evil", "leads out"),
        ("top/..", "leads out"),
        ("/etc/evil", "is an absolute path"),
        ("\\\\host\\evil", "is an absolute path"),
        ("C:/evil", "is an absolute path"),
        ("top\\..\\..\\evil", "a character that no name should"),
        ("top/a.txt", "twice"),
        ("top/./a.txt", "twice"),
        ("top/a.txt/below", "is a file and a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_may_not_be(folder: Path, name: str, said: str, first: bool) -> None:
    error = refused(with_member(name, first=first), folder)
    assert said in error.why
    assert "is refused, nothing of it was unpacked" in error.what


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (stat.S_IFLNK, "is a link"),
        (stat.S_IFCHR, "is a device or a pipe"),
        (stat.S_IFBLK, "is a device or a pipe"),
        (stat.S_IFIFO, "is a device or a pipe"),
        (stat.S_IFSOCK, "is a device or a pipe"),
    ],
)
def test_what_is_no_file(folder: Path, kind: int, said: str) -> None:
    assert said in refused(with_member("top/odd", kind | 0o777, b"/etc/passwd"), folder).why


def test_no_file_gets_more_rights_than_a_new_one(folder: Path) -> None:
    unpack(with_member("top/suid", stat.S_IFREG | 0o6777), folder)
    new = folder / "new"
    new.touch()
    assert (folder / "top/suid").stat().st_mode == new.stat().st_mode


def test_a_member_outside_of_the_folder_that_is_meant(folder: Path) -> None:
    assert "'other/x' is not in its folder top/" in refused(zipped({**FILES, "other/x": b""}), folder, "top").why


def test_a_bomb(folder: Path) -> None:
    data = zipped({f"top/{n}": bytes(30_000_000) for n in range(2)})
    assert len(data) < 100_000
    assert "a bomb" in refused(data, folder).why


def test_a_bomb_whose_files_share_their_bytes(folder: Path) -> None:
    """As in Fifield's: every entry of the directory leads to the same packed bytes."""
    data = zipped({"0": bytes(10_000_000)})
    at = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[at:end]
    count = 500
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(entry) * count, at, 0)
    error = refused(data[:at] + entry * count + tail, folder)
    assert "5.0 GB: a bomb" in error.why


def test_a_size_that_is_a_lie_is_not_believed(folder: Path) -> None:
    """The directory says that 100 bytes come; 5 million do. One file is cut off there and found damaged."""
    data = bytearray(zipped({"top/x": bytes(5_000_000)}))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(mark) + offset
        data[at : at + 4] = struct.pack("<I", 100)
    with pytest.raises(CheckFailed, match="is damaged"):
        unpack(bytes(data), folder)
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= 100


def test_damage(folder: Path) -> None:
    noise = random.Random(0).randbytes(50_000)
    data = zipped({"top/x": noise})
    at = len(data) // 2
    for bad, said in (
        (b"", "no zip archive"),
        (data[:at], "no zip archive"),
        (data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], "Bad CRC"),
    ):
        with pytest.raises(CheckFailed, match=said):
            unpack(bad, folder)
        shutil.rmtree(folder)
        folder.mkdir()


@pytest.mark.parametrize(("change", "said"), [("encrypted", "is encrypted"), ("bzip2", r"method 12")])
def test_ways_of_packing_that_are_not_expected(folder: Path, change: str, said: str) -> None:
    buffer = io.BytesIO()
    method = zipfile.ZIP_BZIP2 if change == "bzip2" else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as opened:
        opened.writestr("x", b"data")
    data = bytearray(buffer.getvalue())
    if change == "encrypted":
        data[data.index(b"PK\x01\x02") + 8] |= 1
    assert said in refused(bytes(data), folder).why


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    with small_file_system(tmp_path / "disk", "40m") as disk:
        yield disk


def test_the_disk_is_asked_first(small_disk: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr("x", bytes(30_000_000))
    (small_disk / "out").mkdir()
    with pytest.raises(EnvironmentFailed, match="has no room for what") as caught:
        archive.unpack(file, small_disk / "out", Progress())
    assert "30.0 MB to unpack" in caught.value.why
    assert os.listdir(small_disk / "out") == []
