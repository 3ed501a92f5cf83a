"""Tell the compiled device what the vendor's has: operators, limits, casts, all of it data from the profile."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter_emulated import profile as profiles
from porter_emulated.profile import Prepared

if TYPE_CHECKING:
    from porter_emulated import Device


_COMPOSITES = ("CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional")
# torch's names of what autocast does (ATen/autocast_mode.h), and ours
_POLICIES = {
    "lower_precision_fp": "lower",
    "fp32": "float",
    "fp32_set_opt_dtype": "float_dtype",
    "promote": "promote",
}
# Memory, views and copies are the emulation's own or decompose into what is.
_OWN = {
    "copy_",
    "clone",
    "_to_copy",
    "contiguous",
    "empty_like",
    "_pin_memory",
    "is_pinned",
    "_conj",
    "resize_",
    "detach",
    # torch's own form calls _convolution, as torch_npu's kernel does (op-plugin's ConvolutionKernelNpuOpApi.cpp:37);
    # torch's tracer records that call alone: a kernel for the whole would be missing from a trace
    "convolution",
}


def register(device: Device) -> None:
    """Configure the compiled half, give the device its name, and register its kernels."""
    import torch.utils.backend_registration

    common = profiles.common()
    torch.utils.backend_registration.rename_privateuse1_backend(device.profile.type)
    device.native.configure(_configuration(device, common))
    whole = _whole(device.profile.operators, common) + list(common["composites"]["operators"])
    _add_facts(device, common)
    views = [name for name in device.profile.operators or () if _views(name)]
    for name in _refusing(device, {*whole, *views}):
        (views if _has(name, _COMPOSITES[0]) else whole).append(name)
    device.native.start(*(sorted({_unqualified(name) for name in names if _known(name)}) for names in (whole, views)))
    for policy, names in _casts(device, common).items():
        device.native.register_autocast(policy, [name for name in names if _known(f"aten::{name}")])


def _casts(device: Device, common: dict[str, Any]) -> dict[str, list[str]]:
    """Operators by what autocast does to them: by torch's own lists, or by those that the plugin's source registers."""
    profile = device.profile
    said = profile.data["autocast"]["casts"]
    if said == "scanned" and profile.facts:
        return {_POLICIES[policy]: names for policy, names in profile.facts.data["autocast"]["casts"].items()}
    return {policy: common["autocast"][policy] for policy in _POLICIES.values()} if said else {}


def _configuration(device: Device, common: dict[str, Any]) -> dict[str, Any]:
    import torch

    profile, settings = device.profile, device.settings
    fallback = profile.data["fallback"]
    root = settings.root and os.path.join(os.path.realpath(settings.root), "")
    return {
        "type": profile.type,
        "label": profile.label,
        "profile": profile.device,
        "refusal": profile.data["refusal"]["text"],
        "exhausted": profile.data["exhausted"]["text"],
        "devices": device.count,
        "memory": device.memory,
        "strict": settings.strict,
        "falls_back": bool(fallback["variable"]) and os.environ.get(fallback["variable"], "").upper() in ("1", "ON"),
        "trace": settings.trace,
        "listed": profile.operators or [],
        "everything": profile.everything,
        "synchronising": common["synchronising"]["operators"],
        "widened": common["widened"]["operators"],
        "reached_as": common["reached_as"]["operators"],
        "composites": common["composites"]["operators"],
        "limits": profile.refused(),
        "instead_of": _instead_of(common["instead_of"]),
        "no_dtype": [getattr(torch, name) for name in profile.values("no_dtype", "dtypes")],
        "no_dtype_reason": "; ".join(profile.values("no_dtype", "source")),
        "short_double": "float64" in profile.values("computed_as_32", "dtypes"),
        "short_long": [f"aten::{name}" for name in profile.values("computed_as_32", "operators")],
        "root": root,
        "passed_over": [str(Path(file).parent) + os.sep for file in (torch.__file__, Path(__file__).parent)],
    }


def _add_facts(device: Device, common: dict[str, Any]) -> None:
    """Tell the compiled half what the vendor's kernels demand, and where they go through the host."""
    import torch

    facts = device.profile.facts
    if facts is None:
        return

    def number(dtype: str) -> int:
        known = getattr(torch, dtype, None)  # the scan's "other" and "quantized" are no tensor's here
        return int(device.native.dtype_number(known)) if isinstance(known, torch.dtype) else -1

    messages = device.profile.data.get("messages", {})
    for name, demands, trips in Prepared(facts, common, messages, device.profile.device, number, _arguments):
        device.native.add_facts(name, demands, trips)


def _arguments(name: str) -> list[str]:
    """Their names in torch's schema; nothing for an operator that this torch has not."""
    return [argument.name for argument in _schema(name).arguments] if _known(name) else []


def _instead_of(given: dict[str, Any]) -> dict[str, str]:
    names: dict[str, str] = dict(given["always"])
    for name in given["where_the_host_has_none"]:
        if _known(f"aten::{name}") and not _has(f"aten::{name}", "CPU"):
            names[f"aten::{name}"] = f"porter_emulated::{name}"
    return names


def _whole(listed: list[str] | None, common: dict[str, Any]) -> list[str]:
    """Operators of the list that torch would take apart although the vendor has a kernel for the whole.

    Without a list (None) these are the operators that the host has a kernel for the whole of, or another in its place.

    What torch takes them apart into may not be in the list, or round differently: they run whole here as well.  The
    functional form of a structured operator does not need it where the list has the form with ``out``, which it
    becomes; neither do views, which share memory, nor operators that make tensors from nothing.
    """
    if listed is None:
        listed = [name for name in sorted(_all_names()) if name.startswith("aten::") and _has(name, "CPU")]
        listed += common["instead_of"]["always"]
    outs = {name.split(".")[0] for name in listed if "." in name and _is_out(name)}
    return [name for name in listed if _known(name) and _taken_apart(name, outs) and _computes(name)]


def _taken_apart(name: str, outs: Any) -> bool:
    base = name.split(".")[0]
    if _is_out(name) or base.split("::")[1] in _OWN:
        return False
    explicit, structured = (_has(name, key) for key in _COMPOSITES)
    return explicit or (structured and base not in outs and base.rstrip("_") not in outs)


def _refusing(device: Device, others: set[str]) -> list[str]:
    """Of a recorded card: what refuses some calls, and would be taken apart without having been asked."""
    facts = device.profile.facts
    if facts is None or not facts.recorded:
        return []
    found = [name for name, entry in facts.operators.items() if entry["demands"] or entry["raises"]]
    return [
        name for name in found if name not in others and _known(name) and any(_has(name, key) for key in _COMPOSITES)
    ]


def _computes(name: str) -> bool:
    schema = _schema(name)
    takes_tensor = any("Tensor" in str(argument.type) for argument in schema.arguments)
    return takes_tensor and bool(schema.returns) and not _shares(schema)


def _views(name: str) -> bool:
    """Whether it shares memory, and torch has one kernel for every device, beside which the vendor has its own."""
    own = name.split(".")[0].split("::")[1] in _OWN
    return not own and _known(name) and _has(name, _COMPOSITES[0]) and _shares(_schema(name))


def _shares(schema: Any) -> bool:
    return any(value.alias_info is not None and not value.alias_info.is_write for value in schema.returns)


def _is_out(name: str) -> bool:
    return any(argument.is_out for argument in _schema(name).arguments) if _known(name) else name.endswith("out")


def _schema(name: str) -> Any:
    import torch

    base, _, overload = name.partition(".")
    return torch._C._get_schema(base, overload)


def _known(name: str) -> bool:
    return name in _all_names()


_names: list[frozenset[str]] = []


def _all_names() -> frozenset[str]:
    import torch

    if not _names:
        _names.append(frozenset(torch._C._dispatch_get_all_op_names()))
    return _names[0]


def _has(name: str, key: str) -> bool:
    import torch

    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(name, key))


def _unqualified(name: str) -> str:
    return name.split("::", 1)[1]


# Other kernels for the device, from a file of one's own: what a faulty card does can be tried where there is none.
#
# ``PORTER_EMULATED_KERNELS`` names a Python file that holds ``KERNELS``, by torch's name of an operator::
#
#     def silu_(host, x):
#         return host("aten::hardswish_", x)  # the host's kernel, on the device's memory
#
#     KERNELS = {"aten::silu_": silu_}

_KEY = "PrivateUse1"
_kept: list[Any] = []  # a library that nothing holds takes its kernels with it


def load_kernels(device: Device) -> None:
    """Put the kernels of the file that the settings name in the place of the device's.

    Raises:
        ImportError: there is no such file, or it holds no kernels.
    """
    try:
        found = runpy.run_path(device.settings.kernels)["KERNELS"]
    except (OSError, KeyError) as error:
        raise ImportError(f"no emulated device: {device.settings.kernels} holds no KERNELS: {error!r}") from error
    _kept.append(replace_kernels(device, found))


def replace_kernels(device: Device, kernels: Mapping[str, Callable[..., Any]]) -> Any:
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
