"""Commands killed at random moments: ``python -m tests.kills [--kills 300] [--seed 1] [NAME...]``, NAME a command.

Each time porter runs in a fresh copy of a place of its own (project, clones, cache, home, folder for temporary files)
and gets SIGKILL, SIGTERM or SIGINT, alone or with its whole process group, at a moment drawn from the time that the
command takes.  Then nothing that it started may live on, what is made whole or not at all is one of both, and the same
command, run once more, has to end as one that was never killed: with the same files, and nothing left beside them.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from fileserver import Shelf, shelf
from histories import synthetic
from processes import living, marked
from published import coco128, standin
from pythons import made
from sources import git
from stacks import CHECKOUT, commit, make_project

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE = 60.0  # seconds for a git of a porter that was killed to come to its end, on a busy machine
# what a command may leave while it is under way, never when it is done
UNFINISHED = re.compile(r"\.porter-|\.part(\.json)?$|(^|/)staging-|\.lock$|(^|/)tmp_|\.dead$|\.new$|(^|/)incoming-")
KEPT_LOCKS = ("/upstream.lock", "/cache/lock", ".porter/lock", "/porter/lock")  # a lock file stays where it is
MARK = "PORTER_TEST_KILLED"


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Attributes:
        words: after ``porter``; ``{place}`` is its folder, ``{url}`` a server's.
        cwd: where it runs, in the place.
        prepare: makes its place; gets it.
        whole: what is there whole or not at all, each by itself.
        again: what ends it after a kill, where that is not the same command; tried in turn.
        done: exit codes of one that has come to its end.
        dated: files that hold the time of the run, which are there or not.
        weight: of how many kills it gets a share.
    """

    name: str
    words: str
    prepare: Callable[[Path], None]
    cwd: str = "project"
    whole: Sequence[str] = ()
    again: Sequence[str] = ()
    done: Sequence[int] = (0,)
    dated: Sequence[str] = ()
    weight: int = 4


@dataclass
class Result:
    """One kill and what was found after it."""

    case: str
    signal: str
    group: bool
    after: float
    status: int
    wrong: list[str] = field(default_factory=list)


# -- places ------------------------------------------------------------------------------------------------


def _project(place: Path) -> None:
    os.environ["PORTER_CACHE"] = str(place / "cache")
    make_project(place)
    shutil.rmtree(place / "work")


def _line(place: Path) -> None:
    os.environ["PORTER_CACHE"] = str(place / "cache")
    synthetic(place)
    shutil.rmtree(place / "work")


def _clone(place: Path) -> None:
    _project(place)
    git("clone", "-q", place / "small", place / "clone", cwd=place)
    git("switch", "-q", "-c", "mine", "v6.0", cwd=place / "clone")


def _ported(place: Path) -> None:
    _clone(place)
    porter(place, "apply --target mlu {place}/clone")


def _tree(place: Path) -> None:
    _project(place)
    porter(place, "apply --target mlu {place}/tree")


def _changed(place: Path) -> None:
    _tree(place)
    path = place / "tree/utils/long.py"
    path.write_text(path.read_text().replace("line_30 = 30\n", "line_30 = 'more'\n"))
    text = "Know more\n\nThe test needs it.\n\nReason: device\nUpstream: no\nCheck: train\nStack: mlu\n"
    git("-c", "user.name=Me", "-c", "user.email=me@example.org", "commit", "-qam", text, cwd=place / "tree")


def _stale(place: Path) -> None:
    _project(place)
    series = place / "project/patches/mlu/series"
    series.write_text(series.read_text().replace("know-the-mlu-at-the-top.patch\n", ""))
    (place / "project/patches/mlu/know-the-mlu-at-the-top.patch").unlink()


def _vendor(place: Path) -> None:
    _clone(place)
    (place / "clone/utils/general.py").write_text("def log(text):\n    print('mlu', text)\n")
    commit(place / "clone", "Log on the MLU", 1700000000)  # a diff would be dated when it is imported
    (place / "vendor.patch").write_text(git("format-patch", "-1", "--stdout", cwd=place / "clone"))


def _cold(place: Path) -> None:
    _project(place)
    shutil.rmtree(place / "cache")


def _empty(place: Path) -> None:
    (place / "project").mkdir(parents=True)


def _python(place: Path) -> None:
    """A Python that lacks two packages, in the home: of what pip writes there, only the modules are looked at."""
    _project(place)
    made(place / "home")


def _sets(place: Path) -> None:
    _empty(place)
    standin(coco128(), place)  # environment() names what this writes


CASES = (
    Case("apply", "apply --target mlu {place}/tree", _project, whole=("tree",)),
    Case("apply clone", "apply --target mlu {place}/clone", _clone),
    Case("apply cold", "apply --target mlu {place}/tree", _cold, whole=("tree",)),
    Case("revert", "revert {place}/clone", _ported),
    Case("export", "export --target mlu {place}/tree", _changed),
    Case("lock", "lock", _stale, whole=("project/upstream.lock",)),
    Case("bump", "bump v6.1", _line, again=("bump --continue", "bump v6.1")),
    Case("import", "import {place}/vendor.patch --target mlu --tree {place}/look", _vendor, whole=("look",)),
    Case(
        "new-target",
        "new-target xyz",
        _project,
        whole=("project/patches/xyz",),
        dated=("/project/patches/xyz/add-the-xyz-accelerator.patch", "/project/upstream.lock"),
        weight=1,  # it imports torch
    ),
    Case("verify", "verify --target mlu --level static {place}/tree", _tree, done=(0, 1)),
    Case("audit", "audit {place}/tree", _tree, done=(0, 1)),
    Case("lint", "lint", _project, done=(0, 1)),
    Case("drift", "drift --to v6.1 --json {place}/drift.json", _line, whole=("drift.json",)),
    Case("upstream fetch", "upstream fetch", _cold),
    Case("data make", "data make --images 12 {place}/data", _empty, whole=("data",)),
    Case("data fetch", "data fetch coco128 --mirror {url} --dest {place}/sets", _sets, whole=("sets/coco128",)),
    Case(
        "prepare",
        "prepare --target tpu --install --data scenes --python {place}/home/env/bin/python {place}/tree",
        _python,
        whole=("tree", "datasets/scenes"),
    ),
    Case("weights fetch", "weights fetch yolov5m --mirror {url} --dest {place}/w", _empty, whole=("w/yolov5m.pt",)),
)


# -- running -----------------------------------------------------------------------------------------------


def environment(place: Path) -> dict[str, str]:
    """A home, a cache and a folder for temporary files of the place's own."""
    for name in "home", "tmp":
        (place / name).mkdir(exist_ok=True)
    (place / "home/.gitconfig").write_text("[user]\n\tname = Me\n\temail = me@example.org\n")
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    own = {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), "PORTER_CACHE": str(place / "cache")}
    sums = place / "coco128.sha256"
    path = (str(Path(__file__).parent / "standin"), str(CHECKOUT)) if sums.exists() else (str(CHECKOUT),)
    if (place / "home/wheels").exists():
        own.update({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(place / "home/wheels")})
    own.update({"PYTHONPATH": os.pathsep.join(path), "PORTER_TEST_SUMS": str(sums)})
    return {**kept, **own, "no_proxy": "127.0.0.1", MARK: str(place)}


def command(place: Path, words: str, url: str = "") -> list[str]:
    """porter's command line."""
    return [sys.executable, "-m", "porter", *(word.format(place=place, url=url) for word in words.split())]


def porter(place: Path, words: str, cwd: str = "project", url: str = "") -> subprocess.CompletedProcess[str]:
    """Run porter in a place to its end."""
    how = {"cwd": place / cwd, "env": environment(place), "stdin": subprocess.DEVNULL, "timeout": 600}
    return subprocess.run(command(place, words, url), capture_output=True, text=True, check=False, **how)  # type: ignore[call-overload,no-any-return]


def state(place: Path, dated: Sequence[str] = ()) -> dict[str, object]:
    """All that is to be seen in a place: files, what git says of clones; of caches and repositories the odd names."""
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(place):
        here = f"/{os.path.relpath(folder, place)}"
        for name in (*folders, *files):
            path = f"{here}/{name}"
            if UNFINISHED.search(path) and not path.endswith(KEPT_LOCKS):
                found[path] = "unfinished"
        if ".git" in folders:
            root = Path(folder)
            found[f"{here}: git"] = [
                git("for-each-ref", cwd=root),
                git("status", "--porcelain", cwd=root),
                git("rev-parse", "--symbolic-full-name", "HEAD", cwd=root),
            ]
            folders.remove(".git")
        if Path(folder) in (place, place / "project"):
            elsewhere = ("cache", "home", ".porter", "small", "upstream", "tmp")
            folders[:] = [name for name in folders if name not in elsewhere]
        folders[:] = [name for name in folders if ".porter-" not in name]
        for name in files:
            if name != ".git" and not name.endswith(".json"):  # records tell the time
                path = f"{here}/{name}".replace("/./", "/")
                found[path] = "there" if path in dated else (Path(folder) / name).read_bytes()
    for part in "cache", ".porter", "project/.porter":
        for left in (place / part).rglob("*"):
            name = f"/{left.relative_to(place)}"
            if UNFINISHED.search(name) and not name.endswith(KEPT_LOCKS):
                found[name] = "unfinished"
    for site in place.glob("home/env/lib/python*/site-packages"):  # pip compiles, and dates what it compiled
        found["packages"] = sorted(name for name in os.listdir(site) if name != "__pycache__")
    found["tmp"] = sorted(os.listdir(place / "tmp"))
    return found


class Template:
    """A case's place before and after its command, made once; each kill gets a copy under the same name."""

    def __init__(self, case: Case, root: Path, url: str) -> None:
        self.case, self.url = case, url
        self.place, self._kept = root / "place", root / f"kept-{case.name.replace(' ', '-')}"
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        case.prepare(self.place)
        environment(self.place)
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self.place, self._kept, symlinks=True)
        self.before = state(self.place, case.dated)
        begun = time.monotonic()
        done = porter(self.place, case.words, case.cwd, url)
        self.seconds = time.monotonic() - begun
        if done.returncode not in case.done:
            raise RuntimeError(f"{case.name}: {done.returncode}\n{done.stdout}{done.stderr}")
        self.code = done.returncode
        self.after = state(self.place, case.dated)

    def fresh(self) -> None:
        """Put the place back to where it was."""
        shutil.rmtree(self.place)
        shutil.copytree(self._kept, self.place, symlinks=True)

    def kill(self, number: signal.Signals, group: bool, after: float) -> Result:
        """Run the command, kill it after so many seconds, look, run it again, look again."""
        self.fresh()
        child = subprocess.Popen(
            command(self.place, self.case.words, self.url), cwd=self.place / self.case.cwd,
            env=environment(self.place), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            child.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, number) if group else child.send_signal(number)
        status = child.wait(PATIENCE * 5)
        result = Result(self.case.name, number.name, group, after, status)
        result.wrong += self._orphans(number) + self._halves()
        result.wrong += self._again()
        return result

    def _orphans(self, number: signal.Signals) -> list[str]:
        until = time.monotonic() + (PATIENCE if number == signal.SIGKILL else 10)
        while found := living(self.place) + marked(MARK, str(self.place)):
            if time.monotonic() > until:
                return [f"orphan: {each}" for each in found]
            time.sleep(0.02)
        return []

    def _halves(self) -> list[str]:
        found, now = [], state(self.place, self.case.dated) if self.case.whole else {}
        for name in self.case.whole:
            sides = [
                {n: v for n, v in each.items() if _below(n, f"/{name}")} for each in (now, self.before, self.after)
            ]
            found += [] if sides[0] in sides[1:] else [f"half made: {name}"]
        return found

    def _again(self) -> list[str]:
        said = ""
        for words in (*self.case.again, self.case.words):
            done = porter(self.place, words, self.case.cwd, self.url)
            said = f"{words}: {done.returncode} {done.stderr[-300:]}"
            now = state(self.place, self.case.dated)
            if now == self.after:
                return []
        keys = sorted(name for name in {*now, *self.after} if now.get(name) != self.after.get(name))
        left = "" if "tmp" not in keys else f" (in tmp: {_inside(self.place / 'tmp')})"
        return [f"after the next run: {keys[:6]}{left}; {said}"]


def _inside(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))[:6]


def _below(name: str, prefix: str) -> bool:
    name = name.replace("/./", "/")
    return name == prefix or name.startswith((prefix + "/", prefix + ":"))


@contextmanager
def server(weights: bool) -> Iterator[Shelf]:
    """Gives out a data set, and a checkpoint, slowly enough to be killed meanwhile."""
    files = {"/coco128.zip": coco128()}
    if weights:
        from torchfiles import checkpoint  # brings torch

        files["/yolov5m.pt"] = checkpoint(200_000)
    with shelf(files) as found:
        found.rate = 1e5
        yield found


def hunt(
    root: Path, kills: int, seed: int, names: Sequence[str] = (), say: Callable[[str], None] = print
) -> list[Result]:
    """So many kills or a few more, spread evenly over the commands."""
    chosen = [case for case in CASES if not names or case.name in names]
    weights = sum(case.weight for case in chosen)
    draw, results = random.Random(seed), []
    kept = os.environ.get("PORTER_CACHE")
    with server(any(case.name == "weights fetch" for case in chosen)) as serving:
        try:
            for index, case in enumerate(chosen):
                share = math.ceil(kills * case.weight / weights)
                template = Template(case, root, serving.url)
                for number in range(share):
                    which, group = SIGNALS[(number + index) % 3], bool((number // 3 + index) % 2)
                    result = template.kill(which, group, draw.uniform(0.02, 1.05) * template.seconds)
                    results.append(result)
                    how = "its group" if group else "alone"
                    for wrong in result.wrong:
                        say(f"{case.name}, {result.signal} to {how} after {result.after:.3f} s: {wrong}")
                say(f"{case.name}: {share} kills in {template.seconds:.1f} s that it takes")
        finally:
            os.environ.pop("PORTER_CACHE") if kept is None else os.environ.update(PORTER_CACHE=kept)
    return results


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="An empty folder to work in.")
    given = parser.parse_args()
    given.root.mkdir(parents=True, exist_ok=True)
    results = hunt(given.root.absolute(), given.kills, given.seed, given.names, lambda line: print(line, flush=True))
    wrong = [each for result in results for each in result.wrong]
    counts = {
        kind: sum(each.startswith(kind) for each in wrong) for kind in ("half made", "orphan", "after the next run")
    }
    print(f"{len(results)} kills: {counts}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
