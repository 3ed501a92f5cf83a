"""Which licence a project is under, read from its licence file.

The text decides, not what somebody wrote about it: upstream was GPL-3.0 up to and including v7.0 and became
AGPL-3.0 with one commit in April 2023, and a port that moves across that commit changes its terms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# SPDX identifier -> what the first lines of that licence's text say, white space squeezed, in small letters.
# The first that is there counts: BSD's three clauses hold the two.
_TITLES = (
    ("AGPL-3.0-only", "gnu affero general public license version 3"),
    ("LGPL-3.0-only", "gnu lesser general public license version 3"),
    ("GPL-3.0-only", "gnu general public license version 3"),
    ("GPL-2.0-only", "gnu general public license version 2"),
    ("Apache-2.0", "apache license version 2.0"),
    ("MPL-2.0", "mozilla public license version 2.0"),
    ("MIT", "permission is hereby granted, free of charge, to any person obtaining a copy of this software"),
    ("BSD-3-Clause", "neither the name of"),
    ("BSD-2-Clause", "redistribution and use in source and binary forms"),
)
_HEAD = 2000  # characters; a title stands well before, and the GNU texts name each other well after
_NAME = re.compile(r"(licen[cs]e|copying)(\.(md|txt|rst))?", re.IGNORECASE)
UNKNOWN = "LicenseRef-unknown"
NONE = "NONE"


def file_of(paths: Iterable[str]) -> str:
    """The licence file among a project's paths, or empty: one in its root folder, ``LICENSE`` before others."""
    found = sorted(path for path in paths if _NAME.fullmatch(path))
    return next(iter(sorted(found, key=lambda path: (not path.upper().startswith("LICEN"), len(path), path))), "")


def identify(text: str) -> str:
    """The SPDX identifier of a licence's text; :data:`UNKNOWN` if it is none that is known here.

    A text of the GNU licences does not say whether later versions may be chosen: that stands in the files'
    own headers, so the narrower ``-only`` is given.
    """
    head = " ".join(text[:_HEAD].lower().split())
    return next((name for name, title in _TITLES if title in head), UNKNOWN)
