"""What every command has: --quiet and --verbose, records for programs, no colour and no bar where nobody looks."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import click
import click.testing
import pytest
from commandline import commands
from sources import git, serving
from stacks import CHECKOUT, porter
from torchfiles import checkpoint

import porter as package
from porter.cli import cli, main
from porter.errors import redacted
from porter.output import counted, shown
from porter.project import Project


def on_a_terminal(*args: object, cwd: Path, **env: str) -> tuple[int, str]:
    """Exit status and all that a person sees."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TERM": "xterm", **env}
    process = subprocess.Popen(
        [sys.executable, "-m", "porter", *map(str, args)], cwd=cwd, env=environment, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 65536):
            seen += data
    except OSError:  # Linux's way to say that the other side closed
        pass
    os.close(ours)
    return process.wait(300), seen.decode()


Said = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Said:
    """Exit status and both outputs of ``porter ARGS`` in this process, in the current folder."""

    def run(*args: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(map(str, args)))
        assert isinstance(left.value.code, int)
        return (left.value.code, *capfd.readouterr())

    return run


# -- quiet and verbose ----------------------------------------------------------------------------------------


def test_every_command_can_be_quiet_and_verbose() -> None:
    found = dict(commands())
    assert len(found) > 25
    for path, command in [((), cli), *found.items()]:
        names = {name for parameter in command.params for name in parameter.opts}
        assert {"-q", "--quiet", "-v", "--verbose"} <= names, path


@pytest.mark.parametrize("words", [["-q", "apply"], ["apply", "--quiet"]])
def test_quiet_says_nothing_when_all_is_well(warm: None, said: Said, tmp_path: Path, words: list[str]) -> None:
    tree = tmp_path / "tree"
    assert said(*words, "--target", "mlu", tree) == (0, "", "")
    for command in (["lint"], ["lock"], ["upstream", "verify"], ["export", tree], ["revert", tree],
                    ["data", "make", "--images", "2", tmp_path / "scenes"]):  # fmt: skip
        assert said(*command, "-q") == (0, "", ""), command


def test_quiet_keeps_results_and_errors(warm: None, project: Project, clone: Path, said: Said) -> None:
    assert said("-q", "status", clone) == said("status", clone)
    assert said("-q", "show", "mlu/1")[1].startswith("# mlu/register-the-mlu.patch")
    assert "'npu'" in said("-q", "apply", "--target", "npu", "x")[2]
    patch = project.patches / "mlu/register-the-mlu.patch"
    patch.write_text(patch.read_text().replace("Reason: device", "Reason: none"))
    code, out, errors = said("-q", "lint")
    assert (code, "Reason: 'none'" in out, errors) == (1, True, "")
    assert said("lint")[2].endswith(" findings\n")


def test_quiet_has_no_bar_and_no_note(project: Project, tmp_path: Path, made: Path) -> None:
    """A source that is not there costs a note, and a cache that is filled a bar."""
    lock = project.lock_path.read_text()
    project.lock_path.write_text(lock.replace("sources:\n", f"sources:\n- git: file://{tmp_path}/nowhere\n", 1))
    words = ["apply", "--target", "mlu", "--check", "x"]
    status, loud = on_a_terminal(*words, cwd=project.root, PORTER_CACHE=str(tmp_path / "one"))
    assert (status, "nowhere" in loud, "\x1b[?25l" in loud) == (0, True, True), loud
    status, quiet = on_a_terminal(*words, "-q", cwd=project.root, PORTER_CACHE=str(tmp_path / "two"))
    assert (status, quiet.replace("\x1b[0m", "")) == (0, ""), quiet


@pytest.mark.parametrize("words", [["-v", "apply"], ["apply", "-v"]])
def test_verbose_says_what_is_run_and_written(warm: None, project: Project, tmp_path: Path, words: list[str]) -> None:
    tree = tmp_path / "tree"
    done = porter(*words, "--target", "mlu", tree, cwd=project.root)
    assert done.returncode == 0
    for said in ("git: git init --quiet", "sources: ", " files of the pin are in the cache",
                 f"files: made {tree}", " s in all"):  # fmt: skip
        assert said in done.stderr, done.stderr
    assert all(float(line.split()[0]) >= 0 for line in done.stderr.splitlines())
    silent = porter("apply", "--target", "mlu", tmp_path / "other", cwd=project.root)
    assert silent.stderr == ""
    assert silent.stdout.replace("other", "tree") == done.stdout  # what is asked for is the same


def test_verbose_says_which_sources_are_tried(project: Project, tmp_path: Path) -> None:
    url = f"file://somebody:secret@{tmp_path}/nowhere"
    done = porter("-v", "upstream", "fetch", "--upstream", url, cwd=project.root)
    assert done.returncode == 3
    assert f"sources: asking file://{tmp_path}/nowhere, which was named" in done.stderr
    assert "secret" not in done.stderr.partition("porter: error")[0]


def test_a_long_line_is_folded_on_a_narrow_terminal_alone(said: Said, tmp_path: Path) -> None:
    code, seen = on_a_terminal("verify", "--list", cwd=tmp_path, COLUMNS="60")
    lines = seen.replace("\r", "").splitlines()
    assert code == 0 and max(map(len, lines)) <= 60
    assert all(line.startswith(" " * 20) for line in lines if line.startswith(" ")), "the rest stands under the text"
    _, piped, _ = said("verify", "--list")
    assert max(map(len, piped.splitlines())) > 60
    assert seen.split() == piped.split()


@pytest.mark.parametrize(
    "words",
    [["status", "tree"], ["apply", "--target", "tpu", "other"], ["lines"], ["targets"], ["profile", "show", "mlu370"]],
)
def test_lists_fold_on_a_narrow_terminal(warm: None, words: list[str], tmp_path: Path) -> None:
    package.apply("mlu", tmp_path / "tree", project=CHECKOUT)
    code, seen = on_a_terminal(*words, cwd=tmp_path, COLUMNS="60")
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen).replace("\r", "\n").splitlines()
    # an address stays in one piece, as a path and a command to be copied do in the sentences around a list
    long = [x for x in lines if len(x) > 60 and x.startswith("  ") and not re.fullmatch(r" +(from )?\S+", x)]
    assert code == 0 and len(lines) > 8 and long == []


def test_a_group_says_all_of_what_its_commands_do() -> None:
    for path, command in commands():
        if isinstance(command, click.Group):
            said = click.testing.CliRunner().invoke(cli, [*path, "--help"], env={"COLUMNS": "60"}).output
            listed = " ".join(said.partition("\nCommands:\n")[2].split())
            assert listed and "..." not in listed
            for name, each in command.commands.items():
                assert f"{name} {' '.join((each.help or '').partition(chr(10) * 2)[0].split())}" in listed


def test_the_first_help_fits_60_columns(tmp_path: Path) -> None:
    for words in ([], ["diff"]):
        code, seen = on_a_terminal(*words, "--help", cwd=tmp_path, COLUMNS="60")
        assert code == 0 and max(map(len, seen.replace("\r", "").splitlines())) <= 60


def test_passwords_are_not_told() -> None:
    assert redacted("fetch https://me:secret@host/x ssh://git@host/y") == "fetch https://host/x ssh://host/y"
    assert redacted("mail a@b.c") == "mail a@b.c"


def test_both_at_once() -> None:
    for words in (["-q", "targets", "-v"], ["targets", "-v", "-q"]):
        done = porter(*words, cwd=CHECKOUT)
        assert (done.returncode, "do not go together" in done.stderr) == (2, True)


# -- records ----------------------------------------------------------------------------------------------------


@pytest.fixture
def record(said: Said) -> Callable[..., Any]:
    """What a command prints with --json: one JSON document and nothing else."""

    def run(*args: object, code: int = 0) -> Any:
        found = said(*args)
        assert found[0] == code, found
        return json.loads(found[1])

    return run


def test_every_record_says_what_it_is(tree: Path, record: Callable[..., Any], tmp_path: Path) -> None:
    for kind, words in (
        ("status", ["status", "--json", tree]),
        ("apply", ["apply", "--json", "--target", "mlu", tree]),
        ("apply", ["apply", "--json", "--target", "tpu", "--check", tmp_path / "x"]),
        ("patch", ["show", "--json", "mlu/1"]),
        ("lint", ["lint", "--json"]),
        ("lock", ["lock", "--json", "--check"]),
        ("export", ["export", "--check", "--json", tree]),
        ("upstream", ["upstream", "show", "--json"]),
        ("upstream", ["upstream", "fetch", "--json"]),
        ("upstream-check", ["upstream", "verify", "--json"]),
        ("data", ["data", "make", "--json", "--images", "2", tmp_path / "scenes"]),
        ("audit", ["audit", "--json", "-", tree]),
        ("revert", ["revert", "--json", tree]),
        ("bump", ["bump", "--json", "--dry-run", "v6.0"]),
    ):
        found = record(*words)
        assert (found["kind"], found["schema"], next(iter(found))) == (kind, 1, "kind"), words
    assert {(each["kind"], each["schema"]) for each in record("targets", "--json")} == {("target", 1)}


def test_every_command_that_finds_something_has_a_record() -> None:
    without = {("run",), ("train",), ("completion",), ("profile", "record")}  # whose result is a file of JSON
    for path, command in commands():
        if not isinstance(command, click.Group) and path not in without:
            assert "--json" in {name for parameter in command.params for name in parameter.opts}, path


def test_records_hold_what_was_found(tree: Path, project: Project, record: Callable[..., Any]) -> None:
    made = record("apply", "--json", "--target", "mlu", tree)
    assert (made["how"], made["targets"], made["commit"]) == ("already", ["mlu"], git("rev-parse", "HEAD", cwd=tree))
    assert made["patches"][0]["subject"] == "Import the accelerator"
    shown = record("show", "mlu/1", "--json")
    assert shown["text"] == (project.patches / "mlu" / "register-the-mlu.patch").read_text()
    assert ["Stack", "mlu"] in shown["trailers"]
    (tree / "train.py").write_text((tree / "train.py").read_text() + "# more\n")
    git("commit", "-q", "-a", "--fixup=HEAD", cwd=tree)
    changed = record("export", "--check", "--json", tree, code=1)
    assert {"path": "patches/mlu/know-the-mlu-at-the-top.patch", "change": "changed"} in changed["edits"]
    patch = project.patches / "mlu/register-the-mlu.patch"
    patch.write_text(patch.read_text().replace("Reason: device", "Reason: none"))
    (found, *_) = record("lint", "--json", code=1)["findings"]
    assert (found["file"], found["line"]) == ("patches/mlu/register-the-mlu.patch", 0)
    assert record("lock", "--check", "--json", code=1)["stale"] == ["mlu"]


def test_a_path_that_is_no_text_is_escaped(warm: None, project: Project, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/tr\xffee"
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "porter", "apply", "--json", "--target", "mlu", folder]
    done = subprocess.run(command, cwd=project.root, env=env, capture_output=True, check=True)
    assert json.loads(done.stdout)["path"].endswith("tr\udcffee")  # as Python holds such a path


# -- colour and bars ----------------------------------------------------------------------------------------------


def test_no_colour_without_a_terminal_or_against_ones_will(tree: Path, project: Project) -> None:
    for words, painted in ((["status", tree], True), (["targets"], True), (["lint"], False), (["--help"], False)):
        done = porter(*words, cwd=project.root)
        assert "\x1b" not in done.stdout + done.stderr
        _, seen = on_a_terminal(*words, cwd=project.root, NO_COLOR="1")
        assert not [code for code in ("\x1b[1m", "\x1b[2m", "\x1b[3") if code in seen], seen
        _, seen = on_a_terminal(*words, cwd=project.root)
        assert ("\x1b[1m" in seen or "\x1b[32m" in seen) == painted


# -- text of elsewhere ----------------------------------------------------------------------------------------------

TITLE = "\x1b]0;mine\x07"  # renames the window


class Rude(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404, f"No{TITLE}pe")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_no_text_of_elsewhere_commands_the_terminal(project: Project, warm: None, tmp_path: Path) -> None:
    """Names in a checkpoint and in a patch, and what a server answers."""
    (tmp_path / "x.pt").write_bytes(checkpoint(model_names=[f"{TITLE}cat", "two\nlines"]))
    patch = project.patches / "mlu/register-the-mlu.patch"
    patch.write_text(patch.read_text().replace("+NAME = 'mlu'", f"+NAME = '{TITLE}'", 1))
    with serving(Rude) as url:
        for code, *words in (
            (0, "weights", "inspect", tmp_path / "x.pt"),
            (0, "show", "mlu/1"),
            (3, "weights", "fetch", "yolov5s.pt", "--mirror", url, "--dest", tmp_path / "new"),
        ):
            env = {"no_proxy": "127.0.0.1", "https_proxy": "http://127.0.0.1:9"}
            found, seen = on_a_terminal(*words, cwd=project.root, **env)
            assert found == code, seen
            assert r"\x1b]0;mine\x07" in seen, words
            assert not re.search(r"\x1b(?!\[([0-9;]*m|\?25[lh]|[0-9]*[AK]))|\x07|two\n", seen), words


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x1b[0m\tand\n", "\x1b[31mred\x1b[0m\tand\n"),
        ("\x1b[8mhidden", r"\x1b[8mhidden"),
        ("\x1b[1A\x1b[2K\rover", r"\x1b[1A\x1b[2K\rover"),
        ("\x9b31m \u202egpj.exe", r"\x9b31m \u202egpj.exe"),
    ],
)
def test_porters_own_lines_and_colours_stay(text: str, seen: str) -> None:
    assert shown(text) == seen


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "patch", "0 patches"),
        (1, "patch", "1 patch"),
        (2, "patch", "2 patches"),
        (1, "check", "1 check"),
        (2, "check", "2 checks"),
        (3, "box", "3 boxes"),
    ],
)
def test_one_is_one(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said


def test_nobody_leaves_it_open_how_many_there_are() -> None:
    """``1 file(s)`` is nowhere: :func:`porter.output.counted` knows."""
    sources = (CHECKOUT / "porter").rglob("*.py")
    assert [path.name for path in sources if re.search(r"\w\(e?s\)[ \"']", path.read_text(encoding="utf-8"))] == []
