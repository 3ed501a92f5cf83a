from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import porter
from porter.cli import main
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


def test_a_named_folder_is_the_one_that_is_meant(tmp_path: Path) -> None:
    """No other one takes its place: what was named by mistake is said."""
    inner = make_project(tmp_path / "inner")
    (inner / "deep").mkdir()
    assert Project.find(inner / "deep").chosen
    with pytest.raises(WrongUsage, match=f"{tmp_path} is in no checkout"):
        Project.find(tmp_path)


CHANGING = (["lock"], ["export", "."], ["bump", "v6.1"], ["bump", "--abort"], ["new-target", "xyz"])


@pytest.mark.parametrize("words", CHANGING, ids=" ".join)
def test_what_changes_a_checkout_takes_none_that_nobody_named(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with pip install -e; the tests' porter is one of those."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(words)
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (2, "")
    assert f"porter was installed from {PACKAGE.parent}" in said.err and f"--project {PACKAGE.parent}" in said.err


@pytest.mark.parametrize("before", [True, False])
def test_project_names_the_checkout(
    before: bool, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the command and after it; then what changes it may, too."""
    monkeypatch.chdir(tmp_path)
    named = ["--project", str(project.root)]
    words = [*named, "bump", "--abort"] if before else ["bump", "--abort", *named]
    with pytest.raises(SystemExit) as left:
        main(words)
    assert (left.value.code, "no bump is open" in capsys.readouterr().err) == (2, True)


def test_what_only_reads_needs_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["show", "mlu/1"])
    assert (left.value.code, "# mlu/" in capsys.readouterr().out) == (0, True)
