"""Cambricon's plugin, emulated: this stands in for it where no MLU is, and steps aside where it is installed."""

from porter_emulated import aside

if not aside.give_way(__name__):
    import porter_emulated

    _device = porter_emulated.start(__name__)
    __version__ = _device.profile.version

    from porter_emulated import process_group
    from torch_mlu import mlu
    from torch_mlu.mlu import amp  # noqa: F401 as the plugin does

    porter_emulated.publish(_device, mlu)
    process_group.register(_device)
