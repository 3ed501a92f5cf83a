"""A vendor's plugin, emulated: the module of its name, made from the profile alone.

Python has to find a module ``torch_mlu`` somewhere, so porter writes one for the card (``porter/emulator/building.py``)
that does nothing but call :func:`stand_in`.  What a program then finds is ``torch_mlu``, ``torch_mlu.mlu``,
``torch_mlu.mlu.amp``, and the second of them as ``torch.mlu``, the way every vendor has it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Callable


def stand_in(name: str, file: str, folder: str = "") -> None:
    """Fill the module ``name``, in ``file``, which calls this while it is imported; or let the real one take its place.

    Where PORTER_EMULATED_ALONE is 1 no real one does: who asked for an emulated device by name gets that.

    ``folder`` is what the real plugin's package holds, where another project has its name.
    """
    own = os.path.dirname(os.path.dirname(os.path.abspath(file)))
    alone = os.environ.get("PORTER_EMULATED_ALONE") == "1"
    is_real = has_folder(folder) if folder else any_plugin
    if not alone and give_way(name, own, is_real):
        return
    import porter_emulated

    device = porter_emulated.start(name)
    package = sys.modules[name]
    package.__dict__["__version__"] = device.profile.version
    from porter_emulated import amp, process_group, streams, surface

    module = _module(package, device.profile.type)
    module.__dict__.update(surface.of(device, module))
    module.__dict__.update(streams.of(device))
    if device.profile.data["surface"].get("op_timer"):
        module.__dict__.update(streams.op_timer(device))
    _module(module, "amp").__dict__.update(amp.of(device))
    surface.hold_to_facts(device, module)
    porter_emulated.publish(device, module)
    process_group.register(device, package)


def _module(parent: ModuleType, name: str) -> ModuleType:
    """A new module inside another, which ``import`` finds."""
    made = ModuleType(f"{parent.__name__}.{name}")
    made.__path__ = []  # it may have modules inside, and no file
    sys.modules[made.__name__] = made
    setattr(parent, name, made)
    return made


# A real plugin always wins: where one is installed beside the emulation, the shim loads that in its own place.


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
