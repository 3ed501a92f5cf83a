"""How to read sophgo/torch-tpu: which files and defines make a build, what its own functions mean.

A build puts all sources into one file (scripts/concat_all_torch_plugin_sources.sh), under the defines that
config_common.cmake gives for CHIP_ARCH; the extension module torch_tpu._C is csrc/InitTpuBindings.cpp (setup.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from porter.scan import bindings
from porter.scan.cpp import SEEDS, STATEMENTS, read
from porter.scan.facts import operator
from porter.scan.kernels import Rules
from porter.scan.preprocessor import Preprocessor
from porter.scan.surface import Settings, Surface, setup_version

TARGET = "tpu"
PLUGIN = "torch_tpu"
CARDS = {"bm1684x": "BACKEND_1684X", "sg2260": "BACKEND_SG2260"}
SIGN = "torch_tpu/csrc/ops/native_ops"  # a folder that only this plugin has

SOURCES = (
    "core/*.cpp", "core/Interface/*.cpp", "ops/native_ops/*.cpp", "ops/my_ops/*.cpp", "ops/autocast_ops/*.cpp",
    "aten/*.cpp", "aten/*/*.cpp", "tpu/*.cpp", "utils/*.cpp", "InitTpuBindings.cpp",
)  # fmt: skip
COLLECTIVES = ("distributed/c10d/ProcessGroupSCCL.cpp", "distributed/c10d/ProcessGroupSCCLHost.cpp",
               "distributed/c10d/SCCLHostDeviceFactory.cpp")  # fmt: skip
RULES = Rules(
    device="tpu",
    # core/TPUDeviceManager.h: the target, then the source
    copies={"TPUCopyHostToDevice": (0, 1, "up"), "TPUCopyDeviceToHost": (0, 1, "down")},
    # aten/TPUFormatCastHelper.cpp: true for every tensor that no tpu_format_cast made
    passed={
        "IsBaseFormatType": True,
        "TPUCompareResult": None,
        "GetTensorInfo": None,
        "SaveTensorToBinaryFile": None,
        "LOG": None,
    },
    prefixes=("SGDNN_", "TPUDNN_"),
    outside=r"csrc/core/(?!TPUTorchUtils)|csrc/utils/|csrc/tpu/",
)


URL = "https://github.com/sophgo/torch-tpu"


def scan(root: Path, card: str, defines: list[str], also: Path | None = None) -> dict[str, Any]:
    """The facts of a build for card; defines are added to those of the build, also is not used.

    Returns the parts of the record that come from the sources: version, defines, operators, python, process_group,
    environment.
    """
    found = [*build_defines(root, card), *defines]
    source = root / "torch_tpu" / "csrc"
    folders = [root, root / "torch_tpu", source, source / "core", source / "distributed/c10d", root / "common/include",
               root / "sgdnn/include"]  # fmt: skip
    reader = Preprocessor(root, folders, found, SEEDS, statements=STATEMENTS)
    for pattern in SOURCES:
        for path in sorted(source.glob(pattern)):
            reader.read(path)
    for path in (source / each for each in collectives(root, card)):
        if path.is_file():
            reader.read(path)
    code = read(reader.units)
    operators: dict[str, Any] = {}
    for one in code.registrations:
        if one.key.startswith("Autocast") or one.namespace == "_":
            continue
        name = f"{one.namespace}::{one.name}"
        if name not in operators or not one.key.startswith("Autograd"):
            operators[name] = operator(code, RULES, one)
    surface = Surface(root, settings(card))
    bound = {
        **bindings.bound(code, ["initModule", "PyInit__C"]),
        **bindings.keys(code, "TPUGetMemStats", "memory_stats"),
    }
    return {
        "version": setup_version(root),
        "defines": found,
        "operators": operators,
        **bindings.of_plugin(surface, code, bound),
    }


def collectives(root: Path, card: str) -> list[str]:
    """The collectives' sources that the card's build compiles, by torch_tpu/CMakeLists.txt."""
    path = root / "torch_tpu" / "CMakeLists.txt"
    said = path.read_text("utf-8", "replace") if path.is_file() else ""
    given = " ".join(inner for _, inner in cmake_commands(said, card))
    return [each for each in COLLECTIVES if each in given]


def settings(card: str) -> Settings:
    known = {"CHIP_ARCH": card, "arch": card, "BACKEND": CARDS[card].partition("_")[2]}
    return Settings(PLUGIN, "torch_tpu.tpu", "torch_tpu._C", "torch.tpu", known)


def build_defines(root: Path, card: str) -> list[str]:
    """What config_common.cmake and torch_tpu/config.cmake define for the card with every option at its default."""
    out: list[str] = []
    for name in ("config_common.cmake", "torch_tpu/config.cmake"):
        path = root / name
        if path.is_file():
            out += cmake_defines(path.read_text("utf-8", "replace"), card)
    return list(dict.fromkeys(out or [CARDS[card]]))


def cmake_defines(text: str, card: str) -> list[str]:
    """The -D of add_definitions in the branches that hold."""
    found = [inner for name, inner in cmake_commands(text, card) if name == "add_definitions"]
    return [each for inner in found for each in re.findall(r"-D(\w+(?:=\S+)?)", inner)]


def cmake_commands(text: str, card: str) -> Iterator[tuple[str, str]]:
    """The commands of a CMake file that run: tests of the card are decided, all others are off."""
    stack: list[tuple[bool, bool]] = []
    for name, inner in re.findall(r"(\w+)\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)", re.sub(r"#[^\n]*", "", text)):
        name = name.lower()
        if name == "if":
            holds = cmake_holds(inner, card)
            stack.append((holds, holds))
        elif name == "elseif" and stack:
            holds, done = cmake_holds(inner, card), stack[-1][1]
            stack[-1] = (holds and not done, done or holds)
        elif name == "else" and stack:
            stack[-1] = (not stack[-1][1], True)
        elif name == "endif" and stack:
            stack.pop()
        elif all(live for live, _ in stack):
            yield name, inner


def cmake_holds(inner: str, card: str) -> bool:
    match = re.search(r"CHIP_ARCH\}\"?\s+STREQUAL\s+\"?(\w+)", inner)
    if match is not None:
        return match.group(1) == card
    words = inner.split()
    return CARDS[card] in words and "NOT" not in words and "AND" not in words
