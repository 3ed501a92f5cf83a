"""Conflicts of imports, resolved by name: git merges lines, and reports neighbouring lines as a conflict.

Half of what conflicts between two patches are neighbouring imports, or two names added to the same one, which no
person would call a conflict.
"""

from __future__ import annotations

import re

_CONFLICT = re.compile(
    rb"^<{7} [^\n]*\n(?P<ours>.*?)^\|{7} [^\n]*\n(?P<base>.*?)^={7}\n(?P<theirs>.*?)^>{7} [^\n]*\n",
    re.DOTALL | re.MULTILINE,
)
_IMPORT = re.compile(
    rb"(?P<module>from \S+ import |import )(?P<names>[\w. ]+(?:, *[\w. ]+)*)(?P<rest>[ \t]*(?:#[^\n]*)?)\n?"
)

Imports = dict[bytes, dict[bytes, bytes]]  # "from x import ", or the whole line of "import x" -> name -> its comment


def resolve(marked: bytes) -> bytes | None:
    """A file with git's conflict markers (style ``diff3``), resolved; None where anything but imports conflicts."""
    whole, at = b"", 0
    for found in _CONFLICT.finditer(marked):
        resolved = _imports(*(found[side] for side in ("ours", "base", "theirs")))
        if resolved is None:
            return None
        whole += marked[at : found.start()] + resolved
        at = found.end()
    return whole + marked[at:]


def _imports(ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """Import statements, merged by name; None if there is anything else among the lines."""
    sides = [_read(side) for side in (ours, base, theirs)]
    mine, was, new = sides
    if mine is None or was is None or new is None:
        return None
    for line in [*was, *new]:
        before, after = was.get(line, {}), new.get(line, {})
        names = mine.setdefault(line, {})
        for name in before:
            if name not in after:
                names.pop(name, None)
        for name in after:
            if name not in before:
                names.setdefault(name, after[name])
    return b"".join(_line(line, names) for line, names in mine.items() if names)


def _read(text: bytes) -> Imports | None:
    found: Imports = {}
    for line in text.splitlines(keepends=True):
        match = _IMPORT.fullmatch(line)
        if match is None and line.strip():
            return None
        if match:
            names = found.setdefault(match["module"] if match["module"] != b"import " else line, {})
            names.update((name.strip(), match["rest"]) for name in match["names"].split(b","))
    return found


def _line(start: bytes, names: dict[bytes, bytes]) -> bytes:
    return start if start.startswith(b"import ") else start + b", ".join(names) + b"".join(set(names.values())) + b"\n"
