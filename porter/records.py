"""What porter says to programs: one JSON object, which says itself what it is.

Every record has ``kind``, a word for what it is about, and ``schema``, which is raised when a field that was there
means something else or is gone; fields may be added without that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

SCHEMA = 1


def labelled(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its kind and schema in front; one that says them itself stays as it is."""
    return {"kind": kind, "schema": SCHEMA, **value}


def to_json(value: Any) -> str:
    """A record as text, ended by a newline; what is no text of Unicode, as a path may be, is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode()
