"""A small plugin of our own, laid out as Sophgo's: every way of registering and demanding that a scan has to read."""

from __future__ import annotations

from pathlib import Path

FILES = {
    "setup.py": "VERSION = '1.2.3'\n",
    "config_common.cmake": """\
if($ENV{CHIP_ARCH} STREQUAL "bm1684x")
  add_definitions(-DBACKEND_1684X)
elseif($ENV{CHIP_ARCH} STREQUAL "sg2260")
  add_definitions(-DBACKEND_SG2260)
  if("$ENV{SOC_MODE}" STREQUAL "ON")
    add_definitions(-DSOC_MODE)
  else()
    add_definitions(-DWITH_KERNELS)
  endif()
endif()
""",
    "torch_tpu/CMakeLists.txt": """\
if(BACKEND_SG2260)
  list(APPEND sources csrc/distributed/c10d/ProcessGroupSCCL.cpp)  # collectives
endif()
""",
    "torch_tpu/csrc/core/TPUTorchUtils.h": """\
#pragma once
#define TPU PrivateUse1
#ifdef BACKEND_1684X
#define CHECK_ON_CARD(t) \\
  do { \\
    TORCH_CHECK(t.is_contiguous() == true, #t, " has to be contiguous"); \\
  } while (0)
#else
#define CHECK_ON_CARD(t) (void)(t)
#endif
namespace tpu {
inline int KindOf(caffe2::TypeMeta dtype) {
  if (dtype == caffe2::TypeMeta::Make<float>()) {
    return 0;
  } else if (dtype == caffe2::TypeMeta::Make<at::Half>()) {
    return 1;
  } else {
    TORCH_CHECK(false, "no such kind");
  }
  return 2;
}
}
""",
    "torch_tpu/csrc/ops/native_ops/Checked.cpp": """\
#include "TPUTorchUtils.h"
/* m.impl("not.this", not_this);
#if 0
*/
namespace at {
Tensor &twice_out(const Tensor &self, Tensor &out) {
  CHECK_ON_CARD(self);
  auto copied = out.contiguous();
  TORCH_CHECK(copied.is_contiguous());
  launch(tpu::KindOf(self.dtype()));
  return out;
}
Tensor &half_out(const Tensor &self, Tensor &out) {
#if 0
  out = half(self.cpu()).to(out.device());
#else
  if (self.dim() == 0 && self.numel() == 1) {
    auto out_cpu = half(self.cpu());
    tpu::TPUCopyHostToDevice(out.data_ptr(), out_cpu.data_ptr(), out.nbytes());
    return out;
  }
  TORCH_CHECK(self.dim() <= 4, "too many dimensions")
  if (strange(self)) {
    launch(self.cpu());
  }
#endif
  return out;
}
Tensor &total_out(const Tensor &self, OptionalIntArrayRef dim, bool keepdim, Tensor &out) {
  std::vector<int> dims;
  for (auto each : dim.value_or(IntArrayRef{})) {
    dims.push_back(each);
  }
  for (size_t i = 0; i < dims.size() - 1; ++i) {
    TORCH_CHECK(dims[i] + 1 == dims[i + 1], "neighbours only");
  }
  return out;
}
Tensor &joined_out(const ITensorListRef &tensors, int64_t dim, Tensor &out) {
  for (auto tensor : tensors) {
    look(tensor.cpu(), out.cpu());
  }
  out = launch(tensors);
  return out;
}
Tensor added(const Tensor &self, const c10::optional<Tensor> &other, bool mode) {
  if (other.has_value()) {
    CHECK_ON_CARD(other.value());
  }
  TORCH_CHECK(!mode, "no such mode");
  auto narrow = self.scalar_type() == at::kLong ? self.to(at::kInt) : self;
  return launch(narrow);
}
TORCH_LIBRARY_IMPL(aten, TPU, m) {
  m.impl("twice.out", twice_out);
  // m.impl("thrice.out", thrice_out);
  m.impl("half.out", TORCH_FN(half_out));
#ifdef BACKEND_SG2260
  m.impl("joined.out", joined_out);
#endif
  m.impl("elsewhere", defined_elsewhere);
}
#define REGISTER(OP) \\
  TORCH_LIBRARY_IMPL(aten, TPU, m) { m.impl(#OP "_more.out", OP##_out); }
REGISTER(total)
TORCH_LIBRARY_IMPL(mine, PrivateUse1, m) { m.impl("added", added); }
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) { m.impl("cast", added); }
}
""",
    "torch_tpu/csrc/InitTpuBindings.cpp": """\
PyObject* init_module() { return nullptr; }
PyMODINIT_FUNC PyInit__C(void) {
  add(methods_of_module());
#ifdef BACKEND_SG2260
  bind_more(module);
#endif
  return init_module();
}
""",
    "torch_tpu/csrc/tpu/Module.cpp": """\
static struct PyMethodDef methods[] = {
    {"_count", (PyCFunction)count, METH_NOARGS, nullptr},
    {nullptr}
};
static struct PyMethodDef never[] = {{"_never", (PyCFunction)count, METH_NOARGS, nullptr}};
PyMethodDef* methods_of_module() { return methods; }
void bind_more(PyObject* module) {
  m.def("_wait", wait);
  const char* limit = getenv("MY_LIMIT");
}
""",
    "torch_tpu/csrc/distributed/c10d/ProcessGroupSCCL.cpp": """\
Group ProcessGroupSCCL::make(const c10d::DistributedBackendOptions &options, Options &more) { return Group(); }
__attribute__((constructor)) void ready() { register_backend("SCCL", py::cpp_function(ProcessGroupSCCL::make), true); }
""",
    "torch_tpu/__init__.py": "import torch_tpu._C\nimport torch_tpu.tpu\n",
    "torch_tpu/tpu/__init__.py": """\
import os

from .devices import device_count, synchronize
from .memory import *

if os.environ.get("CHIP_ARCH") == "sg2260":
    from .devices import Stream
""",
    "torch_tpu/tpu/devices.py": """\
import torch_tpu


def device_count():
    return torch_tpu._C._count()


def synchronize(device: "torch_tpu._C._unasked" = None):
    with Guard(device):
        return torch_tpu._C._wait()


def current():
    return torch_tpu.tpu.Stream()


class Guard:
    def __enter__(self):
        torch_tpu._C._never()


class Stream:
    pass
""",
    "torch_tpu/tpu/memory.py": """\
import os

from .devices import current

__all__ = ["allocated", "of_stream"]
LIMIT = os.getenv("MY_MEMORY", "")


def allocated():
    return hidden()


def hidden():
    return 0


def of_stream():
    return current()
""",
}


def make(folder: Path) -> Path:
    """The plugin's files in a folder."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def line(name: str, text: str) -> str:
    """`FILE:LINE` of the one line of a file that holds the text."""
    found = [number for number, each in enumerate(FILES[name].splitlines(), 1) if text in each]
    assert len(found) == 1, (name, text, found)
    return f"{name}:{found[0]}"
