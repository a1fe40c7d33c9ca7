"""What moves: bytes and seconds on the way to another process, roughly and quickly; and orders of magnitude."""

import math
from collections.abc import Sequence
from itertools import islice
from time import perf_counter
from typing import Any

try:  # without what `pickle` imports
    from _pickle import dumps, loads
except ImportError:
    from pickle import dumps, loads

__all__ = ["FEW", "moving_seconds", "rough_bytes", "size_class"]

#: Elements of a container that are looked at; the others are taken to be like them.
SAMPLE = 8
DEPTH = 3
#: Values that are pickled to see what that takes: fewer would show what a pickle takes, whatever is in it.
FEW, MANY = 16, 48
#: Bytes from which a value is not pickled to see what that takes.
SHORT = 256
#: What pickles without calling anybody's code, each in less than a microsecond.
_PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None)))


def rough_bytes(value: Any, depth: int = DEPTH) -> int:
    """Return about how many bytes a pickle of the value has; under 5 µs, and never calls code of the value's class.

    Parameters
    ----------
    value : object
    depth : int
        How deep to look into containers.
    """
    kind = type(value)
    if kind in (bytes, bytearray, str, memoryview):
        return memoryview(value).nbytes if kind is memoryview else len(value)
    if kind in (list, tuple, set, frozenset, dict):
        return _container(value, depth)
    if kind.__module__.partition(".")[0] in ("numpy", "pandas", "pyarrow"):
        size = getattr(value, "nbytes", 0)
        return size if type(size) is int else 64
    if kind is int:
        return int(value.bit_length()) // 8 + 2
    state = getattr(value, "__dict__", None)
    return 64 + (_container(state, depth) if type(state) is dict else 0)


def moving_seconds(items: Sequence[Any], values: Sequence[Any]) -> float | None:
    """Return the seconds that it takes to pickle and unpickle one of these items and its value; under 100 µs.

    Returns
    -------
    float or None
        None where they are too few to tell, or not all plain numbers and short strings, or tuples of those.
    """
    some = list(islice(items, MANY)), list(islice(values, MANY))
    if len(some[0]) < FEW or not all(_is_plain(value) for column in some for value in column):
        return None
    least = math.inf
    for _ in range(3):  # the first is slow, for nothing is in the caches
        begin = perf_counter()
        for column in some:
            loads(dumps(column, 5))
        least = min(least, perf_counter() - begin)
    return least / len(some[0])


def _is_plain(value: Any) -> bool:
    if type(value) is tuple:
        return len(value) <= SAMPLE and all(type(element) in _PLAIN for element in value) and rough_bytes(value) < SHORT
    return type(value) in _PLAIN and rough_bytes(value) < SHORT


def size_class(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return in which two orders of magnitude the largest argument is: a number by its value, all else by its bytes."""
    largest = 0.0
    for value in (*args, *kwargs.values()) if kwargs else args:
        if type(value) is int or type(value) is float:
            largest = max(largest, abs(value) if value == value else 0.0)
        else:
            largest = max(largest, rough_bytes(value))
    return int(math.log10(min(largest, 1e300) + 1)) // 2


def _container(value: Any, depth: int) -> int:
    count = len(value)
    if not count or not depth:
        return 8 * count
    seen = total = 0
    for element in value.items() if type(value) is dict else value:
        total += rough_bytes(element, depth - 1)
        seen += 1
        if seen == SAMPLE:
            break
    return int(total / seen * count)
