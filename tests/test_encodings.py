"""porter names the encoding of each text that it reads or writes: the locale's is another on another machine.

ruff's PLW1514 sees too little of it: a path whose type it cannot tell it passes over.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import porter

PACKAGE = Path(porter.__file__).parent
# what v6.0 reads in the locale's encoding: a check of a data set has to find what a training would
AS_THE_TREE = {
    "verification/drivers/loader.py": ["open(FILE, errors='ignore')", "open(path)", "open(file)"],
    "comparison/drivers/step.py": ["open(config['data'], errors='ignore')"],
}
_TEXT = {"r", "w", "a", "x", "rt", "wt", "at", "r+", "w+", "a+"}


def unnamed(source: str) -> Iterator[str]:
    """The calls in a module that read or write text without saying in which encoding."""
    for node in ast.walk(ast.parse(source)):
        named = {keyword.arg for keyword in node.keywords} if isinstance(node, ast.Call) else {"encoding"}
        if isinstance(node, ast.Call) and not named & {"encoding", None} and _is_text(node, named):
            yield ast.unparse(node)


def _is_text(call: ast.Call, named: set[str | None]) -> bool:
    name = ast.unparse(call.func)
    method = name.rpartition(".")[2] if isinstance(call.func, ast.Attribute) else ""
    given = [each.value for each in call.args if isinstance(each, ast.Constant)]
    given += [each.value.value for each in call.keywords if each.arg == "mode" and isinstance(each.value, ast.Constant)]
    if name in ("open", "io.open", "os.fdopen"):
        return (len(call.args) < 2 and "mode" not in named) or any(mode in _TEXT for mode in given)
    if method == "open" and name != "tarfile.open":  # of an archive the first word is a member
        first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        return (not call.args and "mode" not in named) or first in _TEXT
    if method in ("read_text", "write_text"):  # a distribution's read_text() gets a file's name
        return len(call.args) == (method == "write_text")
    return bool(named & {"text", "universal_newlines"}) or (
        name.endswith("TemporaryFile") and any(mode in _TEXT for mode in given)
    )


def test_every_encoding_is_named() -> None:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        found[path.relative_to(PACKAGE).as_posix()] = list(unnamed(path.read_text(encoding="utf-8")))
    lines = {name: sorted(calls) for name, calls in found.items() if calls}
    assert lines == {name: sorted(calls) for name, calls in AS_THE_TREE.items()}


@pytest.mark.parametrize(
    ("call", "is_found"),
    [
        ("open(path)", True),
        ("open(path, 'w')", True),
        ("open(path, mode='a', errors='replace')", True),
        ("open(path, 'rb')", False),
        ("open(path, 'w', encoding='utf-8')", False),
        ("open(path, **how)", False),
        ("path.open()", True),
        ("path.open('a')", True),
        ("path.open('rb')", False),
        ("archive.open(info, 'w')", False),
        ("tarfile.open(path, 'w')", False),
        ("os.fdopen(number, 'w')", True),
        ("path.read_text()", True),
        ("path.read_text(errors='replace')", True),
        ("path.read_text(encoding='utf-8')", False),
        ("found.read_text('RECORD')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("subprocess.run(words, text=True)", True),
        ("NamedTemporaryFile('w')", True),
        ("NamedTemporaryFile()", False),
    ],
)
def test_what_is_found(call: str, is_found: bool) -> None:
    assert bool(list(unnamed(call))) == is_found
