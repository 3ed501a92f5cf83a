"""What is known of a card: out of its plugin's source, and out of its profile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.emulator.profiles import BARE, GENERIC, SITE, load_profile
from porter.errors import WrongUsage
from porter.scan.facts import dumps
from porter.scan.plugins import scan as read
from porter.scan.summary import Summary, summarise
from porter.target import Target
from porter.verification.device import card_of

SOURCES = SITE / "porter_emulated" / "sources"


@dataclass(frozen=True)
class Scanned:
    """What a plugin's source says.

    Attributes:
        facts: the record, as docs/formats.md has it.
        summary: the same in figures.
    """

    facts: Mapping[str, Any]
    summary: Summary

    def json(self) -> str:
        """The facts file: the same sources give the same bytes."""
        return dumps(dict(self.facts))


@dataclass(frozen=True)
class Fact:
    """One fact of a profile that no scan can find.

    Attributes:
        name: its key in the profile.
        value: what it says.
        source: where that is from; empty where the profile says no source.
    """

    name: str
    value: Any
    source: str


@dataclass(frozen=True)
class Known:
    """What is known of a card.

    Attributes:
        card: the profile's name.
        type: the device's type in torch.
        file: the facts file's name, empty where the card has none.
        scan: what that file amounts to; None where there is none.
        facts: what the profile says beside it.
    """

    card: str
    type: str
    file: str
    scan: Summary | None
    facts: tuple[Fact, ...]

    def record(self) -> dict[str, Any]:
        """The same for ``--json``."""
        return {
            "card": self.card,
            "type": self.type,
            "file": self.file,
            "scan": self.scan.record() if self.scan else None,
            "facts": [{"name": one.name, "value": one.value, "source": one.source} for one in self.facts],
        }


def scan(checkout: Path, target: str, card: str | None, defines: tuple[str, ...], also: Path | None) -> Scanned:
    """Read a plugin's checkout; see :func:`porter.scan.plugins.scan`."""
    found = read(checkout, target, card, list(defines), also)
    return Scanned(found, summarise(found))


def show(card: str, target: Target | None) -> Known:
    """What the card's profile and its facts file say.

    Raises:
        WrongUsage: there is no profile of this name, it is another target's, or it stands for any target's card and no
            target is named.
    """
    if target is not None:
        profile = card_of(target, card)
        if profile is None:
            raise WrongUsage(f"{target.name} is a device of torch's own", hint="No card stands in for it.")
    elif card in (BARE, GENERIC):
        raise WrongUsage(f"{card} stands for a card of any target", hint=f"porter profile show --target mlu {card}")
    else:
        profile = load_profile(card)
    path = facts_file(card, profile.data)
    record = json.loads(path.read_text(encoding="utf-8")) if path else None
    return Known(
        card, profile.type, path.name if path else "", summarise(record) if record else None, facts(profile.data)
    )


def facts_file(card: str, data: Mapping[str, Any]) -> Path | None:
    """The file that the profile names, else the newest scan of this card that porter has."""
    named = data.get("source")
    if isinstance(named, Mapping):
        named = named.get("file")
    if isinstance(named, str) and (SOURCES / named).is_file():
        return SOURCES / named
    found = sorted(path for path in SOURCES.glob("*.json") if path.stem.endswith(f"-{card}"))
    return found[-1] if found else None


def facts(data: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Each entry of a profile with its source; a list's entries one by one."""
    out = []
    for name, value in data.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                rest = {key: inner for key, inner in each.items() if key != "source"}
                out.append(Fact(name, rest, str(each.get("source", ""))))
            else:
                out.append(Fact(name, each, ""))
    return tuple(out)
