"""What the commands share: options, the type of a folder, how results are printed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
UPSTREAM = click.option(
    "--upstream",
    metavar="PATH|URL",
    help="Get upstream from this clone, mirror or URL only (or set PORTER_UPSTREAM).",
)
MIRROR = click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    metavar="URL|DIR",
    help="Try this place first: a folder that holds the file by its name, or a pattern with {url} or {name} in it."
    " May be repeated; the first comes first.",
)
FOLDER = click.Path(path_type=Path, readable=False)  # what cannot be read is no wrong usage


def complete_target(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """For the shell: the targets that there are."""
    from porter.errors import PorterError
    from porter.project import Project
    from porter.stack import available

    try:
        return [name for name in available(Project.find().patches) if name.startswith(incomplete)]
    except PorterError:
        return []


def colour() -> bool:
    """Whether standard output may be coloured."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def print_json(value: Any) -> None:
    """Print plain data as one JSON document."""
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
