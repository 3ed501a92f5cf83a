"""Inputs of people who mean no good: ``python -m tests.hostile --root DIR [--inputs 500] [--seed 1] [NAME...]``.

A NAME is a kind of input: import, checkpoints, network, repositories, files, data, paths, streams or locales.  Each
input goes to the command that reads it, in a process and a folder of its own.  It may be refused or taken: wrong is
an exit code other than 0 to 3, a traceback, a program of the input's that ran, and 10 s of a processor.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent / "datasets")]

from downloads.test_hostile_servers import SERVERS
from fileserver import raw
from lifecycle import hostile as patches
from sources import git
from spoilt import REFUSED
from spoilt import make as make_set
from stacks import CHECKOUT, commit, make_project
from torchfiles import checkpoint
from torchfiles import hostile as pickles

CPU = 10.0  # seconds of a processor, its own and its children's
WALL = 300.0  # seconds after which a command hangs: on a busy machine
NAMES = ("two words", "new\nline", "-dash", "--help", "'q\" $(touch {ran})", "`touch {ran}`", "寒武纪", "\u202etxt")
NAMES += (
    "\x1b]0;x\x07",
    "~",
    "a\udcff",
    "%s{0}",
    "con",
    "." * 40,
    "x" * 255,
    "",
    "a/../b",
    "/proc/self/x",
    "\U0001f600",
)


@dataclass(frozen=True)
class Input:
    """What a command gets.

    Attributes:
        words: after ``porter``.
        cwd: where it runs.
        streams: standard streams that are closed, or the device full; by number.
        fresh: in a new Python: the locale is read when one starts.
        then: what has to end with 0 or 1 after it, if it ended with 0.
    """

    kind: str
    name: str
    words: Sequence[str]
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)
    streams: dict[int, str] = field(default_factory=dict)
    fresh: bool = False
    then: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, processor and wall seconds, and what it said."""

    code: int
    cpu: float
    wall: float
    said: str


class Place:
    """A checkout with small stacks, a cache that is full, and a tree; ``mark`` is what no input may make."""

    def __init__(self, root: Path) -> None:
        self.root, self.mark = root, root / "ran"
        for name in "home", "tmp", "work":
            (root / name).mkdir(parents=True)
        (root / "home/.gitconfig").write_text("[user]\n\tname = Me\n\temail = me@example.org\n", encoding="utf-8")
        kept = os.environ.get("PORTER_CACHE")
        os.environ["PORTER_CACHE"] = str(root / "cache")
        try:
            make_project(root)
        finally:
            os.environ.pop("PORTER_CACHE") if kept is None else os.environ.update(PORTER_CACHE=kept)
        self.project, self.tree, self.work = root / "project", root / "tree", root / "work"
        made = self.run(Input("", "", ["apply", "--target", "mlu", str(self.tree)], self.project))
        assert made.code == 0, made.said

    def environment(self) -> dict[str, str]:
        """Of a command: nothing of the caller's, and no network but this machine."""
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        own = {"HOME": str(self.root / "home"), "TMPDIR": str(self.root / "tmp"), "LC_ALL": "C.UTF-8"}
        own |= {"PORTER_CACHE": str(self.root / "cache"), "PYTHONPATH": str(CHECKOUT), "no_proxy": "127.0.0.1"}
        own |= {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "PORTER_TIMEOUT": "1"}
        return {**kept, **own, "OMP_NUM_THREADS": "1", "GIT_CONFIG_NOSYSTEM": "1"}

    def run(self, one: Input) -> Outcome:
        """A command in a fork of this process, which has imported what all need, or in a new Python."""
        log = self.root / "log"
        begun = time.monotonic()
        child = os.fork()
        if not child:
            try:
                os.setsid()
                self._become(one, log)
            finally:
                os._exit(70)
        while time.monotonic() - begun < WALL:
            number, status, used = os.wait4(child, os.WNOHANG)
            if number:
                break
            time.sleep(0.005)
        else:
            os.killpg(child, signal.SIGKILL)
            number, status, used = os.wait4(child, 0)
        code = os.waitstatus_to_exitcode(status)
        said = log.read_text(encoding="utf-8", errors="replace")
        return Outcome(code, used.ru_utime + used.ru_stime, time.monotonic() - begun, said)

    def _become(self, one: Input, log: Path) -> None:
        from porter.cli import main

        os.environ.clear()
        os.environ.update({**self.environment(), **one.env})
        os.chdir(one.cwd)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (6 * int(CPU), 6 * int(CPU)))  # also where this program is killed
        for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
            path = str(log) if number and number not in one.streams else one.streams.get(number) or os.devnull
            os.dup2(os.open(path, mode | (os.O_CREAT | os.O_APPEND if path == str(log) else 0)), number)
            if number and one.streams.get(number) == "":
                os.close(number)
                setattr(sys, ("stdin", "stdout", "stderr")[number], None)
            elif number:
                setattr(sys, ("stdin", "stdout", "stderr")[number], os.fdopen(number, "w", closefd=False))
        if one.fresh:
            os.execv(sys.executable, [sys.executable, "-m", "porter", *one.words])
        try:
            main(list(one.words))
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)

    def look(self, one: Input) -> tuple[Outcome, list[str]]:
        """Run a command, and say what is wrong with how it ended."""
        (self.root / "log").write_bytes(b"")
        found = self.run(one)
        wrong = [] if found.code in (0, 1, 2, 3) else [f"exit {found.code}"]
        wrong += ["a traceback"] if "Traceback (most recent" in found.said or "Exception ignored" in found.said else []
        wrong += [f"{found.cpu:.1f} s of a processor"] if found.cpu > CPU else []
        wrong += [f"hung for {found.wall:.0f} s"] if found.wall >= WALL else []
        if self.mark.exists():
            wrong.append("it ran")
            self.mark.unlink()
        if one.then and found.code == 0 and not wrong:
            after = self.run(Input(one.kind, one.name, one.then, one.cwd))
            wrong += (
                [] if after.code in (0, 1) else [f"then {' '.join(one.then)}: exit {after.code}: {after.said[-200:]}"]
            )
        return found, wrong

    def copy(self) -> Path:
        """A project that may be spoilt, gone with the next."""
        shutil.rmtree(self.root / "spoilt", ignore_errors=True)
        shutil.copytree(self.project, self.root / "spoilt", symlinks=True)
        return self.root / "spoilt"


Maker = Callable[[Place, random.Random, int], Iterator[Input]]


def spoilt(chance: random.Random, data: bytes) -> bytes:
    """A text with up to six things done to it."""
    return patches.hostile(chance, (data or b"\n", b"a: &a [x, x]\nb: &b [*a, *a]\n", b"? [1]\n: 1" + b"9" * 5000))


def fitting(place: Place) -> list[bytes]:
    """A change that the stacks leave room for, as git writes it in three ways."""
    clone = place.work / "vendor"
    git("clone", "-q", place.root / "small", clone, cwd=place.root)
    git("switch", "-q", "-c", "mine", "v6.0", cwd=clone)
    (clone / "utils/general.py").write_text("def log(text):\n    print('mlu', text)\n", encoding="utf-8")
    (clone / "utils/猫.py").write_text("NAME = '猫'\n", encoding="utf-8")
    commit(clone, "Log on the MLU", 1700000000)
    ways = (["format-patch", "-1", "--stdout"], ["show"], ["diff", "HEAD~1"])
    return [git(*words, cwd=clone).encode() + b"\n" for words in ways]


def imports(place: Place, chance: random.Random, count: int) -> Iterator[Input]:
    """Diffs, mails and series, most of them spoilt; what was taken is accepted, and the lock has to be read again."""
    given = sorted(Path(os.environ.get("PORTER_CASES") or CHECKOUT.parent / "shared/cases").glob("import/*"))
    seeds = fitting(place)
    for number in range(count):
        look = place.work / "look"
        shutil.rmtree(look, ignore_errors=True)
        source = given[number] if number < len(given) else place.work / "input.diff"
        if number >= len(given):
            real = number % 2 == 0
            source.write_bytes(patches.hostile(chance, seeds) if real else patches.hostile(chance))
        project = place.copy()
        words = ["import", str(source), "--target", "mlu", "--tree", str(look)]
        yield Input("import", f"{source.name} {number}", words, project, then=["lint"])
        if (look / ".git").exists():
            yield Input("import", f"{source.name} {number}, accepted", [*words, "--accept"], project, then=["lint"])


def checkpoints(place: Place, chance: random.Random, count: int) -> Iterator[Input]:
    """Pickles that would run programs, in every form that torch reads, and checkpoints that are cut or changed."""
    made, file, number = pickles(), place.work / "input.pt", 0
    cases = [(case, form) for case in made["instructions"]("") for form in made["FORMATS"]]
    for case, form in chance.sample(cases, min(len(cases), count * 3 // 4)):
        body = made["instructions"](str(place.mark))[case][1]
        made["FORMATS"][form](made["checkpoint"](body), file)
        yield Input("checkpoints", f"{case} {form}", ["weights", "inspect", str(file)], place.project)
        number += 1
    whole = [checkpoint(100, zipped=zipped) for zipped in (True, False)]
    for left in range(count - number):
        file.write_bytes(spoilt(chance, chance.choice(whole)))
        yield Input("checkpoints", f"spoilt {left}", ["weights", "inspect", "--json", str(file)], place.project)


def network(place: Place, chance: random.Random, count: int) -> Iterator[Input]:
    """Servers that send too little, too much or nonsense, as mirrors, git servers and package indices."""
    uses = (
        ["weights", "fetch", "yolov5n", "--mirror", "{url}", "--dest", "{to}"],
        ["data", "fetch", "coco128", "--mirror", "{url}", "--dest", "{to}"],
        ["upstream", "fetch", "--upstream", "{url}/small.git"],
    )
    cases = [(kind, words) for kind in SERVERS for words in uses]
    for kind, words in chance.sample(cases, min(count, len(cases))):
        answer, drip, forever, _ = SERVERS[kind]
        with raw(answer, drip, forever) as url:
            shutil.rmtree(place.work / "to", ignore_errors=True)
            given = [word.format(url=url, to=place.work / "to") for word in words]
            env = {"PORTER_CACHE": str(place.work / "to/cache")} if words[0] == "upstream" else {}
            yield Input("network", f"{' '.join(words[:2])}: {kind}", given, place.project, env)
    for number in range(count - len(cases)):
        proxy = spoilt(chance, b"http://me:secret@127.0.0.1:9/").replace(b"\0", b"").decode("utf-8", "surrogateescape")
        env = {"https_proxy": proxy[:10000], "SSL_CERT_FILE": chance.choice(("", "/nowhere", "/dev/null"))}
        words = ["weights", "fetch", "yolov5n", "--dest", str(place.work / "to")]
        yield Input("network", f"proxy {number}", words, place.project, env)


def repositories(place: Place, chance: random.Random, count: int) -> Iterator[Input]:
    """Clones whose configuration, attributes and hooks name programs."""
    names = ["core.sshCommand", "core.fsmonitor", "core.pager", "diff.external", "gpg.program", "core.editor"]
    names += ["core.gitProxy", "uploadpack.packObjectsHook", "core.alternateRefsCommand", "credential.helper"]
    names += ["core.hooksPath", "include.path", "remote.origin.vcs", "alias.rev-parse"]
    filters = ["filter.x.smudge", "filter.x.clean"]  # of a clone to work in they are its owner's: Git LFS is one
    uses = (["upstream", "fetch", "--upstream"], ["status"], ["apply", "--target", "mlu"], ["audit"])
    uses += (["export", "--check"],)
    cases = [(name, words) for words in uses for name in names + filters * (words[0] == "upstream")]
    for name, words in chance.sample(cases, min(count, len(cases))):
        clone = place.work / "clone"
        shutil.rmtree(clone, ignore_errors=True)
        source = place.tree if words[0] in ("status", "audit", "export") else place.root / "small"
        git("clone", "-q", source, clone, cwd=place.root)
        does = f"touch {place.mark} #"
        git("config", name, f"!{does}" if name.startswith(("credential", "alias")) else does, cwd=clone)
        (clone / ".git/info").mkdir(exist_ok=True)
        (clone / ".git/info/attributes").write_text("* filter=x diff=x\n", encoding="utf-8")
        for hook in "post-checkout", "reference-transaction", "post-index-change", "pre-commit":
            path = clone / ".git/hooks" / hook
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\ntouch {place.mark}\n", encoding="utf-8")
            path.chmod(0o755)
        env = {"PORTER_CACHE": str(place.work / "cache")} if words[0] == "upstream" else {}
        shutil.rmtree(place.work / "cache", ignore_errors=True)
        yield Input("repositories", f"{' '.join(words)}: {name}", [*words, str(clone)], place.project, env)


def files(place: Place, chance: random.Random, count: int) -> Iterator[Input]:
    """The files of a checkout, spoilt: the lock, patches, series, targets; and records."""
    uses = (["lint"], ["lock", "--check"], ["status", str(place.tree)], ["show", "mlu/1"], ["upstream", "show"])
    for number in range(count):
        project = place.copy()
        victims = [
            project / "upstream.lock",
            *sorted(path for path in (project / "patches").rglob("*") if path.is_file()),
        ]
        path = victims[0] if number % 4 == 0 else chance.choice(victims)
        path.write_bytes(spoilt(chance, path.read_bytes()))
        words = chance.choice(uses)
        if number % 5 == 4:
            record = place.work / "record.json"
            record.write_bytes(
                spoilt(chance, b'{"kind": "verify", "schema": 1, "porter": "0.1", "checks": [{"name": "x"}]}\n')
            )
            words = ["report", str(record), "--output", str(place.work / "page.html")]
        name = f"{words[0]} {path.relative_to(project)} {number}"
        yield Input("files", name, words, project)


def data(place: Place, chance: random.Random, count: int) -> Iterator[Input]:
    """Data sets in which things are wrong, and yamls that are none, read by a tree of v6.0 itself."""
    tree = place.work / "ported"
    # v6.0 is in the cache of whoever runs this, or in the package index
    env = {name: os.environ.get(name, "") for name in ("HOME", "PORTER_CACHE", "https_proxy", "http_proxy")}
    made = place.run(Input("data", "", ["apply", "--target", "mlu", str(tree)], CHECKOUT, env))
    assert made.code == 0, made.said
    for number in range(count):
        root = place.work / "set"
        shutil.rmtree(root, ignore_errors=True)
        make_set(root, chance.randrange(10**6))
        if number % 2:
            path = root / "data.yaml"
            key, value = chance.choice(REFUSED)
            path.write_bytes(spoilt(chance, path.read_bytes() + f"{key}: {value}\n".encode()))
        yield Input("data", f"set {number}", ["data", "check", str(root / "data.yaml")], tree, env)


def paths(place: Place, chance: random.Random, count: int) -> Iterator[Input]:
    """Odd names of files and folders."""
    uses = (
        *(
            ["status", "--"],
            ["apply", "--target", "mlu", "--"],
            ["revert", "--"],
            ["audit", "--"],
            ["data", "check", "--"],
        ),
        *(["weights", "inspect", "--"], ["import", "--target", "mlu", "--"], ["export", "--check", "--"]),
        *(["data", "make", "--images", "1", "--"], ["lint", "--project"], ["show", "--"], ["verify", "--target"]),
    )
    cases = [(words, name) for words in uses for name in NAMES]
    for words, name in chance.sample(cases, min(count, len(cases))):
        here = place.work / "here"
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        name = name.format(ran=place.mark) if "{ran}" in name else name
        if 0 < len(name) < 255 and "/" not in name:
            (here / name).write_bytes(b"x") if chance.random() < 0.3 else None
        given = ["--project", name, "lint"] if "--project" in words else [*words, name]
        given = [*given, "--check", "tree", "--level", "static", "x"] if words[0] == "verify" else given
        yield Input("paths", f"{words[0]} {name!r}", given, here)


def streams(place: Place, chance: random.Random, count: int) -> Iterator[Input]:
    """Standard streams that are closed or full."""
    tree = str(place.tree)
    uses = (["status", tree], ["status", "--json", tree], ["lint"], ["show", "mlu/1"], ["audit", tree], ["--help"])
    uses += (["lock", "--check"], ["apply", "--help"], ["upstream", "show"], ["export", "--check", tree], ["nonsense"])
    cases = [
        (words, which)
        for words in uses
        for which in ({1: ""}, {2: ""}, {1: "", 2: ""}, {1: "/dev/full"}, {2: "/dev/full"})
    ]
    for words, which in chance.sample(cases, min(count, len(cases))):
        yield Input("streams", f"{' '.join(words)} {which}", words, place.project, streams=which)


def locales(place: Place, chance: random.Random, count: int) -> Iterator[Input]:
    """Locales that are not in UTF-8, with names that are not in them."""
    c = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    kinds = {"C": {**c, "LC_ALL": "C"}, "POSIX": {**c, "LC_ALL": "POSIX"}, "none": {**c, "LC_ALL": "xx_YY.GBK"}}
    kinds["GBK"] = {**c, "LC_ALL": "C", "PYTHONIOENCODING": "gbk"}
    uses = (
        ["status"],
        ["apply", "--target", "mlu"],
        ["data", "make", "--images", "1"],
        ["weights", "inspect"],
        ["audit"],
    )
    cases = [
        (kind, words, name) for kind in kinds for words in uses for name in ("寒武纪", "é😀", "a\udcff", "\udcba\udcae")
    ]
    for kind, words, name in chance.sample(cases, min(count, len(cases))):
        path = str(place.work / f"{name}")
        shutil.rmtree(path, ignore_errors=True)
        yield Input("locales", f"{kind}: {words[0]} {name!r}", [*words, path], place.project, kinds[kind], fresh=True)


# kind -> what makes inputs of it, and their part of 500
KINDS: dict[str, tuple[Maker, int]] = {
    "import": (imports, 150),
    "checkpoints": (checkpoints, 100),
    "network": (network, 60),
    "repositories": (repositories, 30),
    "files": (files, 50),
    "data": (data, 20),
    "paths": (paths, 60),
    "streams": (streams, 34),
    "locales": (locales, 20),
}


def hunt(
    root: Path, inputs: int, seed: int, names: Sequence[str] = (), say: Callable[[str], None] = print
) -> list[str]:
    """Give so many inputs to their commands, at least one of each kind; what was wrong, a line each."""
    wrong: list[str] = []
    place, total = Place(root), 0
    for name in names or KINDS:
        make, share = KINDS[name]
        codes: dict[int, int] = {}
        slowest = 0.0
        for one in make(place, random.Random(f"{seed} {name}"), max(1, inputs * share // 500)):
            found, amiss = place.look(one)
            codes[found.code] = codes.get(found.code, 0) + 1
            slowest = max(slowest, found.cpu)
            wrong += [f"{one.kind}, {one.name}: {each}" for each in amiss]
            for each in amiss:
                say(f"{one.kind}, {one.name}: {each}\n{found.said[-600:]}")
        total += sum(codes.values())
        say(f"{name}: {sum(codes.values())} inputs, exit codes {dict(sorted(codes.items()))}, at most {slowest:.1f} s")
    say(f"{total} inputs, {len(wrong)} wrong")
    return wrong


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*KINDS, []])
    parser.add_argument("--inputs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="A folder that is not there yet.")
    given = parser.parse_args()
    given.root.mkdir(parents=True)
    return (
        1
        if hunt(given.root.absolute(), given.inputs, given.seed, given.names, lambda line: print(line, flush=True))
        else 0
    )


if __name__ == "__main__":
    sys.exit(main())
