"""Checkpoints (.pt): downloaded, looked into without running them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from porter.commands.arguments import AnyPath

if TYPE_CHECKING:
    from porter.checkpoints.inspection import Checkpoint
    from porter.downloads.download import Downloaded
    from porter.output import Progress


def fetch(
    name: str,
    dest: AnyPath = ".",
    *,
    release: str = "v6.0",
    mirrors: Sequence[str] = (),
    require_known: bool = False,
    progress: Progress | None = None,
) -> Downloaded:
    """Download a checkpoint of upstream's; it is looked into before it gets its name.

    Args:
        name: yolov5 n, s, m, l or x, for 1280 pixels with a 6, as ``yolov5m6.pt``; ``.pt`` may be left out.
        dest: the folder to put it in.
        release: of upstream: ``v6.0`` or ``v6.1``.
        mirrors: where it is tried first, as for :func:`porter.api.data.fetch`.
        require_known: refuse one that porter knows no digest of.

    Raises:
        CheckFailed: what came, or what is there, is not upstream's, or is no checkpoint, or it has no known digest.
        SurroundingsFailed: it cannot be downloaded or written.
        WrongUsage: there is no such checkpoint or release, or a mirror makes no sense.
    """
    from porter.downloads.digests import Digests
    from porter.downloads.weights import obtain
    from porter.output import Progress

    digests = Digests(strict=require_known)
    return obtain(name, Path(dest), progress or Progress(), release=release, mirrors=mirrors, digests=digests)


def inspect(file: AnyPath) -> Checkpoint:
    """What a checkpoint is; nothing in it is run, and torch is not needed.

    Raises:
        CheckFailed: it asks to run something, and what; or it is damaged, or no checkpoint of torch's.
        SurroundingsFailed: it cannot be read.
        WrongUsage: it is no file.
    """
    from porter.checkpoints.inspection import inspect as run

    return run(Path(file))
