"""``porter train``: ``porter run`` of a tree's train.py on the card, on several of them or on several machines."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from porter.commands.arguments import AnyPath, AnyProject, find_of
from porter.commands.options import FOLDER, ProgramCommand, become, target_option
from porter.diagnosis.interpreter import find_python
from porter.errors import WrongUsage
from porter.process import free_port
from porter.target import Target, in_order, load_known
from porter.tree import TRAIN, must_hold
from porter.verification.launch import Launch, launch, names_device, on_card


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
    of = find_of(project, tree)
    found = load_known(of, target)
    folder = Path(tree)
    must_hold(of, folder, found.name)
    launcher, environment = [], {}
    if cards > 1 or nodes > 1:
        launcher = _distributed(cards, nodes, node_rank, master)
        if "OMP_NUM_THREADS" not in os.environ:  # else torch.distributed.run makes it 1, whatever cores there are
            environment["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // cards))
        # torch.distributed.run has no use for plugins, which may not load; train.py imports its own
        if "TORCH_DEVICE_BACKEND_AUTOLOAD" not in os.environ:
            environment["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    device = [] if names_device(arguments) else ["--device", _device(found, cards)]
    program = [TRAIN, *arguments, *device]
    return launch(
        on_card(found, environment), find_python(python or sys.executable), folder, program, Path.cwd(), launcher
    )


@click.command(
    name="train",
    cls=ProgramCommand,
    after_dashes="What is for train.py stands after --: porter train --target NAME DIR --",
)
@target_option(required=True)
@click.option("--cards", type=click.IntRange(1), default=1, show_default=True, help="Cards to use, a process each.")
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines that train together.")
@click.option("--node-rank", type=click.IntRange(0), default=0, show_default=True, help="Which of them this is.")
@click.option("--master", default="", metavar="HOST:PORT", help="Where machine 0 is found by the others.")
@click.option("--python", metavar="EXE", default=sys.executable, help="Train with this interpreter.")
@click.option("--dry-run", is_flag=True, help="Print the command and run nothing.")
@click.argument("tree", metavar="DIR", type=FOLDER)
@click.argument("arguments", metavar="-- [ARGUMENTS OF train.py]", nargs=-1, type=click.UNPROCESSED)
def command(
    target: str,
    cards: int,
    nodes: int,
    node_rank: int,
    master: str,
    python: str,
    dry_run: bool,
    tree: Path,
    arguments: tuple[str, ...],
) -> None:
    """Run train.py of the tree in DIR on the target, on several cards or machines through torch.distributed.run.

    Prints the command, then becomes it: signals and exit status are the program's. It runs in DIR. --device is the
    target unless the arguments name another.

    \b
    porter train --target mlu ./yolov5 -- --data coco128.yaml --weights yolov5s.pt --epochs 3
    porter train --target mlu --cards 4 ./yolov5 -- --data coco.yaml --cfg yolov5m.yaml --weights '' --batch 112
    """
    found = train(target, tree, arguments, cards=cards, nodes=nodes, node_rank=node_rank, master=master, python=python)
    become(found, dry_run)


def _distributed(cards: int, nodes: int, node_rank: int, master: str) -> list[str]:
    """torch.distributed.run's part of the command."""
    words = ["-m", "torch.distributed.run", "--nproc_per_node", str(cards)]
    if not 0 <= node_rank < nodes:
        raise WrongUsage(
            f"there is no machine {node_rank} of {nodes}",
            hint=f"--node-rank is 0 to {nodes - 1}, another on each machine.",
        )
    if nodes == 1 and not master:
        return [*words, "--master_addr", "127.0.0.1", "--master_port", str(free_port())]
    host, _, port = master.rpartition(":")
    if not host or not port.isdecimal():
        what = f"--master {master}" if master else f"{nodes} machines and no --master"
        hint = "--master HOST:PORT is the address of machine 0 and a port that is free there, the same on all."
        raise WrongUsage(f"cannot train with {what}", hint=hint)
    words += ["--nnodes", str(nodes), "--node_rank", str(node_rank)]
    return [*words, "--master_addr", host.strip("[]"), "--master_port", port]


def _device(target: Target, cards: int) -> str:
    """What --device gets: the family, with the cards that are used where there are several."""
    for name in target.visible_devices:
        shown = os.environ.get(name)
        if shown is not None:
            right = in_order(name, shown)
            if right:
                why = f"{name}={shown} does not ascend: no device is seen with such a list"
                raise WrongUsage(f"no {target.name} would be there to train on", why, f"{name}={right}")
            seen = [each for each in shown.split(",") if each.strip()]
            if len(seen) < cards:
                what = f"{cards} cards were asked for, {name}={shown} shows {len(seen)}"
                raise WrongUsage(what, hint=f"unset {name}, or name as many there.")
            break
    if cards == 1:
        return target.name
    return f"{target.name}:{','.join(map(str, range(cards)))}"
