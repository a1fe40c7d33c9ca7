"""How much faster does work become with 1, 2, … workers?"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from parallel_deco import parallel, shutdown
from parallel_deco._cpus import available_cpus

from ..contest import LOOP, Entry, Group, shared_by_cpus
from ..work import primes, spin, steps

__all__ = ["GROUPS"]

PIECES, SECONDS = 32, 10e-3


def widths() -> list[int]:
    """Return 1, 2, 4, … up to the CPUs."""
    powers = [1 << power for power in range(available_cpus().bit_length())]
    return sorted({*powers, available_cpus()})


@contextmanager
def mapped(function: Callable[[Any], Any], items: Callable[[], list[Any]], width: int | None) -> Iterator[Callable]:
    """Run the loop, or `auto` with so many workers."""
    given = items()
    if width is None:
        yield lambda: [function(item) for item in given]
        return
    decorated = parallel(function, max_workers=width)
    list(decorated.map(given))
    list(decorated.map(given))
    yield lambda: list(decorated.map(given))
    shutdown()


def group(name: str, question: str, function: Callable[[Any], Any], items: Callable[[], list[Any]]) -> Group:
    """Return the group of one kind of work."""
    entries = [Entry(LOOP, functools.partial(mapped, function, items, None))]
    entries += [
        Entry(f"{width} worker{'s' * (width > 1)}", functools.partial(mapped, function, items, width))
        for width in widths()
    ]
    return Group(name, question, entries, limit=shared_by_cpus())


GROUPS = [
    group(
        "scaling_gil_free",
        "How much faster does a kernel without the GIL become with more workers?",
        primes,
        lambda: [10**7 * number for number in range(PIECES)],
    ),
    group(
        "scaling_python",
        "How much faster does a loop in Python become with more workers?",
        spin,
        lambda: [steps(SECONDS)] * PIECES,
    ),
]
