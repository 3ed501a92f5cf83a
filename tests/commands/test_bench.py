"""porter bench: what it refuses, and a training that fails.  tests/upstream/test_bench.py measures a real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from stacks import porter

from porter.project import Project

pytestmark = pytest.mark.usefixtures("warm")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--target", "npu", "{tree}"), "there is no target 'npu'"),
        (("--target", "tpu", "--device", "cpu", "{tree}"), "holds mlu, not tpu"),
        (("--target", "mlu", "--device", "cpu", "--precision", "fp16", "{tree}"), "has no FP16 training"),
        (("--target", "mlu", "--device", "cpu", "--against", "cpu", "{tree}"), "this is the cpu already"),
        (("--target", "mlu", "--device", "cpu", "--against", "nowhere", "{tree}"), "nowhere"),
        (("--target", "mlu", "--python", "no-python", "{tree}"), "cannot run no-python"),
        (("--target", "mlu", "--device", "mlu:0", "{tree}"), "'cpu'. The device family is --target's; which card"),
        (("--target", "mlu"), "Missing argument 'DIR'"),
        (("{tree}",), "Missing option '--target'"),
    ],
)
def test_wrong_usage(tree: Path, words: tuple[str, ...], says: str) -> None:
    done = porter("bench", *[word.format(tree=tree) for word in words], cwd=Path.cwd())
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr


def test_a_training_that_fails(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tree / "train.py").write_text("raise ValueError('out of luck')\n")
    words = ("--device", "cpu", "--img", "64", "--batch", "1", "--warm-up", "2")
    done = porter("bench", "--target", "mlu", *words, tree, cwd=Path.cwd())
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "measuring cpu, run 1 of 3, 102 iterations" in done.stderr
    assert "pictures during the first 3 iterations" in done.stderr  # those that count are not usual ones
    assert "the training on cpu ended with status 1" in done.stderr and "ValueError: out of luck" in done.stderr
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.device
@pytest.mark.parametrize(
    "words", [("bench", "DIR"), ("compare", "--replay", "operator.npz")], ids=lambda words: words[0]
)
def test_a_build_of_the_emulated_device_is_said(
    words: tuple[str, ...], tree: Path, tmp_path: Path, project: Project
) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text('#!/bin/sh\ncase "$*" in *device.cpp*) exit 1;; *) exec c++ "$@";; esac\n')
    compiler.chmod(0o755)
    env = {"PORTER_CACHE": str(tmp_path / "empty"), "CXX": str(compiler)}
    given = [tree if word == "DIR" else word for word in words]
    done = porter(*given, "--target", "mlu", "--device", "emulated", cwd=project.root, env=env)
    said = "building the emulated device, once for this Python and torch; usually "
    assert (done.returncode, said in done.stderr + done.stdout) == (3, True), done.stderr
