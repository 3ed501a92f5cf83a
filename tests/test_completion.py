"""porter completion: the scripts that click makes for each shell, and what porter answers them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stacks import CHECKOUT, porter


def with_porter(folder: Path) -> dict[str, str]:
    """An environment whose ``porter`` is the one under test."""
    script = folder / "bin" / "porter"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m porter "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}", "PYTHONPATH": str(CHECKOUT)}


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        ("porter doc", "doctor"),
        ("porter train --target ", "mlu mps musa npu tpu xpu"),
        ("porter verify --lev", "--level"),
        ("porter verify --level s", "static smoke"),
        ("porter verify --check tr", "tree train transfers"),
        ("porter bump v6.1 --target ", "mlu mps musa npu tpu xpu"),
        ("porter audit --target n", "npu"),
        ("porter show common/assign-t", "common/assign-targets-to-anchors-on-the-host.patch"),
        ("porter verify --profile bm", "bm1684x"),
        ("porter weights fetch yolov5n", "yolov5n.pt yolov5n6.pt"),
        ("porter prepare --target mlu --weights yolov5s", "yolov5s.pt yolov5s6.pt"),
        ("porter prepare --data co", "coco128 coco"),
    ],
)
def test_bash(tmp_path: Path, words: str, offers: str) -> None:
    code = (
        'source <(porter completion bash)\nCOMP_WORDS=($1) COMP_CWORD=$2\n[[ $1 == *" " ]] && COMP_WORDS+=("")\n'
        '_porter_completion porter\necho "${COMPREPLY[@]}"\n'
    )
    at = str(len(words.split(" ")) - 1)
    done = subprocess.run(
        ["bash", "-c", code, "bash", words, at], env=with_porter(tmp_path), cwd=CHECKOUT, capture_output=True, text=True
    )
    assert (done.stdout.split(), done.returncode) == (offers.split(), 0), done.stderr


@pytest.mark.parametrize(("shell", "begins"), [("zsh", "#compdef porter"), ("fish", "function _porter_completion")])
def test_other_shells(shell: str, begins: str) -> None:
    """Their scripts, and the question that each script asks."""
    script = porter("completion", shell, cwd=CHECKOUT)
    assert script.returncode == 0 and script.stdout.startswith(begins), script.stderr
    assert f"_PORTER_COMPLETE={shell}_complete" in script.stdout
    asked = {"_PORTER_COMPLETE": f"{shell}_complete", "COMP_WORDS": "porter train --target ", "COMP_CWORD": "3"}
    if shell == "fish":
        asked["COMP_CWORD"] = ""
    answer = porter(cwd=CHECKOUT, env=asked)
    assert answer.returncode == 0 and {"mlu", "tpu"} <= set(answer.stdout.replace("plain,", "").split()), answer.stdout


def test_a_shell_that_it_does_not_know() -> None:
    done = porter("completion", "cmd", cwd=CHECKOUT)
    assert done.returncode == 2 and "'cmd' is not one of" in done.stderr


def test_a_bash_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "bash"
    old.write_text("#!/bin/sh\necho 3.2.57\n")
    old.chmod(0o755)
    done = porter("completion", "bash", cwd=CHECKOUT, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode in (0, 3), done.stderr  # click 8.0 refuses, later ones warn
    assert "4.4" in done.stderr and "Traceback" not in done.stderr
