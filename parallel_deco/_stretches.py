"""Stretches of items that are run one by one in the consumer's own loop, with no list between them and the user."""

from collections.abc import Callable
from contextvars import Context
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
#: From so many threads on that take from a map one after the other, its items are handed out in lists.
MANY = 4


class Stretches:
    """The stretches of one map, each twice as long as the one before; one at a time is under way."""

    def __init__(self, function: Callable[..., Any], shape: Shape, source: Source) -> None:
        self._function = function
        self._shape = shape
        self._source = source
        self._seconds = SECONDS
        self._pace = 0.0  # seconds an item in the last one, what the user did with its result included
        self._first = 0
        self._began = 0.0
        self._takers = 1  # threads that have taken from one, one after the other

    @property
    def many_takers(self) -> bool:
        """Whether several threads take by turns: the stretches would all be short."""
        return self._takers >= MANY

    def taken_over(self) -> None:
        """Note that another thread took from one than the thread before; a count that is lost does no harm."""
        self._takers += 1

    def allow_longest(self) -> None:
        """Have the next one be as long as any: nothing else is worth it, and it ends early if that is not so."""
        self._seconds = LONGEST

    def begin(self, wall: float, own: Context | None, keep: Callable[[Stretch, BaseException], None] | None) -> Stretch:
        """Lend the input to the consumer's loop for a while, for items of so many seconds.

        With `own`, they run in that context; with `keep`, it is told of an item's exception, and the stretch goes on.
        """
        items = self._source.lend()
        most = max(1, int(self._seconds / (self._pace or wall)))
        self._seconds = min(2 * self._seconds, LONGEST)
        expected = max(wall, self._pace)
        self._began = perf_counter()
        self._first = self._source.pulled
        star = self._shape is Shape.STAR
        items = iter(()) if items is None else items  # the user's may be false
        return Stretch(self._function, items, self._source.context, own, star, most, expected, keep)

    def end(self, stretch: Stretch) -> int:
        """Take the input back; return how many items were drawn from it."""
        drawn = stretch.drawn
        self._pace = (perf_counter() - self._began) / max(1, drawn)
        self._source.take_back(drawn, stretch.exhausted)
        return drawn

    def last(self, stretch: Stretch) -> int:
        """Return the index of the item that a stretch drew last."""
        return self._first + stretch.drawn - 1
