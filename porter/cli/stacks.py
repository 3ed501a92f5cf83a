"""The commands that look at the patches and keep the lock in step with them."""

from __future__ import annotations

import click

from porter.cli.shared import UPSTREAM, colour, print_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def targets(as_json: bool) -> None:
    """List the device families that there are stacks for."""
    from porter.project import Project
    from porter.target import load_all

    found = load_all(Project.find())
    if as_json:
        print_json([target.record() for target in found])
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
@click.argument("name", metavar="PATCH")
def show(name: str) -> None:
    """Print a patch: by number (3), stack and number (common/3), or the beginning of its name."""
    from porter.commands.show import find
    from porter.project import Project

    patch = find(Project.find(), name)
    click.secho(f"# {patch.id}", fg="yellow")
    click.echo(patch.data if not colour() else _coloured(patch.data))


def _coloured(data: bytes) -> bytes:
    colours = {b"+": b"\x1b[32m", b"-": b"\x1b[31m", b"@": b"\x1b[36m", b"d": b"\x1b[1m"}
    head, middle, diff = data.partition(b"\ndiff --git ")
    rows = (middle[1:] + diff).split(b"\n")
    painted = [colours[row[:1]] + row + b"\x1b[0m" if row[:1] in colours else row for row in rows]
    return head + b"\n" + b"\n".join(painted)


@click.command()
@UPSTREAM
def lint(upstream: str | None) -> None:
    """Check the patches: headers, order, names, whitespace, canonical form, that all apply, the lock.

    Exit code 1 if there is anything to say.
    """
    from porter.commands.lint import lint as run
    from porter.progress import Terminal
    from porter.project import Project

    with Terminal() as progress:
        findings = run(Project.find(), upstream, progress)
    for finding in findings:
        click.echo(str(finding))
    if findings:
        click.echo(f"{len(findings)} finding(s)", err=True)
        raise SystemExit(1)
    click.echo("The stacks are as they should be.")


@click.command()
@UPSTREAM
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the lock is not in step.")
def lock(upstream: str | None, check: bool) -> None:
    """Write into upstream.lock what each stack makes of the pin."""
    from porter.commands.lock import updated
    from porter.progress import Terminal
    from porter.project import Project

    project = Project.find()
    with Terminal() as progress:
        before, after = updated(project, upstream, progress)
    stale = sorted(
        name for name in {*before.stacks, *after.stacks} if before.stacks.get(name) != after.stacks.get(name)
    )
    if not stale:
        click.echo("upstream.lock is in step with the patches.")
    elif check:
        click.echo(f"upstream.lock is not in step with the patches: {', '.join(stale)}. Run `porter lock`.", err=True)
        raise SystemExit(1)
    else:
        after.write(project.lock_path)
        click.echo(f"upstream.lock: wrote {', '.join(stale)}")
