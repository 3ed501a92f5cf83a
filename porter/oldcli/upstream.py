"""``porter upstream``: the group of commands about the pinned upstream."""

from __future__ import annotations

import click

from porter.commands.options import JSON, UPSTREAM, print_json, tell, terminal


@click.group()
def upstream() -> None:
    """The upstream that the stacks are for: get it, look at it, check it."""


@upstream.command()
@UPSTREAM
@JSON
def fetch(upstream: str | None, as_json: bool) -> None:
    """Get upstream at the pin into the cache, checked object by object.

    What the cache has is kept. If a package index gave only a part of the files, the rest is asked for again.
    PORTER_CACHE names another folder for the cache, PORTER_TIMEOUT the seconds of silence (60) after which a
    git server is given up.
    """
    from porter.api.upstream import fetch as run

    with terminal() as progress:
        found = run(upstream, progress=progress)
    if as_json:
        print_json("upstream", found.record())
        return
    pin, held = found.pin, found.cache
    count = f"{held.files} of {len(pin.files)}" if held.missing else f"all {held.files}"
    tell(f"{pin.name} {pin.tag} ({pin.commit[:12]}): {count} files are in the cache")


@upstream.command(name="show")
@JSON
def show_upstream(as_json: bool) -> None:
    """Say what is pinned, under which licence, and where it is had.

    Also: what the cache holds of it.
    """
    from porter.api.upstream import show as run

    found = run()
    if as_json:
        print_json("upstream", found.record())
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
@JSON
def verify_upstream(as_json: bool) -> None:
    """Hash everything that the cache holds of the pin again.

    Exit code 1 if something is not what upstream.lock says, or if there is nothing.
    """
    from porter.api.upstream import verify as run

    found = run()
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
        tell(f"{found.pin.name} {found.pin.tag}: {found.right} objects, each with the id that upstream.lock says")
