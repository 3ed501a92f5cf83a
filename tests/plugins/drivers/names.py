"""What torch has for npu once torch_npu, real or emulated, is imported: ``names.py``; prints JSON.

name -> its parameters, each with how it is given and whether it may be left out; null for what has no signature.
"""

import inspect
import json

import torch
import torch.distributed
import torch_npu
import torch_npu.npu.amp


def parameters(thing):
    try:
        found = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return None
    return [[p.name, p.kind.name, p.default is not p.empty] for p in found]


def public(thing):
    return [name for name in dir(thing) if not name.startswith("_")]


found = {}
for prefix, module in ("", torch.npu), ("amp.", torch.npu.amp):
    for name in public(module):
        thing = getattr(module, name)
        found[prefix + name] = parameters(thing)
        if inspect.isclass(thing):
            for method in public(thing):
                found[f"{prefix}{name}.{method}"] = parameters(getattr(thing, method))
print(
    json.dumps(
        {
            "version": torch_npu.__version__,
            "names": found,
            "same": torch_npu.npu is torch.npu and torch_npu.npu.amp is torch.npu.amp,
            "methods": [hasattr(torch.Tensor, "npu"), hasattr(torch.Tensor, "is_npu"), hasattr(torch.nn.Module, "npu")],
            "backend": getattr(torch.distributed.Backend, "HCCL", ""),
            "type": torch._C._get_privateuse1_backend_name(),
            "available": torch.npu.is_available(),
            "scaler": type(torch.npu.amp.GradScaler(enabled=False)).__module__.partition(".")[0],
        }
    )
)
