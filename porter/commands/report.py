"""``porter report``: one page of what verify, necessity, compare, bench and drift found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from porter.commands.arguments import AnyPath, AnyProject, Names, find, is_line_named, names
from porter.commands.options import FOLDER, JSON, print_json, target_option, tell, write_out
from porter.errors import WrongUsage
from porter.line import lines
from porter.output import counted
from porter.project import Project
from porter.reports import page
from porter.reports.records import Record, Recorded, load, of_result


def report(records: Sequence[AnyPath | Recorded], targets: Names = (), *, project: AnyProject = None) -> str:
    """One HTML page of what verify, necessity, compare, bench and drift found; it needs no network and runs no script.

    Args:
        records: what these functions returned, or files that the commands wrote, in any order.
        targets: whose patches are listed; none: those that the records are about.  Of the line that all records of
            verify are about, where no line is named.

    Raises:
        WrongUsage: a file is no record, or is damaged; there is no such target.
        CheckFailed: a stack is malformed.
        EnvironmentFailed: a file cannot be read.
    """
    if not records:
        raise WrongUsage("no record named", hint="porter verify --json FILE writes one.")
    found = [load(Path(each)) if isinstance(each, (str, os.PathLike)) else of_result(each) for each in records]
    return page.with_patches(_line(project, found), found, names(targets))


def _line(project: AnyProject, records: Sequence[Record]) -> Project:
    """The line that the records are about; where they do not agree, or one is named, as :func:`find`."""
    here = find(project)
    said = {str(record.field.value.get("upstream", "")) for record in records if record.kind == "verify"}
    if len(said) != 1 or not here.top.others or is_line_named(project):
        return here
    return lines(here).get(said.pop(), here)


@click.command(name="report")
@click.option("--output", metavar="FILE", type=FOLDER, required=True, help="Write the page here.")
@target_option(" whose patches are listed (by default of each that a record is about)", multiple=True)
@JSON
@click.argument("records", metavar="RECORD.json...", type=FOLDER, nargs=-1, required=True)
def command(output: Path, targets: tuple[str, ...], as_json: bool, records: tuple[Path, ...]) -> None:
    """Make one HTML page of what verify, compare, bench and drift found.

    Each RECORD is what `porter verify --json FILE`, `porter verify --necessity --json FILE`, `porter compare --json`,
    `porter bench --json` or `porter drift --json FILE` wrote; the order does not matter. The page needs no network and
    runs no script.
    """
    if any(output.resolve() == record.resolve() for record in records):
        raise click.UsageError(f"{output} is one of the records.")
    data = report(records, targets).encode("utf-8", "backslashreplace")
    write_out(output, data)
    if as_json:
        print_json("report", {"path": str(output), "records": len(records), "bytes": len(data)})
        return
    tell(f"{output}: {counted(len(records), 'record')}, {len(data) / 1e3:.0f} kB")
