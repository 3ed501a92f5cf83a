"""One of the tree's programs as it is, but for its charts: ``program.py TREE PROGRAM -- ARGUMENTS``."""

import runpy
import sys

from entry import enter

(program,) = enter(charts=False)
sys.argv[0] = f"{sys.path[0]}/{program}"
runpy.run_path(sys.argv[0], run_name="__main__")
