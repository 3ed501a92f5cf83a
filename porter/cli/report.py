"""``porter report``."""

from __future__ import annotations

from pathlib import Path

import click

from porter.cli.shared import FOLDER, complete_target


@click.command()
@click.option("--output", metavar="FILE", type=FOLDER, required=True, help="Write the page here.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_target,
    help="List this target's patches; may be repeated.  [default: of every target that a record is about]",
)
@click.argument("records", metavar="RECORD.json...", type=FOLDER, nargs=-1, required=True)
def report(output: Path, targets: tuple[str, ...], records: tuple[Path, ...]) -> None:
    """Make one HTML page of what verify, bench and drift found.

    Each RECORD is what `porter verify --json FILE`, `porter verify --necessity --json FILE`, `porter bench --json` or
    `porter drift --json FILE` wrote; the order does not matter. The page needs no network and runs no script.
    """
    from porter.commands.report import report as run
    from porter.document import write
    from porter.project import Project

    if any(output.resolve() == record.resolve() for record in records):
        raise click.UsageError(f"{output} is one of the records.")
    data = run(Project.find(), records, targets).encode("utf-8", "backslashreplace")
    write(output, data)
    click.echo(f"{output}: {len(records)} {'record' if len(records) == 1 else 'records'}, {len(data) / 1e3:.0f} kB")
