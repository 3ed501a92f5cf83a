"""What is shipped: a wheel and an sdist that work outside a checkout and leave a vendor's environment alone."""

from __future__ import annotations

import email.message
import email.parser
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from distributions import closure, only
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from porter import __version__
from porter.lockfile import Lock
from porter.sources.obtain import obtain
from porter.stack import available

ROOT = Path(__file__).resolve().parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def run(*command: object, cwd: Path, **env: str) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shipped(folder: Path) -> dict[str, bytes]:
    """The stacks and the lock in a folder: what an installed porter needs of the checkout."""
    folders = folder / "patches", folder / "lines"
    files = [p for each in folders for p in each.rglob("*") if p.is_file()] + [folder / "upstream.lock"]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of the checkout and a wheel built from that sdist alone.

    hatchling goes into a folder of its own: it needs a newer `packaging` than the mlu environment pins.
    """
    out = tmp_path_factory.mktemp("built")
    run(*PIP, "install", "--target", out / "hatchling", "hatchling>=1.27", cwd=out)
    hatchling = [sys.executable, "-m", "hatchling", "build", "-d", out / "dist"]
    run(*hatchling, "-t", "sdist", cwd=ROOT, PYTHONPATH=str(out / "hatchling"))
    (sdist,) = (out / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(out, filter="data")
        else:
            archive.extractall(out)
    source = out / sdist.name[: -len(".tar.gz")]
    run(*hatchling, "-t", "wheel", cwd=source, PYTHONPATH=str(out / "hatchling"))
    return out / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def contents(wheel: Path) -> dict[str, bytes]:
    """Name and bytes of everything in a wheel, its list of digests included."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_package_the_stacks_and_the_lock(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    assert shipped(tmp_path / "porter" / "_data") == shipped(ROOT)
    assert wheel.stat().st_size < 2_000_000  # every line has all its patches
    modules = {p.relative_to(ROOT).as_posix(): p.read_bytes() for p in (ROOT / "porter").rglob("*.py")}
    packed = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in (tmp_path / "porter").rglob("*.py")}
    assert packed == modules
    tops = {p.name for p in tmp_path.iterdir()}
    assert {re.sub(r"-[\d.]+\.", ".", name) for name in tops} == {"porter", "yolov5_porter.dist-info"}


def test_the_sdist_holds_what_the_tests_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "LICENSE",
        "README.md",
        "README.zh-CN.md",
        "mkdocs.yml",
        "docs/index.md",
        "docs/tutorial.ipynb",
        "Makefile",
        "noxfile.py",
        "upstream.lock",
        "tests/test_packaging.py",
    }
    assert wanted <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("yolov5/", ".venv"))]


def test_metadata(metadata: email.message.Message) -> None:
    assert metadata["Name"] == "yolov5-porter"
    assert metadata["Requires-Python"] == ">=3.9"
    assert metadata["License-Expression"] == "GPL-3.0-only"
    assert set(metadata.get_all("Provides-Extra", [])) == {"train", "docs", "scan", "dev"}


def requirements(metadata: email.message.Message) -> list[Requirement]:
    return [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]


def test_no_version_of_torch_is_too_new(metadata: email.message.Message) -> None:
    """Porter itself needs none; whichever is there will do for the extras that bring one."""
    wanted = [r for r in requirements(metadata) if r.name == "torch"]
    assert [str(torch.specifier) for torch in wanted] == [">=1.9", ">=1.9"]
    assert [str(torch.marker) for torch in wanted] == ['extra == "dev"', 'extra == "train"']
    assert all(torch.specifier.contains(version) for torch in wanted for version in ("1.9.1", "99.0"))


def test_what_a_tree_needs_goes_with_numpy_1_and_2(metadata: email.message.Message) -> None:
    """Newer ones of these two ask for NumPy 2; what they ask for was read off the index."""
    wanted = {r.name: r.specifier for r in requirements(metadata)}
    opencv, pandas, numpy = (wanted[name] for name in ("opencv-python-headless", "pandas", "numpy"))
    assert opencv.contains("4.11.0.86") and not opencv.contains("4.12.0.88")
    assert pandas.contains("2.3.3") and not pandas.contains("3.0.0")
    assert numpy.contains("1.26.4") and numpy.contains("2.4.0")


@pytest.mark.parametrize("target", available(ROOT / "patches"))
def test_installing_porter_replaces_nothing_that_a_target_pins(metadata: email.message.Message, target: str) -> None:
    lines = (ROOT / "patches" / target / "requirements.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    assert {"torch", "torchvision", "numpy"} <= set(versions)
    compared = set()
    for wanted in requirements(metadata):
        if wanted.marker is None or wanted.marker.evaluate({"extra": "train"}):
            pinned = versions.get(canonicalize_name(wanted.name))
            if pinned is not None:
                assert wanted.specifier.contains(pinned), f"{wanted} would replace {wanted.name} {pinned}"
                compared.add(wanted.name)
    assert {"torch", "requests", "pyyaml", "packaging", "numpy"} <= compared


def test_one_environment_proves_tpu_and_npu() -> None:
    """noxfile.py has none for npu."""
    files = ((ROOT / "patches" / name / "requirements.txt").read_text().splitlines() for name in ("tpu", "npu"))
    one, other = ([line for line in lines if not line.startswith("#")] for lines in files)
    assert one == other


def test_a_wheel_of_the_checkout_is_the_same(built: Path, wheel: Path, tmp_path: Path) -> None:
    hatchling = [sys.executable, "-m", "hatchling", "build", "-d", tmp_path]
    run(*hatchling, "-t", "wheel", cwd=ROOT, PYTHONPATH=str(built.parent / "hatchling"))
    (other,) = tmp_path.glob("*.whl")
    assert contents(other) == contents(wheel)
    assert "porter/py.typed" in contents(wheel)


# -- installed ------------------------------------------------------------------------------------------


class Installed:
    """A virtual environment with the wheel in it.

    Args:
        behind: folders of packages that it has beside its own, behind them.
    """

    def __init__(self, folder: Path, *behind: Path) -> None:
        self.home = folder / "home"
        self.python = folder / "venv" / "bin" / "python"
        self.home.mkdir()
        run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.site = Path(run(self.python, "-c", code, cwd=folder).strip())
        (self.site / "behind.pth").write_text("".join(f"{path}\n" for path in behind))

    def pip(self, *args: object) -> str:
        return run(*PIP, "--python", self.python, *args, cwd=self.home)

    def porter(self, *args: object, code: int = 0, **env: str) -> str:
        """Both outputs of a command, run in an empty home by somebody with no setting."""
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        words = [str(self.python.with_name("porter")), *map(str, args)]
        environment = {**kept, "HOME": str(self.home), "PYTHONPATH": "", **env}
        done = subprocess.run(words, cwd=self.home, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"porter {args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment that was empty, outside any checkout, with the wheel and what it needs from the index."""
    made = Installed(tmp_path_factory.mktemp("installed"))
    made.pip("install", wheel)
    obtain(Lock.load(ROOT / "upstream.lock"), cache=made.home / "cache")  # with the user's way to reach a source
    return made


def test_an_installed_porter_works_outside_a_checkout(installed: Installed) -> None:
    home, cache = installed.home, str(installed.home / "cache")
    code = "import porter; print(porter.__file__); print(len(porter.targets()))"
    file, count = run(installed.python, "-c", code, cwd=home, PYTHONPATH="").split()
    assert installed.site in Path(file).parents and count == str(len(available(ROOT / "patches")))
    assert run(installed.python, "-m", "porter", "--version", cwd=home, PYTHONPATH="") == f"porter {__version__}\n"
    for target in available(ROOT / "patches"):
        assert target in installed.porter("targets")
    for words in (
        ["apply", "--target", "mlu", "tree"],
        ["status", "tree"],
        ["audit", "tree"],
        ["train", "--target", "mlu", "--dry-run", "tree"],
        ["export", "--check", "tree"],
        ["revert", "tree"],
        ["show", "common/1"],
        ["lock", "--check"],
        ["upstream", "show"],
        ["upstream", "verify"],
        ["verify", "--target", "tpu", "--level", "static"],
        ["data", "make", "--images", "2", "data"],
        ["data", "check", "--python", sys.executable, "data/data.yaml"],  # which has torch
        ["doctor", "--python", sys.executable],
        ["completion", "zsh"],
    ):
        installed.porter(*words, PORTER_CACHE=cache)
    assert (home / "data" / "data.yaml").is_file()


def test_an_installed_porter_refuses_what_changes_a_checkout(installed: Installed) -> None:
    before = {path: path.read_bytes() for path in installed.site.glob("porter/_data/**/*") if path.is_file()}
    cache = str(installed.home / "cache")
    installed.porter("apply", "--target", "mlu", "changed", PORTER_CACHE=cache)
    for words in (["lock"], ["export", "changed"], ["bump", "v6.1"], ["bump", "--continue"], ["new-target", "xyz"]):
        said = installed.porter(*words, code=2, PORTER_CACHE=cache)
        assert "came with the installed porter" in said and "name it: --project DIR" in said, said
    assert {path: path.read_bytes() for path in before} == before


# -- beside a vendor's packages -----------------------------------------------------------------------------


def vendors() -> list[str]:
    """What a vendor's machine has: the requirements that pin this environment's torch, else torch and NumPy."""
    here = importlib.metadata.version("torch").partition("+")[0]
    for target in available(ROOT / "patches"):
        lines = (ROOT / "patches" / target / "requirements.txt").read_text().splitlines()
        pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
        if f"torch=={here}" in map(str, pins):
            return [pin.name for pin in pins]
    return ["torch", "numpy"]


def test_pip_leaves_a_vendors_environment_as_it_was(wheel: Path, tmp_path: Path) -> None:
    """The wheel and all that it needs, from the index, beside this environment's torch, NumPy and what is pinned.

    In nox's sessions that is Cambricon's environment (Python 3.9, torch 1.9.1) and Sophgo's (3.10, 2.1.0).  What was
    there lies outside the environment that pip writes to: pip would lay another version before it.
    """
    theirs = closure(vendors())
    assert {"torch", "numpy"} <= set(theirs) and "unidiff" not in theirs
    seed = Installed(tmp_path, only(theirs, tmp_path / "vendor"))
    versions = "import torch, numpy; print(torch.__version__, torch.__file__, numpy.__version__, numpy.__file__)"
    before = run(seed.python, "-c", versions, cwd=seed.home, PYTHONPATH="")
    assert str(tmp_path / "vendor") in before
    seed.pip("install", wheel)
    came = {canonicalize_name(d.metadata["Name"]) for d in importlib.metadata.distributions(path=[str(seed.site)])}
    assert {"yolov5-porter", "unidiff", "gitpython"} <= came
    assert not came & set(theirs), f"pip replaced {came & set(theirs)}"
    assert run(seed.python, "-c", versions, cwd=seed.home, PYTHONPATH="") == before
    assert __version__ in seed.porter("--version")
    assert seed.porter("targets") and seed.porter("data", "make", "--images", "2", "data")
