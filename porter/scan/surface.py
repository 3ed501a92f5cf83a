"""A plugin's Python: the public names of its device module, and what each needs of the C side.

Read with Python's own ast, nothing imported.  A name needs what its body names of the extension module, and what every
function, class or method of the package that it names needs.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

Definition = Union[ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef]


@dataclass
class Module:
    """One file: what it defines, and where its other names come from (module, name in it or None for itself)."""

    name: str
    path: str
    definitions: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    assigned: dict[str, tuple[int, ast.expr | None]] = field(default_factory=dict)
    everything: list[str] | None = None


Found = tuple[Module, str]


@dataclass(frozen=True)
class Settings:
    """package is the plugin's folder's name, device its device module, extension the C module, known what tests in the
    source compare with: environment variables and constants that a build writes."""

    package: str
    device: str
    extension: str
    alias: str
    known: dict[str, str]


class Surface:
    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.settings = settings
        self.modules: dict[str, Module | None] = {}
        self.memory: dict[tuple[str, str], tuple[set[str], list[Found]]] = {}
        self.resolved: dict[tuple[str, str], Found | None] = {}

    # -- modules ---------------------------------------------------------------------------------------------------
    def module(self, name: str) -> Module | None:
        if name not in self.modules:
            self.modules[name] = None
            stem = self.root.joinpath(*name.split("."))
            for path in (stem / "__init__.py", stem.with_suffix(".py")):
                if path.is_file() and name.split(".")[0] == self.settings.package:
                    self.modules[name] = self.read(name, path)
        return self.modules[name]

    def read(self, name: str, path: Path) -> Module:
        out = Module(name, path.relative_to(self.root).as_posix())
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = parsed(path)
        for statement in self.live(tree.body):
            self.bind(out, statement, package)
        return out

    def live(self, body: list[ast.stmt]) -> Iterator[ast.stmt]:
        """The statements that run when the module is imported, in the cases that the settings decide."""
        for statement in body:
            if isinstance(statement, ast.If):
                value = self.test(statement.test)
                if value is not False:
                    yield from self.live(statement.body)
                if value is not True:
                    yield from self.live(statement.orelse)
            elif isinstance(statement, ast.Try):
                yield from self.live(statement.body)
                yield from self.live(statement.orelse)
            elif isinstance(statement, ast.With):
                yield from self.live(statement.body)
            else:
                yield statement

    def test(self, node: ast.expr) -> bool | None:
        """A test of the card, such as `os.environ.get("CHIP_ARCH") == "sg2260"`; None where it tests another thing."""
        if isinstance(node, ast.BoolOp):
            values = [self.test(each) for each in node.values]
            if isinstance(node.op, ast.Or):
                return True if True in values else None if None in values else False
            return False if False in values else None if None in values else True
        if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            return None
        left, right = self.value(node.left), self.value(node.comparators[0])
        if left is None or right is None:
            return None
        return (left == right) is isinstance(node.ops[0], ast.Eq)

    def value(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name):
            return self.settings.known.get(node.id)
        name = environment_name(node)
        return self.settings.known.get(name) if name else None

    def bind(self, out: Module, statement: ast.stmt, package: str) -> None:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            out.definitions[statement.name] = statement
        elif isinstance(statement, ast.Import):
            for each in statement.names:
                name = each.asname or each.name.split(".")[0]
                out.imports[name] = (each.name if each.asname else name, None)
        elif isinstance(statement, ast.ImportFrom):
            base = statement.module or ""
            if statement.level:
                parts = package.split(".")[: len(package.split(".")) - statement.level + 1]
                base = ".".join([*parts, *([base] if base else [])])
            for each in statement.names:
                if each.name == "*":
                    out.stars.append(base)
                else:
                    out.imports[each.asname or each.name] = (base, each.name)
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    out.assigned[target.id] = (statement.lineno, statement.value)
                    if target.id == "__all__" and isinstance(statement.value, (ast.List, ast.Tuple)):
                        out.everything = [str(e.value) for e in statement.value.elts if isinstance(e, ast.Constant)]

    def names(self, module: Module, visited: tuple[str, ...] = ()) -> list[str]:
        """Every name that the module has after its import."""
        out = [*module.imports, *module.assigned, *module.definitions]
        for star in module.stars:
            other = self.module(star)
            if other is not None and star not in visited:
                listed = other.everything
                inner = self.names(other, (*visited, star))
                out += [name for name in inner if (name in listed if listed is not None else not name.startswith("_"))]
        return list(dict.fromkeys(out))

    def find(self, module: Module, name: str, visited: frozenset[tuple[str, str]] = frozenset()) -> Found | None:
        """Where the name of a module is defined: a module of the package, and the name there ("" for the module)."""
        key = (module.name, name)
        if key in self.resolved or key in visited:
            return self.resolved.get(key)
        found = self.looked_up(module, name, visited | {key})
        if not visited:
            self.resolved[key] = found
        return found

    def looked_up(self, module: Module, name: str, visited: frozenset[tuple[str, str]]) -> Found | None:
        if name in module.definitions or name in module.assigned:
            return module, name
        if name in module.imports:
            base, inner = module.imports[name]
            whole = self.module(base if inner is None else f"{base}.{inner}")
            if whole is not None or inner is None:
                return (whole, "") if whole is not None else None
            other = self.module(base)
            return self.find(other, inner, visited) if other is not None else None
        for star in reversed(module.stars):
            other = self.module(star)
            if other is not None and (other.everything is None or name in other.everything):
                found = self.find(other, name, visited)
                if found is not None:
                    return found
        return None

    # -- what a name needs -----------------------------------------------------------------------------------------
    def public(self) -> dict[str, Found]:
        """The public functions and classes of the device module."""
        device = self.module(self.settings.device)
        out: dict[str, Found] = {}
        for name in self.names(device) if device is not None else []:
            found = self.find(device, name) if device is not None and not name.startswith("_") else None
            if found is not None and found[1] and (found[1] in found[0].definitions or found[0] is device):
                out[name] = found
        return {name: found for name, found in out.items() if name != "default_generators"}

    def place(self, module: Module, name: str) -> str:
        if name in module.definitions:
            return f"{module.path}:{module.definitions[name].lineno}"
        return f"{module.path}:{module.assigned[name][0]}" if name in module.assigned else module.path

    def needs(self, module: Module, name: str) -> set[str]:
        """What the name and all that it reaches in the package needs of the C side."""
        out: set[str] = set()
        todo, done = [(module, name)], set()
        while todo:
            here, inner = todo.pop()
            if (here.name, inner) in done:
                continue
            done.add((here.name, inner))
            needed, further = self.direct(here, inner)
            out |= needed
            todo += further
        return out

    def direct(self, module: Module, name: str) -> tuple[set[str], list[Found]]:
        """What the body of one definition names: of the C side, and of the package."""
        key = (module.name, name)
        if key not in self.memory:
            node: Any = module.definitions.get(name)
            if node is None:
                node = module.assigned.get(name, (0, None))[1]
            needed = set(entries(node)) if node is not None else set()
            further: list[Found] = []
            for parts in dotted_names(node) if node is not None else []:
                more, found = self.followed(module, parts)
                needed |= more
                further += [found] if found is not None else []
            self.memory[key] = (needed, further)
        return self.memory[key]

    def followed(self, module: Module, parts: list[str]) -> tuple[set[str], Found | None]:
        """A dotted name of a body, `a.b.c` as ["a", "b", "c"]: what it is of the C side, or where it is defined."""
        first = module.imports.get(parts[0])
        found = self.find(module, parts[0])
        if found is not None and found[1]:
            return set(), found
        if first is None:
            return set(), None
        dotted = ".".join([first[0], *([first[1]] if first[1] else []), *parts[1:]])
        extension, alias = self.settings.extension, self.settings.alias
        if dotted.startswith(extension + "."):
            return {dotted[len(extension) + 1 :].split(".")[0]}, None
        if dotted.startswith(alias + "."):
            dotted = self.settings.device + dotted[len(alias) :]
        parts = dotted.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            other = self.module(".".join(parts[:cut]))
            if other is None:
                continue
            found = self.find(other, parts[cut])
            whole = ".".join(parts[: cut + 1])
            if found is not None and found[1]:
                return set(), found
            missing = found is None and self.module(whole) is None and whole != extension
            return ({whole} if missing else set()), None
        return set(), None

    def record(self, bound: dict[str, str]) -> dict[str, Any]:
        """The public names as the facts file has them; bound are the names that the C side gives."""
        out: dict[str, Any] = {}
        for name, (module, inner) in sorted(self.public().items()):
            needs = self.needs(module, inner)
            out[f"{self.settings.alias}.{name}"] = {
                "at": self.place(module, inner),
                "needs": sorted(needs),
                "missing": sorted(each for each in needs if each not in bound),
            }
        return out

    def process_groups(self) -> dict[str, dict[str, str]]:
        """Backends that the Python registers: whether the maker that it gives looks at options, and may miss them."""
        out: dict[str, dict[str, str]] = {}
        folder = self.root / self.settings.package
        for path in sorted(folder.rglob("*.py")):
            tree = parsed(path)
            for node in ast.walk(tree):
                if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("Backend.register_backend"):
                    continue
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str) and len(node.args) > 1:
                    place = f"{path.relative_to(self.root).as_posix()}:{node.lineno}"
                    out[first.value.lower()] = {"at": place, "options": taken(node.args[1], tree)}
        return out

    def parser(self, function: str) -> dict[str, Any] | None:
        """The function that parses the variable of visible devices: where, and which variables it asks, in order."""
        module = self.module(self.settings.device)
        found = self.find(module, function) if module is not None else None
        for name in [self.settings.device, f"{self.settings.device}.utils"]:
            other = self.module(name)
            if found is None and other is not None and function in other.definitions:
                found = (other, function)
        if found is None:
            return None
        node = found[0].definitions[found[1]]
        asked = [environment_name(each) for each in ast.walk(node)]
        order_of = sorted({(getattr(each, "lineno", 0), environment_name(each)) for each in ast.walk(node)} - {(0, "")})
        names = [name for _, name in order_of if name]
        return {"at": self.place(*found), "variables": names} if any(asked) else None

    def environment(self) -> dict[str, str]:
        """Environment variables that the package reads, each with its first place; without demos and tests."""
        out: dict[str, str] = {}
        folder = self.root / self.settings.package
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder).parts
            if {"demo", "test", "tests", "testing"} & set(inside):
                continue
            tree = parsed(path)
            for node in ast.walk(tree):
                name = environment_name(node)
                if name and not isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
                    place = f"{path.relative_to(self.root).as_posix()}:{getattr(node, 'lineno', 0)}"
                    if name not in out or order(place) < order(out[name]):
                        out[name] = place
        return out


def parsed(path: Path) -> ast.Module:
    """The file's syntax tree; an empty one where this Python cannot read it. What it warns of is the vendor's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            return ast.Module([], [])


def order(place: str) -> tuple[str, int]:
    path, _, number = place.rpartition(":")
    return path, int(number)


def environment_name(node: ast.AST) -> str:
    """X of `os.environ.get("X")`, `os.getenv("X")`, `os.environ["X"]`; "" for anything else."""
    inner: Any = None
    if isinstance(node, ast.Call) and ast.unparse(node.func) in (
        "os.environ.get",
        "os.getenv",
        "environ.get",
        "getenv",
    ):
        inner = node.args[0] if node.args else None
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("os.environ", "environ"):
        inner = node.slice
    return inner.value if isinstance(inner, ast.Constant) and isinstance(inner.value, str) else ""


def taken(maker: ast.expr, tree: ast.Module) -> str:
    """none where the maker takes no options, optional where what it calls tests them, required else."""
    if not isinstance(maker, ast.Lambda):
        return "none"
    names = [each.arg for each in maker.args.args]
    if len(names) != 2:  # (store, rank, size, timeout): the older interface has no options
        return "none"
    called = maker.body.func if isinstance(maker.body, ast.Call) else None
    definitions = {each.name: each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
    function = definitions.get(called.id) if isinstance(called, ast.Name) else None
    if function is None:
        return "required"
    options = function.args.args[-1].arg
    for each in ast.walk(function):
        if isinstance(each, (ast.If, ast.IfExp)) and options in {
            n.id for n in ast.walk(each.test) if isinstance(n, ast.Name)
        }:
            return "optional"
    return "required" if any(isinstance(n, ast.Name) and n.id == options for n in ast.walk(function)) else "none"


def entries(node: ast.AST) -> Iterator[str]:
    """`memory_stats['x']` of each `memory_stats(...)["x"]`: an entry without which the name raises KeyError."""
    for inner in ast.walk(node):
        if (
            isinstance(inner, ast.Subscript)
            and isinstance(inner.value, ast.Call)
            and isinstance(inner.slice, ast.Constant)
        ):
            called = inner.value.func
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            if name.endswith("memory_stats") and isinstance(inner.slice.value, str):
                yield f"memory_stats[{inner.slice.value!r}]"


def dotted_names(node: ast.AST) -> Iterator[list[str]]:
    """Every dotted name of a body, the longest way it is written; annotations are not run and do not count."""
    if isinstance(node, ast.Attribute):
        parts: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield [inner.id, *reversed(parts)]
        else:
            yield from dotted_names(inner)
        return
    if isinstance(node, ast.Name):
        yield [node.id]
        return
    if isinstance(node, ast.arg):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from dotted_names(child)


def setup_version(root: Path) -> str:
    """The version that a plugin's setup.py gives it; empty where it gives none."""
    path = root / "setup.py"
    said = path.read_text("utf-8", "replace") if path.is_file() else ""
    match = re.search(r"^VERSION\s*=\s*['\"]([^'\"]+)", said, re.MULTILINE)
    return match.group(1) if match else ""
