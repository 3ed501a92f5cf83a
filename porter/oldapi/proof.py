"""Prove that a tree trains, measure it, and find what in it still names a device."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from porter.commands.arguments import AnyPath, AnyProject, Names, find, names, path

if TYPE_CHECKING:
    from porter.auditing import Audit
    from porter.commands.bench import Result
    from porter.commands.necessity import Necessity, Verdict
    from porter.output import Progress
    from porter.verification.report import Outcome, Report


def verify(
    target: str,
    tree: AnyPath | None = None,
    *,
    device: str = "auto",
    profile: str = "",
    level: str = "smoke",
    checks: Names = (),
    python: str | None = None,
    jobs: int = 0,
    timeout: float = 300.0,
    keep: bool = False,
    data: str = "auto",
    weights: AnyPath | None = None,
    full_size: bool = False,
    begun: Callable[[str], None] = lambda line: None,
    ended: Callable[[Outcome], None] = lambda outcome: None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Report:
    """Prove that a tree trains as on the target's device.

    Args:
        tree: the folder.  None: a tree made aside.
        device: ``hardware``, ``simulator``, ``emulated``, ``cpu``, or ``auto``: the first of these that is to be had.
        profile: the card to emulate, as ``sg2260``; empty: the target's usual one.
        level: ``static`` looks at files alone, ``smoke`` trains for seconds, ``full`` makes every check.
        checks: make these only, whatever the level.
        python: the interpreter that runs the tree.  None: this one.
        jobs: how many programs may run at once; 0: one a core, at most 4.
        timeout: seconds that one program may take.
        keep: leave the folder that the checks worked in.
        data: ``coco128``, ``scenes`` (drawn here), or ``auto``: coco128 where it can be had.
        weights: a checkpoint that sees something: the check ``detect`` shows what it sees in v6.0's picture; of
            v6.0's own, ``reference`` and ``converges`` need one.
        full_size: these two at 640 pixels, as on a card; elsewhere it is 320.
        begun: gets the first lines; ``ended``: gets each outcome as it comes.

    Returns:
        every outcome; ``failed`` is empty if all is as it should be.

    Raises:
        WrongUsage: there is no such target, check, tree or interpreter.
        SurroundingsFailed: the device asked for is not to be had, or the disk is full.
    """
    from porter.commands.verify import Request
    from porter.commands.verify import verify as run
    from porter.output import Progress

    request = Request(
        target=target,
        tree=path(tree),
        device=device,
        profile=profile,
        level=level,
        checks=names(checks),
        python=python or sys.executable,
        jobs=jobs,
        timeout=timeout,
        keep=keep,
        data=data,
        weights=path(weights),
        full_size=full_size,
    )
    return run(find(project), request, progress or Progress(), begun, ended)


def necessity(
    target: str,
    patches: Names = (),
    *,
    device: str = "auto",
    profile: str = "",
    python: str | None = None,
    jobs: int = 0,
    timeout: float = 300.0,
    keep: bool = False,
    data: str = "auto",
    begun: Callable[[str], None] = lambda line: None,
    ended: Callable[[Verdict], None] = lambda verdict: None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Necessity:
    """Leave out each patch of a target's stack in turn: the check that its header names has to fail.

    Args:
        patches: these only, named as :func:`show` takes them.
        begun: gets the first line; ``ended``: gets each verdict as it comes.

    The other arguments are those of :func:`verify`.

    Returns:
        a verdict a patch; ``unnoticed`` is empty if each is needed.

    Raises:
        WrongUsage: there is no such target, patch or interpreter.
        CheckFailed: a patch does not apply.
        SurroundingsFailed: upstream or the device is not to be had, or the disk is full.
    """
    from porter.commands.necessity import necessity as run
    from porter.commands.verify import Request
    from porter.output import Progress

    request = Request(
        target=target,
        device=device,
        profile=profile,
        python=python or sys.executable,
        jobs=jobs,
        timeout=timeout,
        keep=keep,
        data=data,
    )
    return run(find(project), request, names(patches), progress or Progress(), begun, ended)


def bench(
    target: str,
    tree: AnyPath,
    *,
    device: str = "auto",
    profile: str = "",
    iters: int = 100,
    warm_up: int = 10,
    runs: int = 3,
    cfg: str = "yolov5s.yaml",
    img: int = 640,
    batch: int = 16,
    workers: int = 8,
    data: AnyPath | None = None,
    precision: str = "fp32",
    against: str = "",
    python: str | None = None,
    threads: int = 0,
    begun: Callable[[str], None] = lambda line: None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Result:
    """Measure how fast a tree trains on the target; with ``against``, in turn with another device or tree.

    Args:
        device: as for :func:`verify`; ``profile``: the card to emulate.
        iters: iterations that count, in each run; ``warm_up``: iterations before them, which do not.
        runs: how often each is measured.
        cfg: the model's yaml; ``img``: pixels; ``batch``: images in a batch; ``workers``: processes that load data.
        data: a data set's yaml.  None: scenes drawn for it.
        precision: ``fp32``, ``amp`` or ``fp16``.
        against: ``cpu``, ``cuda`` or another tree's folder; empty: nothing.
        python: the interpreter that trains.  None: this one.
        threads: of torch, on the host; 0: a core each.
        begun: gets a line for each subject first.

    Raises:
        WrongUsage: there is no such target, tree or interpreter, or the stack has no such precision.
        CheckFailed: a training fails.
        SurroundingsFailed: there is no such device, or the disk is full.
    """
    from porter.commands.bench import Request
    from porter.commands.bench import bench as run
    from porter.output import Progress

    request = Request(
        target=target,
        tree=Path(tree),
        device=device,
        profile=profile,
        iters=iters,
        warm_up=warm_up,
        runs=runs,
        cfg=cfg,
        img=img,
        batch=batch,
        workers=workers,
        data=path(data),
        precision=precision,
        against=against,
        python=python or sys.executable,
        threads=threads,
    )
    return run(find(project), request, progress or Progress(), begun)


def audit(
    tree: AnyPath | None = None,
    targets: Names = (),
    *,
    baseline: bool = False,
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Audit:
    """Every place in a tree's Python that names a device, or runs something: routed, allowed, or not ported.

    Args:
        tree: a ported tree, a clone of upstream at any commit, or a plain folder of its files.  None: what the stacks
            of ``targets`` make of the pin, in memory.
        targets: for a tree that is there: it has to hold them.
        baseline: compare with upstream at the pin; with neither tree nor targets, list upstream itself.

    Returns:
        every place; ``failed`` says whether anything is left to do.

    Raises:
        WrongUsage: there is no such tree or target, or ``patches/audit.yaml`` is malformed.
        CheckFailed: a file is not Python, or a patch does not apply.
        SurroundingsFailed: upstream cannot be had, or a file cannot be read.
    """
    from porter.auditing import audit as run

    return run(find(project), path(tree), names(targets), baseline, upstream, progress)
