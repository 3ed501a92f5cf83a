"""A small project for the tests: stacks that git itself wrote, on the small upstream of sources.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sources import SCRIPT, Upstream, git, make_upstream

from porter.commands.lock import lock as write_lock
from porter.patch import FORMAT, Patch, file_names
from porter.project import Project

CHECKOUT = Path(__file__).resolve().parents[1]
AUTHOR = "Zoë Porter <zoe@example.org>"
LONG = "".join(f"line_{n} = {n}\n" for n in range(1, 61))
MAIN = "from utils import accelerator\nimport torch\n\n\ndef main(opt):\n    print('train', opt)\n"


def message(subject: str, stack: str) -> str:
    """A commit message that porter lint has nothing to say about."""
    return f"{subject}\n\nThe test needs it.\n\nReason: device\nUpstream: no\nCheck: train\nStack: {stack}\n"


@dataclass(frozen=True)
class Step:
    """A commit to be made: what it does to the files of a working tree."""

    stack: str
    subject: str
    do: Callable[[Path], None]


def write(name: str, text: str) -> Callable[[Path], None]:
    """A step that gives one file a new text."""

    def do(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    return do


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    """A step that changes one file."""

    def do(root: Path) -> None:
        text = (root / name).read_text()
        assert text.count(old) == 1
        (root / name).write_text(text.replace(old, new))

    return do


def _move(root: Path) -> None:
    (root / "README.md").unlink()
    (root / SCRIPT).rename(root / "data/get.sh")
    (root / "data/coco.yaml").chmod(0o755)
    (root / "data/empty").write_text("")


def _accelerator(root: Path) -> None:
    write("utils/accelerator/__init__.py", "REGISTRY = {}\n")(root)
    write("utils/long.py", LONG)(root)


STEPS = (
    Step("common", "Import the accelerator", write("train.py", MAIN)),
    Step("common", "Add utils/accelerator: a registry of devices", _accelerator),
    Step("common", "Move, delete, add and change modes", _move),
    Step("mlu", "Register the MLU (寒武纪)", write("utils/accelerator/mlu.py", "NAME = 'mlu'")),
    Step("mlu", "Know the MLU at the top", replace("utils/long.py", "line_5 = 5\n", "line_5 = 'mlu'\nmlu = 1\n")),
    Step("tpu", "Register the TPU", write("utils/accelerator/tpu.py", "NAME = 'tpu'\n")),
    Step("tpu", "Know the TPU at the bottom", replace("utils/long.py", "line_50 = 50\n", "line_50 = 'tpu'\n")),
)


def commit(clone: Path, text: str, when: int) -> None:
    """Commit everything in a working tree, as a fixed author at a fixed time."""
    git("add", "-A", cwd=clone)
    message_file = clone / ".git" / "message"
    message_file.write_text(text)
    env = ("-c", "user.name=Zoë Porter", "-c", "user.email=zoe@example.org")
    git(
        *env,
        "commit",
        "-q",
        "--allow-empty",
        f"--author={AUTHOR}",
        f"--date={when} +0800",
        "-F",
        message_file,
        cwd=clone,
    )


def export(clone: Path, base: str, folder: Path) -> list[str]:
    """The commits since ``base`` as patch files with a series; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    git("format-patch", "-q", *FORMAT, "-o", folder, f"{base}..HEAD", cwd=clone)
    made = sorted(folder.glob("[0-9]*.patch"))  # git numbers them
    names = file_names(Patch.read(path, folder.name).subject for path in made)
    for path, name in zip(made, names):
        path.rename(folder / name)
    (folder / "series").write_text("# the order\n" + "".join(f"{name}\n" for name in names))
    return names


def make_project(root: Path) -> Upstream:
    """A project in ``root/project`` with the stacks of STEPS and a lock in step; its upstream is ``root/small``."""
    small = make_upstream(root / "small")
    clone = root / "work"
    git("clone", "-q", small.path, clone, cwd=root)
    git("switch", "-q", "-c", "common", "v6.0", cwd=clone)
    patches = root / "project" / "patches"
    base = small.pin.commit
    for name in ("common", "mlu", "tpu"):
        if name != "common":
            git("switch", "-q", "-c", name, "common", cwd=clone)
            base = "common"
        for number, step in enumerate(STEPS):
            if step.stack == name:
                step.do(clone)
                commit(clone, message(step.subject, name), 1700000000 + 60 * number)
        export(clone, base, patches / name)
        if name != "common":
            for file in ("target.yaml", "requirements.txt"):
                shutil.copy(CHECKOUT / "patches" / name / file, patches / name)
    project = Project(root / "project")
    small.lock.write(project.lock_path)
    write_lock(project=project)
    return Upstream(small.path, small.lock)


def porter(*args: object, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """``porter ARGS`` as a person runs it."""
    command = [sys.executable, "-m", "porter", *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **(env or {})}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)


def inventory(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything about a folder that a command which touches nothing must leave: time, mode, content of each file."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        stat = path.lstat()
        data = b"" if path.is_dir() else os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        found[str(path.relative_to(folder))] = (stat.st_mtime_ns, stat.st_mode, data)
    return found
