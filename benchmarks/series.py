"""A long synthetic stack on v6.0: `porter apply` against `git am`, and how the time grows with its length.

    python benchmarks/series.py [--lengths 125 250 500 1000] [--repeats 5]

Each patch changes a line and adds two in one of v6.0's Python files. porter is timed as a command: Python's start,
reading the cache, applying, and writing the whole repository with its working tree. git am is timed alone, in a clone
that is there already. git's side runs with its ordinary settings but no hooks and no automatic gc.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

from porter.lockfile import Lock
from porter.patch import FORMAT, file_names
from porter.project import Project
from porter.sources.obtain import obtain

PERSON = {"NAME": "A Person", "EMAIL": "person@example.invalid", "DATE": "1700000000 +0000"}
ENV = {f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in PERSON.items()}
ENV.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1")
MESSAGE = """Change {path}, step {number}

Only there to be measured.

Reason: speed
Upstream: no
Check: train
Stack: common
"""


def git(folder: Path, *args: str) -> None:
    """Run git in a folder, without the user's configuration."""
    subprocess.run(["git", "-C", str(folder), *args], env={**os.environ, **ENV}, check=True, stdout=subprocess.DEVNULL)


def upstream(folder: Path, lock: Lock) -> list[str]:
    """Write v6.0 into a new repository; return its Python files of some length."""
    snapshot = obtain(lock)
    if snapshot.partial:
        raise SystemExit("this needs all of v6.0: porter upstream fetch, from git")
    folder.mkdir()
    for path, entry in snapshot.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(snapshot.objects[entry.id].data)
        (folder / path).chmod(int(entry.mode[-3:], 8))
    for words in (("init", "-q"), ("add", "-f", "."), ("commit", "-q", "-m", "v6.0"), ("tag", "v6.0")):
        git(folder, *words)
    long = (p for p in snapshot.files if p.endswith(".py") and (folder / p).read_bytes().count(b"\n") > 80)
    return sorted(long)


def changed(text: str, number: int, rng: random.Random) -> str:
    """A file's text with one line changed and two added, such that Python still reads it."""
    while True:
        lines = text.split("\n")
        at = rng.randrange(10, len(lines) - 10)
        lines[at] = f"{lines[at]}  # changed by step {number}"
        lines[at + 1 : at + 1] = [f"# step {number}: {rng.random()}", f"# step {number}: {rng.random()}"]
        try:
            compile("\n".join(lines), "a file", "exec")
        except SyntaxError:  # the line went on in the next one
            continue
        return "\n".join(lines)


def listed(folder: Path) -> list[Path]:
    """The patches of a folder, in order."""
    return [folder / name for name in (folder / "series").read_text().split()]


def project(folder: Path, lengths: list[int], clone: Path, paths: list[str], lock_path: Path) -> None:
    """Commit the longest stack in ``clone``; write a porter project for each length under ``folder``."""
    rng = random.Random(0)
    for number in range(1, max(lengths) + 1):
        path = paths[number % len(paths)]
        (clone / path).write_text(changed((clone / path).read_text(), number, rng))
        git(clone, "commit", "-q", "-a", "-m", MESSAGE.format(path=path, number=number))
    mails = folder / "mails"
    git(clone, "format-patch", "-q", *FORMAT, "-o", str(mails), "v6.0")
    git(clone, "checkout", "-q", "v6.0")
    written = sorted(mails.iterdir())
    names = file_names(f"Change {paths[n % len(paths)]}, step {n}" for n in range(1, len(written) + 1))
    for path, name in zip(written, names):
        path.rename(mails / name)
    for length in lengths:
        root = folder / str(length)
        for part, chosen in (("common", names[:length]), ("mlu", [])):
            (root / "patches" / part).mkdir(parents=True)
            (root / "patches" / part / "series").write_text("".join(f"{name}\n" for name in chosen))
            for name in chosen:
                shutil.copy(mails / name, root / "patches" / part / name)
        for name in ("target.yaml", "requirements.txt"):
            shutil.copy(lock_path.parent / "patches" / "mlu" / name, root / "patches" / "mlu")
        shutil.copy(lock_path, root / "upstream.lock")
        subprocess.run([sys.executable, "-m", "porter", "lock"], cwd=root, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Print the times of both, the ratio at each length, and the time a patch takes at each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[125, 250, 500, 1000])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    found = Project.find()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        paths = upstream(scratch / "clone", Lock.load(found.lock_path))
        project(scratch, options.lengths, scratch / "clone", paths, found.lock_path)

        def apply(length: int) -> float:
            tree = scratch / "tree"
            shutil.rmtree(tree, ignore_errors=True)
            return measure.seconds(
                [sys.executable, "-m", "porter", "apply", "--target", "mlu", tree], cwd=scratch / str(length)
            )

        def am(length: int) -> float:
            clone = scratch / "clone"
            git(clone, "checkout", "-q", "-B", "am", "v6.0")
            mails = listed(scratch / str(length) / "patches" / "common")
            settings = ["-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", f"core.hooksPath={os.devnull}"]
            took = measure.seconds(["git", *settings, "am", "-q", *mails], cwd=clone, env=ENV)
            git(clone, "diff", "--quiet", "HEAD")
            return took

        print(measure.machine())
        print(f"{'patches':>7}  {'porter apply':34} {'git am':34} porter / git am")
        for length in options.lengths:
            times = measure.in_turn(
                options.repeats, {"porter": lambda n=length: apply(n), "git": lambda n=length: am(n)}
            )
            ratio = measure.spread(measure.ratios(times["porter"], times["git"]), "")
            porter, git_ = (measure.spread(times[name], "s") for name in ("porter", "git"))
            print(f"{length:7}  {porter:34} {git_:34} {ratio}", flush=True)


if __name__ == "__main__":
    main()
