"""How to read Cambricon/torch_mlu: codegen/mlu_functions.yaml lists the operators, csrc/aten/operators has the kernels.

codegen/dest/gen_external_mlu.py makes the registrations of the list: the kernel of an entry is DERIVED_NAME, DERIVED
cnnl where the entry does not say otherwise, or TORCH_IMPL_FUNC(NAME_out_mlu) where it is structured.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from porter.scan import bindings, listed
from porter.scan.cpp import Code, code_of, text, walk
from porter.scan.cpp import line as line_of
from porter.scan.facts import described
from porter.scan.kernels import Rules
from porter.scan.surface import Settings, Surface
from porter.scan.values import KINDS

TARGET = "mlu"
PLUGIN = "torch_mlu"
SIGN = "codegen/mlu_functions.yaml"
URL = "https://github.com/Cambricon/torch_mlu"
CARDS = ("mlu370",)
NAMESPACES = {"aten": "aten", "vision": "torchvision", "audio": "torchaudio", "custom": "torch_mlu"}
RULES = Rules(
    device="mlu",
    passed={"CNLOG": None, "LOG": None, "TORCH_WARN_ONCE": None, "get_overflow_check_env": False},
    prefixes=("CNNL_",),
    quiet=r"_SUCCESS\b|STATUS",
    outside=r"csrc/framework/|csrc/python/|internal/|csrc/aten/cnnl/|csrc/aten/viewchain|aten/TensorIteratorBridge",
    contiguous=("cnnl_contiguous", "expect_contiguous"),
)
SETTINGS = Settings(PLUGIN, "torch_mlu.mlu", "torch_mlu._MLUC", "torch.mlu", {})


def scan(root: Path, card: str, defines: list[str], also: Path | None = None) -> dict[str, Any]:
    """The facts of torch_mlu; one build serves every card, and also is not used."""
    source = root / "torch_mlu" / "csrc"
    files = (path for path in source.rglob("*.cpp") if "test" not in path.relative_to(source).parts)
    code = code_of(root, [root, root / "torch_mlu", source], defines, files)
    stubs = dispatch_stubs(code)
    operators: dict[str, Any] = {}
    for one in listed.read(root / SIGN):
        if str(one.keys.get("dispatch", "PrivateUse1")) == "SparsePrivateUse1":
            continue
        derived = str(one.keys.get("derived_type", "cnnl"))
        names = kernel_names(one, derived)
        found = listed.kernel(code, one, names, r"csrc/aten/operators/")
        if found is None and (one.keys.get("structured") or one.keys.get("structured_delegate")):
            found = listed.kernel(code, one, [stubs.get(f"{one.base.rstrip('_')}_stub", "")], r"csrc/aten/operators/")
        namespace = NAMESPACES.get(one.section, one.section)
        operators[f"{namespace}::{one.name}"] = described(code, RULES, f"{SIGN}:{one.line}", found)
    surface = Surface(root, SETTINGS)
    bound = bindings.bound(code, ["initMLUModule", "PyInit__MLUC"])
    return {
        "version": version(root),
        "defines": defines,
        "operators": operators,
        **bindings.of_plugin(surface, code, bound),
        "visible": surface.parser("_parse_visible_devices"),
        "dtypes": library_dtypes(code, "getCnnlDataType", "CNNL_DTYPE_"),
    }


def kernel_names(one: listed.ListedOperator, derived: str) -> list[str]:
    plain, out = f"{derived}_{one.base}", f"{derived}_{one.base}_out"
    structured = [f"porter_structured__{one.base}_out_mlu"]
    delegate = one.keys.get("structured_delegate")
    if one.keys.get("structured") or delegate:
        return structured
    if one.keys.get("custom_autograd"):
        return [f"{derived}_{one.name.replace('.', '_')}_autograd", plain]
    return [out] if one.is_out else [plain]


def dispatch_stubs(code: Code) -> dict[str, str]:
    """torch's stub -> the plugin's function for it: what torch's own structured kernel calls on the device."""
    out: dict[str, str] = {}
    for root in code.roots.values():
        said = root.text.decode("utf-8", "replace") if b"REGISTER_PRIVATEUSE1_DISPATCH" in root.text else ""
        for stub, name in re.findall(r"REGISTER_PRIVATEUSE1_DISPATCH\s*\(\s*(\w+)\s*,\s*&?\s*([\w:]+)", said):
            out[stub] = name.rsplit("::", 1)[-1]
    return out


def version(root: Path) -> str:
    path = root / "scripts" / "release" / "build.property"
    try:
        return str(json.loads(path.read_text("utf-8"))["version"]).replace("-", "+")
    except (OSError, ValueError, KeyError):
        return ""


def library_dtypes(code: Code, function: str, prefix: str) -> dict[str, Any]:
    """Torch's dtype -> the library's, from the switch of the plugin's own conversion, where the two differ."""
    out: dict[str, Any] = {}
    names = {"FLOAT": "float32", "DOUBLE": "float64", "HALF": "float16", "UINT8": "uint8", "COMPLEX_FLOAT": "complex64"}
    for each in code.functions.get(function, []):
        for case in walk(each.body, "case_statement"):
            label = text(case.child_by_field_name("value"))
            match = re.search(r"k(\w+)$", label)
            said = re.search(rf"{prefix}(\w+)", text(case))
            if not match or not said or match.group(1) not in KINDS:
                continue
            torch, library = KINDS[match.group(1)], names.get(said.group(1), said.group(1).lower())
            if torch != library and (torch, library) in (
                ("float64", "float32"),
                ("int64", "int32"),
                ("complex128", "complex64"),
            ):
                out[torch] = {"as": library, "at": f"{each.path}:{line_of(case)}"}
    return out
