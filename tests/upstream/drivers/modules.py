"""Import modules of a tree: ``modules.py TREE NAME...``; prints those that failed with why, as JSON."""

import importlib
import json

from entry import enter

names = enter()
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except BaseException as error:  # SystemExit too: an import must not end the program
        failed[name] = repr(error)
print("\n" + json.dumps(failed))
