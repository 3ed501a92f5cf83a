"""The SHA-256 that each downloaded file has to have.

A few digests are known to porter.  For other files the first download's is written down in the user's state
folder, and every later one is held to it: whoever gets another file than yesterday hears of it.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from porter.errors import CheckFailed, EnvironmentFailed, os_errors, refused
from porter.files import user_folder, write_file

# URL -> SHA-256, of files that we had in our hands (yolov5s.pt), or that at least two public projects which know
# nothing of each other hold them to; of v6.0's other weights and of coco2017labels.zip there were not two
KNOWN = {
    "https://github.com/ultralytics/yolov5/releases/download/v6.0/yolov5n.pt": (
        "649e089f59b78ac021025de035b2d9c45dc26e544ea252955d0ffcefc1099e2f"
    ),
    "https://github.com/ultralytics/yolov5/releases/download/v6.0/yolov5s.pt": (
        "c3b140f32001a9eec4afa07120b3851eb1b6c2c7c7e7a4303af9eadfacbeb598"
    ),
    "http://images.cocodataset.org/zips/train2017.zip": (
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"
    ),
    "http://images.cocodataset.org/zips/val2017.zip": (
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"
    ),
}
_PIECE = 4 << 20  # bytes read at a time


@dataclass(frozen=True)
class Digest:
    """The digest that a file has to have, and where that is known from.

    Attributes:
        sha256: in hexadecimal digits.
        origin: in words, as ``as the first download here, on 2024-05-01 from https://…``.
        file: where it is written down; ``None`` if porter itself knows it.
    """

    sha256: str
    origin: str
    file: Path | None = None


def sha256_of(file: Path | IO[bytes]) -> str:
    """The digest of a file, or of the rest of an open one, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    import hashlib

    if isinstance(file, Path):
        with open(file, "rb") as opened:
            return sha256_of(opened)
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


class Digests:
    """The digests of the file at ``path``, by default in the user's state folder, and those porter knows.

    Args:
        strict: only those that porter knows count: no first download is trusted.
    """

    def __init__(self, path: Path | None = None, strict: bool = False) -> None:
        self.path, self.strict = path or _default_path(), strict

    def find(self, url: str) -> Digest | None:
        """The digest of the file at upstream's own URL; ``None`` if it was never downloaded here.

        Raises:
            CheckFailed: porter knows none, and that has to be.
            EnvironmentFailed: the file of digests cannot be read, or makes no sense.
        """
        if url in KNOWN:
            return Digest(KNOWN[url], "the digest that porter knows")
        if self.strict:
            hint = "Without --require-known the first download is trusted, and every later one is held to it."
            raise CheckFailed(f"porter knows no digest of {url}", "what has none is not taken (--require-known)", hint)
        entry = self._read().get(url)
        if entry is None:
            return None
        origin = f"as the first download here, on {entry['date']} from {entry['from']}"
        return Digest(entry["sha256"], origin, self.path)

    def keep(self, url: str, sha256: str, source: str) -> Digest:
        """Write down a first download's digest; if another porter was faster, its digest is returned.

        Args:
            source: where it was really had, a mirror maybe.

        Raises:
            EnvironmentFailed: it cannot be written.
        """
        from filelock import FileLock

        with os_errors(f"cannot write {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock"):
                found = self.find(url)
                if found is None:
                    entry = {"sha256": sha256, "date": time.strftime("%Y-%m-%d"), "from": source}
                    text = json.dumps({**self._read(), url: entry}, indent=1, sort_keys=True) + "\n"
                    write_file(self.path, text.encode())
        return found or Digest(sha256, f"sha256 {sha256} is kept in {self.path} for the next time", self.path)

    def _read(self) -> dict[str, Any]:
        try:
            entries = json.loads(self.path.read_bytes())
            for entry in entries.values():
                if not (re.fullmatch("[0-9a-f]{64}", entry["sha256"]) and entry["date"] and entry["from"]):
                    raise ValueError(f"{entry!r} is no digest")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise refused(f"cannot read {self.path}", error) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EnvironmentFailed(
                f"{self.path} holds no digests that can be read",
                str(error),
                "Remove it: then the next downloads are the first ones again.",
            ) from error
        return dict(entries)


def _default_path() -> Path:
    return user_folder("state", f"Set HOME (it is {os.environ.get('HOME')!r}).") / "digests.json"
