"""The images of containers/: one for each target; what they run is there.  Building them takes minutes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from porter.project import Project
from porter.target import load_all

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "containers"
SCRIPT = FOLDER / "install.sh"


# torch's own devices have no vendor's image
TARGETS = [target.name for target in load_all(Project(ROOT)) if not target.plugin.in_tree]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_one(target: str) -> None:
    text = (FOLDER / target / "Containerfile").read_text()
    assert re.search(r"^ARG IMAGE\nFROM \$\{IMAGE\}$", text, re.MULTILINE), "the vendor's image is an argument"
    assert re.findall(r"^RUN sh /opt/porter/source/(\S+) (\S+)$", text, re.MULTILINE) == [
        ("containers/install.sh", target)
    ]
    assert "PORTER_OFFLINE=1" in text and f'"--target", "{target}"' in text


def test_there_are_no_others() -> None:
    assert {path.parent.name for path in FOLDER.glob("*/Containerfile")} == {
        *TARGETS,
        "emulated",
    }


def install(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", SCRIPT, *words], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "python", "said"),
    [
        ((), "exit 0", "name a target: mlu, tpu, npu or musa"),
        (("gpu",), "exit 0", "there is no target gpu"),
        (("mlu",), "exit 1", "is older than 3.9, which porter needs"),
        (("mlu",), 'case "$2" in *torch*) exit 1;; esac', "has no torch: name the one that has it in PYTHON"),
    ],
)
def test_what_an_image_lacks_is_named(words: tuple[str, ...], python: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "python3").write_text(f"#!/bin/sh\n{python}\n")
    (tmp_path / "python3").chmod(0o755)
    done = install(*words, PATH=f"{tmp_path}:/usr/bin:/bin", PREFIX=str(tmp_path / "opt"))
    assert done.returncode and said in done.stderr
    assert not (tmp_path / "opt").exists()
