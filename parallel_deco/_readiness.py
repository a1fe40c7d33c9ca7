"""Whether worker processes are ready for the function of a map; they load it before they get any of its items.

To load it may take long, for modules are imported for it. With an item behind it, a map that would have been over in
the loop by then had to wait. So the consumer goes on by itself, or threads where it waits; who is ready gets the rest.
"""

from collections.abc import Callable
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any

from parallel_deco import _machine
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch

if TYPE_CHECKING:
    from parallel_deco.backends.functions import Travelling

__all__ = ["Readiness"]

#: Seconds after which workers are long in loading a function; and how many times what starting them took once, where
#: that was counted with. The consumer is in their way when it computes, if only for the GIL.
LONG, LONG_START = 10e-3, 2.0
#: Seconds after which a worker's first batch is overdue, beyond so many times what it was to take: it may fill caches.
OVERDUE, OVER = 50e-3, 2.0


class Readiness:
    """What the workers were asked for one map, and what they answered; the map's lock guards it.

    Parameters
    ----------
    width : int
        How many are wanted.
    cold : bool
        Their start was part of what the map was to take.
    """

    def __init__(self, width: int, cold: bool) -> None:
        self._wanted = width
        self._cold = cold
        self._answered = 0
        self._all_there = False  # there can be no more
        self.used = False  #: whether a batch was sent to a worker
        self.due = inf  #: when the consumer is to go on by itself

    def workers(self, width: int) -> int:
        """How many of so many workers may be sent items: those that have answered, unless there can be no more."""
        if self._all_there and self._answered >= self._wanted:
            return width
        return min(width, self._answered)

    def wants(self, width: int) -> bool:
        """Whether more are to be asked to load it than were, now that so many are wanted."""
        if self._all_there or self._answered < self._wanted or self._wanted >= width:
            return False
        self._wanted = width
        return True

    @property
    def late(self) -> bool:
        """Whether the workers have yet to load the function, or to run their first batch, and take long."""
        return self.due < perf_counter()

    def ask(self, function: Callable[..., Any], travelling: "Travelling", loaded: Callable[[], Any]) -> None:
        """Have a worker load a function, or where one has done so all that are wanted; `loaded` is called for each.

        The first goes alone, for all together would take the consumer's CPU; unless all are at work for others, and
        nobody knows who will be free first.
        """
        pool = pools.processes()
        if not self._answered:  # nobody was asked yet, and so nobody answers meanwhile
            self._answered = pool.ready(travelling)
            self._wanted = max(self._wanted, self._answered)
        before = self._answered
        if not before:
            counted = self._cold and not pool.workers
            self.due = perf_counter() + (LONG_START * _machine.constants().start if counted else LONG)
        alone = not before and (pool.idle > 0 or not pool.workers)
        most = 1 if alone else max(0, self._wanted - before)
        asked = pool.load(Batch(function, (), measured=False), lambda _: loaded(), travelling, self._wanted, most)
        if asked < most:
            self._wanted, self._all_there = before + asked, True

    def answer(self) -> bool:
        """Note that one more worker has loaded it, or cannot; return whether the others are to be asked now."""
        self._answered += 1
        if not self.used:
            self.due = inf
        return self._answered == 1

    def give_up(self) -> None:
        """Note that they cannot be asked: the first batch will meet what was in the way."""
        self._wanted, self._all_there = 0, True

    def send(self, seconds: float) -> None:
        """Note that a batch of so many seconds leaves for a worker."""
        if not self.used:
            self.used = True
            self.due = perf_counter() + OVERDUE + OVER * seconds

    def come(self) -> None:
        """Note that a batch has come back."""
        self.due = inf
