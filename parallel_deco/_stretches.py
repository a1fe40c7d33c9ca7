"""Items that are run one by one in the consumer's own loop, with no list between them and the user.

Tiny ones, for nothing else is as fast; and those that may have to be waited for.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from parallel_deco._iterator import Stretch
from parallel_deco._source import Source
from parallel_deco.backends.batch import Shape

__all__ = ["Stretches"]

#: Seconds of a stretch at first and at most. Each is followed by a measured batch, which is much shorter, but takes
#: 0.3 ms with all that goes with it.
SECONDS = 16e-3
LONGEST = 256e-3


class Stretches:
    """The stretches of one map, each twice as long as the one before.

    Attributes
    ----------
    takers : int
        Threads that have taken from one, one after the other.
    """

    def __init__(self, function: Callable[..., Any], shape: Shape, source: Source) -> None:
        self._function = function
        self._shape = shape
        self._source = source
        self._seconds = SECONDS
        self._pace = 0.0  # seconds an item in the last one, what the user did with its result included
        self._first = 0
        self._began = 0.0
        self.takers = 1

    def allow_longest(self) -> None:
        """Have the next one be as long as any: nothing else is worth it, and it ends early if that is not so."""
        self._seconds = LONGEST

    def begin(self, wall: float) -> Stretch:
        """Lend the input to the consumer's loop for a while, for items of so many seconds."""
        items = self._source.lend()
        most = max(1, int(self._seconds / (self._pace or wall)))
        self._seconds = min(2 * self._seconds, LONGEST)
        expected = max(wall, self._pace)
        self._began = perf_counter()
        self._first = self._source.pulled
        star = self._shape is Shape.STAR
        return Stretch(self._function, items or iter(()), self._source.context, star, most, expected)

    def end(self, stretch: Stretch) -> int:
        """Take the input back; return how many items were drawn from it."""
        drawn = stretch.drawn
        self._pace = (perf_counter() - self._began) / max(1, drawn)
        self._source.take_back(drawn, stretch.exhausted)
        return drawn

    def last(self, stretch: Stretch) -> int:
        """Return the index of the item that a stretch drew last."""
        return self._first + stretch.drawn - 1
