"""Train, and average the weights once more beside the tree, on the host: ``ema.py TREE -- ARGS``; prints JSON."""

import json
import math

from entry import enter, replace_sgd

enter()

found = {"steps": 0}
emas = []


def counted(kind):
    class SGD(kind):
        def step(self, *args, **kwargs):
            out = super().step(*args, **kwargs)
            found["steps"] += 1
            ema = emas[0]
            d = 0.9999 * (1 - math.exp(-found["steps"] / 2000))  # utils/torch_utils.py, v6.0 to v7.0
            now = floats(ema.watched)
            ema.mine = {k: v * d + (1 - d) * now[k] for k, v in ema.mine.items()}
            return out

    return SGD


replace_sgd(counted)

import train  # the tree's


def floats(model):
    # the model may be a DistributedDataParallel's, the average is of what is in it
    state = getattr(model, "module", model).state_dict()
    return {k: v.detach().float().cpu() for k, v in state.items() if v.dtype.is_floating_point}


class EMA(train.ModelEMA):
    def __init__(self, model, *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        self.mine = floats(model)
        emas.append(self)


class Loss(train.ComputeLoss):
    def __init__(self, model, *args):
        super().__init__(model, *args)
        emas[0].watched = model
        # AutoAnchor halves and restores the model between the average's first copy and the first step
        assert emas[0].updates == 0


train.ModelEMA, train.ComputeLoss = EMA, Loss
train.main(train.parse_opt())
ema = emas[0]
average, weights = floats(ema.ema), floats(ema.watched)
found["updates"] = ema.updates
# of what is averaged: counters, which are not, may be where they are best counted
found["devices"] = sorted({t.device.type for t in ema.ema.state_dict().values() if t.dtype.is_floating_point})
found["error"] = max(float(((average[k] - v).abs() / (v.abs() + 1)).max()) for k, v in ema.mine.items() if v.numel())
found["distance"] = max(float((average[k] - v).abs().max()) for k, v in weights.items() if v.numel())
print("\n" + json.dumps(found))
