"""``porter compare``: find the first module, and the operator in it, that a device computes otherwise than the cpu."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from porter import comparison
from porter.commands.arguments import AnyPath, AnyProject, find, find_of, path
from porter.commands.options import FOLDER, JSON, STDOUT, colour, print_json, target_option, tell, terminal, write_out
from porter.commands.options import device as device_options
from porter.comparison import Comparison, Replayed, TensorRow, script
from porter.datasets import generate
from porter.errors import WrongUsage
from porter.files import move
from porter.output import Progress, command_line, printable
from porter.target import load_known
from porter.temporary import work_folder
from porter.tree import must_hold
from porter.verification.child import A_DAY, Children
from porter.verification.device import choose
from porter.verification.launch import PRECISIONS, must_train_in

KEPT = Path("porter-operator.npz")


def compare(
    target: str,
    tree: AnyPath,
    *,
    device: str = "auto",
    profile: str = "",
    against: str = "cpu",
    cfg: str = "yolov5s.yaml",
    weights: AnyPath | None = None,
    data: AnyPath | None = None,
    img: int = 320,
    batch: int = 4,
    steps: int = 1,
    seed: int = 0,
    precision: str = "fp32",
    record: AnyPath | None = None,
    keep: AnyPath = KEPT,
    python: str | None = None,
    threads: int = 0,
    begun: Callable[[str], None] = lambda line: None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Comparison | None:
    """Make the same training step on a device and on the cpu, and compare every tensor of it.

    Args:
        device: as for :func:`porter.verify`; ``profile``: the card to emulate.
        against: ``cpu``, the folder of another tree (on the same device), or a record's file.
        cfg: the model's yaml; ``weights``: a checkpoint to take instead of weights that the seed makes.
        data: a data set's yaml, whose first pictures are the batch.  None: scenes drawn for it.
        img: pixels; ``batch``: images; ``seed``: of everything random.
        precision: of the device: ``fp32``, ``amp`` (``--pyamp``) or ``fp16`` (``train_fp16.py``); the cpu computes in
            float32.
        steps: of training; of steps after the first only losses and parameters are compared.
        record: write what the device makes here, and compare nothing: another machine can compare against it.
        keep: where the arguments of the operator that is found go.
        python: the interpreter that trains.  None: this one.
        threads: of torch, on the host; 0: a core each.
        begun: gets the first line.

    Returns:
        every tensor, and the first that is further off than the cpu's own noise; None with ``record``.

    Raises:
        WrongUsage: there is no such target, tree, interpreter or record.
        CheckFailed: the step fails.
        EnvironmentFailed: there is no such device, or the disk is full.
    """
    found, progress, python = find_of(project, tree), progress or Progress(), python or sys.executable
    family, folder = load_known(found, target), Path(tree).absolute()
    must_hold(found, folder, family.name)
    must_train_in(precision, folder)
    other = Path(against)
    if against != "cpu" and other.is_dir():
        must_hold(find_of(project, other), other.absolute(), family.name)
    elif against != "cpu" and not other.is_file():
        raise WrongUsage(f"there is no {against}", hint="--against takes cpu, another tree's folder, or a record.")
    on = choose(device, family, python, profile=profile, begun=begun)
    begun(f"{target}: {tree} on {on.says}, against {against if against != 'cpu' else 'the cpu'}")
    side = comparison.Side(folder, on)
    with work_folder("porter-compare-") as root:
        images = path(data)
        if images is None and not other.is_file():
            images = generate.make(root / "scenes", images=max(8, batch), size=(img, img)).yaml
        load = comparison.Workload(cfg, path(weights), images, img, batch, steps, seed, precision)
        children = Children(root, python, 1, A_DAY, False, threads or os.cpu_count() or 1, family.inherited)
        reference = root / "record.npz"
        progress.step("comparing")
        if record is not None:
            comparison.make(children, family, side, load, record=reference)
            move(reference, Path(record))
            return None
        if against == "cpu":
            made = comparison.make(children, family, side, load, keep=Path(keep))
        elif other.is_file():
            made = comparison.make(children, family, side, load, against=other, keep=Path(keep))
        else:
            comparison.make(children, family, comparison.Side(other.absolute(), on), load, record=reference)
            made = comparison.make(children, family, side, load, against=reference, keep=Path(keep))
    return comparison.compared(family, side, *made, on.kind == "emulated")


def replay(
    target: str,
    file: AnyPath,
    *,
    device: str = "auto",
    profile: str = "",
    python: str | None = None,
    begun: Callable[[str], None] = lambda line: None,
    project: AnyProject = None,
) -> Replayed:
    """Make the call of an operator that :func:`compare` kept again, alone, on a device and on the cpu.

    Args:
        file: what was kept; it is read as data.
        device: as for :func:`porter.verify`; ``profile``: the card to emulate.
        python: the interpreter.  None: this one.
        begun: gets a line where the emulated device has to be built.

    Raises:
        WrongUsage: there is no such target or interpreter, or the file holds no operator.
        CheckFailed: the call fails.
        EnvironmentFailed: there is no such device.
    """
    family, python = load_known(find(project), target), python or sys.executable
    on = choose(device, family, python, profile=profile, begun=begun)
    with work_folder("porter-compare-") as root:
        children = Children(root, python, 1, A_DAY, False, os.cpu_count() or 1, family.inherited)
        return comparison.replay(children, family, on, Path(file))


@click.command(name="compare")
@target_option(required=True)
@device_options
@click.option(
    "--against",
    metavar="cpu|DIR|RECORD",
    default="cpu",
    show_default=True,
    help="Compare with the cpu, with another tree on the same device, or with a record.",
)
@click.option("--cfg", metavar="YAML", default="yolov5s.yaml", show_default=True, help="The model.")
@click.option("--weights", metavar="FILE", type=FOLDER, help="Begin with this checkpoint, not with random weights.")
@click.option("--data", metavar="YAML", type=FOLDER, help="A data set, for the batch.  [default: scenes are drawn]")
@click.option("--img", type=click.IntRange(32), default=320, show_default=True, help="Pixels.")
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Images.")
@click.option("--steps", type=click.IntRange(1), default=1, show_default=True, help="Steps of training, side by side.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights and scenes.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="Of the device: amp is --pyamp; fp16, in a tree for tpu, is train_fp16.py.",
)
@click.option("--record", metavar="FILE", type=FOLDER, help="Write what the device makes here; compare nothing.")
@click.option("--keep", metavar="FILE", type=FOLDER, default=KEPT, show_default=True, help="For the operator's inputs.")
@click.option("--replay", "replayed", metavar="FILE", type=FOLDER, help="Run an operator that was kept, alone.")
@click.option("--write-test", metavar="FILE", type=FOLDER, help="With --replay: write a script of it for the vendor.")
@click.option("--python", metavar="EXE", default=sys.executable, help="Compare with this interpreter.")
@click.option("--threads", type=click.IntRange(1), help="Of torch, on the host.  [default: a core each]")
@JSON
@click.argument("tree", metavar="[DIR]", type=FOLDER, required=False)
def command(
    target: str,
    replayed: Path | None,
    write_test: Path | None,
    threads: int | None,
    as_json: bool,
    tree: Path | None,
    **asked: Any,
) -> None:
    """Find where the device parts from the cpu in a training step of the tree in DIR.

    The same batch and weights go through the model on both. Every module's output, every gradient and every parameter
    after the step is compared; how far off they may be is measured, as the cpu's own noise. Exit code 1 if something
    is further off: the first such module is named, and the operator in it, whose inputs are kept.

    \b
    porter compare --target mlu ./yolov5
    porter compare --target mlu --replay porter-operator.npz
    """
    if replayed is not None:
        _replay(target, replayed, write_test, as_json, {name: asked[name] for name in ("device", "profile", "python")})
        return
    if tree is None or write_test is not None:
        raise click.UsageError("DIR is missing." if tree is None else "--write-test goes with --replay.")
    with terminal() as progress:
        begun = progress.note if as_json else progress.say
        found = compare(target, tree, **asked, threads=threads or 0, begun=begun, progress=progress)
    if found is None:
        again = command_line("porter", "compare", "--target", target, "--against", asked["record"] or "", "DIR")
        tell(f"Next, on another machine: {again}")
        return
    if as_json:
        print_json("compare", found.record())
    else:
        for line in _lines(found, target):
            click.echo(line)
    sys.exit(int(found.differs))


def _replay(target: str, file: Path, test: Path | None, as_json: bool, asked: Mapping[str, str]) -> None:
    if test is not None:
        family = load_known(find(None), target)
        write_out(test, script(file, family.name, family.plugin.module, family.title["en"]).encode())
        if test != STDOUT:
            tell(f"{test}: send it with {file}")
        return
    with terminal() as progress:
        begun = progress.note if as_json else progress.say
        found = replay(target, file, **asked, begun=begun)
    if as_json:
        print_json("replay", found.record())
    else:
        click.echo(f"{found.operator}({', '.join(map(printable, found.arguments))})")
        for name, figures in (("kept", found.kept), (found.device, found.again)):
            if name and figures:
                click.echo(f"  {name}: {_figures(figures)}")
    sys.exit(int(found.differs))


def _lines(found: Comparison, target: str) -> Iterable[str]:
    """The table, a line a layer, and what was found."""
    layers: dict[str, dict[str, TensorRow]] = {}
    for row in found.rows:
        if row.step == 0:
            worst = layers.setdefault(row.layer or row.path or "model", {})
            if row.phase not in worst or row.part > worst[row.phase].part:
                worst[row.phase] = row
    yield f"{'layer':10} {'forward':>10} {'backward':>10} {'step':>10}   largest error, as a part of what is allowed"
    for name, worst in layers.items():
        cells = [_cell(worst.get(phase)) for phase in ("forward", "backward", "step")]
        number, text = found.lines.get(name, (0, ""))
        place = f"{found.yaml}:{number}  {printable(text)}" if number else ""
        yield f"{name:10} {' '.join(cells)}   {place}".rstrip()
    tensors = f"{sum(row.step == 0 for row in found.rows)} tensors of a step"
    if found.missing:
        yield f"not compared: {found.missing} tensors of the reference, which the device computes in another way"
    if not found.differs:
        yield f"{found.device} computes what {found.reference} computes: {tensors}, {found.steps} steps"
        return
    if found.first is None:
        yield f"the two part in step {found.parted} (of 0 to {found.steps - 1}); the first step agrees"
        return
    first = found.first
    where = f"{first.path or 'the model'}, {first.phase}: {first.what}"
    yield f"\nthe first to leave its band: {click.style(where, fg='red', bold=True) if colour() else where}"
    for text in filter(None, (found.line(first), _figures(first.__dict__))):
        yield f"  {printable(text)}"
    if found.operator is None:
        yield "  the operator is not known: each computes what the cpu computes, or this side is the cpu"
        return
    yield f"  operator: {found.operator.name}{f', in {found.operator.path}' if found.operator.path else ''}"
    if found.operator.file:
        file = Path(found.operator.file)
        here = file.relative_to(Path.cwd()) if Path.cwd() in file.parents else file
        yield f"Next: {command_line('porter', 'compare', '--target', target, '--replay', here)}"


def _cell(row: TensorRow | None) -> str:
    if row is None:
        return f"{'':>10}"
    text = "NaN, Inf" if row.nan or row.inf else f"{row.part:.2g}" if math.isfinite(row.part) else "inf"
    cell = f"{text:>10}"
    return click.style(cell, fg="red") if row.outside and colour() else cell


def _figures(found: Mapping[str, Any]) -> str:
    """A tensor's figures in a line."""
    parts = [
        f"largest error {found['absolute']:.3g}, allowed {found['allowed']:.3g}",
        f"relative {found['relative']:.3g}",
        f"{found['ulps']:.3g} ULPs",
        f"cosine {found['cosine']:.9g}",
        f"{found['nan']} NaN, {found['inf']} Inf",
    ]
    return "; ".join(parts)
