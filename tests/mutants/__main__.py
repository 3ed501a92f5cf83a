"""Every mistake, against the check that has to catch it: ``python -m tests.mutants [NAME...]``, NAME a part of one."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from porter import process
from porter.output import Terminal

from .mutants import groups, hunt, load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds that one program may take")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    process.handle_signals()
    started, rows, missed = time.monotonic(), [], 0
    mutants = load(given.names)
    with Terminal() as progress:
        for (target, profile, line), mine in groups(mutants).items():
            how = {"device": "emulated", "profile": profile, "line": line, "jobs": given.jobs, "timeout": given.timeout}
            for result in hunt(target, mine, progress, **how):
                missed += not result.caught
                state = "caught" if result.caught else "MISSED"
                said = result.found.said if result.whole.state == "passed" else f"without it: {result.whole.said}"
                progress.say(f"{state} {result.mutant.name:28} {result.check:11} {result.found.seconds:5.1f} s  {said}")
                rows.append(
                    {
                        "mutant": result.mutant.name,
                        "mistake": result.mutant.mistake,
                        "target": target,
                        "check": result.check,
                        "caught": result.caught,
                        "said": said,
                        "seconds": round(result.found.seconds, 2),
                    }
                )
                progress.step("mistakes", len(rows), len(mutants))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{len(rows) - missed} of {len(rows)} caught in {time.monotonic() - started:.0f} s")
    return 1 if missed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
