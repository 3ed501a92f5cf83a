"""What the environment asks of the emulation.

``PORTER_EMULATED_PROFILE``  name of a profile, or the path of one
``PORTER_EMULATED_MODE``     ``strict`` (the default) refuses what the card refuses, ``lenient`` counts it and goes on
``PORTER_EMULATED_DEVICES``  how many devices there are, 2 by default
``PORTER_EMULATED_MEMORY``   bytes of memory of each, by default what the card has
``PORTER_EMULATED_COUNTS``   file to write the counts to when the process ends; ``%p`` stands for its process id
``PORTER_EMULATED_ROOT``     folder of the checked program: lines in it are the ones that counts are put down to
``PORTER_EMULATED_TRACE``    1 looks up the line of every operator, not of each operator's first use only
``PORTER_EMULATED_STEP``     ``optimizer``: the end of each optimizer step ends a step of the counts
"""

from __future__ import annotations

import os
from dataclasses import dataclass

PREFIX = "PORTER_EMULATED_"


@dataclass(frozen=True)
class Settings:
    profile: str
    strict: bool
    devices: int
    memory: int | None
    counts: str
    root: str
    trace: bool
    step: str


def read() -> Settings:
    """The settings of this process.

    Raises:
        ValueError: one of the variables holds what it cannot.
    """
    if not _text("PROFILE"):
        raise ValueError(f"{PREFIX}PROFILE names no card")
    return Settings(
        profile=_text("PROFILE"),
        strict=_choice("MODE", "strict", "lenient") == "strict",
        devices=_number("DEVICES", 2) or 0,
        memory=_number("MEMORY", None),
        counts=_text("COUNTS"),
        root=_text("ROOT"),
        trace=_text("TRACE") == "1",
        step=_choice("STEP", "", "optimizer"),
    )


def visible(available: int, variables: list[str], spaces: bool) -> list[int]:
    """The devices that the vendor's variable leaves, by their own numbers; the first variable that is set counts.

    ``spaces`` is whether the vendor lets spaces stand around a number.
    """
    for variable in variables:
        text = os.environ.get(variable)
        if text is not None:
            chosen: list[int] = []
            for part in text.split(","):
                part = part.strip() if spaces else part
                if not part.isdigit() or int(part) >= available or int(part) in chosen:
                    break  # as with CUDA: what follows an invalid number is not seen
                chosen.append(int(part))
            return chosen
    return list(range(available))


def _text(name: str) -> str:
    return os.environ.get(PREFIX + name, "").strip()


def _choice(name: str, *choices: str) -> str:
    text = _text(name) or choices[0]
    if text not in choices:
        raise ValueError(f"{PREFIX}{name}={text}: it is {' or '.join(filter(None, choices))}")
    return text


def _number(name: str, default: int | None) -> int | None:
    text = _text(name)
    if text and not text.isdigit():
        raise ValueError(f"{PREFIX}{name}={text}: it is a number")
    return int(text) if text else default
