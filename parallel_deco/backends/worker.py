"""The worker's side: takes batches off its socket, runs them, and sends back what became of the items.

One thread, the main one, reads and runs. Other threads appear when the user's code starts them, and for the time of a
batch whose items run side by side (`abreast`); they may log and print, so `_send` may be called from any thread, and
even from within itself (a log record made by a `__del__`).
"""

from __future__ import annotations

import _thread
import atexit
import faulthandler
import gc
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from io import BufferedRandom, BufferedWriter, TextIOWrapper
from math import inf
from time import monotonic, thread_time
from types import ModuleType

from parallel_deco import _nesting, _shared
from parallel_deco._readings import IDLE, LOOK, Idleness, Readings
from parallel_deco.backends import surroundings
from parallel_deco.backends.batch import SHAPES, Batch, run_batch
from parallel_deco.backends.connection import Connection, Frame, Staged
from parallel_deco.backends.contexts import unpack
from parallel_deco.backends.echoes import Echoes, flush_streams, open_streams
from parallel_deco.backends.frames import DEFINE, DONE, ECHO, FAILED, HELLO, PART, RUN, RUN_UNTIMED, SURROUNDINGS
from parallel_deco.backends.outcomes import Outcomes, PackedError, pack_error, pack_outcomes
from parallel_deco.backends.payload import dump, load
from parallel_deco.backends.references import Reference, locate
from parallel_deco.backends.slot import FINISHED, LOADING, SENDING, SEVERAL, Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

__all__ = ["serve"]

#: Seconds of a batch up to which the next one is waited for awake: what takes longer comes late enough, and the CPU may
#: be another worker's.
BRIEF = 0.5e-3
#: Seconds after which outcomes are sent although the batch goes on: what a worker's death can cost at most.
FLUSH = 0.05
#: How many items run at the same time when a batch turns out to wait; more when these wait too.
FEW = 4


def serve(template: int, socket: _socket.socket, slot: int) -> int:
    """Be a worker until the caller closes the socket; return the exit status.

    Parameters
    ----------
    template : int
        Process id of the template that forked it.
    socket : _socket.socket
    slot : int
        Descriptor of the page that it shares with the caller.
    """
    if os.getppid() != template:  # the template died meanwhile, and could not take this fork with it
        return 1
    _nesting.enter_worker_process()
    sys.modules["__main__"] = ModuleType("__main__")
    open_streams()
    worker = Worker(socket, Slot(slot))
    worker.run()
    _end()
    flush_streams()
    return 0


def _end() -> None:
    """Do what an interpreter does at its end, for what tasks left; a worker that takes too long over it is killed.

    Threads that are not daemons end, pools of `concurrent.futures` among them; then come the exit functions, which
    remove temporary directories and join children of `multiprocessing`; then files are written that were left open.
    """
    steps: list[Callable[[], object]] = [atexit._run_exitfuncs, _flush_files]
    if "threading" in sys.modules:
        steps.insert(0, sys.modules["threading"]._shutdown)
    for step in steps:
        try:
            step()
        except BaseException:  # of the user's: the others come all the same
            sys.excepthook(*sys.exc_info())


def _flush_files() -> None:
    alive = gc.get_objects()
    for kind in (TextIOWrapper, BufferedWriter, BufferedRandom):  # text goes to the buffers
        for file in [value for value in alive if issubclass(type(value), kind)]:
            try:
                file.flush()
            except (OSError, ValueError):  # closed, or a pipe that nobody reads
                continue


class Worker:
    """The state of a worker process.

    Parameters
    ----------
    socket : _socket.socket
    slot : Slot
    """

    def __init__(self, socket: _socket.socket, slot: Slot) -> None:
        self._socket = socket
        self._connection = Connection(socket)
        self._slot = slot
        self._arrived: list[tuple[int, bytes, Sequence[Any]]] = []
        self._functions: dict[int, tuple[Any, PackedError | None]] = {}
        self._refused: dict[int, tuple[bytes, Sequence[Any]]] = {}  # those that could not be loaded
        self._run_before: set[int] = set()
        self._batches = 0
        self._brief = False  # the last one was
        self._pid = os.getpid()
        self._main = _thread.get_ident()
        self._outbox: deque[Staged] = deque()
        self._sending = _thread.allocate_lock()
        faulthandler.enable(file=slot.descriptor)
        self._echoes = Echoes(self._echo)
        # A child that a task forks may keep the arguments for longer than the task does.
        os.register_at_fork(before=self._connection.keep_received, after_in_child=self._leave)

    def run(self) -> None:
        """Do what comes until nothing comes any more."""
        tasks = {SURROUNDINGS: self._adapt, DEFINE: self._define, RUN: self._run, RUN_UNTIMED: self._run}
        self.send(HELLO, dump(self._pid))
        while (frame := self._connection.receive(alert=self._brief)) is not None:
            self._slot.seat.sit()
            tasks[frame.kind](frame)
        self._slot.seat.sit()  # the caller may have died between moving it and sending

    @property
    def stray(self) -> bool:
        """Whether this is a child that a task forked, and not the worker itself."""
        return os.getpid() != self._pid

    def stage(self, kind: int, body: bytes, buffers: Sequence[Any], seconds: float) -> Staged:
        """Make a frame ready to be sent, large buffers copied; in the main thread."""
        return self._connection.stage(kind, body, buffers, seconds)

    def transmit(self, staged: Staged) -> None:
        """Send a frame, or leave it to the thread that is sending.

        Whoever gets the lock sends all that is there; the others do not wait. The holder looks again after
        the release, so a frame that was left while it let go is not forgotten. But the main thread sends no further
        than its own frame: the caller may answer that with more than the socket holds, and then each would wait for
        the other to read. What other threads have left by then gets a thread of its own.
        """
        if self.stray:
            return
        self._outbox.append(staged)
        own = staged if _thread.get_ident() == self._main else None
        if self._send_out(own) and self._outbox:
            try:
                _thread.start_new_thread(self._send_out, ())
            except RuntimeError:  # there are no more
                self._send_out()

    def _send_out(self, own: Staged | None = None) -> bool:
        """Send what is there, unless another thread does; no further than the own frame, and return whether it was."""
        while self._outbox and self._sending.acquire(blocking=False):
            try:
                while self._outbox:
                    frame = self._outbox.popleft()
                    self._connection.transmit(frame)
                    if frame is own:
                        return True
            except OSError:  # the caller is gone
                os._exit(1)
            finally:
                self._sending.release()
        return False

    def send(self, kind: int, body: bytes) -> None:
        """Send a frame without large buffers; from any thread."""
        self.transmit(self._connection.stage(kind, body))

    def _echo(self, body: bytes) -> None:
        self.send(ECHO, body)

    def flush_echoes(self) -> None:
        """Send what was printed and is kept yet."""
        self._echoes.flush()

    def _leave(self) -> None:
        """In a child that a task forked: the socket is not its own; when its task returns, it ends."""
        self._socket.close()

    def _adapt(self, frame: Frame) -> None:
        state = load(frame.body, frame.buffers)
        surroundings.apply(state)
        self._echoes.follow(level=state[4], streams=state[7])

    def _define(self, frame: Frame) -> None:
        """Keep a function as it came, until its batch is here too.

        To unpickle it may run a whole import, which may hang, or print: the caller must have sent all that it is
        sending, for only then it reads; and the slot must say since when.
        """
        key, forget, body = load(frame.body)
        for old in forget:
            self._functions.pop(old, None)
            self._refused.pop(old, None)
            self._run_before.discard(old)
        self._arrived.append((key, body, frame.buffers))
        frame.buffers = ()

    def _unpack_functions(self) -> None:
        while self._arrived:
            key, body, buffers = self._arrived.pop()
            self._refused.pop(key, None)  # it is here again
            self._functions[key] = self._unpack_function(key, body, buffers)

    def _unpack_function(self, key: int, body: bytes, buffers: Sequence[Any]) -> tuple[Any, PackedError | None]:
        try:
            function = load(body, buffers)
            return (locate(function) if isinstance(function, Reference) else function), None
        except BaseException as error:  # importing a module runs it; SystemExit too must reach the caller
            self._refused[key] = body, buffers
            return None, pack_error(error)

    def _function(self, key: int) -> tuple[Any, PackedError | None]:
        """Return a function, or why it cannot be had: not now, but a file or a network may be there another time."""
        if key not in self._functions:
            self._functions[key] = self._unpack_function(key, *self._refused.pop(key))
        function, problem = self._functions[key]
        if problem is not None:
            del self._functions[key]
        return function, problem

    def _run(self, frame: Frame) -> None:
        words = self._slot.words
        self._batches += 1
        arrived = self._slot.times[0] = monotonic()
        words[1] = LOADING
        words[0] = self._batches
        self._unpack_functions()
        measured = frame.kind == RUN
        began = thread_time() if measured else 0.0
        try:
            message = load(frame.body, frame.buffers)
            key, shape, first, depth, keep_going, watch, careful, patience, abreast, widens, packed, items = message
        except BaseException as error:  # the arguments' own __setstate__ is the user's code
            self.send(FAILED, dump((False, pack_error(error))))
            return
        frame.buffers = ()
        function, problem = self._function(key)
        if problem is not None:
            self.send(FAILED, dump((True, problem)))
            return
        new = key not in self._run_before
        self._echoes.reclaim(imported=new)
        if items:  # else it was only to be loaded
            self._run_before.add(key)
        batch = Batch(function, items, SHAPES[shape], first, unpack(packed), depth, keep_going, watch, None, careful)
        batch.measured, batch.patience, batch.abreast, batch.widens = measured, patience, abreast, widens
        del message, items
        moved = thread_time() - began if measured else 0.0
        self._echoes.at_work = True
        _Run(self, batch, self._slot).run(moved, new)
        self._echoes.at_work = False
        if self.stray:
            os._exit(0)
        self._brief = monotonic() - arrived < BRIEF


class _Run:
    """One batch while it runs."""

    __slots__ = ("_asleep", "_batch", "_errors", "_flushed", "_idleness", "_slot", "_values", "_worker")

    def __init__(self, worker: Worker, batch: Batch, slot: Slot) -> None:
        self._worker = worker
        self._batch = batch
        self._slot = slot
        self._values: list[Any] = []
        self._errors: dict[int, BaseException] = {}
        self._flushed = 0
        self._asleep = False

    def run(self, moved: float, new: bool) -> None:
        """Run the items, of a function that ran here before or not, and send what became of them."""
        batch = self._batch
        readings = self._run_several(batch) if batch.abreast > 1 else self._run_in_turn()
        self._slot.times[0] = monotonic()
        self._slot.words[1] = FINISHED
        if self._worker.stray:
            return
        self._worker.flush_echoes()
        if new:
            readings = readings._replace(first=True)
        staged = self._stage(DONE, readings if batch.measured else None, moved)
        # The arguments go before the reply: their segments are free then, and the reply says so.
        batch.items = ()
        self._values.clear()
        self._errors.clear()
        self._slot.words[1] = SENDING
        self._worker.transmit(staged)

    def _run_in_turn(self) -> Readings:
        batch = self._batch
        until, batch.patience = batch.patience or (inf, 0.0), None  # the items see to it
        if len(batch.items) > 1:
            look = None
            if batch.widens:
                look, self._idleness = self._sleeps, Idleness()
            batch.items = _shared.Noted(list(batch.items), self._slot.map, self._report, FLUSH, *until, look, LOOK)
        began = self._slot.times[0] = monotonic()
        self._slot.words[1] = 0
        readings = run_batch(batch, self._values, self._errors, batch.items).readings
        if not self._asleep or self._worker.stray:
            return readings
        rest = batch.rest(len(self._values))
        spared = until[0] + until[1] * len(self._values) - (monotonic() - began)
        rest.abreast, rest.patience = min(FEW, len(rest.items)), (max(0.0, spared) + LOOK, until[1])
        return readings.plus(self._run_several(rest))

    def _sleeps(self) -> bool:
        """Whether the batch has mostly waited since the last look: then what is left can do so at the same time."""
        try:
            self._asleep = self._idleness.ask() < IDLE
        except BaseException:  # of a signal's handler: it would be taken for the next item's error
            return False
        return self._asleep

    def _run_several(self, batch: Batch) -> Readings:
        """Run several items at the same time: of the batch, or those that are left of it."""
        from parallel_deco.backends.abreast import run_abreast

        before, failed = self._values, self._errors

        def report(values: list[Any], errors: dict[int, BaseException]) -> None:
            self._values = before + values
            self._errors = failed | {len(before) + position: error for position, error in errors.items()}
            self._report()
            self._slot.words[1] = SEVERAL

        self._slot.times[0] = monotonic()
        self._slot.words[1] = SEVERAL
        result = run_abreast(batch, report, FLUSH)
        self._values = before + result.values
        self._errors = failed | {len(before) + position: error for position, error in result.errors.items()}
        return result.readings

    def _report(self) -> None:
        """Send the outcomes so far; between two items. What cannot be done now is left to the report at the end."""
        if self._worker.stray:
            return
        self._slot.times[0] = monotonic()
        self._slot.words[1] = FINISHED
        flushed = self._flushed
        try:
            staged = self._stage(PART, None)
        except BaseException:  # no memory, or code of the user's: it would be taken for the next item's error
            self._flushed = flushed
            return
        self._slot.words[1] = SENDING
        try:
            self._worker.transmit(staged)
        except BaseException:  # of a signal's handler: nobody knows how much was sent, and it is no item's error
            os._exit(1)

    def _stage(self, kind: int, readings: Readings | None, moved: float = 0.0) -> Staged:
        """Make the outcomes ready that were not sent yet."""
        clock = self._batch.clock
        began = clock()
        start, self._flushed = self._flushed, len(self._values)
        values = self._values[start:] if start else self._values
        errors = self._errors
        if start:
            errors = {position - start: error for position, error in errors.items() if position >= start}
        buffers: list[Any] = []

        def unsendable(position: int, value: Any, cause: BaseException) -> BaseException:
            from parallel_deco._errors import NotPicklableError, name_of
            from parallel_deco.backends.culprit import explain_value

            index = self._batch.first + start + position
            try:
                return explain_value(value, index, self._batch.function)
            except BaseException:  # a __repr__ of the user's
                what = f"item {index} of {name_of(self._batch.function)} returned a {type(value).__qualname__}"
                return NotPicklableError(f"{what}, which cannot come back from another process")

        body = pack_outcomes(Outcomes(values, errors, readings), buffers, unsendable)
        return self._worker.stage(kind, body, buffers, moved + clock() - began)
