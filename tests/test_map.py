"""`map` and `starmap`: the same values, order and errors as the plain loop, lazily, on every backend."""

import asyncio
import collections
import contextlib
import contextvars
import copy
import dataclasses
import decimal
import gc
import itertools
import operator
import os
import pickle
import queue
import sqlite3
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parallel_deco import MapIterator, NotPicklableError, _left_open, _mapping, _sampler, config, parallel, shutdown
from parallel_deco._cpus import available_cpus, gil_enabled
from parallel_deco.backends import pools
from tests import workloads
from tests.workloads import burn, busy, crawl, double, fails_on_odd, pause

DEADLINE = 30.0
LAWS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def outcome(function):
    """Return what a function gives, or how it fails."""
    try:
        return "gave", function()
    except Exception as error:
        return "raised", type(error), error.args


class Counted:
    """An iterator that counts what was drawn from it, and knows whether two threads were ever in it at once."""

    def __init__(self, items):
        self._items = iter(items)
        self._inside = threading.Lock()
        self.drawn = 0
        self.shared = False

    def __iter__(self):
        return self

    def __next__(self):
        if not self._inside.acquire(blocking=False):
            self.shared = True
            raise RuntimeError("two threads draw at once")
        try:
            item = next(self._items)
            self.drawn += 1
            return item
        finally:
            self._inside.release()


# Values and order.


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 5000])
@pytest.mark.parametrize("function", [double, busy], ids=["tiny", "busy"])
def test_values_are_the_plain_loops_when_mapped(backend, function, count):
    """The results are those of the comprehension, in its order."""
    assert list(parallel(function, backend=backend).map(range(count))) == [function(x) for x in range(count)]


def test_values_are_in_order_when_items_wait(backend):
    """Items that wait for different times come back in order."""
    assert list(parallel(pause, backend=backend).map(range(60))) == list(range(60))


@pytest.mark.parametrize(
    "kind",
    [list, tuple, set, frozenset, iter, collections.deque, dict.fromkeys, np.array, range, str],
    ids=lambda kind: kind.__name__,
)
def test_any_iterable_works_when_mapped(backend, kind):
    """Lists, sets, dictionaries, arrays, strings, ranges and iterators are all inputs."""
    if kind is range:
        items = range(100, 0, -3)
    elif kind is str:
        items = "some text"
    else:
        items = kind([3, 1, 2])
    expected = [repr(item) for item in (items if kind is not iter else [3, 1, 2])]
    assert list(parallel(repr, backend=backend).map(items)) == expected


def test_iteration_is_the_users_when_a_sequence_is_subclassed(backend):
    """A list that iterates otherwise is iterated as it says."""

    class Reversed(list):
        def __iter__(self):
            return reversed(self)

    assert list(parallel(double, backend=backend).map(Reversed([1, 2, 3]))) == [6, 4, 2]


def test_old_sequence_protocol_works_when_mapped(backend):
    """An object with only __getitem__ is an iterable too."""

    class Squares:
        def __getitem__(self, index):
            if index >= 4:
                raise IndexError(index)
            return index * index

    assert list(parallel(double, backend=backend).map(Squares())) == [0, 2, 8, 18]


def test_shortest_iterable_ends_it_when_several_are_given(backend):
    """Several iterables are the function's arguments; the shortest ends the map."""
    add = parallel(operator.add, backend=backend)
    assert list(add.map(range(300), itertools.count(1000))) == [1000 + 2 * x for x in range(300)]
    assert list(add.map([1, 2, 3], [])) == []


@pytest.mark.parametrize("kind", [tuple, list, iter], ids=lambda kind: kind.__name__)
def test_starmap_takes_any_iterable_of_arguments_when_called(backend, kind):
    """Each item is unpacked, whatever iterable it is, as itertools.starmap does; tiny functions too."""
    add = parallel(operator.add, backend=backend)
    expected = [2 * x + 1 for x in range(30_000)]
    if backend == "processes" and kind is iter:
        kind = tuple  # an iterator that is sent elsewhere is another thing
    for _ in range(2):
        assert list(add.starmap(kind((x, x + 1)) for x in range(30_000))) == expected


def test_results_may_be_none_or_false_when_functions_return_them(backend):
    """No result is taken for the end."""
    values = [None, False, 0, StopIteration, NotImplemented, Ellipsis] * 50
    assert list(parallel(operator.itemgetter(0), backend=backend).map([(value,) for value in values])) == values


@pytest.mark.parametrize("count", [1, 7, 3000])
def test_values_are_all_there_once_when_unordered(backend, count):
    """Without order, the results are the same ones."""
    results = list(parallel(busy, backend=backend).map(range(count), ordered=False))
    assert sorted(results) == [busy(x) for x in range(count)]


def test_first_result_to_come_is_first_when_unordered(elsewhere, functions, tmp_path):
    """Without order, a slow first item does not hold up the second."""
    gate = tmp_path / "gate"
    wait_unless = parallel(functions.wait_for, backend=elsewhere, max_workers=2, chunksize=1)
    results = wait_unless.map([str(gate), str(tmp_path)], ordered=False)
    assert next(results) == str(tmp_path)
    gate.touch()
    assert list(results) == [str(gate)]


@given(data=st.data())
@LAWS
def test_map_equals_the_loop_when_anything_varies(backend, data, functions, tmp_path):
    """Whatever the lengths, chunks, buffers, widths and failing item: values, order, error and draws are the loop's."""
    items = data.draw(st.lists(st.integers(-5, 60), max_size=80))
    options = {
        name: data.draw(st.none() | st.integers(1, 9), label=name)
        for name in ("chunksize", "buffersize", "max_workers")
    }
    bad = data.draw(st.none() | st.integers(-5, 60), label="bad")
    marks = tmp_path / "marks"
    marks.unlink(missing_ok=True)

    def work(x):
        functions.note(str(marks), x)
        return functions.fails_on(x, bad)

    source = Counted(items)
    results = []
    expected = list(itertools.takewhile(lambda x: x != bad, items))

    def drain():
        for value in parallel(work, backend=backend, **options).map(source):
            results.append(value)

    got = outcome(drain)
    assert results == expected
    assert got == (("gave", None) if len(expected) == len(items) else ("raised", ValueError, (f"no {bad}",)))
    assert not source.shared
    if bad not in items:
        assert source.drawn == len(items)
        assert sorted(marks.read_text().split() if items else []) == sorted(map(str, items))


@given(data=st.data())
@LAWS
def test_every_item_runs_once_when_exceptions_are_returned(backend, data):
    """With return_exceptions each item has its value or its exception, in order."""
    items = data.draw(st.lists(st.integers(0, 60), max_size=80))
    options = {name: data.draw(st.none() | st.integers(1, 9)) for name in ("chunksize", "buffersize", "max_workers")}
    results = parallel(fails_on_odd, backend=backend, **options).map(items, return_exceptions=True)
    shown = [(type(value), value.args) if isinstance(value, Exception) else value for value in results]
    assert shown == [(ValueError, (x,)) if x % 2 else x for x in items]


# Laziness.


def test_few_items_are_drawn_when_one_result_is_taken(backend):
    """Of 5,000 lazy inputs a few are drawn for one result."""
    source = Counted(range(5000))
    results = parallel(pause, backend=backend).map(source)
    assert next(results) == 0
    assert source.drawn < 2500
    results.close()
    assert source.drawn < 2500


@pytest.mark.parametrize("numbers", [range(10**30), range(-(2**63), 2**63)])
def test_range_may_be_longer_than_python_counts_when_some_results_are_taken(backend, numbers):
    """`len` of it raises, where a plain loop does not mind."""
    with contextlib.closing(parallel(double, backend=backend).map(numbers)) as results:
        assert list(itertools.islice(results, 100)) == [2 * x for x in numbers[:100]]


def test_endless_input_works_when_some_results_are_taken(backend):
    """An endless input gives results as they are asked for, and stops being drawn."""
    source = Counted(itertools.count())
    results = parallel(double, backend=backend).map(source)
    assert list(itertools.islice(results, 1000)) == [2 * x for x in range(1000)]
    results.close()
    drawn = source.drawn
    assert list(results) == []
    assert source.drawn <= drawn + 1, "one may be under way when it is closed"


@given(data=st.data())
@LAWS
def test_window_is_kept_when_a_buffersize_is_given(backend, data):
    """Never are more items drawn and not yet handed out than `buffersize`, however slowly results are taken."""
    buffersize = data.draw(st.integers(1, 12), label="buffersize")
    options = {name: data.draw(st.none() | st.integers(1, 6), label=name) for name in ("chunksize", "max_workers")}
    most = 0
    taken = 0

    def items():
        nonlocal most
        for number in range(120):
            most = max(most, number + 1 - taken)
            yield number

    function = parallel(double, backend=backend, buffersize=buffersize, **options)
    for value in function.map(items()):
        assert value == 2 * taken
        taken += 1
    assert taken == 120
    # While `next` runs, the result that it is about to return may have been replaced already.
    assert most <= buffersize + 1


def test_input_is_not_drawn_further_when_nobody_takes(elsewhere, until):
    """A map that nobody looks at fills its window and rests."""
    source = Counted(itertools.count())
    results = parallel(double, backend=elsewhere, buffersize=6).map(source)
    until(lambda: source.drawn == 6)
    assert [next(results) for _ in range(6)] == [0, 2, 4, 6, 8, 10]
    until(lambda: source.drawn > 6)
    results.close()
    assert source.drawn <= 12


def test_work_starts_at_once_when_nobody_asks_yet(elsewhere, functions, tmp_path, until):
    """A map runs ahead before the first result is asked for."""
    marks = tmp_path / "marks"
    note = parallel(functions.note, backend=elsewhere)
    results = note.map([str(marks)] * 3, "abc")
    until(lambda: marks.exists() and len(marks.read_text()) == 6)
    assert list(results) == ["a", "b", "c"]


def test_work_starts_by_itself_when_auto_knows_nothing(functions, tmp_path, until):
    """Under auto, too, nobody needs to ask for the first result."""
    marks = tmp_path / "marks"
    results = parallel(functions.note).map([str(marks)] * 3, "abc")
    until(marks.exists)
    assert list(results) == ["a", "b", "c"]


def test_result_is_given_when_the_next_input_is_not_there_yet(backend):
    """A result does not wait for input that comes later: an input may even depend on results."""
    results_so_far = []
    arrived = threading.Semaphore(0)

    def items():
        yield 0
        while len(results_so_far) < 20:
            assert arrived.acquire(timeout=DEADLINE), "the result did not come before the next item was drawn"
            yield len(results_so_far)

    for value in parallel(double, backend=backend).map(items()):
        results_so_far.append(value)
        arrived.release()
    assert results_so_far == [2 * x for x in range(len(results_so_far))]


def test_crawl_ends_when_results_feed_the_input(backend):
    """A queue that is filled from the results, and emptied by the map, works as with a plain loop."""
    todo = queue.SimpleQueue()
    todo.put(40)
    pending, seen = 1, []
    results = parallel(lambda n: [n // 2, n // 3], backend=backend).map(iter(lambda: todo.get(timeout=DEADLINE), None))
    for found in results:
        pending -= 1
        seen.append(found)
        for n in found:
            if n > 1:
                pending += 1
                todo.put(n)
        if not pending:
            todo.put(None)
    assert sorted(seen) == sorted(crawl(40))


def test_maps_can_be_chained_when_one_is_the_others_input(backend):
    """The iterator of one map is an input like any other."""
    for count in (10, 3000):
        inner = parallel(double, backend=backend)
        outer = parallel(busy, backend=backend)
        assert list(outer.map(inner.map(range(count)))) == [busy(2 * x) for x in range(count)]


def test_chained_maps_end_when_both_have_long_items(backend):
    """Two maps whose items take a while share the workers without waiting for each other."""
    inner = parallel(pause, backend=backend, chunksize=1)
    middle = parallel(lambda x: pause(x) + 1, backend=backend, chunksize=1)
    outer = parallel(lambda x: pause(x) * 10, backend=backend, chunksize=1)
    for _ in range(5 if backend == "threads" else 1):
        assert list(outer.map(middle.map(inner.map(range(40))))) == [10 * (x + 1) for x in range(40)]


# Ending early.


def test_nothing_comes_when_closed(backend):
    """After `close` the iterator is at its end, whatever was already computed."""
    for taken in (0, 1, 500):
        results = parallel(double, backend=backend).map(range(30_000))
        assert [next(results) for _ in range(taken)] == [2 * x for x in range(taken)]
        results.close()
        results.close()
        assert list(results) == []


def test_rest_is_cancelled_when_the_loop_is_left(backend, functions, tmp_path):
    """Leaving a `for` loop calls off what has not started."""
    marks = tmp_path / "marks"
    parallel_note = parallel(functions.note, backend=backend)
    for value in parallel_note.map([str(marks)] * 20_000, itertools.count()):
        if value == 3:
            break
    del parallel_note
    count = len(marks.read_text().split())
    assert 4 <= count < 20_000


def test_iterator_rests_when_dropped_unused(backend):
    """A map that is dropped at once leaves nothing behind."""
    for _ in range(20):
        parallel(double, backend=backend).map(itertools.count())
    gc.collect()


def test_iterator_says_what_it_is_when_inspected(backend):
    """The iterator is a MapIterator, tells how many results are to come, and is its own iterator."""
    results = parallel(double, backend=backend).map(range(100))
    assert isinstance(results, MapIterator)
    assert iter(results) is results
    assert operator.length_hint(results) == 100
    assert len(list(results)) == 100
    assert operator.length_hint(results) == 0


@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, what other threads let go of is freed later")
def test_items_and_results_are_let_go_when_taken(backend, until):
    """A long map does not keep what it has handed out, and a closed one keeps nothing."""

    class Item:
        pass

    alive = weakref.WeakSet()

    def items():
        for _ in range(600):
            item = Item()
            alive.add(item)
            yield item

    most = 0
    results = parallel(
        lambda item: [item], backend=backend if backend != "processes" else "threads", buffersize=10
    ).map(items())
    for value in results:
        del value
        most = max(most, len(alive))
    assert most <= 60
    results.close()
    until(lambda: gc.collect() is not None and not alive)  # a thread that has just delivered one may not have gone on


def test_items_are_let_go_without_the_collector_when_a_map_is_closed(until):
    """What was called off leaves no circle behind."""

    class Item:
        pass

    gc.collect()
    gc.disable()
    try:
        items = [Item() for _ in range(8)]
        alive = weakref.WeakSet(items)
        results = parallel(lambda _: time.sleep(0.01), backend="threads", max_workers=2).map(items)
        results.close()
        del results, items
        until(lambda: not alive)
    finally:
        gc.enable()


def test_readings_stay_when_items_were_sent_one_by_one():
    """A batch that has an item that cannot be sent says nothing of what the others take."""
    function = parallel(time.sleep, backend="processes", max_workers=1)
    list(function.map([0.003] * 8))
    for _ in range(6):
        results = list(function.map([0.003] * 7 + [threading.Lock()], return_exceptions=True, chunksize=8))
        assert [type(value) for value in results] == [type(None)] * 7 + [NotPicklableError]
    assert function.explain().readings.wall > 2e-3


# Errors.


def test_error_is_where_its_result_would_be_when_an_item_raises(backend):
    """Results before the failing item come first; then its own exception; then nothing."""
    results = parallel(fails_on_odd, backend=backend).map([0, 2, 4, 5, 6, 7])
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(ValueError, match=r"^5") as caught:
        next(results)
    assert caught.value.args == (5,)
    assert any("item 3" in note and "fails_on_odd" in note for note in caught.value.__notes__)
    assert list(results) == []


@pytest.mark.parametrize("position", [0, 1, 2, 1000, 29_999])
def test_note_names_the_item_when_it_is_far_in(backend, position):
    """The note has the item's index in the input, on every path through the map."""

    def fail(x):
        return 1 / (x - position)

    results = parallel(fail, backend=backend).map(range(30_000))
    with pytest.raises(ZeroDivisionError) as caught:
        collections.deque(results, maxlen=0)
    assert caught.value.__notes__ == [f"raised by item {position} of a map of {fail.__qualname__}"]


def test_traceback_leads_to_the_function_when_an_item_raises(backend):
    """The traceback, or that of its cause in another process, shows the line of the user's function."""
    import traceback

    with pytest.raises(ValueError, match="3") as caught:
        list(parallel(fails_on_odd, backend=backend).map([0, 3]))
    text = "".join(traceback.format_exception(caught.value))
    assert "in fails_on_odd" in text
    assert "raise ValueError(x)" in text


def test_first_error_in_order_is_raised_when_several_fail(backend):
    """With order, the error is that of the first failing item, as in the loop."""
    with pytest.raises(ValueError, match=r"^1"):
        list(parallel(fails_on_odd, backend=backend, chunksize=1).map(range(50)))


def test_error_of_the_input_comes_last_when_it_raises(backend):
    """Items before the input's own exception are delivered; then the exception itself."""
    error = OSError("the disk is gone")

    def items():
        yield from range(25)
        raise error

    results = parallel(double, backend=backend).map(items())
    got = []
    with pytest.raises(OSError, match="the disk is gone") as caught:
        got.extend(results) if False else [got.append(value) for value in results]
    assert got == [2 * x for x in range(25)]
    assert caught.value is error
    assert list(results) == []


def test_error_comes_when_the_input_is_no_iterable(backend):
    """Something that cannot be iterated is refused where `map` is called, as the built-in does."""
    with pytest.raises(TypeError, match="not iterable"):
        parallel(double, backend=backend).map(5)


def test_error_comes_when_no_iterable_is_given(backend):
    """`map` without an iterable is refused."""
    with pytest.raises(TypeError, match="at least one iterable"):
        parallel(double, backend=backend).map()


def test_stop_iteration_does_not_end_the_loop_when_an_item_raises_it(backend):
    """A StopIteration of the function is an error, as in a generator, not a silent end."""

    def stop(x):
        if x == 500:
            raise StopIteration
        return x

    results = parallel(stop, backend=backend).map(range(20_000))
    with pytest.raises(RuntimeError) as caught:
        list(results)
    assert isinstance(caught.value.__cause__, StopIteration)


def test_error_is_in_the_results_when_exceptions_are_returned(backend):
    """With return_exceptions a failing item gives its exception, and the others their values."""
    results = list(parallel(fails_on_odd, backend=backend).map(range(1000), return_exceptions=True))
    assert [value for value in results if not isinstance(value, Exception)] == list(range(0, 1000, 2))
    assert [value.args for value in results[1::2]] == [(x,) for x in range(1, 1000, 2)]


def test_error_is_raised_when_unordered(backend):
    """Without order a failing item still raises."""
    with pytest.raises(ValueError, match="7"):
        list(parallel(fails_on_odd, backend=backend).map([0, 2, 7], ordered=False))


def test_error_object_is_the_same_when_memory_is_shared():
    """On routes that share memory the very exception object comes back."""
    error = KeyError("mine")

    def fail(_):
        raise error

    for backend in ("auto", "serial", "threads"):
        with pytest.raises(KeyError) as caught:
            list(parallel(fail, backend=backend).map([1]))
        assert caught.value is error


# Threads, loops, nesting.


def test_many_threads_map_at_once_when_they_share_a_function(backend):
    """Eight threads use the same function at the same time."""
    function = parallel(busy, backend=backend)
    start = threading.Barrier(8, timeout=DEADLINE)

    def one(number):
        start.wait()
        return list(function.map(range(number, number + 200)))

    with ThreadPoolExecutor(8) as executor:
        results = list(executor.map(one, range(8)))
    assert results == [[busy(x) for x in range(number, number + 200)] for number in range(8)]


def test_two_maps_run_at_once_when_taken_in_turns(backend):
    """Two open maps of one function do not disturb each other."""
    function = parallel(double, backend=backend)
    assert list(zip(function.map(range(2000)), function.map(range(5, 2005)), strict=True)) == [
        (2 * x, 2 * (x + 5)) for x in range(2000)
    ]


def test_results_can_be_taken_in_another_thread_when_the_map_was_made_here(backend):
    """The iterator may be consumed elsewhere than where it was made."""
    results = parallel(busy, backend=backend).map(range(500))
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(list, results).result(DEADLINE) == [busy(x) for x in range(500)]


def test_function_is_not_on_the_caller_when_a_backend_is_chosen(elsewhere, functions):
    """Threads and processes run the function elsewhere than in the caller's thread."""
    places = set(parallel(functions.place, backend=elsewhere).map(range(200)))
    assert (os.getpid(), threading.get_ident()) not in places
    assert (os.getpid() in {process for process, _ in places}) == (elsewhere == "threads")


def test_function_is_on_the_caller_when_serial_is_chosen(functions):
    """Serial is the plain loop in the caller's thread."""
    places = set(parallel(functions.place, backend="serial").map(range(200)))
    assert places == {(os.getpid(), threading.get_ident())}


def test_no_more_run_at_once_than_max_workers_when_given():
    """Never are more calls running than `max_workers`."""
    running, most = 0, 0
    lock = threading.Lock()

    def count(x):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with lock:
            running -= 1
        return x

    for backend in ("threads", "auto"):
        assert list(parallel(count, backend=backend, max_workers=3).map(range(60))) == list(range(60))
        assert most <= 3


def test_items_meet_when_there_are_as_many_threads():
    """Items that wait for one another run at the same time, if `max_workers` lets them."""
    barrier = threading.Barrier(8, timeout=DEADLINE)
    meet = parallel(lambda x: (barrier.wait(), x)[1], backend="threads", max_workers=8, chunksize=1)
    assert list(meet.map(range(32))) == list(range(32))


def test_map_works_when_nested_in_another_functions_items(backend, functions):
    """A map inside a task works, on every backend, and inside that again."""
    inner = parallel(functions.double, backend=backend)
    middle = parallel(lambda n: sum(inner.map(range(n))), backend=backend)
    outer = parallel(lambda n: sum(middle.map(range(n))), backend=backend)
    expected = [sum(sum(2 * x for x in range(m)) for m in range(n)) for n in range(12)]
    assert list(outer.map(range(12))) == expected


def test_map_works_when_a_function_maps_itself(backend, functions):
    """The same function's map inside its own task works, deeply."""
    with config(backend=backend):
        assert list(functions.factorial.map([1, 5, 12])) == [1, 120, 479001600]


def test_map_works_when_its_width_is_one_and_it_is_nested(backend, functions):
    """Even one worker is enough for nested work."""
    with config(backend=backend, max_workers=1):
        assert list(functions.factorial.map([6, 7])) == [720, 5040]


@pytest.mark.parametrize("chosen", ["auto", "serial"])
def test_caller_runs_tiny_items_when_it_is_on_an_event_loop(chosen):
    """As the plain loop would; taking results blocks the loop in any case, and notebooks have one in every cell."""

    async def main():
        threads = parallel(lambda _: threading.get_ident(), backend=chosen).map(range(50))
        return threading.get_ident(), set(threads), await asyncio.to_thread(set, double_all())

    def double_all():
        return parallel(double, backend=chosen).map(range(50))

    caller, threads, doubled = asyncio.run(main())
    assert threads == {caller}
    assert doubled == {2 * x for x in range(50)}


def test_large_items_and_results_arrive_when_mapped(backend):
    """Arrays of some megabytes go both ways unharmed."""
    arrays = [np.full(300_000, number, dtype=np.float64) for number in range(6)]
    results = list(parallel(lambda array: array + 1, backend=backend).map(arrays))
    assert [(result[0], result[-1], result.shape) for result in results] == [
        (n + 1, n + 1, (300_000,)) for n in range(6)
    ]


def test_results_are_the_callers_own_when_arrays_come_back(backend):
    """Arrays that come back can be written to."""
    results = list(parallel(np.arange, backend=backend).map([10, 100_000]))
    for result in results:
        result[0] = 7
        assert result[0] == 7


def test_input_is_drawn_by_one_thread_at_a_time_when_many_work(elsewhere):
    """The user's iterator is never entered twice at once."""
    source = Counted(range(1000))
    assert list(parallel(double, backend=elsewhere, max_workers=8, chunksize=1).map(source)) == [
        2 * x for x in range(1000)
    ]
    assert not source.shared


def test_same_input_can_feed_two_maps_when_it_is_an_iterator(backend):
    """Two maps that draw from one iterator share its items: each is drawn once."""
    source = Counted(range(1000))
    left = parallel(double, backend=backend).map(source)
    right = parallel(double, backend=backend).map(source)
    try:
        found = list(left) + list(right)
    except RuntimeError:
        assert source.shared  # the user's iterator is not theirs to guard against each other
    else:
        assert sorted(found) == [2 * x for x in range(1000)]


def test_route_may_change_in_the_middle_when_items_change(functions):
    """Items that begin tiny and end slow, and the other way round, come back in order under auto."""
    delays = [0.0] * 3000 + [0.002] * 60 + [0.0] * 3000
    assert list(parallel(functions.nap).map(delays)) == delays
    assert list(parallel(functions.nap).map(delays[3000:])) == delays[3000:]


SLOW_TO_IMPORT = """
import os
import time
from pathlib import Path

HERE = os.environ.setdefault("HERE", str(os.getpid())) == str(os.getpid())
GOES_ON = Path(__file__).with_name("goes on")
END = time.monotonic() + 20

while not HERE and not GOES_ON.exists() and time.monotonic() < END:
    time.sleep(1e-3)


def work(x):
    end = time.thread_time() + 5e-3
    while time.thread_time() < end:
        pass
    if HERE and x == 40:
        GOES_ON.touch()
    return HERE
"""


@pytest.mark.skipif(available_cpus() == 1, reason="no process is worth it on one CPU")
@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, threads do as well")
def test_items_run_here_when_workers_are_slow_to_begin(run_program, tmp_path):
    """While they import what the function needs, the loop goes on; not beyond the user's `max_workers`."""
    (tmp_path / "slow.py").write_text(SLOW_TO_IMPORT)
    code, out, err = run_program("""
        from slow import work
        from parallel_deco import parallel

        here = list(parallel(work, shared=False).map(range(200)))
        print(here[40], here.count(False) > 0)
        """)
    assert (code, out, err) == (0, "True True\n", "")


@pytest.mark.skipif(available_cpus() == 1, reason="no process is worth it on one CPU")
@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, threads do as well")
@pytest.mark.parametrize("maps", [1, 2])
def test_nothing_waits_when_workers_never_get_to_begin(maps, run_program, tmp_path):
    """All is done here, and neither the next map nor the exit waits for them."""
    (tmp_path / "slow.py").write_text(SLOW_TO_IMPORT.replace("x == 40", "False").replace("+ 20", "+ 3600"))
    code, out, err = run_program(f"""
        from slow import work
        from parallel_deco import parallel
        work = parallel(work, shared=False)
        for _ in range({maps}):
            print(all(work.map(range(200))), work.explain().route)
        """)
    assert (code, out, err) == (0, maps * "True serial\n", "")


@pytest.mark.skipif(available_cpus() == 1, reason="no process is worth it on one CPU")
@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, threads do as well")
def test_workers_are_started_when_an_input_of_unknown_length_goes_on(nothing_left):
    """Short items that compute stay for as long as starting workers may not be worth it, and not for ever."""
    assert any(pid != os.getpid() for pid in parallel(burn).map(itertools.repeat(3e-4, 20_000)))


@pytest.mark.skipif(available_cpus() == 1, reason="no process is worth it on one CPU")
@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, threads do as well")
@pytest.mark.parametrize(("options", "expected"), [("", True), ("shared=True", False), ("backend='serial'", False)])
def test_workers_start_when_short_maps_have_missed_them_for_long(run_program, options, expected):
    """None of 20 ms is worth their start, but many are; not where the work may not leave this process."""
    code, out, err = run_program(f"""
        import time
        from parallel_deco import _steering, parallel
        from parallel_deco.backends import pools

        _steering.STARTS = 0.5

        @parallel({options})
        def work(x):
            return sum(n * x for n in range(4000))

        end = time.monotonic() + {20.0 if expected else 0.5}
        while not pools.workers() and time.monotonic() < end:
            list(work.map(range(100)))
        print(pools.workers() > 0)
        """)
    assert (code, out, err) == (0, f"{expected}\n", "")


@pytest.mark.skipif(available_cpus() == 1, reason="no process is worth it on one CPU")
@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, threads do as well")
def test_nothing_waits_when_workers_that_short_maps_have_missed_never_get_to_begin(run_program, tmp_path):
    """All is done here, and the exit does not wait for what they import."""
    (tmp_path / "slow.py").write_text(SLOW_TO_IMPORT.replace("x == 40", "False").replace("+ 20", "+ 3600"))
    code, out, err = run_program("""
        from slow import work
        from parallel_deco import _steering, parallel
        _steering.STARTS = 0.1
        work = parallel(work, shared=False)
        print(all(all(work.map(range(4))) for _ in range(20)))
        """)
    assert (code, out, err) == (0, "True\n", "")


@pytest.mark.skipif(available_cpus() == 1, reason="no process is worth it on one CPU")
@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, threads do as well")
@pytest.mark.parametrize("holds", ["kept.append(x)", "lock.locked()"])
def test_no_workers_start_for_short_maps_when_they_may_not_leave_or_cannot(run_program, holds):
    """An effect is found before any is started; of what cannot travel nothing is lost."""
    code, out, err = run_program(f"""
        import threading, time
        from parallel_deco import _steering, parallel
        from parallel_deco.backends import pools
        _steering.STARTS = 0.1
        kept, lock = [], threading.Lock()

        @parallel
        def work(x):
            {holds}
            return sum(n * x for n in range(4000))

        expected = [sum(n * x for n in range(4000)) for x in range(100)]
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert list(work.map(range(100))) == expected
        print(not kept or (len(kept) % 100, pools.workers()) == (0, 0))
        """)
    assert (code, out, err) == (0, "True\n", "")


def test_start_of_workers_is_paid_for_when_as_much_was_missed(monkeypatch):
    """For a while; and then it begins anew."""
    monkeypatch.setattr(pools, "_missed", 0.0)
    monkeypatch.setattr(pools, "_paid_until", 0.0)
    seen = []
    for _ in range(8):
        pools.miss(0.3, 1.0)
        seen.append(pools.paid())
        if pools.paid():
            monkeypatch.setattr(pools, "_paid_until", 0.0)
    assert seen == [False, False, False, True] * 2


def test_input_has_the_callers_context_when_drawn(backend):
    """A generator that is the input sees the caller's context variables, and `config` blocks, wherever it is drawn."""

    def items():
        for _ in range(50):
            yield workloads.VARIABLE.get()

    token = workloads.VARIABLE.set("mine")
    try:
        results = parallel(str.upper, backend=backend).map(items())
    finally:
        workloads.VARIABLE.reset(token)
    assert list(results) == ["MINE"] * 50


def test_rows_have_the_callers_context_when_each_is_a_generator(backend):
    """In a list they are there, but what is in them is not."""

    def row():
        yield workloads.VARIABLE.get()

    token = workloads.VARIABLE.set("mine")
    try:
        results = parallel(str.upper, backend=backend).starmap([row() for _ in range(50)])
    finally:
        workloads.VARIABLE.reset(token)
    assert list(results) == ["MINE"] * 50


def test_input_keeps_its_own_context_from_item_to_item_when_several_threads_draw(backend):
    """What a generator sets it finds again, and may reset, whichever thread draws the next item."""

    def items():
        with decimal.localcontext() as context:
            context.prec = 5
            token = workloads.VARIABLE.set("own")
            for number in range(400):
                yield number, str(decimal.Decimal(1) / 3), workloads.VARIABLE.get()
            workloads.VARIABLE.reset(token)

    function = parallel(workloads.crawl_with, backend=backend)
    assert list(function.map(items())) == [(number, "0.33333", "own") for number in range(400)]
    assert workloads.VARIABLE.get() == "default"


@pytest.mark.parametrize("error", [TypeError, NotImplementedError, ValueError])
def test_input_may_refuse_to_tell_its_length_when_it_has_a_method_for_it(backend, error):
    """As a tqdm over a generator does; then it is one of unknown length."""

    class Wrapped:
        def __iter__(self):
            return iter(range(5))

        def __len__(self):
            raise error("no length")

    assert list(parallel(double, backend=backend).map(Wrapped())) == [0, 2, 4, 6, 8]


def test_other_threads_run_as_ever_when_the_input_lets_the_map_wait(until):
    """The thread that judged the first call does not wait for the input while all others make way for it."""
    box = queue.SimpleQueue()
    waiting = threading.Event()

    def items():
        yield from range(3)
        waiting.set()
        yield from iter(box.get, None)

    def wait(x):
        time.sleep(0.1)
        return x

    before = sys.getswitchinterval()
    results = parallel(wait).map(items())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert waiting.wait(DEADLINE)
    until(lambda: sys.getswitchinterval() == before)
    box.put(None)
    assert list(results) == []


def test_few_large_results_wait_when_nobody_takes_them(until):
    """In threads too there are never more bytes of results waiting than the window allows."""
    size, taken = 8 << 20, 60
    done = 0

    def large(_):
        nonlocal done
        done += 1
        return bytes(size)

    results = parallel(large, backend="threads", max_workers=1).map(range(1000))
    for _ in range(taken):
        next(results)
    until(lambda: done >= taken)
    time.sleep(0.1)
    assert done - taken <= (256 << 20) / size + 4
    results.close()


@pytest.mark.skipif(not _sampler.works, reason="nothing looks")
def test_it_is_seen_how_items_hold_the_gil_when_a_generator_gives_them(until):
    """They come one by one, and each is too short for a look of its own. On a busy machine, in a later map perhaps."""
    function = parallel(workloads.toil)

    def is_seen():
        assert sum(1 for _ in function.map(iter([300] * 20_000))) == 20_000
        return function.explain().readings.gil is not None

    until(is_seen)


@pytest.mark.skipif(not gil_enabled(), reason="a generator, as the input here, must not be entered twice")
def test_each_result_comes_once_when_two_threads_take_from_one_map(backend):
    """Each thread gets some of the results, and both see the end."""
    results = parallel(double, backend=backend).map(number for number in range(5000))
    with ThreadPoolExecutor(2) as executor:
        parts = list(executor.map(list, [results, results]))
    assert sorted(itertools.chain(*parts)) == list(range(0, 10_000, 2))


class Row:
    """A row of one item, that lets other threads run when it is looked into."""

    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 1

    def __iter__(self):
        time.sleep(0)
        return iter((self.item,))


class Guarded(Counted):
    """An iterator that two threads may draw from."""

    def __init__(self, items):
        super().__init__(items)
        self._lock = threading.Lock()

    def __next__(self):
        with self._lock:
            return super().__next__()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    ("begin", "length"),
    [
        (lambda function, items: function.map(items), 100_000),
        (lambda function, items: function.map(item for item in items), 30_000),
        (lambda function, items: function.map(Guarded(items)), 30_000),
        (lambda function, items: function.starmap([Row(item) for item in items]), 5_000),
    ],
    ids=["range", "generator", "iterator", "rows"],
)
def test_each_result_comes_once_when_threads_take_tiny_items(begin, length, count):
    """Two threads are never in one stretch, nor in the input; each gets its results in order."""
    items = range(length)
    results = begin(parallel(lambda x: x), items)
    first = next(results)
    with ThreadPoolExecutor(count) as executor:
        parts = list(executor.map(list, [results] * count))
    assert all(part == sorted(part) for part in parts)
    assert sorted(itertools.chain([first], *parts)) == list(items)


def test_function_that_takes_from_its_own_map_gets_the_next_result_or_an_error():
    """Where the consumer's own loop runs the item, it takes the next one itself; where a batch does, it cannot."""
    results = None

    def function(x):
        return (x, next(results)) if x == 5_000 else x

    results = parallel(function).map(range(20_000))
    try:
        outcome = list(results)
    except RuntimeError as error:
        outcome = str(error)
    if isinstance(outcome, str):
        assert "takes from that map" in outcome
    else:
        assert outcome == [*range(5_000), (5_000, 5_001), *range(5_002, 20_000)]


def test_error_is_clear_when_an_item_of_a_batch_takes_from_its_own_map():
    """Its own result is the one that comes next."""
    results = None

    def function(x):
        return next(results) if x == 5 else x

    results = parallel(function, backend="serial", chunksize=10).map(range(20))
    with pytest.raises(RuntimeError, match="takes from that map") as caught:
        list(results)
    assert caught.value.__notes__[0].startswith("raised by item 5 of a map")


@pytest.mark.parametrize("ordered", [True, False])
def test_error_is_clear_when_an_item_in_a_thread_takes_the_result_that_is_its_own(ordered):
    """The consumer has the turn, and waits for this very item, which would wait for the turn."""
    results, begun = None, threading.Event()

    def function(x):
        if x == 5:
            assert begun.wait(20)
            time.sleep(0.05)
            for _ in results:
                pass
        return x

    results = parallel(function, backend="threads").map(range(6), ordered=ordered)
    begun.set()
    with pytest.raises(RuntimeError, match="takes from that map"):
        list(results)


def test_item_in_a_thread_may_take_results_that_come_before_its_own():
    """It gets one, and whoever takes the others does not."""
    results, begun, taken = None, threading.Event(), threading.Event()

    def function(x):
        if x != 3:
            return x
        assert begun.wait(20)
        first = next(results)
        taken.set()
        return (x, first)

    results = parallel(function, backend="threads", chunksize=1, max_workers=8).map(range(8))
    begun.set()
    assert taken.wait(20)
    outcome = list(results)
    (pair,) = (result for result in outcome if isinstance(result, tuple))
    assert sorted([*pair, *(result for result in outcome if result is not pair)]) == list(range(8))


def test_error_is_clear_when_the_input_takes_the_result_of_what_it_is_to_give(backend):
    """Nobody can ever give it that."""
    results, begun = None, threading.Event()

    def items():
        yield 1
        assert begun.wait(20)
        yield next(results) + 1  # this may be there
        yield next(results) + next(results)

    results = parallel(double, backend=backend).map(items())
    begun.set()
    with pytest.raises(RuntimeError, match=r"takes from that map|cannot enter context"):
        list(results)


def test_iterator_refuses_to_be_copied_or_pickled():
    """Its results are taken once, as a generator's."""
    results = parallel(double).map([1, 2])
    for copied in copy.copy, copy.deepcopy, pickle.dumps:
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            copied(results)
    assert list(results) == [2, 4]


def test_results_go_when_they_were_taken(backend):
    """The iterator keeps none of those that the user has let go of."""
    results = parallel(workloads.Thing, backend=backend).map(range(300))
    alive = [weakref.ref(result) for result in results]
    del results  # of threads, the last one may be in their hands yet
    gc.collect()
    assert [reference for reference in alive[:-32] if reference() is not None] == []


def test_input_goes_when_a_stretch_is_closed():
    """A generator's `finally` runs, as if the user's loop had ended."""
    closed = []

    def items():
        try:
            yield from range(100_000)
        finally:
            closed.append(True)

    results = parallel(lambda x: x).map(items())
    assert [next(results) for _ in range(50_000)] == list(range(50_000))
    results.close()
    gc.collect()
    assert closed == [True]


def test_hint_is_what_is_left_when_in_the_middle_of_a_stretch():
    """What is about to become a list asks for it."""
    results = parallel(lambda x: x).map(range(100_000))
    for _ in range(50_000):
        next(results)
    assert operator.length_hint(results) == 50_000


def test_worker_is_free_when_a_map_was_left_while_it_ran_something_long():
    """Nobody had seen that it is long: after a moment it is ended all the same, for nobody waits for it."""
    function = parallel(workloads.sleep_long_at_one, backend="processes", max_workers=1)
    results = function.map([0, 1, 2])
    assert next(results) == 0
    results.close()
    assert list(parallel(double, backend="processes", max_workers=1).map(range(3))) == [0, 2, 4]


def test_shutdown_ends_what_was_left_when_it_follows_at_once():
    """It waits for what somebody may want."""
    results = parallel(workloads.sleep_long_at_one, backend="processes", max_workers=1).map([0, 1, 2])
    assert next(results) == 0
    results.close()
    shutdown()
    assert list(parallel(double, backend="processes").map(range(3))) == [0, 2, 4]


def test_no_more_run_than_may_when_the_input_hesitates():
    """What a pull has drawn when it has to wait begins in its place, not beside it."""
    running, most = [], []

    def function(x):
        running.append(x)
        most.append(len(running))
        time.sleep(0.05)
        running.remove(x)
        return x

    def items():
        for number in range(8):
            if number % 2:
                time.sleep(0.03)
            yield number

    results = parallel(function, backend="threads", max_workers=1, chunksize=2).map(items())
    assert list(results) == list(range(8))
    assert max(most) == 1


def test_input_may_wait_for_results_when_one_place_is_all_there_is():
    """Items that were drawn run while the next one is waited for, one by one, although that wait has a place too."""
    results = []

    def items():
        for number in range(6):
            while len(results) + 3 < number:
                time.sleep(0.001)
            yield number

    for value in parallel(pause, backend="threads", max_workers=1, chunksize=3, buffersize=6).map(items()):
        results.append(value)
    assert results == list(range(6))


def test_no_more_run_than_may_when_an_item_of_a_batch_cannot_be_sent():
    """Then the others of its batch go one by one, in one place; it fails alone."""
    wide = parallel(workloads.place_and_time, backend="processes", max_workers=3)
    list(wide.map([0.05] * 6))  # there are three workers now
    narrow = wide.options(max_workers=1, chunksize=4)
    *spans, error = narrow.map([0.05, 0.05, 0.05, threading.Lock()], return_exceptions=True)
    assert isinstance(error, NotPicklableError)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_nothing_goes_on_when_a_map_is_closed_whose_items_go_one_by_one():
    """The one that runs is ended, and none begins after it."""
    function = parallel(workloads.sleep_long_at_one, backend="processes", max_workers=1, chunksize=4)
    results = function.map([1, threading.Lock(), 1, 1], return_exceptions=True)
    time.sleep(0.1)
    results.close()
    assert list(parallel(double, backend="processes", max_workers=1).map(range(3))) == [0, 2, 4]


def test_explanation_is_of_the_last_work_when_that_was_too_short_to_decide():
    """Not of the work before it, with the readings of this."""
    function = parallel(workloads.count_to)
    list(function.map([200_000] * 20))
    assert list(function.map([5, 6, 7])) == [5, 6, 7]
    explanation = function.explain()
    assert explanation.rule in ("too small", "one CPU")
    assert (explanation.route, explanation.readings.items) == ("serial", 3)


def test_input_is_drawn_together_again_when_it_was_slow_once(elsewhere, functions):
    """One item that had to be waited for does not make the rest of the map go one by one."""

    def items():
        yield from range(100)
        time.sleep(0.05)
        yield from range(100, 20_000)

    places = list(parallel(functions.place_in_batch, backend=elsewhere, max_workers=1).map(items()))
    assert len(places) == 20_000
    assert 1 <= places.count(0) < 2000


def test_own_error_is_raised_when_the_function_closes_its_map():
    """In the middle of a stretch of tiny items: whoever is run is still there."""
    results = None

    def function(x):
        if x == 5_000:
            results.close()
            raise ValueError(x)
        return x

    results = parallel(function, backend="serial").map(range(10_000))
    with pytest.raises(ValueError, match="5000"):
        list(results)
    assert list(results) == []


def test_map_comes_to_its_end_when_a_shutdown_is_in_between(until):
    """As if nothing had been."""
    begun, results = [], []

    def work(x):
        begun.append(x)
        time.sleep(0.005)
        return x

    function = parallel(work, backend="threads", max_workers=2, chunksize=1)
    consumer = threading.Thread(target=lambda: results.extend(function.map(range(400))))
    consumer.start()
    until(lambda: len(begun) > 20)
    shutdown()
    consumer.join()
    assert results == list(range(400))


@dataclasses.dataclass(frozen=True)
class Refused(Exception):
    """An error that takes no attributes: no note, no cause."""


def refuse(x):
    """Raise it for some."""
    if x % 3 == 2:
        raise Refused
    return x


def test_error_comes_as_itself_when_it_takes_no_attributes(backend):
    """Nothing of ours is in the way."""
    function = parallel(refuse, backend=backend)
    with pytest.raises(Refused):
        list(function.map(range(9)))
    assert [type(value) for value in function.map(range(3), return_exceptions=True)] == [int, int, Refused]
    assert type(function.submit(2).exception(DEADLINE)) is Refused


def test_shutdown_ends_when_a_map_without_items_was_never_looked_at():
    """There is no first item to wait for."""
    for empty in ([], iter(())):
        results = parallel(abs).map(empty)
        time.sleep(0.02)
        shutdown()
        assert list(results) == []


def test_input_may_wait_for_calls_when_a_nested_map_draws_it():
    """It is as deep in work as the map that draws it, so what it waits for is deeper, and has places of its own."""
    plain = parallel(lambda x: x, backend="threads")

    @parallel(backend="threads", max_workers=1)
    def count(levels):
        return sum(plain.map(count.submit(levels - 1).result() for _ in range(2))) if levels else 1

    assert count.submit(2).result(DEADLINE) == 4


class Odd:
    """Its attributes cannot be looked at."""

    __dict__ = property(lambda self: 1 // 0)


def test_items_run_when_their_size_cannot_be_told(backend):
    """The size is for deciding, and decides nothing about whether they run."""
    if backend == "processes":
        pytest.skip("pickle looks at the attributes")
    function = parallel(lambda x: 1, backend=backend, shared=backend != "serial" or None)
    assert list(function.map(iter([Odd()] * 3))) == [1] * 3
    assert function.submit(Odd()).result(DEADLINE) == 1


def test_rows_may_wait_for_results_when_a_thread_takes_the_next_itself():
    """A row that is drawn later may wait for what was drawn before; that runs meanwhile."""
    seen = threading.Event()

    def work(x):
        if x == 4:
            seen.set()
        return x

    def waits():
        assert seen.wait(DEADLINE)
        yield 5

    rows = [(0,), (1,), (2,), (3,), (4,), waits()]
    assert list(parallel(work, backend="threads", max_workers=2, chunksize=1).starmap(rows)) == [0, 1, 2, 3, 4, 5]


def test_result_comes_when_it_is_there_although_another_takes_long():
    """Who has just taken a result is not woken for the next, and looks by itself, whatever is still under way."""
    gate = threading.Event()

    def wait(x):
        if x == 39:
            gate.wait(DEADLINE)
        return x

    results = parallel(wait, backend="threads", max_workers=2).map(range(40), chunksize=1)
    assert [next(results) for _ in range(39)] == list(range(39))
    assert not gate.is_set()
    gate.set()
    assert list(results) == [39]


class Held:
    """Something of the user's that can be seen to go."""


@pytest.mark.parametrize("longest", [0, 2e-3], ids=["short", "long"])
def test_nothing_is_kept_when_the_input_has_failed(backend, longest, until):
    """Neither the error nor what the user's frames hold; nor is the map open any more."""

    def work(x):
        time.sleep(longest)
        return x

    function, seen = parallel(work, backend=backend), []

    def rows():
        yield from range(30)
        raise ValueError("the input")

    def job():
        held = Held()
        seen.append(weakref.ref(held))
        for _ in function.map(rows()):
            pass

    with pytest.raises(ValueError, match="the input"):
        job()
    until(lambda: gc.collect() >= 0 and seen[0]() is None)
    assert not [reference for reference in _left_open._open.valuerefs() if _is_of(function, reference())]


@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, what other threads let go of is freed later")
def test_nothing_waits_for_the_collector_when_an_item_has_failed_in_a_worker(until):
    """What the caller's frames hold goes when the error was handled; here, frames of ours would be behind it."""

    def fail(x):
        if x == 20:
            raise ValueError(x)
        return Held()

    function, seen = parallel(fail, backend="processes"), []

    def job():
        held = Held()
        seen.append(weakref.ref(held))
        results = function.map(range(40), chunksize=7)
        for result in results:
            if len(seen) < 3:
                seen.append(weakref.ref(result))

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            job()
        until(lambda: not any(reference() for reference in seen))
    finally:
        gc.enable()


def _is_of(function, mapping):
    return mapping is not None and mapping._steering._profile is function._profile


def test_map_is_closed_when_its_function_leads_back_to_it(backend, until):
    """The collector finds that nobody can take from it any more."""

    class Loader:
        def __init__(self):
            self.results = self.load.map(itertools.count(), buffersize=8)

        @parallel(backend=backend)
        def load(self, number):
            return number

        def __getstate__(self):
            return {}

    loader = Loader()
    assert next(loader.results) == 0
    seen = weakref.ref(loader)
    del loader
    until(lambda: gc.collect() >= 0 and seen() is None)


def test_letting_go_of_a_map_does_not_wait_for_its_lock(until):
    """The collector may do so in a thread that has a lock which is waited for under this one."""
    function = parallel(double, backend="threads")
    results = function.map(itertools.count(), buffersize=4)
    assert next(results) == 0
    mapping = next(found for each in _left_open._open.valuerefs() if _is_of(function, found := each()))
    taken, gate = threading.Event(), threading.Event()

    def hold():
        with mapping._lock:
            taken.set()
            gate.wait(DEADLINE)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(DEADLINE)
    del results  # it would wait here
    assert not mapping.closed
    gate.set()
    thread.join()
    until(lambda: mapping.closed)


class Feed:
    """An iterator that says how many items it has at hand, which is none."""

    def __init__(self, length):
        self._items = iter(range(length))

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._items)

    def __len__(self):
        return 0


@pytest.mark.parametrize("wall", [0.0, 20e-6])
def test_all_items_run_when_the_input_is_an_iterator_that_is_false(backend, wall):
    """Whether it is true says nothing of what is to come."""

    def work(x):
        end = time.perf_counter() + wall
        while time.perf_counter() < end:
            pass
        return x

    assert list(parallel(work, backend=backend).map(Feed(2000))) == list(range(2000))


@pytest.fixture
def batches(monkeypatch):
    """The sizes of the batches that consumers run."""
    sizes = []
    run = _mapping.run_batch

    def counted(batch):
        sizes.append(len(batch.items))
        return run(batch)

    monkeypatch.setattr(_mapping, "run_batch", counted)
    return sizes


def reciprocal(x):
    return 1 / (x % 1000)


def half(x):
    return decimal.Decimal(x) / 2  # which sets a context variable, the first time


def successor(x):
    return x + 1


@pytest.mark.parametrize(
    ("function", "how"),
    [(successor, {}), (successor, {"buffersize": 8}), (successor, {"return_exceptions": True}), (half, {})],
)
def test_items_are_not_run_one_by_one_with_all_that_goes_with_it_when_they_are_tiny(batches, function, how):
    """An input that may have to be waited for is drawn in the loop, with errors to be returned or a window too."""
    results = parallel(function, backend="serial").map((x for x in range(20_000)), **how)
    assert list(results) == [function(x) for x in range(20_000)]
    assert len(batches) < 2000


def test_items_are_not_run_one_by_one_when_results_are_asked_for_late(batches):
    """What began without the consumer goes on with it."""
    results = parallel(successor).map(x for x in range(20_000))
    time.sleep(0.02)
    assert list(results) == list(range(1, 20_001))
    assert len(batches) < 2000


@pytest.mark.parametrize("backend", ["auto", "serial"])
def test_errors_are_in_their_places_when_tiny_items_raise_in_the_loop(backend):
    """Each with its own note; a StopIteration is one like others."""
    results = list(parallel(reciprocal, backend=backend).map((x for x in range(5000)), return_exceptions=True))
    failed = [index for index, value in enumerate(results) if isinstance(value, ZeroDivisionError)]
    assert failed == [0, 1000, 2000, 3000, 4000]
    name = reciprocal.__qualname__
    assert [results[at].__notes__ for at in failed] == [[f"raised by item {at} of a map of {name}"] for at in failed]
    assert results[1:1000] == [1 / x for x in range(1, 1000)]
    ends = parallel(next, backend=backend).map([iter(()) for _ in range(3000)], return_exceptions=True)
    assert all(isinstance(value, StopIteration) for value in ends)


def test_callers_context_stays_as_it_is_when_tiny_items_set_variables():
    """They run in a copy of the map's context, in the loop too, and the input in another."""
    variable = contextvars.ContextVar("variable", default=0)

    def count(x):
        variable.set(variable.get() + 1)
        return variable.get()

    before = contextvars.copy_context()
    seen = list(parallel(count, backend="serial").map(x for x in range(1000)))
    assert max(seen) > 1
    assert variable.get() == 0
    assert contextvars.copy_context() == before


def test_consumer_may_set_variables_when_tiny_items_run_in_its_loop(batches):
    """The items see them as they were when the map began."""
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("before")
    results = parallel(lambda _: variable.get(), backend="serial").map(x for x in range(5000))
    seen = []
    for value in results:
        seen.append(value)
        variable.set("after")
    assert set(seen) == {"before"}
    assert len(batches) < 1000


@pytest.mark.parametrize("backend", ["threads", "serial", "auto"])
def test_no_further_item_of_a_batch_begins_when_the_map_is_closed(backend):
    """What runs comes to its end, for a thread cannot be ended; what has not begun does not."""
    ran, may_end = [], threading.Event()

    def work(x):
        ran.append(x)
        may_end.wait(DEADLINE)

    results = parallel(work, backend=backend, max_workers=1, chunksize=50).map(range(100))
    consumer = threading.Thread(target=collections.deque, args=(results, 0))
    consumer.start()
    while not ran:
        time.sleep(1e-3)
    results.close()
    may_end.set()
    consumer.join(DEADLINE)
    shutdown()
    assert ran == [0]


@pytest.mark.parametrize("backend", ["auto", "serial"])
def test_ctrl_c_ends_the_map_when_errors_are_to_be_returned(backend):
    """It is the user's, and not an item's; nothing after it runs."""
    ran, threads = [], []

    def work(x):
        ran.append(x)
        if x == 3:
            threads.append(threading.current_thread())
            raise KeyboardInterrupt
        time.sleep(1e-3)

    for _ in range(20):
        ran.clear()
        try:
            list(parallel(work, backend=backend, chunksize=50).map(range(100), return_exceptions=True))
        except KeyboardInterrupt:
            break
        # This thread had no CPU for so long that the map had begun in the background; there it is an item's error.
        assert threads[-1] is not threading.current_thread()
    else:
        pytest.fail("it was never raised")
    assert [x for x in ran if x < 50] == [0, 1, 2, 3]  # another batch may have begun in a thread


@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, what other threads let go of is freed later")
def test_inputs_go_when_their_items_have_run(until):
    """Results that wait to be taken keep none of the items that they came from."""
    alive, made = weakref.WeakSet(), []

    def items():
        while True:
            item = Held()
            alive.add(item)
            made.append(len(made))
            yield item

    results = parallel(lambda _: time.sleep(1e-3), backend="threads", max_workers=4, buffersize=100).map(items())
    next(results)
    until(lambda: len(made) >= 90 and len(alive) <= 10)
    results.close()


def test_a_window_moves_on_with_each_result_that_is_taken():
    """Results that have come together have places in it until they are taken: workers had nothing to do meanwhile."""
    drawn = []
    items = (drawn.append(number) or number for number in range(100))
    taken = 0
    for _ in parallel(double, backend="threads", max_workers=8, chunksize=1, buffersize=8).map(items):
        taken += 1
        time.sleep(0.05)  # all that are under way come
        if taken == 6:
            break
    assert len(drawn) >= taken + 7


def test_rows_are_read_in_the_maps_context_when_that_runs_code_of_the_users():
    """Whichever thread reads them."""
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("own")

    class Row:
        def __len__(self):
            return 1

        def __iter__(self):
            return iter((variable.get(),))

    def work(value):
        time.sleep(1e-3)
        return value

    rows = [Row() for _ in range(300)]
    assert set(parallel(work, backend="threads", max_workers=2).starmap(rows)) == {"own"}


@pytest.mark.parametrize("count", [2, 3])
def test_error_is_clear_when_all_items_that_run_wait_for_each_others_results(count):
    """In any order, each might have another's; one has to go without, and then the others have its."""
    began, together = threading.Event(), threading.Barrier(count)

    def work(x):
        began.wait(DEADLINE)
        together.wait(DEADLINE)
        try:
            return x, next(results)
        except RuntimeError as error:
            return x, error

    function = parallel(work, backend="threads", max_workers=count, chunksize=1)
    results = function.map(range(count), ordered=False)
    began.set()
    outcomes, left = [], list(results)
    while left:
        x, other = left.pop()
        outcomes.append(x)
        if isinstance(other, tuple):
            left.append(other)
        elif not isinstance(other, StopIteration):
            assert "takes from that map" in str(other)
    assert sorted(outcomes) == list(range(count))


def interrupted_at_two(number):
    """Raise what Ctrl-C does."""
    if number == 2:
        raise KeyboardInterrupt
    return number


def test_keyboard_interrupt_is_no_result_when_exceptions_are(backend):
    """In the loop, nobody could tell it from the user's own."""
    results = parallel(interrupted_at_two, backend=backend).map(range(9), return_exceptions=True, chunksize=1)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert list(results) == []


# Inputs that only one thread may take from.


@pytest.fixture
def cursor():
    """A cursor of sqlite3 over numbers, which no other thread may use."""
    database = sqlite3.connect(":memory:")
    database.execute("create table numbers (n)")
    database.executemany("insert into numbers values (?)", [(number,) for number in range(300)])
    yield database.execute("select n from numbers order by n")
    database.close()


class Rows:
    """What is a cursor when it is drawn from."""

    def __init__(self, cursor):
        self.cursor = cursor

    def __iter__(self):
        return self.cursor


DRAWN = {
    "cursor": lambda cursor: cursor,
    "generator": lambda cursor: (row for row in cursor),
    "generators": lambda cursor: (row for row in (row for row in cursor)),
    "map": lambda cursor: map(tuple, cursor),
    "filter": lambda cursor: filter(None, cursor),
    "chain": lambda cursor: itertools.chain([], cursor),
    "islice": lambda cursor: itertools.islice(cursor, 1000),
    "chained from a list": lambda cursor: itertools.chain.from_iterable([cursor]),
    "its own iterator": Rows,
}


@pytest.mark.parametrize("options", [{}, {"ordered": False}, {"chunksize": 7}, {"buffersize": 5}], ids=str)
@pytest.mark.parametrize("drawn", DRAWN)
def test_cursor_is_drawn_from_by_its_own_thread_only(backend, cursor, drawn, options):
    """However it is wrapped, as far as that can be seen; the results are those of the loop."""
    function = parallel(lambda row: row[0], backend=backend)
    for _ in range(2):  # unknown, and known
        source = cursor.connection.execute("select n from numbers order by n")
        assert sorted(function.map(DRAWN[drawn](source), **options)) == list(range(300))


@pytest.mark.parametrize("options", [{}, {"buffersize": 3}], ids=str)
def test_cursor_gives_the_arguments_when_spread(backend, cursor, options):
    """Of starmap, and of several inputs."""
    function = parallel(double, backend=backend)
    assert list(function.starmap(cursor, **options)) == list(range(0, 600, 2))
    source = cursor.connection.execute("select n from numbers order by n")
    pairs = parallel(lambda *pair: pair, backend=backend).map((row[0] for row in source), range(300), **options)
    assert list(pairs) == [(number, number) for number in range(300)]


def test_cursor_feeds_the_workers_when_the_first_item_is_slow(cursor, until):
    """Who waits for the first result takes further items meanwhile."""
    seen = set()

    def work(row):
        if row[0] == 0:
            until(lambda: len(seen) > 3)
        seen.add(row[0])
        return row[0]

    results = parallel(work, backend="threads", max_workers=4).map(cursor, chunksize=1)
    assert next(results) == 0
    results.close()


def test_error_says_where_an_input_was_drawn_from_when_it_bears_one_thread_only(cursor):
    """What it draws from cannot always be seen."""

    rows = iter(cursor.fetchone, None)  # nothing says what is asked
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        list(parallel(lambda row: time.sleep(1e-3), backend="threads").map(rows))
    assert "any thread" in caught.value.__notes__[0]


def ticks(connection):
    """Never end."""
    for number in itertools.count():
        time.sleep(1e-3)
        yield number


@pytest.mark.parametrize("buffersize", [None, 1])
def test_result_comes_when_an_input_with_a_connection_never_ends(backend, cursor, buffersize):
    """It may wait for anything: also for what is done with earlier results."""
    results = parallel(double, backend=backend).map(ticks(cursor.connection), buffersize=buffersize)
    assert list(itertools.islice(results, 5)) == [0, 2, 4, 6, 8]
    results.close()


def test_result_comes_when_a_cursor_never_ends(backend, cursor):
    """What is drawn ahead by the thread that waits for results ends when one is there."""
    cursor.connection.create_function("slow", 1, lambda n: time.sleep(1e-3) or n)
    endless = "with recursive c(n) as (select 1 union all select n + 1 from c) select slow(n) from c"
    results = parallel(lambda row: row[0], backend=backend).map(cursor.connection.execute(endless))
    assert list(itertools.islice(results, 5)) == [1, 2, 3, 4, 5]
    results.close()


def jobs_of(cursor):
    """Give what is to be done, until it is done."""
    left = list(range(12))
    while left:
        yield left.pop()
        while cursor.connection.execute("select count(*) from running").fetchone()[0] > 2:
            time.sleep(1e-3)


def test_results_come_when_an_input_waits_for_what_is_done_with_them(cursor):
    """A table of jobs: with a generator that has a cursor, too."""
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    connection.execute("create table running (n)")
    connection.executemany("insert into running values (?)", [(1,)] * 5)
    done = []
    for number in parallel(double, backend="threads").map(jobs_of(connection.cursor())):
        connection.execute("delete from running")
        done.append(number)
    assert sorted(done) == list(range(0, 24, 2))
    connection.close()


def test_input_is_not_kept_when_it_is_looked_into(cursor):
    """The variables of a generator go when it lets go of them."""
    gone = []

    def rows():
        for number in range(100):
            row = Row(number)
            gone.append(weakref.ref(row))
            yield number
            del row
            yield -number

    results = parallel(abs, backend="threads").map(rows())
    assert len(list(results)) == 200
    assert all(reference() is None for reference in gone)
    given = rows()
    next(given)
    results = parallel(abs, backend="threads").map(given)
    assert list(itertools.islice(results, 50))
    assert gone[100]() is None
    results.close()
