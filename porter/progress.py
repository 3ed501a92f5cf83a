"""What a long step says while it runs.  Functions report to a :class:`Progress`; the command line shows it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from porter.output import printable, shown

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


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
        """Print ``line`` in the same place, also where all else is to be quiet."""
        if self._bars is not None:
            self._bars.console.print(shown(line), markup=False, highlight=False, soft_wrap=True)
            return
        import sys

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
        import sys

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
            self._task, self._what = self._bars.add_task(escape(printable(what)), total=total), what
        self._bars.update(self._task, completed=done, total=total)


def _bars(unit: str) -> Bars:
    import sys

    from rich import progress
    from rich.console import Console

    columns = progress.Progress.get_default_columns()
    if unit == "bytes":
        columns = (*columns, progress.DownloadColumn(), progress.TransferSpeedColumn())
    # the bars move the cursor, which porter's own streams do not pass on
    return progress.Progress(*columns, console=Console(file=sys.__stderr__), transient=True)
