"""Find every place in a tree's Python that names a device.  The files are parsed, never imported.

What was found in a file follows from its path, its content and what its star imports bring, so it is remembered
(:mod:`porter.sources.cache`): a file that was looked at once is not parsed again.
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
from typing import Any

from porter.auditing.names import imported, package, source
from porter.auditing.rules import Place
from porter.errors import CheckFailed
from porter.sources.cache import Memo

_STAR = "*"
# a place as it is remembered, without the path, which the key holds
_FIELDS = tuple(name for name in Place.__dataclass_fields__ if name != "path")


def scan(files: Mapping[str, bytes], memo: Memo | None = None) -> list[Place]:
    """Every place in a tree's Python files, sorted by path and line; none is in the list of allowed ones yet.

    Args:
        files: path -> content.
        memo: what earlier scans found, see :func:`remembered`; without one every file is looked at.

    Raises:
        CheckFailed: a file is not Python.
    """
    scanned = [_Scanned(path, data, memo) for path, data in sorted(files.items())]
    exports = _Exports({module_name(one.path): one.brings for one in scanned})
    places = [place for one in scanned for place in one.places(exports)]
    if memo is not None:
        memo.save()
    return places


def remembered() -> Memo:
    """What scans by this very code, run by this Python, found before."""
    return Memo.shared("audit", [_code(), sys.version.encode()])


@lru_cache(maxsize=1)
def _code() -> bytes:
    """The code that scans, all of it: another rule may find another place."""
    return b"\0".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))


class _Scanned:
    """One file: what is remembered of it, or what is found now."""

    def __init__(self, path: str, data: bytes, memo: Memo | None) -> None:
        self.path = path
        self._data = data
        self._memo = memo
        self._key = hashlib.sha256(b"%s\0%s" % (path.encode(errors="surrogateescape"), data)).hexdigest()
        self._known = memo.get(self._key) if memo is not None else None
        self._tree: ast.Module | None = None
        self.brings: Sequence[Sequence[str]]
        if self._known:
            self.brings = self._known["brings"]
        else:
            self._tree, self._text = _parsed(path, data)
            self.brings = _brought(path, self._tree)

    def places(self, exports: _Exports) -> list[Place]:
        """Its places, found anew only if the file, or what its star imports bring, is not as it was."""
        known = self._known
        if known and all(exports(module) == names for module, names in known["asked"].items()):
            return [Place(path=self.path, **dict(zip(_FIELDS, row))) for row in known["places"]]
        from porter.auditing.file import File  # where all is known nothing of this is needed

        asked: dict[str, dict[str, str]] = {}

        def ask(module: str) -> dict[str, str]:
            asked[module] = exports(module)
            return asked[module]

        tree, text = (self._tree, self._text) if self._tree else _parsed(self.path, self._data)
        found = File(self.path, tree, text, ask).places()
        if self._memo is not None:
            rows = [[getattr(place, name) for name in _FIELDS] for place in found]
            finding: dict[str, Any] = {"brings": self.brings, "asked": asked, "places": rows}
            self._memo.put(self._key, finding)
        return found


def _parsed(path: str, data: bytes) -> tuple[ast.Module, str]:
    """A file as syntax tree and text."""
    try:
        text = _text(data)
        return ast.parse(text, path), text
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise CheckFailed(f"{path}:{line}: not Python, so it cannot be looked at", str(error)) from error


def _text(data: bytes) -> str:
    """A file as Python reads it: its declared encoding, every line end a line feed."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.TextIOWrapper(io.BytesIO(data), encoding).read()


def module_name(path: str) -> str:
    """The dotted module of a path in the tree; a package's is its folder's."""
    parts = path[: -len(".py")].split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _brought(path: str, tree: ast.Module) -> list[list[str]]:
    """What a module's own imports bind, in order: name and what it stands for; ``*`` and the module for all of it."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            found += [[name, meaning] for name, meaning in imported(node).items()]
        elif isinstance(node, ast.ImportFrom):
            origin = source(node, package(path))
            for alias in node.names:
                star = alias.name == _STAR
                found.append([_STAR, origin] if star else [alias.asname or alias.name, f"{origin}.{alias.name}"])
    return found


class _Exports:
    """What ``from MODULE import *`` brings, for modules of the tree."""

    def __init__(self, modules: Mapping[str, Sequence[Sequence[str]]]) -> None:
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
