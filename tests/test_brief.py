"""Short maps that go the way of one before them: unmeasured, the same results, and no longer than they are like it."""

import threading
import time

import pytest

from parallel_deco import parallel
from parallel_deco._brief import MAPS, Brief
from parallel_deco._nesting import set_depth
from parallel_deco._options import Options
from parallel_deco.backends import pools
from parallel_deco.routing.evidence import Evidence, Facts
from parallel_deco.routing.router import Situation, decide

SHORT = 0.2e-3


def spin(seconds):
    """Compute for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def brief(items=10):
    """Return one of so many items, and what it was made from."""
    pool = pools.process_pool()
    here = Situation(items=items, cpus=2, workers=0 if pool is None else pool.workers)
    facts = Facts(items=100, seconds=0.1, wall=1e-4, cpu=1e-4, gil=1e-4, samples=10)
    evidence, options = Evidence(), Options()
    return Brief(decide(facts, here), items, evidence, options), evidence, options


def test_brief_covers_so_many_maps_that_are_no_longer_when_nothing_changes():
    """Then one is to be measured again."""
    one, evidence, options = brief()
    covered = [one.covers(1 + number % 10, evidence, options) for number in range(MAPS + 5)]
    assert covered == [True] * MAPS + [False] * 5


def test_brief_does_not_cover_a_map_when_something_about_it_differs():
    """More items, calls of another size, other options, another depth; and these do not count."""
    one, evidence, options = brief()
    assert not one.covers(11, evidence, options)
    assert not one.covers(10, Evidence(), options)
    assert not one.covers(10, evidence, Options(max_workers=3))
    before = set_depth(5)
    try:
        assert not one.covers(10, evidence, options)
    finally:
        set_depth(before)
    assert [one.covers(10, evidence, options) for _ in range(MAPS)] == [True] * MAPS


def test_brief_does_not_cover_a_map_when_worker_processes_have_come_meanwhile():
    """The loop may have been right only because they would have had to be started."""
    one, evidence, options = brief()
    pool = pools.processes()
    there = pool.workers

    @parallel(backend="processes", max_workers=there + 1)
    def work(number):
        return number

    assert list(work.map(range(20))) == list(range(20))
    if pool.workers == there:
        pytest.skip("as many as there were")
    assert not one.covers(10, evidence, options)


def test_short_maps_give_what_the_loop_gives_when_there_are_many():
    """All of them, those that are measured and those that are not; an exception has its note in both."""

    @parallel(shared=False)
    def work(number):
        spin(SHORT)
        if number < 0:
            raise ValueError(number)
        return 2 * number

    for count in range(40):
        assert list(work.map(range(count % 10))) == [2 * number for number in range(count % 10)]
        with pytest.raises(ValueError, match="-1") as caught:
            list(work.map([1, 2, -1, 3]))
        assert caught.value.__notes__[0].startswith("raised by item 2 of a map of ")
    assert work.explain().route == "serial"


def test_map_leaves_the_loop_when_its_items_wait_and_those_of_short_ones_before_did_not():
    """The time that a stretch may take is what it was to take, twice; then it is decided as ever."""
    slow = threading.Event()
    running, most = [], []

    @parallel(shared=False)
    def work(number):
        if not slow.is_set():
            spin(SHORT)
            return number
        running.append(number)
        time.sleep(0.05)
        most.append(len(running))
        running.remove(number)
        return number

    for _ in range(10):
        assert list(work.map(range(10))) == list(range(10))
    assert work.explain().route == "serial"
    slow.set()
    assert list(work.map(range(10))) == list(range(10))
    assert max(most) > 1


def test_list_that_grows_is_mapped_to_its_end_when_the_maps_before_were_short():
    """As in a plain loop over it."""
    items = []

    @parallel(shared=True)
    def work(number):
        spin(SHORT)
        if number and len(items) < 12:
            items.append(number)
        return number

    for _ in range(10):
        items[:] = [0] * 6
        assert list(work.map(items)) == [0] * 6
    items[:] = [1] * 6
    assert list(work.map(items)) == [1] * 12
