"""``porter new-target``: a stack for another device family, which at once applies, lints and verifies."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from porter import git, objects, process
from porter.commands import template
from porter.commands.template import Draft
from porter.emulator import BARE, GENERIC, load_profile
from porter.errors import SurroundingsFailed, WrongUsage
from porter.files import Taken, staged, temporary_folder
from porter.git import GitFailed, Repository
from porter.lockfile import Lock
from porter.objects import Entry
from porter.output import Progress
from porter.patch import FORMAT, Patch, file_name
from porter.project import Project
from porter.sources.obtain import obtain
from porter.stack import COMMON, SERIES, available, load_parts, must_be_known, relock
from porter.target import FILE, IN_TREE, Target
from porter.verification.device import known_to_torch

_OURS = ("base", "cpu", "cuda", COMMON)  # the common stack's, in utils/accelerator/ or in patches/
_LATER = ("maia", "mps", "mtia")  # types that came to torch after the oldest one that porter runs with
_LOCK = ".porter-lock"
_NOWHERE = "https://example.invalid/"
_IDENTITY = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE")


@dataclass(frozen=True)
class Request:
    """What is asked for; what is empty or None gets its default.

    Attributes:
        like: the target whose ``requirements.txt`` is taken; empty for the one with the newest torch.
    """

    name: str
    title: str = ""
    title_zh: str = ""
    plugin: str = ""
    source: str = ""
    url: str = ""
    confused_with: str = ""
    probe: Sequence[str] = ()
    distributed: Sequence[str] = ()
    visible_devices: Sequence[str] = ()
    environment: Sequence[str] = ()
    emulated: Sequence[str] = ()
    pin_memory: bool = False
    fp16: bool = True
    documentation: Sequence[tuple[str, str]] = ()
    like: str = ""


@dataclass(frozen=True)
class Made:
    """What was made.

    Attributes:
        folder: the target's own.
        target: as its ``target.yaml`` describes it.
        patch: the one patch.
        stacks: the names of the stacks that the lock has now and had not.
        unsaid: fields of ``target.yaml`` that hold a placeholder.
    """

    folder: Path
    target: Target
    patch: Patch
    stacks: tuple[str, ...]
    unsaid: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "target": self.target.name,
            "folder": str(self.folder),
            "patch": self.patch.id,
            "stacks": list(self.stacks),
            "unsaid": list(self.unsaid),
        }


def new_target(
    project: Project, request: Request, upstream: str | None = None, progress: Progress | None = None
) -> Made:
    """Write ``patches/NAME/`` and bring the lock in step; all of it, or nothing if anything is wrong.

    Raises:
        WrongUsage: the name is taken, no name for a device, or torch's; an option is nothing that ``target.yaml`` can
            hold; git does not know who you are; the project came with an installed package.
        CheckFailed: the other stacks are not in order.
        SurroundingsFailed: upstream cannot be had, or a file not be written.
    """
    project.must_be_a_checkout()
    draft = _draft(project, request)
    with temporary_folder("porter-new-target-") as folder:
        staged = Project(folder)
        try:
            shutil.copytree(project.patches, staged.patches, symlinks=True)
            shutil.copy(project.lock_path, staged.lock_path)
            patch = _fill(staged.patches / draft.name, draft, project, request.like)
        except OSError as error:
            raise SurroundingsFailed(f"cannot work in {folder}", error.strerror or str(error)) from error
        target = _loaded(staged.patches / draft.name)
        before = Lock.load(staged.lock_path)
        parts = load_parts(staged)
        after = relock(before, parts, obtain(before, upstream, progress=progress), progress or Progress())
        _put(staged.patches / draft.name, project, after)
    stacks = tuple(sorted(set(after.stacks) - set(before.stacks)))
    return Made(project.patches / draft.name, target, patch, stacks, _unsaid(request, draft))


# -- what it is to be --------------------------------------------------------------------------------


def _draft(project: Project, request: Request) -> Draft:
    """The request with every default in place."""
    name = request.name
    known = _check_name(project, name)
    own = known["own"]
    if own and request.plugin not in ("", IN_TREE):
        raise WrongUsage(f"{name} is a device of torch's own and needs no plugin", hint="Leave --plugin out.")
    plugin = IN_TREE if own else request.plugin or f"torch_{name}"
    title = request.title or name.upper()
    documents = request.documentation or [(f"{title}, documents", request.url or _NOWHERE + name)]
    return Draft(
        name=name,
        title=title,
        title_zh=request.title_zh or title,
        plugin=plugin,
        source=request.source or f"the vendor of {title}",
        url=request.url or _NOWHERE + name,
        confused_with=request.confused_with,
        probe=request.probe or [f"torch.{name}.is_available()"],
        distributed=request.distributed or [known["backend"] or "gloo"],
        visible_devices=request.visible_devices or ([] if own else [f"{name.upper()}_VISIBLE_DEVICES"]),
        environment=request.environment,
        emulated=request.emulated or ([] if own else [GENERIC]),
        pin_memory=request.pin_memory,
        fp16=request.fp16,
        documentation=documents,
    )


def _check_name(project: Project, name: str) -> dict[str, str]:
    """What torch knows of the name: see :func:`known_to_torch`.

    Raises:
        WrongUsage: no device can have it here.
    """
    if not re.fullmatch(r"[a-z]{2,20}", name) or keyword.iskeyword(name):
        why = "It is what --device gets, and the name of a module: 2 to 20 letters from a to z, no word of Python's"
        raise WrongUsage(f"{name!r} is no name for a target", why)
    if name in _OURS:
        raise WrongUsage(f"there is a {name} already: it is the common stack's", hint="Every tree has --device cpu, 0.")
    if os.path.lexists(project.patches / name):
        hint = f"porter verify --target {name}" if name in available(project.patches) else "Move it out of the way."
        raise WrongUsage(f"there is a {project.patches / name} already", hint=hint)
    known = known_to_torch(sys.executable, name)
    if name in _LATER and not known["type"]:
        hint = "Run porter with a newer torch."
        raise WrongUsage(f"{name} is a device type of torch's, which torch {known['torch']} does not know", hint=hint)
    if known["type"] and not known["module"]:
        why = f"It is one of the types that torch {known['torch']} keeps for itself, and has no torch.{name} for it"
        hint = "Such a device needs a stack written by hand: patches/NAME with a target.yaml and a series."
        raise WrongUsage(f"{name} is a device type of torch's", why, hint)
    if known["module"] and not known["type"]:
        why = f"torch {known['torch']} has a torch.{name}, so that no plugin can put its device there"
        raise WrongUsage(f"{name} is torch's already", why, "Name the target as its plugin names the device.")
    return {"own": known["type"], "backend": known["backend"]}


def _unsaid(request: Request, draft: Draft) -> tuple[str, ...]:
    """The fields that nobody gave a value for and that no default can be right for."""
    given = {
        "title.en": request.title,
        "title.zh": request.title_zh,
        "plugin.from": request.source or draft.in_tree,
        "plugin.url": request.url or draft.in_tree,
        "documentation": request.documentation or request.url,
    }
    return tuple(field for field, value in given.items() if not value)


# -- what is written ---------------------------------------------------------------------------------


def _fill(folder: Path, draft: Draft, project: Project, like: str) -> Patch:
    """Write the folder; returns its patch."""
    of, pins = _pins(project, like)
    patch = _patch(draft, _author(project))
    folder.mkdir()
    for name, text in (
        (FILE, template.target_yaml(draft)),
        ("requirements.txt", template.requirements(draft, pins, of)),
        (SERIES, f"{patch.name}\n"),
    ):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / patch.name).write_bytes(patch.data)
    return patch


def _pins(project: Project, like: str) -> tuple[str, list[str]]:
    """The pins of another target's requirements, and whose they are: what is known to run a tree."""
    found: dict[str, list[str]] = {}
    for name in available(project.patches):
        target = Target.load(project.patches / name)
        text = (project.patches / name / target.requirements).read_text(encoding="utf-8")
        found[name] = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    must_be_known([like] if like else [], list(found))
    if not found:
        return "no target", []
    chosen = like or max(found, key=lambda name: (_torch(found[name]), name))
    return chosen, found[chosen]


def _torch(pins: Sequence[str]) -> Version:
    for pin in pins:
        name, _, version = pin.partition("==")
        if name.strip() == "torch":
            try:
                return Version(version.partition(";")[0].strip())
            except InvalidVersion:
                break
    return Version("0")


def _author(project: Project) -> str:
    """Who makes the patch and when, as git would write it into a commit here."""
    given = {name: os.environ[name] for name in _IDENTITY if name in os.environ}
    try:
        text = git.run("var", "GIT_AUTHOR_IDENT", cwd=project.root, user_config=True, env=given).decode()
    except GitFailed as error:
        hint = "git config --global user.name NAME && git config --global user.email MAIL"
        why = error.why.splitlines()[-1:]  # git's advice before it is the hint's
        raise WrongUsage("git does not know who you are, and a patch has an author", "".join(why), hint) from error
    return text.strip()


def _patch(draft: Draft, author: str) -> Patch:
    """The patch that adds the accelerator, as git writes it."""
    subject, body = template.message(draft)
    blob = objects.blob(template.accelerator(draft).encode())
    trees = objects.trees({f"utils/accelerator/{draft.name}.py": Entry("100644", blob.id)})
    (empty,) = objects.trees({})
    base = objects.commit(empty.id, (), author, author, "base\n")
    made = objects.commit(trees[-1].id, (base.id,), author, author, f"{subject}\n\n{body}\n")
    with temporary_folder("porter-new-target-") as folder:
        git.run("init", "--quiet", "--bare", "--template=", str(folder))
        repository = Repository(folder)
        repository.write(objects.pack([blob, empty, *trees, base, made]))
        data = repository.run("format-patch", "--stdout", *FORMAT, f"{base.id}..{made.id}")
    return Patch.parse(data, draft.name, file_name(1, subject))


def _loaded(folder: Path) -> Target:
    """The target that was written, read again: what the options cannot be is found here."""
    try:
        target = Target.load(folder)
        for card in target.emulated:
            if card not in (GENERIC, BARE) and load_profile(card).type != target.name:
                raise WrongUsage(
                    f"{card} is no {target.name}", hint=f"--profile takes a card of its own, {GENERIC} or {BARE}."
                )
    except WrongUsage as error:
        what = error.what.replace(str(folder / FILE), FILE)
        raise WrongUsage(
            what, error.why, error.hint or "`porter new-target --help` says what each option is."
        ) from error
    return target


def _put(made: Path, project: Project, lock: Lock) -> None:
    """Give the folder its place in one step, and the lock its new text.

    A porter that is killed in between leaves a lock that is not in step, as after any change to a patch.
    """
    destination = project.patches / made.name
    with staged(destination, _LOCK) as place:
        try:
            for path in made.iterdir():
                shutil.copy(path, place.path / path.name)
            with process.held():
                (place.path / _LOCK).unlink()
                place.finish()
                try:
                    lock.write(project.lock_path)
                except BaseException:
                    shutil.rmtree(destination)
                    raise
        except Taken as error:
            raise WrongUsage(f"there is a {destination} by now", hint="Somebody else made it meanwhile.") from error
        except OSError as error:
            raise SurroundingsFailed(f"cannot make {destination}", error.strerror or str(error)) from error
