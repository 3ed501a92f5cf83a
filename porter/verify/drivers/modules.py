"""Import every module of a tree: ``modules.py TREE NAME...``; prints those that failed with why, as JSON."""

import importlib
import json

from entry import enter

names = enter()
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except BaseException as error:  # SystemExit too: an import must not end the program
        failed[name] = "%s: %s" % (type(error).__name__, error)
print("\n" + json.dumps(failed))
