"""How much faster does work become with 1, 2, … workers?"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from parallel_deco import kernels, parallel, shutdown
from parallel_deco._cpus import available_cpus
from parallel_deco.kernels import reference

from ..contest import LOOP, Entry, Group, Limit
from ..limits import apart
from ..work import bands, cloud, spin, steps

__all__ = ["GROUPS"]

PIECES, SECONDS = 32, 10e-3

Rows = list[tuple[Any, ...]]


def widths() -> list[int]:
    """Return 1, 2, 4, … up to the CPUs."""
    powers = [1 << power for power in range(available_cpus().bit_length())]
    return sorted({*powers, available_cpus()})


@contextmanager
def mapped(function: Callable[..., Any], rows: Callable[[], Rows], width: int | None) -> Iterator[Callable]:
    """Run the loop, or `auto` with so many workers."""
    given = rows()
    if width is None:
        yield lambda: [function(*row) for row in given]
        return
    decorated = parallel(function, max_workers=width)
    list(decorated.starmap(given))
    list(decorated.starmap(given))
    yield lambda: list(decorated.starmap(given))
    shutdown()


def group(name: str, question: str, function: Callable[..., Any], rows: Callable[[], Rows]) -> Group:
    """Return the group of one kind of work."""
    entries = [Entry(LOOP, functools.partial(mapped, function, rows, None))]
    entries += [
        Entry(f"{width} worker{'s' * (width > 1)}", functools.partial(mapped, function, rows, width))
        for width in widths()
    ]
    cpus = available_cpus()
    limit = Limit(
        f"{cpus} processes, forked before, each with its share of the pieces and nothing to send back",
        lambda medians: medians.get("apart"),
    )
    measured = [Entry("apart", lambda: apart(function, rows(), cpus))]
    return Group(name, question, entries, limit=limit, measured=measured)


def distances(points: int, others: int, coordinates: int) -> Rows:
    """Return bands of one cloud of points, each with the whole other."""
    x, y = cloud(points, coordinates, 1), cloud(others, coordinates, 2)
    return [(x[a:b], y) for a, b in kernels.split(0, points, PIECES)]


#: For each kernel its pieces and those of its twin, all together about half a second in one thread.
IN_PIECES: dict[str, tuple[Callable[[], Rows], Callable[[], Rows]]] = {
    "count_primes": (
        lambda: [*kernels.split(0, 4 * 10**9, PIECES)],
        lambda: [*kernels.split(0, 6 * 10**6, PIECES)],
    ),
    "mandelbrot": (lambda: bands((3200, 2400, 4000), PIECES), lambda: bands((320, 192, 150), PIECES)),
    "monte_carlo_pi": (
        lambda: [(40_000_000, seed) for seed in range(PIECES)],
        lambda: [(20_000, seed) for seed in range(PIECES)],
    ),
    "pairwise_distances": (lambda: distances(4000, 4000, 256), lambda: distances(960, 200, 16)),
}

QUESTION = "How much faster do pieces of {}{} become with more workers?"

GROUPS = [
    *(
        group(f"scaling_{name}", QUESTION.format("the kernel ", name), getattr(kernels, name), pieces)
        for name, (pieces, _) in IN_PIECES.items()
    ),
    *(
        group(f"scaling_twin_{name}", QUESTION.format("the Python twin of ", name), getattr(reference, name), pieces)
        for name, (_, pieces) in IN_PIECES.items()
    ),
    group(
        "scaling_python",
        "How much faster does a loop in Python become with more workers?",
        spin,
        lambda: [(steps(SECONDS),)] * PIECES,
    ),
]
