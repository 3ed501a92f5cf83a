"""Compare an emulated device that has one wrong kernel with the cpu: ``faults.py TREE CONFIG.json OUT.json NAME...``.

One process makes all of it: the faults that are named, and then seeds on a device whose kernels sum in another order
but are right.  A fault's name behind ``amp: `` is tried in mixed precision; each second seed is, too.  ``rougher``
alone: a batch of 32 on a device whose gradients are less exact, and right.
"""

import json
import os
import sys

import porter_emulated
import torch_mlu  # the emulated one
from porter_emulated.operators import replace_kernels

sys.path.insert(1, os.environ["PORTER_TEST_DRIVERS"])
from main import Subject, beside, following_noise, noise, subject

tree, config_file, out, *names = sys.argv[1:]
sys.path[0] = tree
os.chdir(tree)
import torch

CONV, BACKWARD = "aten::_convolution", "aten::convolution_backward"  # the MLU's


def convolve(host, x, weight, bias, *rest):
    return host("aten::convolution", x, weight, bias, *rest[:6])


def half(host, x):
    return host("aten::silu", x.half()).float()


def silu_backward(host, grad, x):
    return host("aten::mul.Tensor", grad, host("aten::sigmoid", x))


def momentum(host, x, weight, bias, mean, var, training, factor, eps):
    return host("aten::native_batch_norm", x, weight, bias, mean, var, training, 1 - factor, eps)


def no_eps(host, grad, x, weight, mean, var, saved, inverse, training, eps, mask):
    inverse = host("aten::mul.Scalar", inverse, 1.01)
    return host("aten::native_batch_norm_backward", grad, x, weight, mean, var, saved, inverse, training, eps, mask)


def transposed(host, grad, x, weight, *rest):
    if weight.shape == (16, 16, 1, 1):
        weight = weight.transpose(0, 1).contiguous()
    return host("aten::convolution_backward", grad, x, weight, *rest)


def half_sums(host, x, weight, bias, *rest):
    return convolve(host, x.half(), weight.half(), None if bias is None else bias.half(), *rest).float()


def no_bias(host, x, weight, bias, *rest):
    return convolve(host, x, weight, None, *rest)


def nan(host, x, weight, *rest):
    made = convolve(host, x, weight, *rest)
    if weight.shape == (128, 128, 3, 3):
        made.view(-1)[-1:].fill_(float("nan"))
    return made


def strided(host, grad, x, weight, sizes, stride, *rest):
    made = list(host("aten::convolution_backward", grad, x, weight, sizes, stride, *rest))
    if list(stride) == [2, 2]:
        made[1] = host("aten::mul.Scalar", made[1], 0.5)
    return tuple(made)


def index(host, x, indices):
    *others, last = indices
    return host("aten::index.Tensor", x, [*others, host("aten::clamp", host("aten::sub.Scalar", last, 1), 0)])


def shifted(host, x, *rest):
    return host("aten::roll", host("aten::upsample_nearest2d", x, *rest), [1], [3])


def swapped(host, tensors, dim=0):
    return host("aten::cat", list(tensors)[::-1], dim)


def zero_padded(host, x, kernel, stride, padding, *rest):
    values, places = host("aten::max_pool2d_with_indices", x, kernel, stride, padding, *rest)
    return host("aten::clamp", values, 0.0), places


def sigmoid(host, x):
    return host("aten::hardsigmoid", x)


def decay(host, ones, others, alpha=1):
    host("aten::_foreach_add_.List", ones, others, alpha=alpha * 1.001)


def reordered(host, x, weight, bias, *rest):
    """The channels summed in another order: right, though no bit is promised."""
    if rest[5] != 1 or rest[3]:  # groups, or transposed
        return convolve(host, x, weight, bias, *rest)
    return convolve(host, host("aten::flip", x, [1]), host("aten::flip", weight, [1]), bias, *rest)


def reordered_backward(host, grad, x, weight, sizes, *rest):
    """The gradients' channels and the images summed in another order."""
    if rest[5] != 1 or rest[3]:
        return host("aten::convolution_backward", grad, x, weight, sizes, *rest)
    grad, x, weight = host("aten::flip", grad, [0, 1]), host("aten::flip", x, [0]), host("aten::flip", weight, [0])
    input_, of_weight, of_bias = host("aten::convolution_backward", grad, x, weight, sizes, *rest)
    turned = [None if each is None else host("aten::flip", each, [0]) for each in (input_, of_weight, of_bias)]
    return tuple(turned)


def rougher(host, grad, x, weight, *rest):
    """Weights' gradients off by less than other orders of summation may make of them."""
    made = list(host("aten::convolution_backward", grad, x, weight, *rest))
    if made[1] is not None:
        made[1] = host("aten::mul.Scalar", made[1], 1 + 1e-4)
    return tuple(made)


def variance(host, x, weight, bias, mean, var, training, factor, eps):
    """Batch norm that keeps the variance for its backward pass, where the cpu keeps what it divides by."""
    made, kept, inverse = host("aten::native_batch_norm", x, weight, bias, mean, var, training, factor, eps)
    if training:
        inverse = host("aten::sub.Scalar", host("aten::pow.Tensor_Scalar", inverse, -2), eps)
    return made, kept, inverse


def of_variance(host, grad, x, weight, mean, var, saved, kept, training, eps, mask):
    if training:
        kept = host("aten::rsqrt", host("aten::add.Scalar", kept, eps))
    return host("aten::native_batch_norm_backward", grad, x, weight, mean, var, saved, kept, training, eps, mask)


def of_variance_off(host, grad, x, weight, mean, var, saved, kept, *rest):
    return of_variance(host, grad, x, weight, mean, var, saved, host("aten::mul.Scalar", kept, 0.98), *rest)


FORWARD_NORM, BACKWARD_NORM = "aten::native_batch_norm", "aten::native_batch_norm_backward"
FAULTS = {
    "silu in half precision": {"aten::silu": half},
    "silu's gradient without its second term": {"aten::silu_backward": silu_backward},
    "batch norm's momentum the other way round": {"aten::native_batch_norm": momentum},
    "batch norm's gradient off by a hundredth": {"aten::native_batch_norm_backward": no_eps},
    "a transposed weight in one convolution's gradient": {BACKWARD: transposed},
    "half a gradient of strided convolutions' weights": {BACKWARD: strided},
    "sums in float16": {CONV: half_sums},
    "a convolution that forgets its bias": {CONV: no_bias},
    "a NaN from one shape": {CONV: nan},
    "an index off by one": {"aten::index.Tensor": index},
    "upsampling off by a pixel": {"aten::upsample_nearest2d": shifted},
    "concatenated in the other order": {"aten::cat": swapped},
    "pooling padded with zeros": {"aten::max_pool2d_with_indices": zero_padded},
    "a straight line for a sigmoid": {"aten::sigmoid": sigmoid},
    "concatenated in the other order, after statistics of its own": {
        "aten::cat": swapped,
        FORWARD_NORM: variance,
        BACKWARD_NORM: of_variance,
    },
    "batch norm's gradient off by a hundredth, from statistics of its own": {
        FORWARD_NORM: variance,
        BACKWARD_NORM: of_variance_off,
    },
    "a step a thousandth too long": {"aten::_foreach_add_.List": decay},
}
REORDERED = {CONV: reordered, BACKWARD: reordered_backward}
ROUGHER = {BACKWARD: rougher}
with open(config_file) as file:
    config = json.load(file)


class Reference:
    """What the faults are compared with: one subject, and the noise of its step.

    Args:
        drawn: whether its pictures are random numbers.
        times: how often each picture is in the batch.
    """

    def __init__(self, precision, seed=0, drawn=False, times=1):
        self.config = dict(config, precision=precision, seed=seed)
        made = subject(self.config)
        if drawn:
            torch.manual_seed(seed)
            images = torch.randint(0, 256, made.images.shape, dtype=torch.uint8)
            made = Subject(made.model, images, made.targets)
        if times > 1:
            step = torch.tensor([len(made.images)] + [0] * 5)
            targets = torch.cat([made.targets + step * number for number in range(times)])
            made = Subject(made.model, made.images.repeat(times, 1, 1, 1), targets)
        self.subject, self.training = made, made.training(self.config, "cpu")
        find = noise if precision == "fp32" else following_noise
        self.noise = find(made.model, made.images, made.targets, self.config, self.training)


def compared(kernels, reference):
    library = replace_kernels(porter_emulated.start(torch_mlu.__name__), kernels)
    try:
        found = beside(dict(reference.config), reference.subject, reference.training, reference.noise, {})
    finally:
        library._destroy()
        reference.training.begin_again()
    first, operator = found["first"] or {}, found["operator"] or {}
    return {
        "phase": first.get("phase"),
        "path": first.get("path"),
        "what": first.get("what"),
        "operator": operator.get("name"),
        "at": operator.get("path"),
        "relative": operator.get("figures", {}).get("relative"),
        "differs": differs(),
        "seconds": found["seconds"],
    }


def differs():
    """Whether any tensor is another than the cpu's, in its band or not."""
    with open(os.path.join(config["out"], "rows.jsonl")) as rows:
        return any(json.loads(row)["absolute"] for row in rows)


found = {}
if names == ["rougher"]:
    found = {"rougher": compared(ROUGHER, Reference("fp32", times=16))}
elif names != ["seeds"]:
    references = {}
    for name in names or FAULTS:
        precision = "amp" if name.startswith("amp: ") else "fp32"
        if precision not in references:
            references[precision] = Reference(precision)
        found[name] = compared(FAULTS[name.rpartition("amp: ")[2]], references[precision])
        print(name, found[name], file=sys.stderr, flush=True)
if not names or names == ["seeds"]:
    for seed in range(int(os.environ.get("PORTER_TEST_SEEDS", "4"))):
        for precision in ("fp32", "amp")[: 1 + seed % 2]:
            name = f"{precision} {seed}"
            found[name] = compared(REORDERED, Reference(precision, seed, drawn=True))
            print(name, found[name], file=sys.stderr, flush=True)
with open(out, "w") as file:
    json.dump(found, file)
sys.stderr.flush()
os._exit(0)
