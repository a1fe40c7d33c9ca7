"""Ranges of numbers cut into pieces, to be handed out by `starmap`."""

from __future__ import annotations

from itertools import pairwise
from typing import SupportsIndex

from .arguments import integer

__all__ = ["split"]


def split(start: SupportsIndex, stop: SupportsIndex, pieces: SupportsIndex) -> list[tuple[int, int]]:
    """Cut the range from `start` to `stop` into contiguous pieces of almost the same size.

    Parameters
    ----------
    start, stop : int
        The range; `stop` is not in it.
    pieces : int
        How many pieces to make, from 1 on.

    Returns
    -------
    list of tuple of (int, int)
        `pieces` pairs (start, stop), in order. The sizes differ by at most one, the longer pieces come first;
        if there are more pieces than numbers, the last ones are empty.

    Raises
    ------
    TypeError
        If an argument is not an integer.
    ValueError
        If `start` is above `stop`, or `pieces` is below 1.

    Examples
    --------
    >>> split(0, 10, 3)
    [(0, 4), (4, 7), (7, 10)]
    """
    first, last, count = integer("start", start), integer("stop", stop), integer("pieces", pieces)
    if first > last:
        raise ValueError(f"start must not be above stop, got start={first} and stop={last}; swap them")
    if count < 1:
        raise ValueError(f"pieces must be 1 or more, got {count}")
    size, longer = divmod(last - first, count)
    cuts = [first + n * size + min(n, longer) for n in range(count + 1)]
    return list(pairwise(cuts))
