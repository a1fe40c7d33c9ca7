"""The caller's side of one worker: its socket, what it knows already, and the pieces of work that it has."""

import threading
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic

from parallel_deco._starting import start_thread
from parallel_deco.backends.connection import SMALL, Connection, Frame
from parallel_deco.backends.frames import DEFINE, RUN, RUN_UNTIMED, SURROUNDINGS
from parallel_deco.backends.functions import Functions
from parallel_deco.backends.payload import dump
from parallel_deco.backends.slot import Slot
from parallel_deco.backends.sockets import pair
from parallel_deco.backends.surroundings import Surroundings
from parallel_deco.backends.task import Piece

try:
    import _socket
except ImportError:  # pragma: no cover - Windows: `nursery.unavailable` says so
    pass

__all__ = ["Link"]


class Link:
    """One worker.

    Parameters
    ----------
    number : int
        By which the template knows it.

    Notes
    -----
    `work`, `errands`, `killed`, `blameless`, `leaving`, `overdue`, `alarm` and `idle_since` are guarded by the pool's
    lock. A piece enters `outgoing` under it together with `work`, and leaves it when it was sent. A second one is added
    only when `work` was empty, so the first had been answered: thus the order of `work` is the order on the wire, and a
    large message blocks nobody else. It is a set because Ctrl-C may come anywhere: to add and to discard happen whole
    or not at all, and whoever clears up need not know how far things went. `_sending` guards what is written to the
    socket, `known` (functions that were sent), `_refused` and `version`; `loaded` has those of which a batch came back.
    The reader thread alone reads, and closes.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.work: deque[Piece] = deque()
        self.errands: deque[Piece] = deque()  # for this worker alone, and before all others
        self.outgoing: set[Piece] = set()  # somebody is sending these, or about to
        self.batches = 0  # ended
        self.pid = 0
        self.asked_for: float | None = None  # when, if there was a template to fork it
        self.idle_since = monotonic()
        self.killed = False
        self.blameless = False  # killed because of what was being sent to it, and not because of its item
        self.leaving = False  # told to end
        self.overdue: tuple[int, int] | None = None  # its batch, and the position or OUTSIDE, for which it was killed
        self.alarm = inf  # when its next alarm comes
        self.caller = -1  # the CPU of who gave it its last work while it rested
        self._sending = threading.Lock()
        self.known: set[int] = set()
        self._refused: set[int] = set()  # of these, those that the worker could not take
        self.loaded: set[int] = set()
        self.version = 0
        self.status: int | None = None
        self.exited = threading.Event()
        self.slot = Slot.create()
        try:
            ours, self._theirs = pair()
        except OSError:  # no descriptors left
            self.slot.close()
            raise
        self._socket = ours
        self._open = True
        self._thread: threading.Thread | None = None
        self._connection = Connection(ours)

    def descriptors(self) -> tuple[int, int]:
        """Return what the worker needs."""
        return self._theirs.fileno(), self.slot.descriptor

    def handed_over(self) -> None:
        """Close the worker's end here: when the worker dies, the stream then ends."""
        self._theirs.close()

    @property
    def failed(self) -> bool:
        """Whether it ended, if it has, before it was ready, and nobody wanted that."""
        return not (self.pid or self.leaving or self.killed)

    def can_load(self, function: int) -> bool:
        """Return whether the worker has yet to load a function, though it may have been told to."""
        return not (function in self.loaded or self.killed or self.leaving)

    def fits_ahead(self, piece: Piece, version: int) -> bool:
        """Return whether a piece can be sent to the busy worker without any chance of blocking."""
        known = self._knows(piece.task.function.key) and version == self.version
        return known and piece.sent <= SMALL

    def _knows(self, function: int) -> bool:
        return function in self.known and function not in self._refused

    def send(self, piece: Piece, functions: Functions, surroundings: Surroundings) -> None:
        """Write a piece of work, and first what the worker does not know yet.

        A worker that is gone is no error here: its reader finds that out, and deals with the piece.
        """
        try:
            with self._sending:
                if self._open:
                    self._write(piece, functions, surroundings)
        except OSError:
            self._cut()  # perhaps the worker lives, and has part of a message: it cannot go on
        finally:
            piece.drop_payload()

    def _write(self, piece: Piece, functions: Functions, surroundings: Surroundings) -> None:
        if surroundings.version != self.version:
            self.version = surroundings.version
            self._connection.send(SURROUNDINGS, surroundings.body)
        function = piece.task.function
        if not self._knows(function.key):
            self._define(function.key, function.body, function.buffers, functions)
        batch = piece.task.batch
        clock = batch.clock
        began = clock()
        self._connection.send(RUN if batch.measured else RUN_UNTIMED, piece.body, piece.buffers)
        piece.moved += clock() - began

    def _define(self, key: int, body: bytes, buffers: list[memoryview], functions: Functions) -> None:
        dead = functions.dead(self.known)
        self.known -= dead
        self.loaded -= dead
        self._refused -= {key, *dead}
        self.known.add(key)
        self._connection.send(DEFINE, dump((key, list(dead), body)), buffers)

    def define_again(self, key: int) -> None:
        """Send a function again with its next piece: the worker could not take it, perhaps for lack of a buffer."""
        with self._sending:
            self._refused.add(key)

    def start(self, read: "Callable[[Link], None]") -> None:
        """Start the reader thread."""
        name = f"parallel_deco-reader-{self.number}"
        self._thread = threading.Thread(target=read, args=(self,), name=name, daemon=True)
        start_thread(self._thread)

    def is_alive(self) -> bool:
        """Return whether the reader thread has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait for the reader's end; not for one's own."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(0.0, timeout))

    def receive(self, alert: bool) -> Frame | None:
        """Wait for the worker's next frame, awake for a moment if `alert`; None when it is gone.

        That is where the caller sleeps, who is woken then: a CPU that sleeps too takes some 40 us to be back on a
        virtual machine. Nor is the caller alone there then, for the system would have the worker wake beside it.
        """
        return self._connection.receive(alert, self.caller)

    def hang_up(self) -> None:
        """End the stream: the worker ends after what it has; a dead worker's reader wakes up."""
        try:
            self._socket.shutdown(_socket.SHUT_WR)
        except OSError:  # it is gone already
            return

    def exit(self, status: int) -> None:
        """Take note that the worker has ended; in the nursery's thread.

        The stream ends with it, unless a process that it forked still holds a copy of its socket; hence the
        shutdown. What the worker had sent can still be read.
        """
        self.status = status
        self.exited.set()
        self._cut()

    def _cut(self) -> None:
        """End the stream both ways; what the worker had sent can still be read."""
        try:
            self._socket.shutdown(_socket.SHUT_RDWR)
        except OSError:  # it is gone already
            return

    def close(self) -> None:
        """Close everything; in the reader thread, as its last act."""
        with self._sending:
            self._open = False
            self._socket.close()
            self._connection.close()
        self.slot.close()

    def keep_received(self) -> None:
        """See to it that the worker never writes to results again that are alive: a fork is about to share them."""
        self._connection.keep_received()

    def forget(self) -> None:
        """Let go of the descriptors in the child of a fork, where they belong to the parent."""
        if self._open:
            self._socket.close()
            self._connection.close()
            self.slot.close()
