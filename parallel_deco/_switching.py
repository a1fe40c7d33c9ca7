"""Lets a thread of ours get the GIL sooner while others compute with it.

A thread that wants the GIL waits for the switch interval, 5 ms, and loading a module gives it up a hundred times:
beside a function that computes in Python, what takes 40 ms takes half a second.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ask", "cease", "soon"]

#: Seconds that a thread waits for the GIL meanwhile.
INTERVAL = 0.2e-3
#: The interpreter cuts the interval down to whole microseconds.
HALF = 0.5e-6

_lock = threading.RLock()  # the collector may run within, and let go of what asks
_asked: dict[object, float] = {}
_before = 0.0
_ours = 0.0  # what was set here last


@contextmanager
def soon() -> Iterator[None]:
    """Shorten the interpreter's switch interval for a while; what the user set is there again afterwards."""
    who = object()
    ask(who, INTERVAL)
    try:
        yield
    finally:
        cease(who)


def ask(who: object, seconds: float) -> None:
    """Have the switch interval be no longer than this, until the same object ceases to ask."""
    global _before, _ours
    with _lock:
        if not _asked:
            _before = _ours = sys.getswitchinterval()
        _asked[who] = seconds
        _adapt()


def cease(who: object) -> None:
    """Ask no more, if it does."""
    with _lock:
        if _asked.pop(who, None) is not None:
            _adapt()


def _adapt() -> None:
    """Set the shortest interval that is asked for, or the user's; not where the user has set another meanwhile."""
    global _ours
    if sys.getswitchinterval() == _ours:
        sys.setswitchinterval(min([_before, *_asked.values()]) + HALF)
        _ours = sys.getswitchinterval()


def _forget_after_fork() -> None:
    """Whoever asks is not in the child."""
    global _lock
    _lock = threading.RLock()
    if _asked:
        _asked.clear()
        _adapt()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
