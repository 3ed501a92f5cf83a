"""What the names in a Python file stand for: imports and their aliases, scope by scope, without importing anything.

A name that is bound to something else than a module's content (a parameter, a loop variable) stands for nothing
here, so that a parameter called ``amp`` is not taken for ``torch.cuda.amp``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Union

from porter.auditing.rules import ACCELERATOR, BACKENDS, DEVICE_WORD, PLUGINS, TYPES

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef)
# functions of the package that give an accelerator; parse() gives one and the indices
_GIVES = {f"{ACCELERATOR}.{name}" for name in ("get", "current", "default", "parse")}
Exports = Callable[[str], "dict[str, str]"]


class Scope:
    """The names of a module, class or function.

    Attributes:
        node: what it is the scope of.
        parent: the scope around it.
        names: name -> what it stands for, dotted (``torch.cuda.amp``); None where that is nothing of a module.
        accelerators: names that hold an accelerator: ``acc = accelerator.get(device)``.
        flags: names that hold what an accelerator said about itself: ``half &= acc.half``.
        devices: names that hold a device, whatever they are called: ``d = x.device``.
    """

    def __init__(self, node: ast.AST, parent: Scope | None) -> None:
        self.node = node
        self.parent = parent
        self.names: dict[str, str | None] = {}
        self.accelerators: set[str] = set()
        self.flags: set[str] = set()
        self.devices: set[str] = set()

    @property
    def path(self) -> str:
        """Its name among the module's: ``Detect._make_grid``; ``<module>`` for the module itself."""
        names = [scope.node.name for scope in self.enclosing() if isinstance(scope.node, SCOPES)]
        return ".".join(reversed(names)) or "<module>"

    def enclosing(self) -> Iterator[Scope]:
        """This scope and those around it, from the inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def owner(self, name: str) -> Scope | None:
        """The scope whose name that is, as Python looks it up: a class's names are not its methods'."""
        for scope in self.enclosing():
            if name in scope.names and (scope is self or not isinstance(scope.node, ast.ClassDef)):
                return scope
        return None

    def dotted(self, node: ast.AST) -> str | None:
        """What an expression of names and dots stands for, ``torch.cuda.amp.autocast``; None for any other."""
        if isinstance(node, ast.Name):
            owner = self.owner(node.id)
            if owner is None:  # a name that nobody binds came through an `import *` of something unknown
                return node.id if node.id == "torch" else None
            return owner.names[node.id]
        if isinstance(node, ast.Attribute):
            inner = self.dotted(node.value)
            return f"{inner}.{node.attr}" if inner else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            words = node.args[1:2]
            if words and isinstance(words[0], ast.Constant) and isinstance(words[0].value, str):
                inner = self.dotted(node.args[0])
                return f"{inner}.{words[0].value}" if inner else None
        return None

    def is_accelerator(self, node: ast.AST) -> bool:
        """Whether an expression is an accelerator, or the package of them."""
        if isinstance(node, ast.Name) and self._holds(node.id, "accelerators"):
            return True
        if isinstance(node, ast.Call):
            return self.dotted(node.func) in _GIVES
        if isinstance(node, ast.Subscript):  # accelerator.parse(x)[0]
            return isinstance(node.value, ast.Call) and self.is_accelerator(node.value)
        found = self.dotted(node)
        return found is not None and f"{found}.".startswith(f"{ACCELERATOR}.")

    def is_device(self, node: ast.AST) -> bool:
        """Whether an expression is a device: by its name, or because the name was given one."""
        if isinstance(node, ast.Subscript):
            node = node.value
        return device_name(node) or (isinstance(node, ast.Name) and self._holds(node.id, "devices"))

    def says(self, node: ast.AST) -> bool:
        """Whether an expression asks what an accelerator says about itself (``acc.half``), directly or by a flag.

        Its type does not count: ``acc.type == 'cuda'`` is a decision by type like any other.
        """
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) and part.attr != "type" and self.is_accelerator(part.value):
                if self.dotted(part) is None:
                    return True
            elif isinstance(part, ast.Name) and self._holds(part.id, "flags"):
                return True
        return False

    def _holds(self, name: str, kind: str) -> bool:
        owner = self.owner(name)
        return owner is not None and name in getattr(owner, kind)


def scopes(tree: ast.Module, package: str, exports: Exports) -> dict[ast.AST, Scope]:
    """The scope of the module and of every class and function in it, by node.

    Args:
        package: the dotted package that the module is in, for relative imports.
        exports: what ``from MODULE import *`` brings: name -> what it stands for.
    """
    found: dict[ast.AST, Scope] = {}

    def enter(node: ast.AST, parent: Scope | None) -> None:
        scope = found[node] = Scope(node, parent)
        _Binder(scope, package, exports, enter).run()

    enter(tree, None)
    return found


class _Binder(ast.NodeVisitor):
    """Fills one scope, in the order of the text, then enters those inside it."""

    def __init__(self, scope: Scope, package: str, exports: Exports, enter: Callable[[ast.AST, Scope], None]) -> None:
        self.scope, self.package, self.exports, self.enter = scope, package, exports, enter
        self.inside: list[ast.AST] = []

    def run(self) -> None:
        node = self.scope.node
        if isinstance(node, FUNCTIONS):
            for argument in arguments(node.args):
                self.scope.names[argument.arg] = None
        for statement in getattr(node, "body", []):
            self.visit(statement)
        for inner in self.inside:
            self.enter(inner, self.scope)

    def _bind(self, name: str, meaning: str | None = None) -> None:
        if meaning or self.scope.names.get(name) is None:  # an import outlasts what else is put under its name
            self.scope.names[name] = meaning

    def _inner(self, node: Function | ast.ClassDef) -> None:
        self._bind(node.name)
        self.inside.append(node)
        for decorator in node.decorator_list:
            self.visit(decorator)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _inner  # noqa: N815

    def visit_Import(self, node: ast.Import) -> None:
        for name, meaning in imported(node).items():
            self._bind(name, meaning)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = source(node, self.package)
        for alias in node.names:
            if alias.name == "*":
                for name, meaning in self.exports(module).items():
                    self._bind(name, meaning)
            else:
                self._bind(alias.asname or alias.name, f"{module}.{alias.name}")

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self._assign(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        if node.value is not None:
            self._assign(node.target, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        if isinstance(node.target, ast.Name) and _plain(node.value, self.scope) and self.scope.says(node.value):
            self.scope.flags.add(node.target.id)

    def visit_Assert(self, node: ast.Assert) -> None:
        """``assert acc.half or not half``: from here on ``half`` is what the accelerator can do."""
        self.generic_visit(node)
        if self.scope.says(node.test):
            own = {name for name, meaning in self.scope.names.items() if meaning is None} - self.scope.accelerators
            names = (part for part in ast.walk(node.test) if isinstance(part, ast.Name))
            self.scope.flags |= {part.id for part in names if part.id in own and not device_like(part)}

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        scope = self.scope
        if isinstance(target, (ast.Tuple, ast.List)) and target.elts:
            if isinstance(value, ast.Call) and scope.is_accelerator(value):  # acc, indices = accelerator.parse(x)
                self._assign(target.elts[0], value)
            elif isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
                for one, part in zip(target.elts, value.elts):
                    self._assign(one, part)
        if not isinstance(target, ast.Name):
            return
        meaning = scope.dotted(value)
        if meaning and meaning.startswith(("torch", ACCELERATOR)):
            self._bind(target.id, meaning)  # x = torch.cuda
        elif isinstance(value, ast.Attribute) and value.attr == "device":
            self._bind(target.id)
            scope.devices.add(target.id)
        elif scope.is_accelerator(value):
            self._bind(target.id)
            scope.accelerators.add(target.id)
        elif _plain(value, scope) and scope.says(value) and not device_like(target):
            self._bind(target.id)
            scope.flags.add(target.id)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._bind(node.id)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self._bind(node.name)
        self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Its parameters are taken for names of the scope that it is in."""
        for argument in arguments(node.args):
            self._bind(argument.arg)
        self.generic_visit(node)


def _plain(node: ast.expr, scope: Scope) -> bool:
    """Whether an expression is made of names, attributes and logic alone, so that it is a yes or a no."""
    if isinstance(node, ast.Call):
        return scope.is_accelerator(node)  # accelerator.get(device).half
    kinds = (ast.Name, ast.Attribute, ast.Constant, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.IfExp)
    parts = (part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr))
    return isinstance(node, kinds) and all(_plain(part, scope) for part in parts)


def arguments(found: ast.arguments) -> list[ast.arg]:
    """Every parameter of a function."""
    rest = [extra for extra in (found.vararg, found.kwarg) if extra is not None]
    return [*found.posonlyargs, *found.args, *found.kwonlyargs, *rest]


def imported(node: ast.Import) -> dict[str, str]:
    """What ``import a.b, c.d as e`` binds: ``a`` to a, ``e`` to c.d."""
    tops = ((alias, alias.name.partition(".")[0]) for alias in node.names)
    return {alias.asname or top: alias.name if alias.asname else top for alias, top in tops}


def package(path: str) -> str:
    """The dotted package that the file at a path of the tree is in."""
    return ".".join(path.split("/")[:-1])


def source(node: ast.ImportFrom, package: str) -> str:
    """The module that an import names, dotted; a relative one is counted from ``package``."""
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join([*parts, *([node.module] if node.module else [])])


def device_name(node: ast.AST) -> bool:
    """Whether something is called as a device is: ``device``, ``self.device``, ``map_location``."""
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in ("device", "devices", "dev", "map_location")


def device_like(node: ast.AST) -> bool:
    """Whether a name or attribute in an expression speaks of a device: ``device``, ``x.device``, ``opt.devices``."""
    for part in ast.walk(node):
        name = part.id if isinstance(part, ast.Name) else part.attr if isinstance(part, ast.Attribute) else ""
        if name in ("device", "devices", "map_location") or name.startswith("device_") or name.endswith("_device"):
            return True
    return False


# What a dotted name, or an expression by its form, has to do with devices.


def device_rule(dotted: str) -> str:
    """The rule for what a dotted name stands for; empty if that is no device's."""
    parts = dotted.split(".")
    if parts[0] == "torch" and len(parts) > 1:
        if parts[1] in ("autocast", "amp") or (len(parts) > 2 and parts[1] in TYPES and parts[2] == "amp"):
            return "amp"
        if parts[1] in TYPES or parts[1] == "accelerator" or parts[1] in {f"is_{kind}_available" for kind in TYPES}:
            return "device-api"
        if parts[1] == "backends" and len(parts) > 2:
            return "backend-flags"
        if parts[1] in ("set_default_device", "set_default_tensor_type"):
            return "device-default"
        if dotted in (f"torch.distributed.is_{name}_available" for name in BACKENDS):
            return "distributed-backend"
        return ""
    plugin = next((name for name in PLUGINS if f"{dotted}.".startswith(f"{name}.")), "")
    if plugin:
        return "runtime-device" if plugin == "tensorrt" else "amp" if "amp" in parts[1:] else "device-api"
    if parts[0] == "cv2" and len(parts) > 2 and parts[1] == "dnn" and parts[2].endswith(("_CUDA", "_CUDA_FP16")):
        return "runtime-device"
    return ""


def device_word(text: str) -> bool:
    """Whether a text is the name of a device, the host among them."""
    return text == "cpu" or DEVICE_WORD.fullmatch(text) is not None


def device_side(node: ast.expr) -> bool:
    """Whether one side of a comparison is a device or its type."""
    if isinstance(node, ast.Attribute) and node.attr == "type":
        return True
    if isinstance(node, ast.Call):  # str(device), device.lower()
        inner = node.func.value if isinstance(node.func, ast.Attribute) else node.args[0] if node.args else node.func
        return node is not inner and device_side(inner)
    return device_name(node.value if isinstance(node, ast.Subscript) else node)


def asks_backend(node: ast.expr) -> bool:
    """Whether an expression is torch.distributed's backend: dist.get_backend(), opt.backend."""
    if isinstance(node, ast.Call):
        node = node.func
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.endswith("backend")


def takes_strings(node: ast.Call) -> bool:
    """Whether a call is of a method of strings, whose numbers are no devices."""
    return isinstance(node.func, ast.Attribute) and node.func.attr in (
        "replace", "split", "strip", "lstrip", "startswith", "endswith", "partition", "removeprefix", "count",
    )  # fmt: skip


def is_environment(node: ast.expr) -> bool:
    """Whether an expression is the process's environment: os.environ, environ.get, env."""
    while isinstance(node, ast.Attribute):
        if node.attr == "environ":
            return True
        node = node.value
    return isinstance(node, ast.Name) and node.id in ("environ", "env")


def is_layer(scope: Scope) -> bool:
    """Whether a class is a torch.nn.Module by what its bases are called, or has a forward()."""
    node = scope.node
    if not isinstance(node, ast.ClassDef):
        return False
    around = scope.parent or scope
    return any((around.dotted(base) or "").startswith("torch.nn.") for base in node.bases) or any(
        isinstance(part, FUNCTIONS) and part.name == "forward" for part in node.body
    )
