"""The report: for people and for programs."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from porter.verify.report import FAILED, NOT_SHOWN, PASSED, Outcome, Report

OUTCOMES = (
    Outcome("tree", "it is what is locked", PASSED, "41 patches", 0.25, figures={"head": "abc"}),
    Outcome("train", "it trains", FAILED, "it died of <SIGSEGV>", 3.0, log="a & b\nc", repeat="porter verify"),
    Outcome("ops", "operators", NOT_SHOWN, "only the emulated device counts", 0.0),
    Outcome("transfers", "copies", PASSED, "2 copies", 1.0, table=(("line", "calls"), ("train.py:<1>", 2))),
)  # fmt: skip
REPORT = Report("mlu", "/a/tree", "EMULATED MLU370", "scenes", True, "smoke", OUTCOMES, 4.25)


def test_for_programs() -> None:
    found = json.loads(REPORT.json())
    assert (found["target"], found["emulated"], found["level"], found["seconds"]) == ("mlu", True, "smoke", 4.25)
    assert [check["state"] for check in found["checks"]] == ["passed", "failed", "not shown", "passed"]
    assert found["checks"][1]["log"] == "a & b\nc"
    assert found["checks"][0]["figures"] == {"head": "abc"}


class Text(HTMLParser):
    """The text of a page, and that its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta",):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_for_people() -> None:
    page = Text()
    page.feed(REPORT.html())
    assert page.open == [] and page.sources == []
    for expected in (
        "EMULATED: no card was in it.",
        "it died of <SIGSEGV>",
        "a & b",
        "train.py:<1>",
        "2 passed, 1 failed",
    ):
        assert expected in page.text


def test_hardware_is_not_called_emulated() -> None:
    report = Report("mlu", "t", "Cambricon MLU", "scenes", False, "smoke", OUTCOMES[:1], 1.0)
    assert "EMULATED" not in report.html() and not report.failed


def test_the_last_line() -> None:
    assert REPORT.summary == "mlu: 2 passed, 1 failed, 1 not shown in 4 s on EMULATED MLU370"
    assert [outcome.check for outcome in REPORT.failed] == ["train"]
