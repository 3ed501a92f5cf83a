"""Sophgo's plugin, emulated: this stands in for it where no TPU is, and steps aside where it is installed.

The torch-tpu that is on PyPI is another project, without the folder ``tpu``; that one does not count as the plugin.
"""

from porter_emulated import aside

if not aside.give_way(__name__, aside.has_folder("tpu")):
    import porter_emulated

    _device = porter_emulated.start(__name__)
    __version__ = _device.profile.version

    from porter_emulated import process_group
    from torch_tpu import tpu

    porter_emulated.publish(_device, tpu)
    process_group.register(_device)
