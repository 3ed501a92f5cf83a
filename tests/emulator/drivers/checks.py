"""Look at an emulated device from inside its process, and print what was found as JSON: check -> result.

Usage: checks.py TYPE
"""

import copy
import importlib
import io
import json
import sys
import traceback
import warnings

import torch

kind = sys.argv[1]
plugin = importlib.import_module(f"torch_{kind}")
module = getattr(torch, kind)
warnings.simplefilter("ignore")
CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


def raised(function):
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def network():
    torch.manual_seed(0)
    nn = torch.nn
    conv = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU())
    return nn.Sequential(conv, nn.MaxPool2d(3, 1, 1), nn.Upsample(scale_factor=2), nn.Conv2d(8, 4, 3))


def train(model, device, optimizer, steps=3, scaler=None, cast=None):
    torch.manual_seed(1)
    losses = []
    for _ in range(steps):
        images = torch.rand(2, 3, 16, 16).to(device)
        if cast:
            with cast():
                loss = model(images).float().pow(2).mean()
        else:
            loss = model(images.to(next(model.parameters()).dtype)).float().pow(2).mean()
        optimizer.zero_grad()
        (scaler.scale(loss) if scaler else loss).backward()
        (scaler.step(optimizer) if scaler else optimizer.step())
        if scaler:
            scaler.update()
        losses.append(loss.item())
    return losses


@check
def surface():
    properties = module.get_device_properties(0)
    return {
        "version": plugin.__version__,
        "name": properties.name,
        "total": properties.total_memory,
        "count": module.device_count(),
        "available": module.is_available(),
        "events": hasattr(module, "Event"),
        "device": str(torch.ones(1, device=kind).device),
        "registered": torch._C._get_privateuse1_backend_name(),
    }


@check
def losses_and_weights():
    both = []
    for device in ("cpu", kind):
        model = network().to(device)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True)
        both.append((train(model, device, optimizer), {k: v.cpu() for k, v in model.state_dict().items()}))
    (one, weights), (other, moved) = both
    return {"losses": [one, other], "weights": all(torch.equal(weights[name], moved[name]) for name in weights)}


def convolves(dtype):
    # computed in float32 on the same numbers and rounded once, result and gradient
    torch.manual_seed(3)
    images, weights = torch.rand(2, 8, 12, 12).to(dtype), torch.rand(8, 8, 3, 3).to(dtype)
    results = []
    for place, precision in (("cpu", torch.float32), (kind, dtype)):
        weight = weights.to(place, precision).requires_grad_()
        output = torch.nn.functional.conv2d(images.to(place, precision), weight)
        output.backward(torch.ones(output.shape, dtype=precision).to(place))  # no kernel fills bfloat16 on BM1684X
        results.append([output.detach().to(dtype).cpu(), weight.grad.to(dtype).cpu()])
    return all(torch.equal(one, other) for one, other in zip(*results))


@check
def rounding():
    found = {}
    for name in ("float16", "bfloat16"):
        dtype = getattr(torch, name)
        torch.manual_seed(2)
        one, other = torch.rand(40, 40).to(dtype), torch.rand(40, 40).to(dtype)
        d1, d2 = one.to(kind), other.to(kind)
        found[name] = {
            "product": torch.equal((one.float() @ other.float()).to(dtype), (d1 @ d2).cpu()),
            "convolution": convolves(dtype),
            "exponential": torch.equal(one.float().exp().to(dtype), d1.exp().cpu()),
            "in place": torch.equal((one.float() + other.float()).to(dtype), d1.add_(d2).cpu()),
            "dtypes": [str(x.dtype) for x in (d1.sum(), d1.sum(dtype=torch.float32), d1.softmax(1))],
        }
    return found


@check
def half_model():
    model = network().half().to(kind)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    # only Sophgo's takes it; torch's refuses FP16 gradients, so that a half model trains without on the others
    scaler = module.amp.GradScaler(enabled=True, allow_fp16=True) if kind == "tpu" else None
    losses = train(model, kind, optimizer, scaler=scaler)
    images, norms = torch.rand(4, 3, 8, 8).half(), [torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3).half().to(kind)]
    norms[0](images.float())
    norms[1](images.to(kind))
    statistics = [[norm.running_mean.float().cpu(), norm.running_var.float().cpu()] for norm in norms]
    return {
        "losses": losses,
        "dtypes": sorted({str(p.dtype) for p in model.state_dict().values()}),
        "statistics": max(float((one - other).abs().max()) for one, other in zip(*statistics)),
    }


@check
def autocast():
    model = network().to(kind)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    scaler = module.amp.GradScaler()
    losses = train(model, kind, optimizer, scaler=scaler, cast=module.amp.autocast)
    with torch.autocast(kind, dtype=torch.bfloat16):
        product = torch.rand(3, 3, device=kind) @ torch.rand(3, 3, device=kind)
    restored = module.amp.GradScaler()
    restored.load_state_dict(scaler.state_dict())
    return {
        "losses": losses,
        "gradients": str(model[0][0].weight.grad.dtype),
        "product": str(product.dtype),
        "outside": str((torch.rand(3, 3, device=kind) @ torch.rand(3, 3, device=kind)).dtype),
        "scale": [scaler.get_scale(), restored.get_scale()],
        "tracker": scaler.state_dict()["_growth_tracker"],
    }


@check
def overflow_halves_the_scale():
    weight = torch.nn.Parameter(torch.ones(3, device=kind))
    optimizer = torch.optim.SGD([weight], 0.1)
    scaler = module.amp.GradScaler(init_scale=8.0)
    scaler.scale((weight * float("inf")).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    return {"scale": scaler.get_scale(), "weight": weight.detach().cpu().tolist()}


@check
def optimizers():
    found = {}
    for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop"):
        results = []
        for device in ("cpu", kind):
            torch.manual_seed(0)
            layer = torch.nn.Linear(4, 3).to(device)
            foreach = None if name in ("SGD", "Adam", "AdamW") else False  # torch's choice for those of the trees
            optimizer = getattr(torch.optim, name)(layer.parameters(), lr=0.01, foreach=foreach)
            found[name] = raised(lambda d=device, m=layer, o=optimizer: train_layer(m, d, o))
            results.append([p.detach().cpu() for p in layer.parameters()])
        if found[name] is None and not all(torch.equal(a, b) for a, b in zip(*results)):
            found[name] = "other weights than on the cpu"
    return found


def train_layer(layer, device, optimizer):
    for number in range(3):
        optimizer.zero_grad()
        layer(torch.full((2, 4), 0.1 * number).to(device)).pow(2).mean().backward()
        optimizer.step()


@check
def copies_of_a_model():
    model = network().to(kind)
    average = copy.deepcopy(model)
    for mine, other in zip(average.state_dict().values(), model.state_dict().values()):
        if mine.dtype.is_floating_point:
            mine.mul_(0.5).add_(other, alpha=0.5)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "average": average}, file)
    places = {}
    for place in ("cpu", f"{kind}:1", None):
        file.seek(0)
        options = {"weights_only": False} if torch.__version__ >= "2.4" else {}
        loaded = torch.load(file, map_location=place, **options)
        tensors = [loaded["model"]["0.0.weight"], loaded["average"][0][0].weight]
        places[str(place)] = [str(tensor.device) for tensor in tensors]
        places["equal"] = all(
            torch.equal(tensor.detach().cpu(), model[0][0].weight.detach().cpu()) for tensor in tensors
        )
    return places


@check
def seeds():
    torch.manual_seed(5)
    module.manual_seed_all(5)  # torch's own does not reach the devices of every plugin
    host, here = torch.rand(6), torch.rand(6, device=kind).cpu()
    state = module.get_rng_state()
    one = torch.randn(4, device=kind).cpu()
    module.set_rng_state(state)
    other = torch.randn(4, device=kind).cpu()
    module.manual_seed_all(9)
    after = torch.rand(3)
    torch.manual_seed(5)
    torch.rand(6)
    own = torch.Generator(kind)
    own.manual_seed(3)
    return {
        "as the cpu's": torch.equal(host, here),
        "restored": torch.equal(one, other),
        "apart from the cpu's": torch.equal(after, torch.rand(3)),
        "initial": module.initial_seed(),
        "own": torch.equal(
            torch.rand(3, device=kind, generator=own).cpu(), torch.rand(3, generator=torch.Generator().manual_seed(3))
        ),
        "wrong": raised(lambda: torch.empty(3, device=kind).normal_(generator=torch.Generator())),
    }


@check
def devices():
    one = torch.ones(2, 2, device=f"{kind}:0")
    return {
        "host added": raised(lambda: one + torch.ones(2, 2)),
        "host multiplied": raised(lambda: one @ torch.ones(2, 2)),
        "host number": (one * torch.tensor(2.0)).sum().item(),
        "other device": raised(lambda: one @ torch.ones(2, 2, device=f"{kind}:1")),
        "moved": str(one.to(f"{kind}:1").device),
        "too many": raised(lambda: torch.ones(1, device=f"{kind}:7")),
        "host index": raised(lambda: one[torch.tensor([0])]),
    }


@check
def memory():
    if kind == "tpu":
        return None  # neither state of the plugin has all of these: tests/emulator/test_truth.py
    module.empty_cache()
    start = module.memory_allocated()
    block = torch.empty(1 << 20, dtype=torch.float32, device=kind)
    with_block = module.memory_allocated() - start
    doubled = block.exp()
    peak = module.max_memory_allocated() - start
    del block, doubled
    after, reserved = module.memory_allocated() - start, module.memory_reserved()
    module.empty_cache()
    free, total = module.mem_get_info()
    return {
        "block": with_block,
        "peak": peak,
        "after": after,
        "reserved": reserved,
        "emptied": module.memory_reserved() < reserved,
        "free": free,
        "total": total,
        "exhausted": raised(lambda: torch.empty(total, device=kind)),
        "type": [c.__name__ for c in type_of(lambda: torch.empty(total, device=kind)).__mro__],
    }


def type_of(function):
    try:
        function()
    except Exception as error:
        return type(error)
    raise AssertionError("nothing was raised")


@check
def out_and_views():
    base = torch.arange(12.0, device=kind).view(3, 4)
    base.t()[1].mul_(10)
    out = torch.empty(0, device=kind)
    torch.add(base, 1, out=out)
    index = torch.tensor([0, 2], device=kind)
    base[index, index] = -1.0
    return {"view": base.cpu().tolist(), "out": list(out.shape), "storage": out.untyped_storage().nbytes()}


@check
def pinned_loader():
    data = torch.utils.data.TensorDataset(torch.arange(32.0).view(16, 2))
    if kind == "tpu":
        return None  # Sophgo's list has no _pin_memory, and the tpu stack asks for none
    options, named = ({}, ()) if hasattr(torch, "accelerator") else ({"pin_memory_device": kind}, (kind,))
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=2, pin_memory=True, **options)
    batches = [(batch.is_pinned(*named), batch.to(kind, non_blocking=True).sum().item()) for (batch,) in loader]
    return {"pinned": all(pinned for pinned, _ in batches), "sum": sum(total for _, total in batches)}


@check
def int64_method():
    return {
        "int64": raised(lambda: getattr(torch.ones(2, dtype=torch.int64), kind)()),
        "to": str(torch.ones(2, dtype=torch.int64).to(kind).device),
        "float": str(getattr(torch.ones(2), kind)().device),
        "module": str(next(getattr(network(), kind)().parameters()).device),
    }


@check
def event():
    if not hasattr(module, "Event"):
        return None
    begin, end = module.Event(enable_timing=True), module.Event(enable_timing=True)
    begin.record()
    torch.rand(200, 200, device=kind) @ torch.rand(200, 200, device=kind)
    end.record()
    end.synchronize()
    hardware = []
    if hasattr(begin, "hardware_time"):
        hardware.append(begin.hardware_time(end))
        begin.work -= 10**10  # as if more threads had been at work
        hardware.append(begin.hardware_time(end))
    return {
        "elapsed": begin.elapsed_time(end),
        "hardware": hardware,
        "early": raised(lambda: module.Event(enable_timing=True).elapsed_time(end)),
    }


results = {}
for name, function in CHECKS.items():
    try:
        results[name] = function()
    except Exception:
        results[name] = {"failed": traceback.format_exc()}
print(json.dumps(results))
