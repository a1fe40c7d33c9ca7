"""Hands a batch to the workers of its route; under auto, what cannot go there runs here; else it fails alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

from parallel_deco._errors import NotPicklableError, ParallelError
from parallel_deco._measure import UNREAD, Readings
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, BatchResult, Done, Ticket, nowhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from parallel_deco.backends.functions import Travelling

__all__ = ["all_failed", "start_each_in_processes", "start_in_processes"]


def start_in_processes(
    batch: Batch,
    done: Done,
    *,
    chooses: bool,
    stuck: Callable[[str, bool], None],
    prepare: Callable[[], Travelling] | None = None,
    here: Callable[[Batch, Done], Ticket | None] | None = None,
    **how: Any,
) -> Ticket | None:
    """Start a batch in worker processes; where the route is ours to choose, in threads if they cannot take it.

    Parameters
    ----------
    batch : Batch
    done : callable
    chooses : bool
        Whether the route is chosen, and not the user's.
    stuck : callable
        Gets the reason when something cannot travel, there or back, or no worker starts, and the route is chosen; and
        whether it is the function, so that no call of it ever can.
    prepare : callable, optional
        Gives the function as it travels; otherwise it is sent as it is now.
    here : callable, optional
        Starts the batch in threads, in its own way, when the workers cannot take it.
    **how
        For `ProcessBackend.start`.

    Raises
    ------
    NotPicklableError, ParallelError, OSError
        It cannot be done, and the route is the user's.
    """

    def done_there(result: BatchResult) -> None:
        homeless = _homeless(result)
        if not homeless or not chooses:
            done(_up_to_its_error(batch, result.values, result.errors, result.readings))
            return
        try:
            stuck(*_reason(result.errors[homeless[0]]))
            _run_rest_here(batch, result, homeless, done)
        except Exception as error:  # of a policy of the user's; or no thread is left
            done(all_failed(batch, error))

    try:
        prepared = None if prepare is None else prepare()
        return pools.processes().start(batch, done_there, prepared=prepared, **how)
    except NotPicklableError as error:
        if not chooses:
            raise
        stuck(*_reason(error))
    except (ParallelError, OSError):  # no more processes, or, at the exit, no thread to serve one
        if not chooses:
            raise
    return pools.threads().start(batch, done) if here is None else here(batch, done)


def start_each_in_processes(batch: Batch, done: Done, *, width: int, error: NotPicklableError) -> Ticket:
    """Run the items of a batch that cannot be sent one after the other, so that only those that are at fault fail.

    `done` is never called before this returns.

    Raises
    ------
    NotPicklableError
        There is but one.
    """
    if len(batch.items) == 1:
        raise error
    parts = _Parts(batch, done, width)
    pools.threads().call(parts.go_on)
    return parts


def _homeless(result: BatchResult) -> list[int]:
    """Return the positions of items that no worker could begin with, or whose results could not come back."""
    unbegun = result.unbegun
    return sorted(at for at, error in result.errors.items() if at in unbegun or isinstance(error, NotPicklableError))


def _reason(error: BaseException) -> tuple[str, bool]:
    """Return why a batch does not leave, and whether it is the function that cannot."""
    if isinstance(error, ParallelError):
        return str(error), isinstance(error, NotPicklableError) and error.of_function
    return f"a worker process cannot begin with it ({type(error).__name__}: {error})", False


def _run_rest_here(batch: Batch, result: BatchResult, homeless: list[int], done: Done) -> None:
    """Run in a thread what no worker could begin with, and what could not come back; deliver it with the rest.

    It has no effects, or it would not have been sent. Other items must not run again: one may have killed its worker.
    """
    rest = Batch(
        batch.function,
        [batch.items[position] for position in homeless],
        batch.shape,
        batch.first + homeless[0],
        batch.context,
        batch.depth,
        batch.keep_going,
        timeout=batch.timeout,
        turn=batch.turn,
    )

    def done_here(here: BatchResult) -> None:
        values, errors = list(result.values), dict(result.errors)
        for position in homeless:
            errors.pop(position, None)
        for at, value in enumerate(here.values):
            values[homeless[at]] = value
        errors |= {homeless[at]: error for at, error in here.errors.items()}
        done(_up_to_its_error(batch, values, errors, result.readings if result.readings.items else here.readings))

    pools.threads().start(rest, done_here)


def _up_to_its_error(
    batch: Batch, values: list[Any], errors: dict[int, BaseException], readings: Readings
) -> BatchResult:
    """Return a result that goes no further than the first error, if the batch does not."""
    if errors and not batch.keep_going:
        end = min(errors) + 1
        values, errors = values[:end], {position: error for position, error in errors.items() if position < end}
    return BatchResult(values, errors, readings)


def all_failed(batch: Batch, error: BaseException) -> BatchResult:
    """Return the result of a batch that could not be started."""
    count = len(batch.items)
    return BatchResult([None] * count, dict.fromkeys(range(count), error), UNREAD)


class _Parts:
    """The items of a batch, each sent alone when the one before it has ended; together they have the batch's place."""

    kills = True

    def __init__(self, batch: Batch, done: Done, width: int) -> None:
        self._lock = threading.RLock()  # the collector may run under it, and let go of the map
        self._batch = batch
        self._done = done
        self._width = width
        self._ticket: Ticket | None = None
        self._result = BatchResult([], {}, UNREAD)

    def go_on(self) -> None:
        """Send the next item; where there is none, deliver."""
        batch, result = self._batch, self._result
        while len(result.values) < len(batch.items) and (batch.keep_going or not result.errors):
            if self._done is nowhere:
                return
            at = len(result.values)
            part = Batch(batch.function, [batch.items[at]], batch.shape, batch.first + at, batch.context, batch.depth)
            part.timeout = batch.timeout
            try:
                ticket = pools.processes().start(part, self._take, width=self._width)
            except Exception as error:
                self._enter(all_failed(part, error))
                continue
            self._hold(at, ticket)
            return
        with self._lock:
            done, self._done = self._done, nowhere
        done(result)

    def _enter(self, part: BatchResult) -> None:
        if part.errors:
            self._result.errors[len(self._result.values)] = part.errors[0]
        self._result.values.append(part.values[0])

    def _take(self, part: BatchResult) -> None:
        self._enter(part)
        self.go_on()

    def _hold(self, at: int, ticket: Ticket) -> None:
        """Keep the ticket of an item, unless that has ended already; cancel it if all was called off meanwhile."""
        with self._lock:
            if len(self._result.values) == at:
                self._ticket = ticket
            cancelled = self._done is nowhere
        if cancelled:
            ticket.cancel(kill=True)

    def cancel(self, kill: bool = False) -> bool:
        """Begin no further item, and with `kill` end the one that runs; deliver nothing."""
        with self._lock:
            self._done = nowhere
            ticket = self._ticket
        return ticket is None or ticket.cancel(kill=kill)
