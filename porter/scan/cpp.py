"""C++ of a plugin, parsed by tree-sitter after the preprocessor: functions, calls, registrations, bound names.

tree-sitter is an extra of porter (`pip install "yolov5-porter[scan]"`) and imported only here, when a scan runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter.errors import EnvironmentFailed
from porter.scan.preprocessor import Preprocessor, Unit

Node = Any  # tree_sitter.Node: the package has types, but is not there where porter is checked without it

# What torch's headers define and a plugin's source uses in ways that are no C++ without them.
SEEDS = [
    "TORCH_LIBRARY_IMPL(ns, key, m) static void porter_impl__##ns##__##key(torch::Library &m)",
    "TORCH_LIBRARY(ns, m) static void porter_library__##ns(torch::Library &m)",
    "TORCH_LIBRARY_FRAGMENT(ns, m) static void porter_library__##ns(torch::Library &m)",
    "TORCH_IMPL_FUNC(name) void porter_structured__##name",
    "TORCH_META_FUNC(name) void porter_meta__##name",
    "TORCH_META_FUNC2(name, overload) void porter_meta__##name##_##overload",
    "TORCH_FN(f) f",
    "TORCH_SELECTIVE_NAME(n) n",
    "AT_DISPATCH_CASE(type, ...) porter_case(type, __VA_ARGS__),",
    "AT_DISPATCH_SWITCH(type, name, ...) porter_switch(type, __VA_ARGS__ 0)",
    "C10_UNLIKELY(x) (x)",
    "C10_LIKELY(x) (x)",
    "C10_UNUSED",
    "C10_EXPORT",
    "C10_API",
    "TORCH_API",
    "__attribute__(x)",
    "__FILE__ porter_file",
    "__func__ porter_function",
]
STATEMENTS = (
    "KERNEL_PRIVATEUSEONE2",
    "KERNEL_PRIVATEUSEONE",
    "AT_FORALL_\\w+",
    "TORCH_CHECK",
    "TORCH_INTERNAL_ASSERT",
    "AT_ERROR",
    "AT_ASSERT",
)
LIBRARY = re.compile(r"porter_(?:impl__(?P<ns>\w+?)__(?P<key>\w+)|library__(?P<name>\w+))$")


@dataclass(frozen=True)
class Parameter:
    type: str
    name: str
    default: bool = False


@dataclass
class Function:
    """A definition: its name with the class or namespaces written before it, its parameters, and its body's node."""

    name: str
    owner: str
    parameters: list[Parameter]
    returns: str
    body: Node
    path: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Registration:
    """`m.impl("name", function)` under a namespace and a dispatch key; function is None for a fallthrough."""

    namespace: str
    key: str
    name: str
    function: str | None
    place: str


@dataclass
class Code:
    functions: dict[str, list[Function]] = field(default_factory=dict)
    registrations: list[Registration] = field(default_factory=list)
    libraries: list[Function] = field(default_factory=list)
    roots: dict[str, Node] = field(default_factory=dict)


def parser() -> Any:
    """A tree-sitter parser of C++; raises EnvironmentFailed with the command that installs it."""
    try:
        import tree_sitter
        import tree_sitter_cpp
    except ImportError as error:
        raise EnvironmentFailed(
            "reading a plugin's C++ needs tree-sitter and its C++ grammar, which are not installed here",
            why=str(error),
            hint='pip install "tree-sitter>=0.23" "tree-sitter-cpp>=0.23"',
        ) from error
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_cpp.language()))


def read(units: list[Unit]) -> Code:
    """Every function of the units and what their libraries register."""
    code, one = Code(), parser()
    for unit in units:
        root = one.parse(unit.text.encode()).root_node
        code.roots[unit.path] = root
        for function in functions(root, unit.path, ""):
            if LIBRARY.match(function.name):
                code.libraries.append(function)
                code.registrations += registrations(function)
            else:
                code.functions.setdefault(function.name, []).append(function)
    return code


def code_of(
    root: Path, folders: list[Path], defines: list[str], files: Iterable[Path], macros: Sequence[str] = ()
) -> Code:
    """The C++ of files that are compiled one by one."""
    reader = Preprocessor(root, folders, defines, [*SEEDS, *macros], statements=STATEMENTS)
    for path in sorted(files):
        reader.alone(path)
    return read(reader.units)


def text(node: Node | None) -> str:
    return "" if node is None else " ".join(node.text.decode("utf-8", "replace").split())


def line(node: Node) -> int:
    return int(node.start_point[0]) + 1


def functions(node: Node, path: str, owner: str) -> Iterator[Function]:
    for child in node.named_children:
        if child.type == "function_definition":
            found = function(child, path, owner)
            if found:
                yield found
        elif child.type in ("class_specifier", "struct_specifier"):
            body = child.child_by_field_name("body")
            if body is not None:
                yield from functions(body, path, text(child.child_by_field_name("name")))
        elif child.type not in ("compound_statement", "expression_statement", "comment"):
            yield from functions(child, path, owner)


def function(node: Node, path: str, owner: str) -> Function | None:
    body = node.child_by_field_name("body")
    declarator = node.child_by_field_name("declarator")
    marks = ""
    while declarator is not None and declarator.type != "function_declarator":
        marks += {"reference_declarator": "&", "pointer_declarator": "*"}.get(declarator.type, "")
        declarator = declarator.child_by_field_name("declarator") or next(
            (each for each in declarator.named_children if each.type.endswith("declarator")), None
        )
    if body is None or declarator is None:
        return None
    full = text(declarator.child_by_field_name("declarator"))
    *above, name = re.sub(r"<[^<>]*>", "", full).replace(" ", "").split("::")
    listed = declarator.child_by_field_name("parameters")
    return Function(
        name,
        above[-1] if above else owner,
        [parameter(each) for each in (listed.named_children if listed else []) if "parameter" in each.type],
        text(node.child_by_field_name("type")) + marks,
        body,
        path,
        line(declarator),
    )


def parameter(node: Node) -> Parameter:
    declarator = node.child_by_field_name("declarator")
    whole = text(node).split("=")[0].strip()
    name = declarator
    while name is not None and name.type not in ("identifier", "field_identifier"):
        name = name.child_by_field_name("declarator") or next(iter(name.named_children), None)
    label = text(name)
    kind = whole[: whole.rfind(label)] if label and whole.endswith(label) else whole
    return Parameter(kind.strip(), label, node.child_by_field_name("default_value") is not None)


def registrations(function: Function) -> Iterator[Registration]:
    match = LIBRARY.match(function.name)
    assert match is not None
    namespace, key = (match["ns"], match["key"]) if match["ns"] else (match["name"], "")
    for call in calls(function.body):
        target = call.child_by_field_name("function")
        if target is None or target.type != "field_expression" or text(target.child_by_field_name("field")) != "impl":
            continue
        arguments = call.child_by_field_name("arguments").named_children
        name = string(arguments[0]) if arguments else None
        if name is None or len(arguments) < 2:
            continue
        yield Registration(namespace, key, name, target_of(arguments[1]), f"{function.path}:{line(call)}")


def target_of(node: Node) -> str | None:
    """The function's name in what is given to `impl`; None for makeFallthrough and the like."""
    while node.type in ("parenthesized_expression", "pointer_expression", "cast_expression"):
        node = node.child_by_field_name("argument") or node.child_by_field_name("value") or node.named_children[-1]
    if node.type in ("identifier", "qualified_identifier", "template_function"):
        return text(node)
    return None


def walk(node: Node, *kinds: str) -> Iterator[Node]:
    """The nodes of these kinds in a tree, each before those in it."""
    if node.type in kinds:
        yield node
    for child in node.named_children:
        yield from walk(child, *kinds)


def calls(node: Node) -> Iterator[Node]:
    return walk(node, "call_expression")


def string(node: Node) -> str | None:
    """The value of a string literal, or of several that stand side by side."""
    if node.type == "string_literal":
        return str(node.text.decode()[1:-1])
    if node.type == "concatenated_string":
        return "".join(string(each) or "" for each in node.named_children)
    if node.type == "call_expression" and node.child_by_field_name("arguments").named_children:
        return string(node.child_by_field_name("arguments").named_children[0])
    return None
