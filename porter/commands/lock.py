"""``porter lock``: what each stack makes of the pin, written down or only checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from porter.commands.arguments import AnyProject, find
from porter.commands.options import JSON, UPSTREAM, print_json, tell, terminal
from porter.lockfile import Lock
from porter.output import Progress, record_of
from porter.sources.obtain import obtain
from porter.stack import load_parts, relock


@dataclass(frozen=True)
class Locked:
    """What :func:`lock` found: the stacks that the lock did not describe as they are; whether it does by now."""

    stale: tuple[str, ...]
    written: bool

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return record_of(self)


def lock(
    *,
    check: bool = False,
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> Locked:
    """Write into ``upstream.lock`` what each stack makes of the pin.

    Args:
        check: write nothing; ``stale`` of the result says what would be written.

    Raises:
        CheckFailed: a stack is malformed or does not apply, or changes a file that the source of upstream lacks.
        WrongUsage: the lock came with the installed package.
        EnvironmentFailed: upstream cannot be had, or the lock cannot be written.
    """
    found = find(project)
    if not check:
        found.must_be_a_checkout()
    before, parts = Lock.load(found.lock_path), load_parts(found)
    after = relock(before, parts, obtain(before, upstream, progress=progress), progress or Progress())
    names = sorted({*before.stacks, *after.stacks})
    stale = tuple(name for name in names if before.stacks.get(name) != after.stacks.get(name))
    if stale and not check:
        after.write(found.lock_path)
    return Locked(stale, written=bool(stale) and not check)


@click.command(name="lock")
@UPSTREAM
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if the lock is not in step.")
@JSON
def command(upstream: str | None, check: bool, as_json: bool) -> None:
    """Write into upstream.lock what each stack makes of the pin."""
    with terminal() as progress:
        found = lock(check=check, upstream=upstream, progress=progress)
    names = ", ".join(found.stale)
    if as_json:
        print_json("lock", found.record())
    elif not found.stale:
        tell("upstream.lock is in step with the patches.")
    elif found.written:
        tell(f"upstream.lock: wrote {names}")
    else:
        click.echo(f"upstream.lock is not in step with the patches: {names}. Run `porter lock`.", err=True)
    raise SystemExit(1 if found.stale and check else 0)
