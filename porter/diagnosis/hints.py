"""What doctor says, in the reader's language: English, and Chinese where the locale asks for it.

A hint is its English text, which records and scripts get, and knows the template and the values that it was made of.
``zh_CN.yaml`` has a translation of each template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from porter import yamlfile

CHINESE = Path(__file__).with_name("zh_CN.yaml")
# A reader of traditional characters is not served with simplified ones unasked: zh_TW and zh_HK get English.
_SIMPLIFIED = ("zh", "zh_CN", "zh_SG")


class Hint(str):
    """A text that can be said in another language."""

    template: str
    values: Mapping[str, str]

    def __new__(cls, template: str, /, **values: str) -> Hint:
        """The English text: ``template`` with the values in the places of their names."""
        made = super().__new__(cls, template.format(**values))
        made.template, made.values = template, values
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Hint:
        """It never changes; ``dataclasses.asdict`` copies what it finds."""
        return self


def wants_chinese(environment: Mapping[str, str]) -> bool:
    """Whether messages are to be Chinese, by the variables and in the order that gettext has."""
    locale = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "C")
    if re.split(r"[.@]", locale)[0] in ("C", "POSIX"):
        return False  # LANGUAGE does not count there
    for each in (environment.get("LANGUAGE") or locale).split(":"):
        name = re.split(r"[.@]", each)[0]
        if name in _SIMPLIFIED:
            return True
        if name.partition("_")[0] == "en":
            return False
    return False


def catalogue(file: Path = CHINESE) -> dict[str, dict[str, str]]:
    """Trap -> English template -> its translation."""
    traps = yamlfile.read(file).mapping()
    return {trap: {each: text.text() for each, text in value.mapping().items()} for trap, value in traps.items()}


def in_chinese(text: str, trap: str, known: Mapping[str, Mapping[str, str]]) -> str:
    """A hint of a trap in Chinese; what has no translation, such as a command or a vendor's message, stays."""
    if isinstance(text, Hint):
        values = {name: in_chinese(value, trap, known) for name, value in text.values.items()}
        templates = {**known.get("words", {}), **known.get(trap, {})}
        return templates.get(text.template, text.template).format(**values)
    return known.get("words", {}).get(text, text)
