"""Several items of a batch at once in one worker process, a thread each: they wait most of the time, and share a GIL.

Guarantees
    - Items begin in their order, each once, and all that have begun come to their end: what there is of outcomes is a
      beginning of the batch.
    - After one that failed none begins any more, unless the batch is to keep going; nor when it has taken too long.
    - Where an item forks, nothing else of the batch runs in the child.
"""

from __future__ import annotations

import os
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Iterator
from time import monotonic

from parallel_deco._readings import UNREAD
from parallel_deco.backends.batch import Batch, BatchResult, run_batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["run_abreast"]


def run_abreast(batch: Batch) -> BatchResult:
    """Run a batch in so many threads as it says, of which the calling one is the first.

    Notes
    -----
    Some 50 µs for each thread, and 2 µs for each item.
    """
    queue = _Queue(batch)
    shares = [_Share(queue, batch)]
    ended: list[LockType] = []
    for _ in range(1, batch.abreast):
        share, end = _Share(queue, batch, watch=False), allocate_lock()
        end.acquire()
        try:
            start_new_thread(_run_aside, (share, end))
        except RuntimeError:  # there are no more
            break
        shares.append(share)
        ended.append(end)
    shares[0].run()
    if queue.stray:
        return BatchResult([], {}, UNREAD)
    for end in ended:
        end.acquire()
    values: list[Any] = [None] * queue.begun
    errors: dict[int, BaseException] = {}
    readings = UNREAD
    for share in shares:
        share.put(values, errors)
        readings = readings.plus(share.result.readings)
    return BatchResult(values, errors, readings)


def _run_aside(share: _Share, end: LockType) -> None:
    try:
        share.run()
    finally:
        if share.queue.stray:
            os._exit(0)
        end.release()


class _Queue:
    """The items, of which each thread takes the next."""

    __slots__ = ("_batch", "_lock", "_process", "_until", "begun", "over")

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._lock = allocate_lock()
        self._process = os.getpid()
        self._until = None if batch.patience is None else monotonic() + batch.patience[0]
        self.begun = 0  #: how many were taken
        self.over = False  #: none is to begin any more

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
            position = self.begun
            if self.over or position >= len(self._batch.items) or self._is_late():
                raise StopIteration
            self.begun = position + 1
            return position

    def _is_late(self) -> bool:
        if self._until is None or self._batch.patience is None:
            return False
        ended = max(0, self.begun - self._batch.abreast + 1)
        return monotonic() > self._until + ended * self._batch.patience[1]


class _Share:
    """What one thread runs."""

    __slots__ = ("_batch", "_positions", "_whole", "queue", "result")

    def __init__(self, queue: _Queue, batch: Batch, watch: bool = True) -> None:
        self.queue = queue
        self.result = BatchResult([], {}, UNREAD)
        self._whole = batch.items
        self._positions: list[int] = []
        self._batch = Batch(
            batch.function,
            (),
            batch.shape,
            batch.first,
            batch.context,
            batch.depth,
            batch.keep_going,
            batch.watch and watch,
            careful=batch.careful,
            measured=batch.measured,
        )

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        position = self.queue.take()
        self._positions.append(position)
        return self._whole[position]

    def run(self) -> None:
        """Run items until there are no more; whatever goes wrong is their error."""
        try:
            self.result = run_batch(self._batch, items=self)
        except BaseException as error:  # no memory, for one
            self.result = BatchResult([], dict.fromkeys(range(len(self._positions)), error), UNREAD)
        if self.result.errors and not self._batch.keep_going:
            self.queue.over = True

    def put(self, values: list[Any], errors: dict[int, BaseException]) -> None:
        """Put the outcomes where they belong."""
        for position, value in zip(self._positions, self.result.values, strict=False):
            values[position] = value
        for place, error in self.result.errors.items():
            errors[self._positions[place]] = error
