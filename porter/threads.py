"""Threads that end with the block that they work for, whenever a signal comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from porter import signals

_Result = TypeVar("_Result")


class Pool(ThreadPoolExecutor):
    """A pool that knows each of its threads: a signal in the middle of starting one has to wait."""

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        """See :class:`concurrent.futures.Executor`; what a pool did not see begin it does not wait for in the end."""
        with signals.held():
            return super().submit(fn, *args, **kwargs)


@contextmanager
def pool(workers: int, name: str = "", stop: Callable[[], None] = lambda: None) -> Iterator[Pool]:
    """Threads for a block.  When it ends, however, none of them is left, and what did not begin never does.

    Args:
        workers: how many.
        name: what they are called.
        stop: has what still works come to an end soon.
    """
    made = Pool(workers, thread_name_prefix=name)
    try:
        yield made
    finally:
        with signals.held():
            stop()
            made.shutdown(cancel_futures=True)
