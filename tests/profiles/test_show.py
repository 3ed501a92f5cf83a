"""porter profile show: what is known of a card, from where, and what is not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import porter
from porter.cli import cli
from porter.emulator.profiles import profiles

COMMAND = [sys.executable, "-m", "porter", "profile", "show"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("card", profiles())
def test_every_card(card: str) -> None:
    # in this process: the starts of ten more would be most of the time
    shown, printed = (CliRunner().invoke(cli, ["profile", "show", card, *more]) for more in ([], ["--json"]))
    assert (shown.exit_code, printed.exit_code) == (0, 0)
    assert max(map(len, shown.output.splitlines())) <= 120
    record = json.loads(printed.output)
    assert record == {**record, "kind": "profile", "card": card}
    known = porter.profile.show(card)
    assert {**record, **known.record()} == record
    assert [one for one in known.facts if one.source]
    if known.scan is not None:
        assert known.file and known.scan.commit
        assert f"{known.scan.counts['operators']:>6}  operators" in shown.output
        for name in known.scan.missing:
            assert f"    {name}: " in shown.output


def test_what_a_bm1684x_cannot_do() -> None:
    scan = porter.profile.show("bm1684x").scan
    assert scan is not None
    assert scan.missing["torch.tpu.empty_cache"] == ("_tpu_emptyCache",)
    assert "torch.tpu.device_count" not in scan.missing
    assert "aten::cat.out" in scan.conditions


def test_no_such_card() -> None:
    done = run("mlu999")
    assert done.returncode == 2
    assert "no profile mlu999" in done.stderr and "mlu370" in done.stderr


@pytest.mark.parametrize("card", ["bare", "generic"])
def test_what_stands_for_a_card_of_any_target(card: str) -> None:
    done = run("--target", "npu", card)
    assert done.returncode == 0, done.stderr
    assert f"{card}  device type npu" in done.stdout and "plugin: torch_npu" in done.stdout
    assert "No source of its plugin was read" in done.stdout
    done = run(card)
    assert done.returncode == 2 and "--target mlu" in done.stderr
    assert run("--target", "nothing", card).returncode == 2


def test_a_card_of_another_target() -> None:
    done = run("--target", "mlu", "sg2260")
    assert done.returncode == 2 and "sg2260 is no mlu" in done.stderr
