"""What the tpu's file does in place of torch and of the plugin, against torch on the cpu: ``parts.py TREE``; JSON."""

import json

from entry import enter, leave

enter(charts=True)

import torch
from utils.accelerator.tpu import TPU, Cat, Fetch, Together, cat  # the tree's

torch.manual_seed(0)
found = {"cat": [], "contiguous": []}
for dim in 1, -1:
    parts = [torch.rand(2, 3, 4, 4, requires_grad=True), torch.rand(2, 3, 4, 4).transpose(2, 3).requires_grad_()]
    weights = torch.rand_like(torch.cat(parts, dim))
    expected = torch.autograd.grad((torch.cat(parts, dim) * weights).sum(), parts)
    y = Cat.apply(dim, *parts)
    got = torch.autograd.grad((y * weights).sum(), parts)
    found["cat"].append(torch.equal(y, torch.cat(parts, dim)) and all(map(torch.equal, got, expected)))
    found["contiguous"].append(all(g.is_contiguous() for g in got))
found["elsewhere"] = cat(parts, 1).grad_fn.name().startswith("Cat")  # torch's own, and not the class above

maps = [torch.rand(1, 3, n, n, 6, requires_grad=True) for n in (4, 2)]
halves = [x.half() for x in maps]
taken = Fetch.apply(*Together.apply(*halves))
(taken[0][..., 4].sum() * 2 + taken[1].sum()).backward()
found["fetched"] = [
    all(t.dtype == torch.float32 and torch.equal(t, h.float()) for t, h in zip(taken, halves)),
    float(maps[0].grad[..., 4].min()) == 2 and float(maps[0].grad[..., :4].max()) == 0,
    bool((maps[1].grad == 1).all()),
]


class Plugin:
    """A state of the plugin, by what its functions do when they are called; how often each was."""

    def __init__(self, **functions):
        self.asked = {}
        for name, result in functions.items():
            setattr(self, name, lambda name=name, result=result: self.answer(name, result))

    def answer(self, name, result):
        self.asked[name] = self.asked.get(name, 0) + 1
        if isinstance(result, Exception):
            raise result
        return result


unbound, uncounted = AttributeError("_tpu_memoryStats"), KeyError("reserved_bytes.all.current")
states = {
    "2024": Plugin(memory_reserved=unbound, memory_allocated=unbound, empty_cache=AttributeError("_tpu_emptyCache")),
    "2025": Plugin(memory_reserved=uncounted, memory_allocated=7, empty_cache=None),
    "both": Plugin(memory_reserved=9, memory_allocated=7),
    "none": Plugin(),
}
for name, plugin in states.items():
    acc = type("Of", (TPU,), {"module": plugin})()
    figures = [acc.memory_reserved() for _ in range(3)]
    acc.empty_cache()
    found[name] = [figures, plugin.asked]
print("\n" + json.dumps(found))
leave()
