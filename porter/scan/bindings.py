"""What a plugin's C++ gives to Python, and what it reads of the environment.

A name counts as bound where a function that the extension module's init reaches binds it: a method table that is handed
over, `m.def("name", ...)`, `py::class_<...>(m, "name")`, `PyModule_AddObject(module, "name", ...)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from porter.scan.cpp import Code, Function, Node, calls, line, string, text, walk
from porter.scan.surface import Surface

NAME = re.compile(r"[A-Za-z_]\w*")


def of_plugin(surface: Surface, code: Code, bound: dict[str, str]) -> dict[str, Any]:
    """What of a record is found in the same way in every plugin; bound are the names that its C side gives."""
    return {
        "python": surface.record(bound),
        "process_group": {**surface.process_groups(), **process_groups(code)},
        "environment": {**surface.environment(), **variables(code)},
        "autocast": autocast(code),
    }


def reached(code: Code, roots: Iterable[str]) -> list[Function]:
    """The functions named, and every function of the sources that their bodies name, and so on."""
    found: dict[int, Function] = {}
    todo = [each for root in roots for each in code.functions.get(root, [])]
    while todo:
        function = todo.pop()
        if id(function) in found:
            continue
        found[id(function)] = function
        for name in set(NAME.findall(function.body.text.decode("utf-8", "replace"))):
            todo += code.functions.get(name, [])
    return list(found.values())


def bound(code: Code, roots: Iterable[str]) -> dict[str, str]:
    """Names of the extension module -> where each is bound."""
    out: dict[str, str] = {}
    tables = method_tables(code)
    for function in reached(code, roots):
        for name in set(NAME.findall(function.body.text.decode("utf-8", "replace"))) & set(tables):
            for bound_name, place in tables[name].items():
                out.setdefault(bound_name, place)
        for call in calls(function.body):
            name = bound_by(call)
            if name:
                out.setdefault(name, f"{function.path}:{line(call)}")
    return out


def bound_by(call: Node) -> str:
    target = call.child_by_field_name("function")
    arguments = call.child_by_field_name("arguments").named_children
    said = text(target)
    owner, _, method = said.rpartition(".")
    if method in ("def", "def_submodule") and NAME.fullmatch(owner.strip()):
        return (string(arguments[0]) or "") if arguments else ""
    if said in ("PyModule_AddObject", "PyObject_SetAttrString") and len(arguments) > 1:
        return string(arguments[1]) or ""
    if re.search(r"class_\s*<|enum_\s*<", said) and len(arguments) > 1:
        return string(arguments[1]) or ""
    return ""


def method_tables(code: Code) -> dict[str, dict[str, str]]:
    """Each PyMethodDef array by its name: the names in it and where they stand."""
    out: dict[str, dict[str, str]] = {}
    tables = ((path, node) for path, root in code.roots.items() for node in walk(root, "init_declarator"))
    for path, node in tables:
        name = NAME.search(text(node.child_by_field_name("declarator")))
        value = node.child_by_field_name("value")
        if name and value is not None and b"METH_" in node.text:
            for entry in value.named_children:
                literal = (
                    strings(entry.named_children[0]) if entry.type == "initializer_list" and entry.child_count else ""
                )
                if literal:
                    out.setdefault(name.group(), {})[literal] = f"{path}:{line(entry)}"
    return out


def strings(node: Node) -> str:
    """The string of `"name"` or of `(char*)"name"`."""
    return next((found for each in walk(node, "string_literal") if (found := string(each))), "")


def keys(code: Code, function: str, name: str) -> dict[str, str]:
    """The entries that a C++ function gives a dictionary, as Python names them: `name['key']` -> place."""
    out: dict[str, str] = {}
    for each in code.functions.get(function, []):
        for node in walk(each.body, "subscript_expression"):
            listed = node.child_by_field_name("indices")
            found = [string(each) for each in (listed.named_children if listed is not None else [])]
            if found and found[0]:
                out[f"{name}[{found[0]!r}]"] = f"{each.path}:{line(node)}"
    return out


def process_groups(code: Code) -> dict[str, dict[str, str]]:
    """Each backend that the C++ registers with torch.distributed, and whether its maker wants options."""
    out: dict[str, dict[str, str]] = {}
    for path, root in code.roots.items():
        for call in calls(root):
            if not text(call.child_by_field_name("function")).endswith("register_backend"):
                continue
            arguments = call.child_by_field_name("arguments").named_children
            name = string(arguments[0]) if arguments and arguments[0].type == "string_literal" else None
            if name is None or len(arguments) < 2:
                continue
            given = text(arguments[1])
            taken = re.search(r"&\s*([\w:]+)", given)  # py::cpp_function(&Group::maker, py::arg("store"), ...)
            maker = NAME.findall(taken.group(1) if taken else given)[-1]
            found = code.functions.get(maker, [])
            out[name.lower()] = {
                "at": f"{path}:{line(call)}",
                "maker": found[0].place if found else "",
                "options": options_of(found[0]) if found else "required",
            }
    return out


def options_of(function: Function) -> str:
    """required where options are taken by reference: pybind11 makes no reference of None; optional by pointer."""
    kinds = [each.type for each in function.parameters if "Options" in each.type and "Backend" not in each.type]
    if not kinds:
        return "none"
    return "optional" if re.search(r"intrusive_ptr|shared_ptr|optional|\*", kinds[0]) else "required"


def autocast(code: Code) -> dict[str, Any]:
    """Where the device's autocast is registered, and which operators it casts to which dtype.

    The two macros are torch's (ATen/autocast_mode.h): KERNEL_PRIVATEUSEONE(op, [overload,] policy).
    """
    out: dict[str, Any] = {"at": None, "casts": {}}
    for path in sorted(code.roots):
        for function in code.libraries:
            if function.path != path or "Autocast" not in function.name:
                continue
            place = f"{path}:{function.line}"
            out["at"] = out["at"] or place
            for call in calls(function.body):
                said = text(call.child_by_field_name("function"))
                if said.startswith("KERNEL_PRIVATEUSEONE"):
                    arguments = [text(each) for each in call.child_by_field_name("arguments").named_children]
                    if len(arguments) > 1:
                        name = ".".join(arguments[:-1]) if len(arguments) > 2 else arguments[0]
                        out["casts"].setdefault(arguments[-1], []).append(name)
                elif said.startswith("AT_FORALL"):
                    out["casts"].setdefault(said.replace("AT_FORALL_", "").lower(), []).append("all of torch's list")
    out["casts"] = {policy: sorted(set(names)) for policy, names in sorted(out["casts"].items())}
    return out


def variables(code: Code) -> dict[str, str]:
    """Environment variables that the C++ reads, each with the first place."""
    out: dict[str, str] = {}
    constants = string_constants(code)
    for path in sorted(code.roots):
        for call in calls(code.roots[path]):
            if text(call.child_by_field_name("function")) in ("getenv", "std::getenv", "secure_getenv"):
                arguments = call.child_by_field_name("arguments").named_children
                name = string(arguments[0]) if arguments and arguments[0].type == "string_literal" else None
                if name is None and arguments:
                    name = constants.get(text(arguments[0]).split(".")[0])
                if name:
                    out.setdefault(name, f"{path}:{line(call)}")
    return out


def string_constants(code: Code) -> dict[str, str]:
    """Names that are given a string outside of functions, and the string."""
    out: dict[str, str] = {}

    def look(node: Node) -> None:
        if node.type == "init_declarator":
            value = node.child_by_field_name("value")
            name = NAME.findall(text(node.child_by_field_name("declarator")))
            found = strings(value) if value is not None and value.type in ("string_literal", "argument_list") else ""
            if name and found:
                out[name[-1]] = found
        elif node.type != "compound_statement":
            for child in node.named_children:
                look(child)

    for root in code.roots.values():
        look(root)
    return out
