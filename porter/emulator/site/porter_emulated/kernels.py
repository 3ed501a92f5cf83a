"""Other kernels for the device, from a file of one's own: what a faulty card does can be tried where there is none.

``PORTER_EMULATED_KERNELS`` names a Python file that holds ``KERNELS``, by torch's name of an operator::

    def silu_(host, x):
        return host("aten::hardswish_", x)  # the host's kernel, on the device's memory

    KERNELS = {"aten::silu_": silu_}
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from porter_emulated import Device

_KEY = "PrivateUse1"
_kept: list[Any] = []  # a library that nothing holds takes its kernels with it


def load(device: Device) -> None:
    """Put the kernels of the file that the settings name in the place of the device's.

    Raises:
        ImportError: there is no such file, or it holds no kernels.
    """
    try:
        found = runpy.run_path(device.settings.kernels)["KERNELS"]
    except (OSError, KeyError) as error:
        raise ImportError(f"no emulated device: {device.settings.kernels} holds no KERNELS: {error!r}") from error
    _kept.append(replace(device, found))


def replace(device: Device, kernels: Mapping[str, Callable[..., Any]]) -> Any:
    """Replace kernels; each gets ``host``, which runs an operator of the host, and then the operator's arguments.

    Returns:
        the library that holds them: ``_destroy()`` puts the device's own back.
    """
    import torch

    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    for name, kernel in kernels.items():
        # what is registered for the device already is meant to be replaced
        called = partial(kernel, partial(_host, device))
        library.impl(name.partition("::")[2], called, _KEY)  # type: ignore[no-untyped-call]
    return library


def _host(device: Device, name: str, *arguments: Any, **named: Any) -> Any:
    """Run the host's operator on the memory of device tensors; what it makes anew goes to the device."""
    import torch

    base, _, overload = name.partition("::")[2].partition(".")
    operator = getattr(getattr(torch.ops.aten, base), overload or "default")
    seen: list[tuple[Any, Any]] = []

    def to_host(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.device.type == device.profile.type:
            seen.append((value, device.native.host_alias(value)))
            return seen[-1][1]
        return [to_host(each) for each in value] if isinstance(value, (list, tuple)) else value

    def to_device(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            known = next((mine for mine, alias in seen if alias is value), None)
            return value.to(device.profile.type) if known is None else known
        return type(value)(to_device(each) for each in value) if isinstance(value, (list, tuple)) else value

    given = [to_host(each) for each in arguments]
    return to_device(operator(*given, **{key: to_host(value) for key, value in named.items()}))
