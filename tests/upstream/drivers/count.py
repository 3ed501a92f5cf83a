"""Train and count the iterations: ``count.py TREE -- ARGS``; prints how many, and the last one's number."""

import json

from entry import enter

enter(charts=False)

import train  # noqa: E402  (the tree's)
from utils.callbacks import Callbacks  # noqa: E402

seen = []
callbacks = Callbacks()
callbacks.register_action("on_train_batch_end", callback=lambda ni, *rest: seen.append(ni))
train.main(train.parse_opt(), callbacks)
print(json.dumps({"iterations": len(seen), "last": seen[-1]}))
