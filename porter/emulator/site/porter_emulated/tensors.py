"""What a plugin adds to torch's own classes: Tensor.mlu, Tensor.is_mlu, Module.mlu, the storages' methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.utils.backend_registration

if TYPE_CHECKING:
    from porter_emulated import Device


def of_type(name: str, device: Any) -> torch.device:
    """The device that a plugin's method was given: nothing, a number, a string or a torch.device."""
    if device is None:
        return torch.device(name, getattr(torch, name).current_device())
    return torch.device(name, device) if isinstance(device, int) else torch.device(device)


def leave_batches_uncounted() -> None:
    """As Sophgo's plugin of 2025: BatchNorm2d, everywhere, counts no batches where it has a momentum.

    Its kernel of add takes no int64 result, which that count is.
    """
    forward = torch.nn.BatchNorm2d.forward

    def without_count(self: Any, given: torch.Tensor) -> torch.Tensor:
        counted = self._buffers.get("num_batches_tracked")
        if self.momentum is None or counted is None:
            return forward(self, given)
        self._buffers["num_batches_tracked"] = None
        try:
            return forward(self, given)
        finally:
            self._buffers["num_batches_tracked"] = counted

    torch.nn.BatchNorm2d.forward = without_count  # type: ignore[assignment, method-assign]


def add_methods(device: Device) -> None:
    name = device.profile.type
    torch.utils.backend_registration.generate_methods_for_privateuse1_backend(
        for_tensor=True, for_module=False, for_storage=True
    )

    def move(self: Any, device: Any = None, non_blocking: bool = False, **kwargs: Any) -> Any:
        return self.to(of_type(name, device), non_blocking=non_blocking, **kwargs)

    def move_module(self: Any, device: Any = None) -> Any:
        return self.to(of_type(name, device))

    setattr(torch.Tensor, name, move)
    setattr(torch.nn.Module, name, move_module)
    if not device.profile.data["surface"].get("counts_batches", True):
        leave_batches_uncounted()
