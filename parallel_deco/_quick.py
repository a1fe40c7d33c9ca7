"""Calls of short functions that are known: run and nothing else, for to measure one would take longer than it takes.

Guarantees
    - Whoever takes `_claim` first, the worker or who started it, ends the call and gives its place back, once.
    - The place is given back before the future ends: a callback of that may wait for other calls.
"""

import threading
from collections.abc import Callable

from parallel_deco._call import Call, call_back_aside, call_back_here_or_aside, killer, settle
from parallel_deco._nesting import set_depth
from parallel_deco._readings import begin_unmeasured, end_unmeasured
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, BatchResult, Shape

__all__ = ["QuickCall", "SentCall"]


class _Claimed:
    """A call that has a place, which whoever claims it gives back."""

    __slots__ = ("_call", "_claim", "_freed", "_level")

    def __init__(self, call: Call, level: int, freed: Callable[..., None]) -> None:
        self._call = call
        self._level = level
        self._freed = freed
        self._claim = threading.Lock()

    def _take(self) -> bool:
        """Take the claim; return whether the caller is the one to end it."""
        return self._claim.acquire(blocking=False)

    def _call_off(self) -> None:
        """Give the place back, unless somebody else does: the future was ended."""
        if self._take():
            self._freed(self._level)

    def give_up(self, error: BaseException) -> None:
        """End it with an error, unless somebody else does: it could not be started."""
        if not self._take():
            return
        self._freed(self._level)
        future = self._call.future
        if future.running() or future.set_running_or_notify_cancel():
            future.set_exception(error)


class QuickCall(_Claimed):
    """One for a thread of the pool, which calls it."""

    __slots__ = ()

    def start(self) -> None:
        """Hand it to a thread."""
        if not self._level:  # who waits within a call is measured, and to stay awake is not what it does
            self._call.future.expect_soon()
        pools.threads().call(self)

    def __call__(self) -> None:
        """Run it and deliver what became of it."""
        if not self._take():
            return
        call = self._call
        if not call.future.set_running_or_notify_cancel():
            self._freed(self._level)
            return
        begin_unmeasured()
        before = set_depth(self._level + 1)
        value = failure = None
        try:
            value = call.context.run(call.function, *call.args, **call.kwargs)
        except BaseException as error:
            failure = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        finally:
            set_depth(before)
            end_unmeasured()
        try:
            self._freed(self._level, own=True)
        finally:  # whatever a policy of the user's raised there
            if call.future.end(value, failure):
                call_back_here_or_aside([call.future])


class SentCall(_Claimed):
    """One for a worker process."""

    __slots__ = ("_width",)

    def __init__(self, call: Call, level: int, freed: Callable[..., None], width: int) -> None:
        super().__init__(call, level, freed)
        self._width = width

    def start(self) -> None:
        """Send it.

        Raises
        ------
        NotPicklableError, ParallelError, OSError
            It cannot be sent, or there are no workers.
        """
        call = self._call
        if not call.future.set_running_or_notify_cancel():
            self._call_off()
            return
        item = call.args, call.kwargs
        depth = self._level + 1
        batch = Batch(call.function, [item], Shape.CALL, 0, call.context, depth, keep_going=True, measured=False)
        ticket = pools.processes().start(batch, self._done, width=self._width)
        call.future.killed_by(killer(ticket, self._call_off))

    def _done(self, result: BatchResult) -> None:
        if self._take():
            try:
                self._freed(self._level)
            finally:
                call_back_aside(settle((self._call,), result))  # a worker's reader must go on reading
