"""Batches that end early, for their items turn out longer: the others then have the choice of all workers again."""

import itertools
import operator
import os
import threading
import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parallel_deco import _flow, parallel
from parallel_deco._iterator import Patient
from parallel_deco._source import Source
from tests.workloads import double, fails_on_odd

LAWS = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def doze(seconds):
    """Sleep, if there is anything to sleep; return where."""
    if seconds:
        time.sleep(seconds)
    return os.getpid(), threading.get_ident()


def fails_on_large(x):
    """Refuse some."""
    if x > 50:
        raise ValueError(x)
    return x


@pytest.fixture
def impatient(monkeypatch):
    """Have every batch end after its first item."""
    monkeypatch.setattr(_flow, "GRACE", 0.0)
    monkeypatch.setattr(_flow, "PATIENCE", 0)


def test_long_items_are_shared_when_they_come_among_many_short_ones(elsewhere):
    """They were all in one batch, which was cut for short ones; one worker ran them while the others had nothing."""
    function = parallel(doze, backend=elsewhere, max_workers=2)
    list(function.map([0] * 3000))  # it is known now how short they are
    places = list(function.map([0] * 500 + [0.02] * 30 + [0] * 5500))
    assert len(set(places[500:530])) >= 2  # at most two at a time, but a place may pass from one thread to another


def test_a_batch_runs_to_its_end_when_its_size_was_given(elsewhere):
    """`chunksize` is obeyed: consecutive items run in one place, however long they take."""
    function = parallel(doze, backend=elsewhere, max_workers=2, chunksize=10)
    list(function.map([0] * 300))
    places = list(function.map([0.005] * 40))
    assert all(len(set(places[first : first + 10])) == 1 for first in range(0, 40, 10))


@pytest.mark.usefixtures("impatient")
@given(data=st.data())
@LAWS
def test_map_equals_the_loop_when_batches_end_early(backend, data):
    """Whatever runs in which order, the values, their order and the first error are the loop's."""
    items = data.draw(st.lists(st.integers(0, 60), max_size=200), label="items")
    options = {name: data.draw(st.none() | st.integers(1, 9), label=name) for name in ("buffersize", "max_workers")}
    kind = data.draw(st.sampled_from([list, tuple, iter]), label="kind")
    function = parallel(fails_on_large, backend=backend, **options)
    list(function.map(range(50)))
    results = []
    expected = list(itertools.takewhile(lambda x: x <= 50, items))

    def drain():
        for value in function.map(kind(items)):
            results.append(value)

    if len(expected) == len(items):
        drain()
    else:
        with pytest.raises(ValueError) as caught:  # noqa: PT011  # looked at below, without its notes
            drain()
        assert caught.value.args == (items[len(expected)],)
        assert f"item {len(expected)} " in caught.value.__notes__[0]
    assert results == expected


@pytest.mark.usefixtures("impatient")
@given(data=st.data())
@LAWS
def test_every_item_runs_once_when_batches_end_early(backend, data):
    """With return_exceptions each item has its outcome in its place; unordered, each comes once."""
    items = data.draw(st.lists(st.integers(0, 60), max_size=200), label="items")
    ordered = data.draw(st.booleans(), label="ordered")
    function = parallel(fails_on_odd, backend=backend)
    list(function.map(range(0, 100, 2)))
    results = function.map(items, return_exceptions=True, ordered=ordered)
    shown = [value.args if isinstance(value, Exception) else value for value in results]
    expected = [(x,) if x % 2 else x for x in items]
    assert shown == expected if ordered else Counter(shown) == Counter(expected)


@pytest.mark.usefixtures("impatient")
def test_window_is_kept_when_batches_end_early(backend):
    """What is put back counts as drawn: never is more of the input out than `buffersize` allows."""
    drawn = taken = most = 0

    def items():
        nonlocal drawn, most
        for number in range(300):
            drawn += 1
            most = max(most, drawn - taken)
            yield number

    function = parallel(double, backend=backend, buffersize=16, max_workers=2)
    for value in function.map(items()):
        assert value == 2 * taken
        taken += 1
    assert taken == 300
    assert most <= 17


@pytest.mark.usefixtures("impatient")
def test_results_are_right_when_batches_with_a_timeout_end_early(elsewhere):
    """Both count time; neither loses an item."""
    function = parallel(double, backend=elsewhere, timeout=30)
    for _ in range(2):
        assert list(function.map(range(300))) == [2 * x for x in range(300)]


@pytest.mark.usefixtures("impatient")
def test_results_are_right_when_something_cannot_travel_and_batches_end_early():
    """A result that cannot come back is computed here, and the rest of its batch with it."""
    function = parallel(lambda x: iter([x]) if x % 7 == 3 else x, max_workers=2)
    values = [next(value) if hasattr(value, "__next__") else value for value in function.map(range(300))]
    assert values == list(range(300))


def test_items_come_again_in_order_when_they_were_put_back():
    """Before any other, however they were cut, and until they have all come again they are left."""
    source = Source.of((range(20),))
    pieces = [source.pull(5) for _ in range(3)]
    source.put_back(12, pieces[2].items[2:])
    source.put_back(1, pieces[0].items[1:])
    assert source.returned
    assert source.left == 5 + 4 + 3
    again = [source.pull(3) for _ in range(4)]
    assert [(piece.first, list(piece.items)) for piece in again] == [
        (1, [1, 2, 3]),
        (4, [4]),
        (12, [12, 13, 14]),
        (15, [15, 16, 17]),
    ]
    assert not source.returned
    source.put_back(4, [4])
    while source.pull(5):
        pass
    assert source.exhausted
    source.put_back(7, [7])
    assert not source.exhausted
    source.end()
    assert source.exhausted
    assert source.pull(1) is None


def test_the_first_item_always_comes_when_there_is_no_patience():
    """And no other; what the iterator raises comes through."""
    assert list(Patient(iter([1, 2, 3]), 0.0)) == [1]
    assert list(Patient(iter([1, 2, 3]), 60.0)) == [1, 2, 3]
    assert list(Patient(iter([]), 60.0)) == []
    with pytest.raises(ZeroDivisionError):
        list(Patient(map(operator.truediv, [1], [0]), 60.0))


def test_each_item_that_has_ended_adds_to_the_patience():
    """One that takes long ends a batch at once, not when all its items could have run meanwhile."""
    begun = [x for x in Patient(iter([0.0, 0.06, 0.0, 0.0]), 0.03, 0.001) if not time.sleep(x)]
    assert begun == [0.0, 0.06]
    assert list(Patient(iter(range(100)), 0.0, 60.0)) == list(range(100))
