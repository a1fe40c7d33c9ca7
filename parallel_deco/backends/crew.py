"""The workers of a pool: how they come, rest, are looked at while they work, and go."""

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from math import inf
from time import monotonic, perf_counter

from parallel_deco._errors import ParallelError
from parallel_deco.backends.alarms import Alarms
from parallel_deco.backends.deaths import OUTSIDE, at_work, pickling_limit
from parallel_deco.backends.link import Link
from parallel_deco.backends.nursery import Nursery
from parallel_deco.backends.task import Piece

__all__ = ["Crew"]

#: Workers that may fail to start one after the other before it is given up.
FAILED_STARTS = 3
#: Seconds that workers which are to end get to do so by themselves before they are killed.
PATIENCE = 2.0
#: Seconds after which a worker without work ends, as of joblib: another costs its start, and all that it has to import.
IDLE = 300.0


class Crew:
    """The workers that there are.

    Parameters
    ----------
    lock : threading.RLock
        The pool's. Whoever calls a method holds it, unless that says otherwise.
    read : callable
        What the thread of each worker here runs, until that is gone.

    Attributes
    ----------
    started_in : float or None
        Seconds from no template to a worker that is ready, at least; None when that was not timed yet.
    starts : int
        How often it was.
    """

    def __init__(self, lock: threading.RLock, read: Callable[[Link], None]) -> None:
        self._lock = lock
        self._read = read
        self._links: dict[int, Link] = {}
        self._resting: list[Link] = []  # who has rested longest comes first
        self._readers: list[Link] = []  # links whose reader thread may be alive
        self._numbers = count(1)
        self._nursery: Nursery | None = None
        self._cold_since: float | None = None  # when a template was asked for, until its first worker is ready
        self._failed_starts = 0
        self._alarms = Alarms()
        self._reaping = False
        self._forked_in: float | None = None  # seconds from a template to one more worker, at least
        self.started_in: float | None = None
        self.starts = 0

    # Who there is.

    def __len__(self) -> int:
        """Return how many there are, those that are being started included."""
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        """Iterate over those that there are now; also without the lock."""
        return iter(list(self._links.values()))

    @property
    def ready(self) -> int:
        """How many have started; also without the lock."""
        return sum(1 for link in self if link.pid)

    @property
    def resting(self) -> int:
        """How many wait for work; also without the lock."""
        return len(self._resting)

    def serves(self, link: Link) -> bool:
        """Return whether a worker is to get any more work."""
        return not link.killed and link.number in self._links

    def rests(self, link: Link) -> bool:
        """Return whether a worker waits for work."""
        return link in self._resting

    # They come.

    def grow(self, width: int, starting: float = inf) -> None:
        """Start workers until there are so many, or so many that are not ready.

        Raises
        ------
        OSError, ParallelError
            There is no process, descriptor or thread for one more.
        """
        new = len(self) - self.ready
        while len(self._links) < width and new < starting:
            self._add()
            new += 1

    def _add(self) -> None:
        if self._nursery is None or self._nursery.closed:
            self._cold_since = perf_counter()
            self._nursery = Nursery()
        link = Link(next(self._numbers))
        link.asked_for = perf_counter() if self._cold_since is None else None
        try:
            try:
                self._nursery.fork(link.number, *link.descriptors(), link.exit)
            except OSError:  # the template died just now: the stream of this link ends, and its reader clears up
                link.exit(-1)
            link.handed_over()
            link.start(self._read)
        except RuntimeError as error:
            link.close()  # its worker meets the end of its input, and ends
            raise ParallelError(f"no thread can be started to serve a worker process: {error}") from error
        except BaseException:  # Ctrl-C: the reader may run, and clears up when its worker has ended
            link.hang_up()
            raise
        self._links[link.number] = link
        self._readers = [*filter(Link.is_alive, self._readers), link]

    def arrive(self, link: Link, pid: int) -> None:
        """Note that a worker is ready."""
        link.pid = pid
        self._failed_starts = 0
        now = perf_counter()
        if self._cold_since is not None:
            took, self._cold_since = now - self._cold_since, None
            self.started_in = took if self.started_in is None else min(took, self.started_in)
            self.starts += 1
        elif link.asked_for is not None:
            took = now - link.asked_for
            self._forked_in = took if self._forked_in is None else min(took, self._forked_in)

    @property
    def forked_in(self) -> float | None:
        """Seconds to one more worker while there is a template; None where there is none, or it was not timed yet."""
        there = self._nursery is not None and not self._nursery.closed
        return self._forked_in if there else None

    def note_failed_start(self) -> bool:
        """Note that one more ended before it was ready; return whether that makes a row of which no more is hoped."""
        self._failed_starts += 1
        if self._failed_starts < FAILED_STARTS:
            return False
        self._failed_starts = 0
        return True

    # They rest.

    def rest(self, link: Link) -> None:
        """Let a worker wait for work; not for ever."""
        link.slot.seat.leave()
        link.idle_since = monotonic()
        self._resting.append(link)
        if not self._reaping:
            self._reaping = self._alarms.at(monotonic() + IDLE, self._reap)

    def wake_any(self, function: int | None = None, loaded: bool = False) -> Link | None:
        """Take one of those that rest, if it can be (or `loaded`, must be) one that has loaded the function."""
        for place in range(len(self._resting) - 1, -1, -1):
            if function in self._resting[place].loaded:
                return self._resting.pop(place)
        return self._resting.pop() if self._resting and not loaded else None

    def wake(self, link: Link) -> None:
        """Take this one of those that rest."""
        self._resting.remove(link)

    def _reap(self) -> None:
        """End those that have rested for long; in the thread of the alarms, without the lock."""
        with self._lock:
            self._reaping = False
            now = monotonic()
            leaving = [link for link in self._resting if now - link.idle_since >= IDLE]
            for link in leaving:
                self.remove(link)
                link.leaving = True
            if self._resting:
                self._reaping = self._alarms.at(self._resting[0].idle_since + IDLE, self._reap)
            if leaving:  # one may wait for a thread of its own, which a task has left
                self._alarms.at(now + PATIENCE, partial(self._kill_late, leaving))
        for link in leaving:
            link.hang_up()

    def _kill_late(self, leaving: list[Link]) -> None:
        """End workers that were told to end and have not; without the lock."""
        with self._lock:
            for link in leaving:
                if not link.exited.is_set():
                    self.kill(link)

    # They work.

    def hand(self, link: Link, piece: Piece) -> None:
        """Note that a worker has a piece, to be sent by the caller, and when to look whether it takes too long."""
        link.outgoing.add(piece)
        link.work.append(piece)
        timeout = piece.task.batch.timeout
        if timeout is not None:
            self._look_at(link, monotonic() + timeout)

    def _look_at(self, link: Link, when: float) -> None:
        """Set an alarm for a worker, unless one is set that comes first."""
        if when < link.alarm and self._alarms.at(when, partial(self._look, link, when)):
            link.alarm = when

    def _look(self, link: Link, when: float) -> None:
        """Kill a worker whose item has had its time; in the thread of the alarms, without the lock."""
        with self._lock:
            if link.alarm != when:  # a sooner one was set after this, and has looked
                return
            link.alarm = inf
            if not link.work or not self.serves(link):
                return
            timeout = link.work[0].task.batch.timeout
            soonest = min(piece.task.batch.timeout or inf for piece in link.work)  # the one behind it may begin next
            if timeout is None:
                if soonest < inf:
                    self._look_at(link, monotonic() + soonest)
                return
            position, started = at_work(link), link.slot.times[0]
            limit = pickling_limit(timeout) if position == OUTSIDE else timeout
            left = limit if position is None else started + limit - monotonic()
            if left > 0:
                self._look_at(link, monotonic() + min(left, soonest))  # an item may begin at any moment
                return
            link.overdue = link.batches, OUTSIDE if position is None else position
            self.kill(link)

    # They go.

    def kill(self, link: Link, blameless: bool = False) -> None:
        """End a worker as it is; if `blameless`, its item has no part in that."""
        link.blameless = link.blameless or blameless
        link.killed = True
        if self._nursery is not None:
            self._nursery.kill(link.number)

    def kill_all(self) -> None:
        """End all as they are."""
        for link in self:
            self.kill(link)
        self._resting.clear()

    def remove(self, link: Link) -> None:
        """Count a worker no more."""
        self._links.pop(link.number, None)
        link.slot.seat.leave()
        if link in self._resting:
            self._resting.remove(link)

    def dismiss(self) -> Callable[[], None]:
        """Count on none of them any more; return what has them end, and waits for that, to be called without the lock.

        Those that have work come to its end first, if there is time.
        """
        for link in self._links.values():
            link.leaving = True
        leaving, self._readers = self._readers, []
        self._links.clear()
        self._resting.clear()
        nursery, self._nursery = self._nursery, None
        self._reaping = False
        keeper = self._alarms.forget()  # not later: somebody may set one again
        return partial(self._part, leaving, nursery, keeper)

    def _part(self, leaving: Iterable[Link], nursery: Nursery | None, keeper: threading.Thread | None) -> None:
        self._alarms.leave(keeper)
        for link in leaving:
            link.hang_up()
        patience = monotonic() + PATIENCE
        for link in leaving:
            link.join(patience - monotonic())
        if nursery is not None:
            nursery.close()
        for link in leaving:
            link.join(PATIENCE)

    def keep_received(self) -> None:
        """Have no worker write to results again that are alive, for a fork is about to share them; without the lock."""
        for link in self._readers:
            link.keep_received()

    def forget(self) -> None:
        """Let go of all in the child of a fork, without the lock: they are the parent's, whose threads are not here."""
        for link in self._readers:
            link.forget()
        if self._nursery is not None:
            self._nursery.forget()
