"""The report's page in a real Chromium: nothing runs, nothing is asked for, and it can be read everywhere."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest
from reports import made
from reports.test_page import STACK, put
from sources import Files, serving

from porter.reports import records
from porter.reports.page import page

from .devtools import Browser

SIZES = {"phone": (390, 844), "tablet": (768, 1024), "desk": (1280, 900)}
SCHEMES = ["light", "dark"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("page"), made.everything())


def written(folder: Path, values: list[dict[str, object]]) -> str:
    """The page of records as a file; its address."""
    found = [records.of(value, Path(f"{n}.json")) for n, value in enumerate(values)]
    (folder / "report.html").write_text(page(found, STACK), encoding="utf-8")
    return (folder / "report.html").as_uri()


def test_no_error_and_no_request(browser: Browser, url: str) -> None:
    browser.look()
    browser.open(url)
    assert browser.complaints == []
    assert [each for each in browser.requests if not each.startswith("data:image/jpeg")] == [url]
    assert browser.evaluate("document.compatMode") == "CSS1Compat"
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert browser.evaluate("document.characterSet") == "UTF-8"
    drawn = "[...document.querySelectorAll('image')].map(i => i.getBBox().width * i.getBBox().height)"
    assert browser.evaluate(drawn) == [480 * 360] * 4


def test_the_policy_holds(browser: Browser, url: str, tmp_path: Path) -> None:
    """A page in which markup of a stranger stood after all would run nothing and ask for nothing."""
    asked: list[str] = []

    class Server(Files):
        def log_message(self, *args: object) -> None:
            asked.append(self.path)

    text = Path(url[len("file://") :]).read_text(encoding="utf-8")
    with serving(Server) as server:
        hit = "document.title='hit'"
        evil = (
            f'<script>{hit}</script><img src="{server}/x.png" onerror="{hit}"><link rel="stylesheet" href="{server}/x">'
        )
        evil += f'<svg><image href="{server}/y.png"/></svg><iframe src="{server}/z"></iframe>'
        (tmp_path / "evil.html").write_text(text.replace("<footer>", f"{evil}<footer>"), encoding="utf-8")
        browser.look()
        browser.open((tmp_path / "evil.html").as_uri())
        assert browser.evaluate("document.querySelectorAll('script, img, iframe').length") == 3
        assert browser.evaluate("document.title") == "porter report: mlu, tpu"
        assert asked == []
    assert len(browser.complaints) >= 5, "the browser says what it refused"


def test_text_of_strangers_stays_text(browser: Browser, tmp_path: Path) -> None:
    value = made.verify()
    value["tree"] = value["data"] = made.EVIL
    value = put(value, ("checks", 4, "figures", "seen"), made.seen(text=made.EVIL))
    value["checks"].append(made.check("train", "failed", made.EVIL, log=made.EVIL * 3, repeat=made.EVIL))
    browser.look()
    browser.open(written(tmp_path, [value]))
    assert browser.complaints == []
    assert browser.evaluate("document.title") == "porter report: mlu"
    assert browser.evaluate("document.querySelectorAll('script, img, iframe, object, link').length") == 0
    assert browser.evaluate("document.body.innerText").count(made.EVIL) >= 5


@pytest.mark.parametrize("name", SIZES)
def test_it_fits_the_screen(browser: Browser, url: str, name: str, pictures: Path) -> None:
    width, height = SIZES[name]
    browser.look(width, height)
    browser.open(url)
    browser.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    out = """[...document.querySelectorAll('h1,h2,h3,p,dd,figure,figcaption,.chart svg,nav a')]
        .filter(each => each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML.slice(0, 80))"""
    assert browser.evaluate(out) == []
    browser.screenshot(pictures / f"{name}.png")


@pytest.mark.parametrize("name", SIZES)
def test_charts_can_be_read(browser: Browser, url: str, name: str) -> None:
    """Letters of charts and labels are no smaller than ten pixels on the screen."""
    browser.look(*SIZES[name])
    browser.open(url)
    sizes = """[...document.querySelectorAll('svg text')].map(
        each => parseFloat(getComputedStyle(each).fontSize) * each.getScreenCTM().a)"""
    found = browser.evaluate(sizes)
    assert len(found) > 100 and min(found) >= 10, min(found)


CONTRAST = """(() => {
  const parse = (text) => { const [r, g, b, a] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a ?? 1]; };
  const part = (v) => v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const found = parse(getComputedStyle(each).backgroundColor);
      if (found[3] > 0) return found;
    }
    return [255, 255, 255, 1];
  };
  const ratio = (text, element) => {
    const [x, y] = [light(parse(text)), light(ground(element))].sort((m, n) => n - m);
    return (x + 0.05) / (y + 0.05);
  };
  const found = {};
  const words = 'h1,h2,h3,p,li,td,th,dd,dt,small,a,code,summary,figcaption,caption,strong,em,b,.state,.badge';
  for (const each of document.querySelectorAll(words))
    found[each.tagName + '.' + each.className] = ratio(getComputedStyle(each).color, each);
  for (const each of document.querySelectorAll('.chart text'))
    found['text'] = ratio(getComputedStyle(each).fill, each.closest('div'));
  for (const each of document.querySelectorAll('.curve:not(.rest), .dot, .bar:not(.rest)')) {
    const style = getComputedStyle(each), paint = each.matches('.dot, .bar') ? style.fill : style.stroke;
    found['line ' + each.getAttribute('class')] = ratio(paint, each.closest('div'));
  }
  return found;
})()"""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_light_and_dark(browser: Browser, url: str, scheme: str, pictures: Path) -> None:
    """WCAG 2.1 AA: 4.5 for text, 3 for what is drawn."""
    browser.look(scheme=scheme)
    browser.open(url)
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
    found = browser.evaluate(CONTRAST)
    assert len(found) > 20 and "text" in found
    low = {name: ratio for name, ratio in found.items() if ratio < (3.0 if name.startswith("line") else 4.5)}
    assert low == {}
    browser.screenshot(pictures / f"{scheme}.png")


def test_for_whoever_does_not_see_it(browser: Browser, url: str) -> None:
    """Headings in order, every picture with a name, every table with headings: in the browser's accessibility tree."""
    browser.look()
    browser.open(url)
    nodes = [node for node in browser.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    named: dict[str, list[str]] = {}
    for node in nodes:
        named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    images = named.get("image", []) + named.get("img", [])
    assert len(images) > 20 and all(images)
    levels = browser.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(each => +each.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    assert browser.evaluate("[...document.querySelectorAll('table')].every(each => each.querySelector('thead th'))")


def test_on_paper(browser: Browser, url: str, pictures: Path) -> None:
    """What is folded on the screen is open, letters are dark on white, and there is a page for all of it."""
    browser.look(scheme="dark")
    browser.open(url)
    data = browser.pdf()
    (pictures / "report.pdf").write_bytes(data)
    assert data.startswith(b"%PDF-")
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    assert 3 <= pages <= 20
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        folded = "[...document.querySelectorAll('details table')].map(each => each.getBoundingClientRect().height)"
        assert min(browser.evaluate(folded)) > 10
        assert browser.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
        assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
    assert any(b"Tj" in part or b"TJ" in part for part in streams(data)), "text on paper is text"


def streams(data: bytes) -> list[bytes]:
    """What a PDF's compressed streams hold."""
    found = []
    for part in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL):
        try:
            found.append(zlib.decompress(part))
        except zlib.error:
            continue
    return found
