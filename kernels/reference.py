"""The kernels once more in plain Python: what they compute, and how slow the same work is under the GIL.

Same names, arguments, results and errors as the compiled functions in `parallel_deco.kernels`. Each holds the
GIL from begin to end. Tests compare the two, and the demo shows how these are sent to processes.
"""

from __future__ import annotations

import math
from typing import SupportsFloat, SupportsIndex

import numpy
import numpy.typing

from .arguments import LAST_INT32, LAST_SAMPLES, LAST_SEED, grid, integer, matrix_pair, number_range

__all__ = ["count_primes", "mandelbrot", "monte_carlo_pi", "pairwise_distances"]

WORD = 2**64 - 1


def count_primes(start: SupportsIndex, stop: SupportsIndex) -> int:
    """Count the primes p with ``start <= p < stop``, like `parallel_deco.kernels.count_primes`.

    Parameters
    ----------
    start : int
        First number of the range, from 0 on.
    stop : int
        End of the range, not in it, from `start` to 2**63.

    Returns
    -------
    int
        How many numbers of the range are prime.

    Raises
    ------
    TypeError
        If an argument is not an integer.
    ValueError
        If an argument is out of its range, or `start` is above `stop`.

    Notes
    -----
    The sieve of Eratosthenes. Takes a byte for each number of the range and each number up to the square root
    of `stop`, about 0.2 us for each, and holds the GIL.

    Examples
    --------
    >>> count_primes(0, 100)
    25
    """
    first, last = number_range(start, stop)
    first = max(first, 2)
    if first >= last:
        return 0
    prime = bytearray([1]) * (last - first)
    for factor in _primes_up_to(math.isqrt(last - 1)):
        begin = max(factor * factor, (first + factor - 1) // factor * factor)
        for multiple in range(begin - first, last - first, factor):
            prime[multiple] = 0
    return sum(prime)


def _primes_up_to(limit: int) -> list[int]:
    prime = bytearray([1]) * (limit + 1)
    for factor in range(2, math.isqrt(limit) + 1):
        if prime[factor]:
            for multiple in range(factor * factor, limit + 1, factor):
                prime[multiple] = 0
    return [number for number in range(2, limit + 1) if prime[number]]


def mandelbrot(
    xmin: SupportsFloat | SupportsIndex,
    xmax: SupportsFloat | SupportsIndex,
    ymin: SupportsFloat | SupportsIndex,
    ymax: SupportsFloat | SupportsIndex,
    width: SupportsIndex,
    height: SupportsIndex,
    max_iter: SupportsIndex,
) -> numpy.typing.NDArray[numpy.int32]:
    """Count, for each pixel, the iterations until it escapes, like `parallel_deco.kernels.mandelbrot`.

    Parameters
    ----------
    xmin, xmax : float
        Left and right edge, real parts. Finite, ``xmin < xmax``.
    ymin, ymax : float
        Edge of the first row and edge beyond the last row, imaginary parts. Finite, ``ymin < ymax``.
    width, height : int
        Columns and rows of the picture, from 0 on.
    max_iter : int
        Iterations after which a point counts as one that never escapes, from 0 on.

    Returns
    -------
    ndarray of shape (height, width), int32
        The least n with ``abs(z[n]) > 2``, where ``z[0] = 0`` and ``z[n + 1] = z[n]**2 + c``; `max_iter` if
        there is none below it.

    Raises
    ------
    TypeError
        If an edge is not a real number, or another argument not an integer.
    ValueError
        If an edge is not finite, the edges are not in order, or a number is out of its range.

    Notes
    -----
    Iterates every point, the main bulbs included: about 0.1 us for each unit of the counts. Holds the GIL.

    Examples
    --------
    >>> mandelbrot(-2.0, 2.0, -2.0, 2.0, width=4, height=2, max_iter=50)
    array([[ 1,  1,  2,  1],
           [50, 50, 50,  3]], dtype=int32)
    """
    left, dx, bottom, dy, columns, rows = grid(xmin, xmax, ymin, ymax, width, height)
    limit = integer("max_iter", max_iter, 0, LAST_INT32)
    counts = numpy.empty((rows, columns), dtype=numpy.int32)
    for i in range(rows):
        for j in range(columns):
            counts[i, j] = _escape_time(left + j * dx, bottom + i * dy, limit)
    return counts


def _escape_time(cx: float, cy: float, limit: int) -> int:
    zx = zy = 0.0
    for n in range(limit):
        xx = zx * zx
        yy = zy * zy
        if xx + yy > 4.0:
            return n
        zy = 2.0 * zx * zy + cy
        zx = xx - yy + cx
    return limit


def monte_carlo_pi(samples: SupportsIndex, seed: SupportsIndex) -> float:
    """Estimate pi from random points in a square, like `parallel_deco.kernels.monte_carlo_pi`.

    Parameters
    ----------
    samples : int
        How many points to throw, from 1 to 2**53.
    seed : int
        Which points to throw, from 0 to 2**64 - 1. Point i depends on nothing but the seed and i.

    Returns
    -------
    float
        Four times the share of the points that fall into the quarter disc.

    Raises
    ------
    TypeError
        If an argument is not an integer.
    ValueError
        If an argument is out of its range.

    Notes
    -----
    The same counter through SplitMix64, the same points. Takes about 1 us a sample and holds the GIL.

    Examples
    --------
    >>> monte_carlo_pi(1000, seed=200)
    3.136
    """
    count = integer("samples", samples, 1, LAST_SAMPLES)
    begin = _mix(integer("seed", seed, 0, LAST_SEED))
    hits = 0
    for i in range(1, count + 1):
        bits = _mix(begin + i * 0x9E3779B97F4A7C15 & WORD)
        x = 2 * (bits >> 33) + 1  # the middles of 2**31 cells, counted in halves of a cell
        y = 2 * (bits >> 1 & 0x7FFFFFFF) + 1
        hits += x * x + y * y < 2**64
    return 4 * hits / count


def _mix(bits: int) -> int:
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 & WORD
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB & WORD
    return bits ^ bits >> 31


def pairwise_distances(
    x: numpy.typing.NDArray[numpy.float64], y: numpy.typing.NDArray[numpy.float64]
) -> numpy.typing.NDArray[numpy.float64]:
    """Compute the distances between two sets of points, like `parallel_deco.kernels.pairwise_distances`.

    Parameters
    ----------
    x : ndarray of shape (n, d), float64
        One point a row.
    y : ndarray of shape (m, d), float64
        The points to measure to.

    Returns
    -------
    ndarray of shape (n, m), float64
        Entry (i, j) is the distance between ``x[i]`` and ``y[j]``.

    Raises
    ------
    TypeError
        If `x` or `y` is not an ndarray of float64.
    ValueError
        If `x` or `y` has not two dimensions, or they differ in the number of columns.

    Notes
    -----
    Takes about 0.05 us for each of the n m d differences and holds the GIL.

    Examples
    --------
    >>> import numpy
    >>> pairwise_distances(numpy.array([[0.0, 0.0], [3.0, 0.0]]), numpy.array([[0.0, 4.0]]))
    array([[4.],
           [5.]])
    """
    x, y = matrix_pair(x, y)
    result = numpy.empty((len(x), len(y)))
    others = y.tolist()
    for i, point in enumerate(x.tolist()):
        for j, other in enumerate(others):
            total = 0.0
            for a, b in zip(point, other, strict=True):
                total += (a - b) * (a - b)
            result[i, j] = math.sqrt(total)
    return result
