"""How a driver gets into a tree: ``driver.py TREE OWN-ARGUMENTS... -- ARGUMENTS-OF-THE-TREE'S-PROGRAM``."""

import sys


def enter(program="train.py"):
    """Put the tree where the driver's own folder was on sys.path; returns the driver's own arguments."""
    tree, *words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    sys.path[0] = tree
    sys.argv = [f"{tree}/{program}", *words[cut + 1 :]]
    return words[:cut]
