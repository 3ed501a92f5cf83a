"""Sophgo's OpTimer: how long the operators between reset and dump took, on standard output as the plugin prints it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from porter_emulated import Device


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


def of(device: Device) -> dict[str, Any]:
    timer = _Timer(device)
    return {
        "OpTimer_reset": timer.reset,
        "OpTimer_dump": timer.dump,
        "OpTimer_pause": timer.pause,
        "OpTimer_start": timer.start,
        "is_OpTimer_enabled": lambda enable=None: None,
    }
