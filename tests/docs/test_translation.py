"""README.zh-CN.md is README.md in Chinese: the same sections, commands, tables, figures and links.

The pages of docs/zh have the sections, commands and tables of their namesakes in docs/, but for zh/index.md.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .pages import PAGES, PAIRS, READMES, ROOT, blocks, prose, tables

ENGLISH, CHINESE = (page.read_text(encoding="utf-8") for page in READMES)
_HAN = re.compile(r"[\u4e00-\u9fff]")
# full-width punctuation carries its own blank, so a newline on either side of it is one too many as well
_WIDE = r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
_WRAPPED = re.compile(rf".{{0,12}}(?:{_WIDE}\n(?![#|>\n-])[^\n]|[^\n|>]\n{_WIDE}).{{0,12}}")

_COMMENT = re.compile(r" +# .*")
both = pytest.mark.parametrize("pair", PAIRS, ids=[pair[1].relative_to(ROOT).as_posix() for pair in PAIRS])


def test_the_first_line_leads_to_the_other() -> None:
    assert "(README.zh-CN.md)" in ENGLISH.splitlines()[0]
    assert "(README.md)" in CHINESE.splitlines()[0]


@both
def test_the_same_headings(pair: tuple[Path, Path]) -> None:
    ours, theirs = (re.findall(r"^(#+) ", prose(page), re.MULTILINE) for page in pair)
    assert ours == theirs and len(ours) >= 4


@both
def test_the_same_blocks(pair: tuple[Path, Path]) -> None:
    """But for the comments, each in the language of its page."""
    ours, theirs = (
        [(b.language, b.title, _COMMENT.sub("", b.text) if b.language == "console" else b.text) for b in blocks(page)]
        for page in pair
    )
    assert ours == theirs and len(ours) >= 4
    english, chinese = ([c for b in blocks(page, "console") for c in _COMMENT.findall(b.text)] for page in pair)
    assert len(english) == len(chinese)
    assert all(map(_HAN.search, chinese)) and not any(map(_HAN.search, english))


@both
def test_every_block_under_the_same_heading(pair: tuple[Path, Path]) -> None:
    shape = r"^(#+ |```\w)"
    ours, theirs = (re.findall(shape, page.read_text(encoding="utf-8"), re.MULTILINE) for page in pair)
    assert ours == theirs


@both
def test_the_same_tables(pair: tuple[Path, Path]) -> None:
    ours, theirs = (tables(page.read_text(encoding="utf-8")) for page in pair)
    assert [[len(row) for row in table] for table in ours] == [[len(row) for row in table] for table in theirs]
    assert all(len(set(map(len, table))) == 1 for table in ours)
    for one, other in zip(ours, theirs):
        for row, translated in zip(one, other):
            assert list(map(_figures, row)) == list(map(_figures, translated))


def test_the_same_figures() -> None:
    ours, theirs = (sorted(re.findall(r"\d+(?:[.,]\d+)*", prose(page))) for page in READMES)
    assert ours == theirs


def test_the_same_links_and_code() -> None:
    """A link of the Chinese page leads to the page in Chinese, where there is one."""
    ours, theirs = (
        {_english(link) for link in re.findall(r"\]\(([^)]+)\)", prose(page))} - {"README.md", "README.zh-CN.md"}
        for page in READMES
    )
    assert ours - {"docs/index.md"} == theirs - {"docs/index.md"}
    ours, theirs = (set(re.findall(r"`([^`]+)`", prose(page))) for page in READMES)
    assert ours == theirs


def _english(link: str) -> str:
    """What a link leads to in English: a heading has another name there."""
    page, mark, _ = link.partition("#")
    two = (ROOT / "docs/zh" / Path(page).name).is_file() or page.startswith("docs/zh/")
    return (page.replace("docs/zh/", "docs/") or mark) if two or not page else link


@both
def test_it_is_chinese(pair: tuple[Path, Path]) -> None:
    """Not a page where somebody left a paragraph in English."""
    for paragraph in re.split(r"\n\s*\n", prose(pair[1])):
        words = re.sub(r"`[^`]*`|\]\([^)]*\)|https?:\S+|<[^>]*>|^[|#].*$", "", paragraph, flags=re.MULTILINE)
        latin, han = len(re.findall(r"[A-Za-z]{3,}", words)), len(re.findall(r"[\u4e00-\u9fff]", words))
        assert not latin > max(12, han), paragraph


def _figures(cell: str) -> tuple[list[str], list[str]]:
    """What of a cell is the same in both languages: figures and code."""
    plain = re.sub(r"`[^`]*`", "", cell)
    return sorted(re.findall(r"\d+(?:\.\d+)*", plain)), re.findall(r"`([^`]+)`", cell)


def test_a_line_of_chinese_is_not_wrapped() -> None:
    """HTML makes a blank of a newline, and one within Chinese text shows as a gap: a paragraph is one line."""
    texts = {str(page.relative_to(ROOT)): prose(page) for page in PAGES}
    cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            texts[f"docs/tutorial.ipynb, cell {number}"] = "".join(cell["source"])
    wrapped = [f"{name}: {match[0]!r}" for name, text in texts.items() for match in _WRAPPED.finditer(text)]
    assert not wrapped, "\n".join(wrapped)
    assert sum(bool(_HAN.search(text)) for text in texts.values()) >= 4  # both pages, and the notebook's cells


def test_chinese_is_punctuated_in_full_width() -> None:
    for page in PAGES:
        text = re.sub(r"`[^`]*`", "", prose(page))
        found = re.findall(rf"{_HAN.pattern} ?[,;:!?]|{_HAN.pattern}\.(?:\s|$)|{_HAN.pattern} ?\((?!http)", text)
        assert not found, f"{page}: {found}"
