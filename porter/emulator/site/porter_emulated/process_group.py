"""The vendor's process group over gloo: cncl, sccl, hccl.

gloo itself stays torch's: it takes no tensor of a plugin's device, on a card as here.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

if TYPE_CHECKING:
    from porter_emulated import Device


class ChipMap:
    """Options of a group that maps ranks to chips, as Sophgo's ``ProcessGroupSCCLOptions``."""

    def __init__(self) -> None:
        self._chip_map: list[int] = []

    @property
    def chip_map(self) -> list[int]:
        return list(self._chip_map)

    @chip_map.setter
    def chip_map(self, given: Any) -> None:
        if not isinstance(given, (list, tuple)) or not all(isinstance(each, int) for each in given):
            raise TypeError(f"chip_map is a list of numbers, not {given!r}")
        self._chip_map = list(given)


def register(device: Device, package: ModuleType) -> None:
    """Make the card's backend known to torch.distributed, if torch was built with it.

    Args:
        device: the emulated one.
        package: the plugin's module, which gets the class of the group's options where the plugin has one.
    """
    group: dict[str, Any] = device.profile.data["process_group"]
    if group.get("options"):
        setattr(package, group["options"], type(group["options"], (ChipMap,), {}))
    name: str = group["backend"]
    if not dist.is_available() or name == "gloo" or hasattr(dist.Backend, name.upper()):
        return
    create = _with_options(device, name, getattr(package, group["options"])) if group.get("options") else None
    if create is not None:
        dist.Backend.register_backend(name, create, extended_api=True, devices=[device.profile.type])
        return

    guesses = group.get("barrier") == "rank"  # of which card the first barrier is, where no collective was before

    def plain(store: Any, rank: int, size: int, timeout: Any) -> Any:
        return device.native.process_group(dist.ProcessGroupGloo(store, rank, size, timeout), name, guesses)

    dist.Backend.register_backend(name, plain, devices=[device.profile.type])


def _with_options(device: Device, name: str, kind: type[ChipMap]) -> Any:
    function = f"createProcessGroup{name.upper()}"

    def create(given: Any, options: Any) -> Any:
        if not isinstance(options, kind):  # it is taken by reference, which None cannot be
            raise TypeError(
                f"{function}(): incompatible function arguments: {kind.__name__} is needed, not {options!r}"
                f" [{device.profile.device}: pg_options of init_process_group]"
            )
        if options.chip_map and len(options.chip_map) < given.group_size:
            raise RuntimeError(f"{function}: the chip map has to name a chip for each of {given.group_size} ranks")
        gloo = dist.ProcessGroupGloo(given.store, given.group_rank, given.group_size, given.timeout)
        return device.native.process_group(gloo, name, False)

    return create
