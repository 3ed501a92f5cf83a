"""From a machine to a training: look at it, prepare it, start."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from porter.commands.arguments import AnyPath, AnyProject, find

if TYPE_CHECKING:
    from porter.commands.doctor import Diagnosis
    from porter.commands.prepare import Prepared, Step
    from porter.commands.train import Launch
    from porter.output import Progress


def doctor(
    target: str = "", *, python: str | None = None, project: AnyProject = None, progress: Progress | None = None
) -> Diagnosis:
    """Look at the machine, the driver, the cards and an interpreter by using them, and judge; changes nothing.

    Args:
        target: a device family; empty: look at all of them, and judge whether training on the cpu can work.
        python: the interpreter that would train.  None: this one.

    Returns:
        what was found; ``problems`` is empty if training can work.

    Raises:
        WrongUsage: there is no such target, or no such Python.
    """
    from porter.commands.doctor import doctor as run

    return run(find(project), target, python or sys.executable, progress=progress)


def prepare(
    target: str,
    tree: AnyPath,
    *,
    install: bool = False,
    torch: bool = False,
    weights: str = "",
    release: str = "v6.0",
    data: str = "",
    python: str | None = None,
    upstream: str | None = None,
    mirrors: Sequence[str] = (),
    ended: Callable[[Step], None] = lambda step: None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Prepared:
    """From nothing to the command that trains: tree, packages, weights, data.  Again, it does what is missing.

    Args:
        tree: the folder, made if it is not there.
        install: have pip install what is missing; torch and NumPy stay as they are.
        torch: with ``install``: the pinned torch too, where there is none.
        weights: a checkpoint of upstream's, as ``yolov5m.pt``; empty: train from nothing.
        release: upstream's release that it belongs to.
        data: ``coco128``, ``coco``, ``scenes`` (drawn here), a data set's yaml, or empty for none.
        python: the interpreter that is to train.  None: this one.
        mirrors: where downloads are tried first.
        ended: gets each step as it ends.

    Raises:
        CheckFailed: a patch does not apply, a download is not what it should be, or pip replaced torch.
        WrongUsage: there is no such target, interpreter, checkpoint or data set.
        SurroundingsFailed: network, disk or pip failed.
    """
    from porter.commands.prepare import Request
    from porter.commands.prepare import prepare as run
    from porter.output import Progress

    request = Request(
        target, Path(tree), install, torch, weights, release, data, python or sys.executable, upstream, mirrors
    )
    return run(find(project), request, progress or Progress(), ended)


def train(
    target: str,
    tree: AnyPath,
    arguments: Sequence[str] = (),
    *,
    cards: int = 1,
    nodes: int = 1,
    node_rank: int = 0,
    master: str = "",
    python: str | None = None,
    project: AnyProject = None,
) -> Launch:
    """The program that trains: train.py of ``tree`` on the target, on several cards or machines if asked for.

    Nothing runs yet: ``shown`` is its command line, ``words``, ``folder`` and ``environment`` are what
    :func:`subprocess.run` takes, and ``go()`` becomes the program.

    Args:
        arguments: train.py's own.
        cards: how many on this machine, a process each.
        nodes: how many machines train together; ``node_rank``: which of them this is, from 0.
        master: ``HOST:PORT`` where machine 0 is found by the others; empty on a single machine.
        python: the interpreter.  None: this one.

    Raises:
        WrongUsage: there is no such target, tree or interpreter, or the numbers do not fit each other.
    """
    from porter.commands.train import Request, launch

    words = tuple(arguments)
    request = Request(target, Path(tree), words, cards, nodes, node_rank, master, python or sys.executable)
    return launch(find(project), request)
