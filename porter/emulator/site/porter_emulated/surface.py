"""The functions that every plugin's module has: devices, memory, random numbers, autocast's state."""

from __future__ import annotations

import builtins
import os
import re
from types import ModuleType
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

import torch
import torch.utils.backend_registration

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


def hold_to_facts(device: Device, module: Any) -> None:
    """Leave the module what the plugin's own has in this version, and have raise what raises there.

    A public name that the facts file has not is taken away.  A function that reaches a name of the C side that this
    build of the plugin does not bind raises AttributeError, as Python does there.  A name that the plugin has and the
    emulation has nothing for is there, and says so when it is called.
    """
    asked = device.profile.data["surface"]
    prefix = f"torch.{device.profile.type}."
    known = _known(device, prefix)
    if known is None:
        return
    kept = () if "names" in asked else (ModuleType,)  # a scan lists functions and classes
    for name, value in list(vars(module).items()):
        if name not in known and not name.startswith("_") and not isinstance(value, kept):
            delattr(module, name)
    for name, said in asked.get("raises", {}).items():
        setattr(module, name, _raising(said))
    for name in asked.get("without", []):
        module.__dict__.pop(name, None)
    for name, entry in known.items():
        if entry["missing"] and not isinstance(vars(module).get(name), type):
            lazy = name in asked.get("only_initialised", [])
            setattr(module, name, _unbound(device, module, entry["missing"], lazy))
        elif not hasattr(module, name):
            setattr(module, name, _not_emulated(device, prefix + name))


def _known(device: Device, prefix: str) -> dict[str, Any] | None:
    """What the plugin's module has: by the profile, or by the scan of its source; None where nobody knows."""
    names = device.profile.data["surface"].get("names")
    if names is not None:
        return {name: {"missing": []} for name in names}
    facts = device.profile.facts
    if facts is None or not facts.python:
        return None

    def made_later(name: str) -> bool:
        """Whether it is an attribute of the package itself, which plugins fill with operators when they start."""
        return name.rpartition(".")[0] == device.profile.plugin

    known = {
        name[len(prefix) :]: {"missing": [each for each in entry["missing"] if not made_later(each)]}
        for name, entry in facts.python.items()
        if name.startswith(prefix)
    }
    return {**known, "amp": {"missing": []}}  # a module, which is no function that a scan finds; every plugin has it


def _raising(said: dict[str, str]) -> Callable[..., None]:
    """A function that raises what a record says it raised."""
    kind = getattr(builtins, said["error"], RuntimeError)

    def function(*args: Any, **kwargs: Any) -> None:
        raise (kind if isinstance(kind, type) and issubclass(kind, Exception) else RuntimeError)(said["message"])

    return function


def _unbound(device: Device, module: Any, missing: list[str], lazy: bool) -> Callable[..., None]:
    figure = re.fullmatch(r"memory_stats\['(.+)'\]", missing[0])
    name = next((each for each in missing if each.startswith(f"_{device.profile.type}_")), missing[0])

    def function(*args: Any, **kwargs: Any) -> None:
        if figure:
            raise KeyError(figure.group(1))
        if not lazy or module.is_initialized():
            raise AttributeError(f"module '{device.profile.plugin}._C' has no attribute '{name}'")

    return function


def _not_emulated(device: Device, name: str) -> Callable[..., None]:
    def function(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"{device.profile.device}: the plugin has {name}, its emulation has not")

    return function


def devices(card: Device, module: Any) -> dict[str, Any]:
    """Arguments have the names that they have in every vendor's plugin; where these differ, they have none."""
    native = card.native
    asked = card.profile.data["surface"]

    def checked(device: Any) -> int:
        index = index_of(module, device)
        if not 0 <= index < card.count:
            raise AssertionError(f"Invalid device id: {index}, there are {card.count} ({card.profile.device})")
        return index

    def set_device(device: Any) -> None:
        if card.profile.visible.get("rule") == "map":
            device = _mapped(device, card.profile.visible["variables"][0])
            if not device >= 0:  # a torch.device cannot be compared: TypeError, as the plugin's own
                return
        native.set_device(index_of(module, device))

    def get_device_properties(device: Any = None, /) -> Properties:
        checked(device)
        card.initialise()
        return Properties(card.profile.device, asked.get("total_memory", card.memory))

    def get_device_name(device: Any = None, /) -> str:
        return get_device_properties(device).name

    def synchronize(device: Any = None) -> None:
        checked(device)
        card.initialise()
        native.synchronise("synchronize")

    return {
        "init": card.initialise,
        "is_initialized": lambda: card.initialised or native.is_used(),
        "is_available": lambda: card.count > 0,
        "is_bf16_supported": lambda: True,
        "device_count": lambda: card.count,
        "current_device": native.current_device,
        "set_device": set_device,
        "get_device_properties": get_device_properties,
        "get_device_name": get_device_name,
        "get_device_capability": lambda device=None: (0, 0),
        "can_device_access_peer": lambda device, peer, /: True,
        "synchronize": synchronize,
        **contexts(card, module),
        "ipc_collect": lambda: None,
        "_is_in_bad_fork": native.in_bad_fork,
        "_exchange_device": lambda index: _exchange(native, index),
        "_maybe_exchange_device": lambda index: _exchange(native, index),
    }


def contexts(card: Device, module: Any) -> dict[str, Any]:
    """``torch.mlu.device`` and ``device_of``."""
    native = card.native

    class OnDevice:
        """Context in which another device is the current one."""

        def __init__(self, device: Any) -> None:
            self.index = -1 if device is None else index_of(module, device)
            self.before = -1

        def __enter__(self) -> None:
            self.before = native.current_device()
            if self.index >= 0:
                native.set_device(self.index)

        def __exit__(self, *_: object) -> None:
            native.set_device(self.before)

    class OnDeviceOf(OnDevice):
        """Context in which a tensor's device is the current one."""

        def __init__(self, obj: torch.Tensor) -> None:
            super().__init__(obj.device if obj.device.type == card.profile.type else None)

    return {"device": OnDevice, "device_of": OnDeviceOf}


def _mapped(given: Any, variable: str) -> Any:
    """The device that a rank means: the number at its place in the vendor's variable, if that is set."""
    try:
        rank = int(given)
    except (TypeError, ValueError):
        return given
    if rank < 0:
        raise ValueError(f"there is no rank {rank}")
    text = os.environ.get(variable)
    return [int(each) for each in text.split(",")][rank] if text else rank


def _exchange(native: Any, index: int) -> int:
    before: int = native.current_device()
    if index >= 0:
        native.set_device(index)
    return before


def memory(card: Device, module: Any) -> dict[str, Any]:
    native = card.native

    kept = card.profile.data["surface"].get("memory_stats")

    def figure(name: str) -> Callable[..., int]:
        return lambda device=None: memory_stats(device)[name]

    def mem_get_info(device: Any = None) -> Any:
        usage = native.usage(index_of(module, device))
        return usage["total"] - usage["reserved"], usage["total"]

    def memory_stats(device: Any = None) -> dict[str, int]:
        usage = native.usage(index_of(module, device))
        figures = {
            "allocated_bytes.all.current": usage["allocated"],
            "allocated_bytes.all.peak": usage["peak_allocated"],
            "reserved_bytes.all.current": usage["reserved"],
            "reserved_bytes.all.peak": usage["peak_reserved"],
            "allocation.all.allocated": usage["allocations"],
            "allocation.all.freed": usage["frees"],
            "num_ooms": usage["exhaustions"],
        }
        return figures if kept is None else {name: figures.get(name, 0) for name in kept}

    def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
        figures = memory_stats(device)
        return "\n".join([card.profile.device, *(f"{name:32}{value:>16}" for name, value in figures.items())])

    def reset(device: Any = None) -> None:
        native.reset_peaks(index_of(module, device))

    return {
        "empty_cache": native.empty_cache,
        "memory_allocated": figure("allocated_bytes.all.current"),
        "max_memory_allocated": figure("allocated_bytes.all.peak"),
        "memory_reserved": figure("reserved_bytes.all.current"),
        "max_memory_reserved": figure("reserved_bytes.all.peak"),
        "memory_cached": figure("reserved_bytes.all.current"),
        "max_memory_cached": figure("reserved_bytes.all.peak"),
        "mem_get_info": mem_get_info,
        "memory_stats": memory_stats,
        "memory_summary": memory_summary,
        "reset_peak_memory_stats": reset,
        "reset_max_memory_allocated": reset,
        "reset_max_memory_cached": reset,
        "set_per_process_memory_fraction": lambda fraction, device=None: None,
    }


def randomness(card: Device, module: Any) -> dict[str, Any]:
    native = card.native

    def generator(device: Any = None) -> torch.Generator:
        made: torch.Generator = native.default_generator(index_of(module, device))
        return made

    def manual_seed(seed: int) -> None:
        generator().manual_seed(int(seed))

    def manual_seed_all(seed: int) -> None:
        for index in range(card.count):
            generator(index).manual_seed(int(seed))

    def seed() -> None:
        generator().seed()

    def seed_all() -> None:
        manual_seed_all(int.from_bytes(os.urandom(7), "little"))

    def get_rng_state_all() -> list[torch.Tensor]:
        return [generator(index).get_state() for index in range(card.count)]

    def set_rng_state(new_state: torch.Tensor, device: Any = None) -> None:
        generator(device).set_state(new_state.cpu())

    def set_rng_state_all(new_states: list[torch.Tensor]) -> None:
        for index, state in enumerate(new_states):
            set_rng_state(state, index)

    return {
        "manual_seed": manual_seed,
        "manual_seed_all": manual_seed_all,
        "seed": seed,
        "seed_all": seed_all,
        "initial_seed": lambda: generator().initial_seed(),
        "get_rng_state": lambda device=None: generator(device).get_state(),
        "get_rng_state_all": get_rng_state_all,
        "set_rng_state": set_rng_state,
        "set_rng_state_all": set_rng_state_all,
        "default_generators": tuple(generator(index) for index in range(card.count)),
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


# What a plugin adds to torch's own classes: Tensor.mlu, Tensor.is_mlu, Module.mlu, the storages' methods.


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
