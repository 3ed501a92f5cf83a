"""What ``torch.mlu`` is."""

import sys

import porter_emulated
from porter_emulated import streams, surface

_device = porter_emulated.start("torch_mlu")
globals().update(surface.of(_device, sys.modules[__name__]))
globals().update(streams.of(_device))

from torch_mlu.mlu import amp  # noqa: E402, F401 it is part of the module, and needs the above
