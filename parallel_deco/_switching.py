"""Lets a thread of ours get the GIL sooner while others compute with it.

A thread that wants the GIL waits for the switch interval, 5 ms, and loading a module gives it up a hundred times:
beside a function that computes in Python, what takes 40 ms takes half a second.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["soon"]

#: Seconds that a thread waits for the GIL meanwhile.
INTERVAL = 0.2e-3
#: The interpreter cuts the interval down to whole microseconds.
HALF = 0.5e-6

_lock = threading.Lock()
_inside = 0
_before = 0.0


@contextmanager
def soon() -> Iterator[None]:
    """Shorten the interpreter's switch interval for a while; what the user set is there again afterwards."""
    global _inside, _before
    with _lock:
        _inside += 1
        if _inside == 1:
            _before = sys.getswitchinterval()
            _set(min(_before, INTERVAL))
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and abs(sys.getswitchinterval() - INTERVAL) < HALF:  # the user has set no other meanwhile
                _set(_before)


def _set(interval: float) -> None:
    sys.setswitchinterval(interval + HALF)


def _forget_after_fork() -> None:
    """Whoever was inside is not in the child."""
    global _lock, _inside
    _lock = threading.Lock()
    if _inside:
        _inside = 0
        _set(_before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
