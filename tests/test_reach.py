"""How many threads wait at once: `Reach` finds the width of what is waited for, whatever it is."""

import heapq
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_deco import parallel
from parallel_deco.routing.reach import FIRST, MOST, Reach


def served(reach, capacity, items, each=0.01):
    """Send items through a server that serves so many at once; return how many threads there were at each."""
    now = 0.0
    places = [now] * capacity  # when each of the server's places is free again
    flying = []  # when each item ends, when it began, and how many others flew then
    widths = []
    for _ in range(items):
        while len(flying) >= reach.width:
            now, began, beside = heapq.heappop(flying)
            reach.learn(1, now - began, beside)
        done = max(now, heapq.heappop(places)) + each
        heapq.heappush(places, done)
        heapq.heappush(flying, (done, now, len(flying) + 1))
        widths.append(reach.width)
    for end, began, beside in sorted(flying):
        reach.learn(1, end - began, beside)
    return widths


def resting(reach):
    """Return the width that was found: what is on trial is twice that."""
    return reach.width // 2 if reach.trying else reach.width


@given(st.integers(1, 2000), st.floats(1e-2, 10.0))
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


@pytest.mark.parametrize(("each", "width"), [(0.011, MOST), (0.015, FIRST), (0.001, FIRST)])
def test_width_stays_when_threads_are_in_each_others_way(each, width):
    """Their items take longer than alone; or are so short that they take turns to wake."""
    reach = Reach()
    for _ in range(40 * MOST):
        reach.learn(1, each, reach.width, alone=min(each, 0.01))
    assert resting(reach) == width


def test_width_stays_when_few_run():
    """A window or an input that keeps threads idle says nothing of what more of them would do."""
    reach = Reach()
    for _ in range(1000):
        reach.learn(1, 0.01, FIRST // 2)
    assert reach.width == FIRST


@pytest.mark.parametrize("items", [34, 40, 60, 200])
def test_width_grows_when_jobs_are_short(items):
    """Each ends before its threads have run two items each; and that more ran than it was asked for says nothing."""
    reach = Reach()
    for _ in range(40):
        served(reach, MOST, items)
        reach.learn(1, 0.02, reach.width + 10)
    assert reach.width >= min(MOST, items)


@pytest.mark.parametrize("items", [34, 40, 60, 200])
def test_width_is_the_servers_when_jobs_are_short(items):
    """More threads than it serves at once is tried, and then no more than that."""
    reach = Reach()
    for _ in range(100):
        served(reach, 16, items)
    assert resting(reach) == FIRST


def test_width_follows_when_the_server_changes():
    """It grows with a server that grows, although more was tried in vain before."""
    reach = Reach()
    served(reach, 50, 5000)
    assert resting(reach) <= 64
    served(reach, 1000, 50_000)
    assert resting(reach) == MOST


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 1e3), st.integers(0, 300)), max_size=200))
@settings(deadline=None)
def test_width_is_possible_when_anything_is_told(told):
    """A power of two between the first and the most, whatever was told."""
    reach = Reach()
    for items, wall, beside in told:
        reach.learn(items, wall, beside)
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
