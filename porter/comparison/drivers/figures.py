"""How far two tensors are from each other, and how far they may be."""

import math

import torch

# How many times the cpu's own noise a device may be off.  Kernels of other libraries sum in other orders again, and the
# largest of many errors varies from run to run: three orders of the cpu's own are within 4 of each other.
TIMES = 16.0
ULPS = 4.0  # what is always allowed, in units of the last place of the largest value: a value may be rounded twice
_SMALL = 1e-3  # of the root mean square: relative errors and ULPs of smaller values say nothing
_BLOCK = 1 << 17  # elements that are looked at together: all passes over them find them in the processor's cache
_SQUARES = 1e-15, 1e15  # between these float32 holds the squares of a tensor's largest value and of its usual ones
_POWER = {torch.float32: (torch.int32, 0x7F800000), torch.float64: (torch.int64, 0x7FF << 52)}  # bits of the exponent
_extremes = getattr(torch, "aminmax", None) or torch._aminmax  # before torch 1.10 by this name alone


def size(tensor):
    """Root mean square and largest absolute value of what is finite in it."""
    values = _flat(tensor)
    largest = _largest(values)
    if not math.isfinite(largest):
        values = values[torch.isfinite(values)]
        largest = _largest(values)
    if not largest:
        return 0.0, 0.0
    if not _SQUARES[0] < largest < _SQUARES[1]:
        values = values.double()
    return math.sqrt(float(torch.dot(values, values)) / values.numel()), largest


def _flat(tensor):
    """A tensor's values in one dimension, in a dtype that numbers can be computed in."""
    values = tensor.reshape(-1)
    if values.dtype in _POWER:
        return values
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values.double()


def _largest(values):
    """The largest absolute value; NaN where one is in it."""
    if not values.numel():
        return 0.0
    low, high = _extremes(values)
    return max(-float(low), float(high))  # both are NaN, or none


def epsilon(dtype):
    """The distance from 1 to the next number; 0 where there is none between."""
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0.0


def smallest(dtype):
    """The smallest number that has all digits; 0 for integers."""
    return torch.finfo(dtype).tiny if dtype.is_floating_point else 0.0


def compare(mine, reference, usual, largest):
    """The figures of a tensor against its reference, both of the host.

    Args:
        usual, largest: of the reference, as :func:`size` says.

    Returns:
        ``absolute`` the largest error; ``relative`` the largest as a part of its element, where one below a thousandth
        of the usual size counts as that, and ``ulps`` the same in units of the reference's last place; ``cosine`` of
        the two as vectors; ``nan``, ``inf`` how many more of them there are than in the reference (at places where it
        has none).
    """
    found = {"absolute": 0.0, "relative": 0.0, "ulps": 0.0, "cosine": 1.0, "nan": 0, "inf": 0}
    if mine.shape != reference.shape:
        return dict(found, absolute=math.inf, relative=math.inf, ulps=math.inf, cosine=0.0, shape=list(mine.shape))
    if mine.dtype == reference.dtype and torch.equal(mine, reference):  # which no NaN is
        return found
    places = [epsilon(each.dtype) for each in (mine, reference) if each.dtype.is_floating_point]
    a, b = _flat(mine), _flat(reference)
    wide = largest and not _SQUARES[0] < largest < _SQUARES[1]
    if a.dtype != b.dtype or wide:
        a, b = a.double(), b.double()
    errors = _errors(a, b, usual)
    if errors is None:  # a NaN or an infinity is in one of them
        found["nan"] = int((torch.isnan(a) & ~torch.isnan(b)).sum())
        found["inf"] = int((torch.isinf(a) & ~torch.isinf(b)).sum())
        usable = torch.isfinite(a) & torch.isfinite(b)
        a, b = a[usable].double(), b[usable].double()
        usual, _ = size(b)
        errors = _errors(a, b, usual)
    elif errors[0] > _SQUARES[1]:
        a, b = a.double(), b.double()
        errors = _errors(a, b, usual)
    absolute, relative, ulps, squares, along = errors
    if not absolute:
        return found
    found.update(absolute=absolute, cosine=_cosine(a, b, squares, along, usual**2 * b.numel()))
    if usual:
        found.update(relative=relative, ulps=ulps / max(places) if places else 0.0)
    return found


def distance(mine, reference):
    """The largest absolute error of a tensor, in the reference's dtype; both have the same shape."""
    if reference.numel() <= _BLOCK:
        return float((mine.to(reference.dtype) - reference).abs_().amax())
    a, b = mine.reshape(-1), reference.reshape(-1)
    error, found = torch.empty_like(b[:_BLOCK]), 0.0
    for start in range(0, b.numel(), _BLOCK):
        some = b[start : start + _BLOCK]
        block = float(torch.sub(a[start : start + _BLOCK], some, out=error[: some.numel()]).abs_().amax())
        if math.isnan(block):
            return block
        found = max(found, block)
    return found


def _errors(a, b, usual):
    """Of a - b the largest, also as a part of b and of the power of two below b, its square, and its product with b.

    None if one of them is not finite.
    """
    least = max(_SMALL * usual, torch.finfo(b.dtype).tiny)
    kind, bits = _POWER[b.dtype]
    error, divisor, part = (torch.empty_like(b[:_BLOCK]) for _ in range(3))
    absolute = relative = powers = squares = along = 0.0
    for start in range(0, b.numel(), _BLOCK):
        some = b[start : start + _BLOCK]
        d, e, r = error[: some.numel()], divisor[: some.numel()], part[: some.numel()]
        torch.sub(a[start : start + _BLOCK], some, out=d)
        square, product = float(torch.dot(d, d)), float(torch.dot(d, some))
        block = float(d.abs_().amax())  # which takes half the time of the largest and the smallest, in the cache
        if not math.isfinite(block):
            return None
        if not block:
            continue
        absolute = max(absolute, block)
        squares += square
        along += product
        block = float(torch.div(d, torch.abs(some, out=e).clamp_(min=least), out=r).amax())
        relative = max(relative, block)
        # between b and the power of two below it is less than a factor of two: other blocks do not hold the largest
        if 2 * block > powers:
            e.view(kind).bitwise_and_(bits)
            powers = max(powers, float(torch.div(d, e, out=r).amax()))
    return absolute, relative, powers, squares, along


def _cosine(a, b, squares, along, length):
    """Of two vectors, from the squares of their difference d and of b, and the product of the two.

    Where d is small it comes from these: it would be lost in rounding in the product of a and b.
    """
    if not length:
        return float(not squares)
    if squares > length / 4:
        a, b = a.double(), b.double()
        norms = float(a.norm()) * float(b.norm())
        return float(torch.dot(a, b)) / norms if norms else 0.0
    other = 1.0 + 2.0 * along / length + squares / length  # the square of b + d, as a part of b's
    return min(1.0, (1.0 + along / length) / math.sqrt(other))


def band(noise, usual, largest, dtype):
    """The largest absolute error that is allowed.

    Args:
        noise: the cpu's own largest error there, as a part of the tensor's root mean square.
        usual, largest: of the reference, as :func:`size` says.
    """
    # numbers near 0 are no closer to each other than the smallest: in half precision gradients are that small
    return TIMES * noise * usual + ULPS * epsilon(dtype) * (largest + smallest(dtype))


def outside(figures, allowed):
    """Whether an error is larger than allowed."""
    return bool(figures["nan"] or figures["inf"] or not figures["absolute"] <= allowed)


def share(mine, reference, allowed):
    """How many errors are larger than allowed, as a part of the values that are not 0."""
    a, b = _flat(mine).double(), _flat(reference).double()
    return float(((a - b).abs() > allowed).sum()) / max(1, int(((a != 0) | (b != 0)).sum()))
