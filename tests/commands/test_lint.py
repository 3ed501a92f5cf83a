from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sources import git
from stacks import CHECKOUT, LONG, commit, export, message, porter

from porter.commands.lint import Problem, _read_otherwise, lint
from porter.commands.lock import lock as write_lock
from porter.project import Project
from porter.stack import load_parts

pytestmark = pytest.mark.usefixtures("warm")

TRAIN = "patches/common/import-the-accelerator.patch"
TOP = "patches/mlu/know-the-mlu-at-the-top.patch"


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        text = (root / name).read_bytes()
        assert old.encode() in text
        (root / name).write_bytes(text.replace(old.encode(), new.encode(), 1))

    return do


def add(name: str, text: str) -> Callable[[Path], None]:
    return lambda root: (root / name).write_text(text) and None


def rename(old: str, new: str) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        (root / old).rename(root / new)
        series = (root / old).parent / "series"
        series.write_text(series.read_text().replace(Path(old).name, Path(new).name))

    return do


def test_nothing_to_say(project: Project) -> None:
    assert lint(project=project) == []
    done = porter("lint", cwd=project.root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "The stacks are as they should be.\n", "")


def test_a_long_address_is_no_long_line(project: Project) -> None:
    """``git commit --signoff`` by somebody with an address of GitHub's: a trailer is one line."""
    signed = f"Signed-off-by: {'Zoe ' * 8}<12345678+zoe@users.noreply.github.com>"
    assert len(signed) > 80
    edit(TRAIN, "Stack: common\n", f"Stack: common\n{signed}\n")(project.root)
    write_lock(project=project)
    assert lint(project=project) == []


@pytest.mark.parametrize(
    ("spoil", "file", "what"),
    [
        (edit(TRAIN, "Reason: device", "Reason: fun"), TRAIN, "Reason: 'fun' is not one of device"),
        (edit(TRAIN, "Reason: device\n", ""), TRAIN, "needs one trailer Reason"),
        (edit(TRAIN, "Reason: device\n", "Reason: device\nReason: speed\n"), TRAIN, "needs one trailer Reason"),
        (edit(TRAIN, "Upstream: no", "Upstream: maybe"), TRAIN, "'maybe' is not 'no', or the commit"),
        (edit(TRAIN, "Check: train", "Check: Train it"), TRAIN, "the name of a check"),
        (edit(TRAIN, "Stack: common", "Stack: mlu"), TRAIN, "its trailer says Stack: mlu"),
        (edit(TRAIN, "The test needs it.\n\n", ""), TRAIN, "why does it exist"),
        (edit(TRAIN, "The test needs it.", "TODO: why?"), TRAIN, "left to say: TODO: why?"),
        (edit(TRAIN, "The test needs it.", "long " * 20), TRAIN, "characters, more than 80"),
        (edit(TRAIN, "accelerator\n\nThe", "accelerator" + " x" * 40 + "\n\nThe"), TRAIN, "characters, more than 72"),
        (edit(TRAIN, "accelerator\n\nThe", "accelerator.\n\nThe"), TRAIN, "full stop"),
        (edit(TRAIN, "Check: train", "Check: speed"), TRAIN, "there is no check 'speed'"),
        (edit(TRAIN, "Check: train", "Check: train\nNeeds: a new NumPy"), TRAIN, "is not the versions without which"),
        (edit(TRAIN, "accelerator\n\nThe", "vendor\n\nThe"), TRAIN, "named import-the-vendor.patch"),
        (
            rename(TRAIN, "patches/common/0001-Import-the-accelerator.patch"),
            "",
            "named import-the-accelerator.patch, after",
        ),
        (add("patches/mlu/stray.patch", "x"), "patches/mlu/stray.patch", "not in series"),
        (add("patches/common/notes.txt", "x"), "patches/common/notes.txt", "not in series"),
        (edit("patches/mlu/series", "know", "absent.patch\nknow"), "", "there is no"),
        (edit("patches/mlu/target.yaml", "name: mlu", "name: x"), "patches/mlu/target.yaml", "as its folder"),
        (edit(TRAIN, "index ", "index 0"), TRAIN, "not a line of a plain file's diff|canonical"),
        (edit(TRAIN, "@@ -1,3 +1,4 @@", "@@ -1,3 +1,4 @@ def"), TRAIN, "canonical form"),
        (
            edit(TRAIN, "+from utils import accelerator", "+from utils import accelerator "),
            TRAIN,
            "trailing whitespace",
        ),
        (edit(TRAIN, "+from utils import accelerator", "+ \tfrom utils import a"), TRAIN, "spaces and tabs"),
        (edit(TRAIN, "+from utils import accelerator\n", "+from utils import a\r\n"), TRAIN, "carriage return"),
        (edit(TRAIN, "+from utils import accelerator", "+<<<<<<< HEAD"), TRAIN, "conflict mark"),
        (edit(TOP, " line_3 = 3", " line_3 = 4"), TOP, "does not apply to utils/long.py"),
        (edit(TOP, "@@ -2,7 +2,8 @@", "@@ -3,7 +3,8 @@"), TOP, "applies -1 lines off"),
        (edit(TRAIN, "The test needs it.", "The test needs it badly."), "upstream.lock", "stacks.mlu: not in step"),
        (edit("upstream.lock", "  mlu:", "  npu:"), "upstream.lock", "stacks.npu: there is no such stack"),
    ],
)
def test_a_complaint_for_each_fault(project: Project, spoil: Callable[[Path], None], file: str, what: str) -> None:
    spoil(project.root)
    findings = lint(project=project)
    assert any(re.search(what, finding.what) and file in finding.file for finding in findings), findings
    done = porter("lint", cwd=project.root)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert all(str(finding).split("\n")[0] in done.stdout for finding in findings)


def test_series_that_names_a_patch_twice(project: Project) -> None:
    series = project.patches / "mlu/series"
    series.write_text(series.read_text() + "register-the-mlu.patch\n")
    assert any("twice" in finding.what for finding in lint(project=project))


def rebuild(project: Project, made: Path, tmp_path: Path, **files: str) -> None:
    """Another mlu stack, written by git, that gives utils/long.py and others these contents."""
    clone = tmp_path / "again"
    git("clone", "-q", made / "work", clone, cwd=tmp_path)
    git("switch", "-q", "-c", "again", "origin/common", cwd=clone)
    for name, text in files.items():
        path = clone / "utils" / f"{name}.py"
        path.write_text(text)
        commit(clone, message(f"Change {name}", "mlu"), 1700000000)
    for old in (project.patches / "mlu").glob("*.patch"):
        old.unlink()
    export(clone, "origin/common", project.patches / "mlu")
    write_lock(project=project)


def test_a_blank_line_at_the_end_of_a_file(project: Project, made: Path, tmp_path: Path) -> None:
    rebuild(project, made, tmp_path, new="a = 1\n\n")
    (finding,) = lint(project=project)
    assert (finding.file, finding.line) == ("patches/mlu/change-new.patch", 20)
    assert "blank line at the end of utils/new.py" in finding.what


def test_a_place_that_another_target_makes_ambiguous(project: Project, made: Path, tmp_path: Path) -> None:
    """tpu's hunk moves because of mlu's lines: fine while only one place fits, not if mlu copies the place."""
    copied = "".join(f"line_{n} = {n}\n" for n in range(47, 54))
    rebuild(project, made, tmp_path, long=copied + LONG)
    findings = lint(project=project)
    assert [finding for finding in findings if "in mlu+tpu" in finding.what and "would fit at 2 places" in finding.what]


def test_a_finding_reads_as_a_compilers() -> None:
    assert str(Problem("patches/x", 3, "bad")) == "patches/x:3: bad"
    assert str(Problem("patches/x", 0, "bad")) == "patches/x: bad"


def test_the_shipped_stacks(own_home: Path) -> None:
    """What is committed here has nothing to complain about by itself; the lock is the business of tests/upstream."""
    from porter.commands.lint import _folder

    for name in ("common", "mlu", "tpu"):
        if (CHECKOUT / "patches" / name / "series").exists():
            assert list(_folder(Project(CHECKOUT), name)) == []


def test_another_form_is_found(project: Project) -> None:
    """A patch in another form makes the same commit, of which git writes another file."""
    edit(TRAIN, "@@ -1,3 +1,4 @@", "@@ -1,3 +1,4 @@ def")(project.root)
    assert any("not in git's canonical form" in finding.what for finding in lint(project=project))
    edit(TRAIN, "@@ -1,3 +1,4 @@ def", "@@ -1,3 +1,4 @@")(project.root)
    assert lint(project=project) == []


def test_another_reader_finds_the_same(project: Project) -> None:
    """unidiff reads each patch as porter does; one that it reads otherwise is said."""
    for part in load_parts(Project(CHECKOUT)).values():
        for patch in part:
            assert not list(_read_otherwise(patch)), patch.id
    patch = load_parts(project)["mlu"][-1]
    (found,) = _read_otherwise(dataclasses.replace(patch, changes=()))
    assert (found.file, found.line) == (f"patches/{patch.id}", patch.diff_line) and "unidiff" in found.what
    cut = dataclasses.replace(patch, data=patch.data.replace(b"@@ -", b"@@ -x", 1))
    assert list(_read_otherwise(cut))
