"""`porter drift` over v6.0..v7.0, which asks git where outcomes change, against running `git am -3` at each commit.

    python benchmarks/drift.py [--stack mlu] [--to v7.0] [--sample 20]

porter finds every outcome with nothing in its cache but upstream's objects, then once more. git applies the same series
(`git am -3`, `--skip` at a conflict) in a clone that holds the stack's blobs, at a sample of commits spread over the
line; its time for all of them is that of the sample times how many more there are.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

from porter.lockfile import Lock
from porter.project import Project
from porter.sources.cache import Cache
from porter.sources.history import History


def git(*words: object, cwd: Path, status: tuple[int, ...] = (0,)) -> int:
    """Run git; its exit status."""
    who = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.invalid", "-c", "gc.auto=0")
    done = subprocess.run(["git", *who, *map(str, words)], cwd=cwd, capture_output=True, check=False)
    if done.returncode not in status:
        raise SystemExit(f"git {words[0]} ended with status {done.returncode}: {done.stderr.decode()}")
    return done.returncode


def by_hand(clone: Path, commit: str, patches: list[Path]) -> float:
    """Seconds that git takes for the whole series at one commit."""
    started = time.perf_counter()
    git("checkout", "-q", "--force", "--detach", commit, cwd=clone)
    failed = git("am", "-q", "-3", *patches, cwd=clone, status=(0, 1, 128))
    while failed:
        failed = git("am", "-q", "--skip", cwd=clone, status=(0, 1, 128))
    return time.perf_counter() - started


def main() -> None:
    """Print porter's two times and git's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="mlu")
    parser.add_argument("--to", default="v7.0")
    parser.add_argument("--sample", type=int, default=20)
    options = parser.parse_args()
    project = Project.find()
    history = History(Lock.load(project.lock_path))
    goal = history.resolve(options.to)
    pin = history.lock.pin.commit
    commits = history.first_parents(pin, goal)
    print(measure.machine())
    porter = [sys.executable, "-m", "porter"]
    drift = [*porter, "drift", "--stack", options.stack, "--to", options.to]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        env = {"PORTER_CACHE": str(scratch / "cache")}
        shutil.copytree(Cache().folder / "history.git", scratch / "cache" / "history.git")
        first = measure.seconds(drift, cwd=project.root, env=env)
        second = measure.seconds(drift, cwd=project.root, env=env)
        git("clone", "-q", history.repository.path, scratch / "clone", cwd=scratch)
        tree = scratch / "tree"
        measure.seconds([*porter, "apply", "--target", options.stack, tree], cwd=project.root)
        git("fetch", "-q", tree, f"porter/{options.stack}", cwd=scratch / "clone")
        patches = [
            project.patches / part / line.strip()
            for part in ("common", options.stack)
            for line in (project.patches / part / "series").read_text().splitlines()
            if line.strip() and not line.startswith("#")
        ]
        chosen = commits[:: max(1, len(commits) // options.sample)]
        taken = sum(by_hand(scratch / "clone", commit, patches) for commit in chosen)
    print(f"{len(commits)} commits, {len(patches)} patches")
    print(f"porter drift:              {first:6.2f} s")
    print(f"porter drift, once more:   {second:6.2f} s")
    print(f"git am -3, {len(chosen)} commits:   {taken:6.2f} s; all of them {taken / len(chosen) * len(commits):.0f} s")


if __name__ == "__main__":
    main()
