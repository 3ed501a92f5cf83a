"""How far two tensors are from each other, and how far they may be."""

import math

import torch

# How many times the cpu's own noise a device may be off.  Kernels of other libraries sum in other orders again, and the
# largest of many errors varies from run to run: three orders of the cpu's own are within 4 of each other.
TIMES = 16.0
ULPS = 4.0  # what is always allowed, in units of the last place of the largest value: a value may be rounded twice
_SMALL = 1e-3  # of the root mean square: relative errors and ULPs of smaller values say nothing


def same(a, b):
    """Whether two tensors hold the same numbers; NaN is not the same as NaN."""
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)


def size(tensor):
    """Root mean square and largest absolute value of what is finite in it."""
    values = (tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.double()).reshape(-1)
    if values.numel() and not math.isfinite(float(values.norm(math.inf))):
        values = values[torch.isfinite(values)]
    if not values.numel():
        return 0.0, 0.0
    return float(values.norm()) / math.sqrt(values.numel()), float(values.norm(math.inf))


def epsilon(dtype):
    """The distance from 1 to the next number; 0 where there is none between."""
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0.0


def compare(mine, reference):
    """The figures of a tensor against its reference, both of the host.

    Returns:
        ``absolute`` the largest error; ``relative`` the largest of an element that is no thousandth of the usual size,
        and ``ulps`` the same in units of the reference's last place; ``cosine`` of the two as vectors; ``nan``, ``inf``
        how many more of them there are than in the reference (at places where it has none).
    """
    exact = {"absolute": 0.0, "relative": 0.0, "ulps": 0.0, "cosine": 1.0, "nan": 0, "inf": 0}
    if same(mine, reference):
        return exact
    if mine.shape != reference.shape:
        return dict(exact, absolute=math.inf, relative=math.inf, ulps=math.inf, cosine=0.0, shape=list(mine.shape))
    dtype = mine.dtype if mine.dtype.is_floating_point else torch.float64
    if reference.dtype.is_floating_point:
        dtype = dtype if torch.finfo(dtype).eps >= torch.finfo(reference.dtype).eps else reference.dtype
    a, b = mine.double().reshape(-1), reference.double().reshape(-1)
    nan = int((torch.isnan(a) & ~torch.isnan(b)).sum())
    inf = int((torch.isinf(a) & ~torch.isinf(b)).sum())
    usable = torch.isfinite(a) & torch.isfinite(b)
    if not bool(usable.all()):
        a, b = a[usable], b[usable]
    if not a.numel():
        return dict(exact, nan=nan, inf=inf)
    error = (a - b).abs_()
    usual, _ = size(b)
    sizes = b.abs()
    counted = sizes > _SMALL * usual
    relative = float((error[counted] / sizes[counted]).max()) if bool(counted.any()) else 0.0
    # a number's last place is eps times the power of two below it
    places = torch.pow(2.0, torch.floor(torch.log2(sizes[counted]))) * epsilon(dtype)
    ulps = float((error[counted] / places).max()) if places.numel() and epsilon(dtype) else 0.0
    norms = float(a.norm()) * float(b.norm())
    cosine = float(torch.dot(a, b)) / norms if norms else float(float(a.norm()) == float(b.norm()))
    return {
        "absolute": float(error.max()),
        "relative": relative,
        "ulps": ulps,
        "cosine": min(1.0, cosine),
        "nan": nan,
        "inf": inf,
    }


def band(noise, usual, largest, dtype):
    """The largest absolute error that is allowed.

    Args:
        noise: the cpu's own largest error there, as a part of the tensor's root mean square.
        usual, largest: of the reference, as :func:`size` says.
    """
    return TIMES * noise * usual + ULPS * epsilon(dtype) * largest


def outside(figures, allowed):
    """Whether an error is larger than allowed."""
    return bool(figures["nan"] or figures["inf"] or not figures["absolute"] <= allowed)
