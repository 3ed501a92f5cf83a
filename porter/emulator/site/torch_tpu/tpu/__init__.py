"""What ``torch.tpu`` is."""

import sys

import porter_emulated
from porter_emulated import op_timer, streams, surface

_device = porter_emulated.start("torch_tpu")
globals().update(surface.of(_device, sys.modules[__name__]))
globals().update(streams.of(_device))
globals().update(op_timer.of(_device))

from torch_tpu.tpu import amp  # noqa: E402, F401 it is part of the module, and needs the above
