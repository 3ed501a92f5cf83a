"""A profile: what one card can do and how its plugin says that it cannot, as data with a source for each line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("profiles")
OPERATORS = Path(__file__).with_name("operators")
RULES = ("refused", "no_method", "no_upload", "arange_follows_arguments")


class Profile:
    """The profile called ``name``, or in the file of that path.

    Raises:
        ValueError: there is none, or it is not one.
    """

    def __init__(self, name: str) -> None:
        path = Path(name) if os.sep in name or name.endswith(".json") else FOLDER / f"{name}.json"
        try:
            self.data: dict[str, Any] = json.loads(path.read_text())
            self.name = path.stem
            self.type: str = self.data["type"]
            self.plugin: str = self.data["plugin"]
            self.label: str = self.data["label"]
            self.device = f"EMULATED {self.data['device']}"
            self.version = f"{self.data['version']}+emulated"
            self.memory: int = self.data["memory"]["bytes"]
            self.visible: list[str] = self.data["visible"]["variables"]
            self.spaces: bool = self.data["visible"].get("spaces", True)
            self.limits: list[dict[str, Any]] = self.data["limits"]
            self.operators = _operators(self.data["operators"]["file"], path)
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
        return [value for limit in self.limits if limit["rule"] == rule for value in limit.get(key, [])]

    def refused(self) -> dict[str, str]:
        """Operators that the list has and the card cannot do, with the source of that."""
        return {
            name: limit["source"] for limit in self.limits if limit["rule"] == "refused" for name in limit["operators"]
        }

    def has(self, rule: str) -> bool:
        return any(limit["rule"] == rule for limit in self.limits)


def _operators(file: str | None, profile: Path) -> list[str] | None:
    """The vendor's list: one of ours, or beside a profile from elsewhere; None where nobody has one."""
    if file is None:
        return None
    path = OPERATORS / file
    return (path if path.is_file() else profile.parent / file).read_text().split()


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.stem != "torch")


def common() -> dict[str, Any]:
    """What is true of torch, whatever the card."""
    read: dict[str, Any] = json.loads((FOLDER / "torch.json").read_text())
    return read
