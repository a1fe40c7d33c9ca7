"""Batches in threads whose items have a timeout: a late item fails at its deadline, and its thread is left behind.

Guarantees
    - Each item runs at most once and gets exactly one outcome. Whether an item begins in time and whether one is late
      is decided under its batch's `_lock`, so a thread that was left behind begins no further item, and what its item
      returns at last is dropped.
    - `done` is called once, in a thread of the pool (of the alarms, where no thread can be had), with no lock held.
      Nothing of the user's runs under a lock.
    - A batch's lock may be held when that of the pool is taken, never the other way round; `Deadlines` holds its own
      for its set only. `cancel` takes none: the garbage collector may call it, within any of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from math import inf
from time import monotonic

from parallel_deco._errors import ItemTimeoutError, name_of
from parallel_deco._readings import UNREAD
from parallel_deco._turns import Turn
from parallel_deco.backends.alarms import Alarms
from parallel_deco.backends.batch import Batch, BatchResult, Done, nowhere, run_batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol
else:
    Protocol = object

__all__ = ["Deadlines", "TimedBatch"]


class Pool(Protocol):
    """What is needed of the pool of threads."""

    def call(self, function: Callable[[], None]) -> None:
        """Have a thread call something."""

    def leave_behind(self, thread: threading.Thread) -> None:
        """Count on a thread no more."""

    def welcome(self, thread: threading.Thread) -> None:
        """Count on it again."""


class Deadlines:
    """The batches that run now, and one alarm for the first of their deadlines."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alarms = Alarms()
        self._running: set[TimedBatch] = set()
        self._next = inf

    def add(self, batch: TimedBatch, deadline: float) -> None:
        """Look after a batch, not before that time of `time.monotonic`."""
        with self._lock:
            self._running.add(batch)
            self._set(deadline)

    def discard(self, batch: TimedBatch) -> None:
        """Look after it no more."""
        with self._lock:
            self._running.discard(batch)

    def later(self, when: float, look: Callable[[], None]) -> bool:
        """Have something short called at a time of `time.monotonic`, unless all ends before; False if nothing will."""
        return self._alarms.at(when, look)

    @property
    def era(self) -> int:
        """How often what was set was dropped."""
        return self._alarms.era

    def clear(self) -> None:
        """Let the alarm's thread end, unless something runs."""
        with self._lock:
            if self._running:
                return
            self._next = inf
            thread = self._alarms.forget()
        self._alarms.leave(thread)

    def _set(self, deadline: float) -> None:
        if deadline < self._next:  # for which an alarm is on its way, also when its time has just come
            self._next = deadline if self._alarms.at(deadline, self._look) else inf

    def _look(self) -> None:
        now = monotonic()
        with self._lock:
            if now < self._next:  # the alarm of a deadline that an earlier one came before
                return
            self._next = inf
            running = list(self._running)
        deadline = min((batch.look() for batch in running), default=inf)
        with self._lock:
            self._set(deadline)


class _Run:
    """A thread's way through the items from one position on."""

    __slots__ = ("batch", "begun", "closed", "errors", "position", "start", "thread", "turn", "values")

    def __init__(self, start: int) -> None:
        self.start = start
        self.position = start  # of the item that runs, in the whole batch
        self.begun = inf  # when that began
        self.closed = False  # it has ended, or was left behind
        self.thread = threading.current_thread()
        self.values: list[Any] = []
        self.errors: dict[int, BaseException] = {}
        self.batch: Batch | None = None
        self.turn: Turn | None = None  # that it has


class TimedBatch:
    """A batch in the pool, to be called off.

    Parameters
    ----------
    batch : Batch
    timeout : float
        Seconds for each item, from its own beginning; what it waits for its turn does not count. Where the turn is with
        a thread that was left behind, the items that need it fail at once.
    done : callable
        Gets the result, once.
    pool : Pool
    deadlines : Deadlines
    """

    kills = False

    def __init__(self, batch: Batch, timeout: float, done: Done, pool: Pool, deadlines: Deadlines) -> None:
        self._batch = batch
        self._timeout = timeout
        self._done = done
        self._pool = pool
        self._deadlines = deadlines
        self._lock = threading.Lock()
        self._claim = threading.Lock()  # taken by whoever comes first: who begins, or who calls it off before
        self._run: _Run | None = None
        self._over = False
        self._cancelled = False
        self._values: list[Any] = []
        self._errors: dict[int, BaseException] = {}
        self._readings = UNREAD

    def start(self) -> None:
        """Run the items that have no outcome yet, as soon as a thread is there."""
        self._pool.call(self._serve)

    def cancel(self, kill: bool = False) -> bool:
        """Call the batch off, if it has not begun; if it has, no further item begins: a thread cannot be ended."""
        self._cancelled = True  # heeded before each item
        return self._claim.acquire(blocking=False)

    def look(self) -> float:
        """Fail the item that runs if it has had its time, and have others go on; return when to look again."""
        with self._lock:
            run = self._run
            if run is None or run.closed:
                return inf
            deadline = run.begun + self._timeout
            if monotonic() < deadline:
                return deadline
            self._leave(run)
        self._deadlines.discard(self)
        try:
            self._pool.call(self._finish if self._over else self._serve)
        except RuntimeError as error:  # at the interpreter's exit there are no new threads
            failure = error
            self._give_up(lambda _: failure)
        return inf

    def _serve(self) -> None:
        """Run the items, in a thread of the pool."""
        whole = self._batch
        turn = whole.turn(whole) if whole.turn is not None else None
        if turn is not None and not turn.take():
            self._give_up(self._lost_turn)
            return
        try:
            self._serve_in_turn(turn)
        finally:
            if turn is not None:
                turn.give()

    def _serve_in_turn(self, turn: Turn | None) -> None:
        if not self._may_run():
            return
        with self._lock:
            run = self._run = _Run(len(self._values))
            run.turn = turn
        run.batch = self._batch.rest(run.start)
        readings = run_batch(run.batch, run.values, run.errors, self._items(run)).readings
        with self._lock:
            if run.closed:
                self._pool.welcome(run.thread)
                return
            run.closed = self._over = True
            self._keep(run, len(run.values))
            self._readings = readings
        self._deadlines.discard(self)
        self._finish()

    def _may_run(self) -> bool:
        """Whether it was not called off; once it has begun, it cannot be any more."""
        return self._run is not None or self._claim.acquire(blocking=False)

    def _items(self, run: _Run) -> Iterator[Any]:
        """Yield the items of a run, and note when each begins; none after a late one."""
        whole = self._batch
        for position in range(run.start, len(whole.items)):
            with self._lock:
                if run.closed or self._cancelled:
                    return
                run.position, run.begun = position, monotonic()
                whole.stopwatch = run.batch.stopwatch if run.batch is not None else None
            if position == run.start:  # not before: a thread may be without a CPU on its way here
                self._deadlines.add(self, run.begun + self._timeout)
            yield whole.items[position]

    def _leave(self, run: _Run) -> None:
        """Fail the item that runs, keep those before it, and count on its thread no more; under the lock."""
        run.closed = True
        self._keep(run, run.position - run.start)
        self._fail(self._too_late(run.position))
        complete = len(self._values) == len(self._batch.items)
        self._over = complete or self._cancelled or not self._batch.keep_going
        self._pool.leave_behind(run.thread)
        if run.turn is not None:
            run.turn.lose()
        if run.batch is not None and run.batch.stopwatch is not None:
            run.batch.stopwatch.abandon()

    def _keep(self, run: _Run, count: int) -> None:
        """Take in the outcomes of a run's first items; under the lock."""
        self._values += run.values[:count]
        # Its thread may be writing to them now, behind those that count.
        self._errors.update({run.start + at: run.errors[at] for at in range(count) if at in run.errors})

    def _fail(self, error: BaseException) -> None:
        self._errors[len(self._values)] = error
        self._values.append(None)

    def _give_up(self, error: Callable[[int], BaseException]) -> None:
        """Fail all that have no outcome yet, and deliver; or the first, where that ends the batch."""
        if not self._may_run():
            return
        with self._lock:
            while not self._over and len(self._values) < len(self._batch.items):
                self._fail(error(len(self._values)))
                self._over = not self._batch.keep_going
            self._over = True
        self._finish()

    def _too_late(self, position: int) -> ItemTimeoutError:
        return ItemTimeoutError(
            f"{self._item(position)} took longer than its timeout of {self._timeout} s;"
            " its thread cannot be ended, and runs on"
        )

    def _lost_turn(self, position: int) -> ItemTimeoutError:
        return ItemTimeoutError(
            f"{self._item(position)} did not run: such calls run one after the other, and one before it took longer"
            f" than its timeout of {self._timeout} s and still runs, in a thread that cannot be ended"
        )

    def _item(self, position: int) -> str:
        return f"item {self._batch.first + position} of {name_of(self._batch.function)}"

    def _finish(self) -> None:
        """Deliver; and keep nothing, for whoever holds the ticket may hold it for long."""
        done, result = self._done, BatchResult(self._values, self._errors, self._readings)
        self._done, self._values, self._errors, self._run = nowhere, [], {}, None
        self._batch = Batch(self._batch.function, ())
        done(result)
