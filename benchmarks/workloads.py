"""The workloads of `regret.py`: functions that worker processes can import, and the items that each is mapped over.

Computing is counted in steps, not in seconds of a clock: a thread that waits for the GIL must not come to its end
meanwhile. How many steps a microsecond has is measured once, when this is imported.
"""

import hashlib
import json
import os
import random
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from parallel_deco import kernels

__all__ = ["WORKLOADS", "Workload"]


class Workload(NamedTuple):
    """A function and its input.

    Parameters
    ----------
    name : str
    function : callable
        Of one argument.
    items : callable
        Makes the input anew.
    held_out : bool
        Not to be looked at while constants are chosen.
    """

    name: str
    function: Callable[[Any], Any]
    items: Callable[[], Iterable[Any]]
    held_out: bool


WORKLOADS: list[Workload] = []


def workload(items: Callable[[], Iterable[Any]], held_out: bool = False) -> Callable[[Any], Any]:
    """Enter a function in the list; its name is the workload's."""

    def enter(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        WORKLOADS.append(Workload(function.__name__, function, items, held_out))
        return function

    return enter


def fixed(items: list[Any]) -> Callable[[], list[Any]]:
    """Give the same list each time."""
    return lambda: items


def spin(steps: int) -> int:
    """Compute, with the GIL held all the time."""
    x = 1
    for _ in range(steps):
        x = (x * 69069 + 1) & 0xFFFFFFFF
    return x


def _steps_in_a_microsecond() -> float:
    least = float("inf")
    for _ in range(20):
        began = time.perf_counter()
        spin(10_000)
        least = min(least, time.perf_counter() - began)
    return 10_000 / least * 1e-6


#: Worker processes that import this measure it too, for nothing: the items come as steps.
MICROSECOND = _steps_in_a_microsecond()


def steps(*milliseconds: float) -> list[int]:
    """Return the steps that take so long."""
    return [max(1, round(1000 * each * MICROSECOND)) for each in milliseconds]


_chance = random.Random(20261123)
LOGNORMAL = steps(*(min(40.0, _chance.lognormvariate(0.0, 1.0)) for _ in range(300)))
PARETO = steps(*(min(150.0, 0.5 * _chance.paretovariate(1.1)) for _ in range(200)))
RISING = [0.2 * 1.05**number for number in range(100)]
EXPONENTIAL = [min(0.1, _chance.expovariate(100)) for _ in range(200)]

# Computing with the GIL held: from tiny to long, from one item to a million.


@workload(fixed(list(range(1_000_000))))
def add_one(x):
    """Do as little as a function can."""
    return x + 1


@workload(fixed(["some text"] * 200_000), held_out=True)
def upper(text):
    """Call one method."""
    return text.upper()


@workload(fixed(steps(0.001) * 200_000))
def spin_1_us(x):
    """A microsecond."""
    return spin(x)


@workload(fixed(steps(0.01) * 20_000))
def spin_10_us(x):
    """Ten microseconds."""
    return spin(x)


@workload(fixed(steps(0.1) * 3_000), held_out=True)
def spin_100_us(x):
    """A tenth of a millisecond."""
    return spin(x)


@workload(fixed(steps(1) * 300))
def spin_1_ms(x):
    """A millisecond."""
    return spin(x)


@workload(fixed(steps(10) * 40))
def spin_10_ms(x):
    """Ten milliseconds."""
    return spin(x)


@workload(fixed(steps(100) * 8))
def spin_100_ms(x):
    """A tenth of a second."""
    return spin(x)


@workload(fixed(steps(2000) * 2))
def spin_2_s(x):
    """Two seconds."""
    return spin(x)


@workload(fixed(steps(20)))
def one_item(x):
    """There is nothing to be gained."""
    return spin(x)


@workload(fixed(steps(30) * 2), held_out=True)
def two_items(x):
    """There is little to be gained."""
    return spin(x)


@workload(fixed(steps(0.5) * 10))
def short_job(x):
    """All together 5 ms."""
    return spin(x)


@workload(fixed(LOGNORMAL))
def spin_random(x):
    """Items of any size, the usual way."""
    return spin(x)


@workload(fixed(PARETO))
def spin_heavy_tail(x):
    """A few items are most of the work."""
    return spin(x)


@workload(fixed(steps(*RISING)))
def spin_long_last(x):
    """The longest come last."""
    return spin(x)


@workload(fixed(steps(*RISING[::-1])), held_out=True)
def spin_long_first(x):
    """The longest come first."""
    return spin(x)


@workload(fixed([json.dumps([{"name": f"n{i}", "value": [i] * 8} for i in range(250)])] * 400))
def parse_json(text):
    """Parse 25 kB."""
    return len(json.loads(text))


@workload(fixed(["the quick brown fox 12345 " * 100] * 1000), held_out=True)
def find_words(text):
    """A regular expression."""
    return len(re.findall(r"\b[a-z]+\b", text))


@workload(fixed([[_chance.random() for _ in range(5000)] for _ in range(60)]))
def sort_list(values):
    """Sort; the argument and the result are lists."""
    return sorted(values)


# Waiting.


@workload(fixed([1e-3] * 800))
def sleep_1_ms(seconds):
    """A millisecond."""
    time.sleep(seconds)


@workload(fixed([10e-3] * 100))
def sleep_10_ms(seconds):
    """Ten milliseconds."""
    time.sleep(seconds)


@workload(fixed([0.1] * 40), held_out=True)
def sleep_100_ms(seconds):
    """A tenth of a second."""
    time.sleep(seconds)


@workload(fixed([2.0] * 2))
def sleep_2_s(seconds):
    """Two seconds."""
    time.sleep(seconds)


@workload(fixed(EXPONENTIAL))
def sleep_random(seconds):
    """10 ms, on average."""
    time.sleep(seconds)


@workload(fixed([__file__] * 2000))
def read_file(path):
    """Read a small file that is in the cache."""
    with open(path, "rb") as file:
        return len(file.read())


# Computing with the GIL released.


@workload(fixed([bytes(100_000)] * 1500))
def hash_100_kb(data):
    """Some 50 µs."""
    return hashlib.sha256(data).hexdigest()


@workload(fixed([8_000_000] * 30))
def hash_8_mb(size):
    """Some milliseconds, the data is made there."""
    return hashlib.sha256(bytes(size)).hexdigest()


@workload(fixed([os.urandom(20_000) * 10] * 60), held_out=True)
def compress(data):
    """Compress 200 kB."""
    return len(zlib.compress(data, 6))


@workload(fixed([(number * 100_000, (number + 1) * 100_000) for number in range(200)]))
def count_primes(limits):
    """A kernel of the package."""
    return kernels.count_primes(*limits)


@workload(fixed([200_000] * 100))
def sine(size):
    """NumPy, which gives the GIL up for the loop."""
    return float(np.sin(np.arange(size)).sum())


# Both.


@workload(fixed(steps(2) * 80))
def wait_and_spin(x):
    """Two milliseconds of each."""
    time.sleep(2e-3)
    return spin(x)


@workload(fixed(steps(0.5) * 150))
def mostly_wait(x):
    """Ten times as long waiting as computing."""
    time.sleep(5e-3)
    return spin(x)


@workload(fixed(steps(1) * 100), held_out=True)
def hash_and_spin(x):
    """As long with the GIL released as with it held."""
    hashlib.sha256(bytes(500_000)).digest()
    return spin(x)


# Large arguments and results.


@workload(fixed([np.random.default_rng(n).random(125_000) for n in range(60)]))
def large_argument(array):
    """A megabyte there, a number back."""
    return float(np.sort(array)[0])


@workload(fixed([125_000] * 60))
def large_result(size):
    """A number there, a megabyte back."""
    return np.cumsum(np.ones(size))


@workload(fixed([list(range(20_000))] * 60), held_out=True)
def large_both(values):
    """Lists both ways, which must be pickled element by element."""
    return [value * 3 for value in values]


# Generators, and work that changes.


def _endless_looking(items: list[Any]) -> Callable[[], Iterator[Any]]:
    return lambda: (item for item in items)


@workload(_endless_looking(steps(1) * 200))
def generated(x):
    """The length of the input is not known."""
    return spin(x)


def _slow_input() -> Iterator[int]:
    for item in steps(2) * 60:
        time.sleep(1e-3)
        yield item


@workload(_slow_input, held_out=True)
def slow_input(x):
    """The input itself takes its time."""
    return spin(x)


@workload(fixed(steps(0.02) * 2000 + steps(2) * 100))
def drift_in_size(x):
    """Items become a hundred times as long."""
    return spin(x)


@workload(fixed([("spin", steps(1)[0])] * 80 + [("sleep", 4e-3)] * 80), held_out=True)
def drift_in_kind(item):
    """First it computes, then it waits."""
    kind, amount = item
    if kind == "spin":
        return spin(amount)
    return time.sleep(amount)
