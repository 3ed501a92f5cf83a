"""Top-level names of Python files: which a merge bound a second time.

A hunk that fits line by line may still put ``is_device_available = {}`` below the function of that name, which no
conflict shows: the last binding wins.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Rebound:
    """A top-level name that has one binding more than before: the file, the name, its lines, the last one winning."""

    path: str
    name: str
    lines: tuple[int, ...]

    def __str__(self) -> str:
        first, last = self.lines[0], self.lines[-1]
        return f"{self.path}: {self.name} of line {first} is bound again in line {last}, which replaces it"


def rebound(path: str, before: bytes, after: bytes) -> list[Rebound]:
    """The names of a changed file that were bound before and are bound more often now; none of what is no Python."""
    if not path.endswith(".py"):
        return []
    old, new = _bound(before), _bound(after)
    return [Rebound(path, name, new[name]) for name in sorted(new) if 0 < len(old.get(name, ())) < len(new[name])]


def _bound(source: bytes) -> dict[str, tuple[int, ...]]:
    """Name -> the lines of the top level that bind it."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):  # ValueError: a null byte
        return {}
    lines: defaultdict[str, list[int]] = defaultdict(list)
    for statement in body:
        for name in _names(statement):
            lines[name].append(statement.lineno)
    return {name: tuple(found) for name, found in lines.items()}


def _names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            yield from (
                node.id
                for node in ast.walk(target)
                if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
            )
