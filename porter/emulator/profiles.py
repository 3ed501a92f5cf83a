"""The cards that can be emulated, each a file of facts with a source for each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.errors import WrongUsage

SITE = Path(__file__).with_name("site")
_CORE = SITE / "porter_emulated"
_COMMON = "torch"  # the file of what holds for every card


@dataclass(frozen=True)
class Profile:
    """One card.

    Attributes:
        name: as ``load_profile`` takes it, ``mlu370``.
        path: its file.
        type: the device's type in torch, ``mlu``.
        plugin: the vendor's module, ``torch_mlu``.
        device: what the emulation calls itself, ``EMULATED MLU370``.
        backend: the vendor's backend of torch.distributed; None where it is plain gloo.
        memory: bytes of memory of the card.
        operators: the operators that the vendor has a kernel for, as in the vendor's list.
        casts: whether autocast of the vendor's plugin changes any operator's dtype.
        limits: what the card cannot do although the list has it, each with its source.
    """

    name: str
    path: Path
    type: str
    plugin: str
    device: str
    backend: str | None
    memory: int
    operators: frozenset[str]
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
    data = json.loads(path.read_text())
    operators = (_CORE / "operators" / data["operators"]["file"]).read_text().split()
    return Profile(
        name=name,
        path=path,
        type=data["type"],
        plugin=data["plugin"],
        device=f"EMULATED {data['device']}",
        backend=data["process_group"]["backend"],
        memory=data["memory"]["bytes"],
        operators=frozenset(operators),
        casts=data["autocast"]["casts"],
        limits=tuple(data["limits"]),
    )
