"""A target: a device family that porter has a stack for, as ``patches/NAME/target.yaml`` describes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from porter import document
from porter.document import Value
from porter.project import Project
from porter.stack import available

FILE = "target.yaml"
_URL = r"https?://\S+"
BUDGET = ("host_to_device", "device_to_host", "synchronisations")
_VARIABLE = r"[A-Z][A-Z0-9_]*"
IN_TREE = "torch"  # stands for a plugin where the device is torch's own
FEATURES = ("fp16", "hardware-time", "own-scaler")


@dataclass(frozen=True)
class Plugin:
    """The vendor's PyTorch plugin.

    Attributes:
        module: what to import; ``torch`` where the device is torch's own and needs no plugin.
        source: where it comes from, in words.
        url: where that is.
        confused_with: what it is not, although the name is alike; empty if there is no such thing.
    """

    module: str
    source: str
    url: str
    confused_with: str

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
        probe: expressions over ``torch`` that tell whether a device is there; the first that exists counts.
        distributed: backends of torch.distributed, the preferred first.
        visible_devices: environment variables that restrict the devices, the stronger first; empty if there are none.
        requirements: the file beside ``target.yaml`` that pins what the tree runs on.
        documentation: the vendor's documents.
        emulated: profiles of the cards that the emulated device can stand in for, the usual one first; ``generic``
            where no card is known.  Empty for a device of torch's own, whose name no emulated device can have.
        budget: what a steady training step may do at most (calls): ``host_to_device`` and ``device_to_host`` copies,
            ``synchronisations`` of the host with the device.
        features: what not every device family has and ``porter verify`` then asks for: ``fp16``
            (``train_fp16.py``), ``hardware-time`` (the time that the card itself was at work), ``own-scaler``
            (the plugin's gradient scaler knows of the card what torch's does not: mixed precision has to use it).
        environment: further variables that the vendor's software needs in a program's environment.
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

    @property
    def inherited(self) -> tuple[str, ...]:
        """The variables that a program gets of its caller's environment, to reach the device."""
        return (*self.visible_devices, *self.environment)

    def record(self) -> dict[str, Any]:
        """The target as plain data, for JSON."""
        return asdict(self)

    @classmethod
    def load(cls, folder: Path) -> Target:
        """The target that a folder of patches is for.

        Raises:
            WrongUsage: the file is missing or malformed (file, line, field).
            SurroundingsFailed: it cannot be read.
        """
        value = document.read(folder / FILE)
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
            ("features", "environment"),
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
            probe=_texts(fields["probe"], r"torch[\w.]*\(\)", "an expression such as torch.mlu.is_available()"),
            distributed=_texts(fields["distributed"], r"[a-z]+", "a backend's name"),
            visible_devices=_texts(fields["visible_devices"], _VARIABLE, "an environment variable's name", empty=True),
            requirements=requirements,
            documentation=tuple(_link(link) for link in fields["documentation"].sequence("a list of links")),
            emulated=_emulated(fields["emulated"], plugin),
            budget={
                name: int(value.text(r"\d+", "a number of calls"))
                for name, value in fields["budget"].fields(BUDGET).items()
            },
            features=_optional(fields, "features", "|".join(FEATURES), f"one of {', '.join(FEATURES)}"),
            environment=_optional(fields, "environment", _VARIABLE, "an environment variable's name"),
        )


def load_all(project: Project) -> list[Target]:
    """Every target of a project, by name."""
    return [Target.load(project.patches / name) for name in available(project.patches)]


def _plugin(value: Value) -> Plugin:
    if value.scalar:
        value.text(IN_TREE, f"a mapping, or {IN_TREE} for a device of torch's own")
        return Plugin(IN_TREE, "torch itself", "https://pytorch.org/get-started/", "")
    fields = value.fields(("module", "from", "url"), ("not",))
    return Plugin(
        module=fields["module"].text(r"[A-Za-z_]\w*", "a module's name"),
        source=fields["from"].text(),
        url=fields["url"].text(_URL, "a URL"),
        confused_with=fields["not"].text() if "not" in fields else "",
    )


def _link(value: Value) -> Link:
    fields = value.fields(("title", "url"))
    return Link(fields["title"].text(), fields["url"].text(_URL, "a URL"))


def _emulated(value: Value, plugin: Plugin) -> tuple[str, ...]:
    names = _texts(value, r"[a-z0-9]+", "a profile's name", empty=plugin.in_tree)
    if names and plugin.in_tree:
        value.fail("empty: no emulated device can have the name of a device of torch's own")
    return names


def _optional(fields: dict[str, Value], name: str, pattern: str, expected: str) -> tuple[str, ...]:
    return _texts(fields[name], pattern, expected, empty=True) if name in fields else ()


def _texts(value: Value, pattern: str, expected: str, *, empty: bool = False) -> tuple[str, ...]:
    items = value.sequence(f"a list, each item {expected}")
    if not items and not empty:
        value.fail(f"a list with at least one item, {expected}")
    return tuple(item.text(pattern, expected) for item in items)
