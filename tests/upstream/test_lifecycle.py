"""``porter export`` and ``porter import`` on the real v6.0."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from porter.stack import available

from .harness import CHECKOUT, Lab, Tree, porter

TARGETS = available(CHECKOUT / "patches")
STACKS = [*TARGETS, "+".join(TARGETS)]
SEED = Path(__file__).parents[1] / "lifecycle" / "data" / "mlu-seed.diff"


@pytest.fixture
def project(lab: Lab) -> Path:
    """A copy of the shipped stacks, where nothing that a test writes does harm."""
    folder = lab.folder("project")
    shutil.copytree(CHECKOUT / "patches", folder / "patches")
    shutil.copy(CHECKOUT / "upstream.lock", folder)
    return folder


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("name", STACKS)
def test_export_after_apply_changes_no_byte(name: str, lab: Lab, project: Path, porter_env: dict[str, str]) -> None:
    """Of every target that there is, and of all of them together."""
    targets = [word for target in name.split("+") for word in ("--target", target)]
    tree = lab.folder("export") / "tree"
    done = porter("apply", *targets, tree, cwd=project, env=porter_env)
    assert done.returncode == 0, done.stderr
    before = contents(project)
    done = porter("export", tree, cwd=project, env=porter_env)
    assert (done.returncode, "No file was touched" in done.stdout) == (0, True), done.stdout + done.stderr
    assert contents(project) == before


def expected(text: str, hunks: list[str]) -> str:
    """A file with the hunks in it, each put where its header says, the last one first."""
    lines = text.split("\n")
    for hunk in sorted(hunks, key=lambda hunk: -int(re.match(r"@@ -(\d+)", hunk)[1])):  # type: ignore[index]
        header, *rows = hunk.rstrip("\n").split("\n")
        start = int(re.match(r"@@ -(\d+)", header)[1]) - 1  # type: ignore[index]
        old = [row[1:] for row in rows if not row.startswith("+")]
        assert lines[start : start + len(old)] == old, header
        lines[start : start + len(old)] = [row[1:] for row in rows if not row.startswith("-")]
    return "\n".join(lines)


def test_the_hunks_that_the_mlu_seed_prints(
    project: Path, pristine: Tree, lab: Lab, porter_env: dict[str, str]
) -> None:
    """They come without the end of some, as they were printed; on v6.0 alone all fit, and give that very tree."""
    for part in ("common", "mlu"):
        for path in (project / "patches" / part).glob("*.patch"):
            path.unlink()
        (project / "patches" / part / "series").write_text("")
    shutil.rmtree(project / "patches" / "tpu")
    env = {**porter_env, "GIT_CONFIG_COUNT": "2"}
    for number, (key, value) in enumerate({"user.name": "A", "user.email": "a@example.org"}.items()):
        env.update({f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value})
    look = lab.folder("import") / "look"
    arguments = ("import", SEED, "--target", "mlu", "--tree", look)
    assert porter("lock", cwd=project, env=env).returncode == 0
    done = porter(*arguments, cwd=project, env=env)
    assert (done.returncode, "made for v6.0" in done.stdout, "10 applied" in done.stdout) == (0, True, True), (
        done.stderr
    )
    assert list((project / "patches/mlu").glob("*.patch")) == []
    done = porter(*arguments, "--accept", cwd=project, env=env)
    assert done.returncode == 0, done.stderr
    done = porter("apply", "--target", "mlu", look.with_name("fresh"), cwd=project, env=env)
    assert done.returncode == 0, done.stderr
    files = re.split(r"^diff --git a/(\S+) .*\n", SEED.read_text(), flags=re.MULTILINE)[1:]
    hunks = {
        path: re.findall(r"^@@.*\n(?:(?!@@).*\n)*", body, re.MULTILINE) for path, body in zip(files[::2], files[1::2])
    }
    assert {path: len(found) for path, found in hunks.items()} == {"train.py": 9, "utils/torch_utils.py": 1}
    for path in (path for path in pristine.path.rglob("*") if path.is_file() and ".git" not in path.parts):
        name = path.relative_to(pristine.path).as_posix()
        text = path.read_bytes()
        if name in hunks:
            text = expected(text.decode(), hunks[name]).encode()
        assert (look.with_name("fresh") / name).read_bytes() == text, name
