"""A short map that ran in the loop, remembered: the next ones like it go the same way without a decision.

Where the loop is right for a job of 2 ms, to find that out again, and to measure it again, costs a tenth of it or more:
none of that is in the CPU's caches by then.
"""

from time import perf_counter

from parallel_deco._nesting import depth
from parallel_deco._options import Options
from parallel_deco.backends import pools
from parallel_deco.routing.evidence import Evidence
from parallel_deco.routing.router import Decision

__all__ = ["ALIKE", "BRIEF", "Brief"]

#: Seconds of a map up to which that is worth it.
BRIEF = 8e-3
#: What an item takes has changed when it is so many times what it was.
ALIKE = 1.5
#: How many maps go by one that was decided about and measured, and for how many seconds. Guessed.
MAPS, RECENT = 15, 1.0


class Brief:
    """A short map of a known function that was decided to run in the loop.

    Parameters
    ----------
    decision : Decision
        Its route and what that rests on; `explain` shows it after the others too.
    items : int
        How many it had.
    evidence : Evidence
        Of calls of that size.
    options : Options

    Attributes
    ----------
    last : int
        How many items the last map had that went the same way.
    """

    __slots__ = ("_depth", "_evidence", "_items", "_left", "_options", "_until", "decision", "last")

    def __init__(self, decision: Decision, items: int, evidence: Evidence, options: Options) -> None:
        self.decision = decision
        self.last = self._items = items
        self._evidence = evidence
        self._options = options
        self._depth = depth()
        self._left = MAPS
        self._until = perf_counter() + RECENT

    def covers(self, items: int, evidence: Evidence, options: Options) -> bool:
        """Whether so many items are to go the same way: no more than it had, and nothing has changed around them.

        Counts as one of the maps that may.
        """
        if not 0 < items <= self._items or evidence is not self._evidence or options is not self._options:
            return False
        now, before = evidence.facts(), self.decision.facts
        if now.wall > ALIKE * before.wall or now.waits != before.waits:
            return False
        if pools.workers() != self.decision.here.workers or depth() != self._depth or perf_counter() > self._until:
            return False
        self._left -= 1  # a lost count does no harm
        if self._left < 0:
            return False
        self.last = items
        return True
