"""Parts of this environment's packages, to be shown to another interpreter."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(names: Iterable[str]) -> dict[str, importlib.metadata.Distribution]:
    """The distributions of this environment that the named ones are made of, by their name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    left = [(canonicalize_name(name), "") for name in names]
    while left:
        name, extra = left.pop()
        if name in found:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        for line in found[name].requires or []:
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                left += [(canonicalize_name(wanted.name), each) for each in ("", *wanted.extras)]
    return found


def only(found: Mapping[str, importlib.metadata.Distribution], folder: Path) -> Path:
    """A folder that shows these distributions and nothing else of this environment."""
    folder.mkdir()
    for distribution in found.values():
        for name in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            source = Path(str(distribution.locate_file(name)))
            if source.exists() and not (folder / name).is_symlink():
                (folder / name).symlink_to(source)
    return folder
