"""Hands a batch to the workers of its route; what cannot travel runs here under auto, and fails alone otherwise."""

import threading
from collections.abc import Callable
from typing import Any

from parallel_deco._errors import NotPicklableError, ParallelError
from parallel_deco._measure import Readings
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, BatchResult, Done, Ticket

__all__ = ["all_failed", "start_each_in_processes", "start_in_processes"]


def start_in_processes(
    batch: Batch, done: Done, *, chooses: bool, stuck: Callable[[str], None], **how: Any
) -> Ticket | None:
    """Start a batch in worker processes; where the route is ours to choose, in threads if they cannot take it.

    Parameters
    ----------
    batch : Batch
    done : callable
    chooses : bool
        Whether the route is chosen, and not the user's.
    stuck : callable
        Gets the reason when something cannot travel, there or back, and the route is chosen.
    **how
        For `ProcessBackend.start`.

    Raises
    ------
    NotPicklableError, ParallelError, OSError
        It cannot be done, and the route is the user's.
    """

    def done_there(result: BatchResult) -> None:
        cause = next((error for error in result.errors.values() if isinstance(error, NotPicklableError)), None)
        if cause is None or not chooses:
            done(result)
            return
        # A result that cannot come back: the batch runs again here. It has no effects, or it would not have been sent.
        stuck(str(cause))
        pools.threads().start(batch, done)

    try:
        return pools.processes().start(batch, done_there, **how)
    except NotPicklableError as error:
        if not chooses:
            raise
        stuck(str(error))
    except (ParallelError, OSError):  # no more processes, or, at the exit, no thread to serve one
        if not chooses:
            raise
    return pools.threads().start(batch, done)


def start_each_in_processes(batch: Batch, done: Done, *, width: int, error: NotPicklableError) -> None:
    """Start the items of a batch that cannot be sent one by one, so that only those that are at fault fail."""
    if len(batch.items) == 1:
        done(all_failed(batch, error))
        return
    parts = _Parts(len(batch.items), done)
    for position, item in enumerate(batch.items):
        first = batch.first + position
        part = Batch(batch.function, [item], batch.shape, first, batch.context, batch.depth, timeout=batch.timeout)
        try:
            pools.processes().start(part, parts.taker(position), width=width)
        except NotPicklableError as refused:
            parts.taker(position)(all_failed(part, refused))


def all_failed(batch: Batch, error: BaseException) -> BatchResult:
    """Return the result of a batch that could not be started."""
    count = len(batch.items)
    return BatchResult([None] * count, dict.fromkeys(range(count), error), Readings(0, 0.0, 0.0))


class _Parts:
    """Puts the results of a batch that was run item by item together again."""

    def __init__(self, count: int, done: Done) -> None:
        self._lock = threading.Lock()
        self._missing = count
        self._done = done
        self._result = BatchResult([None] * count, {}, Readings(count, 0.0, 0.0))

    def taker(self, position: int) -> Done:
        """Return what takes the result of the item at this position."""

        def take(part: BatchResult) -> None:
            with self._lock:
                self._result.values[position] = part.values[0]
                if part.errors:
                    self._result.errors[position] = part.errors[0]
                self._missing -= 1
                complete = not self._missing
            if complete:
                self._done(self._result)

        return take
