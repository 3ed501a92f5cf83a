"""What verify found, for programs; tests/reports and tests/browser look at the page for people."""

from __future__ import annotations

import json
from dataclasses import replace

from porter.verification.report import FAILED, NOT_SHOWN, PASSED, Outcome, Report

OUTCOMES = (
    Outcome("tree", "it is what is locked", PASSED, "41 patches", 0.25, figures={"head": "abc"}),
    Outcome("train", "it trains", FAILED, "it died of <SIGSEGV>", 3.0, log="a & b\nc", repeat="porter verify"),
    Outcome("ops", "operators", NOT_SHOWN, "only the emulated device counts", 0.0),
    Outcome("transfers", "copies", PASSED, "2 copies", 1.0, figures={"most": {"device_to_host": 2}}),
)  # fmt: skip
REPORT = Report("mlu", "/a/tree", "EMULATED MLU370", "scenes", "emulated", "landlock", "smoke", OUTCOMES, 4.25)


def test_for_programs() -> None:
    found = json.loads(REPORT.json())
    assert (found["kind"], found["schema"]) == ("verify", 1)
    assert (found["target"], found["emulated"], found["level"], found["seconds"]) == ("mlu", True, "smoke", 4.25)
    assert [check["state"] for check in found["checks"]] == ["passed", "failed", "not shown", "passed"]
    assert found["checks"][1]["log"] == "a & b\nc"
    assert found["checks"][0]["figures"] == {"head": "abc"}


def test_a_simulator_is_neither_hardware_nor_emulated() -> None:
    for kind in "hardware", "simulator", "emulated", "cpu":
        found = replace(REPORT, kind=kind).record()
        assert (found["emulated"], found["simulator"]) == (kind == "emulated", kind == "simulator")


def test_a_check_is_a_line_of_it() -> None:
    lines = REPORT.json().splitlines()
    assert [line.strip()[:11] for line in lines[-6:-2]] == ['{"check": "'] * 4
    assert json.loads(REPORT.json()) == json.loads(json.dumps(REPORT.record()))


def test_the_last_line() -> None:
    assert REPORT.summary == "mlu: 2 passed, 1 failed, 1 not shown in 4 s on EMULATED MLU370"
    assert [outcome.check for outcome in REPORT.failed] == ["train"]
