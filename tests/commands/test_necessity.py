"""porter verify --necessity on a small stack: what is noticed, what is not, and that nothing is left behind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from stacks import porter

from porter.commands.lock import lock as write_lock
from porter.git import objects
from porter.patch import Patch
from porter.project import Project
from porter.stack import find_patch, load_parts
from porter.verification.device import Device
from porter.verification.necessity import unmet

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture
def stacks(project: Project) -> Project:
    """The small stacks, whose check is that modules import; a patch adds those that upstream's small copy lacks."""
    folder = project.patches / "common"
    name = "add-what-models-import.patch"
    (folder / name).write_text(ADDS.format(id=objects.blob(b"Conv = None\n").id))
    (folder / "series").write_text((folder / "series").read_text() + f"{name}\n")
    for file in project.patches.rglob("*.patch"):
        change(file, "Check: train", "Check: import")
    write_lock(project=project)
    return project


ADDS = """\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: porter <porter@example.invalid>
Date: Sun, 22 Nov 2026 00:00:00 +0000
Subject: [PATCH] Add what models import

The test needs it.

Reason: device
Upstream: no
Check: train
Stack: common

diff --git a/models/common.py b/models/common.py
new file mode 100644
index 0000000000000000000000000000000000000000..{id}
--- /dev/null
+++ b/models/common.py
@@ -0,0 +1 @@
+Conv = None
"""


def change(file: Path, old: str, new: str) -> None:
    data = file.read_bytes()
    assert data.count(old.encode()) == 1
    file.write_bytes(data.replace(old.encode(), new.encode()))


def one(project: Project, name: str) -> Path:
    return project.patches / find_patch(project, name).id


def necessity(*words: object, device: str = "cpu") -> subprocess.CompletedProcess[str]:
    command = ("verify", "--target", "mlu", "--necessity", "--device", device, "--jobs", 2)
    return porter(*command, *words, cwd=Path.cwd())


def test_a_stack(stacks: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    change(one(stacks, "common/3"), "Reason: device", "Reason: safety")
    report = tmp_path / "report.json"
    done = necessity("--json", report)
    assert done.returncode == 1, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert (found["kind"], found["schema"]) == ("necessity", 1)
    labels = {patch.id: patch.label for part in load_parts(stacks).values() for patch in part}
    states = {labels[verdict["patch"]]: verdict for verdict in found["verdicts"]}
    assert {name: verdict["state"] for name, verdict in states.items()} == {
        "common/1": "not shown",
        "common/2": "not shown",
        "common/3": "unnoticed",
        "common/4": "noticed",
        "mlu/1": "not shown",
        "mlu/2": "not shown",
    }, found
    assert states["common/4"]["said"].startswith("import: models.yolo does not import")
    assert [labels[name] for name in states["common/2"]["dependants"]] == ["mlu/2"]
    assert "on the cpu" in states["mlu/1"]["said"]
    assert f"repeat: {states['common/3']['repeat']}" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("mlu: of 6 patches 1 noticed, 1 unnoticed, 4 not shown in ")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_one_patch(stacks: Project) -> None:
    done = necessity("--patch", "common/4")
    assert done.returncode == 0 and "noticed   common/" in done.stdout, done.stdout + done.stderr
    assert "of 1 patch 1 noticed" in done.stdout


def test_a_check_that_fails_anyway_proves_nothing(stacks: Project) -> None:
    change(one(stacks, "common/1"), "+from utils import accelerator", "+from utils import accelerators")
    done = necessity("--patch", "common/4")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "import, with every patch: train does not import" in done.stdout


def test_a_condition_that_is_not_met(stacks: Project) -> None:
    change(one(stacks, "common/3"), "Check: import", "Check: import\nNeeds: torch<1, numpy>=1")
    done = necessity("--patch", "common/3")
    assert done.returncode == 0 and "needs torch<1 (here: " in done.stdout, done.stdout + done.stderr
    assert "numpy" not in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--patch", "common/9"), "there is no patch common/9"),
        (("--patch", "tpu/1"), "is not in the stack of mlu"),
        (("--check", "import"), "--necessity makes its own trees"),
        (("tree",), "--necessity makes its own trees"),
        (("--weights", "x.pt"), "--necessity makes its own trees"),
    ],
)
def test_wrong_usage(stacks: Project, words: tuple[str, ...], says: str) -> None:
    done = necessity(*words)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_that_there_is_not(stacks: Project) -> None:
    change(one(stacks, "common/2"), "Check: import", "Check: speed")
    done = necessity("--patch", "common/2")
    assert done.returncode == 2 and "there is no check 'speed'" in done.stderr


@pytest.mark.parametrize(
    ("needs", "found"),
    [
        ("", []),
        ("torch>=1.13, numpy>=1.24", []),
        ("torch>=2.14", ["torch>=2.14 (here: 2.13.0+cpu)"]),
        ("pillow>=10", ["pillow>=10 (here: none)"]),
        ("python<3.12", []),
    ],
)
def test_needs(stacks: Project, needs: str, found: list[str]) -> None:
    file = one(stacks, "common/1")
    if needs:
        change(file, "Check: import", f"Check: import\nNeeds: {needs}")
    facts = {"python": "3.11.7", "torch": "2.13.0+cpu", "packages": {"numpy": "2.4.0"}}
    assert unmet(Patch.read(file, "common"), Device("cpu", "cpu", "the cpu", facts=facts)) == found
