"""The shipped stacks with a patch left out: what has to go with it, and what must not."""

from __future__ import annotations

from pathlib import Path

from porter.lockfile import Lock
from porter.project import Project
from porter.sources.obtain import obtain
from porter.stack import Stack
from porter.verification import variants

from .harness import CHECKOUT

# git alone takes twelve, nine, four and eight patches along: they import something beside what these import
ALONE = {
    "common/check-requirements-install-nothing.patch": ["common/run-without-torchvision.patch"],
    "common/start-without-asking-the-network.patch": [],
    "common/look-layers-up-instead-of-evaluating-a-model-s-yaml.patch": [],
    "common/seed-the-device-in-use.patch": [],
}


def test_neighbouring_imports_take_no_patch_along(tmp_path: Path) -> None:
    project = Project(CHECKOUT)
    snapshot, stack = obtain(Lock.load(project.lock_path)), Stack.load(project, ["mlu"])
    build, found = stack.build(snapshot), {}
    with variants.commits_of_build(snapshot, build) as made:
        for name in ALONE:
            (patch,) = (patch for patch in stack.patches if patch.id == name)
            gone = variants.make_tree(made, build, [patch], tmp_path / name.replace("/", "-"))
            found[name] = [other.id for other in gone]
    assert found == ALONE
