"""Patches out of commits and back: porter against git, quilt, StGit and git-buildpackage.

    python benchmarks/export.py [--length 500] [--target mlu] [--repeats 5] [--rivals]

The long stack is that of series.py, the other this project's own for a target, beside the stacks of all others. Of
porter the whole command is timed: Python's start, reading the lock and the patches, and all the checks without which
nothing is written. The rivals (quilt, stgit and git-buildpackage from Debian, where they are installed) check nothing
of the kind; what each does is in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import measure
import series

from porter.lockfile import Lock
from porter.patch import FORMAT
from porter.project import Project

QUIET = ["-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.hooksPath=/dev/null"]
PORTER = [sys.executable, "-m", "porter"]


class Bench:
    """The same stack in the form that each program wants."""

    def __init__(self, scratch: Path, length: int) -> None:
        self.scratch, self.length = scratch, length
        found = Project.find()
        self.clone = scratch / "clone"
        paths = series.upstream(self.clone, Lock.load(found.lock_path))
        series.project(scratch, [length], self.clone, paths, found.lock_path)
        self.project = scratch / str(length)
        for name in ("target.yaml", "requirements.txt"):
            shutil.copy(found.patches / "mlu" / name, self.project / "patches" / "mlu")
        self.tree = scratch / "tree"
        measure.cost([*PORTER, "apply", "--target", "mlu", self.tree], cwd=self.project)
        self.mails = series.listed(self.project / "patches" / "common")

    def export(self, change: Callable[[Path], None]) -> measure.Cost:
        """porter export of the tree into a copy of the project that ``change`` changed."""
        copy = self.scratch / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.project, copy)
        change(copy)
        took = measure.cost([*PORTER, "export", self.tree], cwd=copy)
        same = subprocess.run(["diff", "-rq", self.project / "patches", copy / "patches"], check=False)
        if same.returncode:
            raise SystemExit("export did not give the same patches")
        return took

    def lint(self) -> measure.Cost:
        """porter lint: every patch applied, rendered and compared, the lock worked out again."""
        return measure.cost([*PORTER, "lint"], cwd=self.project)

    def format_patch(self) -> measure.Cost:
        """git format-patch of the tree."""
        out = self.scratch / "out"
        shutil.rmtree(out, ignore_errors=True)
        return measure.cost(["git", *QUIET, "format-patch", "-q", *FORMAT, "-o", out, "master"], cwd=self.tree)

    def am(self) -> measure.Cost:
        """git am of the patches, in a clone that is there."""
        series.git(self.clone, "checkout", "-q", "-B", "am", "v6.0")
        return measure.cost(["git", *QUIET, "am", "-q", *self.mails], cwd=self.clone, env=series.ENV)


def _nothing(project: Path) -> None:
    """The project as it is."""


def _one(project: Path) -> None:
    """One patch in the middle is another than the tree's."""
    paths = sorted((project / "patches" / "common").glob("*.patch"))
    path = paths[len(paths) // 2]
    path.write_text(path.read_text().replace("Only there", "Just there"))


def _all(project: Path) -> None:
    """There is no patch yet."""
    for path in (project / "patches" / "common").glob("*.patch"):
        path.unlink()
    (project / "patches" / "common" / "series").write_text("")


class Shipped:
    """This project's own stack for a target, as patches and as a tree."""

    def __init__(self, scratch: Path, target: str) -> None:
        self.scratch = scratch / "shipped"
        self.scratch.mkdir()
        self.found = Project.find()
        self.tree, self.mended = self.scratch / "tree", self.scratch / "mended"
        measure.cost([*PORTER, "apply", "--target", target, self.tree], cwd=self.found.root)
        shutil.copytree(self.tree, self.mended, symlinks=True)
        mended = self.mended / "utils" / "general.py"
        mended.write_text(mended.read_text().replace("import urllib\n", "import urllib  # mended\n", 1))
        series.git(self.mended, "commit", "-q", "-a", "-m", "fixup! Compare versions without setuptools")

    def format_patch(self) -> measure.Cost:
        """git format-patch of the tree."""
        out = self.scratch / "out"
        shutil.rmtree(out, ignore_errors=True)
        return measure.cost(["git", *QUIET, "format-patch", "-q", *FORMAT, "-o", out, "master"], cwd=self.tree)

    def export(self, tree: Path) -> measure.Cost:
        """porter export of a tree into a copy of the project."""
        copy = self.scratch / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        shutil.copytree(self.found.patches, copy / self.found.patches.name)
        shutil.copy(self.found.lock_path, copy)
        return measure.cost([*PORTER, "export", tree], cwd=copy)


class Rivals:
    """The programs from Debian, each with the stack as it keeps one."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.subjects: dict[str, Callable[[], measure.Cost]] = {}
        for program, prepare in (("quilt", self._quilt), ("stg", self._stgit), ("gbp", self._gbp)):
            if shutil.which(program):
                prepare()
            else:
                print(f"{program} is not installed", file=sys.stderr)

    def _source(self, name: str) -> Path:
        folder = self.bench.scratch / name
        subprocess.run(["git", *QUIET, "clone", "-q", "--no-checkout", self.bench.clone, folder], check=True)
        series.git(folder, "checkout", "-q", "-B", "work", "v6.0")
        return folder

    def _patches(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        for mail in self.bench.mails:
            shutil.copy(mail, folder)
        (folder / "series").write_text("".join(f"{mail.name}\n" for mail in self.bench.mails))

    def _quilt(self) -> None:
        folder = self._source("quilt")
        self._patches(folder / "patches")

        def back() -> None:
            subprocess.run(["quilt", "pop", "-a", "-f", "-q"], cwd=folder, capture_output=True, check=False)

        def push(*options: str) -> measure.Cost:
            back()
            return measure.cost(["quilt", "push", "-a", "-q", *options], cwd=folder)

        def pop() -> measure.Cost:
            push()
            return measure.cost(["quilt", "pop", "-a", "-q"], cwd=folder)

        self.subjects["quilt push -a"] = push
        self.subjects["quilt push -a --refresh"] = lambda: push("--refresh")
        self.subjects["quilt pop -a"] = pop

    def _stgit(self) -> None:
        folder = self._source("stgit")
        for words in (("init",), ("import", "--series", self.bench.project / "patches" / "common" / "series")):
            measure.cost(["stg", *words], cwd=folder, env=series.ENV)

        def export() -> measure.Cost:
            out = self.bench.scratch / "stg-out"
            shutil.rmtree(out, ignore_errors=True)
            return measure.cost(["stg", "export", "-d", out], cwd=folder, env=series.ENV)

        self.subjects["stg export"] = export

    def _gbp(self) -> None:
        folder = self._source("gbp")
        (folder / "debian").mkdir()
        (folder / "debian" / "changelog").write_text(
            "yolov5 (6.0-1) unstable; urgency=low\n\n  * Measured.\n\n"
            " -- A Person <person@example.invalid>  Tue, 14 Nov 2023 22:13:20 +0000\n"
        )
        (folder / "debian" / "control").write_text(
            "Source: yolov5\nMaintainer: A Person <person@example.invalid>\n\nPackage: yolov5\nArchitecture: all\n"
        )
        self._patches(folder / "debian" / "patches")
        series.git(folder, "add", "-f", "debian")
        series.git(folder, "commit", "-q", "-m", "debian")
        queue = ["gbp", "pq", "--pq-from=DEBIAN"]
        measure.cost([*queue, "import"], cwd=folder, env=series.ENV)

        def export() -> measure.Cost:
            series.git(folder, "checkout", "-q", "-f", "patch-queue/work")
            return measure.cost([*queue, "export"], cwd=folder, env=series.ENV)

        self.subjects["gbp pq export"] = export


def main() -> None:
    """Print each one's time, and porter's over git's (export: format-patch, lint: am) in each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=500)
    parser.add_argument("--target", default="mlu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rivals", action="store_true", help="Measure quilt, StGit and gbp as well.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.length)
        print(measure.machine())
        subjects: dict[str, Callable[[], measure.Cost]] = {
            "git format-patch": bench.format_patch,
            "porter export, nothing changed": lambda: bench.export(_nothing),
            "porter export, one patch changed": lambda: bench.export(_one),
            "porter export, all patches new": lambda: bench.export(_all),
            "git am": bench.am,
            "porter lint": bench.lint,
        }
        shipped = Shipped(Path(folder), options.target)
        subjects |= {
            f"git format-patch, {options.target}": shipped.format_patch,
            f"porter export, {options.target}, nothing changed": lambda: shipped.export(shipped.tree),
            f"porter export, {options.target}, a fixup of common/2": lambda: shipped.export(shipped.mended),
        }
        if options.rivals:
            subjects.update(Rivals(bench).subjects)
        costs = measure.in_turn(options.repeats, subjects)
        for name, values in costs.items():
            own = f", {options.target}" if f", {options.target}" in name else ""
            rival = costs["git am" if name == "porter lint" else f"git format-patch{own}"]
            print(name)
            for kind in ("wall", "cpu"):
                mine, theirs = ([getattr(value, kind) for value in row] for row in (values, rival))
                ratio = measure.spread(measure.ratios(mine, theirs), "") if name.startswith("porter") else ""
                print(f"  {kind:4} {measure.spread(mine, 's'):32} {ratio}", flush=True)


if __name__ == "__main__":
    main()
