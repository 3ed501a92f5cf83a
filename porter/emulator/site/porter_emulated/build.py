"""Compile the device for the torch and the compiler at hand, once, into a cache.

:func:`main` does it ahead of time and prints the folder.  torch.utils.cpp_extension is not used: in torch 2.1 it
cannot be imported beside a current setuptools, and it knows of no lock that survives a killed build.

Environment: ``CXX`` the compiler; ``PORTER_EMULATED_CACHE`` the cache; ``PORTER_EMULATED_BUILD`` a folder that holds
the finished build, then nothing is compiled.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.machinery
import importlib.util
import os
import runpy
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

NATIVE = Path(__file__).with_name("native")
NAME = "porter_emulated._device"
LIBRARY = "_device.so"
SUPERVISOR = Path(__file__).resolve().parents[3] / "supervisor.py"
OLDEST = (2, 1)
LOG_LINES = 15
BEGUN = "building"  # the line of main() that says so; porter.emulator.building reads it


class BuildFailed(ImportError):
    """There is no emulated device here.  Its text is one line; ``why`` holds the end of the compiler's log."""

    def __init__(self, what: str, why: str = "") -> None:
        super().__init__(what)
        self.why = why


def installed() -> tuple[Path, str]:
    """The folder of torch, and its version, without importing it, which takes seconds.

    Raises:
        BuildFailed: it is too old, or there is none.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise BuildFailed(f"no emulated device: {sys.executable} has no torch")
    root = Path(spec.origin).parent
    version = str(runpy.run_path(str(root / "version.py"))["__version__"])
    if _release(version) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise BuildFailed(f"no emulated device: torch {version} is too old, it takes {wanted} or later")
    return root, version


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def compiler() -> tuple[str, str]:
    """The C++ compiler's path and how it names its version.

    Raises:
        BuildFailed: there is none, or it does not run.
    """
    wanted = os.environ.get("CXX")
    found = [path for path in map(shutil.which, [wanted] if wanted else ["c++", "g++", "clang++"]) if path]
    if not found:
        raise BuildFailed(f"no emulated device: no C++ compiler ({wanted or 'c++, g++, clang++'}); CXX names one")
    try:
        done = subprocess.run([found[0], "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildFailed(f"no emulated device: the C++ compiler {found[0]} does not run") from error
    return found[0], done.stdout.decode(errors="replace").splitlines()[0]


def cache_folder() -> Path:
    named = os.environ.get("PORTER_EMULATED_CACHE")
    if named:
        return Path(named)
    shared = os.environ.get("PORTER_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(shared or os.path.join(home, "porter")) / "emulator"


def command(program: str, version: str, output: Path) -> list[str]:
    """The compiler's command line, without what differs from build to build."""
    import torch

    root = Path(torch.__file__).parent
    include = [root / "include", root / "include/torch/csrc/api/include", Path(sysconfig.get_paths()["include"])]
    standard = "c++20" if _release(version) >= (2, 9) else "c++17"  # as torch's own headers are
    return [
        *(program, f"-std={standard}", "-O1", "-fPIC", "-shared", "-w"),
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}",
        "-DTORCH_EXTENSION_NAME=_device",
        *_pybind_flags(),
        *(["-DPORTER_DISTRIBUTED"] if torch.distributed.is_available() else []),
        *(part for folder in include for part in ("-isystem", str(folder))),
        *(str(NATIVE / "device.cpp"), "-o", str(output), f"-L{root / 'lib'}"),
        *("-lc10", "-ltorch_cpu", "-ltorch", "-ltorch_python"),
    ]


def _pybind_flags() -> list[str]:
    # Without them pybind11 takes the extension's classes and torch's for different ones; newer versions need none.
    import torch

    names = ((name, getattr(torch._C, f"_PYBIND11_{name}", None)) for name in ("COMPILER_TYPE", "STDLIB", "BUILD_ABI"))
    return [f'-DPYBIND11_{name}="{value}"' for name, value in names if value]


def name_of(root: Path, version: str, program: str, compiler_version: str) -> str:
    """Names a build by all that it is made from; which build of torch it is, its ``version.py`` and size say."""
    digest = hashlib.sha256()
    for path in (*sorted(NATIVE.iterdir()), Path(__file__), root / "version.py"):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    size = (root / "lib/libtorch_python.so").stat().st_size
    made_from = [program, compiler_version, sysconfig.get_config_var("SOABI") or sys.version, str(size)]
    digest.update("\n".join(made_from).encode())
    return f"torch-{version.split('+')[0]}-{digest.hexdigest()[:16]}"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One build at a time in this cache; whoever waits finds it done.  The kernel frees a dead process's lock."""
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob("staging-*"):  # of a build that was killed
            shutil.rmtree(left, ignore_errors=True)
        yield


def build(begun: Callable[[], None] = lambda: None) -> Path:
    """The folder of the finished build, made if it is not there.

    Args:
        begun: called where it is not, before it is made or another's is waited for.

    Raises:
        BuildFailed: torch is too old, there is no compiler, it fails, or the cache cannot be written to.
    """
    root, version = installed()
    program, compiler_version = compiler()
    cache = cache_folder()
    made = cache / name_of(root, version, program, compiler_version)
    try:
        if not (made / LIBRARY).is_file():
            begun()
            cache.mkdir(parents=True, exist_ok=True)
            with locked(cache):
                if not (made / LIBRARY).is_file():
                    _compile(program, version, cache, made)
    except OSError as error:
        raise BuildFailed(f"no emulated device: cannot write to {cache}: {error.strerror or error}") from error
    return made


def _compile(program: str, version: str, cache: Path, made: Path) -> None:
    staging = Path(tempfile.mkdtemp(prefix="staging-", dir=cache))
    try:
        line = command(program, version, staging / LIBRARY)
        status, log = _run(line, staging)
        if status:
            end = "\n".join(log.splitlines()[-LOG_LINES:])
            if "Python.h" in end:
                end += "\nPython's headers are missing: apt-get install python3-dev, or yum install python3-devel."
            raise BuildFailed(f"no emulated device: {program} failed with status {status}", end)
        staging.rename(made)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _run(line: list[str], temporary: Path) -> tuple[int, str]:
    """Run the compiler and the programs that it starts, none of which outlives this one: its status and its log.

    Args:
        temporary: where they put their temporary files.
    """
    words = [sys.executable, "-I", "-S", str(SUPERVISOR), "--parent", str(os.getpid()), *line]
    env = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env) as child:
        try:
            log = child.communicate()[0]
        except BaseException:
            child.terminate()  # it kills them, and is waited for
            raise
    return child.returncode, log.decode(errors="replace")


def load() -> ModuleType:
    """Import the device, compiled first if need be.

    Raises:
        BuildFailed: it cannot be compiled, or what was compiled does not load.
    """
    if NAME in sys.modules:
        return sys.modules[NAME]
    given = os.environ.get("PORTER_EMULATED_BUILD")
    installed()
    import torch  # noqa: F401  whose libraries the device is linked to: a program may import the plugin first

    path = Path(given or build()) / LIBRARY
    loader = importlib.machinery.ExtensionFileLoader(NAME, str(path))
    spec = importlib.util.spec_from_file_location(NAME, path, loader=loader)
    assert spec is not None
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except (ImportError, OSError) as error:
        raise BuildFailed(f"no emulated device: {path} does not load: {error}") from error
    sys.modules[NAME] = module
    return module


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # nothing half-made is left
    try:
        print(build(lambda: print(BEGUN, flush=True)))
    except BuildFailed as error:
        print(error, *([error.why] if error.why else []), sep="\n", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
