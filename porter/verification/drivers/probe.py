"""The probe of Sophgo's guide on any device, forwards and backwards: ``probe.py TREE DEVICE``; prints JSON."""

import json

from entry import enter, leave

(name,) = enter()

import torch
from utils import accelerator  # the tree's
from utils.general import init_seeds
from utils.torch_utils import select_device

device = select_device(name)
acc = accelerator.get(device)
torch.manual_seed(0)
inputs, layer = torch.rand(10, 20, 12), torch.nn.Linear(12, 3)
results = []
for where in torch.device("cpu"), device:
    x, net = inputs.clone().to(where).requires_grad_(), torch.nn.Linear(12, 3)
    net.load_state_dict(layer.state_dict())
    net.to(where)
    y = net(x)
    y.sum().backward()
    results.append([t.detach().cpu() for t in (y, x.grad, net.weight.grad, net.bias.grad)])
    kinds = [t.device.type for t in (y, x.grad, net.weight.grad)]
acc.synchronize()
if hasattr(acc, "upload"):  # some cards have no bytes
    bytes_ = torch.arange(192, dtype=torch.uint8).view(1, 3, 8, 8)
    assert torch.equal(acc.upload(bytes_, device).cpu(), bytes_.float()), "pictures arrive as something else"
seeded = None
if name != "cpu":
    torch.random._seed_custom_device = lambda seed: None  # before torch 2.1 there was none
    init_seeds(7)
    seeded = acc.module.initial_seed() if hasattr(acc.module, "initial_seed") else None
print(
    "\n"
    + json.dumps(
        {
            "kinds": kinds,
            "count": acc.device_count() if name != "cpu" else 1,
            "error": max(float((a - b).abs().max()) for a, b in zip(*results)),
            "equal": all(torch.equal(a, b) for a, b in zip(*results)),
            "seeded": seeded,
            "names": acc.describe([0]),
            "named": hasattr(acc.module, "get_device_properties"),
        }
    )
)
leave()
