"""`measure`: wall, CPU, GIL and waiting time of a call, against functions whose truth is known by construction."""

import math
import threading
import time
from pathlib import Path

import pytest

from benchmarks.sampler import hold, release
from parallel_deco import _sampler, measure, parallel
from parallel_deco._cpus import gil_enabled
from parallel_deco._errors import ParallelError

#: How often something is tried that another program can spoil.
SEVERAL = 10
ROOT = Path(__file__).resolve().parent.parent

needs_sampler = pytest.mark.skipif(not (_sampler.works and gil_enabled()), reason="nobody holds a GIL here")


@needs_sampler
@pytest.mark.parametrize("free", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_share_of_the_gil_is_found_when_it_is_known(free, run_program):
    """Within 0.05 of the truth, whatever other programs do: shares are of the call's own CPU time.

    In a program of its own: a thread that another test left for a while would take turns with it.
    """
    source = f"""
import sys
sys.path.append({str(ROOT)!r})
from parallel_deco import measure
from benchmarks.sampler import WHOLE, mixed
for _ in range(6):  # a machine that is busy may keep the sampler itself from looking
    seen = measure(mixed, {free})
    assert seen.confident
    assert 0.8 * WHOLE < seen.cpu < 1.3 * WHOLE, seen
    if abs(1 - seen.gil / seen.cpu - seen.value) <= 0.05:
        break
else:
    print("missed", seen)
"""
    assert run_program(source) == (0, "", "")


@needs_sampler
def test_gil_is_held_when_a_wait_does_not_release_it():
    """A call into C that sleeps with the GIL held is the worst neighbour of all, and is seen to be."""
    import ctypes

    if not hasattr(ctypes, "PyDLL") or not hasattr(ctypes.PyDLL(None), "usleep"):
        pytest.skip("no usleep here")
    seen = measure(ctypes.PyDLL(None).usleep, 50_000)
    assert seen.waiting > 0.8 * 50e-3  # and not of its elapsed time: it may wait for a CPU afterwards
    assert seen.gil > 0.8 * seen.waiting


def test_call_waits_when_it_sleeps():
    """Sleeping is waiting, without the GIL and without computing."""
    seen = measure(time.sleep, 0.05)
    assert seen.wall >= 0.05
    assert seen.waiting > 0.045
    assert seen.cpu < 0.02
    delay = seen.wall - seen.cpu - seen.waiting  # it may lack a CPU just before it lets go of the GIL
    assert math.isnan(seen.gil) or seen.gil < 0.02 + delay
    assert seen.value is None


def test_value_and_exception_are_the_functions():
    """It is called once, with its arguments; what it raises comes through."""
    calls = []

    def function(*args, **kwargs):
        calls.append((args, kwargs))
        return "value"

    assert measure(function, 1, key=2).value == "value"
    assert measure(parallel(function), 3).value == "value"
    assert calls == [((1,), {"key": 2}), ((3,), {})]
    with pytest.raises(ZeroDivisionError):
        measure(lambda: 1 / 0)
    assert not issubclass(ZeroDivisionError, ParallelError)


def test_it_is_not_confident_when_the_call_is_too_short():
    """A microsecond is over before anybody can look; on a build without a GIL there is nothing to look for."""
    seen = measure(abs, -1)
    assert seen.confident is (not gil_enabled())
    assert seen.samples <= 1 + seen.wall / 50e-6  # on a busy machine, even this may take a while


@needs_sampler
def test_each_thread_is_read_for_itself_when_many_measure():
    """A thread that computes and one that sleeps are not mixed up."""
    found = {}

    def look(name, function, seconds):
        found[name] = measure(function, seconds)

    def right():
        threads = [
            threading.Thread(target=look, args=(name, function, 0.1))
            for name, function in [("hold", hold), ("sleep", time.sleep), ("release", release)]
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (
            found["hold"].gil > 0.6 * found["hold"].cpu
            and found["release"].gil < 0.4 * found["release"].cpu  # it asks for the time with the GIL held
            and found["sleep"].gil < 0.2 * found["sleep"].wall
        )

    assert any(right() for _ in range(SEVERAL)), found


@needs_sampler
def test_it_works_when_more_threads_measure_than_it_has_places_for():
    """Those that find no place are not seen, and say so."""
    others = list(iter(_sampler.begin, -1))
    for slot in others[:40]:
        _sampler.end(slot)
    barrier = threading.Barrier(80)

    def work():
        barrier.wait(30)
        time.sleep(0.05)

    found = []
    threads = [threading.Thread(target=lambda: found.append(measure(work))) for _ in range(80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(seen.wall >= 0.05 for seen in found)
    assert any(seen.samples for seen in found)
    assert not all(seen.samples for seen in found)
    for slot in others[40:]:
        _sampler.end(slot)
