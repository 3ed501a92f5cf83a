"""coco128 for porter's own programs: found where people keep it, or downloaded if that is quick.

``porter data fetch coco128`` is for people.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from porter.datasets.generate import data_yaml
from porter.downloads.datasets import SETS, examine, obtain
from porter.downloads.retry import RetryPolicy, timeout
from porter.errors import WrongUsage
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
    """

    path: Path
    word: str

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
        EnvironmentFailed: a folder cannot be read.
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


def download(progress: Progress) -> Found:
    """Download coco128 into porter's cache.  The user did not ask for it, so it is given up after seconds.

    Raises:
        EnvironmentFailed: it is not to be had, or not that quickly.
        CheckFailed: what came is not coco128.
    """
    policy = RetryPolicy(min(timeout(), _TIMEOUT), tries=1, longest_wait=0.0, total=_TOTAL)
    return Found(obtain(_SET, _store(), progress, policy=policy).path, "coco128 (downloaded into porter's cache)")


def _store() -> Path:
    return cache_folder().absolute() / "data"
