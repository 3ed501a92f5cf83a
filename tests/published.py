"""Data sets of the published ones' layout, with empty pictures: for servers to give out."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from porter.downloads.datasets import SETS

_TESTS = Path(__file__).resolve().parent

PICTURE = b"\xff\xd8 a picture \xff\xd9"
LABEL = b"45 0.479492 0.688771 0.955609 0.5955\n"


def archive(members: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return buffer.getvalue()


def numbered(count: int, first: int = 1) -> list[str]:
    """Names of pictures, without a suffix."""
    return [f"{number:012d}" for number in range(first, first + count)]


def coco128(names: Iterable[str] = tuple(numbered(128)), bare: Iterable[str] = ("000000000003",)) -> bytes:
    """coco128.zip; the pictures ``bare`` have no labels."""
    names = list(names)
    members = {"coco128/LICENSE": b"", "coco128/README.txt": b"", "coco128/images/train2017/": b""}
    members |= {f"coco128/images/train2017/{name}.jpg": PICTURE + name.encode() for name in names}
    members |= {f"coco128/labels/train2017/{name}.txt": LABEL for name in names if name not in bare}
    return archive({**members, "__MACOSX/coco128/._LICENSE": b"Mac OS X"})


def standin(data: bytes, folder: Path) -> dict[str, str]:
    """What to set in a program's environment, for its porter to take a zip archive's content for the real coco128."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        names = [name for name in opened.namelist() if name.endswith((".jpg", ".txt")) and "2017/" in name]
        rows = [f"{hashlib.sha256(opened.read(name)).hexdigest()}  {name[len('coco128/') :]}\n" for name in names]
    (folder / "coco128.sha256").write_text("".join(rows))
    path = os.pathsep.join((str(_TESTS / "standin"), str(_TESTS.parent)))
    return {"PYTHONPATH": path, "PORTER_TEST_SUMS": str(folder / "coco128.sha256")}


def stand_in(data: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for this process and all that it starts."""
    for name, value in standin(data, folder).items():
        monkeypatch.setenv(name, value)
    (part,) = SETS["coco128"].archives
    made = replace(SETS["coco128"], archives=(replace(part, sums=folder / "coco128.sha256"),))
    monkeypatch.setitem(SETS, "coco128", made)


def coco(train: int, val: int) -> dict[str, bytes]:
    """COCO's three archives with fewer pictures; path -> content."""
    names = {"train2017": numbered(train), "val2017": numbered(val, 900_000)}
    labels = {"coco/LICENSE": b""}
    for split, some in names.items():
        labels[f"coco/{split}.txt"] = "".join(f"./images/{split}/{name}.jpg\n" for name in some).encode()
        labels |= {f"coco/labels/{split}/{name}.txt": LABEL for name in some[1:]}
    found = {"/coco2017labels.zip": archive(labels)}
    for split, some in names.items():
        found[f"/{split}.zip"] = archive({f"{split}/{name}.jpg": PICTURE for name in some})
    return found
