"""``porter upstream``: the group of commands about the pinned upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from porter.cli.shared import UPSTREAM, print_json

if TYPE_CHECKING:
    from porter.lock import Lock
    from porter.project import Project


@click.group()
def upstream() -> None:
    """The upstream that the stacks are for: get it, look at it, check it."""


@upstream.command()
@UPSTREAM
def fetch(upstream: str | None) -> None:
    """Get upstream at the pin into the cache, checked object by object.

    What the cache has is kept. If a package index gave only a part of the files, the rest is asked for again.
    PORTER_CACHE names another folder for the cache, PORTER_TIMEOUT the seconds of silence (60) after which a
    git server is given up.
    """
    from porter.progress import Terminal
    from porter.project import Project
    from porter.upstream import fetch as run

    lock = _load_lock(Project.find())
    with Terminal() as progress:
        snapshot = run(lock, upstream, progress=progress)
    count = f"{len(snapshot.files)} of {len(lock.pin.files)}" if snapshot.partial else f"all {len(snapshot.files)}"
    click.echo(f"{lock.pin.name} {lock.pin.tag} ({lock.pin.commit[:12]}): {count} files are in the cache")


@upstream.command(name="show")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_upstream(as_json: bool) -> None:
    """Say what is pinned, under which licence, where it is had and what the cache holds of it."""
    from porter.commands.upstream import describe
    from porter.project import Project

    found = describe(_load_lock(Project.find()))
    if as_json:
        print_json(found.record())
        return
    pin, cache = found.pin, found.cache
    click.echo(f"{click.style(f'{pin.name} {pin.tag}', bold=True)}  {pin.date[:10]}, {len(pin.files)} files")
    click.echo(f"  commit:  {pin.commit}\n  tree:    {pin.tree}\n  licence: {pin.license}")
    click.echo("  sources: " + "\n           ".join(found.sources))
    says = {
        "whole": "all files",
        "partial": f"{cache.files} files; missing: {', '.join(cache.missing)}",
        "nothing": "nothing yet; `porter upstream fetch` fills it",
        "damaged": f"damaged ({cache.why}); `porter upstream fetch` makes it anew",
    }
    size = f", {cache.size / 1e6:.1f} MB" if cache.size else ""
    click.echo(f"  cache:   {cache.path}{size}: {says[cache.state]}")


@upstream.command(name="verify")
def verify_upstream() -> None:
    """Hash everything that the cache holds of the pin again.

    Exit code 1 if something is not what upstream.lock says, or if there is nothing.
    """
    from porter.project import Project
    from porter.upstream import verify as run

    lock = _load_lock(Project.find())
    right, wrong = run(lock)
    for finding in wrong:
        click.echo(f"{finding.name}: expected {finding.expected}, found {finding.found}")
    if wrong:
        click.echo(
            f"{len(wrong)} of {right + len(wrong)} objects are wrong; `porter upstream fetch` replaces them.", err=True
        )
        raise SystemExit(1)
    click.echo(f"{lock.pin.name} {lock.pin.tag}: {right} objects, each with the id that upstream.lock says")


def _load_lock(project: Project) -> Lock:
    from porter.lock import Lock

    return Lock.load(project.lock_path)
