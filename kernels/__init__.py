"""Compiled kernels that release the GIL: work to measure the library with, to demonstrate it and to test it.

Each has a twin of the same name in plain Python in `parallel_deco.kernels.reference`, which holds the GIL.
Nothing here knows of the rest of the library.
"""

from .distances import pairwise_distances
from .instructions import instruction_set
from .mandelbrot import mandelbrot
from .pi import monte_carlo_pi
from .primes import count_primes
from .ranges import split

__all__ = [
    "count_primes",
    "instruction_set",
    "mandelbrot",
    "monte_carlo_pi",
    "pairwise_distances",
    "split",
]

# Where users find them, and pickle too: the function `mandelbrot` hides the module of that name.
for _public in (count_primes, instruction_set, mandelbrot, monte_carlo_pi, pairwise_distances, split):
    _public.__module__ = __name__
del _public
