"""What porter says: to people on a terminal, to programs as JSON, and to whoever asks what it does (``--verbose``)."""

from __future__ import annotations

import codecs
import io
import os
import re
import select
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from porter.errors import EnvironmentFailed, redacted
from porter.version import __version__

if TYPE_CHECKING:
    import logging

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_NARROW = 24  # columns: what is folded into fewer is read worse than what the terminal itself breaks
# C0 and C1 control characters, and those that turn the direction of the text around
_CONTROL = r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
_FOREIGN = re.compile(rf"(?!\x1b\[(?:[012]|3[1-7])m|[\t\n]){_CONTROL}")  # all but porter's colours and lines


def printable(text: object) -> str:
    """A text of elsewhere as one line: ``\\x1b]0;name\\x07`` with the backslashes spelled out."""
    return re.sub(_CONTROL, _spelled, str(text))


def shown(text: str) -> str:
    """The same of a text that porter made: its lines and colours stay."""
    return _FOREIGN.sub(_spelled, text)


def hanging(text: str, indent: int, less: int = 0) -> str:
    """On a terminal too narrow for a line, the line folded, the rest of it indented; a pipe gets it in one piece.

    Args:
        less: the indent where ``indent`` leaves too little beside it.
    """
    width = shutil.get_terminal_size().columns
    if width - indent < _NARROW and less:
        indent = less
    if len(text) <= width or width - indent < _NARROW or not sys.stdout.isatty():
        return text
    return textwrap.fill(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def counted(number: int, noun: str) -> str:
    """A number and what it counts: ``1 patch``, ``2 patches``."""
    hisses = noun.endswith(("ch", "sh", "s", "x")) and not noun.endswith("epoch")
    ending = "" if number == 1 else "es" if hisses else "s"
    return f"{number} {noun}{ending}"


def command_line(
    *words: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """A command as one line that a person can copy into a shell (bash, zsh, ksh), whatever is in the names of files.

    Args:
        words: the program and its arguments.  A path (no ``str``) that begins with a dash gets ``./`` in front of it,
            so that no program takes it for an option.
        folder: where to go first, with ``cd``.
        variables: of the environment, set for this command alone.
    """
    given = [f"{name}={_quoted(value)}" for name, value in (variables or {}).items()]
    line = " ".join([*given, *map(_quoted, words)])
    return line if folder is None else f"cd {_quoted(Path(folder))} && {line}"


def _quoted(word: str | os.PathLike[str]) -> str:
    """A word of a command; in ``$'...'``, with octal numbers for bytes, where it could not be printed as it is."""
    text = os.fspath(word)
    if text.startswith("-") and not isinstance(word, str):
        text = f"./{text}"
    if not re.search(rf"{_CONTROL}|[\ud800-\udfff]", text):
        return shlex.quote(text)
    return "$'" + re.sub(rf"{_CONTROL}|[\ud800-\udfff\\']", _octal, text) + "'"


def _octal(match: re.Match[str]) -> str:
    """A character as ``\\ooo`` a byte; in a path, what is no UTF-8 stands as half a surrogate pair."""
    how = "surrogateescape" if "\udc80" <= match[0] <= "\udcff" else "surrogatepass"
    return "".join(f"\\{byte:03o}" for byte in match[0].encode("utf-8", how))


class _Sink(io.FileIO):
    """A standard stream of this process, by its descriptor: what cannot be written ends nothing that porter is doing.

    A reader that left (``| head -1``) wanted no more: the rest goes nowhere.  So does all of it where standard error
    cannot be written.  Standard output that cannot, on a full disk for example, is an error, raised once.
    """

    def write(self, data: Any, /) -> int:
        try:
            while (wrote := super().write(data)) is None:  # whoever made the pipe has set it not to block
                select.select((), (self,), ())
            return wrote
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if self.fileno() == 1 and not isinstance(error, BrokenPipeError):
                hint = "Make room, or send it elsewhere."
                why = error.strerror or str(error)
                raise EnvironmentFailed("cannot write to standard output", why, hint) from error
            return len(data)


class _Text(io.TextIOWrapper):
    """A stream that shows control characters instead of sending them."""

    def write(self, text: str, /) -> int:
        super().write(shown(_in_their_encoding(text, self.encoding)))
        return len(text)


def clean() -> None:
    """From now on print by the rule, and a character that the encoding has not with its backslash.

    A standard stream that is closed becomes the null device: the next file that is opened would take its place.
    The streams that Python made stay in ``sys.__stdout__`` and ``sys.__stderr__``, for progress bars.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None or type(stream) is io.TextIOWrapper:
            lines = stream is None or stream.line_buffering
            encoding = sys._xoptions.get(ENCODING) or (stream.encoding if stream else "utf-8")
            if codecs.lookup(str(encoding)).name == "ascii":  # the locale C, which knows of no encoding
                encoding = "utf-8"
            sink = io.BufferedWriter(_Sink(number, "wb", closefd=False))
            setattr(sys, name, _Text(sink, str(encoding), "backslashreplace", line_buffering=lines))


# with -X: what the standard streams' encoding was where Python was started again for its UTF-8 mode
ENCODING = "porter-encoding"
_THEIR_BYTES = re.compile("[\udc80-\udcff][\x40-\x7e\udc80-\udcff]?")


def _in_their_encoding(text: str, encoding: str) -> str:
    """A text with a path's bytes that are no UTF-8 read as the terminal would: in GBK a folder may have a GBK name."""

    def read(match: re.Match[str]) -> str:
        try:
            return match[0].encode("utf-8", "surrogateescape").decode(encoding)
        except UnicodeDecodeError:
            return match[0]

    return text if text.isascii() or encoding == "utf-8" else _THEIR_BYTES.sub(read, text)


def _spelled(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


SCHEMA = 1


def heading(kind: str) -> dict[str, Any]:
    """The fields that a record of this kind begins with."""
    return {"kind": kind, "schema": SCHEMA, "porter": __version__}


def record_of(made: Any) -> dict[str, Any]:
    """A dataclass and all in it as JSON has them: objects, lists and text."""
    import dataclasses  # of no use where nothing is printed

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return record_of(value)
        if isinstance(value, Mapping):
            return {name: plain(inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(inner) for inner in value]
        return str(value) if isinstance(value, Path) else value

    return {field.name: plain(getattr(made, field.name)) for field in dataclasses.fields(made)}


def labelled(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its heading; one that has one already stays as it is."""
    return {**heading(kind), **value}


def to_json(value: Any, *, for_stdout: bool = False) -> str:
    """A record as text, ended by a newline; what is no text of Unicode, as a path may be, is escaped.

    Args:
        for_stdout: escape all but ASCII where standard output is not in UTF-8, which is JSON's encoding.
    """
    import json

    ascii_only = for_stdout and codecs.lookup(sys.stdout.encoding).name != "utf-8"
    text = json.dumps(value, indent=2, ensure_ascii=ascii_only) + "\n"
    text = re.sub(rf"(?!\n){_CONTROL}", lambda match: f"\\u{ord(match[0]):04x}", text)
    return text.encode("utf-8", "backslashreplace").decode()


class Progress:
    """Says nothing; what functions use when nobody listens."""

    def note(self, line: str) -> None:
        """Something the person should know although all goes well: a source that failed, a missing file."""

    def answer(self, line: str) -> None:
        """Something the person asked for, as where what is kept lies: said even where notes are not."""
        self.note(line)

    def step(self, what: str, done: int = 0, total: int | None = None) -> None:
        """Where a step stands; ``total`` is ``None`` while the end is not known."""

    def transfer(self, what: str, done: int, total: int | None) -> None:
        """A step whose numbers are bytes."""
        self.step(what, done, total)


class Terminal(Progress):
    """Notes and answers on standard error, one line each; there also a bar, if standard error is a terminal.

    A context manager: the bar is gone when the block ends, however it ends.

    Args:
        quiet: neither notes nor a bar; only what :meth:`say` and :meth:`answer` are told.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._what = self._unit = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def note(self, line: str) -> None:
        """Print ``line``, above the bar if there is one."""
        if not self._quiet:
            self.answer(line)

    def answer(self, line: str) -> None:
        """Print ``line`` in the same place, also where all else is to be quiet; without passwords of URLs."""
        line = redacted(line)
        if self._bars is not None:
            self._bars.console.print(shown(line), markup=False, highlight=False, soft_wrap=True)
            return
        print(line, file=sys.stderr)

    def say(self, line: str) -> None:
        """Print a line of the result on standard output, while a bar may stand below it."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
        print(line, flush=True)

    def step(self, what: str, done: int = 0, total: int | None = None) -> None:
        """Move the bar; a new ``what`` starts it anew."""
        self._move(what, done, total, "count")

    def transfer(self, what: str, done: int, total: int | None) -> None:
        """Move the bar, which says how many bytes came and how fast."""
        self._move(what, done, total, "bytes")

    def _move(self, what: str, done: int, total: int | None, unit: str) -> None:
        if self._quiet or not sys.stderr.isatty():
            return
        from rich.markup import escape

        if self._bars is not None and unit != self._unit:
            self._bars.stop()
            self._bars = None
        if self._bars is None:
            self._bars, self._unit, self._task = _bars(unit), unit, None
            self._bars.start()
        if self._task is not None and what != self._what:
            self._bars.remove_task(self._task)
            self._task = None
        if self._task is None:
            self._task, self._what = self._bars.add_task(escape(printable(redacted(what))), total=total), what
        self._bars.update(self._task, completed=done, total=total)


def _bars(unit: str) -> Bars:
    from rich import progress
    from rich.console import Console

    columns = progress.Progress.get_default_columns()
    if unit == "bytes":
        columns = (*columns, progress.DownloadColumn(), progress.TransferSpeedColumn())
    # the bars move the cursor, which porter's own streams do not pass on
    return progress.Progress(*columns, console=Console(file=sys.__stderr__), transient=True)


_LISTENER = "porter"


class Timed:
    """A program that runs: told when it has ended, with what it took.

    Args:
        log: the logger of the module that runs it.
        words: the command.
    """

    def __init__(self, log: logging.Logger, words: Iterable[object]) -> None:
        self._log, self._words, self._started = log, words, time.monotonic()

    def ended(self, how: object) -> None:
        """Tell it; ``how`` is its exit status, or how it ended in words."""
        import logging

        if self._log.isEnabledFor(logging.DEBUG):
            took = time.monotonic() - self._started
            self._log.debug("%s  (%s, %.3f s)", command_line(*map(str, self._words)), how if how != 0 else "done", took)


def listen() -> Callable[[], None]:
    """Have everything told on standard error from now on; what is returned tells how long it was."""
    import logging

    log, started = logging.getLogger("porter"), time.monotonic()

    class Lines(logging.Handler):
        """A line each on standard error, as that is now: a progress bar stands in for it while there is one."""

        def emit(self, record: logging.LogRecord) -> None:
            """Print a record, with the seconds since porter began to listen."""
            name = (record.name.split(".") * 2)[1]  # the module, or the package that it is in; porter itself
            with suppress(OSError, ValueError):  # standard error is closed: nobody reads it
                print(f"{time.monotonic() - started:8.3f} {name}: {redacted(record.getMessage())}", file=sys.stderr)

    if not any(handler.name == _LISTENER for handler in log.handlers):
        log.addHandler(Lines())
        log.handlers[-1].name = _LISTENER
    log.setLevel(logging.DEBUG)
    log.propagate = False
    return lambda: log.debug("%.3f s in all", time.monotonic() - started)
