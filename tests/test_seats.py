"""Threads and workers that compute wake on CPUs of their own, and whatever they run may use all CPUs."""

import mmap
import os
import subprocess
import sys
import threading
from concurrent.futures import wait

import pytest

from parallel_deco import _seats, kernels, parallel
from parallel_deco._seats import SIZE, Seat, go, here
from parallel_deco._waiting import Bell
from parallel_deco.backends.threads import ThreadBackend

several = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="nobody can be moved"
)


class Sleeper:
    """A thread that waits to be woken, sits down, and says which CPUs it may use."""

    def __init__(self):
        self.seat = Seat()
        self.bell = Bell()
        self.begun = threading.Event()
        self.may = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self.begun.wait()

    def _run(self):
        self.native = threading.get_native_id()
        self.begun.set()
        self.bell.wait(60)
        self.seat.sit()
        self.may = os.sched_getaffinity(0)

    def wake(self):
        self.bell.ring()
        self.thread.join()
        self.seat.leave()


@pytest.fixture
def others(monkeypatch):
    """Have nobody be left alone because other programs run."""
    monkeypatch.setattr(_seats, "OTHERS", 1000)


@several
@pytest.mark.usefixtures("others")
def test_each_has_a_cpu_of_its_own_when_several_are_woken():
    """As long as there are CPUs; who is asleep has one only, and all of them when it is at work."""
    may = os.sched_getaffinity(0)
    sleepers = [Sleeper() for _ in range(min(4, len(may)) + 1)]
    try:
        moved = [sleeper.seat.usher(sleeper.native) for sleeper in sleepers]
        masks = [os.sched_getaffinity(sleeper.native) for sleeper in sleepers]
        seats = [sleeper.seat.cpu for sleeper in sleepers]
    finally:
        for sleeper in sleepers:
            sleeper.wake()
    assert moved[:-1] == [True] * (len(sleepers) - 1)
    assert masks[:-1] == [{cpu} for cpu in seats[:-1]]
    assert len(set(seats[:-1])) == len(seats) - 1
    assert moved[-1] == (len(may) > len(sleepers) - 1)  # the last one has no CPU where there is none left
    assert [sleeper.may for sleeper in sleepers] == [may] * len(sleepers)


@several
@pytest.mark.usefixtures("others")
def test_thread_is_left_alone_when_it_may_use_one_cpu():
    """Its own choice, or the user's, is not touched."""
    sleeper = Sleeper()
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(sleeper.native, {cpu})
    try:
        assert not sleeper.seat.usher(sleeper.native)
    finally:
        sleeper.wake()
    assert sleeper.may == {cpu}


@several
@pytest.mark.usefixtures("others")
def test_mask_is_not_lost_when_a_thread_is_moved_twice_before_it_wakes():
    """The second time there is only the narrow one to be seen."""
    sleeper = Sleeper()
    try:
        assert sleeper.seat.usher(sleeper.native)
        assert not sleeper.seat.usher(sleeper.native)
    finally:
        sleeper.wake()
    assert sleeper.may == os.sched_getaffinity(0)


@several
def test_nobody_is_moved_when_other_programs_run(monkeypatch):
    """The system knows better than we do which CPU is free."""
    monkeypatch.setattr(_seats, "OTHERS", -1000)
    sleeper = Sleeper()
    try:
        assert not sleeper.seat.usher(sleeper.native)
        assert os.sched_getaffinity(sleeper.native) == os.sched_getaffinity(0)
    finally:
        sleeper.wake()


@several
@pytest.mark.usefixtures("others")
def test_seat_is_the_same_when_its_memory_is_shared():
    """Two processes have one each, over the same page."""
    with mmap.mmap(-1, 4096) as page:
        ours, theirs = (Seat(memoryview(page)[64 : 64 + SIZE]) for _ in range(2))
        sleeper = Sleeper()
        sleeper.seat = theirs
        try:
            assert ours.usher(sleeper.native)
            assert theirs.cpu == ours.cpu
        finally:
            sleeper.wake()
        assert sleeper.may == os.sched_getaffinity(0)
        ours.release()
        theirs.release()
        theirs.sit()  # harmless


@several
def test_thread_goes_where_it_is_told_and_may_be_anywhere_then(until):
    """The system may move it again, so it tells itself more than once."""
    may = os.sched_getaffinity(0)
    for cpu in [*may, *may]:
        until(lambda cpu=cpu: go(cpu) or here() == cpu)
        assert os.sched_getaffinity(0) == may


@several
def test_thread_goes_nowhere_else_when_it_may_use_one_cpu(monkeypatch):
    """Nor to a CPU that there is not."""
    found = []

    def stay():
        own, *others = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {own})  # this thread's alone
        for cpu in (*others, 100_000, -1):
            go(cpu)
            found.append(os.sched_getaffinity(0) == {own} and here() == own)

    thread = threading.Thread(target=stay)
    thread.start()
    thread.join()
    assert found
    assert all(found)
    monkeypatch.setattr(_seats, "MOVES", False)
    assert here() == -1


@several
def test_threads_may_use_all_cpus_when_they_waited_where_their_caller_is():
    """And so may the workers that were woken elsewhere."""
    may = os.sched_getaffinity(0)
    function = parallel(_may_use, backend="processes")
    found = {frozenset(function.submit().result()) for _ in range(200)}
    assert found == {frozenset(may)}
    readers = [thread for thread in threading.enumerate() if thread.name.startswith("parallel_deco-reader")]
    assert readers
    for reader in readers:
        assert os.sched_getaffinity(reader.native_id) == may


def _may_use():
    return os.sched_getaffinity(0)


def test_memory_must_be_large_enough():
    """Nothing is written beyond its end."""
    with pytest.raises(ValueError, match="too small"):
        Seat(bytearray(SIZE - 1))


@several
@pytest.mark.usefixtures("others")
def test_function_may_use_all_cpus_when_its_thread_was_moved():
    """So may what it starts; on every route, in maps and submits."""
    expected = len(os.sched_getaffinity(0))
    for backend in ("threads", "processes", "auto"):
        work = parallel(_cpus, backend=backend, shared=False)
        found = [count for _ in range(10) for count in work.map([100_000] * 12)]
        futures = [work.submit(100_000) for _ in range(12)]
        wait(futures)
        found += [future.result() for future in futures]
        assert set(found) == {expected}, backend
    work = parallel(_cpus_of_a_child, backend="threads")
    for _ in range(3):
        assert set(work.map([100_000] * 4)) == {expected}


def _cpus(size):
    found = len(os.sched_getaffinity(0))
    kernels.count_primes(10**9, 10**9 + size)
    return found if len(os.sched_getaffinity(0)) == found else -1


def _cpus_of_a_child(size):
    kernels.count_primes(10**9, 10**9 + 100 * size)  # so that it is known to compute
    program = "import os; print(len(os.sched_getaffinity(0)))"
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)


def fail(thread):
    """Be the start of a thread where there can be no more."""
    raise RuntimeError("can't start new thread")


@pytest.fixture
def one_thread(monkeypatch):
    """Return a pool with one thread, which is busy until the event is set, and can have no more."""
    pool, go_on = ThreadBackend(), threading.Event()
    pool.call(go_on.wait)
    monkeypatch.setattr(threading.Thread, "start", fail)
    yield pool, go_on
    go_on.set()
    pool.shutdown()


def test_calls_wait_for_a_busy_thread_when_no_other_can_be_had(one_thread):
    """In their order."""
    pool, go_on = one_thread
    called, over = [], threading.Event()
    for number in range(3):
        pool.call(lambda number=number: called.append(number))
    pool.call(over.set)
    assert called == []
    go_on.set()
    assert over.wait(30)
    assert called == [0, 1, 2]
    assert pool.threads == 1


def test_calls_that_wait_for_a_thread_run_when_the_pool_is_shut_down(one_thread, until):
    """The thread has them before it is sent home."""
    pool, go_on = one_thread
    called = []
    for number in range(3):
        pool.call(lambda number=number: called.append(number))
    pool.shutdown(wait=False)
    go_on.set()
    until(lambda: len(called) == 3)
    assert called == [0, 1, 2]


def test_calls_that_wait_for_a_thread_do_not_wait_for_one_that_hangs(monkeypatch):
    """At a shutdown too, whichever comes to its end first has them."""
    pool, hangs, go_on = ThreadBackend(), threading.Event(), threading.Event()
    pool.call(hangs.wait)
    pool.call(go_on.wait)
    monkeypatch.setattr(threading.Thread, "start", fail)
    called, over = [], threading.Event()
    pool.call(lambda: called.append(1))
    pool.call(over.set)
    pool.shutdown(wait=False)
    go_on.set()
    assert over.wait(30)
    assert called == [1]
    hangs.set()
    pool.shutdown()


def test_thread_is_found_again_when_it_has_run_what_waited(one_thread, until):
    """It rests then, and gets the next call at once, although no other can be had."""
    pool, go_on = one_thread
    first, second = threading.Event(), threading.Event()
    pool.call(first.set)
    go_on.set()
    assert first.wait(30)
    until(lambda: pool.resting)
    pool.call(second.set)
    assert second.wait(30)


def test_call_is_refused_when_no_thread_can_be_had(monkeypatch):
    """And does not run later, when one can."""
    pool, called = ThreadBackend(), []
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="can't start"):
        pool.call(lambda: called.append(1))
    monkeypatch.undo()
    over = threading.Event()
    pool.call(over.set)
    assert over.wait(30)
    assert called == []
    pool.shutdown()
