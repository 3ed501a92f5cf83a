"""The READMEs' picture of a terminal, which tools/picture.py makes, shows what `porter verify` does now."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from porter.project import Project
from porter.target import load_known
from porter.verification.checks import select

from .pages import READMES, ROOT

FOLDER = ROOT / "docs" / "pictures"
PICTURES = sorted(FOLDER.glob("*.svg"))


def words(svg: str) -> list[list[str]]:
    """The words of each row of a picture, from top to bottom."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        rows.setdefault(float(text.attrib["y"]), []).append((float(text.attrib["x"]), text.text or ""))
    lines = (" ".join(part for _, part in sorted(row)).replace("\xa0", " ") for _, row in sorted(rows.items()))
    return [line.split() for line in lines if line.strip()]


def test_there_is_one_for_light_pages_and_one_for_dark() -> None:
    assert [path.name for path in PICTURES] == ["verify-dark.svg", "verify-light.svg"]
    for readme in READMES:
        named = re.findall(r'(?:src|srcset)="(docs/pictures/[^"]+)"', readme.read_text(encoding="utf-8"))
        assert sorted(named) == [f"docs/pictures/{path.name}" for path in PICTURES]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_it_shows_the_checks_that_are_made_now(path: Path) -> None:
    rows = words(path.read_text(encoding="utf-8"))
    command, last = rows[0], " ".join(rows[-1])
    assert command == ["$", "porter", "verify", "--target", "mlu"], "tools/picture.py makes it anew"
    checks = {check.name for check in select("smoke", (), load_known(Project(ROOT), "mlu"))}
    assert {row[1] for row in rows if row[0] == "passed"} == checks, "tools/picture.py makes it anew"
    assert re.match(rf"mlu: {len(checks)} passed in \d+ s on EMULATED MLU370 ", last)


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_it_loads_nothing_and_is_small(path: Path) -> None:
    text = unescape(path.read_text(encoding="utf-8"))
    elsewhere = re.sub(r'xmlns="http://www\.w3\.org/2000/svg"|url\(#[\w-]+\)', "", text)
    assert not re.search(r"//|url\(|@import|@font-face|href|<image|<script", elsewhere)
    assert path.stat().st_size < 60_000
