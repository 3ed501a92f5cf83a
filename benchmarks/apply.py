"""What `porter apply` of a shipped stack takes with upstream in the cache, as a command from start to end.

python benchmarks/apply.py [--repeats 15] [--target mlu]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import measure


def main() -> None:
    """Print the times of making a tree, of applying again to it, and of starting Python alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--target", action="append")
    options = parser.parse_args()
    targets = options.target or ["mlu"]
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        command = [sys.executable, "-m", "porter", "apply"]
        command += [word for target in targets for word in ("--target", target)]
        command.append(str(tree))

        def make() -> float:
            shutil.rmtree(tree, ignore_errors=True)
            return measure.seconds(command)

        make()  # fills the cache
        found = measure.in_turn(
            options.repeats,
            {
                "a new tree": make,
                "applied already": lambda: measure.seconds(command),
                "python -c pass": lambda: measure.seconds([sys.executable, "-c", "pass"]),
            },
        )
    print(measure.machine())
    print(f"porter apply, {'+'.join(targets)}, warm cache")
    for name, times in found.items():
        print(f"{name:16} {measure.spread(times, 's')}")


if __name__ == "__main__":
    main()
