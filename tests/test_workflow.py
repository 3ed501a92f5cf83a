"""GitHub's workflow is true: its steps run, and it proves what ``.ci/run`` proves.

What GitHub itself does (machines, ``uses:``, the cache) has not run here; the shell steps of its job ``verify`` have.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from commandline import commands
from fileserver import shelf
from histories import Line
from published import stand_in
from sources import closed_port

from porter.datasets import generate
from porter.project import Project
from porter.stack import available, load_parts
from porter.verification.checks import figures, known

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
VERIFY: dict[str, Any] = WORKFLOW["jobs"]["verify"]
ROWS: list[dict[str, str]] = VERIFY["strategy"]["matrix"]["include"]


WATCH: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "upstream.yml").read_text())["jobs"]["watch"]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "actions" / "porter-verify" / "action.yml").read_text())


def script(name: str, row: dict[str, str], steps: Sequence[dict[str, Any]] = VERIFY["steps"]) -> str:
    """A step's shell script in a row of the matrix, as GitHub would hand it to bash."""
    (step,) = (step for step in steps if step.get("name", "").startswith(name))
    text = re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda found: row.get(found[1], ""), step["run"])
    assert "${{" not in text
    return text


def test_it_proves_what_ci_run_proves() -> None:
    kinds = {
        "full": ("2.13.0", "full", "emulated"),
        "figures": ("2.13.0", "full", "emulated"),  # with the checkpoint at hand, as it is for all on GitHub
        "2.1": ("2.1.0", "full", "emulated"),
    }
    (steps,) = re.findall(r"^steps=\((.*)\)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    verified = [step.split("-") for step in steps.split() if "-" in step]
    wanted = {
        (target, *kinds[kind], "bm1684x" if (target, kind) == ("tpu", "2.1") else "") for target, kind in verified
    }
    theirs = {
        (row["target"], row["torch"], row["level"], row["device"], row.get("more", "").partition("--profile ")[2])
        for row in ROWS
    }
    assert len(wanted) >= 5
    assert wanted <= theirs
    assert {row["target"] for row in ROWS} == set(available(Project.find(ROOT).patches))


def test_what_it_keeps_between_runs_is_what_its_steps_use() -> None:
    assert WORKFLOW["env"]["PORTER_CACHE"] == "${{ github.workspace }}/.porter-cache"
    (cache,) = (step for step in VERIFY["steps"] if step.get("uses", "").startswith("actions/cache"))
    assert cache["with"]["path"] == "${{ env.PORTER_CACHE }}"


def test_published_figures_are_held_to_and_weekly_at_the_full_size() -> None:
    """The checks find what the steps fetched: the weights by the variable, coco128 in the cache."""
    assert [row["cron"] for row in WORKFLOW[True]["schedule"]], "YAML takes the key `on` for a boolean"
    assert VERIFY["env"] == {
        figures.VARIABLE: "${{ github.workspace }}/.porter-cache/yolov5s.pt",
        "FULL_SIZE": "${{ github.event_name == 'schedule' && '--full-size' || '' }}",
    }
    for row in ROWS:
        assert "weights fetch yolov5s.pt --require-known" in script("Get upstream", row)
        assert " $FULL_SIZE --data coco128 " in script("Verify", row)
    assert {"reference", "converges"} <= {check.name for check in known().values() if check.level == "full"}


def test_the_steps_of_verify_run(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing with a mirror at hand; and what the cache keeps is enough without a network.

    Its pictures are scenes here, packed and named as in coco128.zip, and the weights are not fetched: nothing else has
    their digest.  Of the checks one is made, for time.
    """
    row = next(row for row in ROWS if row["device"] == "cpu")
    _program(
        tmp_path,
        monkeypatch,
        '[ "$1" = verify ] && set -- "$@" --check probe\n'
        '[ "$1" = weights ] && exec test "$*" = "weights fetch yolov5s.pt --require-known --dest $PORTER_CACHE"\n',
    )
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / ".porter-cache"))
    data = _coco128(tmp_path / "scenes")
    stand_in(data, tmp_path, monkeypatch)
    with shelf({"/coco128.zip": data}) as one:
        monkeypatch.setenv("PORTER_MIRROR", one.url)
        _bash(script("Get upstream", row), tmp_path / "first")
        assert [asked.path for asked in one.log] == ["/coco128.zip"]
        assert "coco128 (porter's cache)" in _bash(script("Verify", row), tmp_path / "first")
        assert {path.name for path in (tmp_path / "first").iterdir()} == {"report.json", "report.html"}
    monkeypatch.delenv("PORTER_MIRROR")
    for name in "http_proxy", "https_proxy":
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    _bash(script("Get upstream", row), tmp_path / "second")


def test_upstream_is_watched(synthetic_line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps on a history in which a patch does not fit: it is skipped, and the rest are there."""
    shutil.copytree(synthetic_line.project.root, tmp_path / "project")
    _program(tmp_path, monkeypatch, "")
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PORTER_UPSTREAM", str(synthetic_line.upstream))
    for step in "Drift", "What a bump", "The patches":
        _bash(script(step, {}, WATCH["steps"]), tmp_path / "project")
    found = tmp_path / "project" / "found"
    assert json.loads((found / "drift.json").read_text())["kind"] == "drift"
    assert "Nothing was written." in (found / "dry-run.txt").read_text()
    assert re.search(r"\b[1-9]\d* skipped", (found / "bump.txt").read_text())
    before, after = Project(tmp_path / "project"), Project(found)
    assert after.lock_path.read_text() == before.lock_path.read_text() != synthetic_line.project.lock_path.read_text()
    assert load_parts(after)["common"]


def test_the_action_verifies_a_repository_of_patches(
    project: Project, warm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its step gets its inputs as variables of options that `porter verify` has, and no text of theirs is run."""
    (step,) = (step for step in ACTION["runs"]["steps"] if step.get("id") == "verify")
    assert not [each for each in ACTION["runs"]["steps"] if "${{" in each.get("run", "")]
    options = {name for name in step["env"] if name.startswith("PORTER_VERIFY_")}
    inner = next(command for path, command in commands() if path == ("verify",))
    assert options <= {option.envvar for option in inner.params if isinstance(option, click.Option)}
    assert len(options) == 5 and {*ACTION["inputs"]} >= {"target", "level", "profile"}
    _program(tmp_path, monkeypatch, "")
    monkeypatch.setenv("RUNNER_TEMP", str(tmp_path))
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    given = {
        "target": "mlu",
        "level": "static",
        "device": "cpu",
        "profile": "",
        "data": "scenes",
        "project": str(project.root),
    }
    for name in options | {"PORTER_PROJECT"}:
        monkeypatch.setenv(name, given[re.sub("PORTER_(VERIFY_)?", "", name).lower()])
    said = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step["run"]], cwd=tmp_path, capture_output=True, text=True
    )
    record = json.loads((tmp_path / "porter-verify.json").read_text())
    assert (record["target"], record["level"]) == ("mlu", "static"), said
    assert (tmp_path / "output").read_text() == f"record={tmp_path}/porter-verify.json\n"


def test_the_hook_of_pre_commit() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split() == ["porter", "lint"] and hook["language"] == "python" and not hook["pass_filenames"]
    heeded = [
        name for name in ("patches/mlu/series", "upstream.lock", "porter/lockfile.py") if re.search(hook["files"], name)
    ]
    assert heeded == ["patches/mlu/series", "upstream.lock"]


def _program(folder: Path, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """This checkout's porter as the first of PATH.

    Args:
        first: lines of a shell before it.
    """
    program = folder / "bin" / "porter"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n{first}exec "{sys.executable}" -m porter "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def _coco128(folder: Path) -> bytes:
    generate.make(folder, images=128, layout=generate.LIKE_COCO128)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*2017/*")):
            name = Path("coco128", path.relative_to(folder))
            archive.write(path, name.with_suffix(".txt" if path.suffix == ".txt" else ".jpg"))
    return packed.getvalue()


def _bash(text: str, cwd: Path) -> str:
    cwd.mkdir(exist_ok=True)
    command = ["bash", "-e", "-o", "pipefail", "-c", text]  # as GitHub runs a step
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
