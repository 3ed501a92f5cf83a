"""A checkpoint whose pickle is changed at random, many times: ``mutated.py TREE COUNT [SEED]``; prints JSON.

Each file is kept, beside what the tree's loader says of it: name -> its refusal, or None; other errors are not caught.
"""

import json
import random
import zipfile
from pathlib import Path

from entry import enter
from tiny import honest

count, *seed = enter()

import torch
from utils.checkpoint import Refused, load_checkpoint  # the tree's

chance = random.Random(int(seed[0]) if seed else 0)
value = honest()
value.update(device=torch.device("cuda", 1), size=torch.Size([3]), bag={1, 2}, kind=torch.float16)
value.update(flag=torch.tensor([True]), optimizer=None, run=None)
torch.save(value, "base.pt")
with zipfile.ZipFile("base.pt") as archive:
    parts = {name: archive.read(name) for name in archive.namelist()}
PICKLE = next(name for name in parts if name.endswith("/data.pkl"))
FLAG = next(name for name, data in parts.items() if data == b"\1" and "/data/" in name)
# where something is made: two mutations in three are near one
MARKS = [b"device", b"cuda", b"Size", b"set", b"float16", b"BoolStorage", b"_rebuild", b"dtype", b"ndarray", b"cat"]
PLACES = [parts[PICKLE].find(mark) for mark in MARKS]


def mutant():
    """The archive's parts, some bytes of them changed."""
    data, flag = bytearray(parts[PICKLE]), parts[FLAG]
    for _ in range(chance.choice([1, 1, 1, 2])):
        near = chance.choice(PLACES) + chance.randrange(-8, 24)
        at = max(2, min(near if chance.random() < 0.66 else chance.randrange(2, len(data)), len(data) - 1))
        way = chance.random()
        if way < 0.75:
            data[at] ^= 1 << chance.randrange(7)
        elif way < 0.85:
            data[at] = chance.randrange(256)
        elif way < 0.9:
            del data[at : at + chance.randrange(1, 4)]
        elif way < 0.95:
            start = chance.randrange(2, len(data) - 12)
            data[at:at] = data[start : start + chance.randrange(1, 12)]
        else:
            flag = bytes([chance.randrange(256)])
    return {**parts, PICKLE: bytes(data), FLAG: flag}


found = {}
for number in range(int(count)):
    path = Path(f"{number}.pt")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in mutant().items():
            archive.writestr(name, data)
    try:
        load_checkpoint(path, model=False)
        found[path.name] = None
    except Refused as error:
        found[path.name] = str(error)
print("\n" + json.dumps(found))
