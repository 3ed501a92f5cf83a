"""pip's install, a line each: what it installs and how long that took; on a terminal how far it is, too.

python tools/install.py ARGUMENTS OF pip install

All that pip says goes into ``pip.log`` in the environment; where it fails, the end of it is printed.  It runs before
anything is installed, so with Python's own modules alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

_LAST = 25  # lines of the log, where pip failed
_WIDTH = 30  # characters of the bar
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_SAID = re.compile(r"(Collecting|Downloading|Installing|Building|Preparing|Getting|Using)\b")


def main(words: list[str]) -> int:
    """Run pip; return its exit status."""
    began, log = time.monotonic(), Path(sys.prefix, "pip.log")
    named = [
        word for number, word in enumerate(words) if word[0] != "-" and words[number - 1] not in ("-c", "--index-url")
    ]
    what = f"installing {' '.join(named)}"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    command += ["--progress-bar", "raw"] if sys.stdout.isatty() and _has_raw_progress() else []
    if not sys.stdout.isatty():
        print(f"{what}; what pip says goes to {log}", flush=True)
    with (
        log.open("a", encoding="utf-8") as file,
        subprocess.Popen(
            [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as pip,
    ):
        assert pip.stdout
        now = ""
        for line in pip.stdout:
            found = _PROGRESS.match(line)
            if not found:
                file.write(line)
                now = line.strip() if _SAID.match(line.strip()) else now
            if sys.stdout.isatty():
                _show(what, now, time.monotonic() - began, int(found[1]) / max(int(found[2]), 1) if found else None)
    if sys.stdout.isatty():
        print("\r\x1b[K", end="")
    if pip.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST:]
        print(*said, f"{what} failed; all that pip said is in {log}", sep="\n", file=sys.stderr)
    else:
        print(f"{what}: done ({time.monotonic() - began:.0f} s)", flush=True)
    return pip.returncode


def _has_raw_progress() -> bool:
    from importlib.metadata import version

    return tuple(map(int, re.findall(r"\d+", version("pip"))[:2])) >= (24, 1)


def _show(what: str, now: str, seconds: float, share: float | None) -> None:
    """Write the one line anew."""
    import shutil

    bar = "" if share is None else f"[{'#' * int(share * _WIDTH):.<{_WIDTH}}] "
    text = f"{what} {bar}{seconds:.0f} s {now}"
    print(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
