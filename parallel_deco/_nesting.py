"""How deep in parallel work the running code is, so that nested work neither deadlocks nor multiplies workers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Context
    from threading import local
else:
    from _thread import _local as local  # `threading` takes 2 ms to import, in every template of workers

__all__ = ["depth", "enter_worker_process", "in_worker_process", "place", "same_context", "set_depth"]


class _Place(local):
    depth = 0


#: Where the calling thread is. Its `depth` can be set with no call, before which a signal might be heeded.
place = _Place()
_worker_process = False


def depth() -> int:
    """Return the number of parallel calls that the running code is inside of; 0 in the user's own threads."""
    return place.depth


def set_depth(value: int) -> int:
    """Set the depth of the calling thread and return the one before, for its restoring."""
    before = place.depth
    place.depth = value
    return before


def enter_worker_process() -> None:
    """Mark this process as a worker: its cores are already spoken for."""
    global _worker_process
    _worker_process = True


def in_worker_process() -> bool:
    """Return whether this process is a worker of another one."""
    return _worker_process


def same_context(one: Context, other: Context) -> bool:
    """Return whether both have the same variables with the very same values; an `==` of the user's is not asked."""
    if len(one) != len(other):
        return False
    return not one or all(variable in other and other[variable] is value for variable, value in one.items())
