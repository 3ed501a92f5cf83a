"""One process of a distributed training: ``ranks.py TREE FOLDER -- ARGS`` writes FOLDER/rankN.json."""

import hashlib
import json
import os

from entry import dataloaders, enter, leave

(folder,) = enter()

import torch.distributed as dist
import train  # the tree's
from torch.nn.parallel import DistributedDataParallel
from utils import torch_utils

found = {"images": 0, "order": []}  # per epoch the numbers of the pictures, in the order in which they were asked for


def digest(tensors):
    h = hashlib.sha256()
    for name, tensor in tensors:
        h.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return h.hexdigest()


def watch(kind):  # in place, as a subclass would not do: v6.0 asks for the class itself
    made, forward = kind.__init__, kind.forward

    def init(self, module, *args, **kwargs):
        made(self, module, *args, **kwargs)
        found["model"], found["before"] = self, digest(module.named_parameters())
        found["device"] = str(next(module.parameters()).device)
        found["backend"] = dist.get_backend()

    def go(self, images, *args, **kwargs):
        if self.training:
            found["images"] += len(images)
        return forward(self, images, *args, **kwargs)

    kind.__init__, kind.forward = init, go


datasets = dataloaders()


class Sampler(datasets.torch.utils.data.distributed.DistributedSampler):
    def __iter__(self):
        order = [int(number) for number in super().__iter__()]
        found["order"].append(order)
        return iter(order)


# torch's, or what a tree has in its place where a device's backend cannot serve that
for kind in DistributedDataParallel, getattr(torch_utils, "Distributed", None):
    if kind:
        watch(kind)
datasets.torch.utils.data.distributed.DistributedSampler = Sampler
train.main(train.parse_opt())
module = found.pop("model").module
found["weights"] = digest(module.named_parameters())
# without SyncBatchNorm running statistics are each process's own until they are broadcast
found["buffers"] = digest((n, b) for n, b in module.named_buffers() if "running" in n)
with open(os.path.join(folder, "rank%s.json" % os.environ["RANK"]), "w", encoding="utf-8") as file:
    json.dump(found, file)
if dist.is_initialized():
    dist.destroy_process_group()
leave()
