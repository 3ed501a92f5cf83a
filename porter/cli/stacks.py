"""The commands that look at the patches and keep the lock in step with them."""

from __future__ import annotations

import click

from porter.cli.shared import JSON, UPSTREAM, colour, print_bytes, print_json, tell, terminal


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def targets(as_json: bool) -> None:
    """List the device families that there are stacks for."""
    from porter.api import targets as run
    from porter.output import labelled, to_json

    found = run()
    if as_json:
        click.echo(to_json([labelled("target", target.record()) for target in found]), nl=False)
        return
    for target in found:
        click.echo(f"{click.style(target.name, bold=True)}  {target.title['en']}")
        click.echo(f"  plugin: {target.plugin.module}, from {target.plugin.source}")
        if target.plugin.confused_with:
            click.echo(f"          not {target.plugin.confused_with}")
        click.echo(f"  probe: {' or '.join(target.probe)}")
        devices = f"; devices: {', '.join(target.visible_devices)}" if target.visible_devices else ""
        click.echo(f"  distributed: {', '.join(target.distributed)}{devices}")
        for link in target.documentation:
            click.echo(f"  {link.title}: {link.url}")


@click.command()
@JSON
@click.argument("name", metavar="PATCH")
def show(as_json: bool, name: str) -> None:
    """Print a patch: by number (3), stack and number (common/3), or the beginning of its name."""
    from porter.api import show as run

    patch = run(name)
    if as_json:
        print_json("patch", patch.record())
        return
    click.secho(f"# {patch.id}", fg="yellow")
    print_bytes(patch.data if not colour() else _coloured(patch.data))


def _coloured(data: bytes) -> bytes:
    colours = {b"+": b"\x1b[32m", b"-": b"\x1b[31m", b"@": b"\x1b[36m", b"d": b"\x1b[1m"}
    head, middle, diff = data.partition(b"\ndiff --git ")
    rows = (middle[1:] + diff).split(b"\n")
    painted = [colours[row[:1]] + row + b"\x1b[0m" if row[:1] in colours else row for row in rows]
    return head + b"\n" + b"\n".join(painted)


@click.command()
@UPSTREAM
@JSON
def lint(upstream: str | None, as_json: bool) -> None:
    """Check the patches: headers, order, names, whitespace, canonical form, that all apply, the lock.

    Exit code 1 if there is anything to say.
    """
    from porter.api import lint as run

    with terminal() as progress:
        findings = run(upstream=upstream, progress=progress)
    if as_json:
        print_json("lint", {"findings": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(str(finding))
    if findings:
        tell(f"{len(findings)} finding(s)", err=True)
        raise SystemExit(1)
    if not as_json:
        tell("The stacks are as they should be.")


@click.command()
@UPSTREAM
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the lock is not in step.")
@JSON
def lock(upstream: str | None, check: bool, as_json: bool) -> None:
    """Write into upstream.lock what each stack makes of the pin."""
    from porter.api import lock as run

    with terminal() as progress:
        found = run(check=check, upstream=upstream, progress=progress)
    names = ", ".join(found.stale)
    if as_json:
        print_json("lock", found.record())
    elif not found.stale:
        tell("upstream.lock is in step with the patches.")
    elif found.written:
        tell(f"upstream.lock: wrote {names}")
    else:
        click.echo(f"upstream.lock is not in step with the patches: {names}. Run `porter lock`.", err=True)
    raise SystemExit(1 if found.stale and check else 0)
