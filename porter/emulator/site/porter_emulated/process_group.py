"""The vendor's process group over gloo: cncl, sccl, or gloo itself where the vendor's plugin uses that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from porter_emulated import Device


def register(device: Device) -> None:
    """Make the card's backend known to torch.distributed, if torch was built with it."""
    name: str = device.profile.data["process_group"]["backend"]
    if not dist.is_available():
        return
    if name == "gloo":
        _extend_gloo(device)
    elif not hasattr(dist.Backend, name.upper()):

        def create(store: Any, rank: int, size: int, timeout: Any) -> Any:
            return device.native.process_group(dist.ProcessGroupGloo(store, rank, size, timeout), name)

        dist.Backend.register_backend(name, create, devices=[device.profile.type])


def _extend_gloo(device: Device) -> None:
    # torch's own gloo knows tensors of the CPU and CUDA only: every group that it makes gets a part for the device's.
    module: Any = dist.distributed_c10d
    make = module._new_process_group_helper

    def helper(*args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        group = made[0] if isinstance(made, tuple) else made
        if isinstance(group, dist.ProcessGroup) and dist.get_backend(group) == "gloo":
            gloo = group._get_backend(torch.device("cpu"))
            part = device.native.process_group(gloo, "gloo")
            group._register_backend(torch.device(device.profile.type), dist.ProcessGroup.BackendType.CUSTOM, part)
        return made

    module._new_process_group_helper = helper
