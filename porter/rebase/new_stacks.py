"""The new stacks: what git made of the patches as patch files and lock, verified before any of it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from porter import auditing
from porter.auditing import allowed
from porter.errors import CheckFailed
from porter.git.objects import Object
from porter.output import Progress, command_line, counted
from porter.project import Project
from porter.rebase import write_stacks
from porter.rebase.commits import parse
from porter.rebase.new_pin import NewPin
from porter.rebase.picks import Pick
from porter.rebase.render import canonical
from porter.rebase.worktree import Worktree
from porter.rebase.write_stacks import Rewrite
from porter.sources.cache import Cache
from porter.sources.snapshot import Extent
from porter.stack import COMMON, Stack, check_against_lock
from porter.stack.build import Build, Built, commit_of
from porter.verification import static
from porter.verification.report import FAILED, PASSED, Failed, Outcome

_REDO = "porter bump --redo PATCH goes back to a patch, --abort gives the bump up. patches/ is as it was."


def plan(project: Project, done: Sequence[Pick], tree: Worktree, new: NewPin, targets: Sequence[str]) -> Rewrite:
    """The project's files as they will be.

    Raises:
        CheckFailed: the stacks do not go together any more, or a patch file does not hold what was merged.
    """
    built = _builds(done, tree, new.pin.commit, targets)
    forms = canonical(new.snapshot, built.values(), borrow=tree.repository)
    parts = {part: [patch for patch in patches if patch.stack == part] for part, patches in zip(built, forms)}
    try:
        planned = write_stacks.plan(project, parts, new.snapshot, new.lock)
    except CheckFailed as error:
        error.hint = _REDO
        raise
    for target in targets:
        if planned.builds[target].tip != built[target].tip:
            raise CheckFailed(
                f"the new patches of {target} do not give what was merged",
                f"expected commit {built[target].tip}\nfound    commit {planned.builds[target].tip}",
                _REDO,
            )
    return planned


def _builds(picks: Sequence[Pick], tree: Worktree, base: str, targets: Sequence[str]) -> dict[str, Build]:
    """The new stacks' commits as :class:`porter.stack.build.Builder` makes them: ``common``, each target's whole stack.

    git's own have a committer and a date of this machine, and a message that a person may have edited.
    """
    kept = [pick for pick in picks if pick.new != pick.below]
    roots = {i: parse(item).tree for i, item in tree.repository.find({pick.new for pick in kept}).items()}
    made: dict[str, Object] = {}
    found: dict[str, Build] = {}
    for part in (COMMON, *targets):
        commits = list(found[COMMON].commits) if part != COMMON else []
        for pick in kept:
            if pick.patch.stack == part:
                root = roots[pick.new]
                commit = commit_of(pick.patch, root, commits[-1].commit if commits else base)
                made[commit.id] = commit
                commits.append(Built(pick.patch, commit.id, root))
        found[part] = Build(base, tuple(commits), made, {}, {})
    return found


def fill_cache(new: NewPin, progress: Progress) -> None:
    """Put the new pin into the cache, as `porter upstream fetch` would."""
    extent = Extent(new.pin, new.pin.files)
    cache = Cache()
    with cache.locked(progress):
        if not cache.has(extent.ref):
            snapshot = extent.snapshot(new.snapshot.objects)
            cache.keep(extent.ref, extent.base, snapshot.objects.values(), shallow=snapshot.shallow)


def verify(planned: Rewrite, new: NewPin, targets: Sequence[str], progress: Progress) -> dict[str, list[Outcome]]:
    """Check a tree of each target, in memory, as `porter verify --level static` would in a folder.

    What the audit finds is told only: upstream has places that no patch ports yet at every move, and nobody could
    move if they stood in the way.

    Raises:
        CheckFailed: a tree is not what its patches make, or is no Python.
    """
    entries, found = allowed.read(planned.project.patches), {}
    for target in targets:
        progress.step(f"verifying {target}")
        build = planned.builds[target]
        check_against_lock(planned.lock, Stack.of(planned.parts, [target]), build, partial=False)
        files = auditing.python(new.snapshot, build)
        wrong = static.complaints(files)
        if wrong:
            what = f"the new tree of {target} does not verify; nothing was written"
            raise CheckFailed(what, "\n".join(wrong), _REDO)
        locked = Outcome("tree", static.TREE, PASSED, f"{counted(len(build.commits), 'patch')} as they are locked", 0.0)
        found[target] = [locked, _audited(target, files, entries, targets), _imported(target, files)]
    return found


def _imported(target: str, files: Mapping[str, bytes]) -> Outcome:
    """What the check ``import`` would find, as far as reading tells it.  Told only: upstream may need a new package."""
    wrong = static.unimportable(files)
    said = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    repeat = command_line("porter", "verify", "--target", target, "--check", "import")
    return Outcome("import", static.IMPORT, FAILED if wrong else PASSED, said, 0.0, repeat=repeat)


def _audited(
    target: str, files: Mapping[str, bytes], entries: list[allowed.Allowance], targets: Sequence[str]
) -> Outcome:
    repeat = command_line("porter", "verify", "--target", target, "--check", "audit")
    outcome = Outcome("audit", static.AUDIT, PASSED, "", 0.0, repeat=repeat)
    try:
        finding = static.audited(lambda: auditing.look(files, target, None, entries, targets))
        return replace(outcome, said=finding.said, figures=finding.figures)
    except Failed as error:
        return replace(outcome, state=FAILED, said=error.why)
