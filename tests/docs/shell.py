"""A new user at a shell: a home of their own, a checkout of porter, and upstream where it is to be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sources

from porter.git import Repository, objects
from porter.git import run as git
from porter.lockfile import GitSource, Lock
from porter.sources.obtain import obtain

from .pages import ROOT

_ERASED = ("GIT_", "PORTER_", "XDG_", "MLU_", "TPU_", "ASCEND_", "CHIP_")


@dataclass(frozen=True)
class Session:
    """A shell that has ended.

    Attributes:
        failed: the command that it ended at; empty if every one succeeded.
        text: all that was printed, each command before what it printed.
    """

    failed: str
    text: str


def mirror(lock: Lock, folder: Path) -> Path:
    """A repository with what porter can obtain of upstream's pin here, for git to clone: whole or, with GitHub out of
    reach, what a package index has."""
    snapshot = obtain(lock, cache=folder / "obtained")
    made = folder / "mirror.git"
    git("init", "--quiet", "--bare", "--template=", str(made))
    if snapshot.shallow:
        (made / "shallow").write_text(f"{snapshot.base}\n")
    repository = Repository(made)
    repository.write(objects.pack(snapshot.objects.values()))
    for ref in ("refs/heads/master", f"refs/tags/{lock.pin.tag}"):
        repository.run("update-ref", ref, snapshot.base)
    return made


def checkout(folder: Path) -> Path:
    """What a page is typed in: a checkout, as far as porter looks at it, with all of it committed."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "patches", folder / "patches")
    shutil.copy(ROOT / "upstream.lock", folder)
    for words in ("init", "-q"), ("add", "."), ("commit", "-q", "-m", "as it is"):
        sources.git(*words, cwd=folder)
    return folder


def environment(home: Path, lock: Lock, upstream: Path) -> dict[str, str]:
    """A new user's: an empty home with git's two settings, no cache, upstream's address leading to ``upstream``."""
    programs = home / "bin"
    programs.mkdir(parents=True)
    for name, command in ("porter", f'"{sys.executable}" -m porter'), ("python", f'"{sys.executable}"'):
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    (url,) = (source.url for source in lock.sources if isinstance(source, GitSource))
    settings = f'[user]\n\tname = Zoë\n\temail = zoe@example.org\n[url "{upstream.as_uri()}"]\n\tinsteadOf = {url}\n'
    (home / ".gitconfig").write_text(settings, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_ERASED)}
    path = os.pathsep.join((str(programs), os.environ["PATH"]))
    return {**kept, "HOME": str(home), "PATH": path, "GIT_CONFIG_NOSYSTEM": "1", "PYTHONPATH": str(ROOT)}


def type_in(commands: Sequence[str], folder: Path, env: Mapping[str, str], seconds: float = 300) -> Session:
    """Type the commands into one bash; it stops at the first that fails."""
    lines = ["set -e -o pipefail"]
    for number, command in enumerate(commands):
        lines += [f"echo $ {_quoted(command)}", f"at={number}", command]
    lines.append(f"at={len(commands)}")
    script = f"trap 'echo at=$at' EXIT\n{chr(10).join(lines)}\n"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    text, _, at = done.stdout.rpartition("at=")
    return Session((*commands, "")[int(at)], text)


def _quoted(text: str) -> str:
    from shlex import quote

    return quote(text)
