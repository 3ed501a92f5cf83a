"""Have a published data set, where v6.0 finds it or with a link from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.datasets.generate import YAML
from porter.downloads import datasets
from porter.downloads.digests import Digests
from porter.errors import WrongUsage
from porter.output import Progress


@dataclass(frozen=True)
class Laid(datasets.Fetched):
    """A data set that is there now, and how to train on it.

    Attributes:
        place: where v6.0 finds it: the folder itself or a link to it; the folder if v6.0 does not find it.
        data: what ``train.py --data`` takes; empty: v6.0's yaml does not find it and it has none of its own.
    """

    place: Path
    data: str

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"path": str(self.path), "how": self.how, "trust": list(self.trust), "data": self.data}


def fetch(
    name: str,
    dest: Path | None = None,
    mirrors: Sequence[str] = (),
    link: bool = False,
    progress: Progress | None = None,
    require_known: bool = False,
) -> Laid:
    """Have a data set in ``dest``, by default where v6.0 looks for it from the current folder.

    Raises:
        CheckFailed, SurroundingsFailed: see :func:`porter.downloads.datasets.obtain`.
        WrongUsage: there is no such data set, a mirror makes no sense, or something else is where the link goes.
    """
    if name not in datasets.SETS:
        raise WrongUsage(f"there is no data set {name}", hint=f"There are: {', '.join(datasets.SETS)}.")
    usual = datasets.default_folder(Path.cwd())
    digests = Digests(strict=require_known)
    made = datasets.obtain(datasets.SETS[name], dest or usual, progress or Progress(), mirrors=mirrors, digests=digests)
    place = datasets.link(made.path, usual) if link else made.path
    own = made.path / YAML
    data = f"{name}.yaml" if place == usual / name else str(own) if own.is_file() else ""
    return Laid(made.path, made.how, made.trust, place, data)
