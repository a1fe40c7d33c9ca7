"""Options, `config`, the environment: what is refused, who wins, and where it reaches."""

import asyncio
import dataclasses
import fractions
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from parallel_deco import InvalidOptionError, InvalidTypeError, ParallelError, config, parallel, shutdown
from tests.workloads import place, timed

DEADLINE = 30.0


def at_once(function):
    """Return how many calls of `timed` ran at the same time, at most."""
    spans = list(function.map(range(30)))
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def route(function):
    """Return where the items of a function go."""
    here = place()
    places = set(function.map(range(40)))
    if places == {here}:
        return "serial"
    processes = {process for process, _ in places}
    return "threads" if processes == {os.getpid()} else "processes"


@pytest.mark.parametrize("backend", ["thread", "", "AUTO", "loky", "multiprocessing"])
def test_backend_is_refused_when_unknown(backend):
    """An unknown backend is a ValueError at decoration that shows the choices."""
    with pytest.raises(InvalidOptionError, match="'auto', 'serial', 'threads', 'processes'") as caught:
        parallel(place, backend=backend)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ParallelError)
    assert repr(backend) in str(caught.value)


@pytest.mark.parametrize("backend", [None, 3, b"threads", ["threads"]])
def test_backend_is_refused_when_of_another_type(backend):
    """A backend that is no name is a TypeError that shows what was given."""
    with pytest.raises(InvalidTypeError, match="backend") as caught:
        parallel(place, backend=backend)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("name", ["max_workers", "chunksize", "buffersize"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, InvalidOptionError),
        (-3, InvalidOptionError),
        (1.5, InvalidTypeError),
        ("2", InvalidTypeError),
        (True, InvalidTypeError),
    ],
)
def test_count_is_refused_when_impossible(name, value, kind):
    """A count below 1, or that is no whole number, is refused at decoration, by `options` and by its name."""
    with pytest.raises(kind, match=name):
        parallel(place, **{name: value})
    with pytest.raises(kind, match=name):
        parallel(place).options(**{name: value})


@pytest.mark.parametrize("value", [3, 3.0, np.int64(3), np.float32(3), fractions.Fraction(3)])
def test_timeout_is_taken_when_it_is_any_number(value):
    """NumPy's too, as for counts."""
    assert parallel(place, timeout=value).options()._options.timeout == 3


def test_error_names_the_source_when_shared_work_is_sent_to_processes(monkeypatch):
    """The author wrote only `shared=True`."""
    function = parallel(place, shared=True)
    with config(backend="processes"), pytest.raises(InvalidOptionError, match=r"^config says backend='processes'"):
        function.submit()
    monkeypatch.setenv("PARALLEL_DECO_BACKEND", "processes")
    with pytest.raises(InvalidOptionError, match=r"^the environment variable PARALLEL_DECO_BACKEND says"):
        function.map([1])
    with config(backend="threads"):
        assert route(function) == "threads"


def test_config_refuses_what_runs_after_the_block():
    """A coroutine function returns before anything of it ran."""

    async def coroutine():
        pass

    def generator():
        yield

    for function in coroutine, generator:
        with pytest.raises(InvalidTypeError, match=r"runs later; write `with config"):
            config(backend="threads")(function)


def test_option_is_refused_when_it_does_not_exist():
    """A misspelt option is refused, and the ones that exist are shown."""
    with pytest.raises(TypeError, match="n_jobs"):
        parallel(place, n_jobs=2)
    with pytest.raises(InvalidTypeError, match=r"'n_jobs'.*max_workers"):
        parallel(place).options(n_jobs=2)


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_backend_is_obeyed_when_chosen(backend):
    """An explicit backend is where the work goes."""
    assert route(parallel(place, backend=backend)) == backend


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_config_wins_when_the_decorator_says_otherwise(backend):
    """Inside the block its backend counts, afterwards the decorator's."""
    function = parallel(place, backend="serial")
    with config(backend=backend):
        assert route(function) == backend
    assert route(function) == "serial"


def test_inner_block_wins_when_nested():
    """The innermost block counts, what it does not say comes from the outer one."""
    function = parallel(place, backend="serial")
    with config(backend="threads", max_workers=1):
        with config(backend="processes"):
            assert route(function) == "processes"
            assert at_once(parallel(timed)) == 1
        assert route(function) == "threads"
    assert route(function) == "serial"


def test_block_can_be_entered_again_when_it_was_made_once():
    """One after the other, one in the other, in another thread, and around each call of a function."""
    function = parallel(place, backend="serial")
    threads = config(backend="threads")

    def both():
        with threads:
            return route(function)

    with ThreadPoolExecutor(1) as executor:
        with threads, config(backend="processes"), threads:
            assert (both(), executor.submit(both).result(DEADLINE), route(function)) == ("threads",) * 3
        assert route(function) == "serial"
        assert executor.submit(route, function).result(DEADLINE) == "serial"
    assert [threads(route)(function), both(), route(function)] == ["threads", "threads", "serial"]


def test_block_is_left_when_it_raises():
    """An exception ends the block as well."""
    function = parallel(place, backend="serial")
    with pytest.raises(KeyError), config(backend="threads"):
        raise KeyError
    assert route(function) == "serial"


@pytest.mark.parametrize("width", [1, 2, 3])
def test_width_is_kept_when_more_workers_exist(elsewhere, width):
    """No more calls run at a time than `max_workers` allows, although an earlier map has left more workers."""
    function = parallel(timed, backend=elsewhere)
    assert at_once(function.options(max_workers=4)) <= 4
    assert at_once(function.options(max_workers=width)) <= width


def test_config_does_not_reach_others_when_in_one_thread():
    """Other threads are not touched by a block."""
    function = parallel(place, backend="serial")
    with config(backend="processes"), ThreadPoolExecutor(1) as executor:
        assert executor.submit(route, function).result(DEADLINE) == "serial"


def test_config_does_not_reach_others_when_in_one_task():
    """Other tasks of an event loop are not touched by a block."""
    function = parallel(place, backend="serial")

    async def main():
        entered, left = asyncio.Event(), asyncio.Event()

        async def configured():
            with config(backend="threads"):
                entered.set()
                await left.wait()

        async def plain():
            await entered.wait()
            chosen = function.explain().route
            left.set()
            return chosen

        return (await asyncio.gather(configured(), plain()))[1]

    assert asyncio.run(main()) == "serial"


@pytest.mark.parametrize("outer", ["threads", "processes"])
def test_config_reaches_nested_work_when_in_a_block(outer):
    """A block counts for the parallel work inside the tasks that were started from it."""
    inner = parallel(place, backend="serial")

    def task(_):
        return route(inner) if outer == "threads" else {process for process, _ in inner.map(range(5))} == {os.getpid()}

    with config(backend=outer):
        answers = set(parallel(task).map(range(4)))
    assert answers == ({"threads"} if outer == "threads" else {True})


def test_config_counts_when_the_map_was_made():
    """A map keeps the options it was made with, though it is taken later."""
    with config(backend="threads"):
        results = parallel(place, backend="serial").map(range(20))
    assert place() not in set(results)


@pytest.mark.parametrize("arguments", [{"backend": "fast"}, {"max_workers": 0}])
def test_config_refuses_when_a_value_is_impossible(arguments):
    """What no decorator takes, no block takes either."""
    with pytest.raises(InvalidOptionError), config(**arguments):
        pass


def test_config_refuses_when_positional_or_unknown():
    """Only the two known options, by name."""
    with pytest.raises(TypeError):
        config("threads")
    with pytest.raises(TypeError):
        config(chunksize=3)


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_environment_wins_when_the_decorator_says_otherwise(backend, monkeypatch):
    """The environment variable overrides the decorator."""
    monkeypatch.setenv("PARALLEL_DECO_BACKEND", backend)
    assert route(parallel(place, backend="serial")) == backend


def test_config_wins_when_the_environment_says_otherwise(monkeypatch):
    """A block overrides the environment."""
    monkeypatch.setenv("PARALLEL_DECO_BACKEND", "processes")
    with config(backend="threads"):
        assert route(parallel(place, backend="serial")) == "threads"


def test_environment_sets_the_width_when_given(monkeypatch):
    """The width of the environment counts."""
    monkeypatch.setenv("PARALLEL_DECO_MAX_WORKERS", "1")
    for backend in ("threads", "processes"):
        assert at_once(parallel(timed, backend=backend)) == 1


@pytest.mark.parametrize("value", ["", None])
def test_environment_says_nothing_when_empty_or_unset(value, monkeypatch):
    """An empty variable is as good as none."""
    for name in ("PARALLEL_DECO_BACKEND", "PARALLEL_DECO_MAX_WORKERS"):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert route(parallel(place, backend="serial")) == "serial"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARALLEL_DECO_BACKEND", "fast"),
        ("PARALLEL_DECO_MAX_WORKERS", "0"),
        ("PARALLEL_DECO_MAX_WORKERS", "-2"),
        ("PARALLEL_DECO_MAX_WORKERS", "many"),
        ("PARALLEL_DECO_MAX_WORKERS", "1.5"),
    ],
)
def test_environment_is_refused_when_impossible(name, value, monkeypatch):
    """An impossible variable is an error that names it and its value, at the first use."""
    monkeypatch.setenv(name, value)
    function = parallel(place)
    for use in (lambda: function.map([1]), lambda: function.submit(1), lambda: function.starmap([(1,)])):
        with pytest.raises(InvalidOptionError, match=name) as caught:
            use()
        assert value in str(caught.value)
    assert function(1) == place()


@pytest.mark.parametrize("chunksize", [1, 7, 1000])
def test_batches_are_as_large_as_asked_when_a_chunksize_is_given(elsewhere, chunksize):
    """The items of a chunk run in one place, one after the other."""
    places = list(parallel(place, backend=elsewhere, chunksize=chunksize).map(range(70)))
    assert len(places) == 70
    for start in range(0, 70, chunksize):
        assert len(set(places[start : start + chunksize])) == 1


def test_sizes_are_those_of_one_map_when_given_to_it(elsewhere):
    """They come before the function's own; the next map has those again."""
    function = parallel(place, backend=elsewhere, chunksize=7)
    places = list(function.map(range(60), chunksize=30))
    assert len(set(places[:30])) == len(set(places[30:])) == 1
    drawn = []
    results = function.starmap(((drawn.append(x),) for x in range(100)), chunksize=1, buffersize=5)
    next(results)
    assert len(drawn) <= 6
    results.close()


@pytest.mark.parametrize(
    ("given", "kind"), [({"chunksize": 0}, InvalidOptionError), ({"buffersize": 1.5}, InvalidTypeError)]
)
def test_sizes_are_refused_when_impossible(given, kind):
    """When the map is begun, with what was given."""
    with pytest.raises(kind, match=next(iter(given))):
        parallel(place).map([1], **given)


def test_explanation_is_plain_when_asked_as_a_dictionary():
    """An explanation is a frozen record, readable as text and as a dictionary."""
    import json

    function = parallel(place, backend="threads", max_workers=2)
    list(function.map(range(20)))
    explanation = function.explain()
    assert json.loads(json.dumps(explanation.as_dict()))["route"] == "threads"
    assert str(explanation).startswith("place → threads")
    with pytest.raises(dataclasses.FrozenInstanceError):
        explanation.route = "serial"


# A policy of the user's.


@pytest.mark.parametrize("name", ["max_workers", "chunksize", "buffersize"])
def test_count_is_taken_when_it_is_a_whole_number_of_another_type(name, elsewhere):
    """As NumPy's are, wherever Python wants an index."""
    three = np.int64(3)
    assert list(parallel(abs, backend=elsewhere, **{name: three}).map(range(5))) == [0, 1, 2, 3, 4]
    with pytest.raises(InvalidOptionError):
        parallel(abs, **{name: np.int64(0)})


@pytest.mark.parametrize("shared", [0, 1, 1.0])
def test_shared_is_refused_when_it_only_equals_a_truth_value(shared):
    """It would be obeyed as neither."""
    with pytest.raises(InvalidTypeError, match="shared must be True, False or None"):
        parallel(abs, shared=shared)


def test_policy_is_obeyed_when_it_names_a_route():
    """A policy hears what is known and what auto proposes, and its answer is taken."""
    heard = []

    def policy(explanation):
        heard.append((explanation.function, explanation.route))
        return "threads"

    function = parallel(timed, backend=policy, max_workers=4)
    assert len(list(function.map(range(40)))) == 40
    assert function.submit(1).result(DEADLINE)
    assert function.explain().route == "threads"
    assert {name for name, _ in heard} == {"timed"}


def test_policy_is_asked_when_it_has_no_hash():
    """A dataclass that is called, for one; by maps and by submits."""

    @dataclasses.dataclass
    class Policy:
        route: str

        def __call__(self, explanation):
            return self.route

    function = parallel(abs, backend=Policy("threads"))
    assert list(function.map([-1, -2])) == [1, 2]
    assert function.submit(-3).result(30) == 3


def test_proposal_is_taken_when_a_policy_says_auto():
    """It need not know the routes to leave a case alone."""
    proposed = []

    def policy(explanation):
        proposed.append(explanation.route)
        return "auto"

    function = parallel(timed, backend=policy, max_workers=4)
    list(function.map(range(40)))
    assert proposed[-1] == function.explain().route == "threads"


@pytest.mark.parametrize("answer", ["fast", None, 3])
def test_policy_is_refused_when_its_answer_is_no_route(answer):
    """An impossible answer is a clear error, for submits as for maps, and nothing hangs."""
    function = parallel(timed, backend=lambda explanation: answer)
    with pytest.raises(ParallelError, match=r"route|one of"):
        list(function.map(range(100)))
    with pytest.raises(ParallelError, match=r"route|one of"):
        function.submit(1).result(DEADLINE)


def test_error_of_a_policy_comes_out_when_it_raises():
    """An exception of the policy is the exception of the work, and nothing hangs."""

    def policy(explanation):
        raise LookupError("no idea")

    function = parallel(timed, backend=policy)
    with pytest.raises(LookupError, match="no idea") as caught:
        list(function.map(range(100)))
    with pytest.raises(LookupError, match="no idea"):
        function.submit(1).result(DEADLINE)
    assert "policy" in caught.value.__notes__[0]


def test_error_of_a_policy_is_told_when_it_raises_stop_iteration():
    """A map would end as if there were nothing left."""
    function = parallel(timed, backend=lambda explanation: next(iter(())))
    with pytest.raises(RuntimeError, match="policy"):
        list(function.map(range(100)))
    with pytest.raises(RuntimeError, match="policy"):
        function.submit(1).result(DEADLINE)


def test_error_of_a_policy_comes_out_when_it_raises_while_a_call_runs(until):
    """The calls that wait fail with it at once; the one that runs has its value."""
    ready = threading.Event()

    def policy(explanation):
        if threading.current_thread() is not threading.main_thread():
            raise LookupError("no idea")
        return "threads"

    function = parallel(ready.wait, backend=policy)
    running, waiting = function.submit(DEADLINE), function.submit(DEADLINE)
    with pytest.raises(LookupError, match="no idea"):
        waiting.result(DEADLINE)
    ready.set()
    assert running.result(DEADLINE)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="on one CPU, no call leaves")
def test_shutdown_ends_when_the_first_call_was_cancelled(until):
    """Nobody goes on looking at a call that is no more."""
    future = parallel(time.sleep, backend=lambda explanation: "processes").submit(60)
    until(future.running)
    time.sleep(0.05)
    assert future.cancel()
    done = threading.Event()
    threading.Thread(target=lambda: (shutdown(), done.set()), daemon=True).start()
    assert done.wait(DEADLINE)
