"""What a plugin adds to torch's own classes: Tensor.mlu, Tensor.is_mlu, Module.mlu, the storages' methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import torch
import torch.utils.backend_registration

if TYPE_CHECKING:
    from porter_emulated import Device


class TensorMethod:
    """``Tensor.tpu``; tensors of some dtypes have no such attribute, which ``hasattr`` sees as well."""

    def __init__(self, name: str, without: frozenset[Any]) -> None:
        self.name = name
        self.without = without

    def __get__(self, tensor: Any, owner: Any = None) -> Callable[..., torch.Tensor]:
        if tensor is None:
            return lambda self, *args, **kwargs: getattr(self, self.name)(*args, **kwargs)
        if tensor.dtype in self.without:
            raise AttributeError(f"'{tensor.dtype}' tensors have no attribute '{self.name}'")

        def move(device: Any = None, non_blocking: bool = False, **kwargs: Any) -> torch.Tensor:
            moved: torch.Tensor = tensor.to(of_type(self.name, device), non_blocking=non_blocking, **kwargs)
            return moved

        return move


def of_type(name: str, device: Any) -> torch.device:
    """The device that a plugin's method was given: nothing, a number, a string or a torch.device."""
    if device is None:
        return torch.device(name, getattr(torch, name).current_device())
    return torch.device(name, device) if isinstance(device, int) else torch.device(device)


def add_methods(device: Device) -> None:
    name = device.profile.type
    without = frozenset(getattr(torch, dtype) for dtype in device.profile.values("no_method", "dtypes"))
    torch.utils.backend_registration.generate_methods_for_privateuse1_backend(
        for_tensor=True, for_module=False, for_storage=True
    )
    setattr(torch.Tensor, name, TensorMethod(name, without))

    def move_module(self: Any, device: Any = None) -> Any:
        return self.to(of_type(name, device))

    setattr(torch.nn.Module, name, move_module)
    if device.profile.values("no_upload", "dtypes"):
        _let_storages_pass(device)


def _let_storages_pass(device: Device) -> None:
    # A storage travels as bytes whatever it holds; that is no upload of uint8.
    copy = torch.UntypedStorage.copy_

    def copy_(self: Any, source: Any, non_blocking: Any = None) -> Any:
        before = device.native.storage_copy(True)
        try:
            return copy(self, source, non_blocking)
        finally:
            device.native.storage_copy(before)

    torch.UntypedStorage.copy_ = copy_  # type: ignore[method-assign]
