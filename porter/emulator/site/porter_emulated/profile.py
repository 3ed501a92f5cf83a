"""A profile: what one card can do and how its plugin says that it cannot, as data with a source for each line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from porter_emulated.facts import Facts, find

FOLDER = Path(__file__).with_name("profiles")
RULES = ("refused", "no_dtype", "computed_as_32")


class Profile:
    """The profile called ``name``, or in the file of that path.

    Raises:
        ValueError: there is none, or it is not one.
    """

    def __init__(self, name: str) -> None:
        path = Path(name) if os.sep in name or name.endswith(".json") else FOLDER / f"{name}.json"
        try:
            self.data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.name = path.stem
            self.type: str = self.data["type"]
            self.plugin: str = self.data["plugin"]
            self.label: str = self.data["label"]
            self.device = f"EMULATED {self.data['device']}"
            self.memory: int = self.data["memory"]["bytes"]
            self.visible: dict[str, Any] = self.data["visible"]
            self.limits: list[dict[str, Any]] = self.data["limits"]
            source = self.data.get("source")
            self.facts = Facts(find(source, path)) if source else None
            version = self.facts.version if self.facts else self.data["version"]
            self.version = f"{version}{'.' if '+' in version else '+'}emulated"
            self.operators = list(self.facts.operators) if self.facts and not self.facts.recorded else None
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: not a profile of an emulated device ({type(error).__name__}: {error})"
            ) from error
        unknown = {limit.get("rule") for limit in self.limits} - set(RULES)
        if unknown:
            raise ValueError(f"{path}: no such rule: {', '.join(map(str, unknown))}")

    @property
    def everything(self) -> bool:
        """Whether there is no list of operators, so that nothing counts as missing."""
        return self.operators is None

    def values(self, rule: str, key: str) -> list[str]:
        """What the limits with this rule name under ``key``."""
        found = [limit[key] for limit in self.limits if limit["rule"] == rule and key in limit]
        return [value for each in found for value in ([each] if isinstance(each, str) else each)]

    def refused(self) -> dict[str, str]:
        """Operators that the list has and the card cannot do, with the source of that."""
        return {
            name: limit["source"] for limit in self.limits if limit["rule"] == "refused" for name in limit["operators"]
        }


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "torch")


def common() -> dict[str, Any]:
    """What is true of torch, whatever the card."""
    read: dict[str, Any] = json.loads((FOLDER / "torch.json").read_text(encoding="utf-8"))
    return read
