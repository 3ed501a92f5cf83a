"""The keys that docs/formats.md gives of the JSON documents are those that the commands print."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from reports import made

from porter import tree
from porter.auditing import rules
from porter.commands import lint, prepare
from porter.diagnosis import known_problems
from porter.lockfile import Lock
from porter.rebase import outcome
from porter.verification import loader, necessity
from porter.verification import report as outcomes

from .pages import ROOT, tables
from .shell import checkout, environment, type_in

SCHEMA = json.loads((ROOT / "docs" / "records.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

# the command, as the page has it -> the same on files that are there
COMMANDS = {
    "porter apply --json": "porter apply --target mlu --json tree",
    "porter status --json": "porter status --json tree",
    "porter revert --json": "porter revert --json another",
    "porter lint --json": "porter lint --json",
    "porter lock --check --json": "porter lock --check --json",
    "porter export --check --json": "porter export --check --json tree",
    "porter bump --dry-run --json": "porter bump v6.0 --dry-run --json",
    "porter upstream show --json": "porter upstream show --json",
    "porter upstream verify --json": "porter upstream verify --json",
    "porter diff --json": "porter diff HEAD --json",
    "porter profile show --json": "porter profile show sg2260 --json",
    "porter profile diff --json": "porter profile diff --json card.json card.json",
    "porter doctor --json": "porter doctor --json",
    "porter data make --json": "porter data make --images 4 --size 64x64 --json others",
    "porter data check --json": "porter data check --json scenes/data.yaml",
    "porter prepare --json": "porter prepare --target mlu --json tree",
    "porter verify --json FILE": "porter verify --target mlu --level static --json /dev/stdout tree",
    "porter audit --json FILE": "porter audit --baseline --json /dev/stdout tree",
    "porter report --json": "porter report verified.json --output page.html --json",
}

# a record of a card that was asked for nothing
CARD = {
    "kind": "card record",
    "schema": 1,
    "target": "mlu",
    "card": "MLU",
    "torch": "2.4.0",
    "plugin": {},
    "surface": {},
    "operators": {},
}

# a list, as the page has it -> what it is of, and the words of its last key
LISTS = {
    "`checks` of `verify`": (outcomes.Outcome, {outcomes.PASSED, outcomes.FAILED, outcomes.NOT_SHOWN}),
    "`verdicts` of `verify --necessity`": (
        necessity.Verdict,
        {necessity.NOTICED, necessity.BUILT_ON, necessity.UNNOTICED, necessity.NOT_SHOWN},
    ),
    "`patches` of `status`": (tree.PatchStatus, {tree.APPLIED, tree.CHANGED, tree.MISSING}),
    "`patches` of `bump`": (outcome.PatchOutcome, set(outcome.OUTCOMES)),
    "`places` of `audit`": (rules.Place, {rules.ROUTED, rules.ALLOWED, rules.UNPORTED}),
    "`findings` of `lint`": (lint.Problem, set()),
    "`troubles` of `doctor`": (known_problems.Trouble, {known_problems.PROBLEM, known_problems.WARNING}),
    "`problems` of `data check`, `warnings` too": (loader.Remark, set()),
    "`steps` of `prepare`": (prepare.Step, {prepare.DONE, prepare.ALREADY, prepare.YOURS}),
}


def test_lists() -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    (table,) = (found for found in tables(text) if found[0] == ["list", "each has"])
    assert [row[0] for row in table[1:]] == list(LISTS)
    for name, said in table[1:]:
        keys, _, words = said.rstrip(")").partition(" (") if LISTS[name][1] else (said, "", "")
        named = set(re.findall(r"`([a-z_]+)`", keys))
        assert len(named) > 2 and named <= {field.name for field in dataclasses.fields(LISTS[name][0])}, name
        assert set(re.findall(r"`([^`]+)`", words)) == LISTS[name][1], name


def test_keys(lock: Lock, upstream: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    (table,) = (found for found in tables(text) if found[0] == ["command", "the keys at the top"])
    said = {row[0].strip("`"): re.findall(r"`([a-z_]+)`", row[1]) for row in table[1:]}
    assert set(said) == set(COMMANDS)
    folder = checkout(tmp_path / "porter")
    (folder / "card.json").write_text(json.dumps(CARD))
    files = {name: tmp_path / f"{number}.json" for number, name in enumerate(COMMANDS)}
    commands = [
        "porter apply --target mlu tree",
        "porter apply --target mlu another",
        "porter data make --images 4 --size 64x64 scenes",
        "porter verify --target mlu --level static --json verified.json tree",
    ]
    commands += [
        command.replace("/dev/stdout", shlex.quote(str(files[name]))) if "FILE" in name
        else f"{command} > {shlex.quote(str(files[name]))}"
        for name, command in COMMANDS.items()
    ]  # fmt: skip
    done = type_in(commands, folder, environment(tmp_path / "home", lock, upstream))
    assert not done.failed, done.text
    for name, keys in said.items():
        record = json.loads(files[name].read_text(encoding="utf-8"))
        assert list(record) == ["kind", "schema", "porter", *keys], name
        valid(record)


def valid(record: dict[str, Any]) -> None:
    """It fits the schema that the site publishes."""
    for error in VALIDATOR.iter_errors(record):
        raise AssertionError(f"{record['kind']}: {error.json_path}: {error.message}")


def test_the_schema_knows_every_record() -> None:
    """By their kinds, as the code has them; and it is one of JSON Schema's own."""
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "porter").rglob("*.py"))
    kinds = set(re.findall(r'(?:print_json|labelled|heading)\(\s*"([a-z-]+)"', code))
    assert kinds == set(SCHEMA["properties"]["kind"]["enum"]) == set(SCHEMA["$defs"])
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_records_of_a_report_fit_the_schema() -> None:
    found = made.everything()
    assert {record["kind"] for record in found} >= {"verify", "necessity", "bench", "drift"}
    for record in found:
        valid(record)
    wrong = made.verify()
    wrong["checks"][0]["state"] = "perhaps"
    with pytest.raises(AssertionError, match="perhaps"):
        valid(wrong)
    with pytest.raises(AssertionError, match="kind"):
        valid({**made.verify(), "kind": "proof"})
