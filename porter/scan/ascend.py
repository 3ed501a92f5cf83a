"""How to read Ascend/pytorch (torch_npu) with Ascend/op-plugin, which it is built with (third_party/op-plugin).

torch_npu/csrc/aten/npu_native_functions.yaml lists the operators of torch_npu itself, op_plugin_functions.yaml those of
op-plugin, each with the versions of torch that have it; a 910B runs the variant op_api (aclnn) where there is one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from porter.errors import WrongUsage
from porter.scan import bindings, listed
from porter.scan.cpp import Code, code_of
from porter.scan.facts import described
from porter.scan.kernels import Rules
from porter.scan.surface import Settings, Surface, setup_version

TARGET = "npu"
PLUGIN = "torch_npu"
SIGN = "torch_npu/csrc/aten/npu_native_functions.yaml"
URL = "https://github.com/Ascend/pytorch"
CARDS = ("ascend910b",)
SECOND = "op_plugin/config/op_plugin_functions.yaml"
RULES = Rules(
    device="npu",
    passed={"ASCEND_LOGW": None, "ASCEND_LOGI": None, "TORCH_NPU_WARN_ONCE": None, "TORCH_NPU_WARN": None},
    outside=r"torch_npu/csrc/(core|framework|npu|libs|logging|profiler)/|op_plugin/utils/",
    contiguous=("format_contiguous", "contiguous"),
)
# The plugin's own macros around the library: they expand to pages of C++ about the library, not about the arguments.
# DO_COMPATIBILITY takes the older kernel where the library lacks the newer function; it counts as there.
MACROS = [
    "EXEC_NPU_CMD(...) exec_npu_cmd(__VA_ARGS__)",
    "EXEC_NPU_NO_FORMAT_CHECK_CMD(...) exec_npu_cmd(__VA_ARGS__)",
    "EXEC_UPDATE_NPU_CMD(...) exec_npu_cmd(__VA_ARGS__)",
    "EXEC_NPU_CMD_SYNC(...) exec_npu_cmd(__VA_ARGS__)",
    "DO_COMPATIBILITY(...)",
    "DO_MATMUL_COMPATIBILITY(...)",
    *(f"ASCEND_LOG{level}(...)" for level in ("D", "E", "I", "W")),
    *(f"TORCH_NPU_{name}(...)" for name in ("WARN", "WARN_ONCE", "LOGI", "LOGD", "LOGW", "LOGE")),
]
SETTINGS = Settings(PLUGIN, "torch_npu.npu", "torch_npu._C", "torch.npu", {})


def scan(root: Path, card: str, defines: list[str], also: Path | None = None) -> dict[str, Any]:
    """The facts of torch_npu with op-plugin, which is looked for in also and in third_party/op-plugin.

    Raises:
        WrongUsage: op-plugin is at neither place.
    """
    second = also or root / "third_party" / "op-plugin"
    if not (second / SECOND).is_file():
        raise WrongUsage(
            f"{second} holds no op-plugin",
            "torch_npu is built with a second repository, Ascend/op-plugin, as a git submodule",
            "git submodule update --init third_party/op-plugin, or --also OP_PLUGIN_CHECKOUT",
        )
    source = root / "torch_npu" / "csrc"
    apart = {"test", "toolkit", "profiler", "sanitizer"}
    files = (path for path in source.rglob("*.cpp") if not apart & set(path.relative_to(source).parts))
    code = code_of(root, [root, source], defines, files, MACROS)
    other = code_of(second, [second], defines, (second / "op_plugin" / "ops").rglob("*.cpp"), MACROS)
    torch = f"v{'.'.join(setup_version(root).split('.')[:2])}"
    operators = own(root, code)
    operators.update(of_plugin(second, other, torch, operators))
    surface = Surface(root, SETTINGS)
    bound = bindings.bound(code, ["initModule", "PyInit__C"])
    return {
        "version": setup_version(root),
        "defines": defines,
        "also": {"plugin": "op_plugin", "torch": torch},
        "operators": operators,
        **bindings.of_plugin(surface, code, bound),
        "visible": surface.parser("_parse_visible_devices"),
    }


def own(root: Path, code: Code) -> dict[str, Any]:
    """torch_npu's own: sections supported and symint."""
    out: dict[str, Any] = {}
    for one in listed.read(root / SIGN):
        if one.section in ("supported", "symint"):
            name = f"{one.base}_out" if one.is_out else one.base
            found = listed.kernel(code, one, [name, f"{name}_symint"], r"csrc/aten/")
            out[f"aten::{one.name}"] = described(code, RULES, f"{SIGN}:{one.line}", found)
    return out


def of_plugin(second: Path, code: Code, torch: str, others: dict[str, Any]) -> dict[str, Any]:
    """op-plugin's: section official as far as it is for this torch, and what of torch's own is in symint."""
    out: dict[str, Any] = {}
    entries = listed.read(second / SECOND)
    custom = {one.name for one in entries if one.section == "custom"}
    for one in entries:
        full = f"aten::{one.name}"
        if one.section not in ("official", "symint") or (one.section == "symint" and one.name in custom):
            continue
        if not any(for_torch(one.keys.get(kind), torch) for kind in ("acl_op", "op_api", "sparse", "all_version")):
            continue
        place = f"op-plugin/{SECOND}:{one.line}"
        if one.keys.get("gen_opapi") and for_torch(one.keys.get("op_api"), torch):
            # the kernel is made from the list: it hands every argument to one function of the library, and asks nothing
            out[full] = {"at": place, "kernel": place, "demands": [], "host": []}
            continue
        name = f"{one.base}_out" if one.is_out else one.base
        found = listed.kernel(code, one, [name, f"{name}_symint"], r"op_plugin/ops/opapi/")
        record = described(code, RULES, place, found)
        out[full] = placed(record)
    return {name: record for name, record in out.items() if name not in others}


def for_torch(said: Any, torch: str) -> bool:
    """Whether `all_version`, `[v2.1, newest]` or a list of versions means this torch."""
    if said is None:
        return False
    if said == "all_version":
        return True
    versions = said if isinstance(said, list) else re.split(r",\s*", str(said))
    if len(versions) == 2 and versions[1] == "newest":
        return number(versions[0]) <= number(torch)
    return torch in versions


def number(version_: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", str(version_)))


def placed(record: dict[str, Any]) -> dict[str, Any]:
    """The record with op-plugin's paths under its name, as they are another repository's."""
    if isinstance(record, dict):
        return {
            key: f"op-plugin/{value}"
            if key in ("at", "kernel") and str(value).startswith("op_plugin/")
            else placed(value)
            for key, value in record.items()
        }
    return [placed(each) for each in record] if isinstance(record, list) else record  # type: ignore[unreachable]
