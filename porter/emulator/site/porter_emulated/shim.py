"""A vendor's plugin, emulated: the module of its name, made from the profile alone.

Python has to find a module ``torch_mlu`` somewhere, so porter writes one for the card (``porter.emulator.plugins``)
that does nothing but call :func:`stand_in`.  What a program then finds is ``torch_mlu``, ``torch_mlu.mlu``,
``torch_mlu.mlu.amp``, and the second of them as ``torch.mlu``, the way every vendor has it.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from porter_emulated import real_plugin


def stand_in(name: str, file: str, folder: str = "") -> None:
    """Fill the module ``name``, in ``file``, which calls this while it is imported; or let the real one take its place.

    Where PORTER_EMULATED_ALONE is 1 no real one does: who asked for an emulated device by name gets that.

    ``folder`` is what the real plugin's package holds, where another project has its name.
    """
    own = os.path.dirname(os.path.dirname(os.path.abspath(file)))
    alone = os.environ.get("PORTER_EMULATED_ALONE") == "1"
    is_real = real_plugin.has_folder(folder) if folder else real_plugin.any_plugin
    if not alone and real_plugin.give_way(name, own, is_real):
        return
    import porter_emulated

    device = porter_emulated.start(name)
    package = sys.modules[name]
    package.__dict__["__version__"] = device.profile.version
    from porter_emulated import amp, op_timer, process_group, streams, surface

    module = _module(package, device.profile.type)
    module.__dict__.update(surface.of(device, module))
    module.__dict__.update(streams.of(device))
    if device.profile.data["surface"].get("op_timer"):
        module.__dict__.update(op_timer.of(device))
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
