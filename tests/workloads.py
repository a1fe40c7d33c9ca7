"""Functions that tests send to worker processes.

They are in a module of their own, which imports next to nothing: a worker imports the module of a function that it
gets, and the modules of the tests take it a quarter of a second.
"""

import os
import threading
import time

__all__ = ["burn", "busy", "crawl", "double", "fails_on_odd", "pause", "place", "timed"]


def double(x):
    """Compute next to nothing."""
    return 2 * x


def fails_on_odd(x):
    """Raise for every other item."""
    if x % 2:
        raise ValueError(x)
    return x


def busy(x):
    """Compute for a moment, longer for some."""
    total = 0
    for number in range(50 * (x % 7)):
        total += number
    return x, total


def pause(x):
    """Wait for a moment, longer for some."""
    time.sleep(0.0005 * (x % 5))
    return x


def burn(seconds):
    """Compute in Python for so long, and say where."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(100))
    return os.getpid()


def crawl(n):
    """Do what the crawl does, in a plain recursion."""
    found = [n // 2, n // 3]
    return [found, *(deeper for m in found if m > 1 for deeper in crawl(m))]


def place(_=None):
    """Say where it runs."""
    return os.getpid(), threading.get_ident()


def timed(_=None):
    """Say when it ran, on a clock that all processes share."""
    start = time.monotonic()
    time.sleep(0.003)
    return start, time.monotonic()
