"""What a record asks of a plugin beside operators: its module's functions, events, mixed precision, process groups."""

import sys

import torch

# the arguments of each; what it returns is kept where it says something of the card and nothing of the machine
FUNCTIONS = {
    "is_available": (),
    "device_count": (),
    "current_device": (),
    "set_device": (0,),
    "init": (),
    "is_initialized": (),
    "is_bf16_supported": (),
    "get_amp_supported_dtype": (),
    "get_device_name": (0,),
    "get_device_capability": (),
    "get_device_properties": (0,),
    "synchronize": (),
    "current_stream": (),
    "default_stream": (),
    "empty_cache": (),
    "memory_allocated": (),
    "max_memory_allocated": (),
    "memory_reserved": (),
    "max_memory_reserved": (),
    "memory_cached": (),
    "max_memory_cached": (),
    "mem_get_info": (),
    "memory_stats": (),
    "memory_summary": (),
    "reset_peak_memory_stats": (),
    "reset_max_memory_allocated": (),
    "reset_max_memory_cached": (),
    "manual_seed": (0,),
    "manual_seed_all": (0,),
    "seed": (),
    "seed_all": (),
    "initial_seed": (),
    "get_rng_state": (),
    "get_rng_state_all": (),
}
_TOLD = ("is_available", "is_bf16_supported", "get_device_name", "get_device_capability", "get_amp_supported_dtype")
# what autocast may cast, by torch's names, as calls on matrices
_CAST = {
    "conv2d": lambda f, x: f.conv2d(x.reshape(1, 1, 4, 4), x.reshape(1, 1, 4, 4)),
    "linear": lambda f, x: f.linear(x, x),
    "matmul": lambda f, x: torch.matmul(x, x),
    "mm": lambda f, x: torch.mm(x, x),
    "bmm": lambda f, x: torch.bmm(x[None], x[None]),
    "addmm": lambda f, x: torch.addmm(x, x, x),
    "baddbmm": lambda f, x: torch.baddbmm(x[None], x[None], x[None]),
}


class Questions:
    """The jobs, by name, and their answers."""

    def __init__(self, config):
        self.kind, self.plugin = config["device"], config["plugin"]
        self.module = getattr(torch, self.kind, None)
        groups = [] if self.kind == "cpu" else config["distributed"]
        self.names = ["names", *("function " + name for name in FUNCTIONS), "event", "scaler", "scaler fp16"]
        self.names += ["autocast " + name for name in _CAST] + ["group " + name for name in groups]

    def answer(self, job):
        """The outcome of a job, as it is written down."""
        what, _, name = job.partition(" ")
        try:
            return getattr(self, "_" + what)(name)
        except Exception as error:  # whatever a plugin raises is what is asked for
            return {"state": "raises", "error": type(error).__name__, "message": str(error)}

    def _names(self, _):
        amp = getattr(self.module, "amp", None)
        package = sys.modules.get(self.plugin)
        value = {
            "module": public(self.module),
            "amp": public(amp),
            "options": [
                name for name in public(package) if name.startswith("ProcessGroup") and name.endswith("Options")
            ],
            "tensor": [name for name in (self.kind, "is_" + self.kind) if hasattr(torch.Tensor, name)],
            "version": str(getattr(package, "__version__", "")),
        }
        return {"state": "runs", "value": value}

    def _function(self, name):
        function = getattr(self.module, name, None)
        if function is None:
            return {"state": "absent"}
        returned = function(*FUNCTIONS[name])
        if name in _TOLD:
            return {"state": "runs", "value": plain(returned)}
        if name == "get_device_properties":
            return {"state": "runs", "value": {"total_memory": int(getattr(returned, "total_memory", 0) or 0)}}
        if name == "memory_stats":
            return {"state": "runs", "value": sorted(map(str, returned))}
        return {"state": "runs"}

    def _event(self, _):
        if not hasattr(self.module, "Event"):
            return {"state": "absent"}
        first, last = self.module.Event(enable_timing=True), self.module.Event(enable_timing=True)
        first.record()
        last.record()
        last.synchronize()
        first.elapsed_time(last)
        return {"state": "runs", "value": {"hardware_time": hasattr(first, "hardware_time")}}

    def _scaler(self, name):
        made = getattr(getattr(self.module, "amp", None), "GradScaler", None)
        if made is None:
            return {"state": "absent"}
        weight = torch.nn.Parameter(torch.ones(4).to(self.kind))
        if name:
            weight = torch.nn.Parameter(torch.ones(4, dtype=torch.float16).to(self.kind))
        optimizer, scaler = torch.optim.SGD([weight], 0.1), made(**({"allow_fp16": True} if name else {}))
        scaler.scale(weight.sum().float()).backward()
        scaler.step(optimizer)
        scaler.update()
        return {"state": "runs"}

    def _autocast(self, name):
        given = torch.ones(4, 4).to(self.kind)
        dtype = torch.bfloat16 if self.kind == "cpu" else torch.float16
        with torch.autocast(self.kind, dtype=dtype):
            found = _CAST[name](torch.nn.functional, given)
        return {"state": "runs", "value": str(found.dtype)[6:]}

    def _group(self, name):
        """One process alone with itself: what is made of two is a matter of two cards."""
        import torch.distributed as dist

        dist.init_process_group(name, store=dist.HashStore(), rank=0, world_size=1)
        try:
            dist.all_reduce(torch.ones(2).to(self.kind))
        finally:
            dist.destroy_process_group()
        return {"state": "runs"}


def public(module):
    return sorted(name for name in vars(module) if not name.startswith("_")) if module else []


def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)
