"""What the contenders run: functions that every worker process can import, and their items."""

import functools
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from parallel_deco import kernels

__all__ = [
    "LARGE",
    "VIEW",
    "bands",
    "block",
    "cloud",
    "half_and_half",
    "length",
    "nap",
    "nothing",
    "primes",
    "spin",
    "square",
    "steps",
    "uneven_steps",
]

#: float64 numbers of a large array: 64 MB.
LARGE = 8_000_000
#: The part of the plane that pictures of the Mandelbrot set show: left, right, bottom, top.
VIEW = (-2.0, 0.6, -1.2, 1.2)


def nothing(x):
    """Do nothing."""
    return x


def square(x):
    """Do next to nothing: the loop over it is all that there is."""
    return x * x + 1


def spin(count):
    """Compute in Python, with the GIL held, for so many steps; time on other threads does not count."""
    x = 1
    for _ in range(count):
        x = (x * 69069 + 1) & 0xFFFFFFFF
    return x


@functools.cache
def steps(seconds: float) -> int:
    """Return the steps of `spin` that take so long on this machine, with nothing else running."""
    return max(1, round(seconds * 10_000 / min(_timed(lambda: spin(10_000)) for _ in range(30))))


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def uneven_steps(count: int, least: float, most: float) -> list[int]:
    """Return steps that take from `least` to `most` seconds, as 1/x is spread, the longest last."""
    chance = random.Random(7)
    seconds = sorted(least * (most / least) ** chance.random() for _ in range(count))
    one = steps(1e-3) / 1e-3
    return [max(1, round(one * each)) for each in seconds]


def nap(seconds):
    """Wait."""
    time.sleep(seconds)
    return seconds


def primes(start):
    """Compute without the GIL: a piece of a compiled kernel, of about 10 ms."""
    return kernels.count_primes(start, start + 50_000_000)


def half_and_half(start):
    """Compute half of the time with the GIL, and half without."""
    return kernels.count_primes(start, start + 25_000_000), spin(HALF)


def length(array):
    """Take a large argument."""
    return len(array)


_kept: list[np.ndarray] = []


def block(size):
    """Give a large result that is there already."""
    if not _kept:
        _kept.append(np.ones(size))
    return _kept[0]


#: Steps of `spin` beside 25 million numbers of the sieve: about as long, on the machines that it was tried on.
HALF = 60_000


def bands(picture: tuple[int, int, int], pieces: int) -> list[tuple[Any, ...]]:
    """Return the arguments of `mandelbrot` for horizontal bands of a picture: its width, height and most steps."""
    left, right, bottom, top = VIEW
    width, height, depth = picture
    step = (top - bottom) / height
    cuts = kernels.split(0, height, pieces)
    return [(left, right, bottom + a * step, bottom + b * step, width, b - a, depth) for a, b in cuts]


def cloud(points: int, coordinates: int, seed: int) -> np.ndarray:
    """Return random points."""
    return np.random.default_rng(seed).random((points, coordinates))
