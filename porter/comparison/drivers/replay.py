"""Make a kept call of an operator again: ``replay.py FILE DEVICE PLUGIN``; prints one JSON object."""

import importlib
import json
import os
import sys

os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")

from calls import replay
from tensors import BadFile

if __name__ == "__main__":
    file, device, plugin = sys.argv[1:]
    if plugin and device != "cpu":
        importlib.import_module(plugin)
    try:
        print(json.dumps(replay(file, device)))
    except BadFile as error:
        raise SystemExit("porter compare: %s" % error) from None
    sys.stdout.flush()
    os._exit(0)
