"""porter run: what it becomes, in a small tree whose programs say how they were run, and on the emulated device."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from stacks import CHECKOUT, porter

from porter.commands.apply import apply
from porter.project import Project

pytestmark = pytest.mark.usefixtures("warm")
SAYS = """\
import json, os, sys
# parser.add_argument('--device', default='')
found = [name for name in os.environ if name.startswith("PORTER_EMULATED") and os.environ[name]]
print(json.dumps([sys.argv, os.getcwd(), os.environ.get("PYTHONPATH", "").split(os.pathsep), bool(found)]), flush=True)
sys.exit(7)
"""


@pytest.fixture
def tree(project: Project, tmp_path: Path) -> Path:
    """A tree with a program that takes --device, one that takes none, and a module."""
    apply(["mlu"], tmp_path / "my tree", project=project)
    for name, text in ("val.py", SAYS), ("plain.py", SAYS.replace("--device", "")), ("utils/said.py", SAYS):
        (tmp_path / "my tree" / name).write_text(text)
    (tmp_path / "my tree" / "utils" / "__init__.py").touch()
    return tmp_path / "my tree"


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (["val.py", "--img", "64"], ["val.py", "--img", "64", "--device", "{device}"]),
        (["val.py", "--device", "mlu:1"], ["val.py", "--device", "mlu:1"]),
        (["val.py", "--data", "mine.yaml"], ["val.py", "--data", "{here}/mine.yaml", "--device", "{device}"]),
        (["plain.py", "-m", "x"], ["plain.py", "-m", "x"]),
        (["-m", "utils.said", "1"], ["{tree}/utils/said.py", "1", "--device", "{device}"]),
    ],
)
@pytest.mark.parametrize(("asked", "device", "emulated"), [("emulated", "mlu", True), ("cpu", "cpu", False)])
def test_programs_of_the_tree(
    tree: Path, project: Project, words: list[str], argv: list[str], asked: str, device: str, emulated: bool
) -> None:
    here = project.root
    (here / "mine.yaml").touch()
    done = porter("run", "--target", "mlu", "--device", asked, tree, "--", *words, cwd=here)
    assert done.returncode == 7, done.stderr
    given, folder, _, is_emulated = json.loads(done.stdout)
    assert given == [word.format(here=here, tree=tree, device=device) for word in argv]
    assert (folder, is_emulated) == (str(tree), emulated)
    assert (done.stderr.splitlines()[0] == "EMULATED MLU370") == emulated
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"+ cd {shlex.quote(str(tree))} && ")
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}  # as porter had it
    again = subprocess.run(["sh", "-c", line[2:]], env=env, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (7, done.stdout)  # the line says all that was done


def test_ones_own_runs_where_one_is(tree: Path, project: Project) -> None:
    here = project.root
    (here / "mine.py").write_text(SAYS)
    (here / "own").mkdir()
    (here / "own" / "__main__.py").write_text(SAYS)
    for words, name in (["mine.py", "a"], "mine.py"), (["-m", "own", "a"], f"{here}/own/__main__.py"):
        done = porter("run", "--target", "mlu", "--device", "emulated", tree, "--", *words, cwd=here)
        given, folder, path, emulated = json.loads(done.stdout)
        assert (given, folder, path[-1], emulated) == ([name, "a"], str(here), str(tree), True)


def test_auto_is_the_card_where_its_plugin_is_installed(tree: Path, tmp_path: Path) -> None:
    """The plugin is looked for in the program's interpreter, and not imported."""
    words = ("run", "--target", "mlu", "--dry-run")
    assert "EMULATED MLU370" in porter(*words, tree, "--", "val.py", cwd=Path.cwd()).stderr
    (tmp_path / "plugin" / "torch_mlu").mkdir(parents=True)
    (tmp_path / "plugin" / "torch_mlu" / "__init__.py").write_text("raise SystemExit('imported')\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "plugin"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    done = porter(*words, "--python", python, tree, "--", "val.py", cwd=Path.cwd())
    assert done.stderr == "" and done.stdout == f"cd '{tree}' && {python} val.py --device mlu\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("{tree}",), "no program was named"),
        (("{tree}", "--", "nothing.py"), "there is no nothing.py"),
        (("{tree}", "--", "-m"), "-m names no module"),
        (("{tree}", "val.py", "--img", "3"), "DIR -- PROGRAM --img ..."),
        (("--device", "cpu", "--counts", "x.json", "{tree}", "--", "val.py"), "nothing counts operators on the cpu"),
        (("--device", "cpu", "--profile", "mlu370", "{tree}", "--", "val.py"), "--profile mlu370 is a card to emulate"),
        (("--profile", "sg2260", "{tree}", "--", "val.py"), "sg2260 is no mlu"),
        (("--python", "no-python", "{tree}", "--", "val.py"), "cannot run no-python"),
    ],
)
def test_wrong_usage(tree: Path, words: tuple[str, ...], says: str) -> None:
    done = porter("run", "--target", "mlu", *[word.format(tree=tree) for word in words], cwd=Path.cwd())
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr


@pytest.mark.device
@pytest.mark.long
def test_ones_own_program_on_the_emulated_device(
    project: Project, tree: Path, built_emulator: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "emulator").symlink_to(built_emulator.parent)
    (project.root / "mine.py").write_text(
        "import torch\nimport torch_mlu\n"
        "print(torch.mlu.get_device_name(0), torch.ones(3).to('mlu').sigmoid().device)\n"
    )
    words = ("run", "--target", "mlu", "--device", "emulated", "--counts", "counts.json", tree, "--", "mine.py")
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PORTER_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-m", "porter", *map(str, words)],
        cwd=project.root, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "EMULATED MLU370 mlu:0\n"
    counts = json.loads((project.root / "counts.json").read_text())
    assert any(name.startswith("aten::sigmoid") for name in counts["rest"]["operators"])
