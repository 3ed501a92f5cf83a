from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from stacks import porter

from porter.commands.apply import apply
from porter.errors import CheckFailed
from porter.lockfile import Lock
from porter.project import Project

pytestmark = pytest.mark.usefixtures("warm")


def test_in_step(project: Project) -> None:
    before = project.lock_path.read_bytes()
    for arguments in (["lock"], ["lock", "--check"]):
        done = porter(*arguments, cwd=project.root)
        assert (done.returncode, done.stdout) == (0, "upstream.lock is in step with the patches.\n"), done.stderr
    assert project.lock_path.read_bytes() == before
    assert sorted(Lock.load(project.lock_path).stacks) == ["common", "mlu", "tpu"]


def test_a_changed_patch_then_lock(project: Project, tmp_path: Path) -> None:
    path = project.patches / "mlu/know-the-mlu-at-the-top.patch"
    path.write_text(path.read_text().replace("+mlu = 1\n", "+mlu = 2\n"))
    before = project.lock_path.read_bytes()
    with pytest.raises(CheckFailed, match="are not those of"):
        apply(["mlu"], tmp_path / "tree", project=project)
    assert not (tmp_path / "tree").exists()
    done = porter("lock", "--check", cwd=project.root)
    assert (done.returncode, "not in step with the patches: mlu." in done.stderr) == (1, True)
    assert project.lock_path.read_bytes() == before
    done = porter("lock", cwd=project.root)
    assert (done.returncode, done.stdout) == (0, "upstream.lock: wrote mlu\n")
    assert porter("lock", "--check", cwd=project.root).returncode == 0
    assert apply(["mlu"], tmp_path / "tree", project=project).how == "made"
    assert (tmp_path / "tree/utils/long.py").read_text().count("mlu = 2") == 1


def test_a_stack_that_does_not_apply_leaves_the_lock(project: Project) -> None:
    path = project.patches / "common/import-the-accelerator.patch"
    path.write_text(path.read_text().replace(" import torch\n", " import other\n"))
    before = project.lock_path.read_bytes()
    done = porter("lock", cwd=project.root)
    assert done.returncode == 1
    assert "common/import-the-accelerator.patch does not apply to train.py" in done.stderr
    assert project.lock_path.read_bytes() == before


def test_a_stack_that_is_gone_leaves_the_lock_file(project: Project) -> None:
    shutil.rmtree(project.patches / "tpu")
    assert porter("lock", cwd=project.root).stdout == "upstream.lock: wrote tpu\n"
    assert sorted(Lock.load(project.lock_path).stacks) == ["common", "mlu"]
