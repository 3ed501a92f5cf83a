"""Environment variables for options, and the one that forbids the network."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from commandline import commands
from sources import closed_port
from stacks import porter

import porter as api
from porter.cli import cli
from porter.downloads import retry
from porter.errors import EnvironmentFailed
from porter.project import Project


def test_every_option_has_a_variable_of_its_own() -> None:
    names: dict[str, tuple[str, ...]] = {}
    for path, command in [((), cli), *commands()]:
        for option in command.params:
            if isinstance(option, click.Option) and not option.is_eager:
                assert isinstance(option.envvar, str) and option.show_envvar, (path, option.opts)
                assert names.setdefault(option.envvar, path) is path, option.envvar
                assert option.envvar.startswith("_".join(("PORTER", *path)).replace("-", "_").upper() + "_")
    assert {"PORTER_VERIFY_LEVEL", "PORTER_DATA_FETCH_REQUIRE_KNOWN", "PORTER_NEW_TARGET_JSON", "PORTER_OFFLINE"} <= {
        *names
    }
    taken = {
        "PORTER_CACHE",
        "PORTER_DATA",
        "PORTER_MIRROR",
        "PORTER_TIMEOUT",
        "PORTER_UPSTREAM",
    }  # what else porter reads
    assert not taken & {*names}


def test_what_is_typed_is_stronger(project: Project, warm: None) -> None:
    variables = {"PORTER_APPLY_TARGET": "mlu", "PORTER_APPLY_CHECK": "1"}
    assert "of mlu apply" in porter("apply", "x", cwd=project.root, env=variables).stdout
    assert "of tpu apply" in porter("apply", "--target", "tpu", "x", cwd=project.root, env=variables).stdout
    wrong = porter("apply", "x", cwd=project.root, env={**variables, "PORTER_APPLY_CHECK": "perhaps"})
    assert wrong.returncode == 2 and "perhaps" in wrong.stderr


@pytest.mark.parametrize(("value", "asked"), [("1", True), ("0", False), ("", False)])
def test_errors_are_json_where_the_variable_asks(value: str, asked: bool, project: Project, warm: None) -> None:
    done = porter("apply", "--target", "nobody", "x", cwd=project.root, env={"PORTER_APPLY_JSON": value})
    assert done.returncode == 2 and "nobody" in done.stderr
    assert (json.loads(done.stdout)["kind"] == "error") if asked else not done.stdout


def test_offline_nothing_is_asked(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy at which nobody listens would be named, had anything been asked."""
    for name in "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY":
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    for words in (
        ("apply", "--target", "mlu", tmp_path / "tree"),
        ("data", "fetch", "coco128", "--dest", tmp_path),
        ("weights", "fetch", "yolov5n", "--dest", tmp_path),
    ):
        done = porter("--offline", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (3, "")
        assert "porter is offline (--offline, PORTER_OFFLINE)" in done.stderr and "proxy" not in done.stderr
    assert done.stderr == porter(*words, "--offline", cwd=tmp_path).stderr
    assert done.stderr == porter(*words, cwd=tmp_path, env={"PORTER_OFFLINE": "1"}).stderr
    monkeypatch.setenv("PORTER_OFFLINE", "0")
    assert not retry.is_offline()


def test_offline_what_is_here_serves(
    project: Project, warm: None, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTER_OFFLINE", "1")
    assert api.apply("mlu", "from-the-cache", project=project).how == "made"
    monkeypatch.setenv("PORTER_CACHE", str(project.root / "cache"))
    assert api.apply("mlu", "from-a-clone", upstream=str(clone), project=project).how == "made"
    monkeypatch.setenv("PORTER_CACHE", str(project.root / "empty"))
    with pytest.raises(EnvironmentFailed, match="porter is offline"):
        api.apply("mlu", "from-nowhere", upstream="https://localhost:9/x", project=project)
