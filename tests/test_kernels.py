"""The compiled kernels against their twins in plain Python, NumPy and known values."""

import doctest
import importlib
import inspect
import math
import pickle
import signal
import sys
import threading
import time
from itertools import pairwise, starmap

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import zeros

from parallel_deco import kernels
from parallel_deco.kernels import reference

COMPILED = ("count_primes", "mandelbrot", "monte_carlo_pi", "pairwise_distances")
SEGMENT = 30 * 16 * 32 * 1024  # the numbers that `primes.pyx` sieves at once
PICTURE = (-2.0, 1.0, -1.5, 1.5)
GIL = getattr(sys, "_is_gil_enabled", lambda: True)()

few = settings(max_examples=40)


@pytest.fixture(params=[kernels, reference], ids=["compiled", "reference"])
def implementation(request):
    """The compiled kernels, then their twins."""
    return request.param


def is_prime(n):
    """Tell primes by the test of Miller and Rabin, which is exact below 3 * 10**24 for these bases."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
    if n < 2 or any(n % base == 0 for base in bases):
        return n in bases
    twos = (n - 1 & 1 - n).bit_length() - 1
    for base in bases:
        power = pow(base, (n - 1) >> twos, n)
        if power not in (1, n - 1) and all((power := power * power % n) != n - 1 for _ in range(twos - 1)):
            return False
    return True


# The package


def test_kernels_when_imported_are_compiled():
    """Each kernel comes from an extension module, not from a Python file beside it."""
    names = ("distances", "instructions", "mandelbrot", "pi", "primes")
    modules = [importlib.import_module(f"parallel_deco.kernels.{name}") for name in names]
    actual = {module.__file__.rpartition(".")[2] for module in modules}
    assert actual <= {"so", "pyd"}


def test_all_when_read_is_complete():
    """`__all__` lists the kernels and what belongs to them, and all of it is there."""
    assert sorted(kernels.__all__) == sorted([*COMPILED, "instruction_set", "split"])
    assert sorted(reference.__all__) == sorted(COMPILED)
    assert all(callable(getattr(kernels, name)) for name in kernels.__all__)


@pytest.mark.parametrize("name", COMPILED)
def test_kernel_when_pickled_comes_back_as_itself(implementation, name):
    """Kernels and twins are pickled by reference."""
    function = getattr(implementation, name)
    assert pickle.loads(pickle.dumps(function)) is function


@pytest.mark.parametrize("name", COMPILED)
def test_module_when_asked_is_the_public_one(implementation, name):
    """Users see the module that they import from."""
    function = getattr(implementation, name)
    assert (function.__module__, function.__qualname__) == (implementation.__name__, name)


@pytest.mark.parametrize("name", COMPILED)
def test_signature_when_inspected_is_that_of_the_twin(name):
    """A compiled kernel takes the arguments of its twin, under the same names."""
    actual = inspect.signature(getattr(kernels, name)).parameters
    expected = inspect.signature(getattr(reference, name)).parameters
    assert list(actual) == list(expected)


@pytest.mark.parametrize("name", COMPILED)
def test_docstring_when_read_has_all_sections(implementation, name):
    """Each docstring has the sections of numpydoc and says what becomes of the GIL."""
    text = inspect.getdoc(getattr(implementation, name))
    titles = ["Parameters", "Returns", "Raises", "Notes", "Examples"]
    assert [title for title in titles if f"\n{title}\n---" in text] == titles
    assert "GIL" in text


@pytest.mark.parametrize("name", [*COMPILED, "instruction_set", "split"])
def test_examples_when_run_give_what_they_show(implementation, name):
    """The examples of the docstrings are right."""
    function = getattr(implementation, name, getattr(kernels, name))
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(function), {name: function}, name, None, 0)
    results = doctest.DocTestRunner().run(test)
    assert results.attempted > 0
    assert results.failed == 0


# The GIL


def enters_during(call):
    """Tell whether another Python thread gets to run while `call` does.

    With a switch interval of 1000 s nothing but a release of the GIL inside of `call` lets the other one in.
    """
    gate, entered = threading.Lock(), []
    gate.acquire()
    other = threading.Thread(target=lambda: (gate.acquire(), entered.append(True)))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    try:
        other.start()  # comes back when the other thread waits at the gate: nothing else makes it let go
        gate.release()
        call()
        return bool(entered)
    finally:
        sys.setswitchinterval(interval)
        other.join()


CALLS = {
    "count_primes": (10**7, 10**8),
    "mandelbrot": (*PICTURE, 300, 300, 2000),
    "monte_carlo_pi": (10**7, 1),
    "pairwise_distances": (zeros((1000, 100)), zeros((1000, 100))),
}
SHORT_CALLS = {
    "count_primes": (0, 20000),
    "mandelbrot": (*PICTURE, 20, 20, 50),
    "monte_carlo_pi": (5000, 1),
    "pairwise_distances": (zeros((20, 20)), zeros((20, 20))),
}


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_kernel_when_it_runs_lets_other_threads_in(name):
    """A Python thread makes progress while a compiled kernel runs; on a busy machine perhaps not at once."""
    function, arguments = getattr(kernels, name), CALLS[name]
    deadline = time.monotonic() + 60
    while not (actual := enters_during(lambda: function(*arguments))) and time.monotonic() < deadline:
        pass
    assert actual


@pytest.mark.skipif(not GIL, reason="this build has no GIL to hold")
@pytest.mark.parametrize("name", COMPILED)
def test_twin_when_it_runs_keeps_other_threads_out(name):
    """A twin holds the GIL from begin to end, which also shows that the test above can fail."""
    function, arguments = getattr(reference, name), SHORT_CALLS[name]
    assert [enters_during(lambda: function(*arguments)) for _ in range(3)] == [False] * 3


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_kernel_when_run_by_many_threads_gives_the_same(name):
    """Kernels share nothing that is written to."""
    function, arguments = getattr(kernels, name), SHORT_CALLS[name]
    expected = numpy.asarray(function(*arguments)).tolist()
    results = []

    def run():
        for _ in range(20):
            results.append(numpy.asarray(function(*arguments)).tolist())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 80


# count_primes


@pytest.mark.parametrize(
    ("stop", "expected"),
    [(0, 0), (1, 0), (2, 0), (3, 1), (4, 2), (10, 4), (10**3, 168), (10**4, 1229), (10**6, 78498)],
)
def test_count_primes_when_starting_at_zero_is_the_known_number(implementation, stop, expected):
    """The prime-counting function at its well-known places."""
    assert implementation.count_primes(0, stop) == expected


def test_count_primes_when_the_range_is_long_is_the_known_number():
    """Many segments, and primes beyond the patterns."""
    assert kernels.count_primes(0, 10**8) == 5761455


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 7, 30, 31, 10**6, 10**12, 2**63])
def test_count_primes_when_the_range_is_empty_is_zero(implementation, number):
    """An empty range has no primes, wherever it lies."""
    if implementation is reference and number == 2**63:
        number = 10**9
    assert implementation.count_primes(number, number) == 0


def test_count_primes_when_the_range_is_one_number_tells_primes():
    """Each number up to the square of the first prime that no pattern covers, and some more, alone."""
    actual = [n for n in range(28300) if kernels.count_primes(n, n + 1)]
    expected = [n for n in range(28300) if is_prime(n)]
    assert actual == expected


@pytest.mark.parametrize("prime", [2, 3, 5, 7, 13, 163, 167, 173, 31607, 65521, 65537, 999983])
@pytest.mark.parametrize("before", [0, 1, 31])
def test_count_primes_when_near_the_square_of_a_prime_is_right(prime, before):
    """Sieving begins at squares, so they are where it goes wrong."""
    start = max(prime * prime - before, 0)
    actual = [kernels.count_primes(start, start + width) for width in range(70)]
    expected = [sum(map(is_prime, range(start, start + width))) for width in range(70)]
    assert actual == expected


@pytest.mark.parametrize("start", [10**9, 10**12, 10**13, 10**15, 2**48 - 77])
def test_count_primes_when_far_up_is_right(start):
    """Large starts, against the test of Miller and Rabin."""
    assert kernels.count_primes(start, start + 3000) == sum(map(is_prime, range(start, start + 3000)))


@pytest.mark.parametrize("start", [0, 10**9 + 7, 10**12 + 1])
@pytest.mark.parametrize("shift", [-31, -1, 0, 1, 31])
def test_count_primes_when_cut_near_segment_bounds_adds_up(start, shift):
    """Where the sieve goes on to the next segment, nothing is counted twice or left out."""
    cuts = [start, start + SEGMENT + shift, start + 2 * SEGMENT + shift, start + 3 * SEGMENT]
    actual = sum(starmap(kernels.count_primes, pairwise(cuts)))
    assert actual == kernels.count_primes(start, start + 3 * SEGMENT)


@few
@given(start=st.integers(0, 10**6), width=st.integers(0, 5000))
def test_count_primes_when_ranges_are_random_is_that_of_the_twin(start, width):
    """Any range, against the twin."""
    assert kernels.count_primes(start, start + width) == reference.count_primes(start, start + width)


@few
@given(start=st.integers(0, 10**13), width=st.integers(0, 10**6), pieces=st.integers(1, 20))
def test_count_primes_when_cut_in_pieces_adds_up(start, width, pieces):
    """The pieces of a range have as many primes as the whole."""
    actual = sum(starmap(kernels.count_primes, kernels.split(start, start + width, pieces)))
    assert actual == kernels.count_primes(start, start + width)


def test_count_primes_when_given_numpy_integers_takes_them(implementation):
    """Whatever is an integer by `__index__` will do, and an int comes back."""
    actual = implementation.count_primes(numpy.int32(0), numpy.uint64(100))
    assert (actual, type(actual)) == (25, int)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1e9), TypeError, r"stop must be an integer, got 1000000000\.0 .* convert it with int\(\)"),
        (("0", 9), TypeError, "start must be an integer, got '0' of type str"),
        ((-1, 9), ValueError, "start must be from 0 to 9223372036854775808, got -1"),
        ((0, 2**63 + 1), ValueError, "stop must be from 0 to 9223372036854775808, got 9223372036854775809"),
        ((9, 3), ValueError, "start must not be above stop, got start=9 and stop=3; swap them"),
    ],
)
def test_count_primes_when_given_bad_arguments_says_so(implementation, arguments, error, message):
    """Errors name the argument, what was given and what to do."""
    with pytest.raises(error, match=message):
        implementation.count_primes(*arguments)


# mandelbrot


@pytest.mark.parametrize(
    "arguments",
    [
        (*PICTURE, 60, 50, 100),
        (-0.7463, -0.7413, 0.1102, 0.1152, 40, 30, 1500),  # seven counts differ if fused multiply-add is used
        (0.249, 0.2512, -0.001, 0.001, 23, 23, 300),
        (-2.5, -1.5, -1e-9, 1e-9, 31, 3, 200),
        (-1e300, 1e300, -1e300, 1e300, 5, 7, 20),
        (*PICTURE, 1, 1, 1),
        (*PICTURE, 17, 1, 9),
        (*PICTURE, 1, 17, 9),
    ],
)
def test_mandelbrot_when_compared_with_the_twin_is_the_same_to_the_bit(arguments):
    """Vector lanes and the shortcut for the main bulbs change no count."""
    actual = kernels.mandelbrot(*arguments)
    expected = reference.mandelbrot(*arguments)
    assert (actual.dtype, actual.shape) == (numpy.int32, arguments[5:3:-1])
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    assert actual.tolist() == expected.tolist()


@few
@given(
    x=st.floats(-2.2, 1.0),
    y=st.floats(-1.3, 1.3),
    size=st.floats(1e-6, 1.0),
    width=st.integers(1, 12),
    height=st.integers(1, 12),
    max_iter=st.integers(0, 120),
)
def test_mandelbrot_when_views_are_random_is_that_of_the_twin(x, y, size, width, height, max_iter):
    """Any view, against the twin."""
    arguments = (x, x + size, y, y + size, width, height, max_iter)
    assert kernels.mandelbrot(*arguments).tolist() == reference.mandelbrot(*arguments).tolist()


@pytest.mark.parametrize("max_iter", [0, 1, 2, 7, 8, 9, 1000])
def test_mandelbrot_when_points_never_escape_gives_max_iter(implementation, max_iter):
    """Inside of the set counts end at `max_iter`, be it a multiple of the stride or not."""
    actual = implementation.mandelbrot(-0.15, -0.05, 0.7, 0.8, 2, 2, max_iter)
    assert actual[1, 0] == max_iter
    assert (actual <= max_iter).all()


def test_mandelbrot_when_on_a_known_point_gives_the_known_count(implementation):
    """c = 2 makes 0, 2, 6: the first beyond 2 is z[2]; c = -2 stays at 2 for ever; c = 3 is out at z[1]."""
    actual = [implementation.mandelbrot(x, x + 1, 0.0, 1.0, 1, 1, 99).item() for x in (2.0, -2.0, 3.0)]
    assert actual == [2, 99, 1]


@pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 5), (5, 0)])
def test_mandelbrot_when_the_picture_is_empty_has_its_shape(implementation, width, height):
    """A picture without pixels is an array without entries."""
    assert implementation.mandelbrot(*PICTURE, width, height, 10).shape == (height, width)


def test_mandelbrot_when_cut_into_bands_is_the_same_picture():
    """Bands of rows make up the picture, to the bit where the steps are exact in binary."""
    whole = kernels.mandelbrot(*PICTURE, 96, 128, 200)
    dy = 3.0 / 128
    cuts = kernels.split(0, 128, 7)
    bands = [kernels.mandelbrot(-2.0, 1.0, -1.5 + a * dy, -1.5 + b * dy, 96, b - a, 200) for a, b in cuts]
    assert numpy.concatenate(bands).tolist() == whole.tolist()


def test_mandelbrot_when_cut_into_single_rows_is_the_same_picture():
    """Bands of one row make up the picture whatever the step."""
    ymin, ymax, height = -1.1, 1.3, 77
    whole = kernels.mandelbrot(-2.0, 1.0, ymin, ymax, 50, height, 300)
    dy = (ymax - ymin) / height
    edges = pairwise([ymin + i * dy for i in range(height + 1)])
    rows = [kernels.mandelbrot(-2.0, 1.0, low, high, 50, 1, 300) for low, high in edges]
    assert numpy.concatenate(rows).tolist() == whole.tolist()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("a", 1.0, -1.5, 1.5, 9, 9, 9), TypeError, "xmin must be a real number, got 'a' of type str"),
        ((-2.0, 1j, -1.5, 1.5, 9, 9, 9), TypeError, "xmax must be a real number, got 1j of type complex"),
        ((-2.0, 1.0, math.nan, 1.5, 9, 9, 9), ValueError, "ymin must be finite, got nan"),
        ((-2.0, 1.0, -1.5, math.inf, 9, 9, 9), ValueError, "ymax must be finite, got inf"),
        ((1.0, -2.0, -1.5, 1.5, 9, 9, 9), ValueError, "xmin must be below xmax, got xmin=1.0 and xmax=-2.0"),
        ((-2.0, 1.0, 1.5, 1.5, 9, 9, 9), ValueError, "ymin must be below ymax, got ymin=1.5 and ymax=1.5"),
        ((-1e308, 1e308, -1.5, 1.5, 9, 9, 9), ValueError, "xmax - xmin must be finite"),
        ((*PICTURE, 9.0, 9, 9), TypeError, r"width must be an integer, got 9\.0 of type float"),
        ((*PICTURE, 9, -1, 9), ValueError, "height must be from 0 to 2147483647, got -1"),
        ((*PICTURE, 9, 9, 2**31), ValueError, "max_iter must be from 0 to 2147483647, got 2147483648"),
    ],
)
def test_mandelbrot_when_given_bad_arguments_says_so(implementation, arguments, error, message):
    """Errors name the argument, what was given and what is allowed."""
    with pytest.raises(error, match=message):
        implementation.mandelbrot(*arguments)


# monte_carlo_pi


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**63, 2**64 - 1])
@pytest.mark.parametrize("samples", [1, 2, 17, 20000])
def test_monte_carlo_pi_when_compared_with_the_twin_is_the_very_same(samples, seed):
    """The same points, the same float."""
    assert kernels.monte_carlo_pi(samples, seed) == reference.monte_carlo_pi(samples, seed)


@few
@given(samples=st.integers(1, 2000), seed=st.integers(0, 2**64 - 1))
def test_monte_carlo_pi_when_seeds_are_random_is_that_of_the_twin(samples, seed):
    """Any seed, against the twin."""
    assert kernels.monte_carlo_pi(samples, seed) == reference.monte_carlo_pi(samples, seed)


def test_monte_carlo_pi_when_run_anywhere_is_this_number(implementation):
    """A recorded value: the generator must never change."""
    assert implementation.monte_carlo_pi(10_000, 42) == 3.1516


def test_monte_carlo_pi_when_samples_are_many_is_near_pi():
    """Five standard deviations of the mean over many seeds: neighbouring seeds are unrelated."""
    estimates = [kernels.monte_carlo_pi(100_000, seed) for seed in range(200)]
    deviation = math.sqrt(math.pi * (4 - math.pi) / 100_000)
    assert abs(numpy.mean(estimates) - math.pi) < 5 * deviation / math.sqrt(200)
    assert 0.75 * deviation < numpy.std(estimates) < 1.25 * deviation


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1), ValueError, "samples must be from 1 to 9007199254740992, got 0"),
        ((10, -1), ValueError, "seed must be from 0 to 18446744073709551615, got -1"),
        ((10, 2**64), ValueError, "seed must be from 0 to 18446744073709551615"),
        ((1e6, 1), TypeError, r"samples must be an integer, got 1000000\.0 of type float"),
        ((10, None), TypeError, "seed must be an integer, got None of type NoneType"),
    ],
)
def test_monte_carlo_pi_when_given_bad_arguments_says_so(implementation, arguments, error, message):
    """Errors name the argument, what was given and what is allowed."""
    with pytest.raises(error, match=message):
        implementation.monte_carlo_pi(*arguments)


# pairwise_distances


def points(n, d, seed=0):
    """Return points as likely near 0 as far from it."""
    generator = numpy.random.default_rng(seed)
    return generator.standard_normal((n, d)) * 10.0 ** generator.integers(-3, 4, size=(n, d))


def numpy_distances(x, y):
    """Compute the distances as NumPy would, without a trick."""
    return numpy.sqrt(((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=2))


@pytest.mark.parametrize("d", [0, 1, 2, 3, 4, 5, 63, 64, 65, 67, 128, 200])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 31), (5, 32), (4, 33), (7, 130), (2, 700), (2, 2100)])
def test_pairwise_distances_when_blocks_are_whole_or_not_is_that_of_numpy(n, m, d):
    """Sizes on both sides of a group's and of a panel's, which has room for more points of fewer coordinates."""
    x, y = points(n, d), points(m, d, seed=1)
    actual = kernels.pairwise_distances(x, y)
    assert (actual.dtype, actual.shape) == (numpy.float64, (n, m))
    numpy.testing.assert_allclose(actual, numpy_distances(x, y), rtol=1e-12, atol=0)


@few
@given(n=st.integers(0, 6), m=st.integers(0, 70), d=st.integers(0, 70), seed=st.integers(0, 99))
def test_pairwise_distances_when_shapes_are_random_is_that_of_the_twin(n, m, d, seed):
    """Any shape, against the twin."""
    x, y = points(n, d, seed), points(m, d, seed + 1)
    actual, expected = kernels.pairwise_distances(x, y), reference.pairwise_distances(x, y)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    numpy.testing.assert_allclose(actual, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("n", "m", "d"), [(0, 0, 0), (0, 3, 2), (3, 0, 2), (3, 2, 0)])
def test_pairwise_distances_when_input_is_empty_has_the_shape(implementation, n, m, d):
    """Without points there are no distances; without coordinates all are 0."""
    actual = implementation.pairwise_distances(numpy.ones((n, d)), numpy.ones((m, d)))
    assert actual.tolist() == zeros((n, m)).tolist()


def test_pairwise_distances_when_points_are_equal_is_exactly_zero(implementation):
    """No cancellation: equal points are at distance 0.0, and close ones are told apart."""
    x = 1e8 + points(5, 7)
    y = x.copy()
    y[0, 0] += 2.0**-20
    actual = implementation.pairwise_distances(x, y)
    assert numpy.diag(actual).tolist() == [2.0**-20, 0.0, 0.0, 0.0, 0.0]


def test_pairwise_distances_when_values_are_not_finite_follows_ieee(implementation):
    """Infinities and NaN come through as in any sum."""
    x = numpy.array([[math.inf, 0.0], [math.nan, 0.0], [1e200, 0.0]])
    actual = implementation.pairwise_distances(x, zeros((1, 2))).ravel().tolist()
    assert (actual[0], math.isnan(actual[1]), actual[2]) == (math.inf, True, math.inf)


def unaligned(array):
    """Return the same numbers at an odd address."""
    buffer = numpy.empty(array.nbytes + 1, dtype=numpy.uint8)[1:]
    view = buffer.view(numpy.float64).reshape(array.shape)
    view[...] = array
    return view


@pytest.mark.parametrize(
    "shape",
    [
        lambda a: numpy.asfortranarray(a),
        lambda a: numpy.repeat(a, 2, axis=0)[::2],
        lambda a: numpy.repeat(a, 3, axis=1)[:, ::3],
        lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
        lambda a: a.view(numpy.recarray),
        unaligned,
    ],
    ids=["fortran", "rows", "columns", "negative", "subclass", "unaligned"],
)
def test_pairwise_distances_when_input_is_strided_or_read_only_gives_the_same(implementation, shape):
    """However the numbers lie in memory, and whether or not they may be written to."""
    x, y = points(4, 5), points(66, 5, seed=1)
    expected = implementation.pairwise_distances(x, y)
    first, second = shape(x), shape(y)
    first.flags.writeable = second.flags.writeable = False
    assert implementation.pairwise_distances(first, second).tolist() == expected.tolist()
    assert (first.tolist(), second.tolist()) == (x.tolist(), y.tolist())


def test_pairwise_distances_when_input_is_broadcast_gives_the_same(implementation):
    """Strides of zero are strides too."""
    x = numpy.broadcast_to(points(1, 3), (4, 3))
    assert implementation.pairwise_distances(x, x).tolist() == zeros((4, 4)).tolist()


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (
            [[0.0]],
            zeros((1, 1)),
            TypeError,
            "x must be a float64 ndarray, got list; convert it with numpy.asarray",
        ),
        (zeros((1, 1)), None, TypeError, "y must be a float64 ndarray, got NoneType"),
        (zeros((1, 1), "f4"), zeros((1, 1)), TypeError, "x must have dtype float64, got float32; convert"),
        (zeros((1, 1)), zeros((1, 1), ">f8"), TypeError, "y must have dtype float64, got >f8"),
        (zeros(3), zeros((1, 3)), ValueError, r"x must have two dimensions .*, got shape \(3,\)"),
        (
            zeros((1, 3)),
            zeros((1, 3, 1)),
            ValueError,
            r"y must have two dimensions .*, got shape \(1, 3, 1\)",
        ),
        (zeros((2, 3)), zeros((3, 2)), ValueError, r"equally many columns, got shapes \(2, 3\) and \(3, 2\)"),
    ],
)
def test_pairwise_distances_when_given_bad_arguments_says_so(implementation, x, y, error, message):
    """Errors name the argument, what was given and what to do."""
    with pytest.raises(error, match=message):
        implementation.pairwise_distances(x, y)


# split


@few
@given(start=st.integers(-(10**18), 10**18), width=st.integers(0, 10**12), pieces=st.integers(1, 50))
def test_split_when_ranges_are_random_covers_them_evenly(start, width, pieces):
    """Pieces follow one another from start to stop, and differ in size by at most one."""
    actual = kernels.split(start, start + width, pieces)
    sizes = [b - a for a, b in actual]
    assert len(actual) == pieces
    assert (actual[0][0], actual[-1][1]) == (start, start + width)
    assert all(left[1] == right[0] for left, right in pairwise(actual))
    assert max(sizes) - min(sizes) <= 1


def test_split_when_pieces_outnumber_the_range_ends_with_empty_ones():
    """There are as many pieces as asked for, in any case."""
    assert kernels.split(5, 7, 4) == [(5, 6), (6, 7), (7, 7), (7, 7)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 9, 0), ValueError, "pieces must be 1 or more, got 0"),
        ((9, 0, 1), ValueError, "start must not be above stop, got start=9 and stop=0; swap them"),
        ((0, 9.0, 1), TypeError, "stop must be an integer, got 9.0 of type float"),
    ],
)
def test_split_when_given_bad_arguments_says_so(arguments, error, message):
    """Errors name the argument, what was given and what is allowed."""
    with pytest.raises(error, match=message):
        kernels.split(*arguments)


ENDLESS = {
    "count_primes": "count_primes(0, 10**15)",
    "mandelbrot": "mandelbrot(-0.75, -0.74, 0.1, 0.11, 2000, 2000, 2**31 - 1)",
    "monte_carlo_pi": "monte_carlo_pi(2**50, 1)",
    "pairwise_distances": "pairwise_distances(*(numpy.broadcast_to(1.0, (n, 10**7)) for n in (500, 10**5)))",
}
INTERRUPTED = """
import signal, time
import numpy
from parallel_deco.kernels import *

signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    {}
except ZeroDivisionError:
    print("interrupted")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers")
@pytest.mark.parametrize("kernel", COMPILED)
def test_kernel_ends_when_a_handler_of_a_signal_raises(kernel, run_program):
    """As at Ctrl-C: they would take hours."""
    assert run_program(INTERRUPTED.format(ENDLESS[kernel])) == (0, "interrupted\n", "")
