"""porter profile scan over plugins of our own, each a list and its kernels, laid out as three vendors' are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import porter

pytest.importorskip("tree_sitter")
pytest.importorskip("tree_sitter_cpp")

KERNEL = """\
Tensor& {name}(const Tensor& self, Tensor& out) {{
  TORCH_CHECK(self.dim() == 4, "four dimensions");
  return out;
}}
"""
CAMBRICON = {
    "codegen/mlu_functions.yaml": "aten:\n- func: twice.out\n- func: rows.out\n  derived_type: bang\n- func: gone\n",
    "torch_mlu/csrc/aten/operators/cnnl/twice.cpp": KERNEL.format(name="cnnl_twice_out"),
    "torch_mlu/csrc/aten/operators/bang/rows.cpp": KERNEL.format(name="bang_rows_out"),
    "torch_mlu/__init__.py": "import torch_mlu._MLUC\n",
    "scripts/release/build.property": '{"version": "1.2-torch2.4"}',
}
HUAWEI = {
    "torch_npu/csrc/aten/npu_native_functions.yaml": "supported:\n  - twice.out\n",
    "torch_npu/csrc/aten/Twice.cpp": KERNEL.format(name="twice_out"),
    "torch_npu/__init__.py": "import torch_npu._C\n",
    "setup.py": 'VERSION = "2.1.0"\n',
    "third_party/op-plugin/op_plugin/config/op_plugin_functions.yaml": (
        "official:\n"
        "  - func: rows.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)\n    op_api: [v2.1, newest]\n"
        "  - func: made(Tensor self) -> Tensor\n    op_api: all_version\n    gen_opapi: yes\n"
        "  - func: later(Tensor self) -> Tensor\n    op_api: [v2.5, newest]\n"
    ),
    "third_party/op-plugin/op_plugin/ops/opapi/Rows.cpp": KERNEL.format(name="rows_out"),
}
MOORE_THREADS = {
    "torch_musa/csrc/aten/ops/musa_functions.yaml": (
        "- func: twice.out\n  dispatch:\n    PrivateUse1, QuantizedPrivateUse1: Twice\n"
        "- func: rows\n"
        "- func: rows_\n"
        "- func: rows.out\n  dispatch:\n    PrivateUse1: RowsOut\n"
        "- func: packed\n  dispatch:\n    QuantizedPrivateUse1: PackedQuantized\n"
        "- func: packed.out\n  dispatch:\n    PrivateUse1: PackedOut\n"
        "- func: scale\n  dispatch:\n    QuantizedPrivateUse1: Scale\n"
        "- func: torchs\n- func: torchs.out\n"
        "- func: own\n- func: own.out\n  structured: false\n  dispatch:\n    PrivateUse1: Own\n"
    ),
    "torch_musa/csrc/aten/ops/Twice.cpp": KERNEL.format(name="Twice"),
    "torch_musa/csrc/aten/ops/Own.cpp": KERNEL.format(name="Own"),
    "torch_musa/csrc/aten/ops/musa/Rows.mu": (
        "TORCH_IMPL_FUNC(RowsOut)(const Tensor& self, Tensor& out) {\n"
        '  TORCH_CHECK(self.dim() == 4, "four dimensions");\n}\n'
    ),
    "torch_musa/csrc/distributed/Register.cpp": (
        "Backend* Group::maker(const Store& store, int rank) {\n  return nullptr;\n}\n"
        "void registerGroup(PyObject* module) {\n"
        '  register_backend("mccl", py::cpp_function(&Group::maker, py::arg("rank")));\n}\n'
    ),
    "torch_musa/csrc/core/Module.cpp": (
        'static void Give(PyObject* module) {\n  m.def("_properties", [](int device) { return device; });\n}\n'
        "static PyObject* Init(PyObject* self, PyObject* unused) {\n"
        '  auto m = THPObjectPtr(PyImport_ImportModule("torch_musa"));\n'
        '  set_module_attr("generators", nullptr);\n  Give(m);\n  return nullptr;\n}\n'
    ),
    "torch_musa/__init__.py": (
        "import torch_musa._MUSAC\n\ndef seed():\n    return torch_musa.generators, torch_musa._properties(0)\n\n"
        "def lost():\n    return torch_musa.nowhere\n"
    ),
    "version.txt": "2.7.1\n",
}


def scan(folder: Path, target: str, files: dict[str, str]) -> dict[str, Any]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return dict(porter.profile.scan(target, folder).facts)


def demand(file: str) -> list[dict[str, Any]]:
    four = {"argument": 0, "name": "self", "rule": "dimensions", "least": 4, "most": 4, "when": None}
    return [{**four, "at": f"{file}:2"}]


def test_cambricons(tmp_path: Path) -> None:
    found = scan(tmp_path, "mlu", CAMBRICON)
    assert (found["plugin"], found["card"], found["version"]) == ("torch_mlu", "mlu370", "1.2+torch2.4")
    operators = found["operators"]
    assert {name: one["at"].rpartition(":")[2] for name, one in operators.items()} == {
        "aten::twice.out": "2",
        "aten::rows.out": "3",
        "aten::gone": "5",
    }
    assert operators["aten::twice.out"]["demands"] == demand("torch_mlu/csrc/aten/operators/cnnl/twice.cpp")
    assert operators["aten::rows.out"]["demands"] == demand("torch_mlu/csrc/aten/operators/bang/rows.cpp")
    assert operators["aten::gone"]["demands"] == [] and not operators["aten::gone"].get("kernel")


def test_huaweis(tmp_path: Path) -> None:
    found = scan(tmp_path, "npu", HUAWEI)
    assert (found["plugin"], found["card"], found["version"]) == ("torch_npu", "ascend910b", "2.1.0")
    operators = found["operators"]
    assert operators.keys() == {"aten::twice.out", "aten::rows.out", "aten::made"}
    assert operators["aten::twice.out"]["demands"] == demand("torch_npu/csrc/aten/Twice.cpp")
    assert operators["aten::rows.out"]["demands"] == demand("op-plugin/op_plugin/ops/opapi/Rows.cpp")
    assert operators["aten::made"]["demands"] == []


def test_huaweis_without_op_plugin(tmp_path: Path) -> None:
    alone = {name: text for name, text in HUAWEI.items() if not name.startswith("third_party")}
    with pytest.raises(porter.PorterError, match="holds no op-plugin"):
        scan(tmp_path, "npu", alone)


def test_moore_threads(tmp_path: Path) -> None:
    """An entry of a structured group has the kernel of the group's out variant; one of other tensors alone has none."""
    found = scan(tmp_path, "musa", MOORE_THREADS)
    assert (found["plugin"], found["card"], found["version"]) == ("torch_musa", "s4000", "2.7.1")
    operators = found["operators"]
    assert "aten::scale" not in operators, "of quantized tensors alone"
    rows = "torch_musa/csrc/aten/ops/musa/Rows.mu:1"
    assert {name: one["kernel"] for name, one in operators.items()} == {
        "aten::twice.out": "torch_musa/csrc/aten/ops/Twice.cpp:1",
        **dict.fromkeys(("aten::rows", "aten::rows_", "aten::rows.out"), rows),
        **dict.fromkeys(("aten::packed", "aten::packed.out"), None),  # listed, with no such function in the source
        **dict.fromkeys(("aten::torchs", "aten::torchs.out"), None),  # torch's own
        "aten::own": None,
        "aten::own.out": "torch_musa/csrc/aten/ops/Own.cpp:1",
    }
    assert operators["aten::twice.out"]["demands"] == demand("torch_musa/csrc/aten/ops/Twice.cpp")
    assert operators["aten::rows"]["demands"] == demand("torch_musa/csrc/aten/ops/musa/Rows.mu")
    missing = {name: entry["missing"] for name, entry in found["python"].items()}
    assert missing == {"torch.musa.seed": [], "torch.musa.lost": ["torch_musa.nowhere"]}
    place = "torch_musa/csrc/distributed/Register.cpp"
    assert found["process_group"] == {"mccl": {"at": f"{place}:5", "maker": f"{place}:1", "options": "none"}}
