"""A command that porter prints can be pasted into a shell: one function writes them all."""

from __future__ import annotations

import ast
import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stacks import porter

import porter as package
from porter.errors import PorterError
from porter.output import _Text, command_line
from porter.project import Project
from porter.tree import status

PACKAGE = Path(package.__file__).parent
# these run under other interpreters, where porter is not installed
ELSEWHERE = ("verification/drivers/", "verification/guard/", "comparison/drivers/", "emulator/site/")
NAMES = ["two words", "new\nline\\", "-dash", "--help", "'q\" $HOME `id`", "寒武纪"]
NAMES += ["\u202etxt", "\x1b[31m", "~", "a\udcff1"]

_VERBS = {
    "git": "add|am|apply|branch|checkout|clone|config|fetch|fsck|init|log|merge|pull|push|rebase|remote|reset|show"
    "|stash|status|switch|tag|worktree|format-patch|-C",
    "porter": "apply|audit|bench|bump|compare|completion|data|diff|doctor|drift|export|import|lint|lock|new-target"
    "|prepare|profile|report|revert|run|show|status|train|upstream|verify|weights",
    "python3?": r"-m|[\w/]+\.py",
    "pip": "install|download",
}
# a command, its verb, and then words that only a command has: options, NAMES, paths, commits
_HEAD = "|".join(f"(?:{program}) (?:{verbs})" for program, verbs in _VERBS.items())
_REST = rf"-[-\w]+|[A-Z]+|\w*[./=]\S*|inspect|{_VERBS['git']}"
_BEGUN = re.compile(rf"(?:^|[\s(`;&:=])(?:(?:{_HEAD})|cd|rm|mv|cp)(?: (?:{_REST}))* ['\"]?$")


def printed_otherwise(source: str) -> Iterator[str]:
    """What a module does to write commands by itself: words of elsewhere put into a command, a quoting of its own."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            yield from (name for name in names if name in ("shlex", "pipes"))
        elif isinstance(node, ast.JoinedStr):
            for before, after in zip(node.values, node.values[1:]):
                begun = isinstance(before, ast.Constant) and _BEGUN.search(str(before.value))
                if begun and isinstance(after, ast.FormattedValue):
                    yield f"{before.value}{{{ast.unparse(after.value)}}}"


def test_one_function_writes_commands() -> None:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name != "output.py" and not name.startswith(ELSEWHERE):
            found[name] = list(printed_otherwise(path.read_text(encoding="utf-8")))
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("import shlex", True),
        ("from shlex import quote", True),
        ("f'Next: porter status {tree}'", True),
        ("f'git -C {tree} stash'", True),
        ("f'look (git -C DIR log {commit})'", True),
        ("f\"rm -r '{store}'\"", True),
        ("f'porter data fetch {name}'", True),
        ("f'{python} -m pip'", False),  # a program alone is no command yet
        ("f'cd {place}'", True),
        ("f'python train.py --data {data}'", True),
        ("f'git cannot read {path}'", False),
        ("f'another porter is at work in {path}'", False),
        ("f'Next: {command_line(*words)}'", False),
    ],
)
def test_what_is_found(source: str, is_found: bool) -> None:
    assert bool(list(printed_otherwise(source))) == is_found


def pasted(line: str) -> list[str]:
    """The words that a shell makes of a command: what the path of each file is, byte for byte."""
    script = f'printf() {{ command printf \'%s\\0\' "$@"; }}; cd() {{ printf cd "$@"; }}; {line}'
    done = subprocess.run(["bash", "-c", script.encode("utf-8", "surrogateescape")], capture_output=True, check=True)
    assert not done.stderr
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_shell_reads_what_was_printed(name: str) -> None:
    words = ["printf", Path(name), f"--out={name}x", ""]
    line = command_line(*words, folder=Path(name))
    with _Text(io.BytesIO(), "utf-8", "backslashreplace", newline="") as stream:
        stream.write(line)
        stream.flush()
        shown = stream.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert shown == line and len(shown.splitlines()) == 1, "printing changes it"
    path = f"./{name}" if name.startswith("-") else name
    assert pasted(shown) == ["cd", path, path, f"--out={name}x", ""]


def test_variables_stand_before_the_program() -> None:
    line = command_line("printenv", "DEVICE", variables={"DEVICE": "a 'b'\n"})
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == b"a 'b'\n\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_that_is_not_there(name: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PorterError) as caught:
        status(project, Path(name))
    line = re.fullmatch("`porter (.*)` makes it[.]", caught.value.hint)
    assert line
    assert Path(pasted(f"printf {line[1]}")[-1]) == Path(name)


def test_what_two_verbs_say_last(warm: None, project: Project) -> None:
    """A folder whose name has it all, given to verbs that end by saying what to type next."""
    name = "-new\nline 'q\" $HOME 寒武纪"
    made = porter("data", "make", "--images", "1", "--", name, cwd=project.root)
    words = pasted("printf " + made.stdout.partition("Next, in a tree: ")[2])
    assert Path(words[words.index("--data") + 1]) == project.root / name / "data.yaml"
    made = porter("apply", "--target", "mlu", "--", f"{name}-tree", cwd=project.root)
    line = made.stdout.splitlines()[-1].partition("Next: ")[2]
    assert made.returncode == 0 and pasted(line.partition(" && ")[0]) == ["cd", f"./{name}-tree"], made.stderr
