"""The kernels in plain C (`kernels.c`), compiled for this very machine and called through ctypes."""

import atexit
import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from ctypes import c_double, c_int64, c_uint64, c_void_p
from pathlib import Path
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from parallel_deco.kernels.arguments import (
    LAST_INT32,
    LAST_SAMPLES,
    LAST_SEED,
    grid,
    integer,
    matrix_pair,
    number_range,
)

__all__ = ["load"]

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parents[1] / "kernels"
# For this machine alone, and where it fuses multiplication and addition, the compiler may: no result is promised.
FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC"]

SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "count_primes": (c_uint64, [c_uint64, c_uint64]),
    "mandelbrot": (None, [c_double] * 4 + [c_int64] * 3 + [c_void_p]),
    "monte_carlo_pi": (c_double, [c_uint64, c_uint64]),
    "pairwise_distances": (None, [c_void_p] * 2 + [c_int64] * 3 + [c_void_p]),
}
NO_MEMORY = 2**64 - 1


class Native:
    """The functions of a compiled `kernels.c`, which take and return what the shipped kernels do."""

    def __init__(self, library: ctypes.CDLL) -> None:
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._library = library

    def count_primes(self, start: SupportsIndex, stop: SupportsIndex) -> int:
        """Count the primes p with ``start <= p < stop``."""
        first, last = number_range(start, stop)
        total: int = self._library.count_primes(first, last)
        if total == NO_MEMORY:
            raise MemoryError(f"no memory to sieve the numbers from {first} to {last}")
        return total

    def mandelbrot(
        self,
        xmin: SupportsFloat,
        xmax: SupportsFloat,
        ymin: SupportsFloat,
        ymax: SupportsFloat,
        width: SupportsIndex,
        height: SupportsIndex,
        max_iter: SupportsIndex,
    ) -> NDArray[np.int32]:
        """Count the iterations of each pixel until it escapes."""
        left, dx, bottom, dy, columns, rows = grid(xmin, xmax, ymin, ymax, width, height)
        limit = integer("max_iter", max_iter, 0, LAST_INT32)
        counts = np.empty((rows, columns), dtype=np.int32)
        self._library.mandelbrot(left, dx, bottom, dy, columns, rows, limit, counts.ctypes.data)
        return counts

    def monte_carlo_pi(self, samples: SupportsIndex, seed: SupportsIndex) -> float:
        """Estimate pi from random points in a square."""
        count = integer("samples", samples, 1, LAST_SAMPLES)
        return float(self._library.monte_carlo_pi(count, integer("seed", seed, 0, LAST_SEED)))

    def pairwise_distances(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the distance between each point of `x` and each point of `y`."""
        x, y = (np.ascontiguousarray(points) for points in matrix_pair(x, y))
        (n, d), m = x.shape, len(y)
        distances = np.empty((n, m))
        self._library.pairwise_distances(x.ctypes.data, y.ctypes.data, n, m, d, distances.ctypes.data)
        return distances


def compiler() -> list[str]:
    """Return the command of the C compiler: that of $CC, which may have arguments, else cc, else gcc."""
    wanted = os.environ.get("CC", "").strip()
    for command in [shlex.split(wanted)] if wanted else [["cc"], ["gcc"]]:
        if shutil.which(command[0]):
            return command
    missing = f"{wanted!r}, which $CC names, is" if wanted else "neither cc nor gcc is"
    raise RuntimeError(f"no C compiler: {missing} on the PATH; install gcc or clang, or name one in $CC")


@functools.cache
def load() -> Native:
    """Compile `kernels.c` into a temporary folder, deleted at exit, and load it; once in a process."""
    command = compiler()
    folder = tempfile.TemporaryDirectory(prefix="parallel_deco-native-")
    atexit.register(folder.cleanup)
    target = Path(folder.name) / "kernels.so"
    command = [*command, *FLAGS, f"-I{INCLUDE}", str(HERE / "kernels.c"), "-o", str(target), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"kernels.c does not compile: {shlex.join(command)}\n{result.stderr}")
    return Native(ctypes.CDLL(str(target)))
