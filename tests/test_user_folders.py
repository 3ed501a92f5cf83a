"""HOME, the XDG variables and PORTER_CACHE that are no use: also root finds a file in the place of a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from moment import HIT
from stacks import CHECKOUT, porter

from porter.errors import EnvironmentFailed
from porter.files import user_folder
from porter.project import Project

pytestmark = pytest.mark.usefixtures("own_home")

NO_CACHE = {
    "HOME is a file": {"HOME": "{file}"},
    "HOME is below a file": {"HOME": "{file}/home"},
    "XDG_CACHE_HOME is a file": {"XDG_CACHE_HOME": "{file}"},
    "PORTER_CACHE is a file": {"PORTER_CACHE": "{file}"},
    "PORTER_CACHE is below a file": {"PORTER_CACHE": "{file}/cache"},
    "PORTER_CACHE is in nobody's home": {"PORTER_CACHE": "~no-such-person/cache"},
}


@pytest.fixture(params=NO_CACHE)
def env(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "file").write_text("")
    return {"PORTER_CACHE": "", **{n: v.format(file=tmp_path / "file") for n, v in NO_CACHE[request.param].items()}}


@pytest.mark.parametrize(
    "words", [("apply", "--target", "mlu", "new"), ("lint",), ("verify", "--target", "mlu", "--level", "static")]
)
def test_what_needs_the_cache_says_so(project: Project, env: dict[str, str], words: tuple[str, ...]) -> None:
    before = sorted(os.listdir(project.root))
    done = porter(*words, cwd=project.root, env=env)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    what, why, hint = done.stderr.splitlines()
    assert what.startswith("porter: error: ") and "cache" in what.lower() and why.startswith("  ")
    assert hint.startswith("hint: ") and "PORTER_CACHE" in hint
    assert sorted(os.listdir(project.root)) == before  # above all no folder `cache` or `home`


def test_all_else_works(project: Project, env: dict[str, str], warm: None, tmp_path: Path) -> None:
    assert porter("apply", "--target", "mlu", tmp_path / "tree", cwd=project.root).returncode == 0
    before = sorted(os.listdir(project.root))
    for words in (
        ("status", tmp_path / "tree"),
        ("audit", tmp_path / "tree"),
        ("data", "make", "--images", "2", tmp_path / "data"),
        ("show", "mlu/1"),
        ("targets",),
        ("completion", "bash"),
    ):
        done = porter(*words, cwd=project.root, env=env)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout, (words, done.stderr)
    assert sorted(os.listdir(project.root)) == before


@pytest.mark.parametrize("kind", ["cache", "state"])
@pytest.mark.parametrize("name", ["HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"])
def test_nothing_is_kept_relative_to_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, name: str, kind: Literal["cache", "state"]
) -> None:
    monkeypatch.setenv(name, "folder")
    try:  # late platformdirs pass such a value over, early ones return it
        assert user_folder(kind, "Set HOME.").is_absolute()
    except EnvironmentFailed as error:
        assert kind in error.what and name in error.why and error.hint == "Set HOME."


def test_nobody_without_a_home_has_a_place(tmp_path: Path) -> None:
    code = "from porter import cli\ncli._unforeseen(ValueError('a bug'))\ncli.main(['lint'])\n"
    env = {n: v for n, v in os.environ.items() if n not in ("HOME", "PORTER_CACHE")}
    env.update(PYTHONPATH=str(CHECKOUT), TMPDIR=str(tmp_path))
    # as in a container that was given a user id
    nobody = f"import os\nimport pwd\ndef unknown(user): raise KeyError(user)\npwd.getpwuid = unknown\n{code}"
    done = subprocess.run([sys.executable, "-c", nobody], cwd=CHECKOUT, env=env, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert "cannot tell where porter's cache goes" in done.stderr and "PORTER_CACHE" in done.stderr
    assert len(list(tmp_path.glob("*.log"))) == 1


def test_no_folder_for_temporary_files(project: Project, warm: None) -> None:
    code = (
        "import sys\nimport tempfile\n"
        "tempfile._candidate_tempdir_list = lambda: ['/dev/null/tmp']\n"  # as on a disk that cannot be written to
        "from porter.cli import main\nmain(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "verify", "--target", "mlu", "--level", "static"]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, cwd=project.root, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    what, why, hint = done.stderr.splitlines()
    assert "temporary files" in what and "/dev/null/tmp" in why and "TMPDIR" in hint


# when a function of tempfile's has just made something and not told anybody
_WHILE_MAKING = """
from porter.temporary import temporary_folder

hit_when_returning_from(sys.argv[2], int(sys.argv[1]))
with temporary_folder("porter-test-"):
    print("in it")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("function", ["mkdtemp", "_get_default_tempdir"])
def test_a_signal_leaves_nothing_that_is_just_being_made(tmp_path: Path, function: str, number: signal.Signals) -> None:
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TMPDIR": str(tmp_path)}
    words = [sys.executable, "-c", HIT + _WHILE_MAKING, str(int(number)), function]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_temporary_folders_are_made_in_one_place() -> None:
    found = [path.name for path in (CHECKOUT / "porter").rglob("*.py") if "TemporaryDirectory(" in path.read_text()]
    assert found == []
