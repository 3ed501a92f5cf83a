"""A real plugin always wins: where one is installed beside the emulation, the shim loads that in its own place."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Callable


def find_real(name: str, own: str, is_real: Callable[[ModuleSpec], bool]) -> ModuleSpec | None:
    """Another module of this name, in any place that Python looks but ``own``, the folder of the emulation's."""
    own = os.path.realpath(own)
    elsewhere = [entry for entry in sys.path if os.path.realpath(entry or os.curdir) != own]
    for finder in sys.meta_path:
        try:
            # the finders of editable installs know the names they have, whatever the path
            path = elsewhere if finder is PathFinder else None
            spec = finder.find_spec(name, path)
        except (AttributeError, ImportError):
            continue
        if spec is not None and spec.loader is not None and not _inside(spec, own) and is_real(spec):
            return spec
    return None


def give_way(name: str, own: str, is_real: Callable[[ModuleSpec], bool]) -> bool:
    """Whether a real plugin took the place of the shim ``name`` in ``own``, which calls this while it is imported."""
    spec = find_real(name, own, is_real)
    if spec is None or spec.loader is None:
        return False
    real = importlib.util.module_from_spec(spec)
    shim = sys.modules.get(name)
    sys.modules[name] = real
    try:
        spec.loader.exec_module(real)
    except BaseException:
        if shim is not None:
            sys.modules[name] = shim
        raise
    return True


def any_plugin(spec: ModuleSpec) -> bool:
    """What counts as the plugin where no other project has its name: whatever is found."""
    return True


def has_folder(folder: str) -> Callable[[ModuleSpec], bool]:
    """Tells a plugin from another project of its name: its package holds this folder."""

    def check(spec: ModuleSpec) -> bool:
        return any(os.path.isdir(os.path.join(place, folder)) for place in spec.submodule_search_locations or [])

    return check


def _inside(spec: ModuleSpec, folder: str) -> bool:
    return spec.origin is not None and os.path.realpath(spec.origin).startswith(folder + os.sep)
