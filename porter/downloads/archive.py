"""A zip archive from somebody else, unpacked where it cannot do harm.

All its names, kinds and sizes are judged before a byte is written: nothing may lead out of the folder, be a link or
a device, or grow beyond what the disk holds or an honest archive would.  What a member claims about its size is
not believed either: it is cut off there, and its checksum then does not fit.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from porter.downloads.digests import sha256_of
from porter.downloads.partial import amount
from porter.errors import CheckFailed, EnvironmentFailed, refused
from porter.output import Progress, command_line, counted

_MEMBERS = 1_000_000
_RATIO = 200  # pictures pack hardly at all, label files 4:1, JSON 10:1; a bomb has 1000:1
_SMALL = 16 << 20  # bytes that may come out of any archive, however small it is
_SPARE = 16 << 20  # bytes of the disk that are left free
_SKIPPED = ("__MACOSX/",)  # what macOS adds to an archive about its own files
# What zipfile raises when an archive's bytes make no sense.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Contents:
    """The files of an open archive, by the names that :func:`unpack` gives them."""

    opened: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]

    def read(self, name: str) -> bytes:
        """The bytes of one file; empty if it is not there."""
        return self.opened.read(self.members[name]) if name in self.members else b""

    def digests(self, wanted: Iterable[str]) -> dict[str, str]:
        """The SHA-256 of each named file that is there, in hexadecimal digits."""
        found = {}
        for name in wanted:
            if name in self.members:
                with self.opened.open(self.members[name]) as file:
                    found[name] = sha256_of(file)
        return found


@contextmanager
def contents(archive: Path, *, below: str = "") -> Iterator[Contents]:
    """What is in an archive.

    Raises:
        CheckFailed: as :func:`unpack`.
        EnvironmentFailed: it cannot be read.
    """
    with _reading(archive), zipfile.ZipFile(archive) as opened:
        yield Contents(opened, _judge(opened, archive, below))


def unpack(
    archive: Path, folder: Path, progress: Progress, *, below: str = "", belongs: Callable[[str], bool] | None = None
) -> int:
    """Unpack into ``folder`` and return how many files there were.  If this fails, the caller removes the folder.

    Args:
        below: the folder inside the archive whose content is meant, as ``coco128``; it is not made in ``folder``.
        belongs: whether a file, by the name that it gets, is wanted; the others stay packed.  None: all are.

    Raises:
        CheckFailed: the archive is damaged, or holds what no data set holds; nothing was written in the latter case.
        EnvironmentFailed: the disk is too small, or cannot be written to.
    """
    with contents(archive, below=below) as held:
        found = held.members
        if belongs is not None:
            strays = [name for name in found if not belongs(name)]
            if strays:
                shown = ", ".join(map(repr, strays[:3])) + (", …" if strays[3:] else "")
                progress.note(f"{archive.name}: not unpacked, since no part of the data set: {shown}")
            found = {name: info for name, info in found.items() if belongs(name)}
        _ask_for_room(sum(info.file_size for info in found.values()), archive, folder)
        made: set[Path] = set()
        for number, (name, info) in enumerate(found.items(), 1):
            target = folder.joinpath(*name.split("/"))
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            with held.opened.open(info) as source, open(target, "xb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            if number % 100 == 0 or number == len(found):
                progress.step(f"unpacking {archive.name}", number, len(found))
    return len(found)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn what zipfile and the disk raise into porter's errors."""
    try:
        yield
    except UNREADABLE as error:
        hint = f"Remove it and download it again: {command_line('rm', archive)}"
        raise CheckFailed(f"{archive} is damaged, or no zip archive", str(error), hint) from error
    except OSError as error:
        raise refused(f"cannot unpack {archive}", error) from error


def _ask_for_room(total: int, archive: Path, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if total + _SPARE > free:
        raise EnvironmentFailed(
            f"the disk of {folder.parent} has no room for what {archive.name} holds",
            f"{amount(total)} to unpack, {amount(free)} free",
            "Make room, or name a folder on another disk.",
        )


def _judge(opened: zipfile.ZipFile, archive: Path, below: str) -> dict[str, zipfile.ZipInfo]:
    """The files to unpack, by the name that each gets.  If one may not be unpacked, the whole archive is refused."""
    infos = [info for info in opened.infolist() if not info.filename.startswith(_SKIPPED)]
    if len(infos) > _MEMBERS:
        raise _refuse(archive, f"it holds {counted(len(infos), 'file')}, more than {_MEMBERS}")
    total, packed = sum(info.file_size for info in infos), os.stat(archive).st_size
    if total > _SMALL and total > packed * _RATIO:
        raise _refuse(archive, f"{amount(packed)} would become {amount(total)}: a bomb")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        parts = _parts(info, archive)
        if below and parts[:1] == [below]:
            parts = parts[1:]
        elif below:
            raise _refuse(archive, f"{info.filename!r} is not in its folder {below}/")
        if info.is_dir() or not parts:
            continue
        name = "/".join(parts)
        if name in found:
            raise _refuse(archive, f"it holds {info.filename!r} twice")
        found[name] = info
    for name in found:
        above = name.rpartition("/")[0]
        while above:
            if above in found:
                raise _refuse(archive, f"{found[above].filename!r} is a file and a folder")
            above = above.rpartition("/")[0]
    return found


def _parts(info: zipfile.ZipInfo, archive: Path) -> list[str]:
    """The parts of a member's name; a name that may not be unpacked raises."""
    name = info.orig_filename  # zipfile cuts a name at a NUL and turns what the system's separator is into /
    shown = repr(name)
    if name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":"):
        raise _refuse(archive, f"{shown} is an absolute path")
    if "\0" in name or "\\" in name:
        raise _refuse(archive, f"{shown} holds a character that no name should")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refuse(archive, f"{shown} leads out of the folder that it is unpacked in")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "a device or a pipe"
        raise _refuse(archive, f"{shown} is {what}")
    if info.flag_bits & 1:
        raise _refuse(archive, f"{shown} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refuse(archive, f"{shown} is packed in a way that data sets are not (method {info.compress_type})")
    return parts


def _refuse(archive: Path, why: str) -> CheckFailed:
    hint = "This is not upstream's file; ask another source."
    return CheckFailed(f"{archive.name} is refused, nothing of it was unpacked", why, hint)
