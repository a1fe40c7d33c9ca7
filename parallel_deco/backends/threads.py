"""A lean pool of threads that share memory with the caller.

Guarantees
    - A started call always finds a thread: an idle one, or a new one. So nested work never waits for its own pool;
      how many calls run at a time is bounded by who starts them.
    - `_idle` counts threads that wait in `_queue.get` less the calls that are in the queue for them. It changes under
      `_lock` only. A thread whose wait timed out leaves only while `_idle` is positive, that is, when no call counts
      on it.
    - Every shutdown begins a new queue: threads of an old one drain it, meet their None, and count for nothing.
    - Threads are daemons: the interpreter's exit does not wait for them; `parallel_deco.shutdown` does, unless they are
      `away` or were left behind. `_serving`, `_away` and `_left` change under `_lock`, and whoever leaves or comes back
      in the eyes of a shutdown says so.
    - A batch whose items have a timeout goes through `deadlines`, which leaves the thread of a late item behind.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TypeAlias

from parallel_deco._starting import start_thread
from parallel_deco._traits import Traits
from parallel_deco.backends.batch import Batch, Done, Ticket, run_batch
from parallel_deco.backends.deadlines import Deadlines, TimedBatch

__all__ = ["Ready", "ThreadBackend"]

#: What a thread calls; a `Ready` that is returned is what the same thread calls next.
_Call: TypeAlias = Callable[[], object]
_Queue: TypeAlias = "SimpleQueue[_Call | None]"

#: Seconds after which a thread without work ends. Guessed: long enough to survive a pause at a prompt.
LINGER = 60.0
#: Seconds that the exit waits for threads that may be about to end.
MOMENT = 0.1
#: Seconds that a shutdown waits for a thread that is away: nearly all are back at once.
GRACE = 0.5


class Ready:
    """A batch in the pool; whoever takes `_claim` first, the thread or `cancel`, decides."""

    __slots__ = ("_claim", "batch", "done")
    kills = False

    def __init__(self, batch: Batch, done: Done) -> None:
        self.batch = batch
        self.done = done
        self._claim = threading.Lock()

    def __call__(self) -> object:
        return self.done(run_batch(self.batch)) if self._claim.acquire(blocking=False) else None

    def cancel(self, kill: bool = False) -> bool:
        return self._claim.acquire(blocking=False)


class ThreadBackend:
    """Threads of this process, kept between uses; starting one costs 50 to 500 µs."""

    traits = Traits(shares_memory=True, own_gil=False, can_kill=False)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._queue: _Queue = SimpleQueue()
        self._idle = 0
        self._threads: set[threading.Thread] = set()  # of this queue
        self._serving: set[threading.Thread] = set()  # of this and older ones
        self._away: set[threading.Thread] = set()
        self._left: set[threading.Thread] = set()
        self._deadlines = Deadlines()

    def start(self, batch: Batch, done: Done) -> Ticket:
        """Run the batch in a thread of the pool; then call `done` in a thread of the pool."""
        if batch.timeout is not None:
            timed = TimedBatch(batch, batch.timeout, done, self, self._deadlines)
            timed.start()
            return timed
        ticket = self.ready(batch, done)
        self.call(ticket)
        return ticket

    @staticmethod
    def ready(batch: Batch, done: Done) -> "Ready":
        """Return a batch without a timeout for `call`; or for the `done` of another such batch to return.

        Then the thread that is free now runs it, and wakes no other, which would need the GIL at once.
        """
        return Ready(batch, done)

    def call(self, function: _Call) -> None:
        """Have a thread of the pool call something that must not raise, and then the `Ready` that it returns."""
        thread = None
        try:
            with self._lock:
                if self._idle > 0:
                    self._idle -= 1  # first: with one too few, Ctrl-C in between would cost no more than a thread
                    self._queue.put(function)
                    return
                # A thread keeps its arguments for as long as it lives, so the call is none of them.
                thread = threading.Thread(target=self._serve, args=(self._queue,), name="parallel_deco", daemon=True)
                self._threads.add(thread)
                self._serving.add(thread)
                self._queue.put(function)
            start_thread(thread)
        except BaseException as error:
            if thread is None or thread.ident is not None:  # it runs, and calls the function
                raise
            self._forget(thread)
            if not self._leave_to_others():
                self._take_back(function)
                raise
            if not isinstance(error, RuntimeError):  # Ctrl-C, above all
                raise

    def later(self, when: float, look: Callable[[], None]) -> bool:
        """Have something short called at a time of `time.monotonic`, unless all ends before; False if nothing will."""
        return self._deadlines.later(when, look)

    def _leave_to_others(self) -> bool:
        """Have a call for which no thread could be started wait for one that is busy now; False where there is none.

        At its exit, Python 3.12 starts no threads any more, and yet the calls that were submitted come to their end.
        """
        with self._lock:
            self._idle -= bool(self._threads)
            return bool(self._threads)

    def _take_back(self, function: _Call) -> None:
        """Undo a call, unless a thread has taken it already."""
        with self._lock:
            waiting = []
            while not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            for other in waiting:
                if other is not function:
                    self._queue.put(other)

    def _serve(self, queue: _Queue) -> None:
        if not self._counts(queue):
            return
        try:
            while (function := self._next(queue)) is not None:
                following = function()
                del function  # its arguments and results must not live on while this thread goes on, or waits
                while isinstance(following, Ready):
                    following = following()
                del following
                with self._lock:
                    self._idle += queue is self._queue
        finally:
            self._forget(threading.current_thread())

    def _counts(self, queue: _Queue) -> bool:
        """Have a thread count that was given up, for Ctrl-C came while it started; False where it came too late."""
        thread = threading.current_thread()
        with self._lock:
            if thread not in self._serving:
                if queue is not self._queue:
                    return False
                self._threads.add(thread)
                self._serving.add(thread)
                self._idle += 1
        return True

    def _forget(self, thread: threading.Thread) -> None:
        with self._lock:
            self._threads.discard(thread)
            self._serving.discard(thread)
            self._changed.notify_all()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Enter something that may never come back, like the user's input: no shutdown waits for this thread then."""
        thread = threading.current_thread()
        with self._lock:
            within = thread in self._away
            self._away.add(thread)
            self._changed.notify_all()
        try:
            yield
        finally:
            if not within:
                with self._lock:
                    self._away.discard(thread)

    def leave_behind(self, thread: threading.Thread) -> None:
        """Wait for this thread no more, at a shutdown, until `welcome`."""
        with self._lock:
            self._left.add(thread)
            self._changed.notify_all()

    def welcome(self, thread: threading.Thread) -> None:
        """Count on a thread that was left behind again."""
        with self._lock:
            self._left.discard(thread)

    def _next(self, queue: _Queue) -> _Call | None:
        while True:
            try:
                return queue.get(timeout=LINGER)
            except Empty:
                with self._lock:
                    if queue is not self._queue:
                        return None
                    if self._idle > 0:
                        self._idle -= 1
                        return None

    def shutdown(self, wait: bool = True, kill: bool = False) -> None:
        """End the threads once they have run what was started; a later `start` makes new ones.

        With `kill`, those that are running something are not waited for: a thread cannot be ended.
        """
        while threads := self._dismiss():
            if not wait:
                return
            if kill:
                self._let_go(threads - {threading.current_thread()})
                return
            for thread in self._gone(threads - {threading.current_thread()}):
                _join(thread)  # meanwhile it may have started another, for what its work led to
        if wait:
            self._deadlines.clear()

    def _let_go(self, threads: set[threading.Thread]) -> None:
        """Wait a moment for the threads that run nothing to end, and forget what is to be done later.

        The interpreter may be about to stop: what a thread holds then is never let go of, and with the user's function
        that is all of its module, an open file for example, which nobody would close.
        """
        with self._lock:
            self._changed.wait_for(lambda: self._are_done(threads), timeout=MOMENT)
            gone = threads - self._serving
        for thread in gone:
            _join(thread, MOMENT)
        self._deadlines.clear()

    def _are_done(self, threads: set[threading.Thread]) -> bool:
        """Whether each is at its end, or nobody waits for it; under the lock."""
        return not (threads & self._serving) - self._away - self._left

    def _gone(self, threads: set[threading.Thread]) -> set[threading.Thread]:
        """Wait until each of these threads is at its end or away, and return those at their end."""
        with self._lock:
            self._changed.wait_for(lambda: self._are_done(threads))
            self._changed.wait_for(lambda: not threads & self._serving, timeout=GRACE)
            return threads - self._serving

    def _dismiss(self) -> set[threading.Thread]:
        """Begin anew with no threads; send those that were there home, and return them."""
        with self._lock:
            threads, self._threads = self._threads, set()
            queue, self._queue = self._queue, SimpleQueue()
            self._idle = 0
        for _ in threads:
            queue.put(None)
        return threads


def _join(thread: threading.Thread, timeout: float | None = None) -> None:
    """Wait for the end of a thread; of one that could not be started there is none."""
    if thread.ident is not None:
        thread.join(timeout)
