"""A tree's commits become the stacks again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter import objects
from porter.errors import CheckFailed, SurroundingsFailed, WrongUsage
from porter.files import temporary_folder
from porter.git import GitFailed, Repository, scratch
from porter.lockfile import Lock
from porter.objects import Entry, step
from porter.output import Progress
from porter.patch import Patch
from porter.project import Project
from porter.rebase import commits, header, write_stacks
from porter.rebase.chain import Chain, canonical_message
from porter.rebase.commits import Commit
from porter.rebase.order import Item, arrange
from porter.rebase.render import Mails, key_of, places_named, raw, render, sides, written
from porter.rebase.write_stacks import Rewrite
from porter.sources.snapshot import Extent, Snapshot
from porter.stack import (
    COMMON,
    Contents,
    Stack,
    available,
    digest,
    find_patch,
    key,
    load_parts,
    must_be_known,
    series,
)
from porter.tree.clone import Tree
from porter.tree.switch import locked

if TYPE_CHECKING:
    from porter.rebase.merge import Original, Placer

_UNMERGED = ("DD", "AU", "UD", "UA", "DU", "AA", "UU")


@dataclass(frozen=True)
class Exported:
    """What came of it.

    Attributes:
        rewrite: the files that changed, or would.
        targets: whose stacks the tree holds.
        moved: how many commits are not where the tree has them.
        committed: the commit that holds what was not committed before; empty if there is none.
        untracked: files in the tree that git was not told of, so that they are in no patch.
    """

    rewrite: Rewrite
    targets: tuple[str, ...]
    moved: int
    committed: str
    untracked: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "targets": list(self.targets),
            "edits": [{"path": edit.path, "change": edit.change} for edit in self.rewrite.edits],
            "moved": self.moved,
            "committed": self.committed,
            "untracked": list(self.untracked),
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
        SurroundingsFailed: the tree cannot be read, or the project not be written.
    """
    if not check:
        project.must_be_a_checkout()
    message = header.proposed(new, stack, why, trailers) if new else ""
    return _Export(project, Tree.open(tree), tuple(targets), check, stack, into, message, progress or Progress()).run()


class _Export:
    """One export.

    Args:
        named: whose stacks the tree holds; empty for those that porter noted when it made it, or that its commits
            name.
        check: write nothing.
        stack: the stack of commits that name none.
        into: the patch that takes the changes that are not committed.
        message: the message of the patch that they become.
    """

    def __init__(
        self,
        project: Project,
        tree: Tree,
        named: tuple[str, ...],
        check: bool,
        stack: str,
        into: str,
        message: str,
        progress: Progress,
    ) -> None:
        self.project = project
        self.tree = tree
        self.named = named
        self.check = check
        self.stack = stack
        self.into = into
        self.message = message
        self.progress = progress
        self.repository = tree.repository
        self.lock = Lock.load(project.lock_path)
        self.extent = self._extent()
        self.files = {part: _files(project.patches / part) for part in (COMMON, *available(project.patches))}
        self.mails = Mails(data for files in self.files.values() for data in files.values())
        self.work = ""  # the commit of what was not committed

    def run(self) -> Exported:
        self.progress.step("reading the commits")
        self._refuse()
        head = self._head()
        seen = self._seen(head)
        target = "" if self.work else self.mails.was_in_step(seen)
        if target and self._is_locked():
            return self._unchanged((target,))
        listed = commits.between(self.repository, self.extent.base, head)
        targets = self._targets(listed)
        into = self._into(listed, targets)
        items = arrange(listed, targets, self.stack, {self.work: into} if into else None)
        moved = [item.commit for item in items] != list(listed)
        changes = commits.changes(self.repository, self.extent.base, head)
        if not moved and not self.work and len(targets) == 1 and self._in_step(listed, changes, targets[0]):
            self.mails.is_in_step(seen, targets[0])
            return self._unchanged(targets)
        if moved or len(targets) > 1:
            self.progress.step("putting the commits in order")
        chains = self._chains(items, listed, changes, moved, targets)
        self.progress.step("writing the patches")
        form = self._rendered(chains)
        parts: dict[str, list[Patch]] = {COMMON: []}
        for target, chain in chains.items():
            for name in (COMMON, target):
                parts[name] = [form[i] for i, stack in zip(chain.ids, chain.stacks) if stack == name]
        self.progress.step("checking every stack with them")
        snapshot = self._snapshot(parts)
        planned = write_stacks.plan(self.project, parts, snapshot, rendered=form, borrow=self.repository)
        self._prove(planned, snapshot, targets, changes, listed)
        if not self.check:
            write_stacks.write(planned)
        committed = self._commit() if self.work else ""
        count = sum(1 for item, commit in zip(items, listed) if item.commit != commit) if moved else 0
        return Exported(planned, targets, count, committed, self._untracked())

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
        found = set(self.named) or set(noted) | said
        must_be_known(sorted(found), known)
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
            author, text = person(self.repository), self.message
        else:
            patch = find_patch(self.project, self.into)
            author, text = f"{patch.author} {patch.date}", f"fixup! {patch.subject}\n"
        with temporary_folder("porter-") as folder:
            # an index of our own: the user's keeps what they staged, should anything be refused later
            env = {"GIT_INDEX_FILE": str(folder / "index")}
            try:
                shutil.copy(self.tree.path / ".git" / "index", env["GIT_INDEX_FILE"])
                self.repository.run("add", "--update", "--", ":/", env=env)
                root = self.repository.run("write-tree", env=env).decode().strip()
                data = objects.commit(root, (self.tree.head,), author, author, text).data
                stored = self.repository.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=data)
            except (GitFailed, OSError) as error:
                why = error.stderr if isinstance(error, GitFailed) else error.strerror or str(error)
                raise SurroundingsFailed(f"cannot read the changes in {self.tree.path}", why) from error
        self.work = stored.decode().strip()
        return self.work

    def _into(self, listed: Sequence[Commit], targets: Iterable[str]) -> str:
        """The commit that takes what is not committed, by the patch that the user named."""
        if not self.into:
            return ""
        patch = find_patch(self.project, self.into)
        fitting = [one.id for one in listed[:-1] if one.subject == patch.subject and one.stack in (patch.stack, "")]
        if not fitting:
            raise WrongUsage(
                f"{self.tree.path} has no commit of {patch.id}",
                hint=f"Its commits are for {key(targets)}; `porter status {self.tree.path}` lists them.",
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
                raise SurroundingsFailed(
                    f"the patches are written, but not the commit in {self.tree.path}",
                    error.stderr,
                    f"Do it yourself: git -C {self.tree.path} reset {self.work}",
                ) from error
        return self.work

    def _in_step(
        self, listed: Sequence[Commit], changes: Mapping[str, Mapping[str, Entry | None]], target: str
    ) -> bool:
        """Whether the files are, byte for byte, what git writes of the tree's commits, and the lock is theirs.

        That is the usual answer, and nothing has to be parsed or built for it.
        """
        if not listed or not self._is_locked():
            return False
        mails = self._mails_of(listed, changes)
        if mails is None:
            return False
        names = places_named([commit.stack for commit in listed], [commit.subject for commit in listed])
        found: dict[str, list[tuple[str, bytes | None]]] = {COMMON: [], target: []}
        for commit, name in zip(listed, names):
            found.setdefault(commit.stack, []).append((name, mails.get(commit.id)))
        return all(list(self.files.get(part, {}).items()) == wanted for part, wanted in found.items())

    def _is_locked(self) -> bool:
        """Whether the files are those of the lock."""
        if self.lock.stacks.keys() != self.files.keys():
            return False
        return all(
            self.lock.stacks[part].digest == digest((f"{part}/{file}", data) for file, data in files.items())
            for part, files in self.files.items()
        )

    def _seen(self, head: str) -> str:
        """All that decides whether locked files are those of the tree's commits, as a digest."""
        stacks = sorted((name, stack.digest) for name, stack in self.lock.stacks.items())
        noted = self.tree.notes.targets if self.tree.notes else ()
        record = [self.extent.base, head, self.named, noted, self.stack, stacks]
        return hashlib.sha256(json.dumps(record).encode()).hexdigest()

    def _unchanged(self, targets: tuple[str, ...]) -> Exported:
        return Exported(Rewrite(self.project, self.lock, {}, {}, ()), targets, 0, "", self._untracked())

    def _mails_of(
        self, listed: Sequence[Commit], changes: Mapping[str, Mapping[str, Entry | None]]
    ) -> dict[str, bytes] | None:
        """Commit -> its mail: what git wrote before is not written again.  None where one is no file's for sure."""
        keys, files = {}, dict(self.extent.files)
        for commit in listed:
            done = changes[commit.id]
            keys[commit.id] = key_of(commit.author, commit.date, canonical_message(commit), sides(files, done))
            step(files, done)
        if any(self.mails.differs(name) for name in keys.values()):
            return None
        known = {i: mail for i, name in keys.items() for mail in (self.mails.find(name),) if mail is not None}
        unknown = [n for n, commit in enumerate(listed) if commit.id not in known]
        if unknown:
            first, last = unknown[0], unknown[-1]
            base = listed[first - 1].id if first else self.extent.base
            with scratch(borrow=self.repository) as clean:
                fresh = raw(clean, base, [commit.id for commit in listed[first : last + 1]])
            for commit in listed[first : last + 1]:
                if commit.id in fresh and canonical_message(commit) == commit.message:
                    self.mails.keep(keys[commit.id], fresh[commit.id])
            self.mails.save()
            known.update(fresh)
        return known

    # -- the commits --------------------------------------------------------------------------------------

    def _chains(
        self,
        items: Sequence[Item],
        listed: Sequence[Commit],
        changes: Mapping[str, Mapping[str, Entry | None]],
        moved: bool,
        targets: Sequence[str],
    ) -> dict[str, Chain]:
        """Target -> the commits of common and its own, each on the one before it."""
        mover = self._mover(listed, changes) if moved or len(targets) > 1 else None
        common = Chain(self.extent.base, self.extent.files)
        place = 0  # so far every commit is where the tree has it
        chains = {}
        for part in (COMMON, *targets):
            chain = common if part == COMMON else common.branch()
            own = [item for item in items if item.stack == part]
            for item in own:
                stays = place >= 0 and not item.fixups and place < len(listed) and listed[place] == item.commit
                if stays and (part in (COMMON, targets[0])):
                    place += 1
                    self._add(chain, item, changes[item.commit.id])
                else:
                    place = -1
                    assert mover is not None
                    self._move(chain, item, mover)
            if part != COMMON:
                chains[part] = chain
        return chains

    def _add(self, chain: Chain, item: Item, changes: Mapping[str, Entry | None]) -> None:
        commit = Commit("", "", (), item.commit.author, item.commit.date, item.message)
        message = canonical_message(commit)
        try:
            message.encode()
            commit.author.encode()
        except UnicodeEncodeError as error:
            raise WrongUsage(
                f"commit {item.commit}: its message or author is not UTF-8",
                hint="Write it anew: git rebase -i, reword.",
            ) from error
        chain.add(item.stack, commit.author, commit.date, message, changes)

    def _move(self, chain: Chain, item: Item, mover: _Mover) -> None:
        """Put a commit, with its fixups, where the tree does not have it."""
        from porter.rebase.onto import placed

        trial = dict(chain.files)
        total: dict[str, Entry | None] = {}
        for commit in (item.commit, *item.fixups):
            hint = (
                f"Nothing was written. Order the commits yourself: "
                f"git -C {self.tree.path} rebase -i --autosquash {self.extent.base[:12]}"
            )
            name = f"commit {commit}, moved to its place in {item.stack},"
            done = placed(mover.placer, mover.originals[commit.id], trial, name, hint)
            step(trial, done)
            total.update(done)
        self._add(chain, item, total)
        chain.made.update(mover.placer.contents.made)

    def _mover(self, listed: Sequence[Commit], changes: Mapping[str, Mapping[str, Entry | None]]) -> _Mover:
        from porter.rebase.merge import Original, Placer

        stacks = [commit.stack or self.stack or "fixup" for commit in listed]
        patches = render(self.repository, self.extent.base, listed[-1].id, stacks)
        files = dict(self.extent.files)
        originals = {}
        for commit, patch in zip(listed, patches):
            paths = list(changes[commit.id])
            before = {path: files[path] for path in paths if path in files}
            step(files, changes[commit.id])
            originals[commit.id] = Original(patch, before, {path: files[path] for path in paths if path in files})
        sides = (self.extent.files, *(side for one in originals.values() for side in (one.before, one.after)))
        ids = {entry.id for side in sides for entry in side.values()}
        return _Mover(originals, Placer(Contents(self.repository.find(ids)), "the stack"))

    def _rendered(self, chains: Mapping[str, Chain]) -> dict[str, Patch]:
        """Commit -> its patch."""
        form: dict[str, Patch] = {}
        keys: dict[str, str] = {}
        for chain in chains.values():
            names = places_named(chain.stacks, chain.subjects)
            for i, found, stack, name in zip(chain.ids, chain.keys, chain.stacks, names):
                mail, keys[i] = self.mails.find(found), found
                if mail is not None and i not in form:
                    with suppress(CheckFailed):  # it is no patch; written() says so, and of which commit
                        form[i] = Patch.parse(mail, stack, name)
        if form.keys() >= keys.keys():
            return form
        with scratch(borrow=self.repository) as clean:
            made = {i: item for chain in chains.values() for i, item in chain.made.items()}
            clean.write(objects.pack(made.values(), level=0))
            for chain in chains.values():
                form.update(written(clean, self.extent.base, chain.ids, chain.stacks, chain.subjects, form))
        for i, found in keys.items():
            self.mails.keep(found, form[i].data)
        self.mails.save()
        return form

    # -- the result ---------------------------------------------------------------------------------------

    def _snapshot(self, parts: Mapping[str, Sequence[Patch]]) -> Snapshot:
        """Upstream as the tree has it, with all that any stack's patches change."""
        old = load_parts(self.project)
        if [patch.data for patch in old[COMMON]] != [patch.data for patch in parts[COMMON]]:
            return self.tree.snapshot(self.extent, self.extent.files)  # other targets' patches may have to be merged
        every = [patch for part in {**old, **parts}.values() for patch in part]
        return self.tree.snapshot(self.extent, {path for p in every for c in p.changes for path in (c.old, c.new)})

    def _prove(
        self,
        planned: Rewrite,
        snapshot: Snapshot,
        targets: Iterable[str],
        changes: Mapping[str, Mapping[str, Entry | None]],
        listed: Sequence[Commit],
    ) -> None:
        """Check that the patches give the very files that the tree has."""
        expected = dict(self.extent.files)
        for commit in listed:
            step(expected, changes[commit.id])
        missing = set(self.extent.missing)
        whole = Stack.of(planned.parts, targets).build(snapshot)
        found = {path: entry for path, entry in whole.files.items() if path not in missing}
        wrong = sorted(path for path in {*expected, *found} if expected.get(path) != found.get(path))
        if wrong:
            raise CheckFailed(
                f"the commits, put in the stacks' order, would not give the tree's {wrong[0]}",
                "\n".join(wrong[1:]),
                f"Nothing was written. Order them yourself: git -C {self.tree.path} rebase -i {self.extent.base[:12]}",
            )


@dataclass(frozen=True)
class _Mover:
    """The tree's commits as changes that can be put elsewhere."""

    originals: Mapping[str, Original]
    placer: Placer


def _files(folder: Path) -> dict[str, bytes]:
    """The patches of a folder as they are, in order."""
    try:
        return {name: (folder / name).read_bytes() for _, name in series(folder)}
    except OSError:  # load_parts() says what is wrong
        return {}


def person(repository: Repository) -> str:
    """The user, as git would name the author of a commit now.

    Raises:
        WrongUsage: git does not know who that is.
    """
    try:
        return repository.text("-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
    except GitFailed as error:
        raise WrongUsage(
            "git does not know who writes the new patch",
            error.stderr.split("\n")[-1],
            "git config --global user.name NAME; git config --global user.email MAIL",
        ) from error
