"""Calls at set times, from one thread that sleeps in between and ends when nothing is set."""

import heapq
import sys
import threading
from collections.abc import Callable
from itertools import count
from time import monotonic

from parallel_deco._starting import start_thread
from parallel_deco._waiting import Bell

__all__ = ["Alarms"]

#: Seconds that the thread sleeps at a time, and that `leave` waits for it: somebody else may set an alarm meanwhile.
LONGEST = 3600.0
LEAVE = 1.0


class Alarms:
    """Deadlines of a pool, kept to within a millisecond or so; no polling.

    Notes
    -----
    `_lock` is never held while an alarm is called, and can be taken again by the thread that has it: the garbage
    collector may run within, and let go of a map, which sets one. An alarm cannot be taken back, only all of them: it
    is to look whether there is still anything to do. The thread starts with the first alarm. No `threading.Condition`:
    alarms are set where Ctrl-C may come, and in its `__enter__` that leaves the lock taken.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._bell = Bell()  # the thread of the alarms waits for it
        self._set: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._thread: threading.Thread | None = None
        self.era = 0  #: how often all were forgotten

    def at(self, when: float, alarm: Callable[[], None]) -> bool:
        """Have something called at a time of `time.monotonic`, in the thread of the alarms; False if there is none."""
        with self._lock:
            heapq.heappush(self._set, (when, next(self._numbers), alarm))
            if self._thread is None:
                self._start()
            elif self._set[0][0] == when:  # sooner than what it waits for
                self._bell.ring()
            return self._thread is not None

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._keep, name="parallel_deco-alarms", daemon=True)
        try:
            start_thread(self._thread)
        except RuntimeError:  # at its exit, Python 3.12 starts no threads any more; no work is to fail for that
            self._thread = None
        except BaseException:  # Ctrl-C
            if self._thread.ident is None:
                self._thread = None
            raise

    def forget(self) -> threading.Thread | None:
        """Forget all alarms; return the thread that ends therefore."""
        with self._lock:
            self._set.clear()
            self.era += 1
            self._bell.ring()
            return self._thread

    @staticmethod
    def leave(thread: threading.Thread | None) -> None:
        """Wait a moment for the thread to end."""
        if thread is not None and thread is not threading.current_thread():
            thread.join(LEAVE)

    def _keep(self) -> None:
        while True:
            with self._lock:
                bell = self._bell = Bell()  # first: one that is set from here on rings it
                if not self._set:
                    self._thread = None
                    return
                wait = self._set[0][0] - monotonic()
                if wait <= 0:
                    _, _, alarm = heapq.heappop(self._set)
            if wait > 0:
                bell.wait(min(wait, LONGEST))
                continue
            try:
                alarm()
            except Exception:  # a mistake of ours must not end the alarms of others
                sys.excepthook(*sys.exc_info())
