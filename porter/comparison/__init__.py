"""Where a device parts from the cpu: the same training step on both, every tensor of it compared as it is made.

What runs in the tree's interpreter lies in ``drivers/``: it makes the step, watches it, and finds the operator.  The
modules beside it start that, and say what came of it.
"""
