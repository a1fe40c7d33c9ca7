"""Short maps that go the way of one before them: unmeasured, the same results, and no longer than they are like it."""

import threading
import time
from contextvars import ContextVar
from itertools import islice

import pytest

from parallel_deco import _mapping, parallel
from parallel_deco._brief import MAPS, Brief
from parallel_deco._cpus import available_cpus
from parallel_deco._nesting import set_depth
from parallel_deco._options import Options
from parallel_deco.backends import pools
from parallel_deco.backends.batch import run_batch
from parallel_deco.routing.evidence import Evidence, Facts
from parallel_deco.routing.router import Situation, decide

SHORT = 0.2e-3
SEEN = ContextVar("SEEN", default=0)


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


def test_maps_stay_out_of_the_loop_when_one_found_that_items_wait_now():
    """What went by short maps before is forgotten then: no item of the next one runs here."""
    slow = threading.Event()

    @parallel(shared=False)
    def work(_):
        if slow.is_set():
            time.sleep(0.02)
        else:
            spin(SHORT)
        return threading.current_thread() is threading.main_thread()

    here = [all(work.map(range(10))) for _ in range(10)]
    assert sum(here) > 5  # on a busy machine it may have looked as if one waits
    slow.set()
    list(work.map(range(10)))
    assert not any(work.map(range(10)))


def test_context_is_that_of_the_map_when_items_of_short_ones_set_a_variable():
    """The caller's is as it was, and each map begins with it, whether it is measured or not."""

    @parallel(shared=True)
    def work(number):
        spin(SHORT)
        seen = SEEN.get()
        SEEN.set(number + 1)
        return seen

    for _ in range(25):
        first, *_ = work.map(range(5))
        assert first == 0
        assert SEEN.get() == 0


def test_sizes_are_kept_apart_when_short_maps_have_several_arguments():
    """What calls with large numbers take does not count for those with small ones, in `map` and in `starmap`."""

    @parallel(shared=False)
    def work(number, other):
        spin(SHORT if number < 50 else 2e-3)
        return number + other

    small, large = [1] * 10, [10**7] * 10
    for _ in range(8):
        assert list(work.map(small, small)) == [2] * 10
        assert list(work.starmap(zip(small, small, strict=True))) == [2] * 10
        assert list(work.starmap([*zip(small, small, strict=True)])) == [2] * 10
    for _ in range(4):
        assert list(work.map(large, large)) == [2 * 10**7] * 10
        assert list(work.starmap([*zip(large, large, strict=True)])) == [2 * 10**7] * 10
    walls = [work._profile.evidence((number, number), {}).facts().wall for number in (1, 10**7)]
    assert walls[0] < 1e-3 < walls[1]


def test_explanation_is_of_the_last_map_when_short_ones_differ_in_length():
    """It counts its items, and not those of the one that was decided about."""

    @parallel(shared=False)
    def work(number):
        spin(SHORT)
        return number

    for _ in range(8):
        list(work.map(range(12)))
    twelve = work.explain()
    list(work.map(range(3)))
    three = work.explain()
    items = [seen.predicted["serial"] / seen.readings.wall for seen in (three, twelve)]
    assert items[0] < items[1] / 2  # and not by the seconds: what disturbs one is in all
    if available_cpus() > 1:  # else that is the reason
        assert "the 12 items" in twelve.reason
        assert "the 3 items" in three.reason


def test_pickling_is_tried_when_a_long_map_follows_short_ones():
    """These need not know what it takes; before the long one leaves for other processes it is known."""

    @parallel(shared=False)
    def work(rows):
        spin(SHORT)
        return len(rows)

    rows = [{"number": number, "text": str(number)} for number in range(100)]
    for _ in range(8):
        assert list(work.map([rows] * 10)) == [100] * 10
    list(islice(work.map([rows] * 3000), 600))
    facts = work._profile.latest.facts()
    assert facts.weighed or work.explain().route != "processes"


def test_list_that_grows_is_mapped_to_its_end_when_the_maps_before_were_short():
    """As in a plain loop over it."""
    items = []
    elsewhere = []

    @parallel(shared=True)
    def work(number):
        spin(SHORT)
        if threading.current_thread() is not threading.main_thread():
            elsewhere.append(number)
        if number and len(items) < 12:
            items.append(number)
        return number

    for _ in range(10):
        items[:] = [0] * 6
        assert list(work.map(items)) == [0] * 6
    items[:] = [1] * 6
    grown = list(work.map(items))
    # On a busy machine it may have looked as if it waits; threads draw all that is there before the first item runs.
    assert grown == [1] * 12 or 1 in elsewhere


def test_tiny_jobs_run_unmeasured_when_they_are_known(monkeypatch):
    """Whatever is not known of them: four calls of a microsecond stay in the loop, and to look at them takes 100 µs."""
    measured = []
    monkeypatch.setattr(_mapping, "run_batch", lambda batch: measured.append(batch) or run_batch(batch))
    function = parallel(lambda x: x + 1)
    for _ in range(100):
        assert list(function.map(range(4))) == [1, 2, 3, 4]
    assert len(measured) > 10
    measured.clear()
    for _ in range(160):
        assert list(function.map(range(4))) == [1, 2, 3, 4]
    assert len(measured) < 80
