"""A tree's commits become the stacks again."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from porter import process
from porter.errors import CheckFailed, EnvironmentFailed, WrongUsage
from porter.files import write_file
from porter.git import GitFailed, Repository, objects, scratch
from porter.git.objects import Entry, Object
from porter.lockfile import Lock
from porter.output import Progress, command_line
from porter.patch import Patch, PatchFailed
from porter.project import Project
from porter.rebase import commits, newer, write_stacks
from porter.rebase.commits import Commit, Item, arrange, pick
from porter.rebase.write_stacks import Rewrite
from porter.sources.snapshot import Extent, Snapshot
from porter.stack import (
    COMMON,
    Stack,
    available,
    digest,
    find_patch,
    key,
    load_parts,
    must_be_known,
    series,
)
from porter.stack.build import Build, Builder, paths
from porter.temporary import temporary_folder
from porter.tree import Tree, TreeNotes, dump
from porter.tree.switch import locked

_UNMERGED = ("DD", "AU", "UD", "UA", "DU", "AA", "UU")


@dataclass(frozen=True)
class Exported:
    """What came of it.

    Attributes:
        rewrite: the files that changed, or would.
        targets: whose stacks the tree holds.
        moved: how many commits are not where the tree has them.
        committed: the commit that holds what was not committed before; empty if there is none.
        head: the commit to which the tree's branch moved: what `porter apply` makes of the patches, where that has the
            tree's content; empty if the branch is there already, or stays.
        untracked: files in the tree that git was not told of, so that they are in no patch.
    """

    rewrite: Rewrite
    targets: tuple[str, ...]
    moved: int
    committed: str
    untracked: tuple[str, ...]
    head: str = ""

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "targets": list(self.targets),
            "edits": [{"path": edit.path, "change": edit.change} for edit in self.rewrite.edits],
            "moved": self.moved,
            "committed": self.committed,
            "untracked": list(self.untracked),
            "head": self.head,
        }


def export_tree(
    project: Project,
    tree: Path,
    targets: Iterable[str] = (),
    *,
    check: bool = False,
    stack: str = "",
    into: str = "",
    new: str = "",
    why: str = "",
    trailers: Iterable[str] = (),
    progress: Progress | None = None,
) -> Exported:
    """Make the stacks what the tree's commits are; the arguments are those of :func:`porter.export`.

    Raises:
        CheckFailed: commits cannot be put in the stacks' order, a change is nothing for a patch, or another target's
            stack does not fit any more.  Nothing was written.
        WrongUsage: the tree is in no state to be exported.
        EnvironmentFailed: the tree cannot be read, or the project not be written.
    """
    if not check:
        project.must_be_a_checkout()
    message = commits.proposed_message(new, stack, why, trailers) if new else ""
    return _Export(project, Tree.open(tree), tuple(targets), check, stack, into, message, progress or Progress()).run()


@dataclass
class _Export:
    """One export.

    Attributes:
        named: whose stacks the tree holds; empty for those that porter noted when it made it, or that its commits
            name.
        check: write nothing.
        stack: the stack of commits that name none.
        into: the patch that takes the changes that are not committed.
        message: the message of the patch that they become.
        work: the commit of what was not committed.
    """

    project: Project
    tree: Tree
    named: tuple[str, ...]
    check: bool
    stack: str
    into: str
    message: str
    progress: Progress
    work: str = ""

    def __post_init__(self) -> None:
        self.seen = write_stacks.inputs(self.project)
        self.repository = self.tree.repository
        self.lock = Lock.load(self.project.lock_path)
        self.extent = self._extent()
        known = (COMMON, *available(self.project.patches))
        self.files = {part: _files(self.project.patches / part) for part in known}

    def run(self) -> Exported:
        self.progress.step("reading the commits")
        self._refuse()
        head = self._head()
        listed = commits.between(self.repository, self.extent.base, head)
        targets = self._targets(listed)
        newer.must_be_on_the_stack(self.tree, self.extent.base, listed, targets)
        into = self._into(listed, targets)
        items = arrange(listed, targets, self.stack, {self.work: into} if into else None)
        moved = sum(item.commit != commit for item, commit in zip(items, listed))
        with scratch(borrow=self.repository) as clean:
            if moved or len(targets) > 1:
                self.progress.step("putting the commits in order")
            made = self._made(items, listed, targets, clean)
            build = None
            if self._is_in_step(made, targets, listed[-1:]):
                planned = Rewrite(self.project, self.lock, {}, {}, ())
            else:
                planned, build = self._plan(made, targets, head, clean, listed)
        if not self.check:
            if build and build.tip != head:  # first, so that the tree has had what it gave, whatever happens now
                self._store(build)
            write_stacks.write(planned)
        committed = self._commit() if self.work else ""
        tip = build.tip if build else made[-1].commit.id if made else head
        moved_to = "" if self.check else self._follow(targets, head, tip, build)
        return Exported(planned, targets, moved, committed, self._untracked(), moved_to)

    # -- the tree -----------------------------------------------------------------------------------------

    def _extent(self) -> Extent:
        grown = self.tree.base(self.lock)
        if grown is None:
            pin = self.lock.pin
            raise WrongUsage(
                f"{self.tree.path} is not a tree of {pin.name} at {pin.tag}",
                self.tree.apart_from(pin),
                "`porter apply --target TARGET DIR` makes one in a new folder; another pin is for `porter bump`.",
            )
        return grown[0]

    def _refuse(self) -> None:
        """Refuse what is half done, and changes that nobody said where to put."""
        tree = self.tree
        if tree.journal:
            raise WrongUsage(
                f"{tree.path} is in the middle of a porter {tree.journal.verb} that was cut off", hint="Run it again."
            )
        if tree.unfinished:
            raise WrongUsage(
                f"{tree.path} is in the middle of {tree.unfinished}", hint="Finish or abort it (git status says how)."
            )
        unmerged = [change.path for change in tree.changes if change.code in _UNMERGED]
        if unmerged:
            raise WrongUsage(
                f"{unmerged[0]} in {tree.path} is not merged yet", "\n".join(unmerged[1:]), "Finish it, and git add it."
            )
        if self.into and self.message:
            raise WrongUsage("changes go into one patch or become a new one", hint="Name one of --into and --new.")
        placed = self.into or self.message
        if placed and self.check:
            raise WrongUsage("--check writes nothing, so it takes neither --into nor --new")
        if placed and not tree.changes:
            raise WrongUsage(f"{tree.path} has no changes that are not committed", hint="Leave --into or --new out.")
        if tree.changes and not placed:
            shown = "\n".join(f"{change.code} {change.path}" for change in tree.changes[:10])
            more = f"\nand {len(tree.changes) - 10} more" if len(tree.changes) > 10 else ""
            raise WrongUsage(
                f"{tree.path} has changes that are not committed, so they belong to no patch yet",
                shown + more,
                "Commit them (git commit --fixup=COMMIT), or say where they go: --into PATCH, "
                "or --new 'SUBJECT' --stack STACK.",
            )

    def _targets(self, listed: Sequence[Commit]) -> tuple[str, ...]:
        """Whose stacks the tree holds."""
        known = available(self.project.patches)
        noted = self.tree.notes.targets if self.tree.notes else ()
        said = {commit.stack for commit in listed} - {"", COMMON}
        found = set(self.named) or set(noted) or said
        must_be_known(sorted(found | said), known)
        if not found:
            raise WrongUsage(
                f"{self.tree.path} does not say which target it is for", hint=f"Name it: --target {' or '.join(known)}."
            )
        return tuple(sorted(found))

    def _head(self) -> str:
        """The last commit to export: HEAD, or what is not committed as a commit on it."""
        if not (self.into or self.message):
            return self.tree.head
        if self.message:
            author, text = commits.person(self.repository), self.message
        else:
            patch = find_patch(self.project, self.into)
            author, text = f"{patch.author} {patch.date}", f"fixup! {patch.subject}\n"
        with temporary_folder("porter-") as folder:
            # an index of our own: the user's keeps what they staged, should anything be refused later
            env = {"GIT_INDEX_FILE": str(folder / "index")}
            try:
                # with its time: to git a file that is as new as its index, to the second, may have been edited since
                shutil.copy2(self.tree.path / ".git" / "index", env["GIT_INDEX_FILE"])
                self.repository.run("add", "--update", "--", ":/", env=env)
                root = self.repository.run("write-tree", env=env).decode().strip()
                data = objects.commit(root, (self.tree.head,), author, author, text).data
                stored = self.repository.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=data)
            except (GitFailed, OSError) as error:
                why = error.stderr if isinstance(error, GitFailed) else error.strerror or str(error)
                raise EnvironmentFailed(f"cannot read the changes in {self.tree.path}", why) from error
        self.work = stored.decode().strip()
        return self.work

    def _into(self, listed: Sequence[Commit], targets: Iterable[str]) -> str:
        """The commit that takes what is not committed, by the patch that the user named."""
        if not self.into:
            return ""
        patch = find_patch(self.project, self.into)
        fitting = [one.id for one in listed[:-1] if one.subject == patch.subject and one.stack in (patch.stack, "")]
        if not fitting:
            status = command_line("porter", "status", self.tree.path)
            raise WrongUsage(
                f"{self.tree.path} has no commit of {patch.id}",
                hint=f"Its commits are for {key(targets)}; `{status}` lists them.",
            )
        return fitting[0]

    def _untracked(self) -> tuple[str, ...]:
        out = self.repository.run("ls-files", "--others", "--exclude-standard", "-z").decode(errors="replace")
        return tuple(path for path in out.split("\0") if path)

    def _commit(self) -> str:
        """Make what was not committed a commit of the tree, so that the next export finds it where this one did."""
        with locked(self.tree) as hold:
            try:
                self.repository.run("update-ref", "-m", "porter export", "HEAD", self.work, self.tree.head, hold=hold)
                self.repository.run("reset", "--quiet", "--mixed", hold=hold)
            except GitFailed as error:
                raise EnvironmentFailed(
                    f"the patches are written, but not the commit in {self.tree.path}",
                    error.stderr,
                    f"Do it yourself: {command_line('git', '-C', self.tree.path, 'reset', self.work)}",
                ) from error
        return self.work

    def _follow(self, targets: Sequence[str], head: str, tip: str, build: Build | None) -> str:
        """Move the tree's branch to what `porter apply` makes of the patches, so that the tree is one of theirs.

        The content stays, to the last byte; the commits that were there are in the reflog.

        Args:
            head: where HEAD is; ``tip``: the last of the patches' commits; ``build``: all of them, if they are at hand.

        Returns:
            ``tip``; empty if HEAD was there already.

        Raises:
            EnvironmentFailed: the tree cannot be written, or HEAD has moved meanwhile.
        """
        notes = self.tree.notes
        noted = TreeNotes(tuple(targets), self.extent.base, tip, notes.before) if notes else None
        if tip == head and noted == notes:
            return ""
        if build is None and tip != head:
            stack = Stack.load(self.project, targets)
            build = stack.build(self.tree.snapshot(self.extent, stack.paths))
            self._store(build)
        if build and (build.tip != tip or build.tree != self.repository.text("rev-parse", f"{head}^{{tree}}")):
            return ""
        with locked(self.tree) as hold, process.held():
            try:
                if tip != head and build:
                    self.repository.run("update-ref", "-m", "porter export", "HEAD", tip, head, hold=hold)
                if noted:
                    write_file(self.tree.notes_file, dump(noted))
            except GitFailed as error:
                what = f"the patches are written, but the branch of {self.tree.path} could not follow them"
                raise EnvironmentFailed(what, error.stderr, "The same command again moves it.") from error
        return tip if tip != head else ""

    def _store(self, build: Build) -> None:
        """Let the tree's repository have the patches' commits."""
        try:
            self.repository.write(objects.pack(build.objects.values()))
        except GitFailed as error:
            raise EnvironmentFailed(f"cannot write the patches' commits into {self.tree.path}", error.stderr) from error

    def _is_locked(self) -> bool:
        """Whether the files are those of the lock."""
        if self.lock.stacks.keys() != self.files.keys():
            return False
        return all(
            self.lock.stacks[part].digest == digest((f"{part}/{file}", data) for file, data in files.items())
            for part, files in self.files.items()
        )

    # -- the commits --------------------------------------------------------------------------------------

    def _made(
        self, items: Sequence[Item], listed: Sequence[Commit], targets: Sequence[str], clean: Repository
    ) -> list[_Written]:
        """The commits as they are to be, written as mails: common's and the first target's, and the others' on common.

        Raises:
            CheckFailed: one cannot be put where it belongs.
        """
        known = {commit.id for commit in listed}
        base = self.extent.base
        made: list[_Written] = []
        for target in targets:
            first = target == targets[0]
            own = [item for item in items if item.stack == target or (first and item.stack == COMMON)]
            pairs = zip(own, listed if first else ())  # what is where the tree has it stays as it is
            kept = len(list(takewhile(lambda pair: pair[0].commit == pair[1] and not pair[0].fixups, pairs)))
            trees = [item.commit.tree for item in own[:kept]]
            trees += self._picked(own[kept:], own[kept - 1].commit.id if kept else base, clean)
            line: list[Object] = []
            for item, tree in zip(own, trees):
                line.append(commits.made(item.commit, tree, line[-1].id if line else base, item.message))
            fresh = [commit for commit in line if commit.id not in known]
            if fresh:
                clean.write(objects.pack(fresh))
            self.progress.step("writing the patches")
            mails = commits.mails(clean, base, [commit.id for commit in line])
            made += [_Written(item, commits.parse(commit), mails.get(commit.id)) for item, commit in zip(own, line)]
            base = _common(made) or base
        return made

    def _picked(self, items: Sequence[Item], onto: str, clean: Repository) -> list[str]:
        """The trees of commits, each with its fixups, on another commit than in the tree."""
        order = command_line("git", "-C", self.tree.path, "rebase", "-i", "--autosquash", self.extent.base[:12])
        hint = f"Nothing was written. Order the commits yourself: {order}"
        if self.work and any(self.work == one.id for item in items for one in item.fixups):
            hint = "Nothing was written. Put it into a later patch (--into), or make it one of its own (--new)."
        rows = [(item, commit) for item in items for commit in (item.commit, *item.fixups)]
        names = [f"commit {commit}, moved to its place in {item.stack}," for item, commit in rows]
        picked = pick(clean, onto, [commit.id for _, commit in rows], names, "the stack", hint)
        last = {item.commit.id: tree for (item, _), (_, tree) in zip(rows, picked)}
        return [last[item.commit.id] for item in items]

    # -- the result ---------------------------------------------------------------------------------------

    def _is_in_step(self, made: Sequence[_Written], targets: Sequence[str], last: Sequence[Commit]) -> bool:
        """Whether the files are, byte for byte, what git writes of the tree's commits, and the lock is theirs.

        That is the usual answer, and no patch has to be read or applied for it.
        """
        if not self._is_locked() or len(targets) > 1:  # whether targets go together is found by applying their patches
            return False
        found: dict[str, list[tuple[str, bytes | None]]] = {part: [] for part in (COMMON, *targets)}
        for one, name in zip(made, _names(made)):
            found[one.item.stack].append((name, one.mail))
        if any(list(self.files[part].items()) != rows for part, rows in found.items()):
            return False
        return [one.commit.tree for one in made[-1:]] == [commit.tree for commit in last]

    def _plan(
        self,
        made: Sequence[_Written],
        targets: Sequence[str],
        head: str,
        clean: Repository,
        listed: Sequence[Commit],
    ) -> tuple[Rewrite, Build]:
        """What the project's files become, other targets' stacks on a new common too; and the tree's stack, built."""
        old = load_parts(self.project)
        parts: dict[str, list[Patch]] = {part: [] for part in (COMMON, *targets)}
        for one, name in zip(made, _names(made)):
            parts[one.item.stack].append(
                commits.patch_in_mail(one.mail, one.item.stack, name, f"commit {one.item.commit}")
            )
        every = [patch for part in (*old.values(), *parts.values()) for patch in part]
        snapshot = self.tree.snapshot(self.extent, {path for p in every for c in p.changes for path in (c.old, c.new)})
        newer.must_have_had(self.project, self.tree, listed, targets, old, parts, snapshot, clean)
        parts.update(self._others(old, parts, snapshot, _common(made) or self.extent.base, clean))
        self.progress.step("checking every stack with them")
        planned = write_stacks.plan(self.project, parts, snapshot, seen=self.seen)
        build = Stack.of(planned.parts, targets).build(snapshot)
        self._prove(build, head)
        return planned, build

    def _others(
        self,
        old: Mapping[str, Sequence[Patch]],
        new: Mapping[str, Sequence[Patch]],
        snapshot: Snapshot,
        common: str,
        clean: Repository,
    ) -> dict[str, list[Patch]]:
        """The patches of the targets that the tree does not hold, on a new common, which ends with that commit.

        A target is left out, and keeps its patches, where common's commits give every file that they name as before.

        Raises:
            CheckFailed: one does not fit there.
        """
        builder = Builder(snapshot)
        after = write_stacks.built(builder, Stack.of({**old, **new}, [])).files
        before: Mapping[str, Entry] = {}
        with suppress(PatchFailed):  # a file was edited since: what does not fit the old common may fit the new one
            before = builder.build(Stack.of(old, []).patches).files
        builds = {}
        for name in (name for name in old if name not in new):
            if all(before.get(path) == after.get(path) for path in paths(old[name])):
                continue
            try:
                builds[name] = builder.build(Stack.of(old, [name]).patches)
            except PatchFailed:
                builds[name] = write_stacks.built(builder, Stack.of({**old, **new}, [name]))
        if not builds:
            return {}
        clean.write(objects.pack((item for build in builds.values() for item in build.objects.values()), level=0))
        found = {}
        for name, build in builds.items():
            own = [one for one in build.commits if one.patch.stack == name]
            labels = [f"{one.patch.id}, on the new {COMMON}," for one in own]
            picked = pick(clean, common, [one.commit for one in own], labels, COMMON, write_stacks.UNWRITTEN)
            mails = commits.mails(clean, common, [commit for commit, _ in picked])
            found[name] = [
                commits.patch_in_mail(mails.get(commit), name, one.patch.name, one.patch.id)
                for one, (commit, _) in zip(own, picked)
            ]
        return found

    def _prove(self, build: Build, head: str) -> None:
        """Check that the patches give the very files that the tree has."""
        expected = self.repository.files(head)
        missing = set(self.extent.missing)
        found = {path: entry for path, entry in build.files.items() if path not in missing}
        wrong = sorted(path for path in {*expected, *found} if expected.get(path) != found.get(path))
        if wrong:
            order = command_line("git", "-C", self.tree.path, "rebase", "-i", self.extent.base[:12])
            raise CheckFailed(
                f"the commits, put in the stacks' order, would not give the tree's {wrong[0]}",
                "\n".join(wrong[1:]),
                f"Nothing was written. Order them yourself: {order}",
            )


@dataclass(frozen=True)
class _Written:
    """A commit as it is to be: what it is made of, and what git writes of it (None if it changes nothing)."""

    item: Item
    commit: Commit
    mail: bytes | None


def _names(made: Sequence[_Written]) -> list[str]:
    """The name of each one's file."""
    return commits.patch_names([one.item.stack for one in made], [one.commit.subject for one in made])


def _common(made: Sequence[_Written]) -> str:
    """The last of common's commits; empty if there is none."""
    return next((one.commit.id for one in reversed(made) if one.item.stack == COMMON), "")


def _files(folder: Path) -> dict[str, bytes]:
    """The patches of a folder as they are, in order."""
    try:
        return {name: (folder / name).read_bytes() for _, name in series(folder)}
    except OSError:  # load_parts() says what is wrong
        return {}
