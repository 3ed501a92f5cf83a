"""One of two processes that synchronise batch norm in the tpu's way: ``syncnorm.py TREE FOLDER``; FOLDER/rankN.json.

Between them they hold seven pictures, three and four. What they get is compared with BatchNorm2d of all seven.
"""

import copy
import json
import os
from pathlib import Path

from entry import enter

(folder,) = enter(charts=True)

import torch
import torch.distributed as dist
from utils.accelerator.tpu import TPU  # the tree's

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
x, weights = torch.randn(7, 5, 4, 3, dtype=torch.float64).float() * 3 + 10, torch.randn(7, 5, 4, 3)
plain = torch.nn.BatchNorm2d(5, eps=1e-3, momentum=0.03)
torch.nn.init.uniform_(plain.weight)
torch.nn.init.uniform_(plain.bias)
model = TPU().sync_batchnorm(torch.nn.Sequential(copy.deepcopy(plain)))
whole = x.clone().requires_grad_()
expected = plain(whole)
(expected * weights).sum().backward()

mine = slice(0, 3) if rank == 0 else slice(3, 7)
part = x[mine].clone().requires_grad_()
y = model(part)
(y * weights[mine]).sum().backward()
gradients = [model[0].weight.grad.clone(), model[0].bias.grad.clone()]
for gradient in gradients:
    dist.all_reduce(gradient)
pairs = {
    "output": (y, expected[mine]),
    "gradient of the input": (part.grad, whole.grad[mine]),
    "gradient of the weight": (gradients[0], plain.weight.grad),
    "gradient of the bias": (gradients[1], plain.bias.grad),
    "running mean": (model[0].running_mean, plain.running_mean),
    "running variance": (model[0].running_var, plain.running_var),
}
found = {
    "errors": {what: float((a - b).abs().max() / b.abs().max()) for what, (a, b) in pairs.items()},
    "batches": [int(model[0].num_batches_tracked), int(plain.num_batches_tracked)],
    "class": type(model[0]) is not torch.nn.SyncBatchNorm,
    "copy": type(copy.deepcopy(model)[0]) is torch.nn.SyncBatchNorm,
}
Path(folder, f"rank{rank}.json").write_text(json.dumps(found))
dist.destroy_process_group()
os._exit(0)  # gloo's threads may outlive the interpreter by a moment, which torch answers with SIGABRT
