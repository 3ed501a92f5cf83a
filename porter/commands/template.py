"""What a new target's folder holds: ``target.yaml``, and the file that makes its device an accelerator of the tree."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from porter.emulator import GENERIC
from porter.errors import WrongUsage
from porter.target import IN_TREE

# what the common stack does in a steady training step on a device that needs nothing more
_BUDGET = {"host_to_device": 7, "device_to_host": 1, "synchronisations": 1, "inside_kernels": 0}
_WIDTH = 120  # of a line of v6.0


@dataclass(frozen=True)
class Draft:
    """A target that is to be; every field as :class:`porter.target.Target` has it, or the command's option.

    Attributes:
        plugin: the module; ``torch`` where the device is torch's own.
        source, url: where the plugin comes from.
        confused_with: what it is not; empty if there is no such thing.
        pin_memory: whether batches are pinned for the device.
        fp16: whether the device has FP16.
        documentation: title and URL of each document.
    """

    name: str
    title: str
    title_zh: str
    plugin: str
    source: str
    url: str
    confused_with: str
    probe: Sequence[str]
    distributed: Sequence[str]
    visible_devices: Sequence[str]
    environment: Sequence[str]
    emulated: Sequence[str]
    pin_memory: bool
    fp16: bool
    documentation: Sequence[tuple[str, str]]

    @property
    def in_tree(self) -> bool:
        """Whether the device is torch's own."""
        return self.plugin == IN_TREE


def target_yaml(draft: Draft) -> str:
    """The text of ``target.yaml``."""
    parts = [
        "# A device family that porter has a stack for; porter/target.py says what each field means.\n",
        _yaml({"name": draft.name, "title": {"en": draft.title, "zh": draft.title_zh}}),
        _yaml({"plugin": IN_TREE}) if draft.in_tree else _yaml({"plugin": _plugin(draft)}),
        _yaml({"probe": list(draft.probe)}),
        _row("distributed", draft.distributed),
        _row("visible_devices", draft.visible_devices),
        "requirements: requirements.txt\n",
        _why_emulated(draft),
        _row("emulated", draft.emulated),
        "# calls in a steady training step, without logging: the common stack's, on a device that needs no more\n",
        _yaml({"budget": _BUDGET}),
        _row("environment", draft.environment),
        _yaml({"documentation": [{"title": title, "url": url} for title, url in draft.documentation]}),
    ]
    return "".join(parts)


def _plugin(draft: Draft) -> dict[str, str]:
    fields = {"module": draft.plugin, "from": draft.source, "url": draft.url}
    return {**fields, **({"not": draft.confused_with} if draft.confused_with else {})}


def _why_emulated(draft: Draft) -> str:
    if draft.in_tree:
        return "# a device of torch's own: nothing can be emulated under its name\n"
    if GENERIC in draft.emulated:
        return "# generic: no card and no operator list is known, so the emulated device allows everything torch has\n"
    return ""


def _row(name: str, values: Sequence[str]) -> str:
    return f"{name}: [{', '.join(values)}]\n"


def _yaml(value: object) -> str:
    import yaml

    return str(yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=10_000))


def requirements(draft: Draft, pins: Sequence[str], of: str) -> str:
    """The text of ``requirements.txt``: pins that are known to go together, taken from another target."""
    head = [f"# What the ported tree runs on with {draft.title}: the versions of {of}'s file."]
    if not draft.in_tree:
        head += [f"# - {draft.plugin}: not listed, since it comes with the vendor's software: see target.yaml."]
    head += ["# On a machine without a card the same tree runs on the CPU."]
    return "".join(f"{line}\n" for line in (*head, *pins))


def message(draft: Draft) -> tuple[str, str]:
    """Subject and body of the patch."""
    by = "torch itself" if draft.in_tree else f"{draft.plugin}, a plugin for PyTorch 2"
    name = draft.name
    says = f"--device {name}, {name}:1 and, for DDP, {name}:0,1: {by}, with {draft.distributed[0]} between devices. "
    says += "Everything else is the common stack's."
    trailers = f"Reason: device\nUpstream: no\nCheck: probe\nStack: {name}"
    return f"Add the {name} accelerator", f"{textwrap.fill(says, 79)}\n\n{trailers}"


def accelerator(draft: Draft) -> str:
    """The text of ``utils/accelerator/NAME.py``, in the style of v6.0 and for every Python that a vendor ships.

    Raises:
        WrongUsage: the title cannot stand in a docstring.
    """
    if '"""' in draft.title or "\\" in draft.title or "\n" in draft.title:
        raise WrongUsage(f"the title {draft.title!r} cannot stand in a docstring", hint="Leave quotes and \\ out.")
    kind = draft.name.upper()
    rows = [f"    type = {draft.name!r}"]
    if not draft.in_tree:
        rows += [f"    plugin = {draft.plugin!r}", _source(draft)]
    rows += [f"    backend = {draft.distributed[0]!r}", *([] if draft.fp16 else ["    half = False"])]
    parts = [
        "# YOLOv5 🚀 by Ultralytics, GPL-3.0 license",
        f'"""\n{draft.title}\n"""\n',
        *(["import torch\n"] if draft.pin_memory else []),
        "from utils.accelerator import Accelerator, register\n\n",
        f"class {kind}(Accelerator):",
        *rows,
        *([_PINS.format(name=draft.name)] if draft.pin_memory else []),
        f"\n\nregister({kind}())\n",
    ]
    return "\n".join(parts)


def _source(draft: Draft) -> str:
    """Where the plugin comes from, for the line that says it is missing; over two lines where one is too long."""
    row = f"    source = {f'It comes from {draft.source}: {draft.url}'!r}"
    if len(row) <= _WIDTH:
        return row
    return f"    source = {f'It comes from {draft.source}: '!r} \\\n             {draft.url!r}"


_PINS = """
    def loader_options(self):
        # Pinning for a named device came with torch 1.12; with torch.accelerator it need not be named any more
        if hasattr(torch, 'accelerator'):
            return {{'pin_memory': True}}
        named = 'pin_memory_device' in torch.utils.data.DataLoader.__init__.__code__.co_varnames
        return {{'pin_memory': True, 'pin_memory_device': {name!r}}} if named else {{}}"""
