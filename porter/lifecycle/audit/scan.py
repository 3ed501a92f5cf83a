"""Find every place in a tree's Python that names a device.  The files are parsed, never imported."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Mapping
from functools import lru_cache

from porter.errors import CheckFailed
from porter.lifecycle.audit.file import File
from porter.lifecycle.audit.names import imported, package, source
from porter.lifecycle.audit.place import Place


def scan(files: Mapping[str, bytes]) -> list[Place]:
    """Every place in a tree's Python files, sorted by path and line; none is in the list of allowed ones yet.

    Args:
        files: path -> content.

    Raises:
        CheckFailed: a file is not Python.
    """
    exports = _Exports({path: _parsed(path, data)[0] for path, data in sorted(files.items())})
    return [place for path, data in sorted(files.items()) for place in _places(path, data, exports)]


@lru_cache(maxsize=256)
def _parsed(path: str, data: bytes) -> tuple[ast.Module, str]:
    """A file as syntax tree and text; kept, since trees for several targets share most of their files."""
    try:
        text = _text(data)
        return ast.parse(text, path), text
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise CheckFailed(f"{path}:{line}: not Python, so it cannot be looked at", str(error)) from error


# path and content -> the places found, and what they depend on besides: star imports' modules with the names they bring
_known: dict[tuple[str, bytes], tuple[list[Place], dict[str, dict[str, str]]]] = {}


def _places(path: str, data: bytes, exports: _Exports) -> list[Place]:
    """The places in one file, found anew only if the file, or what its star imports bring, is not as it was."""
    kept = _known.get((path, data))
    if kept and all(exports(module) == names for module, names in kept[1].items()):
        return kept[0]
    asked: dict[str, dict[str, str]] = {}

    def ask(module: str) -> dict[str, str]:
        asked[module] = exports(module)
        return asked[module]

    tree, text = _parsed(path, data)
    found = File(path, tree, text, ask).places()
    _known[path, data] = found, asked
    return found


def _text(data: bytes) -> str:
    """A file as Python reads it: its declared encoding, every line end a line feed."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.TextIOWrapper(io.BytesIO(data), encoding).read()


def module_name(path: str) -> str:
    """The dotted module of a path in the tree; a package's is its folder's."""
    parts = path[: -len(".py")].split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class _Exports:
    """What ``from MODULE import *`` brings, for modules of the tree."""

    def __init__(self, trees: Mapping[str, ast.Module]) -> None:
        self._modules = {module_name(path): (path, tree) for path, tree in trees.items()}
        self._known: dict[str, dict[str, str]] = {}

    def __call__(self, module: str) -> dict[str, str]:
        if module in self._known or module not in self._modules:
            return self._known.get(module, {})
        self._known[module] = {}  # modules that import each other bring what is known by then
        path, tree = self._modules[module]
        names = {}
        for node in tree.body:
            if isinstance(node, ast.Import):
                names.update(imported(node))
            elif isinstance(node, ast.ImportFrom):
                origin = source(node, package(path))
                for alias in node.names:
                    if alias.name == "*":
                        names.update(self(origin))
                    else:
                        names[alias.asname or alias.name] = f"{origin}.{alias.name}"
        self._known[module] = {name: meaning for name, meaning in names.items() if not name.startswith("_")}
        return self._known[module]
