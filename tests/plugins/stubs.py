"""Libraries of CANN that hold nothing: enough for the dynamic linker to load torch_npu, and for its Python to run.

Which are needed, and which symbols, is read from torch_npu's own libraries.  A function here returns 0, which to CANN's
callers is success, and the count of devices is 0.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import torch

# CANN's functions begin so; what else is missing is the system's
_CANN = re.compile(r"(?:acl|rt|ge|Hccl|hccl|Msprof)[A-Z\w]*$")
_LIBRARIES = re.compile(r"lib(?:hccl|ascend|acl|ge_|graph|atb|opapi|fmk)\w*\.so$")
_COUNT = "aclrtGetDeviceCount"
_OPENED = ("libopapi.so",)  # by name while 2.1 is imported: torch_npu/utils/_step.py asks for a version


def build(plugin: Path, folder: Path) -> Path:
    """Compile them for the torch_npu in ``plugin``; the folder is for LD_LIBRARY_PATH."""
    libraries = [*plugin.glob("torch_npu/_C*.so"), *plugin.glob("torch_npu/lib/*.so")]
    torchs = [*(Path(torch.__file__).parent / "lib").glob("*.so*")]
    missing = _symbols("--undefined-only", libraries) - _symbols("--defined-only", [*libraries, *torchs])
    functions = sorted(name for name in missing if _CANN.match(name) and name != _COUNT)
    assert functions, f"{plugin} lacks nothing of CANN's: is it torch_npu?"
    needed = {name for each in libraries for name in _needed(each) if _LIBRARIES.match(name)}
    folder.mkdir()
    code = [f"int {_COUNT}(unsigned int *count) {{ *count = 0; return 0; }}"]
    _compile(
        "\n".join([*code, *(f"int {name}(void) {{ return 0; }}" for name in functions)]), folder / "libascendcl.so"
    )
    for name in {*needed, *_OPENED} - {"libascendcl.so", *(each.name for each in libraries)}:
        _compile("", folder / name)
    return folder


def _symbols(which: str, files: Iterable[Path]) -> set[str]:
    done = subprocess.run(["nm", "-D", which, *files], capture_output=True, text=True, check=True)
    words = (line.split() for line in done.stdout.splitlines() if line and not line.endswith(":"))
    return {each[-1].partition("@")[0] for each in words}


def _needed(library: Path) -> list[str]:
    done = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True)
    return re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout)


def _compile(code: str, library: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or "c++"
    command = [compiler, "-x", "c", "-", "-shared", "-fPIC", "-w", "-fno-builtin", "-o", str(library)]
    subprocess.run(command, input=code, text=True, check=True)
