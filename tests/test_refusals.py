"""What could not be sent to another process keeps its own map here, and the function only where that is at fault."""

import os
import threading

import pytest

from parallel_deco import parallel
from parallel_deco._cpus import available_cpus
from parallel_deco.routing.refusals import Refusals
from tests.workloads import burn

DEADLINE = 30.0
several_cpus = pytest.mark.skipif(available_cpus() == 1, reason="no process is worth it on one CPU")


def away(_):
    """Choose processes, where they are open."""
    return "processes"


def left_out(refusals, tries):
    """Return how many tries were left out between those that were made, if each is refused."""
    counts = []
    for _ in range(tries):
        count = 0
        while refusals.ask() is not None:
            count += 1
        counts.append(count)
        refusals.refused("a generator")
    return counts


def test_tries_become_rare_when_each_is_refused():
    """What never travels costs a number of tries that grows with the logarithm of the work."""
    assert left_out(Refusals(), 6) == [0, 0, 1, 3, 7, 15]
    assert left_out(Refusals(8), 4) == [0, 8, 17, 35]


def test_tries_are_not_rare_when_most_travel():
    """One of a hundred that is refused is forgiven: nothing is left out for long."""
    refusals = Refusals()
    for _ in range(10):
        refusals.refused("a generator")
        assert [refusals.ask() for _ in range(100)] == [None] * 100


def test_one_refusal_counts_when_several_come_at_once():
    """Those that were under way together say it once, and the reason is kept."""
    refusals = Refusals(3)
    for _ in range(5):
        refusals.refused("a lock")
    assert [refusals.ask() for _ in range(5)] == ["when it was last tried, a lock"] * 3 + [None] * 2


def locks_on_three(x):
    """Compute, and return what cannot come back, or where it ran."""
    return threading.Lock() if burn(1e-3) and x == 3 else os.getpid()


@several_cpus
def test_next_map_leaves_when_an_item_of_the_last_could_not():
    """One unpicklable result keeps its map here, which says so; the next may go."""
    function = parallel(locks_on_three, backend=away)
    assert list(function.map([0] * 40 + [3] + [0] * 40))[40] is not None
    assert "cannot come back" in str(function.explain())
    assert set(function.map([0] * 40)) - {os.getpid()}
    assert "cannot come back" not in str(function.explain())


@several_cpus
def test_later_calls_leave_when_an_earlier_one_could_not():
    """Processes are tried again for submits, after a while."""
    function = parallel(locks_on_three, backend=away)
    for number in [0, 0, 3, 3]:
        function.submit(number).result(DEADLINE)
    assert any(function.submit(0).result(DEADLINE) != os.getpid() for _ in range(2000))


@several_cpus
def test_function_stays_when_it_cannot_travel_itself():
    """What holds a lock is tried once: no other map of it can go either, and `explain` says why."""
    lock = threading.Lock()

    def function(_):
        burn(1e-3)
        return lock and os.getpid()

    function = parallel(function, backend=away, shared=False)
    for _ in range(3):
        assert set(function.map(range(20))) == {os.getpid()}
        assert "cannot be sent to another process" in str(function.explain())
        assert "processes" not in function.explain().predicted
