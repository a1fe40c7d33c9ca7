"""`submit`: futures that always come to an end, from any thread, at any depth, and never on the caller."""

import asyncio
import collections
import concurrent.futures
import contextvars
import gc
import hashlib
import inspect
import itertools
import os
import sys
import threading
import time
import traceback
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import parallel_deco
from parallel_deco import Future, NotPicklableError, config, parallel
from parallel_deco._call import Call, killer
from parallel_deco._cpus import gil_enabled
from parallel_deco._shift import Shift
from parallel_deco.backends.batch import Batch, Shape
from parallel_deco.routing.evidence import KNOWN
from tests import workloads
from tests.workloads import burn, double

DEADLINE = 30.0


def result(future):
    """Return a future's result, which must come."""
    return future.result(DEADLINE)


@pytest.fixture
def submit(backend):
    """Submit a call of a function on a backend."""

    def call(function, /, *args, **kwargs):
        return parallel(function, backend=backend).submit(*args, **kwargs)

    return call


def test_future_is_the_standard_librarys_when_submitted(submit):
    """The future works with everything of concurrent.futures."""
    future = submit(double, 4)
    assert isinstance(future, Future)
    assert isinstance(future, concurrent.futures.Future)
    assert result(future) == 8
    assert future.done()
    assert future.exception() is None


def test_future_has_all_that_the_standard_librarys_has_when_it_is_new():
    """Its condition is made when it is asked for, one for all threads, and is no less a part of it."""
    ours, theirs = Future(), concurrent.futures.Future()
    assert vars(theirs).keys() - vars(ours).keys() == {"_condition"}
    assert [getattr(ours, name) for name in vars(theirs) if name != "_condition"] == [
        value for name, value in vars(theirs).items() if name != "_condition"
    ]
    with ThreadPoolExecutor(8) as pool:
        assert len({id(condition) for condition in pool.map(lambda _: ours._condition, range(100))}) == 1
    with ours._condition, ours._lock:  # one lock, that can be taken again
        ours.set_result(1)
    assert concurrent.futures.Future.result(ours) == 1


def test_future_can_be_waited_for_as_the_standard_librarys_when_it_ends_later():
    """Who waits by its base class's own method sleeps on the condition, and is woken."""
    future, waiting = Future(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(lambda: (waiting.set(), concurrent.futures.Future.result(future, 20)))
        waiting.wait(20)
        while not future._condition._waiters:
            time.sleep(1e-3)
        future.end(2, None)
        assert waiter.result(20)[1] == 2


def test_future_has_no_dict_of_its_own_when_it_has_ended(submit):
    """Two threads that have CPython 3.11 make one at the same time may crash it later."""
    future = submit(double, 4)
    concurrent.futures.wait([future], 20)
    assert result(future) == 8
    assert not [found for found in gc.get_referents(future) if type(found) is dict and "_state" in found]


MANY = """
    import gc
    from parallel_deco._future import Future
    first = [Future() for _ in range(40)]
    for name in set(vars(Future())) | {name for name, value in vars(Future).items() if value in (None, False, 0)}:
        future = Future()
        setattr(future, name, None)
        assert not [found for found in gc.get_referents(future) if type(found) is dict and name in found], name
"""


def test_futures_have_no_dict_when_many_were_made_before(run_program):
    """An attribute that none of the first had is known to all nevertheless."""
    assert run_program(MANY) == (0, "", "")


def test_future_can_be_looked_at_when_it_is_a_class():
    """Tools that go through its members, as mocks do, meet nothing that raises."""
    assert "submit" not in dict(inspect.getmembers(Future))
    assert mock.create_autospec(Future).result() is not None
    assert mock.Mock(spec=Future).done() is not None


def test_arguments_arrive_when_submitted(submit):
    """Positional and keyword arguments of any name arrive."""

    def collect(*args, **kwargs):
        return args, kwargs

    given_names = {"self": 1, "function": 2, "args": 3, "kwargs": 4, "backend": 5}
    assert result(submit(collect, 1, 2, a=3)) == ((1, 2), {"a": 3})
    assert result(submit(collect)) == ((), {})
    assert result(submit(collect, **given_names)) == ((), given_names)


def test_function_is_never_on_the_caller_when_submitted(backend, functions):
    """Whatever the backend, submit leaves the caller's thread alone."""
    place = parallel(functions.place, backend=backend)
    for _ in range(3):
        places = {result(future) for future in [place.submit() for _ in range(30)]}
        assert (os.getpid(), threading.get_ident()) not in places
        assert backend != "processes" or os.getpid() not in {process for process, _ in places}


def test_submit_returns_at_once_when_the_function_blocks(backend, functions, tmp_path):
    """The caller goes on while the calls wait for it."""
    gate = tmp_path / "gate"
    wait_for = parallel(functions.wait_for, backend=backend)
    futures = [wait_for.submit(str(gate)) for _ in range(4)]
    assert not any(future.done() for future in futures)
    gate.touch()
    assert [result(future) for future in futures] == [str(gate)] * 4


@pytest.mark.parametrize("count", [1, 2, 500])
def test_each_call_runs_once_when_many_are_submitted(backend, count, functions, tmp_path):
    """However many calls are queued, each runs exactly once, and each future has its own value."""
    marks = tmp_path / "marks"
    note = parallel(functions.note, backend=backend)
    futures = [note.submit(str(marks), number) for number in range(count)]
    assert [result(future) for future in futures] == list(range(count))
    assert sorted(map(int, marks.read_text().split())) == list(range(count))


@given(data=st.data())
@settings(max_examples=15, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_futures_equal_the_calls_when_anything_varies(backend, data, functions):
    """Values and errors are those of direct calls, whatever is submitted, and in whatever bursts."""
    numbers = data.draw(st.lists(st.integers(0, 30), max_size=60))
    width = data.draw(st.none() | st.integers(1, 4))
    function = parallel(functions.fails_on_odd, backend=backend, max_workers=width)
    futures = [function.submit(number) for number in numbers]
    shown = []
    for future in futures:
        error = future.exception(DEADLINE)
        shown.append(result(future) if error is None else error.args)
    assert shown == [(number,) if number % 2 else number for number in numbers]


def test_exception_is_the_functions_own_when_a_call_fails(submit, functions):
    """The future raises what the function raised."""
    with pytest.raises(ValueError, match="no 3") as caught:
        result(submit(functions.fails_on, 3, 3))
    assert caught.value.args == ("no 3",)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_exception_is_in_the_future_when_it_would_end_a_program(backend, kind):
    """Even these belong to the call; the workers live on."""

    def leave(x):
        if x:
            raise kind(5)
        return x

    function = parallel(leave, backend=backend)
    assert type(function.submit(1).exception(DEADLINE)) is kind
    assert result(function.submit(0)) == 0


def test_waiting_works_when_futures_are_mixed(backend):
    """`wait` and `as_completed` take futures of several functions."""
    futures = [parallel(double, backend=backend).submit(number) for number in range(10)]
    futures += [parallel(str, backend=backend).submit(number) for number in range(10)]
    done, missing = concurrent.futures.wait(futures, DEADLINE)
    assert (len(done), missing) == (20, set())
    values = {str(result(future)) for future in as_completed(futures, DEADLINE)}
    assert values == {str(2 * x) for x in range(10)} | {str(x) for x in range(10)}


def test_callback_is_called_when_done(submit):
    """A callback gets the future, whether it is added before or after the end."""
    called = concurrent.futures.Future()
    future = submit(double, 4)
    future.add_done_callback(called.set_result)
    assert called.result(DEADLINE) is future
    late = []
    future.add_done_callback(late.append)
    assert late == [future]


def test_callback_may_submit_when_done(backend):
    """A chain of submits, each from the callback of the one before, goes through."""
    function = parallel(double, backend=backend)
    end = concurrent.futures.Future()

    def go_on(future):
        value = future.result()
        if value >= 1024:
            end.set_result(value)
        else:
            function.submit(value).add_done_callback(go_on)

    function.submit(1).add_done_callback(go_on)
    assert end.result(DEADLINE) == 1024


def test_callback_may_wait_for_another_call_when_done(backend):
    """A callback that submits and waits does not block what it waits for."""
    function = parallel(double, backend=backend, max_workers=2)
    end = concurrent.futures.Future()

    def wait(future):
        end.set_result([function.submit(number).result(DEADLINE) for number in range(5)])

    function.submit(1).add_done_callback(wait)
    assert end.result(DEADLINE) == [0, 2, 4, 6, 8]


def test_callback_may_wait_for_any_other_call_when_many_are_queued(backend):
    """Also for one that was queued behind its own, and may have run in the same batch."""
    function = parallel(lambda count: sum(range(count)), backend=backend)
    expected = sum(range(3000))
    for _ in range(200):
        assert result(function.submit(3000)) == expected
    futures, heard = [], []
    queued = threading.Event()
    main = threading.main_thread()  # where a callback is called at once if its call has ended already

    def wait_for_next(number):
        if threading.current_thread() is not main:
            queued.wait(DEADLINE)
        heard.append(futures[min(number + 1, len(futures) - 1)].result(DEADLINE))

    for number in range(300):
        futures.append(function.submit(3000))
        if number % 10 == 3:
            futures[-1].add_done_callback(lambda _, number=number: wait_for_next(number))
    queued.set()
    assert not concurrent.futures.wait(futures, DEADLINE).not_done
    parallel_deco.shutdown()  # the last callback may still be on its way
    assert heard == [expected] * 30


def test_future_can_be_awaited_when_on_an_event_loop(backend):
    """`await`, gather and timeouts work, and the loop goes on meanwhile."""

    async def main():
        function = parallel(double, backend=backend)
        first = await function.submit(1)
        rest = await asyncio.gather(*(function.submit(number) for number in range(20)))
        async with asyncio.timeout(DEADLINE):
            last = await function.submit(50)
        return first, rest, last

    assert asyncio.run(main()) == (2, [2 * x for x in range(20)], 100)


def test_loop_runs_on_when_a_call_blocks(elsewhere, functions, tmp_path):
    """The event loop itself opens the gate that the call waits for."""
    gate = tmp_path / "gate"

    async def main():
        future = parallel(functions.wait_for, backend=elsewhere).submit(str(gate))
        waiting = asyncio.ensure_future(_awaited(future))
        await asyncio.sleep(0)
        gate.touch()
        return await waiting

    assert asyncio.run(main()) == str(gate)


async def _awaited(future):
    return await future


def test_exception_is_raised_when_awaited(backend, functions):
    """Awaiting a failed call raises its exception."""

    async def main():
        await parallel(functions.fails_on, backend=backend).submit(1, 1)

    with pytest.raises(ValueError, match="no 1"):
        asyncio.run(main())


def test_nested_submits_end_when_each_waits_for_the_next(backend, functions):
    """A chain of calls that wait for one another is as deep as one likes, even of one worker."""
    with config(backend=backend, max_workers=1):
        assert result(functions.count_down.submit(12)) == 12
        assert [result(f) for f in [functions.count_down.submit(n) for n in range(6)]] == list(range(6))


def test_nested_submits_end_when_they_branch(backend):
    """A tree of calls that wait for their branches ends."""

    @parallel(backend=backend)
    def fibonacci(n):
        if n < 2:
            return n
        futures = [fibonacci.submit(n - 1), fibonacci.submit(n - 2)]
        return sum(future.result() for future in futures)

    assert result(fibonacci.submit(7)) == 13


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shared": True},
        {"backend": "threads"},
        {"backend": "threads", "max_workers": 1},
        {"backend": "threads", "timeout": DEADLINE},
    ],
)
def test_calls_end_when_each_waits_for_the_one_before(options):
    """Calls begin in the order in which they were submitted, and a future ends with its call, whatever else waits."""

    @parallel(**options)
    def step(before):
        return sum(range(20)) and (0 if before is None else before.result(DEADLINE)) + 1

    for _ in range(100):
        assert result(step.submit(None)) == 1
    last = None
    for _ in range(1000):
        last = step.submit(last)
    assert result(last) == 1000


count = 0


@pytest.mark.parametrize("width", [None, 2])
def test_calls_end_when_each_waits_for_the_one_before_and_takes_its_turn(width):
    """Of calls that write outside themselves none has a place while another one waits for it."""

    def step(before):
        global count
        count += 1
        return (0 if before is None else before.result(DEADLINE)) + 1

    for _ in range(20):
        function = parallel(step, max_workers=width)
        last = None
        for number in range(100):
            last = function.submit(last)
            if not number:
                result(last)
        assert result(last) == 100


def test_calls_end_when_each_waits_for_the_one_before_and_cannot_be_sent():
    """Calls that were gathered for a process, and turn out to hold what cannot travel, begin one by one here."""

    @parallel(backend=lambda explanation: "processes", shared=False)
    def step(before, weight):
        return (0 if before is None else before.result(DEADLINE)) + sum([weight]) // weight

    for _ in range(3):
        futures = [step.submit(None, 5000) for _ in range(300)]
        assert [result(future) for future in futures] == [1] * 300
    last = None
    for _ in range(300):
        last = step.submit(last, 5000)
    assert result(last) == 300


def test_others_end_when_one_of_many_takes_long():
    """However short calls have been so far, none waits for a long one, not even one that was queued behind it."""
    gate, begun = threading.Event(), threading.Event()

    def call(number):
        if number == 5200:
            begun.set()
            gate.wait(2 * DEADLINE)
        return sum(range(300))

    function = parallel(call, shared=True, max_workers=2)
    for _ in range(5):
        for future in [function.submit(5000) for _ in range(100)]:
            result(future)
    futures = {number: function.submit(number) for number in range(5000, 7000)}
    assert begun.wait(DEADLINE)
    late = futures.pop(5200)
    missing = concurrent.futures.wait(futures.values(), DEADLINE).not_done
    gate.set()
    assert not missing
    assert result(late) == sum(range(300))


def test_submits_may_come_from_many_threads_when_they_share_a_function(backend):
    """Eight threads submit at once; nothing is lost or mixed."""
    function = parallel(double, backend=backend)
    start = threading.Barrier(8, timeout=DEADLINE)

    def one(number):
        start.wait()
        return [result(future) for future in [function.submit(number + x) for x in range(100)]]

    with ThreadPoolExecutor(8) as executor:
        results = list(executor.map(one, range(8)))
    assert results == [[2 * (number + x) for x in range(100)] for number in range(8)]


def test_calls_run_at_the_same_time_when_they_wait_for_one_another():
    """Calls on threads meet at a barrier; under auto too, although nothing is known of the function."""
    for backend in ("threads", "auto"):
        for count in (2, 4, 10, 20):
            barrier = threading.Barrier(count, timeout=DEADLINE)
            function = parallel(barrier.wait, backend=backend)
            assert sorted(result(future) for future in [function.submit() for _ in range(count)]) == list(range(count))


@pytest.mark.parametrize("options", [{"shared": True}, {"backend": "threads"}])
def test_calls_meet_when_they_only_computed_before(options):
    """A function that is known as computing has few places; more come when its calls wait for those without one."""
    barrier = None

    def part(count):
        total = sum(range(count))
        if barrier is not None:
            barrier.wait()
        return total

    function = parallel(part, **options)
    for _ in range(3):
        for future in [function.submit(20_000) for _ in range(30)]:
            result(future)
    barrier = threading.Barrier(16, timeout=DEADLINE)
    for future in [function.submit(20_000) for _ in range(16)]:
        result(future)


@pytest.mark.parametrize("options", [{"shared": True}, {"shared": True, "max_workers": 20}])
def test_calls_meet_when_they_computed_beside_each_other_before(options):
    """Without the GIL they have as many places as there are CPUs; `max_workers` says how many they may have."""
    barrier = None
    block = bytes(4_000_000)

    def part(_):
        digest = hashlib.sha256(block).digest()
        if barrier is not None:
            barrier.wait()
        return digest

    function = parallel(part, **options)
    for _ in range(3):
        for future in [function.submit(number) for number in range(30)]:
            result(future)
    barrier = threading.Barrier(16, timeout=DEADLINE)
    for future in [function.submit(number) for number in range(16)]:
        result(future)


def test_calls_meet_when_they_are_inside_of_others():
    """Nothing is known of them, and inside of parallel work there is one place for computing."""

    def outer(count):
        inner = parallel(threading.Barrier(count, timeout=DEADLINE).wait, shared=True)
        return sorted(result(future) for future in [inner.submit() for _ in range(count)])

    function = parallel(outer, shared=True)
    for count in (2, 8, 16):
        assert result(function.submit(count)) == list(range(count))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2 or not gil_enabled(), reason="here, it stays")
def test_second_call_goes_elsewhere_when_the_first_computes_for_long():
    """Nothing is known of the function; the first call is looked at while it runs, and the second finds its way."""
    function = parallel(burn)
    futures = [function.submit(0.5) for _ in range(2)]
    assert result(futures[1]) != os.getpid()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="on one CPU, one computes at a time")
def test_second_call_does_not_wait_when_the_first_waits_for_it():
    """A call that computes until another one has run, which it shares memory with, is not left alone with that."""
    event = threading.Event()

    def call(first):
        while first and not event.is_set():
            sum(range(100))
        event.set()
        return first

    function = parallel(call)
    assert [result(future) for future in [function.submit(first) for first in (True, False)]] == [True, False]


def test_no_more_run_at_once_than_max_workers_when_submitted():
    """Never are more calls of a function running than its `max_workers`."""
    running, most = 0, 0
    lock = threading.Lock()

    def count(x):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1
        return x

    for backend in ("threads", "auto"):
        most = 0
        function = parallel(count, backend=backend, max_workers=2)
        assert [result(f) for f in [function.submit(x) for x in range(60)]] == list(range(60))
        assert most <= 2


@pytest.mark.parametrize("options", [{"backend": "threads"}, {"shared": True}])
def test_max_workers_holds_when_calls_are_of_all_sizes(options):
    """What is measured apart, for the size of its arguments, runs within the same bound."""
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

    arguments = [1, 1000, 10**6, 10**9, "x" * 5, "x" * 1000, "x" * 10**6] * 30
    for width in (1, 2):
        most = 0
        function = parallel(count, max_workers=width, **options)
        assert [result(f) for f in [function.submit(x) for x in arguments]] == arguments
        assert most <= width


@pytest.mark.parametrize("options", [{"backend": "threads"}, {"shared": True}])
def test_calls_begin_in_order_when_calls_of_all_sizes_share_one_place(options):
    """Each waits for the one before, which is of another size: it was submitted first, so it begins first."""

    @parallel(max_workers=1, **options)
    def step(before, size):
        return size and (0 if before is None else before.result(DEADLINE)) + 1

    for size in (1, 10**4, 10**8):
        for _ in range(100):
            assert result(step.submit(None, size)) == 1
    last = None
    for number in range(600):
        last = step.submit(last, (1, 10**4, 10**8)[number % 3])
    assert result(last) == 600


# Cancelling.


def test_waiting_call_never_runs_when_cancelled(backend, functions, tmp_path):
    """Of calls behind a blocked one, those that are cancelled do not run."""
    gate, marks = tmp_path / "gate", tmp_path / "marks"

    def work(path, x):
        return functions.wait_for(str(gate)) and functions.note(path, x)

    function = parallel(work, backend=backend, max_workers=1)
    futures = [function.submit(str(marks), number) for number in range(10)]
    cancelled = [future.cancel() for future in futures[1:]]
    gate.touch()
    kept = [future for future, gone in zip(futures[1:], cancelled, strict=True) if not gone]
    values = [result(future) for future in [futures[0], *kept]]
    assert sum(cancelled) >= 7
    assert sorted(map(str, values)) == sorted(marks.read_text().split())
    for future in futures[1:]:
        if future.cancelled():
            with pytest.raises(CancelledError):
                future.result(DEADLINE)


def test_running_call_is_ended_when_cancelled_in_a_process(functions, tmp_path, until):
    """On processes, cancelling ends a running call, its worker is replaced, and others are not touched."""
    started = tmp_path / "started"
    function = parallel(functions.touch_and_wait, backend="processes", max_workers=2)
    future = function.submit(str(started), str(tmp_path / "never"))
    until(started.exists)
    assert future.cancel()
    assert future.cancelled()
    assert result(function.submit(str(started), str(tmp_path))) == str(tmp_path)


def test_running_call_goes_on_when_cancelled_in_a_thread(functions, tmp_path, until):
    """A running thread cannot be ended, and `cancel` says so."""
    started, gate = tmp_path / "started", tmp_path / "gate"
    future = parallel(functions.touch_and_wait, backend="threads").submit(str(started), str(gate))
    until(started.exists)
    assert not future.cancel()
    gate.touch()
    assert result(future) == str(gate)


def test_await_ends_when_a_call_raises_stop_iteration(backend):
    """No coroutine may raise that, and before Python 3.13 no future of asyncio's would ever end with it."""
    future = parallel(next, backend=backend).submit(iter([]))
    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(asyncio.wait_for(_awaited(future), 20))
    with pytest.raises(StopIteration):
        future.result(20)


def test_cancelled_await_cancels_the_call_when_it_waits(functions, tmp_path, until):
    """A task that is cancelled while it awaits a call takes the call with it, where that can be."""
    started = tmp_path / "started"

    async def main():
        future = parallel(functions.touch_and_wait, backend="processes").submit(str(started), str(tmp_path / "never"))
        task = asyncio.ensure_future(_awaited(future))
        await asyncio.to_thread(until, started.exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return future

    assert asyncio.run(main()).cancelled()


# What cannot travel.


@pytest.mark.parametrize("where", ["argument", "closure", "result"])
def test_error_names_what_is_stuck_when_processes_were_chosen(where):
    """An explicit "processes" does not fall back; the error names the culprit and where it sits."""
    lock = threading.Lock()

    def function(lock=None):
        return lock

    def closure():
        return lock.locked()

    def maker():
        return threading.Lock()

    if where == "argument":
        future = parallel(function, backend="processes").submit(lock=lock)
    elif where == "closure":
        future = parallel(closure, backend="processes").submit()
    else:
        future = parallel(maker, backend="processes").submit()
    error = future.exception(DEADLINE)
    assert isinstance(error, NotPicklableError)
    assert isinstance(error, TypeError)
    assert "lock" in str(error)
    if where == "argument":
        assert "argument 'lock': _thread.lock" in str(error)


def test_call_stays_here_when_auto_cannot_send_it(functions):
    """Auto runs here what cannot travel, and gives the very objects back."""
    lock = threading.Lock()

    def compute(_):
        sum(range(200_000))
        return lock

    function = parallel(compute)
    futures = [function.submit(number) for number in range(30)]
    assert {id(result(future)) for future in futures} == {id(lock)}
    assert set(map(id, function.map(range(30)))) == {id(lock)}


# Beginning and end.


def test_submit_works_again_when_shut_down_before(backend):
    """`shutdown` lets submitted calls end, and the next submit starts new workers."""
    function = parallel(double, backend=backend)
    for _ in range(3):
        futures = [function.submit(number) for number in range(20)]
        parallel_deco.shutdown()
        assert [future.done() for future in futures] == [True] * 20
        assert [future.result() for future in futures] == [2 * x for x in range(20)]


def test_futures_end_when_shut_down_without_waiting(elsewhere, functions, tmp_path, until):
    """`shutdown(wait=False, cancel_futures=True)` returns at once, and no future is left without an end."""
    gate = tmp_path / "gate"
    function = parallel(functions.wait_for, backend=elsewhere, max_workers=1)
    futures = [function.submit(str(gate)) for _ in range(5)]
    parallel_deco.shutdown(wait=False, cancel_futures=True)
    gate.touch()
    done, missing = concurrent.futures.wait(futures, DEADLINE)
    assert missing == set()
    assert any(future.cancelled() for future in done)
    until(lambda: not any(thread.name.startswith("parallel_deco-") for thread in threading.enumerate()))


def test_shutdown_is_refused_when_inside_a_call(backend):
    """It would wait for the call that it is in; or, further down, for one that waits for that."""

    def stop(levels):
        if levels:
            return parallel(stop, backend="threads").submit(levels - 1).result()
        parallel_deco.shutdown()
        return None

    function = parallel(stop, backend=backend)
    for levels in (0, 2):
        with pytest.raises(parallel_deco.ParallelError, match="inside a parallel call"):
            result(function.submit(levels))


def test_shutdown_waits_for_the_others_when_in_a_callback(backend):
    """A callback is no part of the call: it may end the workers, and all that was submitted ends first."""
    function = parallel(double, backend=backend)
    gone = concurrent.futures.Future()

    def stop(_):
        parallel_deco.shutdown()
        gone.set_result([future.done() for future in futures])

    futures = [function.submit(number) for number in range(20)]
    futures[5].add_done_callback(stop)
    assert gone.result(DEADLINE) == [True] * 20
    assert result(function.submit(4)) == 8


def test_future_lets_go_of_arguments_when_done(backend):
    """A finished future keeps its result and nothing else."""

    class Argument:
        pass

    if backend == "processes":
        pytest.skip("the object would have to travel")
    argument = Argument()
    alive = weakref.ref(argument)
    future = parallel(lambda _: 1, backend=backend).submit(argument)
    assert result(future) == 1
    parallel_deco.shutdown()
    del argument
    gc.collect()
    assert alive() is None


def test_context_is_the_callers_when_submitted(backend):
    """A call sees the context variables as they were when it was submitted."""
    read = parallel(lambda _: workloads.VARIABLE.get(), backend=backend)
    futures = []
    for value in ("one", "two", "three"):
        token = workloads.VARIABLE.set(value)
        futures += [read.submit(number) for number in range(5)]
        workloads.VARIABLE.reset(token)
    counts = collections.Counter(result(future) for future in futures)
    assert counts == {"one": 5, "two": 5, "three": 5}


@pytest.mark.parametrize("backend", ["threads", "auto"])
def test_context_is_the_callers_when_the_call_before_has_set_something(backend):
    """Calls that one thread takes one after the other do not see what each other has set."""

    def call(number):
        before = workloads.VARIABLE.get()
        workloads.VARIABLE.set(number)
        return before

    function = parallel(call, backend=backend, max_workers=1, shared=None if backend == "threads" else True)
    assert {result(future) for future in [function.submit(number) for number in range(200)]} == {"default"}


def test_callback_may_wait_for_a_later_call_when_one_cannot_be_sent():
    """It is not called by who has yet to start that call, the reader of a worker for one."""
    function = parallel(time.sleep, backend="processes", max_workers=1)
    told = collections.deque()
    first, stuck = function.submit(0.1), function.submit(threading.Lock())
    stuck.add_done_callback(lambda _: told.append(result(last)))
    last = function.submit(0)
    assert [result(future) for future in (first, last)] == [None, None]
    with pytest.raises(TypeError):
        result(stuck)


def test_arguments_are_let_go_without_the_collector_when_a_call_has_ended(until):
    """A short call that a worker process ran leaves no circle behind."""

    function = parallel(id, backend="processes", max_workers=1)
    for _ in range(3):
        for future in [function.submit(-1) for _ in range(100)]:
            result(future)
    alive = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            argument = workloads.Elementwise(1)
            alive.append(weakref.ref(argument))
            result(function.submit(argument))
        del argument
        until(lambda: all(argument() is None for argument in alive))
    finally:
        gc.enable()


def test_evidence_is_shared_when_map_follows_submit(backend):
    """What submits have measured counts for `explain` and for the next map."""
    function = parallel(double, backend=backend)
    for future in [function.submit(number) for number in range(20)]:
        result(future)
    assert function.explain().readings.items >= 1
    assert list(itertools.islice(function.map(range(100)), 5)) == [0, 2, 4, 6, 8]


def test_neighbours_run_when_one_argument_is_stuck():
    """Of many calls that are queued, only the one with the unpicklable argument fails."""
    function = parallel(double, backend="processes", max_workers=1)
    assert [result(future) for future in [function.submit(1) for _ in range(20)]] == [2] * 20
    for _ in range(3):
        futures = [function.submit(threading.Lock() if number == 25 else number) for number in range(50)]
        errors = [future.exception(DEADLINE) for future in futures]
        assert [number for number, error in enumerate(errors) if error is not None] == [25]
        assert isinstance(errors[25], NotPicklableError)


def test_context_values_are_not_compared_when_calls_are_gathered(backend):
    """Values of context variables may be anything: nobody asks whether they are equal."""
    function = parallel(lambda _: workloads.VARIABLE.get().value, backend=backend)
    futures = []
    for number in range(40):
        token = workloads.VARIABLE.set(workloads.Elementwise(number))
        futures.append(function.submit(number))
        workloads.VARIABLE.reset(token)
    assert [result(future) for future in futures] == list(range(40))


def test_mapping_goes_on_when_a_context_value_cannot_be_compared(backend):
    """The same of a map whose caller sets such a variable while it takes results."""
    token = workloads.VARIABLE.set(workloads.Elementwise(0))
    try:
        taken = []
        for value in parallel(double, backend=backend).map(range(30_000)):
            taken.append(value)
            if not value % 1000:
                workloads.VARIABLE.set(workloads.Elementwise(1))
        assert taken == [2 * x for x in range(30_000)]
    finally:
        workloads.VARIABLE.reset(token)


def test_callables_are_not_compared_when_calls_are_gathered(backend):
    """A callable object may refuse to be compared."""

    class Odd:
        def __call__(self, x):
            return x + 1

        __hash__ = object.__hash__

        def __eq__(self, other):
            raise RuntimeError("compared")

    function = parallel(Odd(), backend=backend)
    assert [result(future) for future in [function.submit(x) for x in range(60)]] == list(range(1, 61))


MARK = contextvars.ContextVar("mark", default=0)


def test_calls_come_out_right_when_they_are_too_short_to_be_measured(backend, until):
    """Values, errors and their tracebacks, context, depth and callbacks, of the thousandth call as of the first."""

    def tiny(x):
        before = MARK.get()
        MARK.set(-1)
        if x % 7 == 3:
            raise ValueError(x)
        return x, before

    function, heard = parallel(tiny, backend=backend, shared=False), []
    for x in range(1000):
        token = MARK.set(x)
        future = function.submit(x)
        future.add_done_callback(heard.append)
        if x % 7 == 3:
            error = future.exception(DEADLINE)
            assert type(error) is ValueError
            assert error.args == (x,)
            if backend != "processes":
                assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["tiny"]
        else:
            assert result(future) == (x, x)
        assert MARK.get() == x
        MARK.reset(token)
    until(lambda: len(heard) == 1000)  # who waits for a result may be told before the callbacks


@pytest.fixture
def known(functions, until):
    """Return a function of the importable ones that is known to be short, so that its calls are not measured."""

    def make(name):
        function = parallel(getattr(functions, name), backend="processes")

        def is_quick():
            before = function.explain().readings.items
            for _ in range(80):
                result(function.submit(1))
            return before and function.explain().readings.items - before < 40

        until(is_quick)  # on a busy machine a call may seem to be long
        return function

    return make


def test_calls_that_are_not_measured_fail_alone_when_they_cannot_be_sent(known):
    """The call that cannot be sent fails, says what it is, and gives its place back."""
    function = known("double")
    for _ in range(10):
        with pytest.raises(NotPicklableError, match="lock"):
            result(function.submit(threading.Lock()))
        assert result(function.submit(4)) == 8


def test_calls_that_are_not_measured_fail_alone_when_results_cannot_come_back(known):
    """The call whose result cannot be pickled fails and gives its place back."""
    function = known("lock_on_three")
    for _ in range(10):
        with pytest.raises(NotPicklableError):
            result(function.submit(3))
        assert result(function.submit(4)) == 4


def test_calls_that_are_not_measured_fail_alone_when_workers_die(known):
    """The call that ended its worker fails with WorkerDied; those after it run in another."""
    function = known("exit_on_three")
    for _ in range(5):
        with pytest.raises(parallel_deco.WorkerDied):
            result(function.submit(3))
        assert result(function.submit(4)) == 4


def test_calls_that_are_not_measured_are_ended_when_cancelled(known, functions, tmp_path, until):
    """Cancelling one that takes long after all kills its worker, and gives its place back."""
    function = known("touch_or_double")
    for number in range(3):
        started = tmp_path / str(number)
        # One in sixteen is measured; it comes out the same.
        future = function.submit(str(started))
        until(started.exists)
        assert future.cancel()
        with pytest.raises(CancelledError):
            result(future)
        assert [result(function.submit(x)) for x in range(4)] == [0, 2, 4, 6]


def test_calls_that_are_not_measured_may_be_waited_for_in_callbacks(known):
    """A callback may submit to the same function and wait: it is not called by who must bring the result."""
    function, seen = known("double"), []
    futures = [function.submit(x) for x in range(20)]
    for future in futures:
        future.add_done_callback(lambda done: seen.append(result(function.submit(done.result()))))
    assert [result(future) for future in futures] == [2 * x for x in range(20)]
    parallel_deco.shutdown()
    assert sorted(seen) == [4 * x for x in range(20)]


def test_width_holds_when_many_threads_submit_short_calls(backend):
    """Never more at once than `max_workers`; every call runs once."""
    lock, ran, inside, most = threading.Lock(), collections.Counter(), 0, 0

    def short(x):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        ran[x] += 1
        with lock:
            inside -= 1

    if backend == "processes":
        pytest.skip("the counters are here")
    function = parallel(short, backend=backend, max_workers=2, shared=backend == "auto" or None)

    def many(first):
        for x in range(first, first + 500):
            result(function.submit(x))

    threads = [threading.Thread(target=many, args=(first,)) for first in range(0, 2000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ran == collections.Counter(range(2000))
    assert most <= 2


def test_calls_are_measured_again_when_they_become_long(until):
    """A function that was too short to be looked at is found out when it begins to wait.

    Not at once where other programs have the CPUs: then it may be they that it waits for.
    """
    pause = 0.0

    def changing(x):
        if pause:
            time.sleep(pause)
        return x

    function = parallel(changing, shared=False)
    for x in range(300):
        assert result(function.submit(x)) == x
    pause = 2e-3

    def is_found_out():
        concurrent.futures.wait([function.submit(x) for x in range(300)])
        return function.explain().readings.wall > 50e-6

    until(is_found_out)


def test_argument_may_change_when_it_is_submitted():
    """Its size is looked at while other threads change it."""
    table = {}
    function = parallel(lambda shared, x: shared.__setitem__(x, x), backend="threads")
    concurrent.futures.wait([function.submit(table, x) for x in range(10_000)])
    assert len(table) == 10_000


class Counting:
    """Counts how often it is asked for something, which two threads must not do at once."""

    def __init__(self):
        self.asked = 0

    def __getitem__(self, _):
        asked = self.asked
        time.sleep(0)
        self.asked = asked + 1
        return asked


def test_calls_take_turns_when_a_short_known_function_gets_an_argument_that_changes():
    """What it was called with before could be read at once."""
    function = parallel(lambda source: source[0])
    for _ in range(40):
        assert [function.submit((x,)).result() for x in range(5)] == list(range(5))
    source = Counting()
    assert sorted(call.result() for call in [function.submit(source) for _ in range(300)]) == list(range(300))
    assert source.asked == 300


def test_other_calls_end_when_a_callback_exits(monkeypatch, until):
    """A callback that raises SystemExit takes no other call of its batch along; the thread's hook hears of it."""
    function = parallel(lambda text: time.sleep(50e-6), backend="threads", max_workers=1)
    for _ in range(100):
        result(function.submit("a"))
    main = threading.main_thread()  # where the callback runs at once if the call has ended already
    called, heard = [], []
    monkeypatch.setattr(threading, "excepthook", lambda args: heard.append(args.exc_type))

    def leave(_):
        here = threading.current_thread()
        called.append(here)
        if here is not main:
            sys.exit()

    futures = [function.submit("a") for _ in range(300)]
    for future in futures:
        future.add_done_callback(leave)
    assert not concurrent.futures.wait(futures, DEADLINE).not_done
    until(lambda: len(called) == 300)
    if set(called) != {main}:
        until(lambda: heard)
    time.sleep(0.01)  # the last one may be on its way
    assert set(heard) <= {SystemExit}


def test_callbacks_are_called_when_the_next_call_cannot_be_started():
    """What goes wrong in starting another call is that one's."""
    heard = []

    def ended(_):
        raise RuntimeError("no more threads")

    future = Future()
    future.add_done_callback(heard.append)
    call = Call(future, double, (2,), {}, contextvars.copy_context(), 1)
    future.set_running_or_notify_cancel()
    batch = Batch(double, [((2,), {})], Shape.CALL)
    with pytest.raises(RuntimeError, match="no more threads"):
        Shift(call, batch, lambda: None, 0.0, threading.Lock(), ended)()
    assert (heard, future.result(0)) == ([future], 4)


def test_future_is_cancelled_when_an_interrupt_comes_while_its_place_is_given_on():
    """Its call was ended: nobody else would ever end the future."""

    class Ended:
        kills = True

        def cancel(self, kill=False):
            return kill

    def freed():
        raise KeyboardInterrupt

    future = Future()
    future.set_running_or_notify_cancel()
    future.killed_by(killer(Ended(), freed))
    with pytest.raises(KeyboardInterrupt):
        future.cancel()
    assert future.cancelled()
    with pytest.raises(CancelledError):
        future.result(0)


ORDERED: list[int] = []


def takes_its_turn(x):
    """Have an effect that depends on all that were before."""
    before = len(ORDERED)
    burn(2e-4)
    ORDERED.append(x)
    ORDERED[:] = [*ORDERED[: before + 1]]
    return before


@pytest.mark.parametrize("known", [False, True])
def test_calls_run_in_order_when_they_take_turns_and_are_of_all_sizes(known):
    """What f(10) costs says nothing of f(10**9), but the one that was submitted first has its effect first."""
    function = parallel(takes_its_turn)
    numbers = [x * 10 ** (x % 19) for x in range(60)]
    if known:
        wait_all(function.submit(x) for x in numbers)
    ORDERED.clear()
    assert [task.result() for task in [function.submit(x) for x in numbers]] == list(range(60))
    assert numbers == ORDERED


def wait_all(tasks):
    """Wait for the results of tasks."""
    return [task.result() for task in [*tasks]]


def test_no_time_is_waited_when_the_timeout_is_no_number():
    """As the futures of the standard library have it."""
    release = threading.Event()
    task = parallel(release.wait).submit(DEADLINE)
    with pytest.raises(TimeoutError):
        task.result(float("nan"))
    release.set()
    assert task.result(DEADLINE)


def thread_after(gate):
    """Return the number of the thread, when a gate is open."""
    if gate is not None:
        assert gate.wait(DEADLINE)
    return threading.get_ident()


def in_one_thread(known):
    """Return that function for one thread, called often enough to be known, or never."""
    function = parallel(thread_after, backend="threads", max_workers=1)
    for _ in range(3 * KNOWN if known else 0):
        function.submit(None).result(DEADLINE)
    return function


@pytest.mark.parametrize("known", [False, True])
def test_thread_goes_on_with_the_next_call_when_one_has_ended(known):
    """To wake another takes 50 to 100 µs of CPU time, of which a call that waits has no need."""
    function, gate = in_one_thread(known), threading.Event()
    first = function.submit(gate)
    futures = [function.submit(None) for _ in range(30)]
    gate.set()
    assert {future.result(DEADLINE) for future in futures} == {first.result(DEADLINE)}


@pytest.mark.parametrize("known", [False, True])
def test_callback_may_wait_for_the_next_call_when_its_thread_has_that(known):
    """Then another thread calls it."""
    function, gate = in_one_thread(known), threading.Event()
    first, heard = function.submit(gate), threading.Event()
    second = function.submit(None)

    def wait_for_it(_):
        second.result(DEADLINE)
        heard.set()

    first.add_done_callback(wait_for_it)
    gate.set()
    assert heard.wait(DEADLINE)


def test_few_of_many_short_waits_are_measured():
    """Each future has its own result, and what was read is of one call, not of those that a thread ran together."""
    function = parallel(lambda number: time.sleep(2e-3) or number, backend="threads")
    for _ in range(3):
        futures = [function.submit(number) for number in range(60)]
        assert [future.result(DEADLINE) for future in futures] == list(range(60))
    seen = function.explain().readings
    assert seen.items >= 30
    assert 1.5e-3 < seen.wall < 1.0
