"""What `porter --help` costs over an empty Python program.

python benchmarks/startup.py [--repeats 30]
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import measure

HEAVY = ("torch", "git", "requests", "yaml", "rich", "numpy", "cv2")


def main() -> None:
    """Print the difference, its spread, and heavy packages that the start imports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    help_ = [sys.executable, "-m", "porter", "--help"]
    bare = [sys.executable, "-c", "pass"]
    for command in (help_, bare):
        measure.seconds(command)  # the first start writes byte code
    found = measure.in_turn(
        options.repeats,
        {"porter --help": lambda: measure.seconds(help_), "python -c pass": lambda: measure.seconds(bare)},
    )
    print(measure.machine())
    for name, times in found.items():
        print(f"{name:16} {measure.spread(times, 'ms', 1000)}")
    over = [a - b for a, b in zip(found["porter --help"], found["python -c pass"])]
    print(f"{'difference':16} {measure.spread(over, 'ms', 1000)}")
    code = f"import sys, porter.cli; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    print(f"heavy imports at the start: {heavy or 'none'}")


if __name__ == "__main__":
    main()
