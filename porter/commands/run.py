"""``porter run``: run any program of a tree where the device is to be found, with nothing between it and the user.

porter becomes the program that it starts (exec): what the terminal, a job scheduler or a signal does to ``porter run``
it does to the program, and the exit status is the program's own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from porter.commands.arguments import AnyPath, AnyProject, find_of
from porter.commands.options import FOLDER, ProgramCommand, become, target_option
from porter.commands.options import device as device_options
from porter.diagnosis.interpreter import find_python
from porter.target import load_known
from porter.tree import must_hold
from porter.verification.launch import Launch, launch, run_device


def run(
    target: str,
    tree: AnyPath,
    program: Sequence[str],
    *,
    device: str = "auto",
    profile: str = "",
    counts: AnyPath | None = None,
    python: str | None = None,
    project: AnyProject = None,
) -> Launch:
    """A program, to be run where the target's device is to be found: on the card, or on an emulated one.

    Nothing runs yet: ``shown`` is its command line, ``words``, ``folder`` and ``environment`` are what
    :func:`subprocess.run` takes, and ``go()`` becomes the program.

    Args:
        tree: a folder that holds the target's stack.
        program: a script of the tree, ``-m`` and a module, or a script of one's own; then its arguments.
        device: ``hardware``, ``simulator``, ``emulated``, ``cpu``, or ``auto``: the card where its plugin is
            installed, else an emulated one.
        profile: the card to emulate, as ``sg2260``; empty: the target's usual one.
        counts: a file that an emulated device writes what it counted into; ``%p`` in its name stands for the number
            of the process.
        python: the interpreter.  None: this one.

    Raises:
        WrongUsage: there is no such target, tree, program or interpreter; nothing counts on such a device.
        EnvironmentFailed: there is no such device, or the cache cannot be written to.
    """
    of = find_of(project, tree)
    found = load_known(of, target)
    folder, interpreter, here = Path(tree), find_python(python or sys.executable), Path.cwd()
    must_hold(of, folder, found.name)
    file = None if counts is None else here / counts
    on = run_device(device, found, interpreter, profile=profile, tree=folder.absolute(), counts=file)
    return launch(on, interpreter, folder, program, here)


@click.command(
    name="run",
    cls=ProgramCommand,
    after_dashes="A program and its arguments stand after --: porter run --target NAME DIR -- PROGRAM",
)
@target_option(required=True)
@device_options
@click.option(
    "--counts",
    metavar="FILE",
    type=FOLDER,
    help="Have an emulated device write here which operators ran, how often, and what was copied; JSON.",
)
@click.option("--python", metavar="EXE", default=sys.executable, help="Run with this interpreter.")
@click.option("--dry-run", is_flag=True, help="Print the command and run nothing.")
@click.argument("tree", metavar="DIR", type=FOLDER)
@click.argument("program", metavar="-- PROGRAM [ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
def command(
    target: str,
    device: str,
    profile: str,
    counts: Path | None,
    python: str,
    dry_run: bool,
    tree: Path,
    program: tuple[str, ...],
) -> None:
    """Run PROGRAM where the target's device is to be found: on the card, or on an emulated one.

    PROGRAM is a script of the tree in DIR, -m and a module, or a script of your own. Prints the command, then becomes
    it: signals and exit status are the program's. One of the tree runs in DIR, with --device if it takes that and
    names none; your own runs where you are and can import the tree's modules.

    \b
    porter run --target mlu ./yolov5 -- val.py --data coco128.yaml --weights yolov5s.pt
    porter run --target mlu --device emulated --counts ops.json ./yolov5 -- mine.py
    """
    become(run(target, tree, program, device=device, profile=profile, counts=counts, python=python), dry_run)
