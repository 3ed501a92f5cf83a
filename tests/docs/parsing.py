"""Command lines that are not run are parsed: by porter's own parser, by the tree's scripts' and by bash."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import click
from commandline import inner

from porter.cli import cli

_SCRIPTS = ("train.py", "train_fp16.py", "val.py", "detect.py", "export.py")
# programs that are not on this machine, or that must not run on it: bash alone says whether such a line is one
_OTHERS = frozenset(
    {
        "pip",
        "git",
        "cd",
        "export",
        "source",
        "sudo",
        "docker",
        "podman",
        "bm-smi",
        "cnmon",
        "make",
        "mkdir",
        "grep",
        "sed",
        "tee",
    }
    | {"new_build"}  # of Sophgo's scripts/envsetup.sh
)
_PARSERS = """
import importlib, json, sys
sys.path.insert(0, '.')
for name, words in json.load(sys.stdin):
    sys.argv = [name, *words]
    importlib.import_module(name[:-3]).parse_opt()
"""


def complaint(command: str) -> str:
    """What is wrong with a command line as far as parsing tells; empty if nothing is.  A tree's scripts are left to
    :func:`scripts`."""
    shell = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    if shell.returncode:
        return shell.stderr
    for words in _simple(command):
        if words[0] == "porter":
            try:
                _parse(cli, "porter", words[1:])
            except click.ClickException as error:
                return error.format_message()
        elif words[0] == "python":
            if len(words) < 2 or (words[1] not in _SCRIPTS and words[1] not in ("-m", "-c")):
                return f"python {words[1:2]}: no script of a tree"
        elif words[0] not in _OTHERS:
            return f"{words[0]}: nobody knows this program"
    return ""


def scripts(commands: Iterable[str]) -> list[tuple[str, list[str]]]:
    """The scripts of a tree that command lines run, with their arguments: by name, or through porter train."""
    found = []
    for command in commands:
        for words in _simple(command):
            if words[0] == "python" and words[1] in _SCRIPTS:
                found.append((words[1], words[2:]))
            elif words[:2] == ["porter", "train"] and "--" in words:
                found.append(("train.py", words[words.index("--") + 1 :]))
    return found


def scripts_complaint(found: list[tuple[str, list[str]]], tree: Path) -> str:
    """What the scripts' own parsers say of their arguments; empty if nothing.  One process for all of them."""
    done = subprocess.run(
        [sys.executable, "-c", _PARSERS], input=json.dumps(found), cwd=tree, capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else ""


def unknown(span: str) -> str:
    """What of a piece of a command line, such as ``porter bump --skip``, porter does not have; empty if nothing."""
    command: click.Command = cli
    words = shlex.split(re.sub(r"[|…]", " ", span.partition(" -- ")[0]), comments=True)[1:]
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        known = inner(command)
        if words[0] not in known:
            return f"there is no command {words[0]}"
        command = known[words.pop(0)]
    options = {"--help", "-h", *(name for each in command.params for name in (*each.opts, *each.secondary_opts))}
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("-") and name not in options:
            return f"porter {command.name} has no {name}"
    return ""


def _simple(command: str) -> list[list[str]]:
    """The simple commands of a line as words, without variables set before them and files that output goes to."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, "#"
    found: list[list[str]] = [[]]
    for word in lexer:
        if word in (">", ">>", "<"):
            next(lexer)
        elif word and set(word) <= set(";|&()"):
            found.append([])
        elif not (re.fullmatch(r"[A-Z_]+=.*", word) and not found[-1]):
            found[-1].append(word)
    return [words for words in found if words]


def _parse(command: click.Command, name: str, words: list[str], parent: click.Context | None = None) -> None:
    """Parse as click does before it calls anything."""
    with command.make_context(name, list(words), parent=parent) as context:
        if isinstance(command, click.Group):
            # click 8.2 renamed it
            kept = context._protected_args if hasattr(context, "_protected_args") else context.protected_args
            found_name, found, after = command.resolve_command(context, [*kept, *context.args])
            assert found is not None and found_name is not None
            _parse(found, found_name, after, context)
