"""What handing out costs on this machine: measured when it could change a decision, and only then."""

import time
import zlib

import pytest

from parallel_deco import _machine, parallel
from parallel_deco._options import Options
from parallel_deco._profile import Profile
from parallel_deco._source import Source
from parallel_deco._steering import Steering
from parallel_deco.backends import pools
from parallel_deco.backends.batch import BatchResult
from parallel_deco.routing.cost import Machine
from parallel_deco.routing.evidence import Facts
from parallel_deco.routing.router import Situation, decide
from tests.test_routing import batch
from tests.workloads import double

#: Computes for 30 µs with the GIL released.
FREE = Facts(items=50, seconds=1.5e-3, wall=30e-6, cpu=30e-6, gil=0.0, samples=40)


@pytest.fixture(autouse=True)
def unknown(monkeypatch):
    """Nothing was measured yet."""
    monkeypatch.setattr(_machine, "_threads", _machine._Costs())
    monkeypatch.setattr(_machine, "_processes", _machine._Costs())


def of(items, facts=FREE, cpus=2):
    """Return the decision about so many items."""
    return decide(facts, Situation(items=items, cpus=cpus, machine=_machine.constants()))


def matters():
    """Return whether any decision about 10 to 30 ms of work hangs on a constant."""
    return any(_machine.may_matter(of(items)) for items in range(340, 1000, 20))


def test_defaults_hold_when_nothing_was_measured():
    """Before the first measurement the guesses count, but for the start of workers, which is seen when it happens."""
    assert _machine.constants()._replace(start=0.0) == Machine()._replace(start=0.0)


def test_everything_is_measured_when_asked_for():
    """All constants are positive, differ from the guesses, and are kept."""
    machine, measured = _machine.measure_all()
    assert measured == set(Machine._fields)
    assert all(value > 0 for value in machine)
    assert all(value != guess for value, guess in zip(machine, Machine(), strict=True))
    assert _machine.constants() == machine
    assert _machine.measure_all()[0] == machine


@pytest.mark.parametrize(("starts", "expected"), [(1, 4 * Machine().start), (2, 9.0)])
def test_a_slow_start_is_believed_when_it_was_not_the_only_one(monkeypatch, starts, expected):
    """One start may come at a bad moment, and who believes that workers take long starts none again."""
    crew = pools.processes()._crew
    monkeypatch.setattr(crew, "starts", starts)
    monkeypatch.setattr(crew, "started_in", 9.0)
    monkeypatch.setattr(crew, "_forked_in", None)
    assert _machine.constants().start == expected


def test_constants_are_bounded_when_other_programs_have_the_cpus(monkeypatch):
    """A batch that took a second to come back says nothing of the next."""
    monkeypatch.setattr(_machine, "_trip", lambda start, item, patience: 1.0)
    _machine.measure(60.0)
    assert _machine.constants().dispatch_thread == 10 * Machine().dispatch_thread


def test_a_busy_moment_does_not_decide_for_good_when_it_was_one(monkeypatch):
    """What was measured is measured again after a while, and of each constant the least counts; three times in all."""
    list(parallel(double, backend="processes").map(range(8)))
    slow = Machine().dispatch_process * 5
    trips = iter([slow, 2 * slow, slow / 10])
    monkeypatch.setattr(_machine, "_time_threads", lambda end, patience: (20e-6, 100e-6))
    monkeypatch.setattr(_machine, "_time_processes", lambda end, patience: (next(trips), 1e-3))
    seen = []
    for expected in (slow, slow, slow / 10, slow / 10):
        _machine.measure()
        assert _machine.constants().dispatch_process == expected
        seen.append(matters())
        _machine.measure()  # too soon
        assert _machine.constants().dispatch_process == expected
        monkeypatch.setattr(_machine._processes, "not_before", 0.0)
    assert seen == [False] * 4
    assert not _machine._processes.due


def test_start_is_that_of_one_more_worker_when_there_is_a_template(monkeypatch):
    """After a long rest there are no workers, but what forks them is there."""
    crew = pools.processes()._crew
    monkeypatch.setattr(crew, "starts", 2)
    monkeypatch.setattr(crew, "started_in", 9.0)
    monkeypatch.setattr(type(crew), "forked_in", 2.0)
    assert _machine.constants().start == 2.0


def test_measuring_is_given_up_at_once_when_a_worker_does_not_answer(monkeypatch):
    """Somebody else has got it: nothing is tried again for a while, and the guesses stand."""
    list(parallel(double, backend="processes").map(range(8)))
    trips = []
    monkeypatch.setattr(_machine, "_trip", lambda start, item, patience: trips.append(start))
    assert matters()
    _machine.measure()
    assert len([start for start in trips if start == pools.processes().start]) <= 1
    assert _machine.constants().dispatch_process == Machine().dispatch_process
    assert not matters()


def test_processes_are_not_measured_when_one_of_them_has_work(monkeypatch):
    """It would be timed too."""
    function = parallel(time.sleep, backend="processes", max_workers=2)
    list(function.map([0, 0]))
    task = function.submit(0.5)
    while not task.running():
        time.sleep(1e-3)
    _machine.measure()
    assert _machine._threads.seconds is not None
    assert _machine._processes.seconds is None
    task.result()


def test_only_threads_are_measured_when_no_worker_is_there(monkeypatch):
    """No worker process is started for the sake of a measurement."""
    monkeypatch.setattr(pools, "_processes", None)
    _machine.measure()
    assert _machine._threads.seconds is not None
    assert _machine._processes.seconds is None
    assert pools.process_pool() is None


@pytest.mark.parametrize("items", [1, 100_000])
def test_it_does_not_matter_when_the_work_is_clearly_small_or_large(items):
    """What no constant could change is decided without a measurement."""
    assert not _machine.may_matter(of(items))


def test_it_matters_when_another_machine_would_decide_otherwise():
    """Somewhere between too small and large enough, the constants tip the scales."""
    assert matters()
    _machine.measure()
    assert not matters()


def test_it_does_not_matter_when_one_route_is_open():
    """With nothing to choose from, nothing is measured."""
    here = Situation(items=60, cpus=2, open=frozenset(("threads",)))
    assert not _machine.may_matter(decide(FREE, here))


def test_maps_are_right_when_they_are_the_ones_to_measure(backend):
    """A map that stops to measure gives what it always gives."""
    data = [bytes([number]) * 100_000 for number in range(60)]
    function = parallel(zlib.crc32, backend=backend)
    for _ in range(4):
        assert list(function.map(data)) == [zlib.crc32(block) for block in data]
    assert list(parallel(double, backend=backend).map(range(10))) == list(range(0, 20, 2))


def test_a_map_measures_only_where_the_consumer_runs_items_and_nothing_else_does(monkeypatch):
    """The thread that reads what a worker sends would wait for what it has to read itself."""
    measured = []
    monkeypatch.setattr(_machine, "may_matter", lambda decision: True)
    monkeypatch.setattr(_machine, "measure", lambda: measured.append(True))
    items = range(5000)
    steering = Steering(Profile(double), Options(max_workers=1, shared=True), Source.of((items,)))  # it stays
    for running, sample in ((2, None), (1, None), (2, (items, items)), (1, (items, items))):
        assert not measured
        steering.pause = 0.0
        steering.learn(BatchResult([], {}, batch(100, 20e-6)), 4000, running, running, sample)
    assert measured
