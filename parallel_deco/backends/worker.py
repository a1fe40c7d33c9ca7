"""The worker's side: takes batches off its socket, runs them, and sends back what became of the items.

One thread, the main one, reads and runs. Other threads appear only when the user's code starts them; they may log
and print, so `_send` may be called from any thread, and even from within itself (a log record made by a `__del__`).
"""

import faulthandler
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from time import perf_counter
from types import ModuleType
from typing import Any

from parallel_deco import _nesting
from parallel_deco._measure import Readings
from parallel_deco.backends import surroundings
from parallel_deco.backends.batch import Batch, Shape, run_batch
from parallel_deco.backends.connection import Connection, Frame
from parallel_deco.backends.contexts import unpack
from parallel_deco.backends.echoes import Echoes, flush_streams, open_streams
from parallel_deco.backends.frames import DEFINE, DONE, ECHO, FAILED, HELLO, PART, RUN, SURROUNDINGS
from parallel_deco.backends.outcomes import Outcomes, PackedError, pack_error, pack_outcomes
from parallel_deco.backends.payload import Reference, dump, load, locate
from parallel_deco.backends.slot import FINISHED, LOADING, Slot

try:
    import _thread
except ImportError:  # pragma: no cover
    import threading as _thread  # type: ignore[no-redef]

__all__ = ["serve"]

#: Seconds after which outcomes are sent although the batch goes on: what a worker's death can cost at most.
FLUSH = 0.01
_SHAPES = tuple(Shape)


def serve(template: int, connection: int, slot: int) -> int:
    """Be a worker until the caller closes the socket; return the exit status.

    Parameters
    ----------
    template : int
        Process id of the template that forked it.
    connection, slot : int
        Descriptors of its socket and its slot.
    """
    if os.getppid() != template:  # the template died meanwhile, and could not take this fork with it
        return 1
    _nesting.enter_worker_process()
    sys.modules["__main__"] = ModuleType("__main__")
    open_streams()
    worker = Worker(Connection(connection), Slot(slot))
    worker.run()
    flush_streams()
    return 0


class Worker:
    """The state of a worker process.

    Parameters
    ----------
    connection : Connection
    slot : Slot
    """

    def __init__(self, connection: Connection, slot: Slot) -> None:
        self._connection = connection
        self._slot = slot
        self._functions: dict[int, tuple[Any, PackedError | None]] = {}
        self._batches = 0
        self._pid = os.getpid()
        self._outbox: deque[tuple[int, Any, Sequence[Any], float]] = deque()
        self._sending = _thread.allocate_lock()
        faulthandler.enable(file=slot.descriptor)
        self._echoes = Echoes(self._echo)
        os.register_at_fork(after_in_child=self._leave)

    def run(self) -> None:
        """Do what comes until nothing comes any more."""
        tasks = {SURROUNDINGS: self._adapt, DEFINE: self._define, RUN: self._run}
        self._send(HELLO, dump(self._pid))
        while (frame := self._connection.receive()) is not None:
            tasks[frame.kind](frame)

    def _send(self, kind: int, body: Any, buffers: Sequence[Any] = (), seconds: float = 0.0) -> None:
        """Send a frame, or leave it to the thread that is sending.

        Whoever gets the lock sends all that is there; the others do not wait. The holder looks again after
        the release, so a frame that was left while it let go is not forgotten.
        """
        self._outbox.append((kind, body, buffers, seconds))
        while self._outbox and self._sending.acquire(blocking=False):
            try:
                while self._outbox:
                    self._connection.send(*self._outbox.popleft())
            except OSError:  # the caller is gone
                os._exit(1)
            finally:
                self._sending.release()

    def _echo(self, body: bytes) -> None:
        if os.getpid() == self._pid:
            self._send(ECHO, body)

    def _leave(self) -> None:
        """In a child that a task forked: the socket is not its own; when its task returns, it ends."""
        os.close(self._connection.descriptor)

    def _adapt(self, frame: Frame) -> None:
        state = load(frame.body, frame.buffers)
        surroundings.apply(state)
        self._echoes.follow(level=state[4], streams=state[6])

    def _define(self, frame: Frame) -> None:
        key, forget, body = load(frame.body)
        for old in forget:
            self._functions.pop(old, None)
        try:
            function = load(body, frame.buffers)
            self._functions[key] = (locate(function) if isinstance(function, Reference) else function), None
        except BaseException as error:  # importing a module runs it; SystemExit too must reach the caller
            self._functions[key] = None, pack_error(error)

    def _run(self, frame: Frame) -> None:
        words = self._slot.words
        self._batches += 1
        words[1] = LOADING
        words[0] = self._batches
        began = perf_counter()
        try:
            key, shape, first, depth, keep_going, watch, packed, items = load(frame.body, frame.buffers)
        except BaseException as error:  # the arguments' own __setstate__ is the user's code
            self._send(FAILED, dump((False, pack_error(error))))
            return
        function, problem = self._functions[key]
        if problem is not None:
            self._send(FAILED, dump((True, problem)))
            return
        context = unpack(packed)
        batch = Batch(function, items, _SHAPES[shape], first, context, depth, keep_going, watch)
        moved = perf_counter() - began
        _Run(self, batch, self._slot).run(moved)
        if os.getpid() != self._pid:
            os._exit(0)


class _Run:
    """One batch while it runs."""

    __slots__ = ("_batch", "_errors", "_flush_at", "_flushed", "_items", "_slot", "_values", "_worker")

    def __init__(self, worker: Worker, batch: Batch, slot: Slot) -> None:
        self._worker = worker
        self._batch = batch
        self._slot = slot
        self._values: list[Any] = []
        self._errors: dict[int, BaseException] = {}
        self._flushed = 0
        self._flush_at = perf_counter() + FLUSH

    def run(self, moved: float) -> None:
        batch = self._batch
        items = batch.items
        self._slot.times[0] = perf_counter()
        self._slot.words[1] = 0
        if len(items) > 1:
            self._items = items
            batch.items = self
        result = run_batch(batch, self._values, self._errors)
        self._slot.words[1] = FINISHED
        self._send(DONE, result.readings._replace(moved=moved))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[Any]:
        """Yield the items, noting in the slot which one is out, and sending outcomes now and then."""
        words, times, clock = self._slot.words, self._slot.times, perf_counter
        for position, item in enumerate(self._items):
            now = clock()
            if now >= self._flush_at and position:
                self._send(PART, None)
                now = clock()
                self._flush_at = now + FLUSH
            times[0] = now
            words[1] = position
            yield item

    def _send(self, kind: int, readings: Readings | None) -> None:
        """Send the outcomes that were not sent yet."""
        if os.getpid() != self._worker._pid:
            return
        began = perf_counter()
        start, self._flushed = self._flushed, len(self._values)
        values = self._values[start:] if start else self._values
        errors = {position - start: error for position, error in self._errors.items() if position >= start}
        buffers: list[Any] = []

        def unsendable(position: int, value: Any, cause: Exception) -> BaseException:
            from parallel_deco.backends.culprit import explain_value

            return explain_value(value, self._batch.first + start + position, self._batch.function)

        body = pack_outcomes(Outcomes(values, errors, readings), buffers, unsendable)
        self._worker._send(kind, body, buffers, perf_counter() - began)
