"""Import every module of a tree: ``modules.py TREE NAME...``.

A vendor's container need not have torchvision, and a new Python has no setuptools: neither is there.
"""

import importlib
import json
import sys

from entry import enter, expect

ABSENT = ("torchvision", "pkg_resources", "setuptools")


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ImportError("%s is not there while modules are imported" % name)


names = enter(charts=True)
try:
    import torch.utils.tensorboard  # noqa: F401  asks setuptools for versions in old releases of torch
except ImportError:
    pass
for name in list(sys.modules):
    if name.split(".")[0] in ABSENT:
        del sys.modules[name]
sys.meta_path.insert(0, Absent())
for name in names:
    try:
        importlib.import_module(name)
    except BaseException as error:  # SystemExit too: an import must not end the program
        expect(False, "%s does not import: %s: %s" % (name, type(error).__name__, error))
general = sys.modules.get("utils.general")
if hasattr(general, "check_requirements"):  # what every program does as it starts, here for a package that is missing
    general.check_requirements(["porter-knows-no-such-package"])
print("\n" + json.dumps({}))
