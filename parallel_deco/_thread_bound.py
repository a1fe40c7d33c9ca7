"""Inputs that only one thread may take from: cursors of sqlite3, and what draws from one."""

import sys
from types import GeneratorType
from typing import Any

__all__ = ["is_thread_bound", "note_thread"]

#: How far a generator over a generator is looked into.
_DEEP = 4


def is_thread_bound(iterable: object, deep: int = _DEEP) -> bool:
    """Return whether an input is a cursor, or draws from one, as far as that can be seen; 0.1 µs without sqlite3."""
    module: Any = sys.modules.get("_sqlite3")
    if module is None or not deep:
        return False
    if isinstance(iterable, (module.Cursor, module.Connection)):
        return True
    return any(is_thread_bound(part, deep - 1) for part in _parts(iterable))


def _parts(iterable: Any) -> tuple[Any, ...]:
    """Return what an input is made of."""
    kind = type(iterable)
    if kind is GeneratorType:
        frame = iterable.gi_frame
        return () if frame is None else tuple(frame.f_locals.values())
    if kind in (map, filter, zip, enumerate):
        return tuple(iterable.__reduce__()[1])
    return ()


def note_thread(error: BaseException) -> None:
    """Say where an input was drawn from, if that may be what it does not bear."""
    try:
        if "thread" in str(error):
            error.add_note("the input of a map is drawn from in any thread: pass a list of its items, or serial")
    except Exception:  # a __str__ of the user's, or one that takes no notes
        return
