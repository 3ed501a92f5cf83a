"""Facts out of a plugin's own source: what it registers, what its kernels demand, what its Python reaches.

Nothing is compiled and nothing of the plugin is imported.  `scan_plugin` is the way in; the rules for
reading one vendor's source are one small module each (sophgo, cambricon, ascend, moorethreads), the rest is the same
for all.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from porter import git
from porter.errors import WrongUsage
from porter.output import command_line
from porter.scan.facts import SCHEMA

# A plugin's checkout and what a scan makes of it: the record that `porter profile scan` prints.

READERS = ("ascend", "cambricon", "moorethreads", "sophgo")
# of a record, as the facts files have them
KEYS = ("version", "defines", "also", "operators", "python", "process_group", "environment", "visible", "dtypes",
        "autocast")  # fmt: skip


def readers() -> dict[str, ModuleType]:
    """The modules that know how to read a vendor's plugin, by porter's target."""
    modules = [importlib.import_module(f"porter.scan.{name}") for name in READERS]
    return {module.TARGET: module for module in modules}


def scan_plugin(
    checkout: Path, target: str, card: str | None, defines: list[str], also: Path | None = None
) -> dict[str, Any]:
    """Reads a plugin's checkout as the build for card compiles it.

    Args:
        checkout: the plugin's sources; a git checkout gives the record its commit.
        target: porter's target, tpu, mlu, npu or musa.
        card: which card's build; None takes the newest that the reader knows.
        defines: NAME or NAME=VALUE, added to those of the build.
        also: a second repository that the plugin is built with, where it has one.

    Returns:
        the record, as docs/formats.md has it.

    Raises:
        WrongUsage: no reader for target, no such card, or no checkout of that plugin.
        EnvironmentFailed: tree-sitter is not installed.
    """
    known = readers()
    if target not in known:
        raise WrongUsage(
            f"porter cannot read the plugin of {target}",
            f"it can read those of {', '.join(sorted(known))}",
            "--target tpu",
        )
    reader = known[target]
    if not checkout.is_dir() or not (checkout / reader.SIGN).exists():
        raise WrongUsage(
            f"{checkout} is no checkout of {reader.PLUGIN}",
            f"{reader.SIGN} is not in it" if checkout.is_dir() else "there is no such folder",
            f"{command_line('git', 'clone', reader.URL)}, then give its folder",
        )
    *_, newest = reader.CARDS
    card = newest if card is None else card
    if card not in reader.CARDS:
        known_cards = f"cards: {', '.join(reader.CARDS)}"
        raise WrongUsage(f"{reader.PLUGIN} is not built for {card}", known_cards, f"--card {newest}")
    found = reader.scan(checkout, card, defines, also)
    return {
        "kind": "profile scan",
        "schema": SCHEMA,
        "target": target,
        "plugin": reader.PLUGIN,
        "card": card,
        "commit": commit(checkout),
        **{key: found[key] for key in KEYS if key in found},
    }


def commit(folder: Path) -> str | None:
    """The commit of a git checkout; None where the folder is none, or lies in the checkout of something else."""
    try:
        top = git.run("rev-parse", "--show-toplevel", "HEAD", cwd=folder).decode().split("\n")
    except git.GitFailed:
        return None
    return top[1] if Path(top[0]).resolve() == folder.resolve() else None
