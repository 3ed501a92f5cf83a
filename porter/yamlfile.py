"""A YAML file that people edit: every value knows its line, so every complaint can name it.

Plain ``yaml.load`` guesses types (an object id of digits becomes a number), keeps the last of two equal
keys (what a badly merged file holds) and forgets where a value stood.  Here a file stays a graph of
nodes, each scalar is text, and the reader asks each value for what it should be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from porter.errors import WrongUsage
from porter.files import read_file


class Value:
    """A value in a document, with the file, line and field names that lead to it."""

    def __init__(self, node: Any, file: Path, field: str = "") -> None:
        self._node = node
        self.file = file
        self.field = field

    @property
    def line(self) -> int:
        """The line it starts on, from 1."""
        return int(self._node.start_mark.line) + 1

    @property
    def scalar(self) -> bool:
        """Whether it is a single text, not a list or a mapping."""
        return self._is("scalar")

    def fail(self, expected: str, hint: str = "") -> NoReturn:
        """Complain about this value.

        Raises:
            WrongUsage: always; with file, line, field, what was expected and what is there.
        """
        found = self._node.value if self._is("scalar") else f"a {self._node.id}"
        raise WrongUsage(
            f"{self.file}, line {self.line}: {self.field or 'the file'} should be {expected}", f"found {found!r}", hint
        )

    def text(self, pattern: str = r".+", expected: str = "text") -> str:
        """The value as text that matches ``pattern`` from end to end."""
        if not self._is("scalar") or not re.fullmatch(pattern, self._node.value, re.DOTALL):
            self.fail(expected)
        return str(self._node.value)

    def sequence(self, expected: str = "a list") -> list[Value]:
        """The value's items."""
        if not self._is("sequence"):
            self.fail(expected)
        return [Value(node, self.file, f"{self.field}[{n}]") for n, node in enumerate(self._node.value)]

    def mapping(self, expected: str = "a mapping") -> dict[str, Value]:
        """The value's fields by name, in the file's order; a name that stands there twice is an error."""
        if not self._is("mapping"):
            self.fail(expected)
        found: dict[str, Value] = {}
        for key, node in self._node.value:
            name = Value(key, self.file, f"a field of {self.field or 'the file'}").text(expected="a name")
            if name in found:
                self.fail("a mapping that names a field once", f"{name} stands there twice; delete one of them.")
            found[name] = Value(node, self.file, f"{self.field}.{name}".lstrip("."))
        return found

    def fields(self, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Value]:
        """The fields of a mapping that has all of ``required``, maybe some of ``optional``, and no other."""
        required, optional = tuple(required), tuple(optional)
        found = self.mapping(f"a mapping of {', '.join(required + optional)}")
        for name in required:
            if name not in found:
                self.fail(f"a mapping with the field {name!r}")
        for name, value in found.items():
            if name not in required + optional:
                value.fail(f"absent: the fields here are {', '.join(required + optional)}")
        return found

    def _is(self, kind: str) -> bool:
        return bool(self._node.id == kind)


def read(path: Path) -> Value:
    """The document in a file.

    Raises:
        WrongUsage: there is no such file, or it is not YAML.
        EnvironmentFailed: it cannot be read.
    """
    return parse(read_file(path), path)


def parse(data: bytes, path: Path) -> Value:
    """The document in ``data``, which ``path`` held.

    Raises:
        WrongUsage: it is not YAML, or empty.
    """
    import yaml

    # the loader in C is ten times as fast; not every build of PyYAML has it
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        node = yaml.compose(data, loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        conflict = re.search(rb"^(<{7}|={7}|>{7})( |\r?$)", data, re.MULTILINE)
        raise WrongUsage(
            f"{path}{where}: not YAML",
            str(getattr(error, "problem", None) or error),
            "It holds the marks of an unfinished merge; finish it." if conflict else "",
        ) from error
    if node is None:
        raise WrongUsage(f"{path} is empty", hint="Put back what was in it, from git for example.")
    return Value(node, path)
