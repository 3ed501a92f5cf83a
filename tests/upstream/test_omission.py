"""The shipped stacks with a patch left out: what has to go with it, and what must not."""

from __future__ import annotations

from pathlib import Path

from porter.lockfile import Lock
from porter.project import Project
from porter.sources.obtain import obtain
from porter.stack import Stack
from porter.verification import omission

from .harness import CHECKOUT

# git alone takes twelve, nine, four and eight patches along: they import something beside what these import
ALONE = {"common/1": ["common/10"], "common/3": [], "common/13": [], "common/18": []}


def test_neighbouring_imports_take_no_patch_along(tmp_path: Path) -> None:
    project = Project(CHECKOUT)
    snapshot, stack = obtain(Lock.load(project.lock_path)), Stack.load(project, ["mlu"])
    build, found = stack.build(snapshot), {}
    with omission.repository(snapshot, build) as made:
        for name in ALONE:
            (patch,) = (patch for patch in stack.patches if patch.id.startswith(name))
            gone = omission.lay(made, build, [patch], tmp_path / name.replace("/", "-"))
            found[name] = [other.id.partition("-")[0] for other in gone]
    assert found == ALONE
