"""The cards that can be emulated: a file of facts with a source for each, or a target's own words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.errors import WrongUsage

SITE = Path(__file__).with_name("site")
_CORE = SITE / "porter_emulated"
_COMMON = "torch"  # the file of what holds for every card
GENERIC = "generic"  # stands for a card that there is no file for


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
        operators: the operators that the vendor has a kernel for, as in the vendor's list; None where there is no list,
            and then everything torch has is allowed.
        casts: whether autocast of the vendor's plugin changes any operator's dtype.
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
    operators: frozenset[str] | None
    casts: bool
    limits: tuple[dict[str, Any], ...]


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
    return _profile(name, json.loads(path.read_text()), path)


def generic_profile(kind: str, plugin: str, backends: Sequence[str], visible: Sequence[str]) -> Profile:
    """A card of which no more is known than its target says.

    Nothing is refused: there is no list of operators, so everything torch has is allowed.

    Args:
        kind: the device's type in torch, which the plugin gives to torch's PrivateUse1.
        plugin: the vendor's module.
        backends: of torch.distributed, the preferred first; what registers no backend of its own names gloo.
        visible: environment variables that restrict the devices, the stronger first.
    """
    said, unknown = "target.yaml", "an assumption: no card is known"
    data = {
        "type": kind,
        "plugin": plugin,
        "label": kind.upper(),
        "device": f"generic {kind.upper()}",
        "version": "0",
        "operators": {"file": None, "source": "no operator list: everything torch has is allowed"},
        "memory": {"bytes": 16 << 30, "source": unknown},
        "visible": {"variables": list(visible), "source": said},
        "process_group": {"backend": backends[0], "source": said},
        "surface": {"events": True, "source": unknown},
        "fallback": {"variable": None, "source": unknown},
        "refusal": "Could not run '{operator}' with arguments from the '{type}' backend.",
        "exhausted": f"{kind.upper()} out of memory. Tried to allocate {{size}}. {kind.upper()} {{index}} has a total "
        "capacity of {total} of which {free} is free.",
        "autocast": {"casts": True, "source": unknown},
        "limits": [],
    }
    return _profile(GENERIC, data, None)


def _profile(name: str, data: dict[str, Any], path: Path | None) -> Profile:
    file = data["operators"]["file"]
    return Profile(
        name=name,
        path=path,
        data=data,
        type=data["type"],
        plugin=data["plugin"],
        device=f"EMULATED {data['device']}",
        backend=data["process_group"]["backend"],
        memory=data["memory"]["bytes"],
        operators=frozenset((_CORE / "operators" / file).read_text().split()) if file else None,
        casts=data["autocast"]["casts"],
        limits=tuple(data["limits"]),
    )
