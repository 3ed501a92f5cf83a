"""What was looked at once: a scan or a compilation is the same, remembered or made anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sources import git
from stacks import CHECKOUT

from porter.auditing.scan import remembered, scan
from porter.commands.apply import apply
from porter.errors import CheckFailed
from porter.project import Project
from porter.sources.cache import Memo

FILES = {
    "a.py": b"import torch\n\n\ndef f(x):\n    return x.cuda()  # moves it\n",
    "b.py": b"from c import *\n\ncuda.synchronize()\n",
    "c.py": b"from torch import cuda\nfrom d import *\n",
    "d.py": b"from c import *\nfrom torch import hub as amp\n",
    "models/__init__.py": b"",
}


@pytest.fixture
def memo(own_home: Path) -> Memo:
    return Memo("audit", [b"test"])


def test_a_scan_from_the_memo_is_the_scan(memo: Memo) -> None:
    fresh = scan(FILES)
    assert [(place.path, place.line, place.rule) for place in fresh] == [
        ("a.py", 5, "device-method"),
        ("b.py", 3, "device-api"),
        ("c.py", 1, "device-api"),
    ]
    assert scan(FILES, memo) == fresh
    again = Memo("audit", [b"test"])
    data = again.path.read_bytes()
    assert scan(FILES, again) == fresh
    assert again.path.read_bytes() == data  # nothing new
    # in another order, with other files around
    assert scan(dict(reversed(FILES.items())), again) == fresh
    assert scan({"b.py": FILES["b.py"]}, again) == []


def test_what_star_imports_bring_counts(memo: Memo) -> None:
    scan(FILES, memo)
    changed = {**FILES, "c.py": b"from math import tan as cuda\n"}
    assert scan(changed, memo) == scan(changed) != []
    assert [place.path for place in scan(changed, memo)] == ["a.py"]
    assert scan(FILES, memo) == scan(FILES)


def test_the_same_content_elsewhere_is_another_file(memo: Memo) -> None:
    text = b"import torch\n\ntorch.cuda.synchronize()\n"
    (place,) = scan({"a.py": text}, memo)
    (inside,) = scan({"utils/accelerator/cuda.py": text}, memo)
    assert (place.state, inside.state) == ("not ported", "routed")


def test_what_is_no_python_is_said_every_time(memo: Memo) -> None:
    for _ in range(2):
        with pytest.raises(CheckFailed, match=r"a\.py:1: not Python"):
            scan({"a.py": b"def (:\n"}, memo)


def test_a_damaged_memo_changes_no_result(memo: Memo) -> None:
    fresh = scan(FILES, memo)
    data = memo.path.read_bytes()
    assert data.count(b"device-method") == 1
    memo.path.write_bytes(data.replace(b"not ported", b"allowed!!!"))
    assert scan(FILES, Memo("audit", [b"test"])) == fresh
    assert memo.path.read_bytes() == data


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
