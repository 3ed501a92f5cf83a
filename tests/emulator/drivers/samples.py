"""Call torch's operators with torch's own samples on an emulated device and on the host.

``samples.py TYPE KIND MOST [LEFT OUT...]``: KIND is ``float32``, ``gradients``, ``float16``, ``bfloat16``, ``strided``,
``expanded`` or ``empty``; MOST samples of each operator are tried, the first of them, 0: all.  Prints JSON: how many
operators were tried, what was seen of those that differ, which agree but for rounding, and, of float16 and bfloat16,
which are further than a rounding from float32, as the host's own kernel is.
"""

import importlib
import json
import sys
import time
import warnings

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten

TYPE, KIND, MOST, LEFT_OUT = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
NARROW = {"float16": torch.float16, "bfloat16": torch.bfloat16}
warnings.simplefilter("ignore")


def tensors(value):
    return [each for each in tree_flatten(value)[0] if isinstance(each, torch.Tensor)]


def changed(sample, function):
    """A sample with each of its tensors replaced."""
    return sample.transform(lambda each: function(each) if isinstance(each, torch.Tensor) else each)


def expanded(tensor):
    """The first of its rows in the place of all."""
    return tensor[:1].expand(tensor.shape) if tensor.dim() and tensor.shape[0] > 1 else tensor


def samples(operator):
    """The samples of an operator for this kind."""
    made = operator.sample_inputs("cpu", torch.float32, requires_grad=KIND == "gradients")
    for number, sample in enumerate(made):
        if MOST and number == MOST:
            return
        if KIND == "strided":
            sample = sample.noncontiguous()
        elif KIND == "expanded":
            sample = changed(sample, expanded)
        elif KIND == "empty":
            sample = changed(sample, lambda each: each[:0] if each.dim() else each)
        elif KIND in NARROW:  # the values that the narrow dtype has
            sample = changed(
                sample, lambda each: each.to(NARROW[KIND]).float() if each.dtype == torch.float32 else each
            )
        yield sample


def moved(sample, device):
    """The same on a device, in the dtype that is asked for."""

    def move(value):
        if isinstance(value, torch.Tensor):
            dtype = NARROW.get(KIND, torch.float32) if value.dtype == torch.float32 else value.dtype
            given = value.detach()
            made = given.to(device, dtype) if given.is_contiguous() else strided(given, dtype, device)
            return made.requires_grad_() if value.requires_grad else made
        if isinstance(value, torch.device) or value == "cpu":
            return torch.device(device)
        return NARROW[KIND] if KIND in NARROW and value is torch.float32 else value

    return sample.transform(move)


def strided(tensor, dtype, device):
    """A tensor that is not contiguous, with its strides, on a device."""
    size = 1 + sum((length - 1) * step for length, step in zip(tensor.shape, tensor.stride()) if length)
    flat = torch.as_strided(tensor, (size if tensor.numel() else 0,), (1,)).to(device, dtype)
    return torch.as_strided(flat, tensor.shape, tensor.stride())


def run(operator, sample):
    """What a call returns, with the gradients where they are asked for: on the host, or the error."""
    torch.manual_seed(0)
    try:
        found = operator(sample.input, *sample.args, **sample.kwargs)
        made = tensors(found)
        if KIND == "gradients":
            given = [each for each in tensors([sample.input, sample.args, sample.kwargs]) if each.requires_grad]
            outs = [each for each in made if each.requires_grad]
            if outs and given:
                ones = [torch.ones_like(each) for each in outs]
                made += [each for each in torch.autograd.grad(outs, given, ones, allow_unused=True) if each is not None]
        return [each.detach().resolve_conj().resolve_neg().cpu() for each in made]
    except Exception as error:
        return error


def same(one, other):
    """Whether two tensors hold the same numbers, NaN where the other has NaN."""
    if one.is_complex() and other.is_complex():
        one, other = torch.view_as_real(one), torch.view_as_real(other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())


def apart(mine, theirs, name):
    """How the device's results differ from the host's, in words; empty where they do not."""
    if isinstance(theirs, Exception):
        return "" if isinstance(mine, Exception) else f"the host raises {theirs!r}"
    if isinstance(mine, Exception):
        return f"the device raises {type(mine).__name__}: {(str(mine).splitlines() or [''])[0][:160]}"
    for one, other in zip(mine, theirs):
        if one.shape != other.shape or one.dtype != other.dtype:
            return f"{one.dtype}{list(one.shape)}, the host's is {other.dtype}{list(other.shape)}"
        if name.partition(".")[0] in UNTOLD or same(one, other):
            continue
        if not one.dtype.is_floating_point or not torch.allclose(one, other, equal_nan=True):
            return "other values"
        ROUNDED.add(name)
    return ""


def roundings(mine, theirs):
    """Whether narrow results are more than one rounding from the float32 ones; empty where they are not."""
    if isinstance(mine, Exception) or isinstance(theirs, Exception):
        return "" if isinstance(mine, Exception) and isinstance(theirs, Exception) else f"{mine!r:.160}"
    for one, other in zip(mine, theirs):
        if one.shape != other.shape:
            return "another shape"
        if not one.dtype.is_floating_point or one.dtype == torch.float32:
            if not torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-3, equal_nan=True):
                return "other values"
            continue
        usable = torch.isfinite(one) & torch.isfinite(other.to(one.dtype))
        eps, tiny = torch.finfo(one.dtype).eps, torch.finfo(one.dtype).tiny
        place = eps * 2.0 ** torch.floor(torch.log2(other.abs().clamp_min(tiny)))
        far = ((one.float() - other.float()).abs() / place)[usable]
        if far.numel() and float(far.max()) > 1:
            return f"{float(far.max()):.3g} roundings"
    return ""


UNTOLD = ("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided", "resize_")
ROUNDED = set()


def judged(operator, name, sample):
    """What is to be said of a sample; empty where device and host agree."""
    mine = run(operator, moved(sample, TYPE))
    if KIND not in NARROW:
        return apart(mine, run(operator, moved(sample, "cpu")), name)
    far = roundings(mine, run(operator, sample))
    if far and not apart(mine, run(operator, moved(sample, "cpu")), name):
        OWN.add(name)  # as far from float32 as the host's own kernel for the dtype
        return ""
    return far


OWN = set()


def main():
    importlib.import_module(f"torch_{TYPE}")
    seconds, found = time.time(), {"operators": 0, "samples": 0, "differ": {}}
    for operator in op_db:
        name = operator.name + ("." + operator.variant_test_name if operator.variant_test_name else "")
        if torch.float32 not in operator.dtypes or (KIND == "gradients" and not operator.supports_autograd):
            continue
        if name in LEFT_OUT:
            continue
        print(name, file=sys.stderr)
        found["operators"] += 1
        torch.manual_seed(0)
        try:
            for sample in samples(operator):
                found["samples"] += 1
                text = judged(operator, name, sample)
                if text:
                    found["differ"][name] = text
                    break
        except Exception as error:
            found["differ"][name] = f"no sample: {type(error).__name__}: {str(error)[:120]}"
    found.update(rounded=sorted(ROUNDED), own=sorted(OWN), seconds=round(time.time() - seconds, 1))
    print(json.dumps(found))


main()
