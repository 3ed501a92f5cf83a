"""Mistakes that a port makes, as patches on the shipped trees, and the check that has to catch each.

A file of ``patches/`` says what the mistake is, then in trailers which tree it is for, which card if not the target's
first, of which line if not of v6.0, and which checks catch it, and ends with the diff.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from porter import git
from porter.commands.verify import TIMEOUT
from porter.lockfile import Lock
from porter.output import Progress
from porter.project import Project
from porter.sources.obtain import obtain
from porter.stack import Stack
from porter.verification.checks import BROKE, attempt, known
from porter.verification.child import ENDLESS
from porter.verification.report import FAILED, PASSED, Outcome
from porter.verification.variants import Variants, variants

FOLDER = Path(__file__).resolve().parent / "patches"
_FILE = re.compile(
    r"Mistake: (?P<mistake>.*?)\nTarget: (?P<target>\w+)\n(?:Profile: (?P<profile>\w+)\n)?(?:Line: (?P<line>[\w.]+)\n)?"
    r"Check: (?P<checks>[\w, -]+)\n\ndiff .*",
    re.S,
)


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        name: the file's, without its ending.
        mistake: in words.
        target: in whose tree it is made.
        profile: the card that shows it; empty for the target's first.
        line: of whose tree it is; empty for v6.0's.
        checks: each has to fail.
    """

    name: str
    mistake: str
    target: str
    profile: str
    line: str
    checks: tuple[str, ...]
    path: Path


@dataclass(frozen=True)
class Result:
    """What became of a mistake under a check, and of the tree without it."""

    mutant: Mutant
    check: str
    whole: Outcome
    found: Outcome

    @property
    def caught(self) -> bool:
        """Whether the check tells the two trees apart. Running out of time tells nothing: the machine may be slow."""
        broke = self.found.said.startswith(BROKE) or ENDLESS in self.found.said
        told = self.found.state == FAILED and not broke
        return self.whole.state == PASSED and told


def load(names: Sequence[str] = ()) -> list[Mutant]:
    """Every mutant, or those whose names hold one of ``names``.

    Raises:
        ValueError: a file is malformed.
    """
    found = []
    for path in sorted(FOLDER.glob("*.patch")):
        match = _FILE.fullmatch(path.read_text(encoding="utf-8"))
        if match is None:
            raise ValueError(f"{path} is not as the others are")
        checks = tuple(match["checks"].split(", "))
        mistake, profile, line = " ".join(match["mistake"].split()), match["profile"] or "", match["line"] or ""
        mutant = Mutant(path.stem, mistake, match["target"], profile, line, checks, path)
        if not names or any(name in path.stem for name in names):
            found.append(mutant)
    return found


def groups(mutants: Sequence[Mutant]) -> dict[tuple[str, str, str], list[Mutant]]:
    """By target, card and line: what one call of :func:`hunt` makes."""
    found: dict[tuple[str, str, str], list[Mutant]] = {}
    for mutant in sorted(mutants, key=lambda mutant: (mutant.target, mutant.profile, mutant.line)):
        found.setdefault((mutant.target, mutant.profile, mutant.line), []).append(mutant)
    return found


def project_of(line: str) -> Project:
    """The shipped stacks of a line."""
    project = Project.find(Path(__file__).parent)
    return project.others[line] if line else project


def make(mutant: Mutant, tree: Path) -> None:
    """Make the mistake in a tree."""
    ceiling = {"GIT_CEILING_DIRECTORIES": str(tree.parent)}  # no repository above is asked
    git.run("apply", "--whitespace=nowarn", str(mutant.path), cwd=tree, env=ceiling)


def hunt(
    target: str,
    mutants: Sequence[Mutant],
    progress: Progress,
    *,
    device: str,
    profile: str,
    line: str = "",
    jobs: int,
    timeout: float = TIMEOUT,
) -> Iterator[Result]:
    """Make each mutant's checks in the shipped tree, once, and in the tree with the mistake."""
    project = project_of(line)
    snapshot = obtain(Lock.load(project.lock_path), progress=progress)
    stack = Stack.load(project, [target])
    how = {"device": device, "profile": profile, "python": sys.executable, "jobs": jobs, "timeout": timeout}
    laid = variants(project, stack, snapshot, **how, keep=False, progress=progress)
    with laid as trees, ThreadPoolExecutor(jobs + 1) as pool:

        def one(mutant: Mutant) -> list[Result]:
            session, _ = trees.add(mutant.name)
            make(mutant, session.tree)
            results = [
                Result(mutant, name, _whole(trees, name), attempt(session, known()[name], "")) for name in mutant.checks
            ]
            trees.remove(session)
            return results

        try:
            for future in as_completed([pool.submit(one, mutant) for mutant in mutants]):
                yield from future.result()
        finally:
            trees.whole.children.stop()
            pool.shutdown(cancel_futures=True)


def _whole(trees: Variants, name: str) -> Outcome:
    outcome: Outcome = trees.whole.once(f"whole {name}", lambda: attempt(trees.whole, known()[name], ""))
    return outcome
