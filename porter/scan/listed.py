"""Operators that a plugin lists in a YAML file from which its build generates the registrations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from porter.scan.cpp import Code, Function

# Overloads that are out variants without `out` at their end: aten/src/ATen/native/native_functions.yaml of torch 2.1
OUTS = {
    "values", "values_stable", "dim_max", "dim_min", "grad_input", "U", "L", "X", "Q", "a", "e", "solution", "sol",
    "forward", "R", "int_out", "dim_values", "output", "grad_inpuut",
}  # fmt: skip


@dataclass(frozen=True)
class ListedOperator:
    """One operator of a list: its name without namespace, the list's section, the line, the entry's other keys."""

    name: str
    section: str
    line: int
    keys: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def base(self) -> str:
        return self.name.partition(".")[0]

    @property
    def is_out(self) -> bool:
        overload = self.name.partition(".")[2]
        return overload.endswith("out") or overload in OUTS


def read(path: Path) -> list[ListedOperator]:
    """The entries of every section whose value is a list: plain names, or mappings with `func`.

    A list without sections, as torch's own native_functions.yaml is one, is a section without a name.
    """
    root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    sections: list[tuple[str, yaml.Node]] = []
    if isinstance(root, yaml.SequenceNode):
        sections = [("", root)]
    elif isinstance(root, yaml.MappingNode):
        sections = [(str(key.value), value) for key, value in root.value]
    out: list[ListedOperator] = []
    for name, section in sections:
        if isinstance(section, yaml.SequenceNode):
            found = [entry(item, name) for item in section.value]
            out += [one for one in found if one is not None]
    return out


def entry(item: yaml.Node, section: str) -> ListedOperator | None:
    line = item.start_mark.line + 1
    if isinstance(item, yaml.ScalarNode):
        name, keys = item.value, {}
    elif isinstance(item, yaml.MappingNode):
        keys = {str(key.value): plain(value) for key, value in item.value}
        name = str(keys.pop("func", ""))
    else:
        return None
    name = re.split(r"[\s(]", name.strip(), maxsplit=1)[0]
    return ListedOperator(name, section, line, keys) if name else None


def plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [plain(each) for each in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): plain(value) for key, value in node.value}
    return node.value


def kernel(code: Code, one: ListedOperator, names: list[str], paths: str) -> Function | None:
    """The one definition of one of the names in files that match paths; None where there is none, or several."""
    for name in names:
        found = [each for each in code.functions.get(name, []) if re.search(paths, each.path)]
        if len(found) == 1:
            return found[0]
        if found:
            return overload(one, found)
    return None


def overload(one: ListedOperator, found: list[Function]) -> Function | None:
    """Which of several definitions an entry means, where its overload's name says so."""
    said = one.name.partition(".")[2].replace("_out", "")
    kinds = {"Scalar": "Scalar", "Tensor": "Tensor", "dim": "int64_t", "dim_IntList": "ArrayRef", "IntList": "ArrayRef"}
    wanted = kinds.get(said)
    if wanted is None:
        return None
    fitting = [each for each in found if len(each.parameters) > 1 and wanted in each.parameters[1].type]
    return fitting[0] if len(fitting) == 1 else None
