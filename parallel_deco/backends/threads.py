"""A lean pool of threads that share memory with the caller.

Guarantees
    - A started call always finds a thread: one that rests, or a new one. So nested work never waits for its own pool;
      how many calls run at a time is bounded by who starts them.
    - A thread waits for calls at a queue of its own, awake at first where the last wait was short. It rests while it is
      in its roster's `resting`, which changes under `_lock` only, as does putting a call into a queue: who is out of it
      gets one, unless Ctrl-C came in between; and who is about to have nothing to do may give itself one (`call_next`).
    - Every shutdown begins a new roster: threads of an old one run what they have, meet their None, and serve no more.
    - Threads are daemons: the interpreter's exit does not wait for them; `parallel_deco.shutdown` does, unless they are
      `away` or were left behind. `_serving`, `_away` and `_left` change under `_lock`, and whoever leaves or comes back
      in the eyes of a shutdown says so.
    - A batch whose items have a timeout goes through `deadlines`, which leaves the thread of a late item behind.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from parallel_deco._seats import Seat
from parallel_deco._starting import start_thread
from parallel_deco._traits import Traits
from parallel_deco._waiting import Mailbox
from parallel_deco.backends.batch import Batch, Done, Ticket, run_batch
from parallel_deco.backends.deadlines import Deadlines, TimedBatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

__all__ = ["Ready", "ThreadBackend"]

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

    def run(self, seat: Seat) -> object:
        """Run it, unless it was called off; return what `done` returns.

        The seat is free again when that is called: who is woken then may have it.
        """
        if not self._claim.acquire(blocking=False):
            return None
        result = run_batch(self.batch)
        computes = seat.leave()
        following = self.done(result)
        if computes and isinstance(following, Ready):
            seat.take()
        return following

    def cancel(self, kill: bool = False) -> bool:
        return self._claim.acquire(blocking=False)


#: What a thread calls; a `Ready` that is returned is what the same thread runs next.
if TYPE_CHECKING:
    _Call: TypeAlias = Callable[[], object] | Ready


class _Roster:
    """The threads between two shutdowns; and calls for which no thread could be had, for the next that has none."""

    __slots__ = ("members", "resting", "waiting")

    def __init__(self) -> None:
        self.members: set[_Member] = set()
        self.resting: list[_Member] = []  # who is to be woken first comes last
        self.waiting: deque[_Call] = deque()


class _Member:
    """A thread of the pool."""

    __slots__ = ("calls", "native", "roster", "seat", "spread", "thread")

    def __init__(self, roster: _Roster, call: _Call, spread: bool, serve: Callable[[_Member], None]) -> None:
        self.roster = roster
        self.spread = spread  # its first call computes
        self.calls = Mailbox()  # of `_Call`, and None to end
        self.calls.put(call)
        self.seat = Seat()
        self.native = 0  # the system's number of the thread, when it runs
        # A thread keeps its arguments for as long as it lives, so the call is none of them.
        self.thread = threading.Thread(target=serve, args=(self,), name="parallel_deco", daemon=True)


class ThreadBackend:
    """Threads of this process, kept between uses; starting one costs 50 to 500 µs."""

    traits = Traits(shares_memory=True, own_gil=False, can_kill=False)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._roster = _Roster()
        self._serving: set[threading.Thread] = set()  # of this roster and older ones
        self._called: dict[int, _Member] = {}  # those that are called to serve, by the number of their thread
        self._away: set[threading.Thread] = set()
        self._left: set[threading.Thread] = set()
        self._deadlines = Deadlines()

    @property
    def threads(self) -> int:
        """How many threads there are, since the last shutdown."""
        return len(self._roster.members)

    @property
    def resting(self) -> int:
        """How many of them wait for work."""
        return len(self._roster.resting)

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
    def ready(batch: Batch, done: Done) -> Ready:
        """Return a batch without a timeout for `call`; or for the `done` of another such batch to return.

        Then the thread that is free now runs it, and wakes no other, which would need the GIL at once.
        """
        return Ready(batch, done)

    def call(self, function: _Call, spread: bool = False) -> None:
        """Have a thread of the pool call something that must not raise, and then the `Ready` that it returns.

        Parameters
        ----------
        function : callable
        spread : bool
            It computes, with the GIL released, while others do: it is to have a CPU of its own.

        Raises
        ------
        RuntimeError
            There can be no more threads.
        """
        member = None
        try:
            with self._lock:
                roster = self._roster
                if roster.resting:
                    self._wake(roster.resting, function, spread)
                    return
                member = _Member(roster, function, spread, self._serve)
                roster.members.add(member)
                self._serving.add(member.thread)
            start_thread(member.thread)
        except BaseException as error:
            if member is None or member.thread.ident is not None:  # it runs, and calls the function
                raise
            self._forget(member)
            taken_back = _take_back(member)
            # Not RuntimeError: Ctrl-C, above all, and the function is not to run.
            if not isinstance(error, RuntimeError) or (taken_back and not self._leave_to_others(function)):
                raise

    def call_next(self, function: _Call) -> bool:
        """Have the calling thread, if it is one of the pool, call something when what it calls now has come to its end.

        Who asks for that is about to return, and waits for nothing any more. No other thread is woken then, which takes
        50 to 100 µs of CPU time. False: it has something already, or nobody counts on it any more.
        """
        member = self._called.get(threading.get_ident())
        if member is None:
            return False
        with self._lock:
            if member.roster is not self._roster or not member.calls.is_empty():
                return False
            member.calls.put(function)
        return True

    def has_next(self) -> bool:
        """Whether the calling thread has been given what to call next."""
        member = self._called.get(threading.get_ident())
        return member is not None and not member.calls.is_empty()

    @staticmethod
    def _wake(resting: list[_Member], function: _Call, spread: bool) -> None:
        """Give a call to the thread that is awake, or else to the one that has rested least; under the lock."""
        member = resting[-1]
        if spread and member.native:
            member.seat.usher(member.native)
        resting.pop()  # with one too few there, should Ctrl-C come now, it costs no more than a thread
        member.calls.put(function)

    def later(self, when: float, look: Callable[[], None]) -> bool:
        """Have something short called at a time of `time.monotonic`, unless all ends before; False if nothing will."""
        return self._deadlines.later(when, look)

    @property
    def era(self) -> int:
        """How often all ended, and what was to be done later was dropped."""
        return self._deadlines.era

    def _leave_to_others(self, function: _Call) -> bool:
        """Have a call for which no thread could be started wait for one that is busy now; False where there is none.

        At its exit, Python 3.12 starts no threads any more, and yet the calls that were submitted come to their end.
        """
        with self._lock:
            roster = self._roster
            if roster.resting:
                self._wake(roster.resting, function, spread=False)
                return True
            if roster.members:
                roster.waiting.append(function)
            return bool(roster.members)

    def _serve(self, member: _Member) -> None:
        member.native = getattr(threading, "get_native_id", int)()  # not every system has such numbers
        if not self._counts(member):
            return
        self._called[threading.get_ident()] = member
        if member.spread:
            member.seat.take()
        try:
            while (function := self._next(member)) is not None:
                member.seat.sit()
                following = function.run(member.seat) if isinstance(function, Ready) else function()
                del function  # its arguments and results must not live on while this thread goes on, or waits
                while isinstance(following, Ready):
                    following = following.run(member.seat)
                del following
                member.seat.leave()
        finally:
            self._forget(member)

    def _counts(self, member: _Member) -> bool:
        """Have a thread count that was given up, for Ctrl-C came while it started; False where it came too late."""
        with self._lock:
            if member.thread not in self._serving:
                if member.roster is not self._roster:
                    return False
                self._welcome_anew(member)
        return True

    def _welcome_anew(self, member: _Member) -> None:
        """Have a thread count, whether it did or not; under the lock."""
        member.roster.members.add(member)
        self._serving.add(member.thread)

    def _forget(self, member: _Member) -> None:
        member.seat.leave()
        with self._lock:
            if member.thread.ident is not None and self._called.get(member.thread.ident) is member:
                del self._called[member.thread.ident]
            self._leave(member)
            self._serving.discard(member.thread)
            self._changed.notify_all()

    @staticmethod
    def _leave(member: _Member) -> None:
        """Have a thread get no more calls; under the lock."""
        roster = member.roster
        roster.members.discard(member)
        if member in roster.resting:
            roster.resting.remove(member)

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

    def _next(self, member: _Member) -> _Call | None:
        """Wait for a thread's next call; None when it is to end, and leaves.

        What waits for any thread comes before the end, and after the thread's own calls.
        """
        roster, calls = member.roster, member.calls
        while True:
            with self._lock:
                if calls.is_empty():
                    if roster.waiting:
                        return roster.waiting.popleft()
                    if roster is self._roster and member not in roster.resting:
                        self._welcome_anew(member)
                        awake = bool(roster.resting) and roster.resting[-1].calls.awake
                        roster.resting.insert(len(roster.resting) - awake, member)
            function: _Call | None = calls.take() if not calls.is_empty() or calls.wait(LINGER) else None
            if function is not None:
                return function
            with self._lock:
                if roster.waiting:
                    calls.put(None)  # it is to come again, if it came at all
                    return roster.waiting.popleft()
                if calls.is_empty():  # also if it rests no more, and Ctrl-C came before it got a call
                    self._leave(member)
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
            roster, self._roster = self._roster, _Roster()
            threads = {member.thread for member in roster.members}
            for member in roster.members:
                member.calls.put(None)
        return threads


def _take_back(member: _Member) -> bool:
    """Take the call of a thread that could not be started; False if it was started after all, and has it."""
    try:
        member.calls.take()
    except IndexError:
        return False
    return True


def _join(thread: threading.Thread, timeout: float | None = None) -> None:
    """Wait for the end of a thread; of one that could not be started there is none."""
    if thread.ident is not None:
        thread.join(timeout)
