"""``porter new-target``: a stack for another device family, which at once applies, lints and verifies."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from packaging.version import InvalidVersion, Version

from porter import git, process
from porter.commands.arguments import AnyProject, find
from porter.commands.options import (
    JSON,
    UPSTREAM,
    complete_card,
    complete_target,
    in_line,
    is_quiet,
    print_json,
    terminal,
)
from porter.emulator import BARE, GENERIC, load_profile
from porter.errors import WrongUsage, os_errors, refused
from porter.files import Taken, staged
from porter.git import GitFailed, objects, scratch
from porter.git.objects import Entry
from porter.lockfile import Lock
from porter.output import Progress, command_line
from porter.patch import FORMAT, Patch, file_names
from porter.project import Project
from porter.sources.obtain import obtain
from porter.stack import COMMON, SERIES, available, load_parts, must_be_known, relock
from porter.target import FILE, IN_TREE, KEPT, NOWHERE, SOMEBODY, Link, Plugin, Target
from porter.temporary import temporary_folder
from porter.verification.device import known_to_torch

_OURS = ("base", "cpu", "cuda", COMMON)  # the common stack's, in utils/accelerator/ or in patches/
_LATER = ("maia", "mps", "mtia")  # types that came to torch after the oldest one that porter runs with
_LOCK = ".porter-lock"
_REQUIREMENTS = "requirements.txt"
_IDENTITY = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE")
# what the common stack does in a steady training step on a device that needs nothing more
_BUDGET = {"host_to_device": 7, "device_to_host": 1, "synchronisations": 1, "inside_kernels": 0}
_WIDTH = 120  # of a line of v6.0


@dataclass(frozen=True)
class NewTarget:
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
    name: str,
    *,
    title: str = "",
    title_zh: str = "",
    plugin: str = "",
    source: str = "",
    url: str = "",
    confused_with: str = "",
    probe: Sequence[str] = (),
    distributed: Sequence[str] = (),
    visible_devices: Sequence[str] = (),
    environment: Sequence[str] = (),
    emulated: Sequence[str] = (),
    pin_memory: bool = False,
    fp16: bool = True,
    documentation: Sequence[tuple[str, str]] = (),
    like: str = "",
    upstream: str | None = None,
    project: AnyProject = None,
    progress: Progress | None = None,
) -> NewTarget:
    """Make ``patches/NAME``, a stack for another device family, and bring the lock in step; all of it or nothing.

    Args:
        name: the device's type as its plugin for PyTorch registers it, or a type that torch has itself.  One that torch
            keeps for a plugin (``xla``) takes the plugin's name as well: nothing can be emulated under it.
        title: what people call it (by default the name in capitals); ``title_zh``: the same in Chinese.
        plugin: the module to import, by default ``torch_NAME``; ``source``: where it comes from, in words; ``url``.
        confused_with: what the plugin is not, if a name is alike.
        probe: expressions that tell that a device is there.
        distributed: backends of torch.distributed, the preferred first.
        visible_devices: variables that restrict the devices; ``environment``: what else the vendor's software needs.
        emulated: cards to emulate.
        pin_memory: pin batches in host memory for the device; ``fp16``: whether the device has FP16.
        documentation: the vendor's documents: title and URL.
        like: take this target's ``requirements.txt``; empty: that of the newest torch.

    Raises:
        WrongUsage: the name is taken, no name for a device, or torch's; the stacks came with the installed package.
        CheckFailed: the other stacks are not in order.
        EnvironmentFailed: upstream cannot be had, or a file not be written.
    """
    found = find(project)
    found.must_be_a_checkout()
    known = _check_name(found, name, plugin)
    own = known["type"] and known["module"]
    if own and plugin not in ("", IN_TREE):
        raise WrongUsage(f"{name} is a device of torch's own and needs no plugin", hint="Leave --plugin out.")
    called, page = title or name.upper(), url or NOWHERE + name
    module = IN_TREE if own else plugin or f"torch_{name}"
    made = Target(
        name=name,
        title={"en": called, "zh": title_zh or called},
        plugin=Plugin(module, source or f"{SOMEBODY}{called}", page, confused_with),
        probe=tuple(probe) or (f"torch.{name}.is_available()",),
        distributed=tuple(distributed) or (known["backend"] or "gloo",),
        visible_devices=tuple(visible_devices) or (() if own else (f"{name.upper()}_VISIBLE_DEVICES",)),
        requirements=_REQUIREMENTS,
        documentation=tuple(Link(*pair) for pair in documentation) or (Link(f"{called}, documents", page),),
        emulated=tuple(emulated) or (() if known["type"] else (GENERIC,)),
        budget=_BUDGET,
        environment=tuple(environment),
    )
    given = {
        "title.en": title,
        "title.zh": title_zh,
        "plugin.from": source or made.plugin.in_tree,
        "plugin.url": url or made.plugin.in_tree,
        "documentation": documentation or url,
    }
    texts = {FILE: _target_yaml(made), _REQUIREMENTS: _requirements(made, *_pins(found, like))}
    patch = _patch(made, _accelerator(made, pin_memory, fp16), _author(found))
    with temporary_folder("porter-new-target-") as folder:
        copy = Project(folder)
        with os_errors(f"cannot work in {folder}"):
            shutil.copytree(found.patches, copy.patches, symlinks=True)
            shutil.copy(found.lock_path, copy.lock_path)
            (copy.patches / name).mkdir()
            for file, text in {**texts, SERIES: f"{patch.name}\n"}.items():
                (copy.patches / name / file).write_text(text, encoding="utf-8")
            (copy.patches / name / patch.name).write_bytes(patch.data)
        target = _loaded(copy.patches / name)
        before = Lock.load(copy.lock_path)
        parts = load_parts(copy)
        after = relock(before, parts, obtain(before, upstream, progress=progress), progress or Progress())
        _put(copy.patches / name, found, after)
    stacks = tuple(sorted(set(after.stacks) - set(before.stacks)))
    return NewTarget(
        found.patches / name, target, patch, stacks, tuple(field for field, value in given.items() if not value)
    )


def _document(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = [value.rpartition("=") for value in values]
    if any(not title or not url for title, _, url in pairs):
        raise click.BadParameter("it is TITLE=URL", context, option)
    return [(title, url) for title, _, url in pairs]


@click.command(name="new-target")
@click.option("--title", default="", help="What people call the device family.  [default: NAME in capitals]")
@click.option("--title-zh", default="", help="The same in Chinese.  [default: --title]")
@click.option("--plugin", default="", metavar="MODULE", help="What to import.  [default: torch_NAME]")
@click.option("--from", "source", default="", metavar="TEXT", help="Where the plugin comes from, in words.")
@click.option("--url", default="", help="Where that is.")
@click.option("--not", "confused_with", default="", metavar="TEXT", help="What the plugin is not, if a name is alike.")
@click.option(
    "--probe", multiple=True, metavar="EXPR", help="Tells that a device is there.  [default: torch.NAME.is_available()]"
)
@click.option(
    "--backend", "distributed", multiple=True, help="Of torch.distributed, the preferred first.  [default: gloo]"
)
@click.option(
    "--visible-devices", multiple=True, metavar="VAR", help="Restricts the devices.  [default: NAME_VISIBLE_DEVICES]"
)
@click.option("--environment", multiple=True, metavar="VAR", help="What else the vendor's software needs to be set.")
@click.option(
    "--profile",
    "emulated",
    multiple=True,
    metavar="CARD",
    shell_complete=complete_card,
    help="Cards to emulate.  [default: generic]",
)
@click.option("--pin-memory", is_flag=True, help="Pin batches in host memory for the device.")
@click.option("--fp16/--no-fp16", default=True, help="Whether the device has FP16.  [default: --fp16]")
@click.option(
    "--document", "documentation", multiple=True, metavar="TITLE=URL", callback=_document, help="The vendor's."
)
@click.option(
    "--like",
    default="",
    metavar="TARGET",
    shell_complete=complete_target,
    help="Take its requirements.txt.  [default: the newest torch's]",
)
@UPSTREAM
@JSON
@click.argument("name")
def command(name: str, as_json: bool, **options: Any) -> None:
    """Make patches/NAME, a stack for another device family, and bring the lock in step.

    NAME is the device's type as its plugin for PyTorch registers it (PrivateUse1), or a type that torch has itself
    (xpu, mps), or one that torch keeps for a plugin (xla, with --plugin torch_xla). The stack is a target.yaml and one
    generated patch; it applies and verifies on an emulated device at once, and porter lint names what is left to fill
    in. Options that may be repeated go by their order.
    """
    with terminal() as progress:
        made = new_target(name, **options, progress=progress)
    if as_json:
        print_json("new-target", made.record())
    elif not is_quiet():
        _print(made)


def _print(made: NewTarget) -> None:
    name = made.target.name
    click.echo(f"{made.folder}: target.yaml, requirements.txt, series and {made.patch.name}")
    click.echo(f"upstream.lock: wrote {', '.join(made.stacks)}")
    if made.unsaid:
        click.echo(f"To fill in: {', '.join(made.unsaid)} in {made.folder / 'target.yaml'}")
    if made.target.plugin.in_tree:
        click.echo(f"{name} is torch's own: verify uses the card or the cpu, nothing can be emulated under its name.")
    elif not made.target.emulated:
        click.echo(f"{name} is a type of torch's: nothing can be emulated under it, verify uses the plugin or the cpu.")
    click.echo(in_line(f"Next: {command_line('porter', 'verify', '--target', name)}"))


# -- the name and what torch knows of it ----------------------------------------------------------


def _check_name(project: Project, name: str, plugin: str) -> dict[str, Any]:
    """What torch knows of the name: whether it is a ``type`` and a ``module`` of torch's, and a ``backend`` for it.

    Raises:
        WrongUsage: no device can have it here.
    """
    if not re.fullmatch(r"[a-z]{2,20}", name) or keyword.iskeyword(name):
        why = "It is what --device gets, and the name of a module: 2 to 20 letters from a to z, no word of Python's"
        raise WrongUsage(f"{name!r} is no name for a target", why)
    if name in _OURS:
        raise WrongUsage(f"there is a {name} already: it is the common stack's", hint="Every tree has --device cpu, 0.")
    if os.path.lexists(project.patches / name):
        verify = command_line("porter", "verify", "--target", name)
        hint = verify if name in available(project.patches) else "Move it out of the way."
        raise WrongUsage(f"there is a {project.patches / name} already", hint=hint)
    known = known_to_torch(sys.executable, name)
    if name in _LATER and not known["type"]:
        hint = "Run porter with a newer torch."
        raise WrongUsage(f"{name} is a device type of torch's, which torch {known['torch']} does not know", hint=hint)
    if known["type"] and not known["module"] and (name not in KEPT or plugin in ("", IN_TREE)):
        why = f"It is one of the types that torch {known['torch']} keeps for itself, and has no torch.{name} for it"
        brought = f"Name the plugin that brings it: {command_line('porter', 'new-target', name, '--plugin', 'MODULE')}"
        raise WrongUsage(f"{name} is a device type of torch's", why, brought if name in KEPT else "")
    if known["module"] and not known["type"]:
        why = f"torch {known['torch']} has a torch.{name}, so that no plugin can put its device there"
        raise WrongUsage(f"{name} is torch's already", why, "Name the target as its plugin names the device.")
    return known


# -- what is written ----------------------------------------------------------------------------------


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


def _patch(target: Target, code: str, author: str) -> Patch:
    """The patch that adds the accelerator, as git writes it."""
    subject, body = _message(target)
    blob = objects.blob(code.encode())
    trees = objects.trees({f"utils/accelerator/{target.name}.py": Entry("100644", blob.id)})
    (empty,) = objects.trees({})
    base = objects.commit(empty.id, (), author, author, "base\n")
    made = objects.commit(trees[-1].id, (base.id,), author, author, f"{subject}\n\n{body}\n")
    with scratch() as repository:
        repository.write(objects.pack([blob, empty, *trees, base, made]))
        data = repository.run("format-patch", "--stdout", *FORMAT, f"{base.id}..{made.id}")
    return Patch.parse(data, target.name, file_names([subject])[0])


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
            raise refused(f"cannot make {destination}", error) from error


# -- the text of its files ----------------------------------------------------------------------------


def _target_yaml(target: Target) -> str:
    parts = [
        "# A device family that porter has a stack for; porter/target.py says what each field means.\n",
        _yaml({"name": target.name, "title": target.title}),
        _yaml({"plugin": IN_TREE if target.plugin.in_tree else _plugin(target.plugin)}),
        _yaml({"probe": list(target.probe)}),
        _row("distributed", target.distributed),
        _row("visible_devices", target.visible_devices),
        f"requirements: {_REQUIREMENTS}\n",
        _why_emulated(target),
        _row("emulated", target.emulated),
        "# calls in a steady training step, without logging: the common stack's, on a device that needs no more\n",
        _yaml({"budget": target.budget}),
        _row("environment", target.environment),
        _yaml({"documentation": [{"title": link.title, "url": link.url} for link in target.documentation]}),
    ]
    return "".join(parts)


def _plugin(plugin: Plugin) -> dict[str, str]:
    fields = {"module": plugin.module, "from": plugin.source, "url": plugin.url}
    return {**fields, **({"not": plugin.confused_with} if plugin.confused_with else {})}


def _why_emulated(target: Target) -> str:
    if not target.emulated:
        return "# a device type of torch's: nothing can be emulated under its name\n"
    if GENERIC in target.emulated:
        return "# generic: no card and no operator list is known, so the emulated device allows everything torch has\n"
    return ""


def _row(name: str, values: Sequence[str]) -> str:
    return f"{name}: [{', '.join(values)}]\n"


def _yaml(value: object) -> str:
    import yaml

    return str(yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=10_000))


def _requirements(target: Target, of: str, pins: Sequence[str]) -> str:
    """The text of ``requirements.txt``: pins that are known to go together, taken from another target."""
    head = [f"# What the ported tree runs on with {target.title['en']}: the versions of {of}'s file."]
    if not target.plugin.in_tree:
        head += [f"# - {target.plugin.module}: not listed, since it comes with the vendor's software: see target.yaml."]
    head += ["# On a machine without a card the same tree runs on the CPU."]
    return "".join(f"{line}\n" for line in (*head, *pins))


def _message(target: Target) -> tuple[str, str]:
    """Subject and body of the patch."""
    by = "torch itself" if target.plugin.in_tree else f"{target.plugin.module}, a plugin for PyTorch 2"
    name = target.name
    says = f"--device {name}, {name}:1 and, for DDP, {name}:0,1: {by}, with {target.distributed[0]} between devices. "
    says += "Everything else is the common stack's."
    trailers = f"Reason: device\nUpstream: no\nCheck: probe\nStack: {name}"
    return f"Add the {name} accelerator", f"{textwrap.fill(says, 79)}\n\n{trailers}"


def _accelerator(target: Target, pin_memory: bool, fp16: bool) -> str:
    """The text of ``utils/accelerator/NAME.py``, in the style of v6.0 and for every Python that a vendor ships.

    Raises:
        WrongUsage: the title cannot stand in a docstring.
    """
    title = target.title["en"]
    if '"""' in title or "\\" in title or "\n" in title:
        raise WrongUsage(f"the title {title!r} cannot stand in a docstring", hint="Leave quotes and \\ out.")
    kind = target.name.upper()
    rows = [f"    type = {target.name!r}"]
    if not target.plugin.in_tree:
        rows += [f"    plugin = {target.plugin.module!r}", _source(target.plugin)]
    rows += [f"    backend = {target.distributed[0]!r}", *([] if fp16 else ["    half = False"])]
    parts = [
        "# YOLOv5 🚀 by Ultralytics, GPL-3.0 license",
        f'"""\n{title}\n"""\n',
        *(["import torch\n"] if pin_memory else []),
        "from utils.accelerator import Accelerator, register\n\n",
        f"class {kind}(Accelerator):",
        *rows,
        *([_PINS.format(name=target.name)] if pin_memory else []),
        f"\n\nregister({kind}())\n",
    ]
    return "\n".join(parts)


def _source(plugin: Plugin) -> str:
    """Where the plugin comes from, for the line that says it is missing; over two lines where one is too long."""
    row = f"    source = {f'It comes from {plugin.source}: {plugin.url}'!r}"
    if len(row) <= _WIDTH:
        return row
    return f"    source = {f'It comes from {plugin.source}: '!r} \\\n             {plugin.url!r}"


_PINS = """
    def loader_options(self):
        # Pinning for a named device came with torch 1.12; with torch.accelerator it need not be named any more
        if hasattr(torch, 'accelerator'):
            return {{'pin_memory': True}}
        named = 'pin_memory_device' in torch.utils.data.DataLoader.__init__.__code__.co_varnames
        return {{'pin_memory': True, 'pin_memory_device': {name!r}}} if named else {{}}"""
