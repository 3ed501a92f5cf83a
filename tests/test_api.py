"""The Python API: every command's function, lazy, typed, and what the documentation says of it."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from commandline import commands
from sources import git
from stacks import CHECKOUT

import porter
from porter.project import Project

# what is for a terminal alone
_NO_FUNCTION = {"completion"}
# options of `porter bump` that are functions
_VERBS = {"--continue": "bump_continue", "--skip": "bump_skip", "--redo": "bump_redo", "--abort": "bump_abort"}


def function(path: tuple[str, ...]) -> Callable[..., Any]:
    """What the documentation says a command is called: the words joined by dots, dashes as underscores."""
    found: Any = porter
    for word in path:
        found = getattr(found, "import_" if word == "import" else word.replace("-", "_"))
    assert callable(found)
    return found


def python(code: str, cwd: Path = CHECKOUT) -> str:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- every command has its function -----------------------------------------------------------------------


def test_every_command_has_its_function() -> None:
    every = {path: command for path, command in commands() if not isinstance(command, click.Group)}
    found = {path for path in every if path[0] not in _NO_FUNCTION}
    assert len(found) > 20
    for path in found:
        assert function(path).__doc__, path
    options = {name for parameter in every["bump",].params for name in parameter.opts}
    assert set(_VERBS) <= options
    assert all(callable(getattr(porter, name)) for name in _VERBS.values())


def test_a_command_asks_for_what_its_function_takes() -> None:
    """An option that is added to a command is not forgotten in its function, nor the other way round."""
    callers = {"project", "progress", "begun", "ended", "layout"}  # what only a program gives
    terminals = {"as_json", "json_file", "html_file", "png_file", "sarif_file", "sheet_file", "output", "trend",
                 "every", "rules", "dry_run", "like", "quiet", "verbose", "offline", "project", "line"}  # fmt: skip
    others = {
        "bump": {"go_on", "skip", "redo", "abort"},
        "verify": {"leave_out", "patches", "list", "explain"},
        "compare": {"replayed", "write_test"},
    }  # functions of their own
    for path, command in commands():
        if not isinstance(command, click.Group) and path[0] not in _NO_FUNCTION:
            taken = set(inspect.signature(function(path)).parameters) - callers
            asked = {str(parameter.name) for parameter in command.params}
            assert taken <= asked, path
            assert asked - taken <= terminals | others.get(path[0], set()), path


def test_every_function_is_documented() -> None:
    for name in porter.__all__:
        value = getattr(porter, name)
        called = [getattr(value, each) for each in vars(value) if each in ("fetch", "make", "check", "inspect", "show",
                  "scan", "verify")] if inspect.ismodule(value) else [value]  # fmt: skip
        for one in called:
            text = inspect.getdoc(one) or ""
            assert text, name
            if inspect.isfunction(one):
                assert "Raises:" in text, one
                assert inspect.signature(one).return_annotation not in (inspect.Signature.empty, "None")


# -- lazy -----------------------------------------------------------------------------------------------------


def test_importing_porter_imports_nothing_else() -> None:
    code = "import sys\nbefore = set(sys.modules)\nimport porter\n"
    assert python(f"{code}print(sorted(n for n in set(sys.modules) - before if n.startswith('porter')))") == (
        "['porter', 'porter.version']\n"
    )
    heavy = "{'torch', 'requests', 'numpy', 'rich', 'matplotlib', 'cv2', 'PIL'}"
    code += f"for name in porter.__all__:\n    getattr(porter, name)\nprint(sorted({heavy} & set(sys.modules)))"
    assert python(code) == "[]\n"


def test_no_module_is_called_as_a_function_is() -> None:
    """The import system makes a module an attribute of its package: the function would be hidden or hide it."""
    modules = {found.name for found in pkgutil.iter_modules(porter.__path__)}
    assert {"verification", "lockfile", "sources", "cli", "commands"} <= modules
    assert not modules & set(porter.__all__)


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'aply'"):
        _ = porter.aply  # type: ignore[attr-defined]
    assert set(porter.__all__) <= set(dir(porter))


# -- typed ------------------------------------------------------------------------------------------------------

_SCRIPT = """\
from pathlib import Path

import porter
from porter.tree import Status


class Listener(porter.Progress):
    def note(self, line: str) -> None:
        print(line.upper())


def ready(tree: Path) -> bool:
    try:
        made = porter.apply(["mlu", "tpu"], tree, progress=Listener())
        found: Status = porter.status(made.path, project=Path("checkout"))
    except porter.EnvironmentFailed as error:
        raise SystemExit(error.exit_code)
    return found.whole and not porter.verify("mlu", tree, ended=lambda outcome: print(outcome.check)).failed


def more() -> None:
    reveal_type(porter.apply("mlu", "tree").build.commits[0].commit)
    reveal_type(porter.bench("mlu", "tree", iters=5).ratio)
    reveal_type(porter.doctor("mlu").problems[0].do)
    reveal_type(porter.lock(check=True).stale)
    reveal_type(porter.upstream.show().pin.tag)
    reveal_type(porter.data.make(Path("scenes"), size=(64, 64)).yaml)
    reveal_type(porter.weights.inspect("x.pt").classes)
    reveal_type(porter.train("mlu", "tree").words)
    porter.apply(1, "tree")
    porter.status(tree=None)
    porter.nothing()
"""


def test_a_users_script_passes_mypy_strict(tmp_path: Path) -> None:
    """porter is found as an installed package is; mypy's own place is a folder where the environment has none."""
    place: list[str] = []
    if importlib.util.find_spec("mypy") is None:
        place = [str(tmp_path / "mypy")]
        install = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--target", *place]
        subprocess.run([*install, "mypy>=1.10"], check=True)
    assert (Path(porter.__file__).parent / "py.typed").is_file()
    (tmp_path / "mine.py").write_text(_SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(place)}
    words = ["--strict", "--config-file", os.devnull, "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, "mine.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert [text.replace("builtins.", "") for text in revealed] == [
        "str", "list[float]", "str", "tuple[str, ...]", "str", "pathlib.Path", "list[str]", "tuple[str, ...]",
    ], done.stdout + done.stderr  # fmt: skip
    lines = _SCRIPT.splitlines()
    wrong = [lines[int(n) - 1].strip() for n in re.findall(r"mine\.py:(\d+): error", done.stdout)]
    assert wrong == ['porter.apply(1, "tree")', "porter.status(tree=None)", "porter.nothing()"], done.stdout


# -- they do what they say ----------------------------------------------------------------------------------------


def test_the_documentation_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the real v6.0, in an empty folder, with the checkout's stacks."""
    monkeypatch.chdir(tmp_path)
    text = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_doctest(text.replace("```", ""), {}, "api.md", "docs/api.md", 0)
    assert len(examples.examples) > 15
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(examples, out=said.append)
    assert result.failed == 0, "".join(said)
    named = set(re.findall(r"[`,] ?`?((?:\w+\.)?\w+)\(", text))
    for name in set(porter.__all__) - {
        "Progress",
        "Project",
        "PorterError",
        "CheckFailed",
        "WrongUsage",
        "EnvironmentFailed",
    }:
        value = getattr(porter, name)
        parts = {f"{name}.{part}" for part in ("fetch", "show", "scan", "verify", "make", "check", "inspect")
                 if hasattr(value, part)} if inspect.ismodule(value) else {name}  # fmt: skip
        assert parts <= named, parts - named


def test_a_project_by_its_folder(project: Project, warm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given in (project, project.root, str(project.patches)):
        assert [target.name for target in porter.targets(project=given)] == ["mlu", "tpu"]
    made = porter.apply(["mlu", "tpu"], tmp_path / "both", project=project)
    assert made.record()["targets"] == ["mlu", "tpu"]
    assert git("rev-parse", "HEAD", cwd=tmp_path / "both") == made.record()["commit"]
    assert porter.apply("mlu", "one", check=True, project=project).how == "checked"
    assert porter.lock(project=project).record() == {"stale": [], "written": False}


def test_errors_are_porters(tmp_path: Path, project: Project) -> None:
    with pytest.raises(porter.WrongUsage, match="no target 'm'"):
        porter.apply("m", tmp_path / "x", project=project)
    with pytest.raises(porter.WrongUsage, match="no data set voc"):
        porter.data.fetch("voc")
    with pytest.raises(porter.WrongUsage, match="which stack"):
        porter.export(tmp_path, new="Subject", project=project)
    with pytest.raises(porter.PorterError):
        porter.weights.inspect(tmp_path)
    with pytest.raises(porter.WrongUsage, match="no bump is open"):
        porter.bump_continue(project=project)


def test_nothing_is_printed(project: Project, warm: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    porter.apply("mlu", tmp_path / "tree", project=project)
    porter.lint(project=project)
    porter.data.make(tmp_path / "scenes", images=2)
    assert capfd.readouterr() == ("", "")
