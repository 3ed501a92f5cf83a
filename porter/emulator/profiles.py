"""The cards that can be emulated: a file of facts with a source for each, or a target's own words."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.emulator import recorded
from porter.errors import WrongUsage

SITE = Path(__file__).with_name("site")
_CORE = SITE / "porter_emulated"
_COMMON = "torch"  # the file of what holds for every card
GENERIC = "generic"  # stands for a card that there is no file for
BARE = "bare"  # stands for a plugin that brings a device and nothing else


@dataclass(frozen=True)
class Profile:
    """One card.

    Attributes:
        name: as ``load_profile`` takes it, ``mlu370``; ``generic`` for an unknown card.
        path: its file; None for an unknown card.
        data: what that file holds, or would.
        type: the device's type in torch, ``mlu``.
        plugin: the vendor's module, ``torch_mlu``.
        device: what the emulation calls itself, ``EMULATED MLU370``.
        backend: the vendor's backend of torch.distributed, or ``gloo``.
        memory: bytes of memory of the card.
        facts: what a scan of the plugin's source found; None where there is no source to scan.
        operators: the operators that the vendor has a kernel for, as in the vendor's list; None where there is no list,
            and then everything torch has is allowed.
        casts: whether autocast of the vendor's plugin casts convolutions, which training is made of.
        limits: what the card cannot do although the list has it, each with its source.
    """

    name: str
    path: Path | None
    data: Mapping[str, Any]
    type: str
    plugin: str
    device: str
    backend: str
    memory: int
    facts: Mapping[str, Any] | None
    operators: frozenset[str] | None
    casts: bool
    limits: tuple[dict[str, Any], ...]

    @property
    def recorded(self) -> bool:
        """Whether it is known from a record of calls on a card, not from its plugin's source."""
        return self.facts is not None and bool(self.facts.get("recorded"))

    @property
    def listed_in(self) -> str:
        """Where the operators were read."""
        if self.recorded:
            return "a record of calls on a card; what is not in it is allowed"
        if self.facts is None:
            return "no operator list: everything torch has is allowed"
        return f"porter profile scan of {self.plugin} {self.facts['version']} at {self.facts['commit'][:7]}"

    def standing(self, operator: str) -> str:
        """What the facts say of an operator, by its name as the emulation counts it.

        ``known``: it is registered, its kernel was read, and every condition in it was understood.  ``assumed``: it is
        registered, but the kernel or a condition could not be read, so that more may be refused on a card than here.
        ``refused``: the plugin has no kernel for it.
        Of a card that was recorded, what the record has is known, and all else assumed.
        """
        if self.facts is None:
            return "assumed"
        entries = self.facts["operators"]
        found = [entries[name] for name in (operator, *_reached_as().get(operator, [])) if name in entries]
        if not found:
            return "assumed" if self.recorded else "refused"
        conditions = [each["when"] for kind in ("demands", "host", "raises") for each in found[0].get(kind, [])]
        understood = all(when is None or when["test"] is not None for when in conditions)
        read = found[0]["kernel"] and not found[0].get("unread")
        return "known" if read and understood else "assumed"


@functools.lru_cache(maxsize=1)
def _reached_as() -> dict[str, list[str]]:
    """By the name that torch calls: what stands for it in a vendor's list."""
    common = json.loads((_CORE / "profiles" / f"{_COMMON}.json").read_text(encoding="utf-8"))
    names: dict[str, list[str]] = common["reached_as"]["operators"]
    return names


def profiles() -> list[str]:
    """The names of the profiles that porter has."""
    return sorted(path.stem for path in (_CORE / "profiles").glob("*.json") if path.stem != _COMMON)


def load_profile(name: str) -> Profile:
    """The profile of this name.

    Raises:
        WrongUsage: there is none.
    """
    if name not in profiles():
        raise WrongUsage(f"no profile {name} of an emulated device", hint=f"There are {', '.join(profiles())}.")
    path = _CORE / "profiles" / f"{name}.json"
    return _profile(name, json.loads(path.read_text(encoding="utf-8")), path)


def generic_profile(
    kind: str, plugin: str, backends: Sequence[str], visible: Sequence[str], folder: str = ""
) -> Profile:
    """A card of which no more is known than its target says.

    Nothing is refused: there is no list of operators, so everything torch has is allowed.

    Args:
        kind: the device's type in torch, which the plugin gives to torch's PrivateUse1.
        plugin: the vendor's module.
        backends: of torch.distributed, the preferred first; what registers no backend of its own names gloo.
        visible: environment variables that restrict the devices, the stronger first.
        folder: of the plugin's package, by which programs tell it from another project's of its name.
    """
    said, unknown = "target.yaml", "an assumption: no card is known"
    data = {
        "type": kind,
        "plugin": plugin,
        "real": {"folder": folder, "source": said},
        "label": kind.upper(),
        "device": f"generic {kind.upper()}",
        "version": "0",
        "memory": {"bytes": 16 << 30, "source": unknown},
        "visible": {"variables": list(visible), "source": said},
        "process_group": {"backend": backends[0], "source": said},
        "surface": {"events": True, "source": unknown},
        "fallback": {"variable": None, "source": unknown},
        "refusal": {"text": "Could not run '{operator}' with arguments from the '{type}' backend.", "source": unknown},
        "exhausted": {
            "text": f"{kind.upper()} out of memory. Tried to allocate {{size}}. {kind.upper()} {{index}} has a total "
            "capacity of {total} of which {free} is free.",
            "source": unknown,
        },
        "autocast": {"casts": True, "source": unknown},
        "limits": [],
    }
    return _profile(GENERIC, data, None)


def bare_profile(kind: str, plugin: str, visible: Sequence[str], folder: str = "") -> Profile:
    """A card whose plugin brings a device and nothing else, as there are; for any target.

    Every operator of torch's is allowed, but none on float16 or bfloat16.  The module has no ``is_available``, no
    ``device_count``, no figures of memory, no streams or events, no mixed precision; processes have gloo alone.

    Args:
        kind, plugin, visible, folder: as for :func:`generic_profile`.
    """
    generic = generic_profile(kind, plugin, ["gloo"], visible, folder)
    lean = "artyom-beilis/pytorch_dlprim, python/pytorch_ocl/__init__.py at 2c19539"
    data = {
        **generic.data,
        "device": f"bare {kind.upper()}",
        "surface": {"events": False, "names": ["device", "manual_seed_all"], "source": lean},
        "autocast": {"casts": False, "source": f"{lean}: it has none"},
        "limits": [
            {
                "rule": "no_dtype",
                "dtypes": ["float16", "bfloat16"],
                "source": "run: pytorch_dlprim over PoCL, torch 2.4.1, raised on every operator of half precision",
            }
        ],
    }
    return _profile(BARE, data, None)


def recorded_profile(
    file: Path, kind: str, plugin: str, backends: Sequence[str], visible: Sequence[str], folder: str = ""
) -> Profile:
    """The card that a record is of (``porter profile record``): what raised there raises, the rest is allowed.

    Args:
        file: the record; the other arguments are those of :func:`generic_profile`.

    Raises:
        WrongUsage: it is none, or one of another target's card.
    """
    record, digest = recorded.read_with_digest(file)
    if record["target"] != kind:
        raise WrongUsage(f"{file} is a record of {recorded.printed(record)}, which is no {kind}")
    generic = generic_profile(kind, plugin, backends, visible, folder).data
    with recorded.reading(file):
        data = recorded.profile_data(record, generic, file, digest)
        return _profile(str(file.absolute()), data, None, recorded.facts(record, digest))


def is_record(name: str) -> bool:
    """Whether ``--profile`` names a file, not one of porter's own profiles."""
    return name.endswith(".json") or os.sep in name


def _profile(name: str, data: dict[str, Any], path: Path | None, facts: dict[str, Any] | None = None) -> Profile:
    source = data.get("source")
    if facts is None and source:
        facts = json.loads((_CORE / "sources" / source).read_text(encoding="utf-8"))
    listed = facts is not None and not facts.get("recorded")
    return Profile(
        name=name,
        path=path,
        data=data,
        type=data["type"],
        plugin=data["plugin"],
        device=f"EMULATED {data['device']}",
        backend=data["process_group"]["backend"],
        memory=data["memory"]["bytes"],
        facts=facts,
        operators=frozenset(facts["operators"]) if facts and listed else None,
        casts=_casts_convolutions(data["autocast"]["casts"], facts),
        limits=tuple(data["limits"]),
    )


def _casts_convolutions(said: bool | str, facts: Mapping[str, Any] | None) -> bool:
    if said != "scanned" or facts is None:
        return bool(said)
    return any("conv" in name for names in facts["autocast"]["casts"].values() for name in names)
