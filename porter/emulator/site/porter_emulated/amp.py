"""Mixed precision as plugins offer it: ``autocast`` and ``GradScaler``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from porter_emulated import Device


class _OwnGradScaler:
    """For torch before 2.3, whose gradient scaler knows CUDA alone, and for plugins that have their own.

    Its results and its state are torch's.  On a device the inverse of the scale is float32's.
    """

    def __init__(
        self,
        device: str,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._type = device
        self._enabled = enabled
        self._start = init_scale
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_start = 0
        self._scale: torch.Tensor | None = None
        self._tracker: torch.Tensor | None = None
        self._found: dict[int, torch.Tensor] = {}  # by optimizer: whether its gradients hold inf or nan

    def _made(self) -> torch.Tensor:
        if self._scale is None:
            self._scale = torch.full((), self._start, dtype=torch.float32, device=self._type)
            self._tracker = torch.full((), self._growth_start, dtype=torch.int32, device=self._type)
        return self._scale

    def scale(self, outputs: Any) -> Any:
        if not self._enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(each) for each in outputs)
        return outputs * self._made().to(outputs.device)

    def _unscale_grads_(
        self, optimizer: Any, inv_scale: Any, found_inf: Any, allow_fp16: bool
    ) -> dict[Any, torch.Tensor]:
        groups: dict[Any, list[torch.Tensor]] = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    if not allow_fp16 and parameter.grad.dtype == torch.float16:
                        raise ValueError("Attempting to unscale FP16 gradients.")
                    key = (parameter.grad.device, parameter.grad.dtype)
                    groups.setdefault(key, []).append(parameter.grad)
        found: dict[Any, torch.Tensor] = {}
        for (device, _), gradients in groups.items():
            flag = found.setdefault(device, found_inf.to(device, copy=True))
            torch._amp_foreach_non_finite_check_and_unscale_(gradients, flag, inv_scale.to(device))
        return found

    def unscale_(self, optimizer: Any) -> None:
        if not self._enabled:
            return
        if id(optimizer) in self._found:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        scale = self._made()
        inverse = scale.double().reciprocal().float() if self._type == "cpu" else scale.reciprocal()
        flag = torch.full((), 0.0, dtype=torch.float32, device=scale.device)
        found = list(self._unscale_grads_(optimizer, inverse, flag, False).values())
        if not found:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        self._found[id(optimizer)] = functools.reduce(lambda one, other: one + other.to(one.device), found)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        return None if self._found[id(optimizer)].item() else optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        if not self._enabled:
            return
        scale = self._made()
        if new_scale is not None:
            scale.copy_(torch.as_tensor(new_scale, dtype=torch.float32).to(scale.device))
        else:
            if not self._found:
                raise AssertionError("No inf checks were recorded prior to update.")
            found = functools.reduce(lambda one, other: one + other, self._found.values()).to(scale.device)
            factors = self._growth_factor, self._backoff_factor, self._growth_interval
            torch._amp_update_scale_(scale, self._tracker, found, *factors)  # type: ignore[arg-type]
        self._found = {}

    def get_scale(self) -> float:
        if not self._enabled:
            return 1.0
        return self._start if self._scale is None else float(self._scale.item())

    def is_enabled(self) -> bool:
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_start if self._tracker is None else int(self._tracker.item()),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled GradScaler."
            )
        self._start = state_dict["scale"]
        self._growth_start = state_dict["_growth_tracker"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None and self._tracker is not None:
            self._scale.fill_(self._start)
            self._tracker.fill_(self._growth_start)


def of(device: Device) -> dict[str, Any]:
    """``autocast`` and ``GradScaler`` of this device, as ``torch_mlu.mlu.amp`` and its like have them."""
    kind = device.profile.type
    own = device.profile.data["surface"].get("own_scaler", False)
    more = device.profile.data["surface"].get("scaler_state", {})  # what its state has beside torch's
    base: Any = _OwnGradScaler if own or not hasattr(torch.amp, "GradScaler") else torch.amp.GradScaler

    class autocast(torch.autocast):  # noqa: N801 the plugins' own name
        """``torch.autocast`` for this device."""

        def __init__(self, enabled: bool = True, dtype: Any = torch.float16, cache_enabled: bool = True) -> None:
            super().__init__(kind, enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)

    class GradScaler(base):  # type: ignore[misc]
        """torch's gradient scaler for this device."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if args and not isinstance(args[0], str):
                args = (kind, *args)
            super().__init__(*(args or (kind,)), **kwargs)

        def state_dict(self) -> dict[str, Any]:
            found: dict[str, Any] = super().state_dict()
            return {**found, **more} if found else found

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            super().load_state_dict(state_dict)
            for name in more if self.is_enabled() else ():
                state_dict[name]  # KeyError, as in the plugin: it looks for no default

    class Fp16GradScaler(GradScaler):
        """The one with ``allow_fp16``, which lets gradients be FP16: Sophgo's alone has it."""

        def __init__(self, *args: Any, allow_fp16: bool = False, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.allow_fp16 = allow_fp16

        def _unscale_grads_(self, optimizer: Any, inv_scale: Any, found_inf: Any, allow_fp16: bool) -> Any:
            return super()._unscale_grads_(optimizer, inv_scale, found_inf, allow_fp16 or self.allow_fp16)

    allows = device.profile.data["autocast"].get("fp16_gradients")  # where the plugin's scaler takes it
    return {"autocast": autocast, "GradScaler": Fp16GradScaler if allows else GradScaler}
