"""Find every place in a tree's Python that names a device.  The files are parsed, never imported.

What was found in a tree follows from the paths and contents of its files, so it is remembered
(:mod:`porter.sources.cache`): a tree that was looked at once is not parsed again.  Within a process that goes for each
file.
"""

from __future__ import annotations

import ast
import hashlib
import io
import sys
import tokenize
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from porter.auditing.names import imported, package, source
from porter.auditing.rules import Place
from porter.errors import CheckFailed
from porter.sources.cache import Memo

_STAR = "*"
_KEPT = 20  # trees: two or three of each target's


def scan(files: Mapping[str, bytes], memo: Memo | None = None) -> list[Place]:
    """Every place in a tree's Python files, sorted by path and line; none is in the list of allowed ones yet.

    Args:
        files: path -> content.
        memo: what earlier scans found, see :func:`remembered`; without one every file is looked at.

    Raises:
        CheckFailed: a file is not Python.
    """
    key = _digest(files)
    known = memo.get(key) if memo is not None else None
    if known is not None:
        return [Place(*row) for row in known]
    exports = _Exports({module_name(path): _parsed(path, data).brings for path, data in files.items()})
    found = []
    for path, data in sorted(files.items()):
        stars = {module: tuple(exports(module).items()) for module in _parsed(path, data).stars}
        found += _places(path, data, tuple(stars.items()))
    if memo is not None:
        memo.put(key, [list(vars(place).values()) for place in found])
        memo.save()
    return found


def remembered() -> Memo:
    """What scans by this very code, run by this Python, found before, of the trees that were looked at last."""
    return Memo.shared("audit", [_code(), sys.version.encode()], most=_KEPT)


@lru_cache(maxsize=1)
def _code() -> bytes:
    """The code that scans, all of it, and its rules: another rule may find another place."""
    return b"\0".join(path.read_bytes() for path in sorted(Path(__file__).parent.iterdir()) if path.is_file())


def _digest(files: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for path, data in sorted(files.items()):
        whole.update(b"%s\0%s" % (path.encode(errors="surrogateescape"), hashlib.sha256(data).digest()))
    return whole.hexdigest()


class _Parsed(NamedTuple):
    """A file as syntax tree and text; what its own imports bind, see :func:`_brought`; the modules that it stars."""

    tree: ast.Module
    text: str
    brings: list[tuple[str, str]]
    stars: list[str]


@lru_cache(maxsize=1000)  # the targets' trees have most of their files in common
def _parsed(path: str, data: bytes) -> _Parsed:
    try:
        text = _text(data)
        tree = ast.parse(text, path)
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise CheckFailed(f"{path}:{line}: not Python, so it cannot be looked at", str(error)) from error
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    stars = [source(node, package(path)) for node in imports if node.names[0].name == _STAR]
    return _Parsed(tree, text, _brought(path, tree), stars)


@lru_cache(maxsize=1000)
def _places(path: str, data: bytes, stars: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]) -> list[Place]:
    """The places in a file, whose star imports bring what is given by their modules."""
    from porter.auditing.file import File  # where all is known nothing of this is needed

    parsed, brought = _parsed(path, data), {module: dict(names) for module, names in stars}
    return File(path, parsed.tree, parsed.text, lambda module: brought.get(module, {})).places()


def _text(data: bytes) -> str:
    """A file as Python reads it: its declared encoding, every line end a line feed."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.TextIOWrapper(io.BytesIO(data), encoding).read()


def module_name(path: str) -> str:
    """The dotted module of a path in the tree; a package's is its folder's."""
    parts = path[: -len(".py")].split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _brought(path: str, tree: ast.Module) -> list[tuple[str, str]]:
    """What a module's own imports bind, in order: name and what it stands for; ``*`` and the module for all of it."""
    found: list[tuple[str, str]] = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            found += imported(node).items()
        elif isinstance(node, ast.ImportFrom):
            origin = source(node, package(path))
            for alias in node.names:
                star = alias.name == _STAR
                found.append((_STAR, origin) if star else (alias.asname or alias.name, f"{origin}.{alias.name}"))
    return found


class _Exports:
    """What ``from MODULE import *`` brings, for modules of the tree."""

    def __init__(self, modules: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        self._modules = modules
        self._known: dict[str, dict[str, str]] = {}
        for module in sorted(modules):  # in one order, whoever asks first: modules may import each other
            self(module)

    def __call__(self, module: str) -> dict[str, str]:
        if module in self._known or module not in self._modules:
            return self._known.get(module, {})
        self._known[module] = {}  # modules that import each other bring what is known by then
        names: dict[str, str] = {}
        for name, meaning in self._modules[module]:
            names.update(self(meaning) if name == _STAR else {name: meaning})
        self._known[module] = {name: meaning for name, meaning in names.items() if not name.startswith("_")}
        return self._known[module]
