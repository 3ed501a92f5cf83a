"""The site of docs/ in a real Chromium: read from a disk, on a phone, in the dark, in Chinese."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .devtools import Browser

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder


def test_every_page_on_a_phone(browser: Browser, site: Path) -> None:
    """Nothing sticks out, nothing is asked for outside the folder, and no name in a table is broken."""
    browser.look(390, 844)
    pages = sorted(page for page in site.rglob("*.html") if page.name != "404.html")
    assert len(pages) == len(list((ROOT / "docs").rglob("*.md")))
    for page in pages:
        browser.open(page.as_uri())
        assert browser.complaints == [], page.name
        assert [each for each in browser.requests if not each.startswith((site.as_uri(), "data:"))] == [], page.name
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390, page.name
        broken = """[...document.querySelectorAll('td:first-child code')]
            .filter(each => each.getClientRects().length > 1).map(each => each.innerText)"""
        assert browser.evaluate(broken) == [], page.name


def test_it_follows_the_system(browser: Browser, site: Path) -> None:
    """Also when the first visit was in the light."""
    found = []
    for scheme in "light", "dark", "light":
        browser.look(scheme=scheme)
        browser.open((site / "index.html").as_uri())
        found.append(browser.evaluate("document.body.getAttribute('data-md-color-scheme')"))
    assert found == ["default", "slate", "default"]


def test_a_chinese_page_is_one(browser: Browser, site: Path) -> None:
    browser.look()
    for page, language in ("zh/index.html", "zh-CN"), ("index.html", "en"):
        browser.open((site / page).as_uri())
        assert browser.evaluate("document.documentElement.lang") == language
    browser.open((site / "zh" / "index.html").as_uri())
    anchors = browser.evaluate("[...document.querySelectorAll('h2')].map(each => each.id)")
    assert "安装" in anchors and all(len(anchor) > 1 for anchor in anchors)
