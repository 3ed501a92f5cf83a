"""Make the READMEs' picture of a terminal from a run of ``porter verify``: one for a light page, one for a dark one.

python tools/picture.py [--target mlu]

The run is real: standard output is a terminal of COLUMNS columns, and what it shows is what the pictures show.  Only
the path of this interpreter becomes ``python``.  Without a card the device is emulated, and the output says so.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import click
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
COLUMNS = 110  # 800 pixels wide, a letter is nearly as large as the text of the page around it
# as GitHub's light pages have them; the first eight are what rich takes for a terminal's colours 0 to 7
LIGHT = TerminalTheme(
    (255, 255, 255),
    (31, 35, 40),
    [
        (36, 41, 47),
        (207, 34, 46),
        (17, 99, 41),
        (125, 78, 0),
        (9, 105, 218),
        (130, 80, 223),
        (27, 124, 131),
        (110, 119, 129),
    ],
)
THEMES = {"light": LIGHT, "dark": SVG_EXPORT_THEME}
# rich's own form loads a font from elsewhere
FORM = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
.rich-terminal > rect {{ stroke: #8b949e; }}
{styles}
</style>
<defs>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def recorded(words: list[str]) -> str:
    """What a program prints on a terminal, with its colours; what it says on standard error comes out there.

    Raises:
        SystemExit: it did not end well: that is no picture to show.
    """
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=writer) as program:
        os.close(writer)
        parts = []
        while part := _read(reader):
            parts.append(part)
    os.close(reader)
    if program.returncode:
        sys.exit(f"{' '.join(words)} ended with status {program.returncode}:\n{b''.join(parts).decode()}")
    return b"".join(parts).decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so that nobody holds its other end any more
        return b""


def drawn(text: str, theme: TerminalTheme) -> str:
    """A terminal's text as SVG.  A line that is too long goes on in the next, as a terminal breaks it."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="standard")
    for line in text.split("\n"):  # the last is empty: rich cuts what stands in the last
        whole = Text.from_ansi(line)
        for part in whole.divide(range(COLUMNS, len(whole), COLUMNS)):
            console.print(part)
    return console.export_svg(title="", theme=theme, code_format=FORM, unique_id="terminal", font_aspect_ratio=0.6)


@click.command(help=__doc__)
@click.option("--target", default="mlu")
def main(target: str) -> None:
    """Run it once, draw it twice."""
    words = ["verify", "--target", target]
    text = recorded([sys.executable, "-m", "porter", *words]).replace(sys.executable, "python")
    text = f"\x1b[1m$ {' '.join(['porter', *words])}\x1b[0m\n{text}"
    FOLDER.mkdir(exist_ok=True)
    for name, theme in THEMES.items():
        path = FOLDER / f"verify-{name}.svg"
        path.write_text(drawn(text, theme), encoding="utf-8")
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
