"""What CPython's own tests expect of an executor and its futures, asked of `submit` and `map` on every backend.

After ``Lib/test/test_concurrent_futures`` of CPython: order, cancelling, callbacks, `wait`, `as_completed`, exceptions
and what a failing start does. Written anew, with the library's own words.
"""

import concurrent.futures
import gc
import importlib
import itertools
import os
import sys
import threading
import time
import traceback
import types
import weakref
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, InvalidStateError

import pytest

from parallel_deco import NotPicklableError, ParallelError, WorkerDied, parallel
from parallel_deco._cpus import available_cpus, gil_enabled
from parallel_deco.backends import launch

DEADLINE = 30.0


def power(base, exponent):
    """Compute, with arguments that have names."""
    return base**exponent


def wait_for(path):
    """Wait for a file to appear."""
    while not os.path.exists(path):
        time.sleep(0.001)
    return path


def wait_and_fail(path):
    """Wait for a file to appear, and fail."""
    raise ValueError(wait_for(path))


@pytest.fixture
def gate(tmp_path):
    """A file that opens what waits for it."""
    return tmp_path / "gate"


@pytest.fixture
def busy(elsewhere, gate):
    """A function with one place, which is taken until the gate opens: further calls wait."""
    function = parallel(wait_for, backend=elsewhere, max_workers=1)
    running = function.submit(str(gate))
    yield function, running
    gate.touch()
    concurrent.futures.wait([running], DEADLINE)


# Executors.


def test_keywords_arrive_when_submitted(backend):
    """By position, by name, and mixed."""
    function = parallel(power, backend=backend)
    calls = [function.submit(2, 8), function.submit(2, exponent=8), function.submit(base=2, exponent=8)]
    assert [call.result(DEADLINE) for call in calls] == [256] * 3


def test_map_is_in_order_when_later_items_are_quicker(elsewhere):
    """The order is that of the input, not that in which items end."""
    assert list(parallel(_nap, backend=elsewhere, max_workers=2).map([0.2, 0.0, 0.1, 0.0])) == [0.2, 0.0, 0.1, 0.0]


def _nap(seconds):
    time.sleep(seconds)
    return seconds


def test_map_raises_where_the_item_failed(backend):
    """The results before it come first."""
    results = parallel(divmod, backend=backend).map([1, 1, 1, 1], [2, 3, 0, 5])
    assert [next(results), next(results)] == [(0, 1), (0, 1)]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_nothing_refers_to_arguments_and_results_when_done(elsewhere):
    """Neither the pool's threads nor its futures keep the last call's objects."""

    class Token:
        """Something that can be referred to weakly, and pickled."""

    token = Token()
    seen = weakref.ref(token)
    future = parallel(lambda x: None, backend=elsewhere).submit(token)
    future.result(DEADLINE)
    del token
    until(lambda: gc.collect() is not None and seen() is None)


def test_results_may_go_when_they_were_yielded(backend):
    """A map keeps no result that the user has taken and dropped."""
    results = parallel(lambda x: _Result(), backend=backend).map(range(3))
    seen = weakref.ref(next(results))
    next(results)
    until(lambda: gc.collect() is not None and seen() is None)
    results.close()


class _Result:
    """Something that can be referred to weakly."""


def until(condition):
    """Wait for a condition that another thread brings about."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.001)


def test_many_threads_may_start_when_they_do_it_at_once(elsewhere):
    """The first workers are asked for by all at the same time."""
    function = parallel(power, backend=elsewhere, max_workers=2)
    barrier = threading.Barrier(8)
    results = []

    def ask(number):
        barrier.wait(DEADLINE)
        results.append(function.submit(number, 2).result(DEADLINE))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert sorted(results) == [number**2 for number in range(8)]


# Waiting.


def test_wait_returns_at_the_first_when_asked_to(busy):
    """One that is done is told from one that runs."""
    _, running = busy
    done = parallel(power, backend="threads").submit(2, 2)
    finished, pending = concurrent.futures.wait([done, running], DEADLINE, FIRST_COMPLETED)
    assert (finished, pending) == ({done}, {running})
    finished, pending = concurrent.futures.wait([done, running], DEADLINE, FIRST_COMPLETED)
    assert (finished, pending) == ({done}, {running})


def test_wait_returns_at_the_first_exception_when_asked_to(busy):
    """A result does not end the waiting, an exception does."""
    _, running = busy
    fine = parallel(power, backend="threads").submit(2, 2)
    wrong = parallel(power, backend="threads").submit(2, "x")
    finished, pending = concurrent.futures.wait([fine, wrong, running], DEADLINE, FIRST_EXCEPTION)
    assert wrong in finished
    assert pending >= {running}


def test_wait_ends_when_its_time_is_up(busy):
    """What is not done is returned as such."""
    _, running = busy
    done = parallel(power, backend="threads").submit(2, 2)
    done.result(DEADLINE)
    finished, pending = concurrent.futures.wait([done, running], 0.01, ALL_COMPLETED)
    assert (finished, pending) == ({done}, {running})


def test_wait_counts_cancelled_calls_as_done(busy, gate):
    """One that was cancelled before it ran is over."""
    function, running = busy
    waiting = function.submit(str(gate))
    assert waiting.cancel()
    finished, pending = concurrent.futures.wait([waiting, running], DEADLINE, FIRST_COMPLETED)
    assert (finished, pending) == ({waiting}, {running})


def test_as_completed_ends_with_timeout_error_when_nothing_comes(busy):
    """What was done before is yielded first."""
    _, running = busy
    done = parallel(power, backend="threads").submit(2, 2)
    done.result(DEADLINE)
    seen = []
    with pytest.raises(TimeoutError):
        seen.extend(concurrent.futures.as_completed([done, running], timeout=0.01))
    assert seen == [done]


def test_as_completed_yields_each_once_when_given_twice(elsewhere):
    """The same future, several times in the list."""
    future = parallel(power, backend=elsewhere).submit(2, 3)
    assert list(concurrent.futures.as_completed(itertools.repeat(future, 3), DEADLINE)) == [future]


# Futures.


def test_result_ends_with_timeout_error_when_it_takes_longer(busy):
    """Also with a time of zero; the call goes on."""
    _, running = busy
    for seconds in (0, 0.01):
        with pytest.raises(TimeoutError):
            running.result(timeout=seconds)
        with pytest.raises(TimeoutError):
            running.exception(timeout=seconds)
    assert running.running()
    assert not running.done()


def test_state_is_told_when_asked(busy, gate):
    """Of a call that waits, one that runs, one that was cancelled and one that is done."""
    function, running = busy
    waiting, dropped = function.submit(str(gate)), function.submit(str(gate))
    until(running.running)
    assert (waiting.running(), waiting.done(), waiting.cancelled()) == (False, False, False)
    assert dropped.cancel()
    assert dropped.cancel()  # again
    assert (dropped.running(), dropped.done(), dropped.cancelled()) == (False, True, True)
    gate.touch()
    assert waiting.result(DEADLINE) == str(gate)
    assert (waiting.running(), waiting.done(), waiting.cancelled()) == (False, True, False)
    assert not waiting.cancel()
    assert "finished" in repr(waiting)


def test_cancelled_future_raises_when_asked_for_its_result(busy, gate):
    """And so does the thread that was waiting for it."""
    function, _ = busy
    waiting = function.submit(str(gate))
    caught = []

    def ask():
        try:
            waiting.result(DEADLINE)
        except CancelledError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert waiting.cancel()
    thread.join(DEADLINE)
    assert len(caught) == 1
    with pytest.raises(CancelledError):
        waiting.exception(DEADLINE)


def test_callbacks_are_called_in_order_when_some_fail(busy, gate, caplog):
    """One that raises is logged, and the others are called."""
    function, _ = busy
    waiting = function.submit(str(gate))
    called, all_called = [], threading.Event()

    def fail(future):
        called.append("fails")
        raise RuntimeError("of the callback")

    waiting.add_done_callback(lambda future: called.append("first"))
    waiting.add_done_callback(fail)
    waiting.add_done_callback(lambda future: called.append(future.result()))
    waiting.add_done_callback(lambda future: all_called.set())
    gate.touch()
    assert all_called.wait(DEADLINE)
    assert called == ["first", "fails", str(gate)]
    assert "exception calling callback" in caplog.text


def test_callback_is_called_when_cancelled(busy, gate):
    """Once, with the future."""
    function, _ = busy
    waiting = function.submit(str(gate))
    called = []
    waiting.add_done_callback(called.append)
    assert waiting.cancel()
    assert called == [waiting]


def test_late_callback_that_fails_does_no_harm(backend, caplog):
    """Added to a future that is done, it is called at once, and what it raises is logged."""
    future = parallel(power, backend=backend).submit(2, 2)
    future.result(DEADLINE)

    def fail(future):
        raise RuntimeError("of the callback")

    future.add_done_callback(fail)
    assert "exception calling callback" in caplog.text


def test_outcome_stays_when_somebody_sets_another(backend):
    """As with every future of the standard library."""
    future = parallel(power, backend=backend).submit(2, 2)
    assert future.result(DEADLINE) == 4
    with pytest.raises(InvalidStateError):
        future.set_result(5)
    with pytest.raises(InvalidStateError):
        future.set_exception(ValueError())
    assert future.result() == 4


def test_traceback_names_the_line_when_a_call_fails(backend):
    """Where the function raised, wherever it ran, and the traceback is the same each time it is raised."""
    future = parallel(power, backend=backend).submit("x", 2)
    shown = []
    for _ in range(2):
        with pytest.raises(TypeError) as caught:
            future.result(DEADLINE)
        shown.append("".join(traceback.format_exception(caught.value)))
    assert "return base**exponent" in shown[0]
    assert shown[1].count("return base**exponent") == shown[0].count("return base**exponent")


def test_exception_chain_arrives_when_a_call_fails(backend):
    """With what it came from."""

    def fail():
        try:
            int("x")
        except ValueError as error:
            raise KeyError("outer") from error

    error = parallel(fail, backend=backend).submit().exception(DEADLINE)
    assert type(error) is KeyError
    text = "".join(traceback.format_exception(error))
    assert "invalid literal" in text
    assert "outer" in text


# Workers that fail.


def test_neighbours_are_kept_when_a_worker_dies_in_a_map(functions):
    """`concurrent.futures` breaks the whole pool; here it costs one item, and the pool lives."""
    function = parallel(functions.exit_on_three, backend="processes", max_workers=2)
    outcomes = list(function.map(range(8), return_exceptions=True))
    assert type(outcomes.pop(3)) is WorkerDied
    assert outcomes == [0, 1, 2, 4, 5, 6, 7]
    assert function.submit(1).result(DEADLINE) == 1


def test_death_is_a_broken_executor_when_caught_as_one(functions):
    """Code that was written for the standard library's executors goes on to work."""
    future = parallel(functions.exit_on_three, backend="processes").submit(3)
    with pytest.raises(concurrent.futures.BrokenExecutor):
        future.result(DEADLINE)


class ExitsWhenUnpickled:
    """Ends the worker that receives it."""

    def __reduce__(self):
        return os._exit, (3,)


class FailsWhenUnpickled:
    """Cannot be rebuilt in a worker."""

    def __reduce__(self):
        return power, ("x", 2)


class FailsWhenPickled:
    """Cannot leave this process."""

    def __reduce__(self):
        raise ValueError("it stays")


@pytest.mark.parametrize(
    ("argument", "kind"),
    [(ExitsWhenUnpickled(), WorkerDied), (FailsWhenUnpickled(), TypeError), (FailsWhenPickled(), TypeError)],
)
def test_call_fails_alone_when_its_argument_cannot_arrive(argument, kind):
    """Whatever goes wrong with it on the way; the pool works on."""
    function = parallel(type, backend="processes", max_workers=2)
    futures = [function.submit(value) for value in (1, argument, 2)]
    assert [futures[0].result(DEADLINE), futures[2].result(DEADLINE)] == [int, int]
    assert isinstance(futures[1].exception(DEADLINE), kind)
    assert function.submit("x").result(DEADLINE) is str


@pytest.mark.parametrize("made", [FailsWhenUnpickled, FailsWhenPickled])
def test_call_fails_alone_when_its_result_cannot_come_back(made):
    """Neighbours do; one that ends whoever rebuilds it ends the caller, as with every pool, and is not tried."""
    function = parallel(lambda make: make(), backend="processes", max_workers=2)
    futures = [function.submit(make) for make in (int, made, str)]
    assert [futures[0].result(DEADLINE), futures[2].result(DEADLINE)] == [0, ""]
    assert isinstance(futures[1].exception(DEADLINE), TypeError)


def test_calls_fail_when_no_worker_can_start(monkeypatch):
    """A clear error instead of waiting for ever; explicit processes do not fall back."""
    monkeypatch.setattr(launch, "_spawn", _refuse)
    import parallel_deco

    parallel_deco.shutdown()  # no template is there yet
    function = parallel(power, backend="processes")
    error = function.submit(2, 2).exception(DEADLINE)
    assert isinstance(error, ParallelError)
    assert "no more processes" in str(error)
    with pytest.raises(ParallelError, match="no more processes"):
        list(function.map([2], [2]))


@pytest.fixture(params=["map", "submit", "map that stops at an error"])
def values_of(request):
    """Run a function over items where a policy, and not the user, says that it goes to processes."""
    if available_cpus() == 1:
        pytest.skip("no process is worth it on one CPU")

    def run(function, items):
        function = parallel(function, backend=lambda evidence: "processes", max_workers=2, chunksize=2)
        list(function.map([0]))  # now it is known, and the policy is asked
        if request.param == "submit":
            values = [future.result(DEADLINE) for future in [function.submit(item) for item in items]]
            function.submit(items[-1]).result(DEADLINE)  # the others came in any order; `explain` tells of the last
        else:
            values = list(function.map(items, return_exceptions=request.param == "map"))
        return values, str(function.explain())

    return run


@pytest.fixture
def homeless(monkeypatch):
    """A module that is in this process alone, with no file and no code of its own, as a library in C may make one."""
    module = types.ModuleType("homeless_plugin")
    monkeypatch.setitem(sys.modules, "homeless_plugin", module)
    for name, number in (("Config", 3), ("Wrong", property(lambda self: 1 / 0))):
        setattr(module, name, type(name, (), {"__module__": "homeless_plugin", "number": number}))
    return module


def number_of(config):
    """Look at an attribute."""
    return getattr(config, "number", config)


def test_items_run_here_when_workers_cannot_unpickle_them(values_of, homeless):
    """The plain loop would run them; the others of their batches come from the workers."""
    values, explanation = values_of(number_of, [1, homeless.Config(), 2, 3, *[homeless.Config() for _ in range(4)]])
    assert values == [1, 3, 2, 3, 3, 3, 3, 3]
    assert "No module named 'homeless_plugin'" in explanation


def test_items_run_here_when_workers_cannot_import_the_function(values_of, tmp_path, monkeypatch):
    """A module that is imported only where it was found once."""
    (tmp_path / "found_once.py").write_text("import sys\nsys.modules['found_here']\ndef inc(x):\n    return x + 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "found_here", sys)
    module = importlib.import_module("found_once")
    values, explanation = values_of(module.inc, range(6))
    assert values == [1, 2, 3, 4, 5, 6]
    assert "KeyError: 'found_here'" in explanation


def test_items_run_here_when_no_worker_gets_ready(values_of, monkeypatch):
    """The program that should become one ends at once."""
    import parallel_deco

    parallel_deco.shutdown()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        values, explanation = values_of(number_of, range(6))
        assert values == [0, 1, 2, 3, 4, 5]
        assert "no worker process starts" in explanation
        with pytest.raises(WorkerDied, match=r"no worker process starts.*/bin/false"):
            list(parallel(number_of, backend="processes").map([1]))
    parallel_deco.shutdown()
    assert parallel(number_of, backend="processes").submit(1).result(DEADLINE) == 1


def test_items_run_in_the_consumers_thread_when_no_thread_can_be_started(run_program):
    """As at a limit of processes: a map that chooses its route needs no thread; one that is told to does."""
    source = """
        import sys, threading, time
        from parallel_deco import parallel
        import _thread

        def refuse(*args, **options):
            raise RuntimeError("can't start new thread")

        def compute(x):
            return sum(range(300_000)) + x

        def wait(x):
            time.sleep(0.01)
            return x

        def fail(x):
            time.sleep(0.01)
            if x == 7:
                raise ValueError(x)
            return x

        threading._start_new_thread = threading._start_joinable_thread = _thread.start_new_thread = refuse
        for function in (compute, wait):
            assert list(parallel(function).map(range(30))) == [*map(function, range(30))]
            assert {*parallel(function).map(range(30), ordered=False)} == {*map(function, range(30))}
        taken = []
        try:
            for value in parallel(fail).map(range(30)):
                taken.append(value)
        except ValueError as error:
            print(taken == [*range(7)], error.__notes__)
        outcomes = [*parallel(fail).map(range(30), return_exceptions=True)]
        print(len(outcomes), [type(value).__name__ for value in outcomes if type(value) is not int])
        try:
            list(parallel(wait, backend="threads").map(range(3)))
        except RuntimeError as error:
            print(error)
        """
    told = "True ['raised by item 7 of a map of fail']\n30 ['ValueError']\ncan't start new thread\n"
    assert run_program(source) == (0, told, "")


def test_error_is_the_items_own_when_it_runs_here_at_last(homeless):
    """A map ends there, with what came before it."""
    function = parallel(number_of, backend=lambda evidence: "processes", max_workers=1, chunksize=8)
    list(function.map([0]))
    results = function.map([1, homeless.Config(), homeless.Wrong(), 5])
    assert [next(results), next(results)] == [1, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_items_fail_when_workers_cannot_unpickle_them_and_processes_were_chosen(homeless):
    """Each with its own error, and the map that stops stops there."""
    function = parallel(number_of, backend="processes", max_workers=1, chunksize=4)
    outcomes = list(function.map([1, homeless.Config(), 2, homeless.Config()], return_exceptions=True))
    assert [type(outcome) for outcome in outcomes] == [int, NotPicklableError, int, NotPicklableError]
    results = function.map([1, homeless.Config(), 2])
    assert next(results) == 1
    with pytest.raises(NotPicklableError, match="could not be rebuilt there") as caught:
        next(results)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def _refuse(control):
    raise OSError("no more processes")


class Interrupts:
    """Raises what Ctrl-C raises, while it is pickled for a worker."""

    def __reduce__(self):
        raise KeyboardInterrupt


def test_place_is_free_again_when_a_submit_is_interrupted():
    """The next call runs, although there is one place only."""
    function = parallel(type, backend="processes", max_workers=1)
    with pytest.raises(KeyboardInterrupt):
        function.submit(Interrupts())
    assert function.submit(1).result(DEADLINE) is int


def test_calls_behind_run_when_thousands_before_them_were_cancelled(elsewhere, gate):
    """Skipping them takes no recursion."""
    function = parallel(wait_for, backend=elsewhere, max_workers=1)
    first, *between, last = [function.submit(str(gate)) for _ in range(3000)]
    for future in between:
        assert future.cancel()
    gate.touch()
    assert [first.result(DEADLINE), last.result(DEADLINE)] == [str(gate)] * 2


def test_each_item_fails_when_none_can_be_sent():
    """Of a long map, with a wide window, whatever the function."""
    function = parallel(type, backend="processes", chunksize=1)
    outcomes = list(function.map([threading.Lock()] * 1000, return_exceptions=True, buffersize=500))
    assert {type(outcome) for outcome in outcomes} == {NotPicklableError}
    outcomes = list(function.map([threading.Lock()] * 1000, return_exceptions=True, buffersize=900, chunksize=3))
    assert {type(outcome) for outcome in outcomes} == {NotPicklableError}


class ExitsWhenRebuilt:
    """Its rebuilding raises what no handler of `Exception` catches."""

    def __reduce__(self):
        return sys.exit, (3,)


def test_future_ends_when_its_result_exits_on_arrival():
    """The thread that reads for the worker goes on."""
    function = parallel(lambda make: make(), backend="processes", max_workers=1)
    future, after = function.submit(ExitsWhenRebuilt), function.submit(int)
    assert isinstance(future.exception(DEADLINE), NotPicklableError)
    assert after.result(DEADLINE) == 0


class Fragile(Exception):
    """Can be pickled, but not rebuilt."""

    def __init__(self, a, b):
        super().__init__(a)


def test_result_is_the_loops_when_it_cannot_be_rebuilt():
    """auto runs it here then; what ended its worker is not run here."""

    def make(x):
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass
        if x == 2:
            os._exit(3)
        return Fragile(x, x) if x == 5 else x

    function = parallel(make, shared=False)
    list(function.map([0] * 20))  # it has left the loop
    assert function.explain().route == "processes" or not _can_leave()
    if function.explain().route != "processes":
        pytest.skip("there is one CPU, and nothing leaves the loop")
    outcomes = list(function.map(range(8), return_exceptions=True))
    assert type(outcomes[2]) is WorkerDied
    assert type(outcomes[5]) is Fragile
    assert [outcomes[at] for at in (0, 1, 3, 4, 6, 7)] == [0, 1, 3, 4, 6, 7]


def test_item_that_killed_its_worker_does_not_run_here_when_another_could_not_come_back():
    """Only what has no outcome runs here: else it would end the program, too."""

    def make(x):
        if x == 3:
            os._exit(3)
        return threading.Lock() if x == 0 else os.getpid()

    function = parallel(make, backend=lambda _: "processes", shared=False, chunksize=8)
    list(function.map([1] * 40))  # they are known then
    if os.getpid() in list(function.map([1] * 40)):
        pytest.skip("there is one CPU, and nothing leaves the loop")
    results = function.map(range(8))
    assert type(next(results)) is type(threading.Lock())
    with pytest.raises(WorkerDied):
        list(results)


def test_items_do_not_run_again_when_only_others_could_not_come_back(tmp_path):
    """What came back is kept, also behind the first that did not."""

    def make(x):
        with open(tmp_path / str(x), "a") as file:
            file.write(f"{os.getpid()}\n")
        return threading.Lock() if x in (0, 2) else x

    function = parallel(make, backend=lambda _: "processes", shared=False, chunksize=5)
    list(function.map([5] * 40))
    values = list(function.map(range(5)))
    assert [values[1], values[3], values[4]] == [1, 3, 4]
    runs = [(tmp_path / str(x)).read_text().split() for x in range(5)]
    here = str(os.getpid())
    if here in runs[1]:
        pytest.skip("there is one CPU, and nothing leaves the loop")
    assert [len(run) for run in runs] == [2, 1, 2, 1, 1]
    assert [here in run for run in runs] == [True, False, True, False, False]


def _can_leave():
    return available_cpus() > 1 and gil_enabled()
