"""What `porter run` adds to a program: from the command to the program's first line, over the same without porter.

    python benchmarks/run.py [--repeats 20]

The program is a script that does nothing; `--device cpu` and an emulated device, whose plugin it does not import, each
against the line that `porter run` prints, run by a shell.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys

import measure

import porter
from porter.temporary import work_folder


def main() -> None:
    """Print both and the difference, round by round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    print(measure.machine())
    with work_folder("porter-benchmark-") as root:
        tree = porter.apply("mlu", root / "tree").path
        (root / "nothing.py").write_text("pass\n")
        for device in "cpu", "emulated":
            words = [sys.executable, "-m", "porter", "run", "--target", "mlu", "--device", device]
            command = [*words, str(tree), "--", str(root / "nothing.py")]
            shown = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()[-1]
            alone = ["sh", "-c", shown.removeprefix("+ ")]
            measure.seconds(command)  # the first start writes byte code
            measure.seconds(alone)
            rivals = {"porter run": command, "without porter": alone}
            found = measure.in_turn(
                repeats, {name: functools.partial(measure.seconds, words) for name, words in rivals.items()}
            )
            for name, times in found.items():
                print(f"{device:9} {name:16} {measure.spread(times, 's')}")
            over = [a - b for a, b in zip(found["porter run"], found["without porter"])]
            print(f"{device:9} {'added':16} {measure.spread(over, 's')}")


if __name__ == "__main__":
    main()
