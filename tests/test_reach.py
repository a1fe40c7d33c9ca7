"""How many threads wait at once: `Reach` finds the width of what is waited for, whatever it is."""

import heapq
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_deco import parallel
from parallel_deco.routing.reach import FIRST, MOST, Reach


def served(reach, capacity, items, each=0.01, now=0.0):
    """Send items through a server that serves so many at once; return how many threads there were at each."""
    places = [now] * capacity  # when each of the server's places is free again
    threads = [now] * reach.width  # when each of ours is
    widths = []
    for _ in range(items):
        while len(threads) > reach.width:
            heapq.heappop(threads)
        threads += [now] * (reach.width - len(threads))
        now = heapq.heappop(threads)
        done = max(now, heapq.heappop(places)) + each
        heapq.heappush(places, done)
        heapq.heappush(threads, done)
        reach.learn(1, done - now, reach.width, done)
        widths.append(reach.width)
    return widths


def resting(reach):
    """Return the width that was found: what is on trial is twice that."""
    return reach.width // 2 if reach.trying else reach.width


@given(st.integers(1, 2000), st.floats(1e-4, 10.0))
@settings(max_examples=60, deadline=None)
def test_width_is_the_servers_when_it_has_one(capacity, each):
    """At least what the server can do, at most twice that; never below what is always given, nor above the most."""
    reach = Reach()
    served(reach, capacity, 40 * MOST, each)
    assert FIRST <= resting(reach) <= MOST
    assert resting(reach) <= max(FIRST, 2 * capacity)
    assert resting(reach) >= min(MOST, capacity) / 2


def test_trials_are_rare_when_they_are_in_vain():
    """A server that never grows is given twice what it can do for a small part of the time, less and less."""
    wide = [width > 32 for width in served(Reach(), 32, 100_000)]
    assert 0 < sum(wide[:10_000]) < 2_000
    assert 0 < sum(wide[10_000:]) < 3_000


@pytest.mark.parametrize(("each", "width"), [(0.0011, MOST), (0.0015, FIRST)])
def test_width_stays_when_items_take_longer_than_alone(each, width):
    """Threads that are in each other's way already, although more of them would get more done for now."""
    reach, now = Reach(), 0.0
    for _ in range(40 * MOST):
        now += each / reach.width
        reach.learn(1, each, reach.width, now, alone=0.001)
    assert resting(reach) == width


def test_width_stays_when_few_run():
    """A window or an input that keeps threads idle says nothing of what more of them would do."""
    reach = Reach()
    for number in range(1000):
        reach.learn(1, 0.01, FIRST // 2, number * 1e-3)
    assert reach.width == FIRST


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


def test_width_follows_when_the_server_changes():
    """It grows with a server that grows, although more was tried in vain before."""
    reach = Reach()
    served(reach, 50, 5000)
    assert resting(reach) <= 64
    served(reach, 1000, 50_000, now=10.0)
    assert resting(reach) == MOST


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
    """Sleeps have no width of their own: more than 32 wait at once, sooner or later; `max_workers` stays the most."""
    wide, narrow = parallel(time.sleep), parallel(time.sleep, max_workers=40)
    for _ in range(60):  # on a busy machine more threads may not pay, for a while; and not for what is shorter
        list(wide.map([0.1] * 200))
        if wide.explain().width > 32:
            break
    assert wide.explain().width > 32
    list(narrow.map([0.02] * 400))
    list(narrow.map([0.02] * 400))
    assert narrow.explain().width <= 40
