"""Every message in docs/troubleshooting.md is one that porter, a ported tree or a vendor's plugin prints."""

from __future__ import annotations

import ast
import json
import platform
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import porter

from .pages import DOCS, ROOT, Block, blocks

PAGE = DOCS / "troubleshooting.md"
MESSAGES = blocks(PAGE, "text")
# a command -> the package that finds what it says here
COMMANDS = {"porter doctor": "diagnosis", "porter apply": "sources", "porter weights inspect": "checkpoints"}
_HOLE = "\0"  # what differs from case to case


def _python(package: str) -> Iterator[str]:
    """The strings in a package of porter's."""
    for path in sorted((ROOT / "porter" / package).rglob("*.py")):
        yield from _strings(ast.parse(path.read_text(encoding="utf-8")))


def _strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else _HOLE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _patches() -> Iterator[str]:
    """The strings in calls and assignments that the stacks add to v6.0."""
    for path in sorted((ROOT / "patches").rglob("*.patch")):
        added = [line[1:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("+")]
        for number, line in enumerate(added):
            for count in range(1, 4):  # a statement of so many lines
                statement = "\n".join([line.strip(), *added[number + 1 : number + count]])
                try:
                    yield from _strings(ast.parse(statement))
                    break
                except SyntaxError:
                    continue


def _profiles() -> Iterator[str]:
    """The vendors' words, each with its place in the plugin's source beside it."""

    def texts(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield re.sub(r"\{\w+\}", _HOLE, value)
        elif isinstance(value, dict):
            for each in value.values():
                yield from texts(each)

    for path in sorted((ROOT / "porter/emulator/site/porter_emulated/profiles").glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        for name in ("refusal", "exhausted", "messages"):
            yield from texts(data.get(name))


@cache
def patterns(printed_by: str) -> tuple[re.Pattern[str], ...]:
    """What a program may print: its strings of more than a word or two, with anything in their holes."""
    package = COMMANDS.get(printed_by)
    found = _python(package) if package else _patches() if printed_by == "train.py" else _profiles()
    if package == "diagnosis":  # a hint names its holes
        found = (re.sub(r"\{\w+\}", _HOLE, text) for text in found)
    long = {text for text in found if len(text.replace(_HOLE, "")) > 10 and " " in text}
    return tuple(re.compile(".*".join(map(re.escape, text.split(_HOLE))), re.DOTALL) for text in long)


def is_printed(printed_by: str, text: str) -> bool:
    return any(pattern.fullmatch(text) for pattern in patterns(printed_by))


@pytest.mark.parametrize("block", MESSAGES, ids=lambda block: f"line {block.line}")
def test_a_message_is_one_that_is_printed(block: Block) -> None:
    (line,) = block.text.splitlines()
    trouble = re.fullmatch(r"(?:problem|warning): (.*) \[([\w-]+)\]", line)
    if block.title == "porter doctor":
        assert trouble
        rules = (ROOT / "porter/diagnosis/known_problems.py").read_text(encoding="utf-8")
        assert f'Trouble("{trouble[2]}"' in re.sub(r"\(\s+", "(", rules), f"{block.place}: no rule has that name"
    text = trouble[1] if trouble else line.removeprefix("error: ")
    assert is_printed(block.title, text), f"{block.place}: {block.title} does not print this"


def test_a_message_that_nobody_prints_is_seen() -> None:
    assert is_printed("porter doctor", "torch_mlu is not installed")
    assert not is_printed("porter doctor", "torch_mlu is not there")
    assert not is_printed("train.py", "torch_mlu is not installed")
    assert not is_printed("torch_mlu", "MLU has no memory left. Tried to allocate 2.00 GiB.")


def test_there_are_the_commonest() -> None:
    headings = re.findall(r"^## ", Path(PAGE).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(headings) >= 12 and {"porter doctor", "train.py", "torch_mlu", "torch_npu", "torch_tpu"} <= {
        block.title for block in MESSAGES
    }


def test_what_doctors_record_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/formats.md says: the machine's name, and the environment but for what a problem is about."""
    monkeypatch.setenv("A_TOKEN", "0123-of-somebody")
    monkeypatch.setenv("ENABLE_FALLBACK_TO_CPU", "1")
    record = porter.doctor("mlu").record()
    assert "0123-of-somebody" not in json.dumps(record)
    assert any("ENABLE_FALLBACK_TO_CPU" in trouble["what"] for trouble in record["troubles"])
    assert platform.node() not in record["machine"].values()
    said = {"system", "processor", "cores", "memory", "free_memory", "folder", "disk", "shared", "git", "compiler"}
    assert set(record["machine"]) == said | {"container"}, "docs/formats.md says what it holds"
