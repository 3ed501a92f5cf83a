"""porter prepare: each step done, done again, and failing; pip with real wheels, downloads from a folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from fileserver import raw
from published import coco128, standin
from pythons import PINS, made
from sources import FILES, make_wheel
from stacks import inventory, porter
from torchfiles import checkpoint

from porter.project import Project

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What :func:`python` copies."""
    return made(tmp_path_factory.mktemp("python"))


@pytest.fixture
def python(made_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python with NumPy 1.26.2 and a torch, all that is named so; pip finds wheels in a folder only."""
    for name in "env", "wheels":
        shutil.copytree(made_once / name, tmp_path / name, symlinks=True)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "env" / "bin" / "python"


def requires(wheels: Path, name: str, what: str) -> None:
    """A wheel of that name that asks for something."""
    made = make_wheel(wheels / "again", name, PINS[name], {f"{name}.py": b""})
    import zipfile

    with zipfile.ZipFile(made) as old, zipfile.ZipFile(wheels / made.name, "w") as new:
        for member in old.namelist():
            data = old.read(member)
            if member.endswith("METADATA"):
                data = data.replace(b"\n\n", f"\nRequires-Dist: {what}\n\n".encode(), 1)
            if not member.endswith("RECORD"):
                new.writestr(member, data)
        new.writestr(f"{name}-{PINS[name]}.dist-info/RECORD", "")


def installed(python: Path) -> dict[str, str]:
    code = (
        "import importlib.metadata as m, json\n"
        "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
    )
    found: dict[str, str] = json.loads(subprocess.run([python, "-c", code], capture_output=True, check=True).stdout)
    return found


def prepare(*words: object, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return porter("prepare", "--target", "tpu", *words, cwd=Path.cwd(), env=env)


def test_without_install_nothing_is_installed(python: Path, tmp_path: Path) -> None:
    before = installed(python)
    done = prepare("--python", python, tmp_path / "tree")
    assert done.returncode == 0, done.stderr
    tree, lacking, command, *rest = done.stdout.splitlines()
    assert tree == f"done          tree: {tmp_path}/tree: tpu, 5 patches"
    lacks = "pandas==2.1.4, tqdm==4.66.1"
    assert lacking == f"left to you   requirements: {python} lacks {lacks}; --install has pip install them"
    assert command.split() == [str(python), "-m", "pip", "install", "pandas==2.1.4", "tqdm==4.66.1"]
    assert rest[0].startswith("Then: porter doctor --target tpu")
    assert installed(python) == before


def test_install_holds_torch_and_numpy(python: Path, tmp_path: Path) -> None:
    requires(tmp_path / "wheels", "pandas", "numpy>=1.20")
    done = prepare("--python", python, "--install", tmp_path / "tree")
    assert done.returncode == 0, done.stderr
    assert "torch and NumPy are as they were" in done.stdout
    found = installed(python)
    assert (found["numpy"], found["torch"], found["pandas"]) == ("1.26.2", "2.1.0", "2.1.4")
    assert "torchvision" not in found, "a ported tree does without"
    again = prepare("--python", python, "--install", tmp_path / "tree")
    assert [line[:13].strip() for line in again.stdout.splitlines()[:2]] == ["there already", "there already"]


def test_a_package_that_wants_another_numpy_is_refused(python: Path, tmp_path: Path) -> None:
    requires(tmp_path / "wheels", "pandas", "numpy>=2")
    before = installed(python)
    done = prepare("--python", python, "--install", tmp_path / "tree")
    assert done.returncode == 3, done.stdout
    assert "error: pip ended with status 1" in done.stderr and "numpy==1.26.2" in done.stderr
    assert installed(python) == before
    assert "done          tree" in done.stdout, "what was done before is said"


def test_an_index_that_trickles_is_given_up(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_DEFAULT_TIMEOUT", "PIP_EXTRA_INDEX_URL":
        monkeypatch.delenv(name, raising=False)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n"
    with raw(head, drip=b"x" * 5000) as url:
        env = {"PIP_INDEX_URL": f"{url}/simple/", "PIP_CONFIG_FILE": os.devnull, "PORTER_TIMEOUT": "0.5"}
        started = time.monotonic()
        done = prepare("--python", python, "--install", tmp_path / "tree", env=env)
    assert time.monotonic() - started < 30
    assert done.returncode == 3 and "ERROR: the package index is too slow: it sent" in done.stderr, done.stderr


def test_torch_only_when_told(python: Path, tmp_path: Path) -> None:
    subprocess.run([python, "-m", "pip", "-q", "uninstall", "-y", "torch"], check=True)
    done = prepare("--python", python, "--install", tmp_path / "tree")
    assert done.returncode == 0 and "left to you   requirements: installed" in done.stdout, done.stderr
    assert "torch" not in installed(python)
    command = re.search(r"^ +(\S+ -m pip install torch==2.1.0 --index-url \S+)$", done.stdout, re.MULTILINE)
    assert command and shlex.split(command[1])[0] == str(python)
    done = prepare("--python", python, "--install", "--torch", tmp_path / "tree")
    assert done.returncode == 0, done.stderr
    assert installed(python)["torch"] == "2.1.0"


def test_a_checkpoint_that_upstream_has_not_is_refused_first(python: Path, tmp_path: Path) -> None:
    done = prepare("--python", python, "--weights", "yolov5z", tmp_path / "tree")
    assert (done.returncode, done.stdout, (tmp_path / "tree").exists()) == (2, "", False)
    assert "upstream has no yolov5z.pt" in done.stderr
    assert prepare("--python", python, "--weights", "yolov5n", "--release", "v7", tmp_path / "tree").returncode == 2
    assert not (tmp_path / "tree").exists()


def test_without_pip_it_says_what_brings_one(python: Path, tmp_path: Path) -> None:
    """And what it says works."""
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "pip").unlink()
    tree = tmp_path / "tree"
    done = prepare("--python", python, "--install", tree)
    assert (done.returncode, f"{python} has no pip" in done.stderr) == (3, True), done.stderr
    hint = done.stderr.partition("hint: ")[2].strip()
    first, _, again = hint.partition(" && ")
    assert again == f"porter prepare --target tpu --install --python {python} {tree}"
    subprocess.run(shlex.split(first), check=True, capture_output=True)
    assert prepare("--python", python, "--install", tree).returncode == 0


def test_weights_data_and_the_command(tmp_path: Path, python: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "yolov5m.pt").write_bytes(checkpoint())
    (mirror / "coco128.zip").write_bytes(coco128())
    env = standin(coco128(), tmp_path)
    tree = tmp_path / "my trees" / "yolov5"
    tree.parent.mkdir()
    words = ("--python", python, "--weights", "yolov5m", "--data", "coco128", "--mirror", mirror, tree)
    done = prepare(*words, env=env)
    assert done.returncode == 0, done.stderr
    assert (tree / "yolov5m.pt").read_bytes() == checkpoint()
    assert len(list((tree.parent / "datasets/coco128/images/train2017").iterdir())) == 128
    command = done.stdout.splitlines()[-1].strip()
    assert command == (
        f"cd '{tree}' && {python} train.py --data coco128.yaml --weights yolov5m.pt --img 640 --device tpu"
    )
    for file in mirror.iterdir():
        file.unlink()
    before = inventory(tree.parent)
    again = json.loads(prepare("--json", *words, env=env).stdout)
    states = {step["name"]: step["state"] for step in again["steps"]}
    assert states == {"tree": "there already", "requirements": "left to you", "weights": "there already",
                      "data": "there already"}  # fmt: skip
    assert again["train"] == command and inventory(tree.parent) == before


def test_scenes_and_a_yaml_of_ones_own(tmp_path: Path, python: Path) -> None:
    for state in "done", "there already":
        done = prepare("--python", python, "--data", "scenes", tmp_path / "tree")
        assert done.returncode == 0 and f"{state:13} data: {tmp_path}/datasets/scenes" in done.stdout, done.stderr
    (tmp_path / "own.yaml").write_text("nc: 1\n")
    done = prepare("--python", python, "--data", tmp_path / "own.yaml", tmp_path / "tree")
    assert f"--data {tmp_path}/own.yaml --weights '' --cfg yolov5s.yaml" in done.stdout


def test_a_download_that_fails_leaves_what_was_done(tmp_path: Path, python: Path, project: Project) -> None:
    (tmp_path / "empty").mkdir()
    words = ("--python", python, "--weights", "yolov5n.pt", "--mirror", tmp_path / "empty", tmp_path / "tree")
    env = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = porter("prepare", "--target", "tpu", *words, cwd=project.root, env={**env, "PORTER_TIMEOUT": "2"})
    assert done.returncode == 3 and "cannot download yolov5n.pt" in done.stderr, done.stderr
    assert (tmp_path / "tree" / "train.py").read_bytes() != FILES["train.py"] and "done          tree" in done.stdout
    assert not (tmp_path / "tree" / "yolov5n.pt").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--target", "npu"), "there is no target 'npu'"),
        (("--data", "coco256"), "there is no data set coco256"),
        (("--python", "no-python"), "cannot run no-python"),
        (("--python", "/bin/true"), "/bin/true is not a Python that answers"),
        (("--weights", "yolov5z.pt"), "upstream has no yolov5z.pt"),
    ],
)
def test_wrong_usage(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    done = prepare(*words, tmp_path / "tree")
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_clone_with_changes_is_not_touched(clone: Path) -> None:
    (clone / "train.py").write_text("mine\n")
    before = inventory(clone)
    done = prepare(clone)
    assert done.returncode == 2 and "has changes that are not committed" in done.stderr
    assert {k: v for k, v in inventory(clone).items() if ".git" not in k} == {
        k: v for k, v in before.items() if ".git" not in k
    }
    assert os.path.exists(clone / "train.py")
