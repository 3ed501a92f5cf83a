"""How to read MooreThreads/torch_musa: csrc/aten/ops/musa_functions.yaml lists operators, csrc/aten has the kernels.

tools/codegen makes the registrations of the list, as its README says: the kernel of an entry is the function that
`dispatch` names, TORCH_IMPL_FUNC where torch's own operator is structured; an entry without `dispatch` has
the kernel of its group's out variant, or torch's CUDA kernel, which the build translates and this repository lacks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from porter.scan import bindings, listed
from porter.scan.cpp import Code, calls, code_of, line, string, text
from porter.scan.facts import described
from porter.scan.kernels import Rules
from porter.scan.listed import ListedOperator
from porter.scan.surface import Settings, Surface

TARGET = "musa"
PLUGIN = "torch_musa"
SIGN = "torch_musa/csrc/aten/ops/musa_functions.yaml"
URL = "https://github.com/MooreThreads/torch_musa"
CARDS = ("s4000",)
KEY = "PrivateUse1"  # others are of sparse and quantized tensors
RULES = Rules(
    device="musa",
    passed={"TORCH_WARN_ONCE": None},
    quiet=r"SUCCESS\b|musaSuccess",
    outside=r"csrc/core/|csrc/utils/|csrc/distributed/|csrc/aten/mudnn/|csrc/aten/musa/|csrc/aten/utils/Context",
    contiguous=("FormatContiguous", "ContiguousRef", "expect_contiguous"),
)
# the libraries' status is checked by macros of their own, which say nothing of the arguments
MACROS = [f"{name}(...)" for name in ("CHECK_MUDNN_STATUS", "C10_MUSA_CHECK", "TORCH_MUSABLAS_CHECK")]
SETTINGS = Settings(PLUGIN, PLUGIN, "torch_musa._MUSAC", "torch.musa", {})


def scan(root: Path, card: str, defines: list[str], also: Path | None = None) -> dict[str, Any]:
    """The facts of torch_musa with MCCL, as it is built for an S4000 by README.md; also is not used."""
    source = root / "torch_musa" / "csrc"
    found = ["USE_MCCL", *defines]
    code = code_of(root, [root, source], found, [*source.rglob("*.cpp"), *source.rglob("*.mu")], MACROS)
    entries = listed.read(root / SIGN)
    operators: dict[str, Any] = {}
    for one in entries:
        names = kernel_names(one, entries)
        if names is not None:
            kernel = listed.kernel(code, one, names, r"csrc/aten/")
            operators[f"aten::{one.name}"] = described(code, RULES, f"{SIGN}:{one.line}", kernel)
    surface = Surface(root, SETTINGS)
    bound = {**bindings.bound(code, ["InitMusaModule"]), **given_to_the_package(code)}
    return {
        "version": version(root),
        "defines": found,
        "operators": operators,
        **bindings.of_plugin(surface, code, bound),
    }


def kernel_names(one: ListedOperator, entries: list[ListedOperator]) -> list[str] | None:
    """The functions that may be the entry's kernel; None where it registers none for dense tensors.

    Without a kernel of its own an entry has that of its group's out variant, if torch's own operator is structured;
    where that is not named either, it is torch's CUDA kernel and the names are empty.
    """
    dispatch = one.keys.get("dispatch") or {}
    own = kernel_of(dispatch)
    if own:
        return [own, f"porter_structured__{own}"]
    base, overload = one.base.rstrip("_"), one.name.partition(".")[2]
    group = [each for each in entries if each.base == base and each.is_out]
    exact = [each for each in group if each.name == f"{base}.{overload}_out".replace("._out", ".out")]
    shared = [
        kernel_of(each.keys["dispatch"])
        for each in exact or (group if len(group) == 1 else [])
        if "dispatch" in each.keys and each.keys.get("structured") != "false"
    ]
    names = [f"porter_structured__{name}" for name in shared if name]
    return None if dispatch and not names else names


def kernel_of(dispatch: dict[str, Any]) -> str:
    """What the dispatch names for dense tensors; one of its keys may be two: `PrivateUse1, QuantizedPrivateUse1`."""
    return next((str(name) for joined, name in dispatch.items() if KEY in re.split(r",\s*", str(joined))), "")


def given_to_the_package(code: Code) -> dict[str, str]:
    """What the C++ gives to torch_musa itself, under its full name.

    That is what a function that imports the package gives to set_module_attr, and what a function to which it hands the
    package defines in it.
    """
    out: dict[str, str] = {}
    for function in (each for found in code.functions.values() for each in found):
        if not re.search(rf'[Ii]mport(Module)?\("{PLUGIN}"\)', text(function.body)):
            continue
        for call in calls(function.body):
            called = text(call.child_by_field_name("function"))
            arguments = call.child_by_field_name("arguments").named_children
            if called == "set_module_attr" and arguments:
                out[f"{PLUGIN}.{string(arguments[0])}"] = f"{function.path}:{line(call)}"
            elif len(arguments) == 1 and arguments[0].type == "identifier":
                for other in code.functions.get(called, []):
                    names = {bindings.bound_by(each): each for each in calls(other.body)}
                    out.update({f"{PLUGIN}.{name}": f"{other.path}:{line(at)}" for name, at in names.items() if name})
    return out


def version(root: Path) -> str:
    path = root / "version.txt"
    return path.read_text("utf-8", "replace").strip() if path.is_file() else ""
