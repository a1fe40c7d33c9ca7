"""Sizes: how many bytes travel, what pickling them takes, and orders of magnitude."""

import array
import collections
import concurrent.futures
import dataclasses
import io
import itertools
import math
import pickle
import types
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_deco._future import Future
from parallel_deco._sizes import FEW, pickling_seconds, rough_bytes, size_class
from parallel_deco._traits import PROCESSES
from parallel_deco.routing.cost import Machine, predict
from parallel_deco.routing.evidence import Evidence, Facts
from tests.test_routing import batch


class Loud:
    """Says when its code is called."""

    def __reduce__(self):
        raise AssertionError("pickled")


@pytest.mark.parametrize(
    "value",
    [1, 1.5, "word", b"bytes", None, True, 10**30, (1, "two"), [], {1: [2.0, {3}]}, (1,) * 100, frozenset((1, 2))],
    ids=repr,
)
def test_plain_values_are_pickled_when_met(value):
    """It takes some time, less than a moment each, of arguments as of results."""
    for seconds in (pickling_seconds([1], [value]), pickling_seconds([value] * FEW, range(FEW))):
        assert seconds is not None
        assert 0 <= seconds < 10e-3


@pytest.mark.parametrize(
    "value",
    [Loud(), [Loud()], (1, [Loud()]), {"a": Loud()}, "long" * 2000, 1 << 99_999, memoryview(b"")],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_not_pickled_when_met(value):
    """Nobody's code is called, and nothing large is copied."""
    assert pickling_seconds([*range(FEW), value], range(FEW + 1)) is None
    assert pickling_seconds(range(FEW + 1), [*range(FEW), value]) is None


Pair = collections.namedtuple("Pair", "left right")


@dataclasses.dataclass(slots=True)
class Slotted:
    """Keeps what it has in slots, of which one may be empty."""

    block: bytes
    other: object = dataclasses.field(init=False)


class Own(dict):
    """A dict with methods of its own."""

    def __len__(self):
        raise AssertionError("called")

    items = __iter__ = __len__


BLOCK = bytes(100_000)


def written(block):
    """Return a file in memory."""
    file = io.BytesIO()
    file.write(block)
    return file


@pytest.mark.parametrize(
    "value",
    [
        array.array("d", bytes(100_000)),
        written(BLOCK),
        collections.deque([BLOCK]),
        collections.OrderedDict(block=BLOCK),
        Pair(BLOCK, 1),
        Slotted(BLOCK),
        Own(block=BLOCK),
        types.SimpleNamespace(block=BLOCK),
        type("List", (list,), {})([BLOCK]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_containers_are_looked_into_when_they_are_of_other_types(value):
    """The types of the standard library, and classes of the user's, whose code is not called."""
    assert 100_000 <= rough_bytes(value) < 110_000


@pytest.mark.parametrize("make", [list, tuple, set, dict.fromkeys], ids=["list", "tuple", "set", "dict"])
def test_some_elements_stand_for_all_when_a_container_is_large(make):
    """A hundred times as many take about a hundred times as long, although no more are pickled."""
    small, large = (
        min(pickling_seconds([container], [0]) or 0.0 for _ in range(20))  # another program may have the CPU meanwhile
        for container in (make(range(10**9, 10**9 + count)) for count in (500, 50_000))
    )
    assert 20 * small < large < 500 * small


def test_what_moving_took_counts_when_it_was_moved():
    """Until then, what pickling takes stands for it, and the bytes over the bandwidth."""
    evidence = Evidence()
    evidence.learn(batch(10, 1e-6))
    evidence.learn_pickling(2e-7)
    assert evidence.facts().pickling == 2e-7
    assert evidence.facts().moved is None
    evidence.learn(batch(1000, 1e-6, moved=1e-3))
    assert evidence.facts().moved == pytest.approx(1e-6, rel=0.1)


def test_processes_cost_more_when_pickling_does():
    """What pickling takes is in the prediction, until it is known what moving takes."""
    facts = Facts(items=10, seconds=1.0, wall=1e-3, cpu=1e-3, gil=1e-3, samples=99)
    plain, dear, moved = (
        predict(known, 100, 2, Machine())[PROCESSES].seconds
        for known in (facts, facts._replace(pickling=5e-3), facts._replace(pickling=5e-3, moved=0.0))
    )
    assert moved < plain < 0.1 < dear


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (b"x" * 1000, 1000, 1000),
        ([b"x" * 100] * 50, 5000, 5000),
        ({1: "x" * 100}, 100, 110),
        (7, 2, 2),
        (Loud(), 64, 64),
    ],
)
def test_bytes_are_about_right_when_estimated(value, least, most):
    """Containers are taken to be like their first elements."""
    assert least <= rough_bytes(value) <= most


@given(st.integers(-(10**12), 10**12) | st.floats(-1e12, 1e12))
def test_size_class_is_half_the_power_of_ten_when_there_is_one_number(number):
    """Of its distance from zero, plus one."""
    assert size_class((number,), {}) == int(math.log10(abs(number) + 1)) // 2


def test_size_classes_are_two_orders_of_magnitude_when_compared():
    """So `f(10)` does not decide for `f(10**7)`."""
    assert size_class((10,), {}) < size_class((10**4,), {}) < size_class((), {"n": 10**7})
    assert size_class((10,), {}) == size_class((11,), {})
    assert size_class((float("nan"), -(10.0**7)), {}) == size_class((10**7,), {})
    assert size_class((b"x" * 10**4,), {}) == size_class((10**4,), {})


def test_future_has_one_size_whatever_has_become_of_it():
    """Calls that get the future of the one before are of one class, and begin in their order."""
    futures = [Future(), concurrent.futures.Future()]
    before = [rough_bytes(future) for future in futures]
    for future in futures:
        for _ in range(100):
            future.add_done_callback(lambda _: None)
        future.set_result([1.5] * 10_000)
    assert [rough_bytes(future) for future in futures] == before


def test_what_a_pickle_takes_is_no_price_of_its_items():
    """Of small numbers each takes a tenth of what a pickle does, which is that of a batch."""
    each = min(pickling_seconds(range(FEW), range(FEW)) for _ in range(50))
    begins = []
    for _ in range(50):
        begins.append(perf_counter())
        pickle.loads(pickle.dumps([]))
    assert each < min(after - before for before, after in itertools.pairwise(begins))


def test_items_that_ran_unmeasured_count_as_long_as_the_others():
    """A map of tiny items, most of which are not measured, has seen enough of them to be decided."""
    evidence = Evidence()
    evidence.learn(batch(10, 1e-6))
    assert evidence.facts().seconds == pytest.approx(10e-6)
    evidence.learn_count(5000)
    assert evidence.facts().seconds == pytest.approx(5010e-6)


def test_what_moving_took_is_forgotten_when_nothing_was_moved_for_long():
    """It may be that of other arguments, and keeps a function here, where nothing contradicts it; ever more rarely."""
    evidence, worked = Evidence(), []
    for _ in range(3):
        evidence.learn(batch(1, 1e-3, moved=1.0))
        evidence.learn_pickling(1.0)
        for seconds in range(1, 100):
            evidence.learn(batch(10, 0.1))
            if not evidence.facts().weighed:
                worked.append(seconds)
                break
    assert len(worked) == 3
    assert 1.5 * worked[0] < worked[1] < worked[2] / 1.5
