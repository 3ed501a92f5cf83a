"""``porter train``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from porter.commands.options import FOLDER, complete_target, tell


class _Train(click.Command):
    """People forget the two dashes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            said = f"{error.format_message()} What is for train.py stands after --: porter train --target NAME DIR -- "
            raise click.UsageError(f"{said}{error.option_name} ...", ctx) from error


@click.command(cls=_Train)
@click.option(
    "--target",
    required=True,
    metavar="NAME",
    shell_complete=complete_target,
    help="A device family of `porter targets`.",
)
@click.option("--cards", type=click.IntRange(1), default=1, show_default=True, help="Cards to use, a process each.")
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines that train together.")
@click.option("--node-rank", type=click.IntRange(0), default=0, show_default=True, help="Which of them this is.")
@click.option("--master", default="", metavar="HOST:PORT", help="Where machine 0 is found by the others.")
@click.option("--python", metavar="EXE", default=sys.executable, help="Train with this interpreter.")
@click.option("--dry-run", is_flag=True, help="Print the command and run nothing.")
@click.argument("tree", metavar="DIR", type=FOLDER)
@click.argument("arguments", metavar="-- [ARGUMENTS OF train.py]", nargs=-1, type=click.UNPROCESSED)
def train(
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
    from porter.api import train as run

    found = run(target, tree, arguments, cards=cards, nodes=nodes, node_rank=node_rank, master=master, python=python)
    if found.simulator:
        tell(found.simulator, err=True)
    if dry_run:
        click.echo(found.shown)
        return
    tell(f"+ {found.shown}", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    found.go()
