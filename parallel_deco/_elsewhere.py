"""Hands a batch to the workers of its route; under auto, what cannot go there runs here; else it fails alone."""

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from parallel_deco._errors import NotPicklableError, ParallelError
from parallel_deco._measure import UNREAD, Readings
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, BatchResult, Done, Ticket

if TYPE_CHECKING:
    from parallel_deco.backends.functions import Travelling

__all__ = ["all_failed", "start_each_in_processes", "start_in_processes"]


def start_in_processes(
    batch: Batch,
    done: Done,
    *,
    chooses: bool,
    stuck: Callable[[str, bool], None],
    prepare: "Callable[[], Travelling] | None" = None,
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


def start_each_in_processes(batch: Batch, done: Done, *, width: int, error: NotPicklableError) -> None:
    """Start the items of a batch that cannot be sent one by one, so that only those that are at fault fail.

    `done` is never called before this returns.

    Raises
    ------
    NotPicklableError
        There is but one.
    """
    if len(batch.items) == 1:
        raise error
    parts = _Parts(len(batch.items), done)
    refused: list[Callable[[], object]] = []
    for position, item in enumerate(batch.items):
        first = batch.first + position
        part = Batch(batch.function, [item], batch.shape, first, batch.context, batch.depth, timeout=batch.timeout)
        take = parts.taker(position)
        try:
            pools.processes().start(part, take, width=width)
        except NotPicklableError as reason:
            refused.append(partial(take, all_failed(part, reason)))
    if refused:
        pools.threads().call(partial(_call_all, refused))


def _call_all(calls: list[Callable[[], object]]) -> None:
    for call in calls:
        call()


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
    again = homeless
    if not batch.keep_going and homeless[-1] not in result.unbegun:  # with that one the batch has ended
        again = [*homeless, *range(homeless[-1] + 1, len(batch.items))]
    rest = Batch(
        batch.function,
        [batch.items[position] for position in again],
        batch.shape,
        batch.first + again[0],
        batch.context,
        batch.depth,
        batch.keep_going,
        timeout=batch.timeout,
        turn=batch.turn,
    )

    def done_here(here: BatchResult) -> None:
        values, errors = list(result.values), dict(result.errors)
        for position in again:
            errors.pop(position, None)
        values += [None] * (again[-1] + 1 - len(values))
        for at, value in enumerate(here.values):
            values[again[at]] = value
        errors |= {again[at]: error for at, error in here.errors.items()}
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
    """Puts the results of a batch that was run item by item together again."""

    def __init__(self, count: int, done: Done) -> None:
        self._lock = threading.Lock()
        self._missing = count
        self._done = done
        self._result = BatchResult([None] * count, {}, UNREAD)

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
