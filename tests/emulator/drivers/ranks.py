"""Two processes: SyncBatchNorm and DistributedDataParallel over the vendor's process group, or over gloo on the host.

Usage: torch.distributed.run --nproc_per_node 2 ranks.py OUT TYPE BACKEND
"""

import importlib
import json
import os
import sys

import torch
import torch.distributed as dist

out, kind, backend = sys.argv[1:]
rank = int(os.environ["RANK"])
if kind != "cpu":
    importlib.import_module(f"torch_{kind}")
    getattr(torch, kind).set_device(rank)
device = torch.device(kind, rank) if kind != "cpu" else torch.device("cpu")
options = {}
if backend == "sccl":  # it takes none that is missing; a chip for each rank
    options["pg_options"] = importlib.import_module("torch_tpu").ProcessGroupSCCLOptions()
    options["pg_options"].chip_map = [0, 1]
dist.init_process_group(backend, **options)

torch.manual_seed(0)
layers = [
    torch.nn.Conv2d(3, 4, 3),
    torch.nn.BatchNorm2d(4),
    torch.nn.SiLU(),
    torch.nn.Flatten(),
    torch.nn.Linear(144, 2),
]
model = torch.nn.Sequential(*layers)
if kind not in ("tpu", "cpu"):
    model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
model = model.to(device)
options = {"device_ids": [rank], "output_device": rank} if kind != "cpu" else {}
model = torch.nn.parallel.DistributedDataParallel(model, **options)
optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
torch.manual_seed(rank)
for _ in range(3):
    optimizer.zero_grad()
    loss = model(torch.rand(4, 3, 8, 8).to(device)).pow(2).mean()
    loss.backward()
    optimizer.step()

value = torch.tensor([float(rank)], device=device)
dist.all_reduce(value)
parts = [torch.zeros(1, device=device) for _ in range(2)]
dist.all_gather(parts, torch.tensor([float(rank)], device=device))
objects = ["from 0" if rank == 0 else None]
if backend == "sccl":  # torch adds up sizes on the device, and SG2260's add has no int64 result (Binary.cpp:1431)
    objects = ["from 0"]
else:
    dist.broadcast_object_list(objects, 0)
dist.barrier()
state = {name: tensor.double().cpu().sum().item() for name, tensor in model.state_dict().items()}
with open(f"{out}-{rank}.json", "w") as file:
    json.dump(
        {
            "state": state,
            "sum": value.item(),
            "parts": [part.item() for part in parts],
            "objects": objects,
            "backend": dist.get_backend(),
            "device": str(device),
        },
        file,
    )
dist.destroy_process_group()
# gloo's threads may hold a tensor of Python's for a moment longer; torch ends the whole process, by SIGABRT, when one
# lets go of it while the interpreter is being taken down
os._exit(0)
