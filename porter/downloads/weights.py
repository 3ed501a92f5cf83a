"""Upstream's trained checkpoints, by the names that v6.0 knows, from the release that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from porter.checkpoints import inspect
from porter.downloads.digests import Digests
from porter.downloads.download import Downloaded, Wanted, fetch
from porter.downloads.retry import RetryPolicy
from porter.errors import CheckFailed, WrongUsage
from porter.output import Progress

RELEASES = ("v6.0", "v6.1", "v6.2", "v7.0")
NAMES = tuple(f"yolov5{size}{wide}.pt" for wide in ("", "6") for size in "nsmlx")
_RELEASE = "https://github.com/ultralytics/yolov5/releases/download"


def obtain(
    name: str,
    folder: Path,
    progress: Progress,
    *,
    release: str = "v6.0",
    mirrors: Sequence[str] = (),
    digests: Digests | None = None,
    policy: RetryPolicy | None = None,
) -> Downloaded:
    """Make sure that a checkpoint is at ``folder/NAME``; a new one is inspected before it gets its name.

    Args:
        name: as ``yolov5s.pt``; ``.pt`` may be left out.

    Raises:
        CheckFailed: what came, or what is there, is not upstream's, or is no checkpoint.
        EnvironmentFailed: it cannot be downloaded or written.
        WrongUsage: there is no such checkpoint or release, or a mirror makes no sense.
    """
    name = known(name, release)
    wanted = Wanted(url(name, release), mirrors, _check)
    return fetch(wanted, folder / name, progress, digests=digests, policy=policy)


def known(name: str, release: str = "v6.0") -> str:
    """A checkpoint's file name, from a name that may lack ``.pt``.

    Raises:
        WrongUsage: there is no such checkpoint or release.
    """
    name = name if name.endswith(".pt") else f"{name}.pt"
    if name not in NAMES:
        raise WrongUsage(f"upstream has no {name}", hint=f"There are {', '.join(NAMES)}.")
    if release not in RELEASES:
        raise WrongUsage(f"porter knows no release {release}", hint=f"It knows {', '.join(RELEASES)}.")
    return name


def release_of(tag: str) -> str:
    """The release whose checkpoints go with a commit, by its tag or what `git describe` calls it."""
    fitting = [release for release in RELEASES if tag == release or tag.startswith(f"{release}-")]
    return fitting[0] if fitting else RELEASES[0]


def url(name: str, release: str = "v6.0") -> str:
    """Where upstream has a checkpoint, by which its digest is known."""
    return f"{_RELEASE}/{release}/{name}"


def _check(path: Path) -> None:
    """What a file has to be before its digest is believed for the first time."""
    found = inspect(path)
    if found.kind != "YOLOv5 checkpoint":
        raise CheckFailed(f"what came is {found.kind}, not a YOLOv5 checkpoint")
