"""How many threads wait at once: `Reach` finds the width of what is waited for, whatever it is."""

import heapq
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_deco import parallel
from parallel_deco.routing.reach import FIRST, MOST, Reach


def served(reach, capacity, items, each=0.01):
    """Send items through a server that serves so many at once, with as many waiting as the reach says."""
    places = [0.0] * capacity  # when each of the server's places is free again
    threads = [0.0] * reach.width  # when each of ours is
    now = 0.0
    for _ in range(items):
        while len(threads) > reach.width:
            heapq.heappop(threads)
        threads += [now] * (reach.width - len(threads))
        now = heapq.heappop(threads)
        done = max(now, heapq.heappop(places)) + each
        heapq.heappush(places, done)
        heapq.heappush(threads, done)
        reach.learn(1, done - now, reach.width, done)
    return reach.width


@given(st.integers(1, 2000), st.floats(1e-4, 10.0))
@settings(max_examples=60, deadline=None)
def test_width_is_the_servers_when_it_has_one(capacity, each):
    """At least what the server can do, at most twice that; never below what is always given, nor above the most."""
    width = served(Reach(), capacity, 40 * MOST, each)
    assert FIRST <= width <= MOST
    assert width <= max(FIRST, 2 * capacity)
    assert width >= min(MOST, capacity) / 2


def test_width_stays_when_few_run():
    """A window or an input that keeps threads idle says nothing of what more of them would do."""
    reach = Reach()
    for number in range(1000):
        reach.learn(1, 0.01, FIRST // 2, number * 1e-3)
    assert reach.width == FIRST
    assert not reach.settled


def test_width_is_found_when_jobs_come_with_pauses():
    """The time between two maps is nobody's; nor is that in which more run than it was asked for."""
    reach, now = Reach(), 0.0
    for _ in range(30):
        for _ in range(20):
            now += 0.02
            for _ in range(reach.width):
                reach.learn(1, 0.02, reach.width, now)
        now += 100.0
        reach.learn(1, 0.02, reach.width + 10, now)
    assert reach.width == MOST


def test_width_is_kept_when_it_was_found():
    """What comes later does not change it."""
    reach = Reach()
    width = served(reach, 50, 5000)
    assert reach.settled
    assert served(reach, 1000, 5000) == width


@given(
    st.lists(st.tuples(st.integers(0, 100), st.floats(0, 1e3), st.integers(0, 300), st.floats(0, 1e6)), max_size=200)
)
@settings(deadline=None)
def test_width_is_possible_when_anything_is_told(told):
    """A power of two between the first and the most, whatever the clocks say."""
    reach = Reach()
    for items, wall, running, now in told:
        reach.learn(items, wall, running, now)
        assert reach.width in (FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST)


def test_more_threads_wait_when_that_pays():
    """Sleeps have no width of their own: the second map has more than 32 at once; `max_workers` stays the most."""
    wide, narrow = parallel(time.sleep), parallel(time.sleep, max_workers=40)
    for function in (wide, narrow):
        list(function.map([0.02] * 400))
        list(function.map([0.02] * 400))
    assert wide.explain().width > 32
    assert narrow.explain().width <= 40
