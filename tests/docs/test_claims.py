"""What the READMEs say in words is compared with what it is about; test_figures.py does the same for figures."""

from __future__ import annotations

import io
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import published
import pytest

from porter.diagnosis.interpreter import has_wheel
from porter.lockfile import Lock
from porter.output import Terminal
from porter.project import Project
from porter.sources.obtain import extents
from porter.target import load_all

from .pages import READMES, ROOT, blocks, tables

ENGLISH = " ".join(READMES[0].read_text(encoding="utf-8").split())
DEMO = ROOT / "tools" / "demo.py"


def test_what_porter_is_for() -> None:
    """Every release that there are stacks for, in the table of other ways."""
    top = Project(ROOT)
    for page in READMES:
        (row,) = (
            row for table in tables(page.read_text(encoding="utf-8")) for row in table if row[0] in ("for", "适用于")
        )
        assert set(re.findall(r"v\d\.\d", row[-1])) == {"v6.0", *top.others}


def test_every_release_has_the_licence_that_is_named() -> None:
    top = Project(ROOT)
    assert {Lock.load(line.lock_path).pin.license for line in (top, *top.others.values())} == {"GPL-3.0-only"}
    assert '\nlicense = "GPL-3.0-only"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_what_a_package_index_lacks(lock: Lock) -> None:
    whole, partial = extents(lock)
    missing = set(whole.files) - set(partial.files)
    assert f"lacks {len(missing)} of upstream's {len(whole.files)} files" in ENGLISH
    named = ("requirements.txt", "tutorial.ipynb", ".github/", "Dockerfile", "utils/aws/", "utils/google_app_engine/")
    assert all(any(path.startswith(each) for path in missing) for each in named)
    # nothing that runs here, and no licence
    others = (".git", ".dockerignore", "CONTRIBUTING.md", "utils/flask_rest_api/", "utils/loggers/wandb/")
    assert [path for path in missing if not path.startswith((*named, *others))] == []


def test_which_devices_can_be_emulated() -> None:
    alone = {target.name for target in load_all(Project(ROOT)) if not target.emulated}
    (said,) = re.findall(
        r"on an emulated device \(for ([^)]*), as which nothing can be emulated, on the CPU\)", ENGLISH
    )
    assert set(re.findall(r"`(\w+)`", said)) == alone


def test_the_demo_ends_as_it_is_shown() -> None:
    """The lines of its verdict, and what it names after them."""
    shown = blocks(READMES[0], "text")[0].text
    demo = runpy.run_path(str(DEMO))
    why = demo["place"]("mlu").why
    lines, learned = demo["verdict"]("the CPU", 78.4, 103.02, None, [0.001, *[0.5] * 18, 0.726], why)
    assert learned and shown.startswith("\n".join(lines) + "\n")
    assert [Path(path).name for path in re.findall(r"^  (/\S+)", shown, re.MULTILINE)] == list(demo["PICTURES"])


def test_where_the_demo_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = runpy.run_path(str(DEMO))["place"]
    monkeypatch.delenv("DEVICE", raising=False)
    assert place("mlu").kind == "cpu" and "torch_mlu is not installed" in place("mlu").why
    (tmp_path / "torch_mlu").mkdir()
    (tmp_path / "torch_mlu" / "__init__.py").write_text("raise OSError\n")  # it is looked for, not imported
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert (place("mlu").kind, place("mlu").why) == ("hardware", "")
    for device, kind, words in ("emulated", "emulated", ()), ("cpu", "cpu", ()), ("0", "hardware", ("--device", "0")):
        monkeypatch.setenv("DEVICE", device)
        assert (place("mlu").kind, tuple(place("mlu").words)) == (kind, words)


def test_the_demo_takes_coco128_and_a_checkpoint_where_both_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = published.coco128()
    published.stand_in(archive, tmp_path, monkeypatch)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(tmp_path / "data")
    (tmp_path / "data" / "yolov5n.pt").write_bytes(b"")
    monkeypatch.setenv("PORTER_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    with Terminal() as terminal:
        plan = runpy.run_path(str(DEMO))["choose"](tmp_path / "tree", tmp_path / "demo.log", terminal)
    assert plan.checkpoint == tmp_path / "data" / "yolov5n.pt" and "coco128" in plan.says
    assert str(tmp_path / "data" / "coco128") in plan.yaml.read_text(encoding="utf-8")


@pytest.mark.parametrize("minor", range(9, 15))
def test_make_takes_a_torch_that_its_python_can_have(tmp_path: Path, minor: int) -> None:
    """3.9, with which both pages begin, has no wheel of the newest; a release's Pythons take each its own."""
    python = tmp_path / "python"
    # what the Makefile has it run, with another version
    version = f"import sys; sys.version_info = (3, {minor}); "
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{version}$2"\n')
    python.chmod(0o755)

    def said(goal: str, *words: str) -> str:
        command = ["make", "--dry-run", "-C", str(ROOT), goal, f"PYTHON={python}", f"VENV={tmp_path / 'venv'}", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    (torch,) = re.findall(r"tools/install\.py torch==(\S+)\n", said("demo"))
    assert has_wheel(torch, f"3.{minor}.0", "x86_64") and has_wheel(torch, f"3.{minor}.0", "aarch64")
    assert said("release-check").count("nox -s installed \n") == 1
    assert "nox -s installed -- torch==2.1.0\n" in said("release-check", "TORCH=torch==2.1.0")
