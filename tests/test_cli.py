from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from commandline import commands
from sources import git, mute_server
from stacks import CHECKOUT, porter

import porter as package
from porter.cli import main
from porter.project import Project


def python(code: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **env}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_version_and_help(tmp_path: Path) -> None:
    assert porter("--version", cwd=tmp_path).stdout == f"porter {package.__version__}\n"
    for word in ("-h", "--help"):
        done = porter(word, cwd=tmp_path)
        assert done.returncode == 0
        for command in ("apply", "status", "revert", "audit", "targets", "show", "lint", "lock", "upstream"):
            assert f"\n  {command} " in done.stdout
    for command in ("apply", "status", "revert", "audit", "targets", "show", "lint", "lock"):
        assert porter(command, "-h", cwd=tmp_path).returncode == 0


# the words that lead to each group of commands; none leads to porter itself
GROUPS = [(), *(path for path, command in commands() if isinstance(command, click.Group))]


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(("porter", *path)))
def test_no_summary_is_cut_at_80_columns(path: tuple[str, ...], tmp_path: Path) -> None:
    done = porter(*path, "--help", cwd=tmp_path, env={"COLUMNS": "80"})
    lines = done.stdout.splitlines()[1:]  # the first, the usage, has COMMAND [ARGS]...
    assert done.returncode == 0 and "--help" in done.stdout
    assert [line for line in lines if line.endswith("...") or len(line) > 80] == []


def test_a_mistyped_command_is_guessed(tmp_path: Path) -> None:
    done = porter("verfy", "--target", "mlu", cwd=tmp_path)
    assert (done.returncode, "No such command 'verfy'. Did you mean verify?" in done.stderr) == (2, True), done.stderr
    assert "mean" not in porter("xyzzy", cwd=tmp_path).stderr


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from porter.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'git', 'unidiff', 'requests', 'yaml', 'rich', 'numpy', 'subprocess', 'email',\n"
        "         'filelock', 'platformdirs', 'json', 'tempfile', 'porter.lockfile', 'porter.patch',\n"
        "         'porter.stack', 'porter.git'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))\n"
    )
    assert "LOADED []" in python(code, tmp_path).stdout


def test_apply_imports_neither_torch_nor_gitpython(warm: None, project: Project, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from porter.cli import main\n"
        f"try:\n    main(['apply', '--target', 'mlu', {str(tmp_path / 'tree')!r}])\nexcept SystemExit as error:\n"
        "    print('EXIT', error.code)\n"
        "print('LOADED', sorted({'torch', 'git', 'requests', 'rich', 'numpy'} & set(sys.modules)))\n"
    )
    done = python(code, project.root)
    assert "EXIT 0\nLOADED []" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["apply"], "DIR"),
        (["apply", "tree"], "no target named"),
        (["apply", "--target", "npu", "tree"], "no target 'npu'"),
        (["apply", "--target", "mlu,tpu", "tree"], "Name --target once for each"),
        (["apply", "--force", "--target", "mlu", "tree"], "--force"),
        (["nonsense"], "nonsense"),
        (["status", "nowhere"], "there is no nowhere"),
        (["revert"], "DIR"),
        (["show"], "PATCH"),
        (["show", "99"], "no patch 99"),
    ],
)
def test_wrong_usage_is_2_and_says_what(warm: None, project: Project, arguments: list[str], what: str) -> None:
    done = porter(*arguments, cwd=project.root)
    assert (done.returncode, what in done.stderr, done.stdout) == (2, True, ""), done.stderr
    assert "Traceback" not in done.stderr


def test_what_why_and_hint_are_lines_of_their_own(warm: None, project: Project, clone: Path) -> None:
    (clone / "train.py").write_text("mine\n")
    done = porter("apply", "--target", "mlu", clone, cwd=project.root)
    assert done.returncode == 2
    assert done.stdout == ""
    first, why, hint = done.stderr.rstrip("\n").split("\n")
    assert first == f"porter: error: {clone} has changes that are not committed"
    assert why == "  .M train.py"
    assert hint.startswith("hint: Commit them")


def test_a_patch_that_does_not_apply_is_1(warm: None, project: Project, tmp_path: Path) -> None:
    path = project.patches / "mlu/know-the-mlu-at-the-top.patch"
    path.write_text(path.read_text().replace(" line_3 = 3\n", " line_3 = 'other'\n"))
    done = porter("apply", "--target", "mlu", "--check", tmp_path / "tree", cwd=project.root)
    assert done.returncode == 1
    for part in (
        path.name,
        "utils/long.py",
        "@@ -2,7 +2,8 @@",
        "line_3 = 'other'",
        "line_3 = 3",
        "expected:",
        "found:",
    ):
        assert part in done.stderr


def test_no_source_is_3(project: Project, tmp_path: Path) -> None:
    done = porter("apply", "--target", "mlu", "--upstream", tmp_path / "nowhere", tmp_path / "tree", cwd=project.root)
    assert done.returncode in (2, 3), done.stderr
    assert "nowhere" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "tree").exists()


def test_no_git_is_3(warm: None, project: Project, clone: Path) -> None:
    done = porter("status", clone, cwd=project.root, env={"PATH": "/nowhere"})
    assert (done.returncode, "git is not installed" in done.stderr) == (3, True)


def test_the_story_of_a_tree(warm: None, project: Project, tmp_path: Path) -> None:
    tree = tmp_path / "yolov5"
    done = porter("apply", "--target", "mlu", tree, cwd=project.root)
    assert done.returncode == 0
    lines = done.stdout.rstrip("\n").split("\n")
    assert lines[0] == "  common/1   Import the accelerator"
    assert lines[3] == "  mlu/1      Register the MLU (寒武纪)"
    assert lines[5].startswith(f"{tree}: made, 5 patches, commit ")
    assert lines[6].startswith(f"Next: cd {tree} && python train.py") and lines[6].endswith("--device mlu")
    assert "Nothing was touched" in porter("apply", "--target", "mlu", tree, cwd=project.root).stdout
    assert porter("status", tree, cwd=project.root).stdout.count("  applied ") == 5
    assert porter("revert", tree, cwd=project.root).stdout == f"{tree}: back at master; the stack's branch is gone\n"
    assert "Nothing was touched" in porter("revert", tree, cwd=project.root).stdout
    again = porter("apply", "--target", "mlu", tree, cwd=project.root).stdout
    assert "on the new branch porter/mlu" in again and "Your master is as it was" in again


def required_options() -> list[tuple[tuple[str, ...], str]]:
    return [
        (path, option.opts[0])
        for path, command in commands()
        for option in command.params
        if isinstance(option, click.Option) and option.required
    ]


@pytest.mark.parametrize(("path", "name"), required_options(), ids=str)
def test_an_option_that_has_to_be_there_is_missed(
    path: tuple[str, ...], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = dict(commands())[path]
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    with pytest.raises(SystemExit) as left:
        main([*path, *("x" for argument in arguments if argument.required)])
    errors = capsys.readouterr().err
    assert left.value.code == 2 and "Missing option" in errors and name in errors, errors


def json_commands() -> list[tuple[str, ...]]:
    """Every command that has ``--json``, with what makes it print that on standard output."""
    found = []
    for path, command in commands():
        for option in command.params:
            if "--json" in option.opts:
                found.append((*path, "--json", *([] if getattr(option, "is_flag", False) else ["-"])))
    return found


@pytest.mark.parametrize("words", json_commands(), ids=" ".join)
def test_wrong_usage_under_json_is_an_object(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*words, "--nonsense"])
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (left.value.code, found["kind"], found["exit_code"]) == (2, "error", 2)
    assert "--nonsense" in found["error"] and "--nonsense" in said.err


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["show", "99", "--json"], 2, {"error": "there is no patch 99", "why": ""}),
        (["audit", "--json", "-", "nowhere"], 2, {"error": "there is no nowhere"}),
        (["audit", "--json=-", "nowhere"], 2, {"error": "there is no nowhere"}),
        (["weights", "inspect", "--json", "upstream.lock"], 1, {"exit_code": 1}),
        (["audit", "--json", "file", "nowhere"], 2, None),
        (["status", "nowhere"], 2, None),
        (["train", "--target", "mlu", "nowhere", "--", "--json"], 2, None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_under_json_says_what_why_and_what_next(
    words: list[str], code: int, part: dict[str, object] | None, project: Project,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(project.root)
    with pytest.raises(SystemExit) as left:
        main(words)
    said = capsys.readouterr()
    assert left.value.code == code and "Traceback" not in said.err
    if part is None:
        assert said.out == ""
    else:
        found = json.loads(said.out)
        assert set(found) == {"kind", "schema", "porter", "error", "why", "hint", "exit_code"}
        assert part.items() <= found.items() and found["hint"] in said.err


def test_targets(warm: None, project: Project) -> None:
    done = porter("targets", cwd=project.root)
    assert "torch_mlu" in done.stdout and "not the project torch-tpu on PyPI" in done.stdout
    found = json.loads(porter("targets", "--json", cwd=project.root).stdout)
    assert [target["name"] for target in found] == ["mlu", "tpu"]
    assert found[0]["title"]["zh"].startswith("寒武纪")
    assert found[1]["distributed"] == ["sccl", "gloo"]


def test_an_unforeseen_error_goes_to_a_file(own_home: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nimport porter.tree as module\n"
        "def broken(*words): raise ValueError('a bug')\n"
        "module.status = broken\n"
        "from porter.cli import main\nmain(['status', '--json'])\n"
    )
    done = python(code, CHECKOUT)
    assert done.returncode == 70
    assert json.loads(done.stdout)["error"] == "this should not have happened: ValueError: a bug"
    assert "Traceback" not in done.stderr
    assert "ValueError: a bug" in done.stderr
    (log,) = (own_home / ".local/state/porter").glob("*.log")
    assert str(log) in done.stderr
    text = log.read_text()
    assert "Traceback" in text and "in broken" in text and f"porter {package.__version__}" in text


def test_an_unforeseen_error_with_no_place_for_the_file(own_home: Path, tmp_path: Path) -> None:
    (own_home / ".local").write_text("a file")
    code = "from porter import cli\ncli._unforeseen(ValueError('a bug'))\n"
    done = python(code, CHECKOUT, TMPDIR=str(tmp_path))
    assert (done.returncode, str(tmp_path) in done.stderr) == (0, True)
    assert len(list(tmp_path.glob("*.log"))) == 1


def test_a_reader_that_leaves_is_no_error(warm: None, project: Project) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "porter", "show", "common/3"]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(command, cwd=project.root, env=env, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_is_quiet(project: Project, tmp_path: Path) -> None:
    """While a source that never answers is waited for."""
    with mute_server() as (port, called):
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        command = [sys.executable, "-m", "porter", "apply", "--target", "mlu"]
        command += ["--upstream", f"http://127.0.0.1:{port}/x.git", str(tmp_path / "tree")]
        process = subprocess.Popen(
            command, cwd=project.root, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        called()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=300)
    assert (process.returncode, out, "Traceback" in errors) == (130, "", False), errors
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize(("extra", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_on_a_terminal_only_and_not_against_ones_will(
    warm: None, project: Project, clone: Path, extra: dict[str, str], coloured: bool
) -> None:
    for words, code in ((["show", "mlu/1"], 0), (["apply", "--target", "npu", "x"], 2)):
        ours, theirs = pty.openpty()
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TERM": "xterm", **extra}
        process = subprocess.Popen(
            [sys.executable, "-m", "porter", *words], cwd=project.root, env=env, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        said = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other side closed
                break
            if not data:
                break
            said += data
        os.close(ours)
        assert process.wait(300) == code
        assert (b"\x1b[" in said) == coloured, said


def test_bytes_that_are_no_text_survive(warm: None, project: Project) -> None:
    path = project.patches / "mlu/register-the-mlu.patch"
    path.write_bytes(path.read_bytes().replace(b"+NAME = 'mlu'", b"+NAME = '\xff\xfe'"))
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-m", "porter", "show", "mlu/1"], cwd=project.root, env=env, capture_output=True
    )
    assert done.returncode == 0
    assert b"+NAME = '\xff\xfe'" in done.stdout


def test_a_path_that_is_no_text(warm: None, project: Project, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/tr\xffee"
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    for words in (["apply", "--target", "mlu"], ["status"], ["revert"]):
        done = subprocess.run(
            [sys.executable, "-m", "porter", *words, folder], cwd=project.root, env=env, capture_output=True
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr


def test_spaces_and_dashes_in_a_path(warm: None, project: Project, tmp_path: Path) -> None:
    for name in ("my tree", "-tree", "寒武纪 $HOME `x`"):
        done = porter("apply", "--target", "mlu", "--", name, cwd=project.root)
        assert done.returncode == 0, done.stderr
        assert git("status", "--porcelain", cwd=project.root / name) == ""


def test_called_as_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"porter {package.__version__}\n"
