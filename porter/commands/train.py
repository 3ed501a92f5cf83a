"""Run a tree's train.py: the interpreter, the device, several cards or machines; and nothing between it and the user.

porter becomes the program that it starts (exec): what the terminal, a job scheduler or a signal does to ``porter
train`` it does to ``train.py``, and the exit status is the program's own.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from porter.errors import WrongUsage
from porter.project import Project
from porter.target import Target, in_order, load_known
from porter.tree.clone import must_hold
from porter.verification.device import MISSING, no_torch

SCRIPT = "train.py"
# options whose value is a file: one that is here and not in the tree is named by its whole path
_FILES = ("--weights", "--data", "--cfg", "--hyp", "--resume")


@dataclass(frozen=True)
class Request:
    """What to train on.

    Attributes:
        target: a device family.
        tree: the folder.
        arguments: train.py's own.
        cards: how many on this machine, one process each.
        nodes, node_rank: how many machines there are, and which this is, from 0.
        master: ``HOST:PORT`` of machine 0, where the processes find each other; empty on a single machine.
        python: the interpreter.
    """

    target: str
    tree: Path
    arguments: tuple[str, ...] = ()
    cards: int = 1
    nodes: int = 1
    node_rank: int = 0
    master: str = ""
    python: str = sys.executable


@dataclass(frozen=True)
class Launch:
    """A program to become.

    Attributes:
        words: the command, its interpreter first, by its whole path.
        folder: where it runs.
        environment: variables that it gets beside those of this process.
        simulator: what the device is called where it is the vendor's simulator, no card; else empty.
    """

    words: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    simulator: str = ""

    @property
    def shown(self) -> str:
        """The same as a line of a shell."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return f"cd {shlex.quote(str(self.folder))} && {' '.join([*variables, shlex.join(self.words)])}"

    def go(self) -> NoReturn:
        """Become the program; handlers of signals end with this one.  What was printed has to be flushed by now.

        Raises:
            WrongUsage: it cannot be started.
            SurroundingsFailed: its interpreter is porter's own, which has no torch.
        """
        if self.words[0] == sys.executable and find_spec("torch") is None:
            raise no_torch(self.words[0], MISSING)
        try:
            os.chdir(self.folder)
            os.execve(self.words[0], self.words, {**os.environ, **self.environment})
        except OSError as error:
            why = error.strerror or str(error)
            raise WrongUsage(f"cannot run {self.words[0]}", why, "--python takes a Python.") from error


def launch(project: Project, request: Request) -> Launch:
    """The program that trains as requested.

    Raises:
        WrongUsage: no such target, tree or interpreter, or numbers that do not fit each other.
    """
    target = load_known(project, request.target)
    must_hold(project, request.tree, target.name)
    tree = request.tree.absolute()
    python = find_python(request.python)
    words = [python]
    environment = {}
    if request.cards > 1 or request.nodes > 1:
        words += _distributed(request)
        if "OMP_NUM_THREADS" not in os.environ:  # else torch.distributed.run makes it 1, whatever cores there are
            environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // request.cards))
        # torch.distributed.run has no use for plugins, which may not load; train.py imports its own
        if "TORCH_DEVICE_BACKEND_AUTOLOAD" not in os.environ:
            environment["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    words += [SCRIPT, *_rooted(request.arguments, Path.cwd(), tree)]
    if not any(re.fullmatch(r"--device(=.*)?", word) for word in request.arguments):
        words += ["--device", _device(request, target)]
    here = re.search(rf"--device[= ]{target.name}\b", " ".join(words))
    return Launch(tuple(words), tree, environment, target.called if here and target.simulated else "")


def find_python(name: str) -> str:
    """The whole path of an interpreter; a link stays a link, for it is what makes a virtual environment.

    Raises:
        WrongUsage: there is none.
    """
    found = shutil.which(name)
    if found is None:
        raise WrongUsage(f"cannot run {name}", "there is no such program", "--python takes a Python.")
    return os.path.abspath(found)


def _distributed(request: Request) -> list[str]:
    """torch.distributed.run's part of the command."""
    words = ["-m", "torch.distributed.run", "--nproc_per_node", str(request.cards)]
    if not 0 <= request.node_rank < request.nodes:
        raise WrongUsage(
            f"there is no machine {request.node_rank} of {request.nodes}",
            hint=f"--node-rank is 0 to {request.nodes - 1}, another on each machine.",
        )
    if request.nodes == 1 and not request.master:
        return [*words, "--master_addr", "127.0.0.1", "--master_port", str(_free_port())]
    host, _, port = request.master.rpartition(":")
    if not host or not port.isdecimal():
        what = f"--master {request.master}" if request.master else f"{request.nodes} machines and no --master"
        hint = "--master HOST:PORT is the address of machine 0 and a port that is free there, the same on all."
        raise WrongUsage(f"cannot train with {what}", hint=hint)
    words += ["--nnodes", str(request.nodes), "--node_rank", str(request.node_rank)]
    return [*words, "--master_addr", host.strip("[]"), "--master_port", port]


def _device(request: Request, target: Target) -> str:
    """What --device gets: the family, with the cards that are used where there are several."""
    for name in target.visible_devices:
        shown = os.environ.get(name)
        if shown is not None:
            right = in_order(name, shown)
            if right:
                why = f"{name}={shown} does not ascend: no device is seen with such a list"
                raise WrongUsage(f"no {target.name} would be there to train on", why, f"{name}={right}")
            seen = [each for each in shown.split(",") if each.strip()]
            if len(seen) < request.cards:
                what = f"{request.cards} cards were asked for, {name}={shown} shows {len(seen)}"
                raise WrongUsage(what, hint=f"unset {name}, or name as many there.")
            break
    if request.cards == 1:
        return target.name
    return f"{target.name}:{','.join(map(str, range(request.cards)))}"


def _rooted(arguments: Sequence[str], here: Path, tree: Path) -> list[str]:
    """train.py's arguments; it runs in the tree, so a file that is only here gets its whole path."""

    def whole(value: str) -> str:
        found = value and not os.path.isabs(value) and not (tree / value).exists() and (here / value).exists()
        return str(here / value) if found else value

    made: list[str] = []
    for number, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if equals and name in _FILES:
            word = f"{name}={whole(value)}"
        elif number and arguments[number - 1] in _FILES:
            word = whole(word)
        made.append(word)
    return made


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
