"""`porter bump` without a conflict against `git rebase` of the same commits.

    python benchmarks/bump.py [--lengths 100 250 500] [--repeats 5] [--real PATH|URL]

Synthetic: the stacks of series.py on v6.0's files, and an upstream that put three lines at the head of each Python
file, so that every patch has moved and every file is another. Real (with --real, a repository that has upstream's
history): this project's own stacks, carried from the pin to the last commit before the first that does not take
them all. porter is timed as a command, and does more than git: it writes patches and lock, and verifies a tree of
each target; git rebases in a clone, common once and each target's own patches on it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import measure
import series
from measure import Cost

from porter.commands.bump import bump
from porter.git.objects import Entry
from porter.lockfile import GitSource, Lock, Pin
from porter.project import Project
from porter.rebase.outcome import CONFLICT
from porter.sources.history import History
from porter.stack import COMMON, available, load_part

MEMORIES = ("audit", "python")  # folders of the cache: what was found in files that were looked at
SETTINGS = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", f"core.hooksPath={os.devnull}")


def text(clone: Path, *words: str) -> str:
    """What git says in a clone."""
    done = subprocess.run(["git", *words], cwd=clone, env=series.ENV, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Case:
    """Stacks to carry: a project, a clone with its upstream, the commits from and to."""

    project: Path
    clone: Path
    origin: str
    goal: str

    def porter(self, scratch: Path) -> Callable[[], Cost]:
        """The whole command, on a fresh copy of the project."""

        def run() -> Cost:
            copy = scratch / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.project, copy)
            command = f'"{sys.executable}" -m porter bump --upstream "$0" "$1" || [ $? = 1 ]'
            took = measure.cost(["sh", "-c", command, self.clone, self.goal], cwd=copy)
            # the synthetic patches port nothing, and a check that says so ends porter with 1, as a conflict would
            if Lock.load(copy / "upstream.lock").pin.commit != text(self.clone, "rev-parse", f"{self.goal}^{{commit}}"):
                raise SystemExit("porter did not move the stacks")
            return took

        return run

    def first(self, scratch: Path) -> Callable[[], Cost]:
        """The whole command where porter never saw that commit: of its files only those that the old trees share.

        What it remembers of the files it looked at is what verifying the old stacks left.
        """
        cache, kept = Path(os.environ["PORTER_CACHE"]), scratch / "kept"
        self._forget(cache)
        for target in available(Project(self.project).patches):
            command = f'"{sys.executable}" -m porter verify --level static --target {target} || [ $? = 1 ]'
            measure.cost(["sh", "-c", command], cwd=self.project)
        kept.mkdir()
        for name in MEMORIES:
            shutil.copytree(cache / name, kept / name)
        whole = self.porter(scratch)

        def run() -> Cost:
            self._forget(cache)
            for name in MEMORIES:
                shutil.copytree(kept / name, cache / name)
            return whole()

        return run

    @staticmethod
    def _forget(cache: Path) -> None:
        for name in MEMORIES:
            shutil.rmtree(cache / name, ignore_errors=True)

    def preview(self) -> Callable[[], Cost]:
        """What is comparable with a rebase: every patch moved, in memory, and told; nothing verified or written."""
        command = [sys.executable, "-m", "porter", "bump", "--dry-run", "--upstream", str(self.clone), self.goal]
        return lambda: measure.cost(command, cwd=self.project)

    def git(self) -> Callable[[], Cost]:
        """`git rebase --onto` of common with the first target's stack, then of each other target's own."""
        project = Project(self.project)
        parts = [COMMON, *available(project.patches)]
        base = self.origin
        for part in parts:
            git("checkout", "-q", "-B", f"old-{part}", base, cwd=self.clone)
            files = [str(project.patches / part / patch.name) for patch in load_part(project.patches / part)]
            if files:
                git("am", "-q", *files, cwd=self.clone)
            base = f"old-{COMMON}"

        def run() -> Cost:
            git("checkout", "-q", "--detach", cwd=self.clone)
            for part in parts:
                git("branch", "-f", f"new-{part}", f"old-{part}", cwd=self.clone)
            took = [rebase(self.clone, self.goal, self.origin, f"new-{COMMON}")]
            took += [rebase(self.clone, f"new-{COMMON}", f"old-{COMMON}", f"new-{part}") for part in parts[1:]]
            return Cost(sum(cost.wall for cost in took), sum(cost.cpu for cost in took))

        return run


def git(*words: str, cwd: Path) -> None:
    """Plain git that has to succeed."""
    subprocess.run(["git", *SETTINGS, *words], cwd=cwd, env=series.ENV, check=True, stdout=subprocess.DEVNULL)


def rebase(clone: Path, onto: str, since: str, branch: str) -> Cost:
    """One `git rebase`, the branch checked out before."""
    git("checkout", "-q", branch, cwd=clone)
    return measure.cost(["git", *SETTINGS, "rebase", "-q", "--onto", onto, since], cwd=clone, env=series.ENV)


def synthetic(folder: Path, length: int) -> Case:
    """A stack of ``length`` patches in common, on v6.0's files as a root commit, and an upstream that has moved."""
    own = Lock.load(Project.find().lock_path)
    clone = folder / "clone"
    paths = series.upstream(clone, own)
    for path in paths:
        (clone / path).write_text("# one\n# two\n# three\n" + (clone / path).read_text())
    git("commit", "-q", "-a", "-m", "Put three lines at the head of each file", cwd=clone)
    git("tag", "moved", cwd=clone)
    git("checkout", "-q", "--detach", "v6.0", cwd=clone)
    rows = [row.split("\t") for row in text(clone, "ls-tree", "-r", "v6.0").splitlines()]
    files = {path: Entry(head.split()[0], head.split()[2]) for head, path in rows}
    ids = text(clone, "rev-parse", "v6.0^{commit}", "v6.0^{tree}").split()
    pin = Pin("example/upstream", "v6.0", ids[0], ids[1], own.pin.date, own.pin.license, files)
    lock_path = folder / "start" / "upstream.lock"
    shutil.copytree(Project.find().patches / "mlu", folder / "start" / "patches" / "mlu")
    Lock(pin, (GitSource(str(clone)),)).write(lock_path)
    series.project(folder, [length], clone, paths, lock_path)
    return Case(folder / str(length), clone, "v6.0", "moved")


def real(folder: Path, source: str) -> Case:
    """This project's stacks, and the last commit in a row that takes them all."""
    found = Project.find()
    shutil.copytree(found.patches, folder / "project" / "patches")
    shutil.copy(found.lock_path, folder / "project")
    project, lock = Project(folder / "project"), Lock.load(found.lock_path)
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", source, str(clone)], check=True)
    history = History(lock, str(clone))
    line = history.first_parents(lock.pin.commit, history.resolve("HEAD"))
    last = ""
    for commit in line:
        if bump(commit, dry_run=True, upstream=str(clone), project=project).counts.get(CONFLICT):
            break
        last = commit
    if not last:
        raise SystemExit("the first commit after the pin has a conflict already")
    print(f"real: {line.index(last) + 1} commits on, {history.describe(last).subject}")
    return Case(project.root, clone, lock.pin.commit, last)


def main() -> None:
    """Print the times of each and the ratios, for each length and for the real stacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="*", default=[100, 250, 500])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--real", metavar="PATH|URL", help="a repository with upstream's history")
    options = parser.parse_args()
    print(measure.machine())
    print(f"{'patches':>9}                {'porter bump':34} {'git rebase':34} porter / git")
    cases: list[tuple[str, Callable[[Path], Case]]] = [
        (str(length), lambda folder, length=length: synthetic(folder, length)) for length in options.lengths
    ]
    if options.real:
        cases.append(("real", lambda folder: real(folder, options.real)))
    for name, make in cases:
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["PORTER_CACHE"] = str(Path(scratch) / "cache")
            case = make(Path(scratch))
            case.porter(Path(scratch))()  # fills the cache
            subjects = {
                "first": case.first(Path(scratch)),
                "again": case.porter(Path(scratch)),
                "dry run": case.preview(),
                "git": case.git(),
            }
            times = measure.in_turn(options.repeats, subjects)
        for n, kind in enumerate(("wall", "cpu")):
            other = [pair[n] for pair in times["git"]]
            for subject in "first", "again", "dry run":
                one = [pair[n] for pair in times[subject]]
                ratio = measure.spread(measure.ratios(one, other), "")
                spreads = f"{measure.spread(one, 's'):34} {measure.spread(other, 's'):34} {ratio}"
                print(f"{name:>9} {kind:4}  {subject:8} {spreads}", flush=True)


if __name__ == "__main__":
    main()
