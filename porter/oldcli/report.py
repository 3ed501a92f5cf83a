"""``porter report``."""

from __future__ import annotations

from pathlib import Path

import click

from porter.commands.options import FOLDER, JSON, complete_target, print_json, tell, write_out


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
@JSON
@click.argument("records", metavar="RECORD.json...", type=FOLDER, nargs=-1, required=True)
def report(output: Path, targets: tuple[str, ...], as_json: bool, records: tuple[Path, ...]) -> None:
    """Make one HTML page of what verify, bench and drift found.

    Each RECORD is what `porter verify --json FILE`, `porter verify --necessity --json FILE`, `porter bench --json` or
    `porter drift --json FILE` wrote; the order does not matter. The page needs no network and runs no script.
    """
    from porter.api import report as run

    if any(output.resolve() == record.resolve() for record in records):
        raise click.UsageError(f"{output} is one of the records.")
    data = run(records, targets).encode("utf-8", "backslashreplace")
    write_out(output, data)
    if as_json:
        print_json("report", {"path": str(output), "records": len(records), "bytes": len(data)})
        return
    tell(f"{output}: {len(records)} {'record' if len(records) == 1 else 'records'}, {len(data) / 1e3:.0f} kB")
