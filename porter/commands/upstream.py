"""``porter upstream``: get the upstream that the stacks are for, look at it, check it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from porter.commands.arguments import AnyProject, find
from porter.commands.options import JSON, UPSTREAM, print_json, tell, terminal
from porter.lockfile import Lock, Pin
from porter.output import Progress, counted
from porter.sources import obtain
from porter.sources.cache import Cache, Damaged


@dataclass(frozen=True)
class Holding:
    """What the cache has of the pin.

    Attributes:
        path: the cache's folder.
        state: ``whole``, ``partial``, ``nothing`` or ``damaged``.
        files: how many of the pin's files are there.
        missing: the others' paths, sorted; empty unless ``partial``.
        size: bytes on disk.
        why: what is damaged.
    """

    path: Path
    state: str
    files: int
    missing: tuple[str, ...]
    size: int
    why: str = ""


@dataclass(frozen=True)
class Upstream:
    """The pin, where it is had, and what is at hand."""

    pin: Pin
    sources: tuple[str, ...]
    cache: Holding

    def record(self) -> dict[str, Any]:
        """The same for ``--json``."""
        return {
            **self.pin.record(),
            "files": len(self.pin.files),
            "sources": list(self.sources),
            "cache": {
                "path": str(self.cache.path),
                "state": self.cache.state,
                "files": self.cache.files,
                "missing": list(self.cache.missing),
                "bytes": self.cache.size,
            },
        }


@dataclass(frozen=True)
class Checked:
    """What hashing the cache again gave: how many objects are right, and those that are not."""

    pin: Pin
    right: int
    wrong: tuple[obtain.WrongObject, ...]

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        pin = {"name": self.pin.name, "tag": self.pin.tag, "commit": self.pin.commit}
        return {"pin": pin, "right": self.right, "wrong": [asdict(finding) for finding in self.wrong]}


def fetch(upstream: str | None = None, *, project: AnyProject = None, progress: Progress | None = None) -> Upstream:
    """Get upstream at the pin into the cache, checked object by object; what is there already is kept.

    Args:
        upstream: the only place to ask, a clone's path or a URL.

    Returns:
        the same as :func:`show`.

    Raises:
        CheckFailed: a source gave something else than the pin.
        EnvironmentFailed: no source could be reached, or the cache cannot be used.
        WrongUsage: ``upstream`` is no source.
    """
    project = find(project)
    obtain.fetch(Lock.load(project.lock_path), upstream, progress=progress)
    return show(project=project)


def show(*, project: AnyProject = None) -> Upstream:
    """What is pinned, under which licence, where it is had and what the cache holds of it; asks nobody.

    Raises:
        WrongUsage: the lock cannot be read.
        EnvironmentFailed: the cache cannot be read.
    """
    lock = Lock.load(find(project).lock_path)
    store = Cache()
    why = ""
    try:
        found = obtain.cached(lock, store)
        state = "nothing" if found is None else "partial" if found.partial else "whole"
    except Damaged as error:
        found, state, why = None, "damaged", error.what
    held = Holding(
        path=store.folder,
        state=state,
        files=len(found.files) if found else 0,
        missing=found.missing if found else (),
        size=sum(path.stat().st_size for path in store.repository.path.rglob("*") if path.is_file()),
        why=why,
    )
    return Upstream(lock.pin, tuple(str(source) for source in lock.sources), held)


def verify(*, project: AnyProject = None) -> Checked:
    """Hash everything that the cache holds of the pin again.

    Returns:
        how many objects are right, and ``wrong``: those that are not.

    Raises:
        CheckFailed: the cache holds nothing of the pin, or git cannot read it at all.
        EnvironmentFailed: the cache cannot be read.
    """
    lock = Lock.load(find(project).lock_path)
    right, wrong = obtain.verify(lock)
    return Checked(lock.pin, right, tuple(wrong))


@click.group(name="upstream")
def command() -> None:
    """The upstream that the stacks are for: get it, look at it, check it."""


@command.command(name="fetch")
@UPSTREAM
@JSON
def fetch_command(upstream: str | None, as_json: bool) -> None:
    """Get upstream at the pin into the cache, checked object by object.

    What the cache has is kept. If a package index gave only a part of the files, the rest is asked for again.
    PORTER_CACHE names another folder for the cache, PORTER_TIMEOUT the seconds of silence (60) after which a
    git server is given up.
    """
    with terminal() as progress:
        found = fetch(upstream, progress=progress)
    if as_json:
        print_json("upstream", found.record())
        return
    pin, held = found.pin, found.cache
    count = f"{held.files} of {len(pin.files)}" if held.missing else f"all {held.files}"
    tell(f"{pin.name} {pin.tag} ({pin.commit[:12]}): {count} files are in the cache")


@command.command(name="show")
@JSON
def show_command(as_json: bool) -> None:
    """Say what is pinned, under which licence, and where it is had.

    Also: what the cache holds of it.
    """
    found = show()
    if as_json:
        print_json("upstream", found.record())
        return
    pin, cache = found.pin, found.cache
    click.echo(f"{click.style(f'{pin.name} {pin.tag}', bold=True)}  {pin.date[:10]}, {counted(len(pin.files), 'file')}")
    click.echo(f"  commit:  {pin.commit}\n  tree:    {pin.tree}\n  licence: {pin.license}")
    click.echo("  sources: " + "\n           ".join(found.sources))
    says = {
        "whole": "all files",
        "partial": f"{counted(cache.files, 'file')}; missing: {', '.join(cache.missing)}",
        "nothing": "nothing yet; `porter upstream fetch` fills it",
        "damaged": f"damaged ({cache.why}); `porter upstream fetch` makes it anew",
    }
    size = f", {cache.size / 1e6:.1f} MB" if cache.size else ""
    click.echo(f"  cache:   {cache.path}{size}: {says[cache.state]}")


@command.command(name="verify")
@JSON
def verify_command(as_json: bool) -> None:
    """Hash everything that the cache holds of the pin again.

    Exit code 1 if something is not what upstream.lock says, or if there is nothing.
    """
    found = verify()
    if as_json:
        print_json("upstream-check", found.record())
    else:
        for finding in found.wrong:
            click.echo(f"{finding.name}: expected {finding.expected}, found {finding.found}")
    if found.wrong:
        count = f"{len(found.wrong)} of {found.right + len(found.wrong)}"
        tell(f"{count} objects are wrong; `porter upstream fetch` replaces them.", err=True)
        raise SystemExit(1)
    if not as_json:
        right = counted(found.right, "object")
        tell(f"{found.pin.name} {found.pin.tag}: {right}, each with the id that upstream.lock says")
