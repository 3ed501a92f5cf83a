"""Names that Python files bind at the top: which a merge bound a second time.

A hunk that fits line by line may still put ``is_device_available = {}`` below the function of that name, which no
conflict shows: the last binding wins.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rebound:
    """A name of the top level, or of a class there, that has one binding more than before.

    Attributes:
        path: the file.
        name: the name, as ``log`` or ``Model.forward``.
        lines: where it is bound, the last one winning.
        added: those of the lines that came with the merge.
    """

    path: str
    name: str
    lines: tuple[int, ...]
    added: tuple[int, ...] = ()

    def __str__(self) -> str:
        first, last = self.lines[0], self.lines[-1]
        whose = "the import's" if last in self.added else "the stack's"
        return (
            f"{self.path}: {self.name} of line {first} is bound again in line {last}, which replaces it: {whose} counts"
        )


def rebound(path: str, before: bytes, after: bytes) -> list[Rebound]:
    """The names of a changed file that were bound before and are bound more often now; none of what is no Python."""
    if not path.endswith(".py"):
        return []
    old, new = _bound(before), _bound(after)
    found = []
    for name, bindings in sorted(new.items()):
        if not 0 < len(old.get(name, ())) < len(bindings):
            continue
        left = Counter(what for _, what in old[name])
        added = []
        for line, what in bindings:
            left[what] -= 1
            if left[what] < 0:
                added.append(line)
        found.append(Rebound(path, name, tuple(line for line, _ in bindings), tuple(added)))
    return found


def _bound(source: bytes) -> dict[str, list[tuple[int, str]]]:
    """Name -> the lines that bind it, each with what it is bound to; one import of one thing counts once."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # ValueError: a null byte
        return {}
    found: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, statement, what in _bindings(body):
        if not (what.startswith("import ") and any(what == each for _, each in found[name])):
            found[name].append((statement.lineno, what))
    return found


def _bindings(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.stmt, str]]:
    """Name, statement and what it binds, each once a statement: both branches of an ``if`` bind one name once."""
    for statement in body:
        seen = set()
        for name, what in _names(statement):
            if name not in seen:
                seen.add(name)
                yield prefix + name, statement, what
        if isinstance(statement, ast.ClassDef) and not prefix:
            yield from _bindings(statement.body, f"{statement.name}.")


def _names(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """The names that a statement binds, those in its blocks too, with what they are bound to."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        accessor = any(isinstance(each, ast.Attribute) for each in statement.decorator_list)  # @size.setter
        if not accessor:
            yield statement.name, ast.dump(statement)
    elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for node in (node for target in targets for node in ast.walk(target)):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                yield node.id, ast.dump(statement)
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        module = f"{'.' * statement.level}{statement.module or ''}." if isinstance(statement, ast.ImportFrom) else ""
        for alias in statement.names:
            bound = alias.asname or (alias.name if module else alias.name.partition(".")[0])
            yield bound, f"import {module}{alias.name if alias.asname else bound}"
    elif isinstance(statement, (ast.If, ast.Try, ast.With)):
        blocks = [statement.body, getattr(statement, "orelse", []), getattr(statement, "finalbody", [])]
        blocks += [handler.body for handler in getattr(statement, "handlers", [])]
        for inner in (inner for block in blocks for inner in block):
            yield from _names(inner)
