"""What porter says to programs: one JSON object, which says itself what it is.

Every record begins with ``kind``, a word for what it is about, ``schema``, and ``porter``, the version that made it.
``schema`` is raised when a field that was there means something else or is gone; fields may be added without that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from porter.version import __version__

SCHEMA = 1


def heading(kind: str) -> dict[str, Any]:
    """The fields that a record of this kind begins with."""
    return {"kind": kind, "schema": SCHEMA, "porter": __version__}


def labelled(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its heading; one that has one already stays as it is."""
    return {**heading(kind), **value}


def to_json(value: Any) -> str:
    """A record as text, ended by a newline; what is no text of Unicode, as a path may be, is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()
