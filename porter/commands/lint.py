"""``porter lint``: what a careful reader of the patches would complain about, found by a program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import click

from porter.commands.arguments import AnyProject, find
from porter.commands.options import JSON, UPSTREAM, print_json, tell, terminal
from porter.errors import CheckFailed, PorterError
from porter.lockfile import Lock
from porter.output import Progress, counted
from porter.patch import Patch, PatchFailed, file_names
from porter.project import Project
from porter.rebase.commits import canonical
from porter.sources.obtain import obtain
from porter.sources.snapshot import Snapshot
from porter.stack import (
    COMMON,
    SERIES,
    LockCalculator,
    Stack,
    available,
    load_parts,
    series,
    single_stacks,
    tried_together,
)
from porter.stack.build import Build, Builder
from porter.target import FILE, NOWHERE, Target
from porter.verification.plan import NAMES

REASONS = ("device", "environment", "safety", "metrics", "speed")
_TRAILERS = {
    "Reason": ("|".join(REASONS), f"one of {', '.join(REASONS)}"),
    "Upstream": (
        r"no|([0-9a-f]{7,40}|#\d+|PR \d+|https://\S+)\b.*",
        "'no', or the commit or pull request that made it unnecessary",
    ),
    "Check": (r"[a-z][a-z0-9-]*(, [a-z][a-z0-9-]*)*", "the name of a check"),
    "Stack": (r"[a-z][a-z0-9]*", "the stack's name"),
}
_OPTIONAL = {
    "Needs": (
        r"[a-z][a-z0-9-]*[<>=!~]=?[\d.]+(, [a-z][a-z0-9-]*[<>=!~]=?[\d.]+)*",
        "the versions without which nothing misses it, as numpy>=1.24, torch>=1.13",
    ),
}
_PERSON = re.compile(r"[A-Za-z][A-Za-z-]*: .*<\S+@\S+>")  # as git commit --signoff writes it: a trailer is one line
_CONFLICT = re.compile(rb"(<{7}|>{7}|\|{7})( .*)?\r?\n?|={7}\r?\n?")


@dataclass(frozen=True, order=True)
class Problem:
    """One complaint: the file (from the project's folder), the line (0: the file as a whole), and what."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}" if self.line else f"{self.file}: {self.what}"


def lint(*, upstream: str | None = None, project: AnyProject = None, progress: Progress | None = None) -> list[Problem]:
    """What a careful reader of the patches would complain about, sorted; an empty list: nothing.

    Raises:
        WrongUsage: there is no stack at all, or the lock cannot be read.
        EnvironmentFailed: upstream cannot be had.
    """
    project = find(project)
    lock = Lock.load(project.lock_path)
    targets = available(project.patches)
    findings: list[Problem] = []
    for name in (COMMON, *targets):
        findings += _folder(project, name)
    if any(finding.line < 0 for finding in findings):  # something cannot even be read
        return sorted(Problem(f.file, max(f.line, 0), f.what) for f in findings)
    snapshot = obtain(lock, upstream, progress=progress)
    calculator, parts = LockCalculator(lock, snapshot), load_parts(project)
    whole = tried_together(parts)
    known: dict[str, Build] = {}
    for number, stack in enumerate(whole):
        (progress or Progress()).step("building the stacks", number, len(whole))
        try:
            build = known[stack.key] = calculator.builder.build(stack.patches)
        except PatchFailed as error:
            findings.append(Problem(_place(error.patch), 0, f"in {stack.key}: {error}"))
            continue
        findings += _positions(stack, build)
    single = [stack for stack in whole if len(stack.targets) == 1 and stack.key in known]
    findings += _canonical(single, Builder(snapshot, like=calculator.builder), snapshot)
    findings += _lock(project, lock, calculator, parts)
    return sorted(set(findings))


@click.command(name="lint")
@UPSTREAM
@JSON
def command(upstream: str | None, as_json: bool) -> None:
    """Check the patches: headers, order, names, whitespace, canonical form, that all apply, the lock.

    Exit code 1 if there is anything to say.
    """
    with terminal() as progress:
        findings = lint(upstream=upstream, progress=progress)
    if as_json:
        print_json("lint", {"findings": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(str(finding))
    if findings:
        tell(counted(len(findings), "finding"), err=True)
        raise SystemExit(1)
    if not as_json:
        tell("The stacks are as they should be.")


def _place(patch: str) -> str:
    return f"patches/{patch}"


def _folder(project: Project, name: str) -> Iterator[Problem]:
    """What the files of one stack tell by themselves.  A finding with the line -1 stops everything else."""
    folder = project.patches / name
    try:
        listed = series(folder)
    except CheckFailed as error:
        yield Problem(f"patches/{name}/{SERIES}", -1, str(error))
        return
    names = [entry for _, entry in listed]
    for place, (line, entry) in enumerate(listed):
        if entry in names[:place]:
            yield Problem(f"patches/{name}/{SERIES}", line, f"{entry} is listed twice")
    expected = {SERIES, *names}
    if name != COMMON:
        try:
            target = Target.load(folder)
            expected |= {FILE, target.requirements}
            for field in target.placeholders:
                yield Problem(f"patches/{name}/{FILE}", 0, f"{field} holds what new-target put there: fill it in")
        except PorterError as error:
            yield Problem(f"patches/{name}/{FILE}", 0, str(error))
            expected |= {FILE, "requirements.txt"}
    for path in sorted(folder.iterdir()):
        if path.name not in expected:
            yield Problem(f"patches/{name}/{path.name}", 0, f"not in {SERIES}")
    patches = []
    for entry in names:
        try:
            patches.append(Patch.read(folder / entry, name))
        except CheckFailed as error:
            yield Problem(f"patches/{name}/{entry}", -1, str(error))
    for patch, wanted in zip(patches, file_names(patch.subject for patch in patches)):
        yield from _header(patch, wanted)
        yield from _added_lines(patch)
        yield from _read_otherwise(patch)


def _header(patch: Patch, wanted: str) -> Iterator[Problem]:
    def finding(what: str) -> Problem:
        return Problem(_place(patch.id), 0, what)

    if patch.name != wanted:
        yield finding(f"should be named {wanted}, after its subject")
    if len(patch.subject) > 72:
        yield finding(f"the subject has {len(patch.subject)} characters, more than 72")
    if patch.subject.endswith("."):
        yield finding("the subject ends with a full stop")
    paragraphs = patch.body.split("\n\n") if patch.body else []
    if len(paragraphs) < 2:
        yield finding("says nothing between the subject and the trailers: why does it exist?")
    for line in patch.body.split("\n"):
        for what in _message_line(line):
            yield finding(what)
    for what in _trailers(patch):
        yield finding(what)


def _trailers(patch: Patch) -> Iterator[str]:
    keys = [key for key, _ in patch.trailers]
    for key, (pattern, meaning) in {**_TRAILERS, **_OPTIONAL}.items():
        if keys.count(key) != 1:
            if key in _TRAILERS or key in keys:
                yield f"needs one trailer {key}: {meaning}"
        elif not re.fullmatch(pattern, patch.trailer(key)):
            yield f"{key}: {patch.trailer(key)!r} is not {meaning}"
    checks = patch.trailer("Check")
    for name in checks.split(", ") if re.fullmatch(_TRAILERS["Check"][0], checks) else ():
        if keys.count("Check") == 1 and name not in NAMES:
            yield f"Check: there is no check {name!r} (`porter verify --help`)"
    if keys.count("Stack") == 1 and patch.trailer("Stack") != patch.stack:
        yield f"its trailer says Stack: {patch.trailer('Stack')}, it is in {patch.stack}/"


def _message_line(line: str) -> Iterator[str]:
    if line.startswith("TODO"):  # what porter proposes where only the author can say it
        yield f"something is left to say: {line}"
    if len(line) > 80 and " " in line and not _PERSON.fullmatch(line):
        yield f"a line of the message has {len(line)} characters, more than 80: {line[:40]}…"


def _added_lines(patch: Patch) -> Iterator[Problem]:
    """Whitespace errors and conflict marks in what a patch adds."""
    for change in patch.changes:
        for hunk in change.hunks:
            for offset, row in enumerate(hunk.body, 1):
                if row[:1] == b"+":
                    line = patch.diff_line - 1 + hunk.line + offset
                    for what in _complaints(row[1:]):
                        yield Problem(_place(patch.id), line, f"{what} in {change.new}")
            if hunk.at_end and hunk.new and not hunk.new[-1].strip() and hunk.body[-1][:1] == b"+":
                line = patch.diff_line - 1 + hunk.line + len(hunk.body)
                yield Problem(_place(patch.id), line, f"blank line at the end of {change.new}")


def _read_otherwise(patch: Patch) -> Iterator[Problem]:
    """What unidiff, which other people's tools read diffs with, makes of a patch otherwise than porter."""
    from unidiff.errors import UnidiffParseError
    from unidiff.patch import PatchSet

    text = patch.data.decode("utf-8", "surrogateescape").split("\n")[patch.diff_line - 1 : -1]
    try:
        files = PatchSet([f"{line}\n" for line in text])
    except UnidiffParseError as error:
        yield Problem(_place(patch.id), patch.diff_line, f"unidiff cannot read it: {str(error).strip()}")
        return
    theirs = [tuple((hunk.added, hunk.removed) for hunk in file) for file in files if len(file)]
    ours = [
        tuple(tuple(sum(row[:1] == sign for row in hunk.body) for sign in (b"+", b"-")) for hunk in change.hunks)
        for change in patch.changes
        if change.hunks
    ]
    if theirs != ours:
        what = "unidiff, and tools that are made with it, find other files or hunks in it than git"
        yield Problem(_place(patch.id), patch.diff_line, what)


def _complaints(line: bytes) -> Iterator[str]:
    text = line.rstrip(b"\n")
    if text != text.rstrip():
        yield "carriage return at the end of a line" if text.endswith(b"\r") else "trailing whitespace"
    indent = text[: len(text) - len(text.lstrip())]
    if b" \t" in indent or b"\t " in indent:
        yield "spaces and tabs mixed in an indent"
    if NOWHERE.encode() in line:
        yield "a placeholder of new-target's"
    if _CONFLICT.fullmatch(line):
        yield "conflict mark"


def _positions(stack: Stack, build: Build) -> Iterator[Problem]:
    """Hunks that are not where their headers say.

    On its own a target's stack must fit exactly.  With another target below it lines may have moved; then
    the place must at least be the only one.
    """
    for built in build.commits:
        for path, moved in built.moved:
            where = f"in {stack.key}, {path}, {moved.hunk.header}"
            line = built.patch.diff_line - 1 + moved.hunk.line
            if len(stack.targets) == 1:
                yield Problem(_place(built.patch.id), line, f"{where}: applies {moved.offset:+d} lines off")
            elif moved.places > 1:
                yield Problem(_place(built.patch.id), line, f"{where}: would fit at {counted(moved.places, 'place')}")


def _canonical(single: Sequence[Stack], builder: Builder, snapshot: Snapshot) -> Iterator[Problem]:
    """Patches that git would write otherwise."""
    for stack, rendered in zip(single, canonical(snapshot, [builder.build(stack.patches) for stack in single])):
        for patch, form in zip(stack.patches, rendered):
            if form.data != patch.data:
                yield Problem(_place(patch.id), _differs(patch.data, form.data), "not in git's canonical form")


def _differs(one: bytes, other: bytes) -> int:
    """The first line at which two files differ."""
    pairs = zip(one.split(b"\n"), other.split(b"\n"))
    return next((n for n, (a, b) in enumerate(pairs, 1) if a != b), min(one.count(b"\n"), other.count(b"\n")) + 1)


def _lock(
    project: Project, lock: Lock, calculator: LockCalculator, parts: Mapping[str, Sequence[Patch]]
) -> Iterator[Problem]:
    """Parts of the stacks that the lock does not describe as they are; what does not apply was told before."""
    file = project.lock_path.name
    for part in sorted(set(lock.stacks) - set(parts)):
        yield Problem(file, 0, f"stacks.{part}: there is no such stack; run `porter lock`")
    for part, stack in single_stacks(parts).items():
        try:
            found = calculator.calculate(stack)
        except PatchFailed:
            continue
        if lock.stacks.get(part) != found:
            yield Problem(file, 0, f"stacks.{part}: not in step with the patches; run `porter lock`")
