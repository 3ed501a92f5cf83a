"""What the page opens with: the sentences for whoever reads no further."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from porter.reports import records
from porter.reports.page import page

from . import made
from .reading import Page

COMMIT = "c0ffee" * 6 + "abcd"


def opening(*values: dict[str, Any]) -> str:
    """The text up to the table of verifications."""
    text = Page(page([records.of(value, Path(f"{n}.json")) for n, value in enumerate(values)], ())).text
    return text[: text.index("checks failed." if "checks failed." in text else " failed.")]


def verify(*checks: dict[str, Any], **more: Any) -> dict[str, Any]:
    value = made.verify(**more)
    value["checks"] += checks
    return value


def test_it_works() -> None:
    said = made.check("reference", said="coco128 at 320 pixels: mAP@.5 0.623 (v6.0: 0.621)")
    text = opening(verify(said, commit=COMMIT), made.bench())
    assert "✓ mlu works: 8 checks passed; 1 could not be shown here (fp16)." in text
    assert (
        f"It was verified on MLU370 (Python 3.11.7, torch 2.13.0+cpu) EMULATED, the tree at commit {COMMIT[:12]}, on"
        in text
    )
    assert "✓ It computes what the CPU computes: 20 iterations: the cpu's, bit for bit." in text
    assert "✓ It reaches the mAP that v6.0 publishes: coco128 at 320 pixels: mAP@.5 0.623 (v6.0: 0.621)." in text
    speed = made.bench()["subjects"][0]["together"]["throughput"]
    assert f"It trains at {speed:.4g} images/s" in text


def test_it_does_not_work() -> None:
    value = made.verify()
    for check in value["checks"]:
        if check["check"] == "parity":
            check.update(state="failed", said="the loss of iteration 3 is another")
    made_ = Page(page([records.of(value, Path("x.json"))], ()))
    assert "✗ mlu does not work yet: 1 of 8 checks failed: parity." in made_.text
    assert "✗ It computes what the CPU computes? No: the loss of iteration 3 is another." in made_.text
    places = {each.get("id") for _, each in made_.tags}
    assert {each["href"][1:] for each in made_.all("a")} <= places, "the sentence leads to the failure"


def test_what_was_not_looked_at_is_said() -> None:
    value = made.verify(commit="")
    value["checks"] = [made.check("tree"), made.check("audit")]
    text = opening(value)
    assert "– mlu was looked at as files alone: nothing of it was run." in text
    assert "– Whether it computes what the CPU computes, was not looked at: it is the check parity." in text
    assert "How fast it is, porter bench measures; none of its records is here." in text
    value["checks"].append(made.check("reference", "not shown", "no checkpoint is at hand"))
    assert "– Whether it reaches v6.0's published mAP, is not shown: no checkpoint is at hand." in opening(value)


def test_another_targets_speed_is_not_this_ones() -> None:
    assert "none of its records is here" in opening(made.verify("tpu"), made.bench())
