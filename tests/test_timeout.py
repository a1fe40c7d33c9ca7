"""`timeout`: an item that takes too long fails, on every route, and nothing else does."""

import asyncio
import os
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parallel_deco import InvalidOptionError, InvalidTypeError, ItemTimeoutError, config, parallel, shutdown
from parallel_deco.backends import deadlines
from parallel_deco.backends.deadlines import Deadlines
from tests.workloads import stuck

DEADLINE = 30.0
#: Seconds that a stuck item gets; the others take none.
SHORT = 0.3
#: What no item takes.
AMPLE = 60.0


@pytest.fixture(params=["auto", "threads", "processes"])
def elsewhere(request):
    """The routes that can keep a timeout."""
    return request.param


@pytest.fixture
def never(tmp_path):
    """A file for which items wait in vain; it comes with the end of the test, for threads cannot be ended."""
    path = tmp_path / "file"
    yield str(path)
    path.touch()


@pytest.fixture(scope="module", autouse=True)
def left_behind(nothing_left_by_module, until):
    """Let the threads that were left behind come to their end, for which those of the last test may need a moment."""
    before = set(threading.enumerate())
    yield
    shutdown()
    until(lambda: before.issuperset(threading.enumerate()))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, InvalidOptionError),
        (-1.5, InvalidOptionError),
        (float("inf"), InvalidOptionError),
        (float("nan"), InvalidOptionError),
        (1e10, InvalidOptionError),
        (10**400, InvalidOptionError),
        ("1", InvalidTypeError),
        (b"3", InvalidTypeError),
        (True, InvalidTypeError),
        ([3], InvalidTypeError),
        (object(), InvalidTypeError),
        (3j, InvalidTypeError),
    ],
)
def test_timeout_is_refused_when_impossible(value, kind):
    """At decoration and by `options`, with what was given."""
    words = "be more than 0 seconds" if kind is InvalidOptionError else "be a number of seconds"
    with pytest.raises(kind, match=f"timeout must {words}"):
        parallel(stuck, timeout=value)
    with pytest.raises(kind, match=f"timeout must {words}"):
        parallel(stuck).options(timeout=value)


def test_timeout_is_refused_when_nothing_can_keep_it():
    """The caller's thread cannot be interrupted; but who runs a program as a loop for a while, to look at it, may."""
    with pytest.raises(InvalidOptionError, match="serial"):
        parallel(stuck, backend="serial", timeout=1)
    function = parallel(time.sleep, timeout=0.01)
    with config(backend="serial"):
        assert list(function.map([0.05])) == [None]
    assert function(0.05) is None  # a call stays a call


def test_item_fails_when_it_takes_too_long(elsewhere, never):
    """It alone: a TimeoutError that names the item and the time."""
    function = parallel(stuck, backend=elsewhere, timeout=SHORT)
    futures = [function.submit(path) for path in (None, never, None)]
    assert futures[0].result(DEADLINE)
    error = futures[1].exception(DEADLINE)
    assert futures[2].result(DEADLINE)
    assert type(error) is ItemTimeoutError
    assert isinstance(error, TimeoutError)
    assert f"stuck took longer than its timeout of {SHORT} s" in str(error)
    assert function.submit(None).result(DEADLINE)


def test_others_are_kept_when_some_take_too_long(elsewhere, never):
    """Each item of a map has its own outcome, in its place."""
    items = [None, never, None, None, never, None]
    function = parallel(stuck, backend=elsewhere, timeout=SHORT, chunksize=3)
    results = list(function.map(items, return_exceptions=True))
    assert [True if result is True else type(result) for result in results] == [
        True if item is None else ItemTimeoutError for item in items
    ]
    assert ["item 1 " in str(results[1]), "item 4 " in str(results[4])] == [True, True]


def test_map_raises_when_an_item_takes_too_long(elsewhere, never):
    """Where its result would be; the rest is cancelled, and the pool works."""
    function = parallel(stuck, backend=elsewhere, timeout=SHORT)
    results = function.map([None, None, never, None])
    assert [next(results), next(results)] == [True, True]
    with pytest.raises(ItemTimeoutError) as caught:
        next(results)
    assert "raised by item 2 of a map of stuck" in caught.value.__notes__
    assert list(results) == []
    assert list(function.map([None] * 5)) == [True] * 5


def test_time_is_each_items_own_when_a_batch_takes_longer(elsewhere):
    """Eight items of a batch take their time one after the other."""
    function = parallel(time.sleep, backend=elsewhere, timeout=2.0, chunksize=8)
    assert list(function.map([0.3] * 8)) == [None] * 8


def test_nothing_changes_when_all_are_in_time(elsewhere):
    """Results, order, errors and their places, as without a timeout."""
    function = parallel(lambda x: 1 // x, backend=elsewhere, timeout=AMPLE)
    assert list(function.map(range(1, 1000))) == [1, *[0] * 998]
    results = function.map([1, 2, 0, 3])
    assert [next(results), next(results)] == [1, 0]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(function.starmap([(1,), (2,)])) == [1, 0]
    assert [function.submit(number).result(DEADLINE) for number in (1, 2)] == [1, 0]


def test_item_has_all_its_time_when_its_thread_has_no_cpu_before_it_begins(monkeypatch):
    """Its time runs from its own beginning, and not from that of the batch."""

    def late(*args, ran=deadlines.run_batch):
        time.sleep(2 * SHORT)
        return ran(*args)

    monkeypatch.setattr(deadlines, "run_batch", late)
    assert list(parallel(abs, backend="threads", timeout=SHORT).map([-1, -2])) == [1, 2]


def test_width_is_kept_when_threads_are_left_behind(never):
    """Who is stuck takes nobody's place."""
    function = parallel(stuck, backend="threads", max_workers=2, timeout=SHORT)
    futures = [function.submit(path) for path in [never] * 4 + [None] * 20]
    assert all(future.result(DEADLINE) for future in futures[4:])
    assert [type(future.exception(DEADLINE)) for future in futures[:4]] == [ItemTimeoutError] * 4


def test_thread_does_nothing_more_when_it_was_left_behind(never, until):
    """Its item's result is dropped, and it begins no other item of its batch: those run elsewhere, once."""
    begun, ended = [], []

    def work(path, number):
        begun.append(number)
        stuck(path)
        ended.append(number)
        return number

    function = parallel(work, backend="threads", max_workers=1, timeout=SHORT, chunksize=4)
    results = list(function.starmap([(None, 0), (never, 1), (None, 2), (None, 3)], return_exceptions=True))
    assert (results[0], results[2:]) == (0, [2, 3])
    assert type(results[1]) is ItemTimeoutError
    with open(never, "w"):
        until(lambda: 1 in ended)
    assert sorted(begun) == sorted(ended) == [0, 1, 2, 3]
    assert list(function.starmap([(None, 4)])) == [4]


def test_worker_is_ended_when_its_item_takes_too_long(never, until):
    """A process is killed, not left behind, and it is the one that the error names."""
    shutdown()  # then there is one worker to take it, and no other
    function = parallel(os.getpid, backend="processes", max_workers=1)
    worker = function.submit().result(DEADLINE)
    late = parallel(stuck, backend="processes", max_workers=1, timeout=SHORT).submit(never)
    assert f"its worker process {worker} was killed" in str(late.exception(DEADLINE))
    assert function.submit().result(DEADLINE) != worker


class Slow:
    """An argument that takes longer to be unpickled than its item may take."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        time.sleep(4 * SHORT)
        self.path = state["path"]


def test_item_fails_when_its_argument_came_late(never):
    """Its time runs from its own beginning, which may be after the first look at it."""
    function = parallel(lambda slow: stuck(slow.path), backend="processes", timeout=SHORT)
    ended, late = function.submit(Slow(None)), function.submit(Slow(never))
    assert ended.result(DEADLINE)
    assert type(late.exception(DEADLINE)) is ItemTimeoutError


def test_auto_takes_the_route_that_can_end_an_item_when_there_is_one():
    """Processes, also for work that would be too small to leave the loop; and says why."""
    shutdown()  # workers are started for it
    function = parallel(stuck, timeout=AMPLE)
    assert list(function.map([None] * 3)) == [True] * 3
    explanation = function.explain()
    assert (explanation.route, explanation.rule) == ("processes", "a timeout")
    assert "may take 60 s" in explanation.reason


def test_auto_says_that_a_thread_runs_on_when_work_must_stay(never):
    """A function that writes to its surroundings cannot leave; it fails in time all the same."""
    found = []

    def work(path):
        found.append(path)
        return stuck(path)

    function = parallel(work, timeout=SHORT)
    results = list(function.map([None, never, None], return_exceptions=True))
    assert [type(result) for result in results] == [bool, ItemTimeoutError, bool]
    assert found.count(None) == 2
    explanation = function.explain()
    assert explanation.route == "threads"
    assert any("a thread cannot be ended" in note for note in explanation.notes)


def test_nobody_waits_when_the_one_before_keeps_the_turn(never, until):
    """Calls that must not run at the same time take turns; behind one that is stuck, the others fail at once."""
    table = {"sum": 0}

    def work(path):
        table["sum"] += 1
        return stuck(path)

    function = parallel(work, timeout=SHORT, chunksize=2)
    results = list(function.map([None, never, *[None] * 200], return_exceptions=True))
    assert results[0] is True
    assert [type(result) for result in results[1:]] == [ItemTimeoutError] * 201
    assert "thread cannot be ended, and runs on" in str(results[1])
    assert "item 7 of" in str(results[7])
    assert "did not run" in str(results[7])
    with open(never, "w"):
        until(lambda: function.submit(None).exception(DEADLINE) is None)  # when it has ended, it goes on


def test_waiting_for_a_turn_does_not_count_when_the_one_before_is_in_time():
    """However many take turns, from however many maps and threads."""
    table = {"sum": 0}

    def work(seconds):
        table["sum"] += 1
        time.sleep(seconds)

    function = parallel(work, timeout=1.0)
    threads = [threading.Thread(target=lambda: list(function.map([0.15] * 3))) for _ in range(4)]
    for thread in threads:
        thread.start()
    futures = [function.submit(0.15) for _ in range(4)]
    for thread in threads:
        thread.join()
    assert [future.exception(DEADLINE) for future in futures] == [None] * 4
    assert table["sum"] == 16


def test_timeouts_go_on_when_the_object_of_a_method_cannot_be_shown(never):
    """No `__repr__` of the user's is asked for the message."""

    class Loud:
        def __repr__(self):
            raise AssertionError("shown")

        def __call__(self, path):
            return stuck(path)

        def work(self, path):
            return stuck(path)

    for function in (Loud(), Loud().work):
        future = parallel(function, backend="threads", timeout=SHORT).submit(never)
        assert type(future.exception(DEADLINE)) is ItemTimeoutError


def test_nothing_more_begins_when_the_map_is_closed(never, until):
    """An item that is stuck keeps its thread; those behind it in its batch are not begun any more."""
    begun = []

    def work(path):
        begun.append(path)
        return stuck(path)

    results = parallel(work, backend="threads", timeout=SHORT, chunksize=4).map([never, None, None, None])
    until(lambda: begun)
    results.close()
    time.sleep(2 * SHORT)
    with open(never, "w"):
        time.sleep(SHORT)
    assert begun == [never]


def test_policy_is_asked_with_evidence_when_there_is_a_timeout():
    """Nothing is known when a map begins: then auto's own choice stands."""
    asked = []

    def policy(evidence):
        asked.append(evidence.readings.items)
        return "threads"

    function = parallel(stuck, backend=policy, timeout=AMPLE)
    assert list(function.map([None] * 20)) == [True] * 20
    assert list(function.map([None] * 20)) == [True] * 20
    assert asked
    assert all(asked)


def test_future_is_awaited_when_it_comes_too_late(elsewhere, never):
    """In a coroutine, like everywhere."""

    async def main():
        function = parallel(stuck, backend=elsewhere, timeout=SHORT)
        return await asyncio.gather(function.submit(None), function.submit(never), return_exceptions=True)

    first, second = asyncio.run(main())
    assert first is True
    assert type(second) is ItemTimeoutError


def test_shutdown_does_not_wait_when_a_thread_was_left_behind(never):
    """It may never end."""
    future = parallel(stuck, backend="threads", timeout=SHORT).submit(never)
    assert type(future.exception(DEADLINE)) is ItemTimeoutError
    shutdown()
    assert parallel(stuck, backend="threads", timeout=AMPLE).submit(None).result(DEADLINE)


def test_shutdown_does_not_wait_when_a_thread_was_left_behind_in_an_input(never):
    """Being left behind is no less so for coming back from a wait within."""

    def slow():
        stuck(never)
        yield None

    def work(wait):
        for _ in range(2):
            list(parallel(stuck, backend="serial").map(slow() if wait else [None]))
            wait = not wait
        time.sleep(0.01)
        return stuck(never)

    future = parallel(work, backend="threads", timeout=SHORT).submit(False)
    assert type(future.exception(DEADLINE)) is ItemTimeoutError
    shutdown()


def test_program_ends_when_a_thread_was_left_behind(run_program):
    """With what it printed, and nothing on the standard error stream."""
    program = """
    import threading
    from parallel_deco import parallel
    future = parallel(threading.Event().wait, backend="threads", timeout=0.1).submit()
    print(type(future.exception()).__name__)
    """
    assert run_program(program) == (0, "ItemTimeoutError\n", "")


def test_call_is_called_off_when_it_has_not_begun(never):
    """It then never runs; one that runs in a thread cannot be."""
    function = parallel(stuck, backend="threads", max_workers=1, timeout=AMPLE)
    first, second = function.submit(never), function.submit(never)
    assert second.cancel()
    with open(never, "w"):
        assert first.result(DEADLINE) is False


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_items_run_once_when_any_of_them_are_late(never, until, late, chunksize, width):
    """Whatever is late, and however it is cut: each item begins once and has one outcome, in its place."""
    lock, begun = threading.Lock(), [0] * len(late)

    def work(position):
        with lock:
            begun[position] += 1
        stuck(never if late[position] else None)
        return position

    function = parallel(work, backend="threads", max_workers=width, timeout=0.05, chunksize=chunksize)
    results = list(function.map(range(len(late)), return_exceptions=True))
    until(lambda: all(begun))  # on a busy machine, an item may have had its time before it had a CPU
    assert begun == [1] * len(late)
    assert len(results) == len(late)
    for position, result in enumerate(results):
        if late[position]:
            assert type(result) is ItemTimeoutError
        else:  # on a busy machine, one that does nothing may be late too
            assert result == position or type(result) is ItemTimeoutError


def test_item_fails_in_time_when_others_with_more_time_begin_meanwhile(never):
    """Also just as its own time has passed."""
    late = parallel(stuck, backend="threads", timeout=SHORT)
    busy = parallel(lambda x: sum(range(20_000)), backend="threads", timeout=AMPLE, max_workers=4, shared=False)
    for _ in range(5):
        future = late.submit(never)
        while not future.done():
            others = [busy.submit(x) for x in range(20)]
            assert all(other.result(DEADLINE) for other in others)
        assert type(future.exception(0)) is ItemTimeoutError


def test_alarm_is_heeded_when_its_time_has_passed_and_a_later_one_was_set():
    """Whoever sets the later one comes before the alarm's own thread."""
    deadlines, alarms, looked = Deadlines(), [], []

    class Alarms:
        def at(self, when, alarm):
            alarms.append(alarm)
            return True

    class Timed:
        def __init__(self, name):
            self.name = name

        def look(self):
            looked.append(self.name)
            return float("inf")

    deadlines._alarms = Alarms()
    deadlines.add(Timed("first"), time.monotonic())
    deadlines.add(Timed("second"), time.monotonic() + AMPLE)
    alarms[0]()
    assert "first" in looked
