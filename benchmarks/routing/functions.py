"""Functions of all kinds, each with work for a quarter of a second or so: what `auto` is put to the test with.

No function knows what it is a case of; `table.py` finds the right route by measuring all of them. `HELD_OUT` was never
looked at while constants were chosen.
"""

import bz2
import collections
import copy
import csv
import ctypes
import datetime
import decimal
import difflib
import fractions
import hashlib
import heapq
import inspect
import io
import itertools
import json
import lzma
import os
import pickle
import random
import re
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parallel_deco import kernels
from parallel_deco.kernels import reference

try:
    import scipy.ndimage
    import scipy.optimize
except ImportError:  # then its cases are left out
    scipy = None

__all__ = ["CASES", "HELD_OUT", "Case"]


@dataclass(frozen=True)
class Case:
    """A function and its items; `stays` if it is only right where memory is shared."""

    name: str
    function: Callable[[Any], Any]
    items: Sequence[Any]
    stays: bool = False


CASES: list[Case] = []


def case(items, stays=False):
    """Put a function on the list."""

    def enter(function):
        CASES.append(Case(function.__name__, function, items, stays))
        return function

    return enter


TEXT = " ".join(random.Random(0).choices(["alpha", "beta", "gamma42", "delta", "x", "omega-7"], k=4000))
RECORDS = [{"id": n, "name": f"name {n}", "values": [n * 0.5, n * 0.25], "tags": ["a", "b"]} for n in range(400)]
RECORDS_TEXT = json.dumps(RECORDS)
TABLE = "\n".join(f"{n},{n * 2},word{n},{n / 3:.3f}" for n in range(2000))
SOURCE = inspect.getsource(textwrap)
NOISE = random.Random(1).randbytes(8_000_000)
ARRAY = np.random.default_rng(0).random(1_000_000)
SMALL = np.arange(10.0)
SQUARE = np.random.default_rng(1).random((700, 700))
POINTS = np.random.default_rng(2).random((400, 16))

LOCK = threading.Lock()
SEEN: list[int] = []
if hasattr(ctypes, "PyDLL"):
    HOLDING = ctypes.PyDLL(None)  # calls of it keep the GIL


def path(name, size):
    """Return the path of a file with so many bytes, made when first asked for."""
    made = os.path.join(tempfile.gettempdir(), f"parallel_deco-routing-{name}-{os.getuid()}")
    if not os.path.exists(made) or os.path.getsize(made) != size:
        with open(made, "wb") as file:
            file.write(NOISE[:size])
    return made


# Computes in Python.


@case(range(100))
def plain_loop(x):
    total = 0
    for n in range(40_000):
        total += n ^ x
    return total


@case([20] * 150)
def recursion(n):
    return n if n < 2 else recursion(n - 1) + recursion(n - 2)


@case(range(100))
def comprehension(x):
    return sum([n * n % 7 for n in range(30_000)])


@case(range(1, 20_000))
def collatz(x):
    steps = 0
    while x != 1:
        x = x // 2 if x % 2 == 0 else 3 * x + 1
        steps += 1
    return steps


@case([20_000] * 100)
def sieve(n):
    flags = bytearray([1]) * n
    for p in range(2, int(n**0.5) + 1):
        if flags[p]:
            flags[p * p :: p] = bytes(len(range(p * p, n, p)))
    return sum(flags) + sum(1 for n in range(8000) if n % 3)


@case(range(150))
def string_building(x):
    return len("".join(str(n + x) for n in range(8000)))


@case(range(120))
def counting_words(x):
    return collections.Counter(TEXT.split()).most_common(3)


@case(range(200))
def regex_search(x):
    return len(re.findall(r"\b[a-z]+\d+\b", TEXT))


@case(range(120))
def regex_substitute(x):
    return len(re.sub(r"(\w)(\w*)-(\d)", r"\3\2\1", TEXT))


@case(range(250))
def json_write(x):
    return len(json.dumps(RECORDS))


@case(range(300))
def json_read(x):
    return len(json.loads(RECORDS_TEXT))


@case(range(250))
def csv_read(x):
    return sum(float(row[3]) for row in csv.reader(io.StringIO(TABLE)))


@case(range(100))
def sorting_by_key(x):
    return sorted(range(15_000), key=lambda n: (n * 7919) % 10_007)[x]


@case(range(30))
def big_integers(x):
    return 3 ** (150_000 + x) % 1_000_007


@case(range(150))
def decimals(x):
    total = decimal.Decimal(x)
    for n in range(1, 5000):
        total += decimal.Decimal(1) / n
    return total


@case(range(300))
def fractions_sum(x):
    return sum((fractions.Fraction(1, n + x + 1) for n in range(150)), fractions.Fraction())


@case(range(400))
def similarity(x):
    return difflib.SequenceMatcher(None, TEXT[x : x + 600], TEXT[x + 50 : x + 650]).ratio()


@case(range(30))
def parsing_code(x):
    # Not `ast.parse`: CPython 3.11 fails with SystemError now and then where two threads are in it.
    return len(compile(SOURCE, "source", "exec").co_code)


@case(range(100_000))
def tiny_arithmetic(x):
    return x * x + 1


@case(["some words to change"] * 100_000)
def tiny_string(text):
    return text.upper()


@case(["2024-05-06T07:08:09"] * 20_000)
def dates(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")


@case(range(100))
def random_walk(seed):
    generator = random.Random(seed)
    place = 0.0
    for _ in range(6000):
        place += generator.uniform(-1, 1)
    return place


@case(range(40))
def permutations(x):
    return sum(1 for order in itertools.permutations(range(8)) if order[0] < order[-1])


@case(range(40))
def matrix_in_lists(x):
    rows = [[(i * j + x) % 7 for j in range(40)] for i in range(40)]
    product = [[sum(map(int.__mul__, row, column)) for column in zip(*rows, strict=True)] for row in rows]
    return product[0][0]


@case(range(1000))
def pickling(x):
    return len(pickle.dumps(RECORDS))


@case(range(60))
def deep_copy(x):
    return len(copy.deepcopy(RECORDS))


@case(range(100))
def heap(x):
    numbers: list[int] = []
    for n in range(8000):
        heapq.heappush(numbers, (n * 7919 + x) % 10_007)
    return heapq.heappop(numbers)


@case([("kitten" * 8, "sitting" * 8)] * 150)
def edit_distance(pair):
    one, other = pair
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row, above = [i], row
        for j, b in enumerate(other, 1):
            row.append(min(row[-1] + 1, above[j] + 1, above[j - 1] + (a != b)))
    return row[-1]


@case([(-2.0 + n / 24, 2000) for n in range(48)])
def mandelbrot_in_python(work):
    left, iterations = work
    return reference.mandelbrot(left, left + 1 / 24, -1.0, 1.0, 4, 60, iterations // 10).sum()


# Computes with the GIL released.


@case(range(40))
def compress(x):
    return len(zlib.compress(NOISE[x : x + 250_000]))


@case(range(12))
def compress_lzma(x):
    return len(lzma.compress(NOISE[x : x + 60_000]))


@case(range(12))
def compress_bz2(x):
    return len(bz2.compress(NOISE[x : x + 200_000]))


@case(range(60))
def hash_large(x):
    return hashlib.sha256(NOISE).hexdigest()


@case([NOISE[n : n + 500] for n in range(30_000)])
def hash_small(block):
    return hashlib.sha256(block).digest()


@case(range(20))
def derive_key(x):
    return hashlib.pbkdf2_hmac("sha256", b"secret", str(x).encode(), 30_000)


@case(range(100))
def checksum(x):
    return zlib.crc32(NOISE, x)


@case([(n * 10_000_000, (n + 1) * 10_000_000) for n in range(60)])
def kernel_primes(bounds):
    return kernels.count_primes(*bounds)


@case([(-2.0 + n / 24, 20_000) for n in range(48)])
def kernel_mandelbrot(work):
    left, iterations = work
    return kernels.mandelbrot(left, left + 1 / 24, -1.0, 1.0, 40, 400, iterations).sum()


@case(range(40))
def kernel_pi(seed):
    return kernels.monte_carlo_pi(3_000_000, seed)


@case(range(200))
def kernel_distances(x):
    return kernels.pairwise_distances(POINTS, POINTS).sum()


@case(range(20_000))
def kernel_tiny(x):
    return kernels.count_primes(x, x + 10)


@case(range(10))
def numpy_sort(x):
    return np.sort(np.roll(ARRAY, x))[0]


@case(range(30))
def numpy_sine(x):
    return np.sin(ARRAY + x).sum()


@case(range(20_000))
def numpy_small(x):
    return float((SMALL * x + 1).sum())


@case(range(30))
def numpy_matmul(x):
    return (SQUARE @ SQUARE)[0, x]


@case(range(40))
def numpy_svd(x):
    return np.linalg.svd(SQUARE[:200, :200] + x, compute_uv=False)[0]


@case(range(20))
def numpy_random(seed):
    return np.random.default_rng(seed).standard_normal(1_000_000).mean()


@case(range(20))
def numpy_unique(x):
    return len(np.unique((ARRAY[:300_000] * 1000).astype(int) + x))


if scipy is not None:

    @case(range(12))
    def scipy_filter(x):
        return scipy.ndimage.gaussian_filter(ARRAY.reshape(1000, 1000), 2.0 + x)[0, 0]

    @case(range(60))
    def scipy_minimize(x):
        return scipy.optimize.minimize(lambda p: ((p - x) ** 2).sum() + p[0] ** 4, np.ones(4)).fun


# Waits.


@case([0.005] * 80)
def sleep_short(seconds):
    time.sleep(seconds)


@case([0.05] * 10)
def sleep_long(seconds):
    time.sleep(seconds)


@case([0.0002] * 1000)
def sleep_tiny(seconds):
    time.sleep(seconds)


@case(range(3000))
def read_small_file(x):
    with open(path("small", 64_000), "rb") as file:
        return len(file.read())


@case(range(60))
def read_large_file(x):
    with open(path("large", 8_000_000), "rb") as file:
        return zlib.crc32(file.read())


@case(range(1500))
def write_file(x):
    with open(os.path.join(tempfile.gettempdir(), f"parallel_deco-routing-out-{os.getuid()}-{x % 8}"), "w") as file:
        return file.write("line\n" * 500)


@case(range(60))
def socket_wait(x):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.004)
        try:
            return ours.recv(1)
        except TimeoutError:
            return b""


@case(range(40))
def run_program(x):
    return subprocess.run([sys.executable, "-S", "-c", ""], check=True).returncode


@case(range(60), stays=True)
def serialized_wait(x):
    with LOCK:
        time.sleep(0.004)


@case(range(60))
def event_wait(x):
    return threading.Event().wait(0.004)


# Mixed, and misleading.


@case(range(40))
def half_wait(x):
    time.sleep(0.005)
    return sum(n * n for n in range(60_000))


@case(range(60))
def mostly_wait(x):
    time.sleep(0.006)
    return sum(n * n for n in range(6000))


@case(range(40))
def half_released(x):
    return zlib.crc32(NOISE), sum(n ^ x for n in range(35_000))


@case(range(40))
def mostly_released(x):
    return hashlib.sha256(NOISE[:6_000_000]).digest(), sum(n ^ x for n in range(16_000))


@case([0] + [30_000] * 80)
def first_is_small(n):
    return sum(n * n for n in range(n))


@case([2_000_000] + [10] * 30_000)
def first_is_large(n):
    return sum(n * n for n in range(n))


@case([0.05] + [0.0] * 60)
def first_waits(seconds):
    time.sleep(seconds)
    return sum(n * n for n in range(0 if seconds else 40_000))


@case(range(40))
def waits_with_the_gil(x):
    return HOLDING.usleep(4000)


@case(range(30))
def large_result(x):
    return np.full(2_000_000, x + sum(n & 1 for n in range(20_000)))


@case([list(range(100_000))] * 60)
def large_argument(numbers):
    return sum(numbers)


@case(range(60), stays=True)
def effect_on_a_list(x):
    SEEN.append(x)
    return sum(n * n for n in range(40_000))


HELD_OUT = frozenset(
    (
        "collatz",
        "regex_substitute",
        "csv_read",
        "fractions_sum",
        "dates",
        "deep_copy",
        "edit_distance",
        "compress_bz2",
        "checksum",
        "kernel_pi",
        "numpy_unique",
        "sleep_tiny",
        "event_wait",
        "half_released",
        "first_waits",
    )
)
