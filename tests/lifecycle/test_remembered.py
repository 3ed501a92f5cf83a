"""What was looked at once: a scan, a compilation or a mail of git's is the same, remembered or made anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sources import git
from stacks import CHECKOUT, porter

from porter.auditing.scan import remembered, scan
from porter.commands.apply import apply
from porter.commands.export import export
from porter.errors import CheckFailed
from porter.project import Project
from porter.sources.memo import Memory

from .test_rewrite import state

FILES = {
    "a.py": b"import torch\n\n\ndef f(x):\n    return x.cuda()  # moves it\n",
    "b.py": b"from c import *\n\ncuda.synchronize()\n",
    "c.py": b"from torch import cuda\nfrom d import *\n",
    "d.py": b"from c import *\nfrom torch import hub as amp\n",
    "models/__init__.py": b"",
}


@pytest.fixture
def memory(own_home: Path) -> Memory:
    return Memory("audit", [b"test"])


def test_a_scan_from_memory_is_the_scan(memory: Memory) -> None:
    fresh = scan(FILES)
    assert [(place.path, place.line, place.rule) for place in fresh] == [
        ("a.py", 5, "device-method"),
        ("b.py", 3, "device-api"),
        ("c.py", 1, "device-api"),
    ]
    assert scan(FILES, memory) == fresh
    again = Memory("audit", [b"test"])
    data = again.path.read_bytes()
    assert scan(FILES, again) == fresh
    assert again.path.read_bytes() == data  # nothing new
    # in another order, with other files around
    assert scan(dict(reversed(FILES.items())), again) == fresh
    assert scan({"b.py": FILES["b.py"]}, again) == []


def test_what_star_imports_bring_counts(memory: Memory) -> None:
    scan(FILES, memory)
    changed = {**FILES, "c.py": b"from math import tan as cuda\n"}
    assert scan(changed, memory) == scan(changed) != []
    assert [place.path for place in scan(changed, memory)] == ["a.py"]
    assert scan(FILES, memory) == scan(FILES)


def test_the_same_content_elsewhere_is_another_file(memory: Memory) -> None:
    text = b"import torch\n\ntorch.cuda.synchronize()\n"
    (place,) = scan({"a.py": text}, memory)
    (inside,) = scan({"utils/accelerator/cuda.py": text}, memory)
    assert (place.state, inside.state) == ("not ported", "routed")


def test_what_is_no_python_is_said_every_time(memory: Memory) -> None:
    for _ in range(2):
        with pytest.raises(CheckFailed, match=r"a\.py:1: not Python"):
            scan({"a.py": b"def (:\n"}, memory)


def test_a_damaged_memory_changes_no_result(memory: Memory) -> None:
    fresh = scan(FILES, memory)
    data = memory.path.read_bytes()
    assert data.count(b"device-method") == 1
    memory.path.write_bytes(data.replace(b"not ported", b"allowed!!!"))
    assert scan(FILES, Memory("audit", [b"test"])) == fresh
    assert memory.path.read_bytes() == data


def test_other_code_remembers_for_itself(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = remembered().path
    # the package has a function of the module's name
    monkeypatch.setattr(sys.modules[scan.__module__], "_code", lambda: b"with another rule")
    assert remembered().path != before


def test_verify_looks_again_where_python_is_told_otherwise(project: Project, warm: None, tmp_path: Path) -> None:
    """A file that only warns is Python, unless warnings are errors: what was remembered without does not count."""
    tree = tmp_path / "tree"
    apply(["mlu"], tree, project=project)
    (tree / "odd.py").write_text("x = 1 is 1\n")
    git("add", "odd.py", cwd=tree)
    words = ["-m", "porter", "verify", "--target", "mlu", "--check", "tree", str(tree)]
    said = [
        subprocess.run(
            [sys.executable, *options, *words],
            cwd=project.root,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for options in ((), ("-W", "error::SyntaxWarning"), ())
    ]
    assert ["odd.py:1" in text for text in said] == [False, True, False], said


def logged(project: Project, tmp_path: Path, tree: Path) -> list[str]:
    """Export a tree in a process of its own; the verbs of every git that it ran."""
    real, log, script = shutil.which("git"), tmp_path / "log", tmp_path / "bin/git"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\necho "$*" >>{log}\nexec {real} "$@"\n')
    script.chmod(0o755)
    log.unlink(missing_ok=True)
    path = os.pathsep.join((str(script.parent), os.environ["PATH"]))
    done = porter("export", tree, cwd=project.root, env={"PATH": path})
    assert done.returncode == 0, done.stderr
    return log.read_text().splitlines()


def renders(rows: list[str]) -> int:
    return sum(" format-patch " in row for row in rows)


def test_git_writes_a_patch_once(
    project: Project, warm: None, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTER_CACHE", str(own_home / "cache"))
    tree = tmp_path / "tree"
    apply(["mlu"], tree, project=project)
    before = state(project)
    assert renders(logged(project, tmp_path, tree)) == 1
    assert renders(logged(project, tmp_path, tree)) == 0
    # whoever makes the commits anew, and whatever their ids are
    git("-c", "user.name=Other", "rebase", "-q", "--force-rebase", "master", cwd=tree)
    assert renders(logged(project, tmp_path, tree)) == 0
    # a file that is not what git wrote is found without asking git, and becomes it
    path = project.patches / "common/0002-Add-utils-accelerator-a-registry-of-devices.patch"
    path.write_text(path.read_text().replace("The test needs it.", "The test wants it."))
    assert renders(logged(project, tmp_path, tree)) == 2  # that one, and tpu's stack as it is on this common
    assert state(project) == before
    # and a memory that was damaged is not believed
    (kept,) = (own_home / "cache/mails").glob("*.json")
    kept.write_bytes(kept.read_bytes().replace(b'":"', b'":"0', 1))
    assert renders(logged(project, tmp_path, tree)) == 1
    assert state(project) == before


def test_a_changed_commit_alone_is_written_again(
    project: Project, warm: None, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTER_CACHE", str(own_home / "cache"))
    tree = tmp_path / "tree"
    apply(["mlu"], tree, project=project)
    export(tree, project=project)
    text = (tree / "utils/accelerator/mlu.py").read_text()
    (tree / "utils/accelerator/mlu.py").write_text(f"# more\n{text}\n")
    git("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "-a", "--fixup=HEAD~1", cwd=tree)
    rows = [row for row in logged(project, tmp_path, tree) if " format-patch " in row]
    assert "# more" in (project.patches / "mlu/0001-Register-the-MLU.patch").read_text()
    spans = [row.rpartition(" ")[2] for row in rows]
    assert all(span.count("..") == 1 for span in spans)
    fresh = shutil.copytree(project.root, tmp_path / "fresh")
    monkeypatch.setenv("PORTER_CACHE", str(own_home / "empty"))
    assert export(tree, project=Project(fresh)).rewrite.edits == ()
