"""Parse command lines with the tree's own parsers: ``options.py TREE COMMANDS.json``; prints their options as JSON."""

import importlib
import json
import sys
from pathlib import Path

from entry import enter

(commands,) = enter(charts=True)
tree = sys.path[0]
found = []
for script, *words in json.loads(Path(commands).read_text()):
    sys.argv = [f"{tree}/{script}", *words]
    module = importlib.import_module(Path(script).stem)
    found.append(
        {k: v if isinstance(v, (list, int, float, bool)) else str(v) for k, v in vars(module.parse_opt()).items()}
    )
print(json.dumps(found))
