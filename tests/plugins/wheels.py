"""The vendors' wheels as the package index has them: downloaded once a machine, unpacked, and installed nowhere.

They are kept in ``wheels`` in porter's cache, or where PORTER_TEST_WHEELS says: torch-npu 2.13.0 is 42 MB to download
and 118 MB unpacked, torch-tpu 0.2.0 is 92 MB and 241 MB.  Nothing of them is copied into this project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from porter.sources.cache import Cache

VARIABLE = "PORTER_TEST_WHEELS"
# now, since a test may have another home later
_FOLDER = Path(os.environ.get(VARIABLE) or Cache().folder / "wheels").absolute()
RELEASE = tuple(map(int, torch.__version__.split(".")[:2]))
# torch -> the torch-npu that is built for it; 2.1.0.post17 is the state that the emulated Ascend910B is of
_TORCH_NPU = {(2, 1): "2.1.0.post17", (2, 13): "2.13.0"}
AUTOLOAD = RELEASE >= (2, 5)  # torch imports plugins by itself
TARGETS = ("npu", "tpu") if RELEASE >= (2, 11) else ("npu",)  # Google's torch_tpu is for torch 2.11 and later


def torch_npu() -> Path:
    """A folder with the torch_npu for this torch."""
    if RELEASE not in _TORCH_NPU:
        pytest.skip(f"no torch-npu is named here for torch {torch.__version__}")
    return _unpacked("torch_npu", _TORCH_NPU[RELEASE], "")


def googles_torch_tpu() -> Path:
    """A folder with Google's torch_tpu, which needs Python 3.11 and torch 2.11."""
    return _unpacked("torch_tpu", "0.2.0", f"_{RELEASE[0]}_{RELEASE[1]}_")


def _unpacked(name: str, version: str, only: str) -> Path:
    """The wheel's files; of libraries that are there once a torch, those alone that have ``only`` in their name."""
    made = _FOLDER / f"{name}-{version}-cp{sys.version_info[0]}{sys.version_info[1]}"
    made.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{made}.lock"):
        if made.is_dir():
            return made
        aside = made.with_name(f"{made.name}.aside")  # what a killed session left goes
        shutil.rmtree(aside, ignore_errors=True)
        with zipfile.ZipFile(_download(f"{name.replace('_', '-')}=={version}", aside / "wheel")) as wheel:
            wheel.extractall(aside / "files", [each for each in wheel.namelist() if _wanted(each, only)])
        (aside / "files").rename(made)
        shutil.rmtree(aside)
    return made


def _wanted(file: str, only: str) -> bool:
    return not only or only in file or not any(f"_{RELEASE[0]}_{minor}_" in file for minor in range(30))


def _download(requirement: str, folder: Path) -> Path:
    words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode and not os.environ.get(VARIABLE):
        pytest.skip(f"pip cannot download {requirement}: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def interpreter(folder: Path, *seen: Path) -> Path:
    """A Python in a virtual environment that has all that this one has, and what lies in these folders before it."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    packages = [place for place in sys.path if place.endswith("-packages")]
    (site / "seen.pth").write_text("".join(f"{place}\n" for place in [*map(str, seen), *packages]))
    return folder / "bin" / "python"
