from __future__ import annotations

import pytest
from stacks import CHECKOUT, porter

from porter.errors import WrongUsage
from porter.project import Project
from porter.stack import find_patch

pytestmark = pytest.mark.usefixtures("warm")


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("3", "common/move-delete-add-and-change-modes.patch"),
        ("0003", "common/move-delete-add-and-change-modes.patch"),
        ("common/1", "common/import-the-accelerator.patch"),
        ("tpu/2", "tpu/know-the-tpu-at-the-bottom.patch"),
        ("mlu/know-the-mlu-at-the-top.patch", "mlu/know-the-mlu-at-the-top.patch"),
        ("Know-the-M", "mlu/know-the-mlu-at-the-top.patch"),
        ("at-the-bottom", "tpu/know-the-tpu-at-the-bottom.patch"),
        ("mlu/top", "mlu/know-the-mlu-at-the-top.patch"),
        ("know-the-t", "tpu/know-the-tpu-at-the-bottom.patch"),
        ("tpu/know", "tpu/know-the-tpu-at-the-bottom.patch"),
    ],
)
def test_a_patch_by_what_one_remembers(project: Project, name: str, patch: str) -> None:
    assert find_patch(project, name).id == patch


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("1", "means 3 patches"),
        ("know", "means 2 patches"),
        ("9", "no patch 9"),
        ("npu/1", "no stack 'npu'"),
        ("", "no patch"),
        ("mlu/", "no patch"),
        ("x", "no patch x\nThere are common/1 to 3, mlu/1 to 2, tpu/1 to 2;"),
    ],
)
def test_none_or_several(project: Project, name: str, what: str) -> None:
    with pytest.raises(WrongUsage, match=what):
        find_patch(project, name)


def test_what_is_printed_is_the_file(project: Project) -> None:
    done = porter("show", "mlu/1", cwd=project.root)
    name, text = done.stdout.split("\n", 1)
    assert name == "# mlu/register-the-mlu.patch"
    assert text.rstrip("\n") == (project.patches / name[2:]).read_text().rstrip("\n")
    assert porter("show", "1", cwd=project.root).returncode == 2


def test_a_number_is_a_place_and_no_part_of_a_name() -> None:
    """There is no ninth patch of mlu; one's name has 1.9 in it."""
    own = Project(CHECKOUT)
    assert find_patch(own, "1.9").id == "mlu/work-with-cambricon-s-pytorch-1.6-and-1.9-too.patch"
    for name in ("mlu/9", "mlu/6"):
        with pytest.raises(WrongUsage, match=f"there is no patch {name}"):
            find_patch(own, name)
