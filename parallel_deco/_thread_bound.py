"""Inputs that only one thread may take from: cursors of sqlite3, and what draws from one."""

import gc
import itertools
import sys
from types import GeneratorType
from typing import Any

__all__ = ["is_thread_bound"]

#: How far a generator over a generator is looked into, and how many inputs one may be made of.
_DEEP, _MANY = 5, 8
#: What draws from other iterators, and `chain` keeps those in a tuple.
_DRAWING = {GeneratorType, map, filter, zip, enumerate, tuple, list, type(iter(())), type(iter([]))}
_DRAWING |= {kind for kind in vars(itertools).values() if isinstance(kind, type)}


def is_thread_bound(iterator: object) -> bool:
    """Return whether an iterator is a cursor, or draws from one that it has already; 0.1 µs where sqlite3 is not used.

    Nor is a generator function: who waits for results would wait in it for something that is done with them.
    """
    module: Any = sys.modules.get("_sqlite3")
    return module is not None and _holds(iterator, module.Cursor, _DEEP)


def _holds(value: object, cursor: type, deep: int) -> bool:
    if isinstance(value, cursor):
        return True
    if not deep or type(value) not in _DRAWING or (isinstance(value, (tuple, list)) and len(value) > _MANY):
        return False
    if isinstance(value, GeneratorType) and value.gi_code.co_name != "<genexpr>":
        return False
    # Not by its frame: that would keep the values of its variables.
    return any(_holds(part, cursor, deep - 1) for part in gc.get_referents(value))
