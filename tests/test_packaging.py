"""What is shipped: a wheel and an sdist that work outside a checkout and leave a vendor's environment alone."""

from __future__ import annotations

import email.message
import email.parser
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from porter import __version__
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
    files = [p for p in (folder / "patches").rglob("*") if p.is_file()] + [folder / "upstream.lock"]
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


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_package_the_stacks_and_the_lock(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    assert shipped(tmp_path / "porter" / "_data") == shipped(ROOT)
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
    assert set(metadata.get_all("Provides-Extra", [])) == {"train", "docs", "dev"}


def requirements(metadata: email.message.Message) -> list[Requirement]:
    return [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]


def test_no_version_of_torch_is_too_new(metadata: email.message.Message) -> None:
    (torch,) = (r for r in requirements(metadata) if r.name == "torch")
    assert str(torch.specifier) == ">=1.9"
    assert torch.specifier.contains("1.9.1")
    assert torch.specifier.contains("99.0")


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


def test_an_installed_porter_works_outside_a_checkout(wheel: Path, tmp_path: Path) -> None:
    venv, home = tmp_path / "venv", tmp_path / "home"
    home.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=home)
    run(*PIP, "--python", venv / "bin" / "python", "install", "--no-deps", wheel, cwd=home)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(venv / "bin" / "python", "-c", code, cwd=home).strip())
    # its dependencies are this environment's, behind the new one's own packages
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def porter(*args: str) -> str:
        return run(venv / "bin" / "porter", *args, cwd=home, HOME=str(home), PYTHONPATH="")

    found = run(venv / "bin" / "python", "-c", "import porter; print(porter.__file__)", cwd=home, PYTHONPATH="")
    assert site in Path(found.strip()).parents
    assert __version__ in porter("--version")
    for target in available(ROOT / "patches"):
        assert target in porter("targets")
    porter("data", "make", "--images", "2", "data")
    assert (home / "data" / "data.yaml").is_file()
