"""A reference that is computed while it is compared with: of its tensors one is there at a time, and none is copied.

It has a thread of its own, which runs while the other side waits for a tensor, and waits else.  So neither takes the
other's processors, and the tensors of a step need no room.
"""

import collections
import threading

import torch
from sides import run
from watching import LOSS

_AHEAD = 64  # tensors that are kept because the other side makes them later, or never
_SMALL = 1 << 18  # elements: copies of so small tensors cost less than a turn of the other side


class Ended(BaseException):
    """Nobody compares any more: the thread ends."""


class Lockstep:
    """The steps of a training, made tensor by tensor as they are asked for.

    Args:
        training: of the reference.
        images, targets, config: as :func:`sides.run` takes them.
        follows: its tensors may be replaced by the other side's: of each it waits to be told.
    """

    def __init__(self, training, images, targets, config, follows=False):
        # locks: a semaphore of Python's own takes ten times longer
        self._goes, self._made = threading.Lock(), threading.Lock()
        self._goes.acquire()
        self._made.acquire()
        self._ended, self._error, self._hand = False, None, None
        self._ahead = collections.OrderedDict()
        self.follows, self._taken, self._other = follows, None, None
        self._default_dtype = torch.get_default_dtype()  # it is the process's, and a side in float64 sets it
        self._lost = 0
        self._known = ()
        work = (training, images, targets, config, torch.get_num_threads())
        threading.Thread(target=self._work, args=work, daemon=True).start()

    # -- the reference's thread ------------------------------------------------------------------------

    def _work(self, training, images, targets, config, threads):
        try:
            self._wait()
            torch.set_num_threads(threads)  # OpenMP's number is a thread's own
            run(training, images, targets, config, lambda number: self._give, end=lambda: self._give(None, None))
        except Ended:
            pass
        except BaseException as error:  # the other side raises it
            self._error = error
            self._made.release()

    def _wait(self):
        self._goes.acquire()
        if self._ended:
            raise Ended

    def _give(self, thing, tensor):
        """Hand a tensor over; at the end of a step: none.  Returns what to go on from instead, or None."""
        if thing is not None and not self.follows and tensor.numel() < _SMALL and len(self._ahead) < _AHEAD:
            self._ahead[thing.name] = tensor.detach().clone()
            return None
        self._hand = thing, tensor
        self._made.release()
        self._wait()
        other, self._other = self._other, None
        return other

    # -- the other side's ------------------------------------------------------------------------------

    def begin(self, names):
        """A step begins.

        Args:
            names: of what the reference makes, but for what depends on the batch.
        """
        self._known, self._lost = names, 0

    def take(self, thing):
        """The reference's tensor, until the next one is asked for; None if there is none."""
        self._taken = None
        loss = thing.path == LOSS
        for _ in range(_AHEAD if loss or thing.name in self._known else 0):
            if self._hand is None and thing.name not in self._ahead:
                self._next()
            if self._hand is None or thing.name in self._ahead:
                break
            made, tensor = self._hand
            # what the loss computes depends on batch and precision: it may not be there, nor is it anywhere else
            if made is None or (loss and made.path != LOSS):
                break
            self._hand = None
            if made.name == thing.name:
                self._taken = tensor
                return tensor
            self._ahead[made.name] = tensor.detach().clone()
            if len(self._ahead) > 2 * _AHEAD:
                self._ahead.popitem(last=False)
                self._lost += 1
        return self._ahead.pop(thing.name, None)

    def substitute(self, tensor):
        """Let the reference go on from the other side's values of what was taken last.

        What the reference made before its turn stays: it has gone on from that.
        """
        if self._taken is not None:
            self._other = tensor.to(self._taken.dtype, copy=True)

    def end(self):
        """The step ended: how many of the reference's tensors nobody asked for."""
        lost = self._lost
        while self._hand is None or self._hand[0] is not None:
            lost += self._hand is not None
            lost += len(self._ahead)
            self._ahead.clear()
            self._next()
        self._hand = None
        lost += len(self._ahead)
        self._ahead.clear()
        return lost

    def _next(self):
        """Let the reference go on to what it hands over."""
        mine = torch.get_default_dtype()
        _set_default_dtype(self._default_dtype)
        self._goes.release()
        self._made.acquire()
        self._default_dtype = torch.get_default_dtype()
        _set_default_dtype(mine)
        if self._error is not None:
            raise self._error

    def close(self):
        """End the thread."""
        self._ended, self._hand = True, None
        self._goes.release()


def _set_default_dtype(dtype):
    """torch makes much of it, also where it is that already."""
    if torch.get_default_dtype() is not dtype:
        torch.set_default_dtype(dtype)
