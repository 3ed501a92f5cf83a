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


def colour() -> bool:
    """Whether standard output may be coloured."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def print_json(value: Any) -> None:
    """Print plain data as one JSON document."""
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
