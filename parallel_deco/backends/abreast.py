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
from time import monotonic, perf_counter, process_time

from parallel_deco._cpus import cpus_contended
from parallel_deco._readings import IDLE, LOOK, UNREAD, Idleness, Readings
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
#: How much of its time the process is to compute, where more threads have use of each other's waiting.
BUSY = 1.3


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
    outcomes, began, spent = _Outcomes(batch), monotonic(), process_time()
    crew = _Crew(batch, outcomes)
    crew.start(batch.abreast - 1)
    readings = _Share(crew, report, pause).run()
    if outcomes.stray:
        return BatchResult([], {}, UNREAD)
    for end in crew.ended:  # and those that are started meanwhile, by a thread before them
        end.acquire()
    for seen in crew.readings:
        readings = readings.plus(seen)
    # What they waited for was neither each other's GIL nor a CPU.
    idle = process_time() - spent < IDLE * (monotonic() - began) and not readings.starved and not cpus_contended()
    return BatchResult(outcomes.values, outcomes.errors, readings._replace(idle=idle))


class _Crew:
    """The threads of a batch; it does not know what they have, for nobody would let go of that."""

    __slots__ = ("batch", "ended", "outcomes", "readings")

    def __init__(self, batch: Batch, outcomes: _Outcomes) -> None:
        self.batch = batch
        self.outcomes = outcomes
        self.ended: list[LockType] = []  #: of each thread but the first, taken until it has
        self.readings: list[Readings] = []  #: of those that have ended

    def start(self, threads: int) -> None:
        """Start so many, or as many as can be had."""
        for started in range(threads):
            end = allocate_lock()
            end.acquire()
            try:
                start_new_thread(self._run_aside, (end,))
            except RuntimeError:  # there are no more
                self.outcomes.lack(threads - started)
                return
            self.ended.append(end)

    def _run_aside(self, end: LockType) -> None:
        try:
            self.readings.append(_Share(self).run())
        finally:
            if self.outcomes.stray:
                os._exit(0)
            end.release()


class _Outcomes:
    """The items, of which each thread takes the next, and what became of them; `_lock` guards all of it."""

    __slots__ = (
        *("_batch", "_done", "_each", "_ended", "_grown", "_lock", "_over", "_process", "_reported", "_threads"),
        *("_until", "errors", "values"),
    )

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._lock = allocate_lock()
        self._process = os.getpid()
        patience, self._each = batch.patience or (inf, 0.0)
        self._threads = batch.abreast
        self._grown = perf_counter()  # when the last of them were to be started
        self._until = monotonic() + patience
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

    def lacking(self, idleness: Idleness) -> int:
        """Return how many threads are to be started beside those that there are, and count them.

        `idleness` is that of the asking thread.
        """
        now = perf_counter()
        if self._threads >= MOST or now < idleness.since + LOOK:
            return 0
        since = idleness.since
        computed = idleness.ask()
        with self._lock:
            if self._over or computed > IDLE or since < self._grown:
                return 0
            wanted = min(MOST, int(BUSY * self._threads / max(computed, 1e-3)))
            more = max(0, min(wanted - self._threads, len(self._batch.items) - len(self.values)))
            if more:
                self._threads, self._grown = self._threads + more, now
            return more

    def lack(self, threads: int) -> None:
        """Note that so many of them could not be started."""
        with self._lock:
            self._threads -= threads

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
        *("_batch", "_crew", "_errors", "_idleness", "_items", "_next", "_outcomes", "_pause", "_position"),
        *("_report", "_settled", "_values"),
    )

    def __init__(self, crew: _Crew, report: Report | None = None, pause: float = inf) -> None:
        batch = crew.batch
        self._crew = crew
        self._outcomes = crew.outcomes
        self._idleness = Idleness()
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
        threads = self._outcomes.lacking(self._idleness)
        if threads:
            self._crew.start(threads)
        return self._items[self._position]

    def run(self) -> Readings:
        """Run items until there are no more; whatever goes wrong is the error of the one that ran."""
        failure, readings = None, UNREAD
        try:
            readings = run_batch(self._batch, self._values, self._errors, self).readings
        except BaseException as error:  # no memory, for one
            failure = error
        self._settle(failure)
        return readings

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
