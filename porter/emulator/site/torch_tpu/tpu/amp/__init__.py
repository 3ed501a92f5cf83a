"""What ``torch.tpu.amp`` is."""

import porter_emulated
from porter_emulated import amp

globals().update(amp.of(porter_emulated.start("torch_tpu")))
