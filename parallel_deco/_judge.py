"""Live judging: looks at a call that is still running, so that the next one already goes the right way."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from functools import partial
from itertools import islice
from time import perf_counter

from parallel_deco._cpus import cpus_contended
from parallel_deco._measure import Readings
from parallel_deco._readings import overhead
from parallel_deco._switching import SOON, ask, cease, soon
from parallel_deco._waiting import Bell
from parallel_deco.backends.batch import Batch
from parallel_deco.backends.threads import ThreadBackend
from parallel_deco.routing.evidence import INNER

__all__ = ["Judge"]

#: Seconds until the first look; each later one after twice as long, so a long call is looked at a few times.
FIRST_LOOK = 2e-3
LONGEST_PAUSE = 0.25
#: Looks after the first, in which the matter is settled for most functions: for 30 ms.
EARLY = 3
#: CPUs that a call keeps busy from which on it may be parallel inside, its other threads only just at work; and seconds
#: for which these may be without a CPU where others want them too (BLAS beside four busy programs: up to 17 ms).
JUST, LATE = 1.1, 25e-3


def _pauses() -> Iterator[float]:
    pause = FIRST_LOOK
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


class Judge:
    """Watches the first call of an unknown function from another thread, until it ends or all is clear.

    Parameters
    ----------
    verdict : callable
        Gets the readings of the running call so far; returns whether that settled the matter.
    nothing_running : callable
        Called at a look while no call was given to `watch` yet.
    """

    def __init__(self, verdict: Callable[[Readings], bool], nothing_running: Callable[[], None]) -> None:
        self._verdict = verdict
        self._nothing_running = nothing_running
        self._batch: Batch | None = None
        self._threads: ThreadBackend | None = None  # where it sits
        self._expects = False  # a call that had not begun at the last look
        self._over = Bell()  # takes no lock: who lets go of a map may be the collector, within any lock

    def sit(self, threads: ThreadBackend) -> None:
        """Begin to look, in a thread of the pool; where there can be none, the end of the call will tell."""
        self._threads = threads
        sits = False
        try:
            ask(self, SOON)  # or beside what computes in Python it would begin only after the user's interval, 5 ms
            with suppress(RuntimeError):
                threads.call(partial(self._look, perf_counter()))
                sits = True
        finally:
            if not sits:
                cease(self)

    def watch(self, batch: Batch) -> None:
        """Look at this batch, which is about to run."""
        self._batch = batch

    def dismiss(self) -> None:
        """Look no more: the call has ended, or nobody wants to know."""
        self._batch = None
        self._over.ring()
        cease(self, wait=False)  # it wakes when the GIL is free, and not before; and then it does so itself

    def _look(self, since: float) -> None:
        pauses = _pauses()
        pause = next(pauses)
        if self._batch is not None:  # beside what computes with the GIL, this comes late already: then it looks at once
            pause = max(0.0, since + pause - perf_counter())
        try:
            if self._is_settled_after(pause):
                return
        finally:
            cease(self)
        with soon():  # for the next ones it asks for the GIL soon, too; who else computes should not notice for long
            if any(map(self._is_settled_after, islice(pauses, EARLY))):
                return
        any(map(self._is_settled_after, pauses))

    def _is_settled_after(self, pause: float) -> bool:
        """Look after so many seconds; return whether there is nothing more to look for."""
        due = perf_counter() + pause
        # A shutdown does not wait for a call that may never begin, as its item may never come.
        with self._threads.away() if self._expects and self._threads else nullcontext():
            if self._over.wait(pause):
                return True
        batch = self._batch
        self._expects = batch is None
        if batch is None:
            self._nothing_running()
            return False
        with soon():  # to peek gives the GIL up, and what the call does meanwhile was not peeked at
            seen = batch.stopwatch.peek() if batch.stopwatch is not None else None
            if seen is None or _may_have_threads(seen):
                return False
            with overhead(due):
                return self._verdict(seen)


def _may_have_threads(seen: Readings) -> bool:
    """Return whether a call that computes may do so in threads of its own, too, that were not seen to compute yet."""
    if seen.cpu <= 0.5 * (seen.wall - seen.delay) or not seen.cpu:
        return False
    busy = seen.process_cpu / seen.cpu
    if JUST < busy < INNER:
        return True
    shares = seen.shares
    return busy <= JUST and seen.wall < LATE and shares is not None and shares[0] < 0.5 and cpus_contended()
