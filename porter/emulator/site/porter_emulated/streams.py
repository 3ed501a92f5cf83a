"""Streams and events.  Work is done when a call returns: one stream a device, and an event is a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from porter_emulated.surface import index_of

if TYPE_CHECKING:
    from porter_emulated import Device


class Event:
    """A point in time on the device's clock."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self.enable_timing = enable_timing
        self.time: int | None = None
        self.work = 0

    def record(self, stream: Any = None) -> None:
        self.time, self.work = time.perf_counter_ns(), time.process_time_ns()

    def wait(self, stream: Any = None) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        _count("Event.synchronize")

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to the other."""
        return (self._checked(end_event) - self._checked(self)) / 1e6

    @staticmethod
    def _checked(event: Event) -> int:
        if not event.enable_timing:
            raise RuntimeError("events without enable_timing=True hold no time")
        if event.time is None:
            raise RuntimeError("both events must be recorded before the time between them is asked for")
        return event.time


class HardwareEvent(Event):
    """Cambricon's, which tells the time that the device was at work as well."""

    def hardware_time(self, end_event: Event) -> float:
        """Microseconds that the device was busy between the two: here the process, which does the device's work.

        The work of all its threads is counted, but a device is busy for no longer than the time that passes.
        """
        passed = self._checked(end_event) - self._checked(self)
        return min(end_event.work - self.work, passed) / 1e3


class Stream:
    """The one stream of a device."""

    def __init__(self, device: Any = None, priority: int = 0, **_: Any) -> None:
        name = torch._C._get_privateuse1_backend_name()
        module = getattr(torch, name)
        self.device = torch.device(name, index_of(module, device))
        self.priority = priority
        self.stream_id = 0
        self.device_index = self.device.index

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        pass

    def wait_stream(self, stream: Stream) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        _count("Stream.synchronize")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.device == other.device

    def __hash__(self) -> int:
        return hash(self.device)


class StreamContext:
    """Context in which a stream is the current one, which it always is."""

    def __init__(self, stream: Stream | None, /) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def _count(name: str) -> None:
    from porter_emulated import _device

    if _device is not None:
        _device.native.synchronise(name)


def of(device: Device) -> dict[str, Any]:
    """Every module has streams, since torch asks for them; what a program times with, only where the vendor has it."""
    names: dict[str, Any] = {
        "current_stream": lambda device=None: Stream(device),
        "default_stream": lambda device=None: Stream(device),
        "set_stream": lambda stream: None,
        "stream": StreamContext,
        "StreamContext": StreamContext,
    }
    surface = device.profile.data["surface"]
    if surface["events"]:
        names.update(Stream=Stream, Event=HardwareEvent if surface.get("hardware_time") else Event)
    return names


# Sophgo's OpTimer: how long the operators between reset and dump took, on standard output as the plugin prints it.


class _Timer:
    # All of the time between start and pause: the emulated device is never idle while the program waits for it.
    def __init__(self, device: Device) -> None:
        self.device = device
        self.began = time.perf_counter()
        self.passed = 0.0
        self.running = True

    def reset(self) -> None:
        self.began, self.passed, self.running = time.perf_counter(), 0.0, True

    def pause(self) -> None:
        if self.running:
            self.passed += time.perf_counter() - self.began
            self.running = False

    def start(self) -> None:
        if not self.running:
            self.began, self.running = time.perf_counter(), True

    def dump(self) -> None:
        total = self.passed + (time.perf_counter() - self.began if self.running else 0.0)
        print(f"{self.device.profile.device} OpTimer: {total * 1e6:.0f} us")


def op_timer(device: Device) -> dict[str, Any]:
    timer = _Timer(device)
    return {
        "OpTimer_reset": timer.reset,
        "OpTimer_dump": timer.dump,
        "OpTimer_pause": timer.pause,
        "OpTimer_start": timer.start,
        "is_OpTimer_enabled": lambda enable=None: None,
    }
