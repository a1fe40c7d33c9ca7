"""Several items of a batch at once in one worker process, a thread each: they wait most of the time, and share a GIL.

Guarantees
    - Items begin in their order, each once, and all that have begun come to their end: what there is of outcomes is a
      beginning of the batch. One item is begun in any case.
    - After one that failed none begins any more, unless the batch is to keep going; nor when it has taken too long.
    - Where an item forks, nothing else of the batch runs in the child.
    - Where all of them wait, there are more of them soon: the batch may be of other items than those it was cut for.
"""

from __future__ import annotations

import os
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable, Iterator
from math import inf
from time import monotonic, process_time

from parallel_deco._readings import UNREAD
from parallel_deco.backends import contexts
from parallel_deco.backends.batch import Batch, BatchResult, run_batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    #: Gets the values and the errors of the items that have ended, up to the first that has not.
    Report = Callable[[list[Any], dict[int, BaseException]], None]

__all__ = ["run_abreast"]

#: Threads of a batch, at most, unless it says more itself.
MOST = 16
#: Share of its time that the process computes up to which more threads than there are have use of each other's waiting;
#: how much of it so many are to compute; and seconds from one such look to the next.
IDLE, BUSY, PAUSE = 0.5, 1.3, 2e-3


def run_abreast(batch: Batch, report: Report | None = None, pause: float = inf) -> BatchResult:
    """Run a batch in so many threads as it says, of which the calling one is the first.

    Parameters
    ----------
    batch : Batch
    report : callable, optional
        Called with the outcomes so far when more have come, between two items of the calling thread.
    pause : float
        Seconds from one such call to the next, at least.

    Notes
    -----
    Some 50 µs for each thread, and 3 µs for each item.
    """
    contexts.settle(batch.context)  # of which each thread has a copy
    outcomes = _Outcomes(batch)
    ended: list[LockType] = []

    def start(threads: int) -> None:
        for _ in range(threads):
            end = allocate_lock()
            end.acquire()
            try:
                start_new_thread(_run_aside, (_Share(outcomes, batch, start), end, shares))
            except RuntimeError:  # there are no more
                return
            ended.append(end)

    began, spent = monotonic(), process_time()
    shares = [_Share(outcomes, batch, start, report, pause)]
    start(batch.abreast - 1)
    shares[0].run()
    if outcomes.stray:
        return BatchResult([], {}, UNREAD)
    for end in ended:  # and those that are started meanwhile, by a thread before them
        end.acquire()
    readings = UNREAD
    for share in shares:
        readings = readings.plus(share.readings)
    # What they waited for was neither each other's GIL nor a CPU.
    idle = process_time() - spent < IDLE * (monotonic() - began) and not readings.starved
    return BatchResult(outcomes.values, outcomes.errors, readings._replace(idle=idle))


def _run_aside(share: _Share, end: LockType, shares: list[_Share]) -> None:
    shares.append(share)
    try:
        share.run()
    finally:
        if share.stray:
            os._exit(0)
        end.release()


class _Outcomes:
    """The items, of which each thread takes the next, and what became of them; `_lock` guards all of it."""

    __slots__ = (
        *("_batch", "_done", "_each", "_ended", "_lock", "_over", "_process", "_reported", "_since", "_spent"),
        *("_threads", "_until", "errors", "values"),
    )

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._lock = allocate_lock()
        self._process = os.getpid()
        patience, self._each = batch.patience or (inf, 0.0)
        self._since = monotonic()
        self._spent = process_time()
        self._threads = batch.abreast
        self._until = self._since + patience
        self._over = False  # none is to begin any more
        self._ended: set[int] = set()  # behind those that are done
        self._done = 0  # how many have ended before the first that has not
        self._reported = 0
        self.values: list[Any] = []  #: of those that have begun
        self.errors: dict[int, BaseException] = {}

    @property
    def stray(self) -> bool:
        """Whether this is a child that an item has forked, where the other threads are not."""
        return os.getpid() != self._process

    def take(self) -> int:
        """Return the position of the next item.

        Raises
        ------
        StopIteration
            There is none.
        """
        if self.stray:  # somebody may have had the lock
            raise StopIteration
        with self._lock:
            position = len(self.values)
            if self._over or position >= len(self._batch.items) or (position and self._is_late()):
                raise StopIteration
            self.values.append(None)
            return position

    def lacking(self) -> int:
        """Return how many threads are to be started beside those that there are, and count them."""
        now = monotonic()
        if self._threads >= MOST or now < self._since + PAUSE:  # without the lock: another look soon does no harm
            return 0
        with self._lock:
            spent, elapsed = process_time() - self._spent, now - self._since
            self._since, self._spent = now, self._spent + spent
            if self._over or elapsed < PAUSE or spent > IDLE * elapsed:
                return 0
            wanted = min(MOST, int(BUSY * self._threads * elapsed / max(spent, 1e-6)))
            more = max(0, min(wanted - self._threads, len(self._batch.items) - len(self.values)))
            self._threads += more
            return more

    def _is_late(self) -> bool:
        ended = max(0, len(self.values) - self._threads + 1)
        return monotonic() > self._until + ended * self._each

    def put(self, position: int, value: Any, error: BaseException | None) -> None:
        """Put in what became of an item."""
        if self.stray:
            return
        with self._lock:
            self.values[position] = value
            if error is not None:
                self.errors[position] = error
                self._over = self._over or not self._batch.keep_going
            self._ended.add(position)
            while self._done in self._ended:
                self._ended.remove(self._done)
                self._done += 1

    def more(self) -> tuple[list[Any], dict[int, BaseException]] | None:
        """Return what has ended, up to the first that has not, if that is more than the last time."""
        with self._lock:
            if self._over or self._done == self._reported:
                return None
            self._reported = done = self._done
            return self.values[:done], {place: error for place, error in self.errors.items() if place < done}


class _Share:
    """What one thread runs: iterates over items as it asks for the next, when the one before has ended."""

    __slots__ = (
        *("_batch", "_errors", "_items", "_next", "_outcomes", "_pause", "_position"),
        *("_report", "_settled", "_start", "_values", "readings"),
    )

    def __init__(
        self,
        outcomes: _Outcomes,
        batch: Batch,
        start: Callable[[int], None],
        report: Report | None = None,
        pause: float = inf,
    ) -> None:
        self.readings = UNREAD
        self._outcomes = outcomes
        self._start = start
        self._items = batch.items
        self._report = report
        self._pause = pause
        self._next = monotonic() + pause
        self._position = -1  # of the item that runs
        self._settled = 0  # how many were put in
        self._values: list[Any] = []
        self._errors: dict[int, BaseException] = {}
        self._batch = Batch(
            batch.function,
            (),
            batch.shape,
            batch.first,
            batch.context,
            batch.depth,
            batch.keep_going,
            batch.watch and report is not None,  # the sampler has no use for all of them
            careful=batch.careful,
            measured=batch.measured,
        )

    @property
    def stray(self) -> bool:
        """Whether this is the child of a fork."""
        return self._outcomes.stray

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._settle()
        if self._report is not None and monotonic() >= self._next and not self.stray:
            more = self._outcomes.more()
            if more is not None:
                self._report(*more)
            self._next = monotonic() + self._pause
        self._position = self._outcomes.take()
        threads = self._outcomes.lacking()
        if threads:
            self._start(threads)
        return self._items[self._position]

    def run(self) -> None:
        """Run items until there are no more; whatever goes wrong is the error of the one that ran."""
        failure = None
        try:
            self.readings = run_batch(self._batch, self._values, self._errors, self).readings
        except BaseException as error:  # no memory, for one
            failure = error
        self._settle(failure)

    def _settle(self, failure: BaseException | None = None) -> None:
        """Put in what became of the item that ran, if one did."""
        position, self._position = self._position, -1
        if position < 0:
            return
        if self._settled < len(self._values):
            value, failure = self._values[self._settled], self._errors.get(self._settled)
            self._values[self._settled] = None
        else:
            value = None
        self._settled += 1
        self._outcomes.put(position, value, failure)
