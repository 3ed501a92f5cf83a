"""One of two processes that train in the tpu's way and in torch's: ``averaged.py TREE FOLDER``; FOLDER/rankN.json.

Both models start from weights of the process' own, see the process' own pictures, and go two steps.
"""

import copy
import json
import os
from pathlib import Path

from entry import enter

(folder,) = enter(charts=True)

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from utils.accelerator.tpu import TPU  # the tree's
from utils.torch_utils import de_parallel, is_parallel


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.SiLU())
        self.heads = torch.nn.ModuleList(torch.nn.Conv2d(8, 4, 1) for _ in range(3))

    def forward(self, x):
        x = self.layer(x)
        return [head(x) for head in self.heads]


dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(rank)
net = Net()
models = [TPU().ddp(copy.deepcopy(net), torch.device("cpu")), DistributedDataParallel(copy.deepcopy(net))]
optimizers = [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for model in models]
for _ in range(2):
    x = torch.rand(4, 3, 9, 9)
    for model, optimizer in zip(models, optimizers):
        optimizer.zero_grad()
        sum((y * y).sum() * (rank + 1) for y in model(x)).backward()
        optimizer.step()
ours, torchs = (model.module.state_dict() for model in models)
theirs = [None, None]
dist.all_gather_object(theirs, {name: value for name, value in ours.items() if "running" not in name})
found = {
    "different": [name for name in ours if not torch.equal(ours[name], torchs[name])],
    "between": [name for name in theirs[0] if not torch.equal(theirs[0][name], theirs[1][name])],
    "moved": not torch.equal(ours["heads.0.weight"], net.state_dict()["heads.0.weight"]),
    "parallel": [is_parallel(models[0]), de_parallel(models[0]) is models[0].module],
}
Path(folder, f"rank{rank}.json").write_text(json.dumps(found))
dist.destroy_process_group()
os._exit(0)  # gloo's threads may outlive the interpreter by a moment, which torch answers with SIGABRT
