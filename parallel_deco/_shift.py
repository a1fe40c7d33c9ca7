"""A thread's shift: it takes submitted calls from their lane one by one, and each future ends with its call.

Guarantees
    - A call is in the lane until the thread begins with it. So none waits behind another that takes long, or that waits
      for it, while there is a place; and calls begin in the order in which they were submitted.
    - A shift ends with a call that somebody listens to: its callbacks are called outside, when the place was given
      back, for they may wait for other calls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from math import inf
from time import perf_counter, thread_time

from parallel_deco._call import Call, call_back_here_or_aside
from parallel_deco._future import Future
from parallel_deco._measure import Readings
from parallel_deco._nesting import same_context
from parallel_deco.backends.batch import Batch, run_batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Shift"]


class Shift:
    """Calls in a thread of the pool; whoever takes `claim` first, the thread or who called it, ends the first one.

    Parameters
    ----------
    first : Call
        Marked as running.
    batch : Batch
        Of the first call alone; it says how all are run.
    following : callable
        Takes the next call from the lane, and marks it as running; None where there is none that goes with the first.
    seconds : float
        After which it takes no further call; 0 where it is to run one.
    claim : threading.Lock
    ended : callable
        Gets what was read, when all calls have ended and no callback was called yet.
    """

    __slots__ = (
        "_batch",
        "_claim",
        "_ended",
        "_errors",
        "_first",
        "_following",
        "_heard",
        "_own",
        "_own_cpu",
        "_seconds",
        "_values",
    )

    def __init__(
        self,
        first: Call,
        batch: Batch,
        following: Callable[[], Call | None],
        seconds: float,
        claim: threading.Lock,
        ended: Callable[[Readings], None],
    ) -> None:
        self._first: Call | None = first
        self._batch = batch
        self._following = following
        self._seconds = seconds
        self._claim = claim
        self._ended = ended
        self._values: list[Any] = []
        self._errors: dict[int, BaseException] = {}
        self._heard: list[Future[Any]] = []
        self._own = self._own_cpu = inf  # seconds between two calls, at least

    def __call__(self) -> None:
        """Run it."""
        if not self._claim.acquire(blocking=False):
            return
        readings = run_batch(self._batch, self._values, self._errors, self._calls()).readings
        if readings.items > 1:
            # What futures take to end is not the function's, nor is a wait for the GIL in it: the least counts for all.
            own, own_cpu = readings.items * self._own, readings.items * self._own_cpu
            readings = readings._replace(
                wall=max(readings.wall - own, 0.0),
                cpu=max(readings.cpu - own_cpu, 0.0),
                process_cpu=max(readings.process_cpu - own_cpu, 0.0),
            )
        try:
            self._ended(readings)
        finally:  # that starts other calls, and what goes wrong there is theirs
            call_back_here_or_aside(self._heard)

    def _calls(self) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Yield the arguments of call after call; what came of one is there when the next is asked for."""
        call, self._first, self._batch.items = self._first, None, ()  # the arguments go when the call has ended
        end = perf_counter() + self._seconds
        while call is not None:
            yield call.args, call.kwargs
            began, computed = perf_counter(), thread_time()
            future, context, call = call.future, call.context, None
            error = self._errors.pop(len(self._values) - 1, None) if self._errors else None
            value, self._values[-1] = self._values[-1], None
            if future.end(value, error):
                self._heard.append(future)
                return
            del future, value, error  # nothing of it is kept while the next one runs
            if began >= end or not same_context(copy_context(), context) or (call := self._following()) is None:
                return  # the next one is not to see what this one has set
            self._own = min(self._own, perf_counter() - began)
            self._own_cpu = min(self._own_cpu, thread_time() - computed)
