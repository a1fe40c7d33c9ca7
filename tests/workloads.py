"""Functions that tests send to worker processes.

They are in a module of their own, which imports next to nothing: a worker imports the module of a function that it
gets, and the modules of the tests take it a quarter of a second.
"""

import contextvars
import os
import threading
import time

from parallel_deco import parallel

VARIABLE = contextvars.ContextVar("VARIABLE", default="default")


class Elementwise:
    """A value that cannot be asked whether it is equal, as arrays cannot."""

    def __init__(self, value):
        self.value = value

    __hash__ = None

    def __eq__(self, other):
        return Elementwise(self.value == other)

    def __bool__(self):
        raise ValueError("ambiguous")


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


def toil(count):
    """Compute so many steps in Python."""
    total = 0
    for number in range(count):
        total += number * number
    return total


def crawl_with(item):
    """Wait for some items."""
    time.sleep(0.002 * (item[0] % 50 == 0))
    return item


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


def plain(a: int, b: int = 2, *, c: int = 3) -> int:
    """Add three numbers."""
    return a + b + c


decorated = parallel(plain)


@parallel
def bare(x):
    """Written without parentheses."""
    return x + 1


@parallel()
def empty(x):
    """Written with empty parentheses."""
    return x + 2


@parallel(backend="serial", max_workers=3)
def optioned(x):
    """Written with options."""
    return x + 3


class Account:
    """A class with decorated methods of each kind."""

    rate = 2

    def __init__(self, start):
        self.start = start

    @parallel
    def total(self, x, *, fee=0):
        """Add to the start."""
        return self.start + x - fee

    @parallel
    @classmethod
    def rated(cls, x):
        """Multiply by the rate of the class."""
        return cls.rate * x

    @parallel
    @staticmethod
    def square(x):
        """Take no object at all."""
        return x * x

    @staticmethod
    @parallel
    def cube(x):
        """Decorated before it was made static."""
        return x**3


class Savings(Account):
    """Another rate, and a method that asks its parent."""

    rate = 7

    def doubled(self, items):
        """Map the parent's method."""
        return list(super().total.map(items))


class Adder:
    """A callable object."""

    def __init__(self, amount):
        self.amount = amount

    def __call__(self, x):
        return self.amount + x


def stuck(path):
    """Return at once, or, given a file's name, not before the file exists."""
    while path is not None and not os.path.exists(path):
        time.sleep(0.01)
    return path is None


class Thing:
    """Something that can be watched while it lives."""

    def __init__(self, number):
        self.number = number


def sleep_long_at_one(x):
    """Sleep for longer than any test waits when it is 1."""
    if type(x) is int and x == 1:
        time.sleep(600)
    return x


def place_and_time(seconds):
    """Sleep, and say when that began and ended."""
    before = time.monotonic()
    time.sleep(seconds)
    return before, time.monotonic()


def count_to(limit):
    """Count, with the GIL held."""
    count = 0
    while count < limit:
        count += 1
    return count
