"""How fast are the kernels, beside the same algorithm in C and in Numba, and beside NumPy and SciPy?"""

import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from typing import Any

import numpy as np

from parallel_deco import kernels, parallel, shutdown
from parallel_deco._cpus import available_cpus

from ..contest import Entry, Group, Limit
from ..peers import missing
from ..work import VIEW, bands, cloud

__all__ = ["GROUPS"]

KERNEL = "the kernel, one thread"
POINTS, COORDINATES = 2_000, 128
PRIMES = 1_000_000_000
SAMPLES = 100_000_000
PICTURE = 1600, 1200, 1000

Call = Callable[..., Any]
Pieces = tuple[list[tuple[Any, ...]], Callable[[list[Any]], Any]]


def mean(values: list[float]) -> float:
    """Put estimates together."""
    return sum(values) / len(values)


def points() -> tuple[np.ndarray, np.ndarray]:
    """Return two clouds of points."""
    return cloud(POINTS, COORDINATES, 1), cloud(POINTS, COORDINATES, 2)


def rows() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return bands of one cloud, each with the whole other."""
    x, y = points()
    return [(x[a:b], y) for a, b in kernels.split(0, POINTS, 4 * available_cpus())]


@contextmanager
def called(make: Callable[[], Callable[[], Any]], expected: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
    """Make a call, check what it gives, and hand it over."""
    run = make()
    found, wanted = run(), expected()
    # Other random numbers give another estimate, and another order of additions another count at the set's border.
    if np.shape(found) != np.shape(wanted) or not np.mean(np.isclose(found, wanted, rtol=1e-3)) > 0.99:
        raise AssertionError("it returns something else than the kernel")
    yield run
    shutdown()


def native(name: str, arguments: tuple[Any, ...]) -> Callable[[], Any]:
    """Return a call of the function in C."""
    from .. import native

    return functools.partial(getattr(native.load(), name), *arguments)


def in_numba(name: str, arguments: tuple[Any, ...]) -> Callable[[], Any]:
    """Return a call of the function in Numba."""
    from .. import numba_kernels

    return functools.partial(getattr(numba_kernels, name), *arguments)


def cut(name: str, pieces: Callable[[], list[tuple[Any, ...]]], join: Call) -> Callable[[], Any]:
    """Return a call of the kernel in pieces, under the decorator."""
    decorated, given = parallel(getattr(kernels, name)), pieces()
    return lambda: join(list(decorated.starmap(given)))


def group(
    name: str,
    question: str,
    arguments: Callable[[], tuple[Any, ...]],
    pieces: Callable[[], list[tuple[Any, ...]]],
    join: Call,
    others: dict[str, tuple[str | None, Callable[[], Callable[[], Any]]]],
) -> Group:
    """Return the group of one kernel; of the others, why one is missing, and what makes its call."""
    given = functools.cache(arguments)
    expected = functools.cache(lambda: getattr(kernels, name)(*given()))
    makers: dict[str, tuple[str | None, Callable[[], Callable[[], Any]]]] = {
        KERNEL: (None, lambda: functools.partial(getattr(kernels, name), *given())),
        "parallel_deco: the kernel in pieces": (None, lambda: cut(name, pieces, join)),
        "C, -O3 -march=native": (None, lambda: native(name, given())),
        "Numba, nogil": (missing("numba"), lambda: in_numba(name, given())),
        **others,
    }
    entries = [
        Entry(title, functools.partial(called, make, expected), reason) for title, (reason, make) in makers.items()
    ]
    limit = Limit(
        f"C on one thread, over {available_cpus()} CPUs",
        lambda medians: (
            medians["C, -O3 -march=native"] / available_cpus() if "C, -O3 -march=native" in medians else None
        ),
    )
    return Group(f"kernel_{name}", question, entries, limit=limit)


def cdist() -> Callable[[], Any]:
    """Return a call of SciPy's distances."""
    from scipy.spatial.distance import cdist

    return functools.partial(cdist, *points())


def by_product() -> Callable[[], Any]:
    """Return a call of the NumPy expression that people write: less exact, and in all of the threads of BLAS."""
    x, y = points()
    return lambda: np.sqrt(np.maximum((x * x).sum(1)[:, None] + (y * y).sum(1) - 2.0 * x @ y.T, 0.0))


def estimate() -> float:
    """Estimate pi with NumPy's generator, in pieces that fit the cache."""
    chance = np.random.default_rng(1)
    hits = 0
    for _ in range(SAMPLES // 100_000):
        x, y = chance.random(100_000), chance.random(100_000)
        hits += int(np.count_nonzero(x * x + y * y <= 1.0))
    return 4.0 * hits / SAMPLES


def no_primesieve() -> str | None:
    """Return why there is no primesieve here; None where there is."""
    return None if find_library("primesieve") else "Debian's libprimesieve is not installed"


def primesieve() -> Callable[[], int]:
    """Return a call of the library that is the reference for counting primes by a sieve."""
    library = ctypes.CDLL(find_library("primesieve"))
    library.primesieve_set_num_threads(1)
    count = library.primesieve_count_primes
    count.restype, count.argtypes = ctypes.c_uint64, [ctypes.c_uint64] * 2
    return functools.partial(count, 0, PRIMES - 1)


def numpy_sieve() -> int:
    """Count primes with the sieve of odd numbers that is the usual one in NumPy."""
    odd = np.ones(PRIMES // 2, dtype=bool)  # 1 stands for 2
    for number in range(3, int(PRIMES**0.5) + 1, 2):
        if odd[number // 2]:
            odd[number * number // 2 :: number] = False
    return int(np.count_nonzero(odd))


def numpy_mandelbrot() -> np.ndarray:
    """Count the steps of all points at once with NumPy; those that have left are put aside."""
    left, right, bottom, top = VIEW
    width, height, depth = PICTURE
    x = left + (right - left) / width * np.arange(width)
    y = bottom + (top - bottom) / height * np.arange(height)
    c = (x + 1j * y[:, None]).ravel()
    counts = np.full(c.size, depth, dtype=np.int32)
    inside, z, here = np.arange(c.size), np.zeros_like(c), c
    for step in range(depth):
        z = z * z + here
        gone = z.real * z.real + z.imag * z.imag > 4.0
        counts[inside[gone]] = step + 1
        inside, z, here = inside[~gone], z[~gone], here[~gone]
    return counts.reshape(height, width)


GROUPS = [
    group(
        "count_primes",
        f"How long does it take to count the primes below {PRIMES:,}?",
        lambda: (0, PRIMES),
        lambda: kernels.split(0, PRIMES, 8 * available_cpus()),
        sum,
        {
            "primesieve, one thread": (no_primesieve(), primesieve),
            "NumPy": (None, lambda: numpy_sieve),
        },
    ),
    group(
        "mandelbrot",
        f"How long does a picture of the Mandelbrot set take, {PICTURE[0]} by {PICTURE[1]}, {PICTURE[2]} steps?",
        lambda: (*VIEW, *PICTURE),
        lambda: bands(PICTURE, 8 * available_cpus()),
        np.vstack,
        {"NumPy": (None, lambda: numpy_mandelbrot)},
    ),
    group(
        "monte_carlo_pi",
        f"How long does an estimate of pi from {SAMPLES:,} samples take?",
        lambda: (SAMPLES, 1),
        lambda: [(SAMPLES // (4 * available_cpus()), seed) for seed in range(4 * available_cpus())],
        mean,
        {"NumPy": (None, lambda: estimate)},
    ),
    group(
        "pairwise_distances",
        f"How long do the distances between {POINTS:,} and {POINTS:,} points of {COORDINATES} coordinates take?",
        points,
        rows,
        np.vstack,
        {"SciPy cdist": (missing("scipy"), cdist), "NumPy, x.x - 2 x.y + y.y with BLAS": (None, by_product)},
    ),
]
