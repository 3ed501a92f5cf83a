"""Standard streams that are closed, full or left by their reader, and locales that are not in UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from commandline import commands
from sources import git
from stacks import CHECKOUT, porter

from porter.project import Project

# Each command in a fork of one process, which has imported what all need: its exit status, 70 for an exception.
FORKS = """
import io, json, os, sys
from porter.cli import cli, main
for name in cli.list_commands(None):  # once, not in each fork
    cli.get_command(None, name)
mode, *given = sys.argv[1:]
found = []
for words in json.loads(given[0]):
    child = os.fork()
    if not child:
        os.environ["COLUMNS"] = "80"
        for number, name in ((1, "stdout"), (2, "stderr")):
            if mode == "both closed":
                os.close(number)
                setattr(sys, name, None)
                continue
            if mode == "reader left" and number == 1:
                reader, writer = os.pipe()
                os.close(reader)
                os.dup2(writer, 1)
            if mode in ("full", "stderr full") and number == (1 if mode == "full" else 2):
                os.dup2(os.open("/dev/full", os.O_WRONLY), number)
            setattr(sys, name, io.TextIOWrapper(io.FileIO(number, "wb", closefd=False)))
        try:
            main(words)
        except SystemExit as error:
            os._exit(error.code)
        finally:
            os._exit(70)
    found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
open(given[1], "w").write(json.dumps(found))
"""


def statuses(mode: str, words: list[list[str]], cwd: Path, tmp_path: Path) -> tuple[list[int], str]:
    """How each command ends with its standard streams so, and what all of them say on standard error."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", FORKS, mode, json.dumps(words), str(tmp_path / "found")]
    done = subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300)
    return json.loads((tmp_path / "found").read_text()), done.stderr.decode()


MODES = ["both closed", "stderr full", "reader left", "full"]


@pytest.mark.parametrize("mode", MODES)
def test_every_command_works_or_says_3(mode: str, warm: None, project: Project, clone: Path, tmp_path: Path) -> None:
    """Python leaves a closed stream out, and the next file that is opened takes its number."""
    helps = [[*path, "--help"] for path, command in commands() if not isinstance(command, click.Group)]
    real = [["--version"], ["targets"], ["targets", "--json"], ["show", "mlu/1"], ["show", "--json", "mlu/1"],
            ["status", str(clone)], ["lint"], ["lock", "--check"], ["audit", str(clone)], ["upstream", "show"],
            ["apply", "--target", "mlu", str(tmp_path / "tree")]]  # fmt: skip
    done, said = statuses(mode, [*helps, *real], project.root, tmp_path)
    expected = 3 if mode == "full" else 0
    assert {" ".join(w): code for w, code in zip([*helps, *real], done) if code != expected} == {}, said
    assert "Traceback" not in said and "Exception ignored" not in said
    if mode == "full":
        assert said.count("cannot write to standard output\n  No space left on device\nhint: ") == len(done)
    assert git("status", "--porcelain", cwd=tmp_path / "tree") == ""


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOCALES = {"POSIX": {**C_LOCALE, "LC_ALL": "POSIX"}, "GBK": {**C_LOCALE, "PYTHONIOENCODING": "gbk"}}


@pytest.mark.parametrize("locale", LOCALES)
def test_paths_in_chinese_in_every_locale(locale: str, warm: None, project: Project, clone: Path) -> None:
    """Python takes a path of the command line for other text there than what git says of the same path."""
    folder = project.root.parent / "寒武纪é😀"
    folder.mkdir()
    clone = clone.rename(folder / "克隆")
    tree, encoding = folder / "树", "gbk" if locale == "GBK" else "utf-8"
    for words, said in (
        (["apply", "--target", "mlu", tree], "寒武纪"),
        (["apply", "--target", "mlu", clone], "寒武纪"),
        (["status", tree], "mlu"),
        (["status", "--json", tree], "mlu"),
        (["export", "--check", tree], "The stacks are what"),
        (["upstream", "fetch", "--upstream", clone], ""),
        (["revert", "--json", tree], "master"),
    ):
        command = [sys.executable, "-m", "porter", *map(str, words)]
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT), **LOCALES[locale]}
        done = subprocess.run(command, cwd=project.root, env=env, capture_output=True, timeout=300)
        assert done.returncode == 0, (words, done.stderr)
        text = done.stdout.decode(encoding)
        if "--json" in words:
            assert json.loads(text)["path"] == str(tree)
        assert said in text, (words, text)


def test_a_folder_named_in_gbk_is_shown_as_its_terminal_shows_it(warm: None, project: Project) -> None:
    path = os.fsencode(project.root.parent) + b"/" + "寒武纪".encode("gbk")
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), **LOCALES["GBK"]}
    command = [sys.executable, "-m", "porter", "apply", "--target", "mlu", path]
    done = subprocess.run(command, cwd=project.root, env=env, capture_output=True, timeout=300)
    assert (done.returncode, path + b": made" in done.stdout) == (0, True), done


def test_json_stays_json_whatever_a_name_holds(warm: None, project: Project) -> None:
    """DEL, a C1 character and one that turns text around: they are printed with a backslash, as JSON spells it."""
    tree = project.root.parent / "tree\x7f\x9b\u202e"
    done = porter("apply", "--json", "--target", "mlu", tree, cwd=project.root)
    assert json.loads(done.stdout)["path"] == str(tree)
