"""Worker processes that run several items of a batch at the same time, in a thread each."""

import contextvars
import decimal
import gc
import itertools
import os
import sys
import threading
import time
import weakref
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parallel_deco import WorkerDied, parallel
from parallel_deco._cpus import available_cpus
from parallel_deco._options import Options
from parallel_deco._steering import Steering
from parallel_deco.backends import contexts, pools
from parallel_deco.backends.abreast import MOST, run_abreast
from parallel_deco.backends.batch import Batch, Shape
from parallel_deco.routing.cost import Machine, predict, threads_each
from parallel_deco.routing.evidence import Facts
from tests.workloads import double

LAWS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
#: It waits nine tenths of its time, and computes with the GIL held.
WAITS = Facts(items=100, seconds=1.0, wall=10e-3, cpu=1e-3, gil=1e-3, samples=100)

state = contextvars.ContextVar("state", default=0)


@pytest.fixture
def abreast(monkeypatch):
    """Have workers run four items at the same time, whatever they are."""
    go = Steering._go

    def go_abreast(self, decision):
        go(self, decision._replace(route="processes", width=2, abreast=4))

    monkeypatch.setattr(Steering, "_go", go_abreast)


@pytest.fixture
def in_turn(monkeypatch):
    """Have workers run one item after the other, whatever they are."""
    go = Steering._go

    def go_in_turn(self, decision):
        go(self, decision._replace(route="processes", width=2, abreast=1))

    monkeypatch.setattr(Steering, "_go", go_in_turn)


def doze(seconds):
    """Sleep; return where."""
    time.sleep(seconds)
    return os.getpid(), threading.get_ident()


def strict(x):
    """Refuse some, not at once."""
    time.sleep(0.0005 * (x % 3))
    if x > 50:
        raise ValueError(x)
    return 2 * x


def dies(item):
    """End the process for one of them, if it is not the caller's."""
    x, caller = item
    time.sleep(0.001)
    if x == 17 and os.getpid() != caller:
        os._exit(3)
    return x


def forks(x):
    """Fork; the child returns from the item too."""
    if x % 10 == 3:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
    return x


def counts(x):
    """Show what the context has, and change it."""
    before = state.get()
    state.set(before + 1)
    return before


def warmed(function, items):
    """Have workers load it, and batches be large: it is known how short the items are."""
    pool = pools.processes()
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        list(function.map(items))
        if pool.ready(pool.prepare(function.__wrapped__)) >= min(2, available_cpus()):
            return function
    raise AssertionError("no worker has loaded it")


@pytest.mark.usefixtures("abreast")
def test_items_are_in_several_threads_of_a_worker_when_they_run_abreast():
    """Four at a time in each of two processes."""
    function = warmed(parallel(doze, shared=False), [0.0] * 200)
    places = set(function.map([0.02] * 64))
    threads = Counter(process for process, _ in places)
    assert os.getpid() not in threads
    assert max(threads.values()) > 1


def assert_equals_the_loop(function, items, keep):
    """Map items that are doubled, and refused above 50: values, order, and the first error or (`keep`) all of them."""
    shown = []
    try:
        for value in function.map(items, return_exceptions=keep):
            shown.append(value.args if isinstance(value, Exception) else value)
    except ValueError as error:
        shown.append(error.args)
    expected = [(x,) if x > 50 else 2 * x for x in items]
    first = next((place for place, x in enumerate(items) if x > 50), len(items))
    assert shown == (expected if keep else expected[: first + 1])


@pytest.mark.usefixtures("in_turn")
def test_items_that_wait_run_at_the_same_time_when_their_batch_was_cut_for_others():
    """The batches are as large as they are for short items, and these sleep."""
    function = warmed(parallel(doze, shared=False), [0.0] * 200)
    threads = Counter(process for process, _ in set(function.map([0.02] * 64)))
    assert max(threads.values()) > 1
    counted = parallel(doze, shared=False, max_workers=2)
    threads = Counter(process for process, _ in set(counted.map([0.02] * 16)))
    assert max(threads.values()) == 1


@pytest.mark.usefixtures("in_turn")
@given(items=st.lists(st.sampled_from([0, 1, 2, 9, 51]), max_size=60), keep=st.booleans())
@LAWS
def test_map_equals_the_loop_when_items_turn_out_to_wait(items, keep):
    """Some of a batch in turn, the others at the same time; each once, and in order."""
    function = warmed(parallel(sleepy, shared=False), [0])
    assert_equals_the_loop(function, items, keep)


def sleepy(x):
    """Compute nothing, sleep now and then, and refuse some."""
    time.sleep(0.003 * (x == 9))
    if x > 50:
        raise ValueError(x)
    return 2 * x


@pytest.mark.usefixtures("abreast")
@given(data=st.data())
@LAWS
def test_map_equals_the_loop_when_items_run_abreast(data):
    """Values, order, and the first error in the order of the input."""
    items = data.draw(st.lists(st.integers(0, 54), max_size=120), label="items")
    keep = data.draw(st.booleans(), label="return_exceptions")
    function = warmed(parallel(strict, shared=False), [0])
    assert_equals_the_loop(function, items, keep)


@pytest.mark.usefixtures("abreast")
def test_the_culprit_is_named_and_nothing_is_lost_when_a_worker_dies_with_several_items():
    """Which of them it was shows when they go alone."""
    items = [(x, os.getpid()) for x in range(60)]
    function = warmed(parallel(dies, shared=False), [(1, 0)] * 50)
    results = list(function.map(items, return_exceptions=True))
    assert [x for x in results if not isinstance(x, WorkerDied)] == [x for x in range(60) if x != 17]
    assert isinstance(results[17], WorkerDied)
    assert "item 17 " in str(results[17])


@pytest.mark.usefixtures("abreast")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_runs_no_other_item_when_an_item_forks():
    """It has the thread that forked alone, and ends with that item."""
    function = warmed(parallel(forks, shared=False), [1] * 200)
    assert list(function.map(range(60))) == list(range(60))


@pytest.mark.usefixtures("abreast")
def test_no_item_sees_what_those_beside_it_set_when_they_have_a_context():
    """Each thread has a copy; what a batch sets is not seen in the next."""
    state.set(100)
    seen = list(warmed(parallel(counts, shared=False), [0] * 20).map(range(100)))
    assert min(seen) == 100
    assert state.get() == 100


@pytest.mark.usefixtures("abreast")
def test_map_goes_on_when_it_is_left_and_another_begins():
    """Batches that nobody waits for hold up nobody."""
    function = warmed(parallel(doze, shared=False), [0.0] * 200)
    for _ in function.map([0.01] * 500):
        break
    assert len(list(function.map([0.001] * 50))) == 50


@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=80),
    st.integers(2, 6),
    st.booleans(),
    st.sampled_from([None, 0, 60]),
)
@LAWS
def test_outcomes_are_a_beginning_of_the_batch_when_items_run_abreast(items, threads, keep, patience):
    """Every item that has begun has its outcome in its place, and each begins once."""
    batch = Batch(strict, items, Shape.ONE, keep_going=keep, patience=None if patience is None else (patience, 0.0))
    batch.abreast = threads
    result = run_abreast(batch)
    begun = len(result.values)
    assert begun == len(items) or patience == 0 or (result.errors and not keep)
    for place, x in enumerate(items[:begun]):
        if x > 50:
            assert result.errors[place].args == (x,)
            assert result.values[place] is None
        else:
            assert result.values[place] == 2 * x
    assert set(result.errors) == {place for place, x in enumerate(items[:begun]) if x > 50}
    assert result.readings.items == begun


def test_outcomes_are_reported_on_the_way_when_items_run_abreast():
    """Those up to the first that has not ended, each time more."""
    reports = []
    batch = Batch(strict, list(range(40)), Shape.ONE, keep_going=True)
    batch.abreast = 3
    result = run_abreast(batch, lambda values, errors: reports.append((values, errors)), 0.0)
    assert result.values == [2 * x for x in range(40)]
    assert len(reports) > 1
    assert all(values == result.values[: len(values)] and not errors for values, errors in reports)
    assert all(len(one) < len(other) for (one, _), (other, _) in itertools.pairwise(reports))


def test_nothing_of_a_batch_is_kept_when_it_has_ended():
    """Its arguments and results go at once, without the collector: their memory is to be used for the next."""

    class Thing:
        pass

    def keep(thing):
        time.sleep(0.003)
        made = Thing()
        kept.extend((weakref.ref(thing), weakref.ref(made)))
        return made

    kept = []
    batch = Batch(keep, [Thing() for _ in range(8)], Shape.ONE)
    batch.abreast = 2
    gc.disable()
    try:
        assert len(run_abreast(batch).values) == 8
        del batch
        assert [thing() for thing in kept] == [None] * 16
    finally:
        gc.enable()


def test_there_are_more_threads_when_all_of_them_wait():
    """And as many as there are items, at most."""
    batch = Batch(doze, [0.005] * 40, Shape.ONE)
    batch.abreast = 2
    assert 2 < len({thread for _, thread in run_abreast(batch).values}) <= MOST
    batch = Batch(doze, [0.005] * 5, Shape.ONE)
    batch.abreast = 2
    assert len(run_abreast(batch).values) == 5


def test_first_item_is_begun_when_there_is_no_patience_left():
    """As in the other batches; no trip is in vain."""
    batch = Batch(doze, [0.0] * 5, Shape.ONE, patience=(-1.0, 0.0))
    batch.abreast = 2
    assert len(run_abreast(batch).values) == 1


def test_settings_of_a_library_hold_in_all_threads_when_an_item_imports_it(monkeypatch):
    """They wait for the import, which one thread does; the others have copies of the context from before it."""
    with decimal.localcontext(prec=5):
        packed = contexts.pack(contextvars.copy_context())
    monkeypatch.delitem(sys.modules, "decimal")
    batch = Batch(third, list(range(20)), Shape.ONE, context=contexts.unpack(packed))
    batch.abreast = 4
    assert set(run_abreast(batch).values) == {"0.33333"}


def third(_):
    """Divide, with what the context says of it."""
    from decimal import Decimal

    time.sleep(0.001)
    return str(Decimal(1) / 3)


def test_short_work_is_not_held_up_by_another_map_of_the_same_workers():
    """Those that have loaded it are busy for long, with something else; others rest."""
    short, long = (
        parallel(double, max_workers=2, backend="processes"),
        parallel(doze, backend="processes", max_workers=2),
    )
    list(short.map(range(20)))
    pool = pools.processes()
    pool.warm(4)
    running = [long.submit(3.0) for _ in range(2)]
    done = threading.Event()
    pool.start(
        Batch(double, [3], Shape.ONE), lambda result: done.set(), width=4, loaded=True, prepared=pool.prepare(double)
    )
    assert done.wait(2.0)
    for task in running:
        task.cancel()


def test_batch_is_run_by_fewer_when_there_is_no_thread(monkeypatch):
    """The calling one is enough."""

    def none(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("parallel_deco.backends.abreast.start_new_thread", none)
    batch = Batch(double, list(range(10)), Shape.ONE)
    batch.abreast = 4
    assert run_abreast(batch).values == [2 * x for x in range(10)]


def test_work_that_waits_and_holds_the_gil_is_predicted_in_threads_of_processes():
    """As many as keep the GIL of each busy; not what computes, nor what is not known yet, nor where it may not."""
    assert threads_each(WAITS._replace(cpu=1.6e-3, gil=1.6e-3), 1000, 2) == 12
    assert threads_each(WAITS, 8, 2) == 4
    assert threads_each(WAITS._replace(cpu=9e-3), 1000, 2) == 1
    assert threads_each(WAITS._replace(items=2), 1000, 2) == 1
    assert threads_each(WAITS._replace(cpu=1e-5, gil=1e-5), 1000, 2) == 1, "one GIL is enough"
    several = predict(WAITS, 1000, 2, Machine(), workers=2, abreast=True)["processes"]
    single = predict(WAITS, 1000, 2, Machine(), workers=2)["processes"]
    assert (several.width, several.abreast, single.abreast) == (2, 16, 1)
    assert several.seconds < 0.6 * single.seconds
    assert predict(WAITS, 1000, 2, Machine(), workers=2, abreast=True, most=2)["processes"].abreast == 1


@pytest.mark.parametrize(
    ("options", "may"),
    [
        ({}, True),
        ({"backend": "processes"}, False),
        ({"max_workers": 2}, False),
        ({"chunksize": 3}, False),
        ({"timeout": 5.0}, False),
    ],
)
def test_items_run_abreast_only_where_the_user_counts_neither_them_nor_workers(options, may):
    """One worker is one item at a time where somebody asked for workers."""
    steering = Steering(parallel(double)._profile, Options(**options), None)
    assert steering.side_by_side is may


def test_auto_runs_work_that_waits_and_holds_the_gil_in_threads_of_processes():
    """When it is worth it; `explain` says so."""
    function = parallel(mixed, shared=False)
    for _ in range(4):
        assert list(function.map([20_000] * 200)) == [20_000] * 200
    report = function.explain()
    if report.rule == "waits, holds the GIL":  # the machine may be too busy to see it
        assert report.route == "processes"
        assert "threads each" in report.reason
        assert report.abreast > 1
        assert f"{report.width} wide with {report.abreast} threads each" in str(report)


def mixed(steps):
    """Wait, and compute for a tenth of that."""
    time.sleep(5e-3)
    total = 0
    for _ in range(steps):
        total += 1
    return total
