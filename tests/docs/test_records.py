"""The keys that docs/formats.md gives of the JSON documents are those that the commands print."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from porter.lockfile import Lock

from .pages import ROOT, tables
from .shell import checkout, environment, type_in

# the command, as the page has it -> the same on files that are there
COMMANDS = {
    "porter status --json": "porter status --json tree",
    "porter upstream show --json": "porter upstream show --json",
    "porter doctor --json": "porter doctor --json",
    "porter data check --json": "porter data check --json scenes/data.yaml",
    "porter prepare --json": "porter prepare --target mlu --json tree",
    "porter verify --json FILE": "porter verify --target mlu --level static --json /dev/stdout tree",
    "porter audit --json FILE": "porter audit --baseline --json /dev/stdout tree",
}


def test_keys(lock: Lock, upstream: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    (table,) = (found for found in tables(text) if found[0] == ["command", "the keys at the top"])
    said = {row[0].strip("`"): re.findall(r"`([a-z_]+)`", row[1]) for row in table[1:]}
    assert set(said) == set(COMMANDS)
    folder = checkout(tmp_path / "porter")
    files = {name: tmp_path / f"{number}.json" for number, name in enumerate(COMMANDS)}
    commands = ["porter apply --target mlu tree", "porter data make --images 4 --size 64x64 scenes"]
    commands += [
        command.replace("/dev/stdout", shlex.quote(str(files[name]))) if "FILE" in name
        else f"{command} > {shlex.quote(str(files[name]))}"
        for name, command in COMMANDS.items()
    ]  # fmt: skip
    done = type_in(commands, folder, environment(tmp_path / "home", lock, upstream))
    assert not done.failed, done.text
    for name, keys in said.items():
        found = list(json.loads(files[name].read_text(encoding="utf-8")))
        assert found == ["kind", "schema", "porter", *keys], name
