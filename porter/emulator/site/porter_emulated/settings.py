"""What the environment asks of the emulation.

``PORTER_EMULATED_PROFILE``  name of a profile, or the path of one
``PORTER_EMULATED_MODE``     ``strict`` (the default) refuses what the card refuses, ``lenient`` counts it and goes on
``PORTER_EMULATED_DEVICES``  how many devices there are, 2 by default
``PORTER_EMULATED_MEMORY``   bytes of memory of each, by default what the card has
``PORTER_EMULATED_COUNTS``   file to write the counts to when the process ends; ``%p`` stands for its process id
``PORTER_EMULATED_ROOT``     folder of the checked program: lines in it are the ones that counts are put down to
``PORTER_EMULATED_TRACE``    1 looks up the line of every operator, not of each operator's first use only
``PORTER_EMULATED_ALONE``    1 stands in for the plugin also where it is installed (read by ``shim.py``)
``PORTER_EMULATED_KERNELS``  a file of other kernels for the device (``operators.py``)
``PORTER_EMULATED_STEP``     ``optimizer``: the end of each optimizer step ends a step of the counts
"""

from __future__ import annotations

import os
import re
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
    kernels: str


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
        kernels=_text("KERNELS"),
    )


def visible(available: int, variables: list[str], rule: str = "list") -> list[int]:
    """The devices that the vendor's variables leave, by their own numbers; the first variable that is set counts.

    ``rule`` is how the vendor reads it:

    - ``list``: numbers; what follows one that is no device, or was there, is not seen, as with CUDA.
    - ``distinct``: numbers; one that comes twice leaves nothing (torch_mlu).
    - ``ascending``: numbers up to the first other character; one that does not ascend leaves nothing (torch_npu).
    - ``count``: how many there are at most (torch_tpu of 2024).
    - ``map``: hides nothing, but says which device a number means (torch_tpu of 2025, see ``surface.py``).

    Raises:
        ValueError: no such rule, or the number that ``count`` reads is not above 0.
    """
    text = next((os.environ[name] for name in variables if name in os.environ), None)
    every = list(range(available))
    if rule == "map" or text is None:
        return every
    if rule == "count":
        number = re.match(r"\s*\+?\d+", text)  # as atoi
        if number is None or int(number.group()) < 1:
            raise ValueError(f"{variables[0]}={text}: the plugin wants a number above 0")
        return every[: int(number.group())]
    return _LISTS[rule](text, available)


def _list(text: str, available: int) -> list[int]:
    chosen: list[int] = []
    for part in map(str.strip, text.split(",")):
        if not part.isdigit() or int(part) >= available or int(part) in chosen:
            break
        chosen.append(int(part))
    return chosen


def _distinct(text: str, available: int) -> list[int]:
    chosen: list[int] = []
    for part in map(str.strip, text.split(",")):
        if not part.isdigit():
            break
        if int(part) in chosen:
            return []
        chosen.append(int(part))
    return _there(chosen, available)


def _ascending(text: str, available: int) -> list[int]:
    read = re.match(r"[0-9,]*", text)
    chosen: list[int] = []
    for part in read.group().split(",") if read else []:
        if not part:
            break
        chosen.append(int(part))
    for place, number in enumerate(chosen):
        if place and number <= chosen[place - 1]:
            return []
        if number >= available:
            return chosen[:place]
    return chosen


def _there(chosen: list[int], available: int) -> list[int]:
    return next((chosen[:place] for place, number in enumerate(chosen) if number >= available), chosen)


_LISTS = {"list": _list, "distinct": _distinct, "ascending": _ascending}


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
