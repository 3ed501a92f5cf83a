"""One module starts children, one renames and locks files, one runs git: nobody else in porter does it past them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import porter

PACKAGE = Path(porter.__file__).parent
GROUND = {"process.py", "files.py"}
# these run under other interpreters, where porter is not installed
ELSEWHERE = ("supervisor.py", "verification/drivers/", "verification/guard/", "emulator/site/")
ALLOWED = {
    "git/__init__.py": {"git"},
    "__main__.py": {"os.execv"},  # starts no child: Python begins again in its UTF-8 mode
    "verification/launch.py": {"os.execve"},  # starts no child: it becomes the tree's train.py
}
MODULES = {"fcntl", "multiprocessing"}
FUNCTIONS = {
    *(f"subprocess.{name}" for name in ("Popen", "run", "call", "check_call", "check_output")),
    *(f"subprocess.{name}" for name in ("getoutput", "getstatusoutput")),
    *(f"os.{name}" for name in ("replace", "rename", "renames", "link", "system", "popen", "fork", "forkpty")),
    "shutil.move",
}
FAMILIES = ("os.exec", "os.spawn", "os.posix_spawn")


def forbidden(source: str) -> Iterator[str]:
    """What a module does that only process.py, files.py or porter.git may do."""
    tree = ast.parse(source)
    types = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}  # as Popen[bytes]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            yield from (name for name in names if name and is_forbidden(name))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if is_forbidden(name) and id(node) not in types:
                yield name
        elif isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "'git'":
            yield "git"
        elif isinstance(node, ast.Call) and len(node.args) == 1 and isinstance(node.func, ast.Attribute):
            name, named = node.func.attr, not isinstance(node.args[0], (ast.Dict, ast.DictComp))
            # text.replace() takes two arguments, and a new name is no dictionary
            yield from [f"path.{name}"] if name in ("rename", "replace") and named else []


def is_forbidden(name: str) -> bool:
    return name in MODULES | FUNCTIONS or name.startswith(FAMILIES)


def test_children_renames_locks_and_git_have_one_owner() -> None:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in GROUND and not name.startswith(ELSEWHERE):
            found[name] = set(forbidden(path.read_text(encoding="utf-8")))
    assert {name: what for name, what in found.items() if what} == ALLOWED


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import subprocess\nsubprocess.run(['ls'])", {"subprocess.run"}),
        ("from subprocess import Popen", {"subprocess.Popen"}),
        ("import subprocess\nhow = {'stdin': subprocess.DEVNULL}", set()),
        ("import os\nos.posix_spawnp('ls', [], {})", {"os.posix_spawnp"}),
        ("import fcntl", {"fcntl"}),
        ("import os\nos.replace(a, b)", {"os.replace"}),
        ("path.rename(other)", {"path.rename"}),
        ("folder.path.replace(other / name)", {"path.replace"}),
        ("process.run(['git', 'status'])", {"git"}),
        ("child: subprocess.Popen[bytes] | None = None", set()),
        ("'a'.replace('a', 'b')", set()),
        ("tree.replace({'train.py': b''})", set()),
        ("from dataclasses import replace\nreplace(record, name='a')", set()),
    ],
)
def test_what_is_forbidden(source: str, what: set[str]) -> None:
    assert set(forbidden(source)) == what
