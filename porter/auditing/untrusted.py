"""Where a piece of Python may run or fetch what a file, a server or a word of the user says, whatever the device.

A name counts wherever it is read, called or not: ``pool.map(os.system, words)`` runs as much as ``os.system(word)``.
"""

from __future__ import annotations

import ast

from porter.auditing import slots
from porter.auditing.names import Scope
from porter.auditing.rules import RULES

# The tree's own reader of checkpoints.  What it may call is held by the check `safety`, case by case.
READERS = ("utils/pickles.py", "utils/checkpoint.py")

_BUILTINS = {"eval", "exec", "compile", "__import__"}
_IMPORTS = {"importlib.import_module", "importlib.reload", "importlib.util.spec_from_file_location"}
_FETCHING = ("download", "use_artifact")  # methods, of Weights & Biases' objects for one
_NAMES = {name: rule.id for rule in RULES.values() if rule.any_device for name in rule.names}
_SAFE = ("yaml.SafeLoader", "yaml.CSafeLoader")


def rule_of(dotted: str) -> str:
    """The rule for what a dotted name stands for; empty if it neither runs nor fetches anything."""
    if dotted.startswith(("os.exec", "os.spawn", "os.posix_spawn")):
        return "program"
    return _NAMES.get(dotted, "")


def fetches(call: ast.Call | None, dotted: str) -> bool:
    """Whether a call of a method downloads, by the method's name, on an object that is not known."""
    return not dotted and call is not None and getattr(call.func, "attr", "") in _FETCHING


def builtin(node: ast.Name, scope: Scope) -> bool:
    """Whether a name is one of Python's own functions that run a text, and nothing else of that name."""
    return node.id in _BUILTINS and scope.owner(node.id) is None


def shell(call: ast.Call) -> bool:
    """Whether a call says ``shell=`` anything but False, whatever it calls."""
    value = slots.keyword(call, "shell")
    return value is not None and not (isinstance(value, ast.Constant) and value.value is False)


def harmless(call: ast.Call, dotted: str, scope: Scope) -> bool:
    """Whether a call says by itself that it reads data alone, or imports what stands there by name."""
    if dotted == "numpy.load":
        value = slots.keyword(call, "allow_pickle")
        return isinstance(value, ast.Constant) and value.value is False
    if dotted in ("yaml.load", "yaml.load_all"):
        loader = slots.keyword(call, "Loader") or (call.args[1] if len(call.args) > 1 else None)
        return loader is not None and scope.dotted(loader) in _SAFE
    if dotted in _IMPORTS or dotted == "__import__":
        return bool(call.args) and isinstance(call.args[0], ast.Constant)
    return False
