"""Lets a thread of ours get the GIL sooner while others compute with it.

A thread that wants the GIL waits for the switch interval, 5 ms, and loading a module gives it up a hundred times:
beside a function that computes in Python, what takes 40 ms takes half a second.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["AT_ONCE", "SOON", "ask", "cease", "soon"]

#: Seconds that a thread waits for the GIL meanwhile. Nobody else would choose these: so it is seen whose they are, also
#: after Ctrl-C has come between any two steps.
AT_ONCE, SOON = 0.197e-3, 1.999e-3
#: The interpreter cuts the interval down to whole microseconds.
HALF = 0.5e-6
_OURS = frozenset(1e-6 * int(1e6 * (seconds + HALF)) for seconds in (AT_ONCE, SOON))

_lock = threading.RLock()  # the collector may run within, and let go of what asks
_asked: dict[object, float] = {}
_users = sys.getswitchinterval()


@contextmanager
def soon() -> Iterator[None]:
    """Shorten the interpreter's switch interval for a while; what the user set is there again afterwards."""
    who = object()
    ask(who, AT_ONCE)
    try:
        yield
    finally:
        cease(who)


def ask(who: object, seconds: float) -> None:
    """Have the switch interval be no longer than one of those above, until the same object ceases to ask."""
    global _users
    with _lock:
        now = sys.getswitchinterval()
        if now not in _OURS:
            _users = now
        _asked[who] = seconds
        _adapt()


def cease(who: object, wait: bool = True) -> None:
    """Ask no more, if it does; also puts right what an interrupted call has left.

    Without `wait`, only if no other thread is at it: for who may hold any lock, as the collector does.
    """
    if not _lock.acquire(blocking=wait):
        return
    try:
        _asked.pop(who, None)
        if sys.getswitchinterval() in _OURS:  # else the user has set another meanwhile
            _adapt()
    finally:
        _lock.release()


def _adapt() -> None:
    """Set the shortest interval that is asked for, or the user's."""
    sys.setswitchinterval(min([_users, *_asked.values()]) + HALF)


def _forget_after_fork() -> None:
    """Whoever asks is not in the child."""
    global _lock
    _lock = threading.RLock()
    if _asked:
        _asked.clear()
        if sys.getswitchinterval() in _OURS:
            _adapt()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
