"""A target: a device family that porter has a stack for, as ``patches/NAME/target.yaml`` describes it."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from porter import yamlfile
from porter.project import Project
from porter.stack import available, must_be_known
from porter.yamlfile import Value

FILE = "target.yaml"
_URL = r"https?://\S+"
BUDGET = ("host_to_device", "device_to_host", "synchronisations", "inside_kernels")
_VARIABLE = r"[A-Z][A-Z0-9_]*"
# a public function of torch, in whichever module of it: it is looked up name by name, never evaluated
_PROBE = r"torch(\.[A-Za-z][A-Za-z0-9_]*)+\(\)"
IN_TREE = "torch"  # stands for a plugin where the device is torch's own
# what porter new-target writes where nobody said it; the host is one that RFC 2606 keeps from everybody
NOWHERE, SOMEBODY = "https://example.invalid/", "the vendor of "
# device types of torch's that a plugin of another project brings; no PrivateUse1 device can have such a name
KEPT = ("fpga", "hpu", "ipu", "maia", "mtia", "ort", "ve", "vulkan", "xla")
_ASCENDING = ("ASCEND_RT_VISIBLE_DEVICES",)
FEATURES = ("fp16", "hardware-time", "own-scaler")


@dataclass(frozen=True)
class Plugin:
    """The vendor's PyTorch plugin.

    Attributes:
        module: what to import; ``torch`` where the device is torch's own and needs no plugin.
        source: where it comes from, in words.
        url: where that is.
        confused_with: what it is not, although the name is alike; empty if there is no such thing.
        folder: a folder of its package, by which it is told from a package of another project with its name without
            importing that; empty where no other project has the name.
        setup: what to type into each shell before it loads; empty if there is nothing, or it is not known.
        own_torch: the vendor builds torch itself, and the plugin works with that one alone.
    """

    module: str
    source: str
    url: str
    confused_with: str
    folder: str = ""
    setup: str = ""
    own_torch: bool = False

    @property
    def place(self) -> str:
        """The module, and behind a slash the folder: what drivers that look for the plugin are told."""
        return f"{self.module}/{self.folder}" if self.folder else self.module

    @property
    def in_tree(self) -> bool:
        """Whether the device is torch's own."""
        return self.module == IN_TREE


@dataclass(frozen=True)
class Link:
    """A document of the vendor's."""

    title: str
    url: str


@dataclass(frozen=True)
class Target:
    """A device family.

    Attributes:
        name: as ``--device`` and ``--target`` have it.
        title: language (``en``, ``zh``) -> what people call it.
        plugin: the vendor's plugin.
        probe: calls of functions that tell whether a device is there, such as ``torch.mlu.is_available()`` or
            ``torch.backends.mps.is_available()``; the first that exists counts.
        distributed: backends of torch.distributed, the preferred first.
        visible_devices: environment variables that restrict the devices, the stronger first; empty if there are none.
        requirements: the file beside ``target.yaml`` that pins what the tree runs on.
        documentation: the vendor's documents.
        emulated: profiles of the cards that the emulated device can stand in for, the usual one first; ``generic``
            where no card is known.  Empty where torch keeps the name for itself: no emulated device can have it.
        budget: what a steady training step may do at most (calls): ``host_to_device`` and ``device_to_host`` copies,
            ``synchronisations`` of the host with the device, and ``inside_kernels``: copies to the host and back
            that the vendor's own kernels make.
        features: what not every device family has and ``porter verify`` then asks for: ``fp16``
            (``train_fp16.py``), ``hardware-time`` (the time that the card itself was at work), ``own-scaler``
            (the plugin's gradient scaler knows of the card what torch's does not: mixed precision has to use it).
        environment: further variables that the vendor's software needs in a program's environment.
        simulator: variables that choose the vendor's own simulator of the chip: where one is set, the device that the
            plugin finds is no card.
    """

    name: str
    title: dict[str, str]
    plugin: Plugin
    probe: tuple[str, ...]
    distributed: tuple[str, ...]
    visible_devices: tuple[str, ...]
    requirements: str
    documentation: tuple[Link, ...]
    emulated: tuple[str, ...]
    budget: dict[str, int]
    features: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    simulator: tuple[str, ...] = ()

    @property
    def inherited(self) -> tuple[str, ...]:
        """The variables that a program gets of its caller's environment, to reach the device."""
        return (*self.visible_devices, *self.environment, *self.simulator)

    @property
    def simulated(self) -> str:
        """The variable in this process's environment that chooses the vendor's simulator; empty if none is set."""
        return next((name for name in self.simulator if os.environ.get(name)), "")

    @property
    def called(self) -> str:
        """What its device is called: SIMULATOR stands before it where it is the vendor's."""
        return f"{'SIMULATOR ' if self.simulated else ''}{self.title['en']}"

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The fields of ``target.yaml`` that still hold what ``porter new-target`` puts where nobody says it."""
        holds = {
            "title.en": self.title["en"] == self.name.upper(),
            "title.zh": self.title["zh"] == self.name.upper(),
            "plugin.from": self.plugin.source.startswith(SOMEBODY),
            "plugin.url": self.plugin.url.startswith(NOWHERE),
            "documentation": any(link.url.startswith(NOWHERE) for link in self.documentation),
        }
        return tuple(field for field, left in holds.items() if left)

    def record(self) -> dict[str, Any]:
        """The target as plain data, for JSON."""
        return asdict(self)

    @classmethod
    def load(cls, folder: Path) -> Target:
        """The target that a folder of patches is for.

        Raises:
            WrongUsage: the file is missing or malformed (file, line, field).
            EnvironmentFailed: it cannot be read.
        """
        value = yamlfile.read(folder / FILE)
        fields = value.fields(
            (
                "name",
                "title",
                "plugin",
                "probe",
                "distributed",
                "visible_devices",
                "requirements",
                "documentation",
                "emulated",
                "budget",
            ),
            ("features", "environment", "simulator"),
        )
        if fields["name"].text() != folder.name:
            fields["name"].fail(f"{folder.name!r}, as its folder")
        titles = fields["title"].fields(("en", "zh"))
        plugin = _plugin(fields["plugin"])
        requirements = fields["requirements"].text(r"[A-Za-z0-9._-]+", "a file's name")
        if not (folder / requirements).is_file():
            fields["requirements"].fail(f"a file in {folder.name}/")
        return cls(
            name=folder.name,
            title={language: title.text() for language, title in titles.items()},
            plugin=plugin,
            probe=_texts(fields["probe"], _PROBE, "a call of a function of torch's, such as torch.mlu.is_available()"),
            distributed=_texts(fields["distributed"], r"[a-z]+", "a backend's name"),
            visible_devices=_texts(fields["visible_devices"], _VARIABLE, "an environment variable's name", empty=True),
            requirements=requirements,
            documentation=tuple(_link(link) for link in fields["documentation"].sequence("a list of links")),
            emulated=_emulated(fields["emulated"], folder.name, plugin),
            budget={
                name: int(value.text(r"[0-9]{1,9}", "a number of calls"))
                for name, value in fields["budget"].fields(BUDGET).items()
            },
            features=_optional(fields, "features", "|".join(FEATURES), f"one of {', '.join(FEATURES)}"),
            environment=_optional(fields, "environment", _VARIABLE, "an environment variable's name"),
            simulator=_optional(fields, "simulator", _VARIABLE, "an environment variable's name"),
        )


def in_order(name: str, value: str) -> str:
    """What a variable that restricts devices should be instead, where its vendor takes ascending lists alone.

    torch_npu counts no device at all when a number is not larger than the one before it, and reads no further than the
    first character that is neither a digit nor a comma (Ascend/pytorch, v2.1.0-7.2.0, torch_npu/npu/utils.py, 90-158).

    Returns:
        The same numbers in their order; empty if the value is right, or the variable may be in any order.
    """
    if name not in _ASCENDING:
        return ""
    begin = re.match(r"(\d+,?)*", value)
    numbers = [int(word) for word in re.findall(r"\d+", begin[0] if begin else "")]
    right = sorted(set(numbers))
    return "" if numbers == right else ",".join(map(str, right))


def load_known(project: Project, name: str) -> Target:
    """The target of this name.

    Raises:
        WrongUsage: there is none, or its ``target.yaml`` is malformed.
    """
    must_be_known([name], available(project.patches))
    return Target.load(project.patches / name)


def load_all(project: Project) -> list[Target]:
    return [Target.load(project.patches / name) for name in available(project.patches)]


def _plugin(value: Value) -> Plugin:
    if value.scalar:
        value.text(IN_TREE, f"a mapping, or {IN_TREE} for a device of torch's own")
        return Plugin(IN_TREE, "torch itself", "https://pytorch.org/get-started/", "")
    fields = value.fields(("module", "from", "url"), ("not", "folder", "setup", "torch"))
    return Plugin(
        module=fields["module"].text(r"[A-Za-z_]\w*", "a module's name"),
        source=fields["from"].text(),
        url=fields["url"].text(_URL, "a URL"),
        confused_with=fields["not"].text() if "not" in fields else "",
        folder=fields["folder"].text(r"[A-Za-z_]\w*", "a folder's name") if "folder" in fields else "",
        setup=fields["setup"].text() if "setup" in fields else "",
        own_torch="torch" in fields and bool(fields["torch"].text("vendor", "vendor, or left out")),
    )


def _link(value: Value) -> Link:
    fields = value.fields(("title", "url"))
    return Link(fields["title"].text(), fields["url"].text(_URL, "a URL"))


def _emulated(value: Value, name: str, plugin: Plugin) -> tuple[str, ...]:
    none = plugin.in_tree or name in KEPT
    names = _texts(value, r"[a-z0-9]+", "a profile's name", empty=none)
    if names and none:
        value.fail(f"empty: no emulated device can be called {name}, which is a device type of torch's")
    return names


def _optional(fields: dict[str, Value], name: str, pattern: str, expected: str) -> tuple[str, ...]:
    return _texts(fields[name], pattern, expected, empty=True) if name in fields else ()


def _texts(value: Value, pattern: str, expected: str, *, empty: bool = False) -> tuple[str, ...]:
    items = value.sequence(f"a list, each item {expected}")
    if not items and not empty:
        value.fail(f"a list with at least one item, {expected}")
    return tuple(item.text(pattern, expected) for item in items)
