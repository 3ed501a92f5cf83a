from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import porter
from porter.errors import WrongUsage
from porter.project import Project

PACKAGE = Path(porter.__file__).parent


def make_project(folder: Path) -> Path:
    (folder / "patches").mkdir(parents=True)
    (folder / "upstream.lock").write_text("pin: {}\n")
    return folder


def ask(code_root: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What a porter whose code is in ``code_root`` finds in ``cwd``."""
    code = "from porter.project import Project; p = Project.find(); print(p.root, p.packaged)"
    env = {**os.environ, "PYTHONPATH": str(code_root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def copy_package(to: Path) -> Path:
    shutil.copytree(PACKAGE, to / "porter", ignore=shutil.ignore_patterns("_data", "__pycache__"))
    return to


def test_the_nearest_folder_upwards_counts(tmp_path: Path) -> None:
    outer = make_project(tmp_path / "outer")
    inner = make_project(outer / "inner")
    (inner / "deep/er").mkdir(parents=True)
    (outer / "beside").mkdir()
    assert Project.find(inner / "deep/er").root == inner
    assert Project.find(outer / "beside").root == outer
    assert Project.find(inner).lock_path == inner / "upstream.lock"
    assert Project.find(inner).patches == inner / "patches"


def test_a_lock_alone_is_no_project(tmp_path: Path) -> None:
    outer = make_project(tmp_path / "outer")
    (outer / "tree").mkdir()
    (outer / "tree/upstream.lock").write_text("")
    assert Project.find(outer / "tree").root == outer


def test_an_installed_porter_brings_its_own(tmp_path: Path) -> None:
    site = copy_package(tmp_path / "site")
    make_project(site / "porter/_data")
    (tmp_path / "elsewhere").mkdir()
    assert ask(site, tmp_path / "elsewhere").stdout == f"{site}/porter/_data True\n"
    checkout = make_project(tmp_path / "checkout")
    assert ask(site, checkout).stdout == f"{checkout} False\n"


def test_an_editable_install_uses_its_checkout_from_anywhere(tmp_path: Path) -> None:
    checkout = make_project(copy_package(tmp_path / "checkout"))
    (tmp_path / "elsewhere").mkdir()
    assert ask(checkout, tmp_path / "elsewhere").stdout == f"{checkout} False\n"


def test_with_neither_it_says_so(tmp_path: Path) -> None:
    site = copy_package(tmp_path / "site")
    done = ask(site, tmp_path)
    assert done.returncode != 0
    assert "found neither upstream.lock nor patches/" in done.stderr


def test_a_current_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(WrongUsage, match="the current folder does not exist"):
        Project.find()
