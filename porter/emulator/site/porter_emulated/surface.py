"""The functions that every plugin's module has: devices, memory, random numbers, autocast's state."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import torch

if TYPE_CHECKING:
    from porter_emulated import Device


class Properties(NamedTuple):
    name: str
    total_memory: int
    major: int = 0
    minor: int = 0
    multi_processor_count: int = 1


def index_of(module: Any, given: Any) -> int:
    """The number of a device given as nothing, a number, ``'mlu:1'`` or a torch.device."""
    if isinstance(given, str):
        given = torch.device(given)
    index = given.index if isinstance(given, torch.device) else given
    return int(module.current_device() if index is None or index < 0 else index)


def of(device: Device, module: Any) -> dict[str, Any]:
    """All of it, by name, for the vendor's ``module``."""
    return {**devices(device, module), **memory(device, module), **randomness(device, module), **autocast(device)}


def devices(device: Device, module: Any) -> dict[str, Any]:
    native = device.native

    def checked(given: Any) -> int:
        index = index_of(module, given)
        if not 0 <= index < device.count:
            raise AssertionError(f"Invalid device id: {index}, there are {device.count} ({device.profile.device})")
        return index

    def set_device(given: Any) -> None:
        index = index_of(module, given)
        native.set_device(index)

    def get_device_properties(given: Any = None) -> Properties:
        checked(given)
        return Properties(device.profile.device, device.memory)

    def get_device_name(given: Any = None) -> str:
        return get_device_properties(given).name

    def synchronize(given: Any = None) -> None:
        checked(given)
        native.synchronise("synchronize")

    class OnDevice:
        """Context in which another device is the current one."""

        def __init__(self, given: Any) -> None:
            self.index = -1 if given is None else index_of(module, given)
            self.before = -1

        def __enter__(self) -> None:
            self.before = native.current_device()
            if self.index >= 0:
                native.set_device(self.index)

        def __exit__(self, *_: object) -> None:
            native.set_device(self.before)

    class OnDeviceOf(OnDevice):
        """Context in which a tensor's device is the current one."""

        def __init__(self, tensor: torch.Tensor) -> None:
            super().__init__(tensor.device if tensor.device.type == device.profile.type else None)

    return {
        "init": lambda: None,
        "is_initialized": lambda: True,
        "is_available": lambda: device.count > 0,
        "is_bf16_supported": lambda: True,
        "device_count": lambda: device.count,
        "current_device": native.current_device,
        "set_device": set_device,
        "get_device_properties": get_device_properties,
        "get_device_name": get_device_name,
        "get_device_capability": lambda given=None: (0, 0),
        "can_device_access_peer": lambda one, other: True,
        "synchronize": synchronize,
        "device": OnDevice,
        "device_of": OnDeviceOf,
        "ipc_collect": lambda: None,
        "_is_in_bad_fork": native.in_bad_fork,
        "_exchange_device": lambda index: _exchange(native, index),
        "_maybe_exchange_device": lambda index: _exchange(native, index),
    }


def _exchange(native: Any, index: int) -> int:
    before: int = native.current_device()
    if index >= 0:
        native.set_device(index)
    return before


def memory(device: Device, module: Any) -> dict[str, Any]:
    native = device.native

    def figure(name: str) -> Callable[..., int]:
        return lambda given=None: int(native.usage(index_of(module, given))[name])

    def mem_get_info(given: Any = None) -> Any:
        usage = native.usage(index_of(module, given))
        return usage["total"] - usage["reserved"], usage["total"]

    def memory_stats(given: Any = None) -> dict[str, int]:
        usage = native.usage(index_of(module, given))
        return {
            "allocated_bytes.all.current": usage["allocated"],
            "allocated_bytes.all.peak": usage["peak_allocated"],
            "reserved_bytes.all.current": usage["reserved"],
            "reserved_bytes.all.peak": usage["peak_reserved"],
            "allocation.all.allocated": usage["allocations"],
            "allocation.all.freed": usage["frees"],
            "num_ooms": usage["exhaustions"],
        }

    def memory_summary(given: Any = None, abbreviated: bool = False) -> str:
        figures = memory_stats(given)
        return "\n".join([device.profile.device, *(f"{name:32}{value:>16}" for name, value in figures.items())])

    def reset(given: Any = None) -> None:
        native.reset_peaks(index_of(module, given))

    return {
        "empty_cache": native.empty_cache,
        "memory_allocated": figure("allocated"),
        "max_memory_allocated": figure("peak_allocated"),
        "memory_reserved": figure("reserved"),
        "max_memory_reserved": figure("peak_reserved"),
        "memory_cached": figure("reserved"),
        "max_memory_cached": figure("peak_reserved"),
        "mem_get_info": mem_get_info,
        "memory_stats": memory_stats,
        "memory_summary": memory_summary,
        "reset_peak_memory_stats": reset,
        "reset_max_memory_allocated": reset,
        "reset_max_memory_cached": reset,
        "set_per_process_memory_fraction": lambda fraction, given=None: None,
    }


def randomness(device: Device, module: Any) -> dict[str, Any]:
    native = device.native

    def generator(given: Any = None) -> torch.Generator:
        made: torch.Generator = native.default_generator(index_of(module, given))
        return made

    def manual_seed(seed: int) -> None:
        generator().manual_seed(int(seed))

    def manual_seed_all(seed: int) -> None:
        for index in range(device.count):
            generator(index).manual_seed(int(seed))

    def seed() -> None:
        generator().seed()

    def seed_all() -> None:
        manual_seed_all(int.from_bytes(os.urandom(7), "little"))

    def get_rng_state_all() -> list[torch.Tensor]:
        return [generator(index).get_state() for index in range(device.count)]

    def set_rng_state(state: torch.Tensor, given: Any = None) -> None:
        generator(given).set_state(state.cpu())

    def set_rng_state_all(states: list[torch.Tensor]) -> None:
        for index, state in enumerate(states):
            set_rng_state(state, index)

    return {
        "manual_seed": manual_seed,
        "manual_seed_all": manual_seed_all,
        "seed": seed,
        "seed_all": seed_all,
        "initial_seed": lambda: generator().initial_seed(),
        "get_rng_state": lambda given=None: generator(given).get_state(),
        "get_rng_state_all": get_rng_state_all,
        "set_rng_state": set_rng_state,
        "set_rng_state_all": set_rng_state_all,
        "default_generators": tuple(generator(index) for index in range(device.count)),
    }


def autocast(device: Device) -> dict[str, Any]:
    native = device.native
    native.set_autocast_dtype(torch.float16)  # as on every accelerator; torch's own default differs between versions
    return {
        "get_amp_supported_dtype": lambda: [torch.float16, torch.bfloat16],
        "is_autocast_enabled": native.autocast_enabled,
        "set_autocast_enabled": native.enable_autocast,
        "get_autocast_dtype": native.autocast_dtype,
        "set_autocast_dtype": native.set_autocast_dtype,
    }
