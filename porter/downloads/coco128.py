"""coco128: the real one where it is there or can be downloaded quickly, else generated scenes.

For porter's own programs, which must work with no network too.  ``porter data fetch coco128`` is for people.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from porter.datasets.generate import EDITION, LIKE_COCO128, data_yaml, make
from porter.downloads.datasets import SETS, examine
from porter.downloads.datasets import obtain as fetch
from porter.downloads.retry import RetryPolicy, timeout
from porter.errors import PorterError, SurroundingsFailed, WrongUsage
from porter.files import cache_folder
from porter.output import Progress

VARIABLE = "PORTER_DATA"
_SET = SETS["coco128"]
_TIMEOUT, _TOTAL = 5.0, 60.0  # seconds that a download may take which nobody asked for


@dataclass(frozen=True)
class Found:
    """Pictures and labels in coco128's layout: ``images/train2017`` and ``labels/train2017``, COCO's 80 classes.

    Attributes:
        path: the folder, absolute.
        word: for the report: what it is and where it comes from.
        generated: whether these are scenes that porter drew, not coco128.
    """

    path: Path
    word: str
    generated: bool = False

    @property
    def yaml(self) -> str:
        """The text of a yaml for ``train.py --data``.  The folder may be the user's: write the yaml elsewhere."""
        return data_yaml(f"# {self.word}\n".encode("ascii", "backslashreplace").decode(), self.path, _SET.splits)


def find(*folders: Path) -> Found | None:
    """Look for coco128 in the usual folders; a folder that lacks pictures does not count.

    It is looked for in ``PORTER_DATA`` (the folder itself, or one that holds it), then in ``datasets/coco128``
    in and beside each of ``folders`` (trees, mostly), then the same at the current folder, then in porter's cache.

    Raises:
        WrongUsage: ``PORTER_DATA`` names a folder without coco128: who set it wants to know.
        SurroundingsFailed: a folder cannot be read.
    """
    named = os.environ.get(VARIABLE)
    if named:
        root = Path(os.path.abspath(os.path.expanduser(named)))
        for path in (root, root / _SET.name, root / "datasets" / _SET.name):
            if not examine(_SET, path):
                return Found(path, f"coco128 ({VARIABLE})")
        raise WrongUsage(f"{VARIABLE} is {named}, and no coco128 is there", examine(_SET, root))
    for folder in (*folders, Path.cwd()):
        for holder in (folder, folder.parent):
            path = Path(os.path.abspath(holder)) / "datasets" / _SET.name
            if not examine(_SET, path):
                return Found(path, f"coco128 ({path})")
    path = _store() / _SET.name
    return None if examine(_SET, path) else Found(path, "coco128 (porter's cache)")


def obtain(*folders: Path, progress: Progress | None = None, network: bool = True, size: int = 640) -> Found:
    """coco128 as :func:`find` finds it, else downloaded into porter's cache, else 128 generated scenes there.

    A download that nobody asked for is given up after seconds; the reason is in ``word``.

    Args:
        network: whether a download may be tried.
        size: width of the generated pictures in pixels; they are three quarters as high.

    Raises:
        WrongUsage: see :func:`find`.
        SurroundingsFailed: the cache cannot be written to.
    """
    progress = progress or Progress()
    found = find(*folders)
    if found is not None:
        return found
    why = "no download was tried"
    if network:
        try:
            return download(progress)
        except PorterError as error:
            why = " ".join(f"{error.what}: {error.why}".split())
    return Found(_scenes(size, progress), f"128 generated scenes in coco128's layout (no coco128: {why})", True)


def download(progress: Progress) -> Found:
    """Download coco128 into porter's cache.  The user did not ask for it, so it is given up after seconds.

    Raises:
        SurroundingsFailed: it is not to be had, or not that quickly.
        CheckFailed: what came is not coco128.
    """
    policy = RetryPolicy(min(timeout(), _TIMEOUT), tries=1, longest_wait=0.0, total=_TOTAL)
    return Found(fetch(_SET, _store(), progress, policy=policy).path, "coco128 (downloaded into porter's cache)")


def _scenes(size: int, progress: Progress) -> Path:
    """Generated scenes in the cache, made now if they are not there."""
    height = size * 3 // 4
    path = _store() / f"scenes-{EDITION}-{size}x{height}"
    if not path.exists():
        try:
            count = _SET.pictures["train2017"]
            make(path, images=count, size=(size, height), layout=LIKE_COCO128, progress=progress)
        except WrongUsage:  # another porter was faster
            if not path.exists():
                raise
    if not (path / "images" / LIKE_COCO128.train).is_dir():
        raise SurroundingsFailed(f"{path} is not what porter wrote", hint=f"Remove it: rm -r '{path}'")
    return path


def _store() -> Path:
    return cache_folder().absolute() / "data"
