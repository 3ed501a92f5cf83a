"""The pages that people read, and the one reader of the command blocks in them.

A block of commands is fenced as ``console`` and holds nothing but lines that begin with ``$ ``; one that ends with a
backslash goes on in the next.  All of a page's blocks are typed in their order, in one shell, as a reader would.  A
block that cannot be run on any machine says why in its title, one of :data:`REASONS`::

    ```console title="needs a card"
    $ porter doctor --target mlu
    ```

mkdocs shows the title above the block, GitHub does not.  Such a block is parsed instead of run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
DOCS = ROOT / "docs"
PAGES = (*READMES, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))

# Why a block is parsed and not run -> who runs the like of it, and when
REASONS = {
    "needs a card": "nobody here: the same commands run on emulated devices in verify's checks and in the tutorial",
    "needs Sophgo's libraries": "nobody here: tests/verification/test_device.py shows what is said where they are used",
    "needs a plugin's source": "tests/profiles scan a plugin of their own, and the vendors' where they are at hand",
    "takes minutes": ".ci/run makes each or its like in a step of its own; tests/upstream/test_bench.py measures",
    "downloads gigabytes": "tests/downloads drives the same downloads from servers on the loopback interface",
    "needs GitHub": "tests/lifecycle run the same verbs on upstream's history, where it is not to be had on another",
    "needs several machines": "tests/commands/test_train.py looks at what runs; verify's check ddp runs two processes",
    "in the middle of a bump": "tests/lifecycle/test_bump_conflict.py stops bumps and goes on with them",
    "changes the system": "it installs a driver, packages or a shell's completion for good",
}
# a Chinese page gives its reasons in Chinese
CHINESE = {
    "需要加速卡": "needs a card",
    "需要算能的库": "needs Sophgo's libraries",
    "需要几分钟": "takes minutes",
    "需要下载数 GB": "downloads gigabytes",
    "需要多台机器": "needs several machines",
    "会改动系统": "changes the system",
}
# pages in both languages: the same headings, commands and tables
PAIRS = (READMES, *((DOCS / page.name, page) for page in sorted((DOCS / "zh").glob("*.md")) if page.stem != "index"))
_FENCE = re.compile(r"^(?P<mark>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=mark)[ \t]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: the file that it is in.
        line: the number of its first line in there, the fence.
        language: the fence's first word; empty if there is none.
        title: the fence's title, a reason in English; empty if there is none.
        text: what is between the fences.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The command lines, without their prompts."""
        lines = self.text.replace("\\\n", "").splitlines()
        assert lines and all(line.startswith("$ ") for line in lines), f"{self.place}: a line that is no command"
        return [line[2:] for line in lines]


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """A page's fenced blocks, in order; only those of a language if one is named.

    A fence that is indented, as in a list, would not be seen, and so there may be none.
    """
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"^[ \t]+(```|~~~)|^~~~", text, re.MULTILINE), f"{page}: a fence that this reader does not see"
    found = []
    for match in _FENCE.finditer(text):
        name, _, rest = match["info"].strip().partition(" ")
        title = re.fullmatch(r'title="([^"]+)"', rest.strip())
        assert title or not rest.strip(), f"{page}: the fence {match['info']!r}"
        line = text.count("\n", 0, match.start()) + 1
        reason = title[1] if title else ""
        found.append(Block(page, line, name, CHINESE.get(reason, reason), match["text"]))
    return [block for block in found if language in (None, block.language)]


def prose(page: Path) -> str:
    """A page's text without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def spans(page: Path) -> list[str]:
    """What stands between backticks in a page's text, on one line each."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


def tables(text: str) -> list[list[list[str]]]:
    """Every table of a text: its rows, without the one of dashes, as cells."""
    found = []
    for match in re.finditer(r"(?:^\|.*\|[ \t]*\n)+", text, re.MULTILINE):
        rows = [[cell.strip() for cell in row.strip().strip("|").split(" | ")] for row in match[0].strip().splitlines()]
        found.append([row for row in rows if not set("".join(row)) <= set("-:| ")])
    return found
