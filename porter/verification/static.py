"""What is proved of a tree by looking at its files; they may lie in a folder, or in memory only."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec

from porter.auditing.names import package, source
from porter.auditing.report import Audit
from porter.auditing.rules import ALLOWED, ROUTED
from porter.diagnosis.interpreter import NEEDED
from porter.errors import CheckFailed
from porter.output import counted
from porter.sources.cache import Memo
from porter.verification.report import Failed, Finding

TREE = "the tree is what upstream.lock and the patches make of the pin, and Python can parse its every .py file"
AUDIT = "every place in the tree's Python that names a device, or runs or fetches something, is ported or allowed"
_PYTHON = "Python"


def complaints(files: Mapping[str, bytes]) -> list[str]:
    """Path, line and reason of each file that is no Python; that a file is, is remembered.

    Args:
        files: path -> content.
    """
    # what decides besides the bytes: this Python, and what it was told to make of warnings
    memo = Memo.shared("python", [sys.version.encode(), repr(sys.warnoptions).encode()])
    found = [(path, _complaint(data, memo)) for path, data in sorted(files.items())]
    memo.save()
    return [f"{path}:{said}" for path, said in found if said]


def _complaint(source: bytes, memo: Memo) -> str:
    key = hashlib.sha256(source).hexdigest()
    if memo.get(key) == _PYTHON:
        return ""
    try:
        compile(source, "<file>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:  # ValueError: a NUL byte, before Python 3.12
        return f"{getattr(error, 'lineno', 1)}: {getattr(error, 'msg', error)}"
    memo.put(key, _PYTHON)
    return ""


def audited(look: Callable[[], Audit]) -> Finding:
    """What an audit comes to.

    Raises:
        Failed: a place is not ported, an entry of the list of allowed ones is stale, or a file is not Python.
    """
    try:
        found = look()
    except CheckFailed as error:
        raise Failed(error.what) from error
    if found.failed:
        lines = found.lines()
        more = f"; and {len(lines) - 5} more, see porter audit" if len(lines) > 5 else ""
        raise Failed("; ".join(lines[:5]) + more)
    counts = {state: sum(place.state == state for place in found.places) for state in (ROUTED, ALLOWED)}
    return Finding(
        f"{counted(counts[ROUTED], 'place')} through the accelerator, {counts[ALLOWED]} allowed", figures=counts
    )


# Whether the modules of a tree can be imported, found by reading them: no torch is needed, and nothing of them is run.
#
# What an import statement at the top of a module asks for has to be there: a module of the tree with the names that are
# taken from it, a module of Python's own, or one of the packages that a tree needs.  What stands in a function or in a
# ``try`` may be missing, as its author knows.

FOLDERS = ("models/", "utils/", "segment/", "classify/")  # of modules, beside those at the top
# what a training, a validation or a detection does not import unless it is asked for by name, and which needs
# TensorFlow, Flask, Weights & Biases or another service's package
OTHER = (
    "models/tf.py", "utils/flask_rest_api/", "utils/aws/", "utils/docker/", "utils/google_app_engine/",
    "utils/loggers/wandb/log", "utils/loggers/wandb/sweep", "utils/loggers/clearml/", "utils/loggers/comet/",
)  # fmt: skip
IMPORT = "every import at the top of a module finds its module and its names"
_PACKAGES = {"torch", *(name.partition(".")[0] for name in NEEDED)}
_SETUPTOOLS = ("pkg_resources", "setuptools")  # beside which Python's own list is no help: they may be installed here


def unimportable(files: Mapping[str, bytes]) -> list[str]:
    """Path, line and what is missing for each import that would fail in a tree's modules.

    Args:
        files: path -> content of the tree's Python files, each of which is Python.
    """
    read = {path: _read(data) for path, data in files.items() if _counts(path)}
    known = {path: names for path, (names, _) in read.items()}
    found = ((path, *each) for path, (_, top) in sorted(read.items()) for each in _missing(path, top, files, known))
    return [f"{path}:{line}: {what}" for path, line, what in found]


@lru_cache(maxsize=1000)  # the targets' trees have most of their files in common
def _read(data: bytes) -> tuple[set[str], list[ast.stmt]]:
    """The names that a module binds, and its imports."""
    tree = ast.parse(data)
    return _names(tree), [node for node in _at_the_top(tree.body) if isinstance(node, (ast.Import, ast.ImportFrom))]


def _counts(path: str) -> bool:
    """Whether a training, a validation or a detection may import a module."""
    return not path.startswith(OTHER) and ("/" not in path or path.startswith(FOLDERS))


def _missing(
    path: str, imports: list[ast.stmt], files: Mapping[str, bytes], known: Mapping[str, set[str]]
) -> Iterator[tuple[int, str]]:
    for node in imports:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if not _is_there(alias.name, files):
                    yield node.lineno, f"imports {alias.name}, which is neither in the tree nor a package that it needs"
        elif isinstance(node, ast.ImportFrom):
            name = source(node, package(path))
            if not _is_there(name, files):
                yield node.lineno, f"imports {name}, which is neither in the tree nor a package that it needs"
                continue
            there = _file(name, files)
            names = known.get(there, {"*"}) if there else {"*"}
            for alias in node.names:
                if not names & {alias.name, "*"} and alias.name != "*" and not _file(f"{name}.{alias.name}", files):
                    yield node.lineno, f"imports {alias.name} from {there}, which has no such name"


def _is_there(name: str, files: Mapping[str, bytes]) -> bool:
    root = name.partition(".")[0]
    if any(path == f"{root}.py" or path.startswith(f"{root}/") for path in files):
        return bool(_file(name, files)) or any(path.startswith(name.replace(".", "/") + "/") for path in files)
    return root in _PACKAGES or _is_pythons(root)


def _is_pythons(name: str) -> bool:
    """Whether a module is Python's own."""
    if name in _SETUPTOOLS:
        return False
    listed = getattr(sys, "stdlib_module_names", None)  # Python 3.10 and later
    if listed is not None:
        return name in listed
    spec = find_spec(name)
    return spec is not None and "-packages" not in (spec.origin or "")


def _file(name: str, files: Mapping[str, bytes]) -> str:
    """The file of a module of the tree; empty if there is none."""
    place = name.replace(".", "/")
    return next((path for path in (f"{place}.py", f"{place}/__init__.py") if path in files), "")


def _at_the_top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, those in a ``try`` or in no case but one's own left out."""
    for node in body:
        yield node
        if isinstance(node, ast.With):
            yield from _at_the_top(node.body)


def _names(tree: ast.Module) -> set[str]:
    """The names that a module binds at its top, whichever way it goes; ``*`` if that cannot be told."""
    found: set[str] = set()
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
            continue  # what it binds inside is its own
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
        pending += ast.iter_child_nodes(node)
    return found | ({"*"} if "__getattr__" in found else set())
