"""What moves: bytes and seconds on the way to another process, roughly and quickly; and orders of magnitude."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from time import perf_counter
from types import MemberDescriptorType, MethodDescriptorType

from parallel_deco._interrupts import interrupts

try:  # without what `pickle` imports
    from _pickle import dumps, loads
except ImportError:
    from pickle import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["FEW", "MANY", "pickling_seconds", "rough_bytes", "size_class"]

#: Elements of a container that are looked at; the others are taken to be like them.
SAMPLE = 8
DEPTH = 3
#: Bytes of what cannot be looked into.
UNKNOWN = 64
_SMALL = frozenset((float, complex, bool, type(None), range))
_CONTAINERS = (list, tuple, dict, set, frozenset, deque)
#: Small values that are pickled to see what that takes: fewer would show what a pickle takes, whatever is in it.
FEW, MANY = 16, 24
#: Elements, at all depths, that are pickled for all of a container.
SOME = 512
#: Bytes after which no more are pickled, and from which on a number or a string is not.
ENOUGH, SHORT = 8192, 4096
#: What pickles without calling anybody's code, each in less than a microsecond.
_PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None)))
_INTEGERS = frozenset((int,))
_NUMBERS = frozenset((float, complex, bool, type(None)))
#: Those of them that may take longer.
_LONG = frozenset((int, str, bytes))


def rough_bytes(value: Any) -> int:
    """Return about how many bytes a pickle of the value has; under 5 µs, and never raises.

    No code of the value's class is called, but for a `__dict__` of its own making.
    """
    try:
        return _bytes(value, DEPTH)
    except Exception as error:  # another thread changes it meanwhile, or the class makes its `__dict__` itself
        if interrupts(error):
            raise
        return UNKNOWN


def _bytes(value: Any, depth: int) -> int:
    """Return that, looking so deep into containers."""
    kind = type(value)
    if kind in (bytes, bytearray, str, memoryview):
        return memoryview(value).nbytes if kind is memoryview else len(value)
    if kind in _SMALL:
        return UNKNOWN
    if kind in _CONTAINERS:
        return _container(value, kind, depth)
    if kind.__module__.partition(".")[0] in ("numpy", "pandas", "pyarrow"):
        size = getattr(value, "nbytes", 0)
        return size if type(size) is int else UNKNOWN
    if kind is int:
        return int(value.bit_length()) // 8 + 2
    if any("set_running_or_notify_cancel" in cls.__dict__ for cls in kind.__mro__):
        return UNKNOWN  # a future: what it holds changes when it ends, and none of that travels
    size = kind.__sizeof__  # its own account, with the bytes of a buffer, for example
    total = max(UNKNOWN, size(value)) if type(size) is MethodDescriptorType else UNKNOWN
    if issubclass(kind, _CONTAINERS):
        total += _container(value, next(base for base in _CONTAINERS if issubclass(kind, base)), depth)
    state = getattr(value, "__dict__", None)
    if type(state) is dict:
        total += _container(state, dict, depth)
    for cls in kind.__mro__[:-1] if depth else ():
        names = cls.__dict__.get("__slots__")
        if names:
            total += sum(_bytes(part, depth - 1) for part in _in_slots(value, cls, names))
    return total


def _in_slots(value: Any, cls: type, names: Any) -> Iterator[Any]:
    """Yield what is in the slots of an object that one of its classes has made."""
    for name in (names,) if type(names) is str else names:
        member = cls.__dict__.get(name)
        if type(member) is MemberDescriptorType:
            with suppress(AttributeError):  # nothing is in it
                yield member.__get__(value)


def pickling_seconds(items: Sequence[Any], values: Sequence[Any]) -> float | None:
    """Return the seconds that it takes to pickle and unpickle one of these items and its value; about 100 µs.

    Returns
    -------
    float or None
        None where they are not made of plain numbers and short strings, in lists, tuples, sets and dicts. Of a large
        container some elements stand for all.
    """
    try:
        return sum(map(_pickling, (items, values)))
    except Exception as error:  # not plain; or another thread changes it meanwhile
        if interrupts(error):
            raise
        return None


def _pickling(column: Sequence[Any]) -> float:
    """Return the seconds for one of the values; TypeError if they are not plain."""
    parts: list[Any] = []
    seen = whole = 0
    for value in islice(column, MANY):
        part = _part(value, [SOME])
        parts.append(part)
        size = rough_bytes(part)
        seen += size
        whole += size if part is value else rough_bytes(value)
        if seen > ENOUGH:
            break
    if not parts:
        return 0.0
    # A batch is one pickle, whatever is in it, and has its price already.
    seconds = max(0.0, _round_trip(parts) - _round_trip([]))
    return seconds * max(1.0, whole / max(1, seen)) / len(parts)


def _round_trip(values: list[Any]) -> float:
    least = math.inf
    for _ in range(3):  # the first is slow, for nothing is in the caches
        begin = perf_counter()
        loads(dumps(values, 5))
        least = min(least, perf_counter() - begin)
    return least


def _part(value: Any, budget: list[int]) -> Any:
    """Return a plain value, of a container the first of its elements; TypeError if it is not plain."""
    kind = type(value)
    budget[0] -= 1
    if kind in (list, tuple, set, frozenset):
        some = list(islice(value, max(0, budget[0])))
        if _are_short(some):
            budget[0] -= len(some)
            return value if len(some) == len(value) else kind(some)
        return kind(_part(element, budget) for element in _while_there_is(budget, value))
    if kind is dict:
        return {_part(key, budget): _part(element, budget) for key, element in _while_there_is(budget, value.items())}
    if kind not in _PLAIN or (kind in _LONG and _bytes(value, 0) > SHORT):
        raise TypeError(f"{kind.__name__} is not plain")
    return value


def _are_short(values: list[Any]) -> bool:
    """Whether all are numbers that pickle at once, as far as a glance tells: 10 µs for 512."""
    kinds = set(map(type, values))
    if kinds == _INTEGERS:
        return max(map(int.bit_length, values)) <= 8 * SHORT
    return kinds <= _NUMBERS


def _while_there_is(budget: list[int], elements: Iterable[Any]) -> Iterator[Any]:
    for element in elements:
        if budget[0] <= 0:
            return
        yield element


def size_class(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return in which two orders of magnitude the largest argument is: a number by its value, all else by its bytes."""
    largest = 0.0
    for value in (*args, *kwargs.values()) if kwargs else args:
        size = abs(value) if type(value) is int or type(value) is float else rough_bytes(value)
        if size > largest:  # and is a number, if it is one
            largest = size
    return 0 if largest < 99 else int(math.log10(min(largest, 1e300) + 1)) // 2


def _container(value: Any, base: Any, depth: int) -> int:
    """Return the bytes of its elements, by the methods of its base, which are nobody's code."""
    count = base.__len__(value)
    if not count or not depth:
        return int(8 * count)
    seen = total = 0
    for element in base.items(value) if base is dict else base.__iter__(value):
        total += _bytes(element, depth - 1)
        seen += 1
        if seen == SAMPLE:
            break
    return int(total / seen * count)
