"""Bells: who waits is woken, and heeds signals."""

import signal
import sys
import threading
import time

import pytest

from parallel_deco._waiting import Bell, Mailbox, stayed_awake

DEADLINE = 30.0
SHORT = 0.05


@pytest.mark.parametrize("soon", [False, True])
def test_bell_is_heard_when_it_rang_before(soon):
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.wait(0.0, soon)


@pytest.mark.parametrize("soon", [False, True])
@pytest.mark.parametrize("after", [0.0, 20e-6, 200e-6, 5e-3])
def test_bell_is_heard_when_it_rings_while_somebody_waits(after, soon):
    for _ in range(50):
        bell = Bell()

        def ring(bell=bell):
            time.sleep(after)
            bell.ring()

        ringer = threading.Thread(target=ring)
        ringer.start()
        assert bell.wait(DEADLINE, soon)
        ringer.join(DEADLINE)


@pytest.mark.parametrize("soon", [False, True])
@pytest.mark.parametrize("seconds", [0.0, 1e-4, SHORT])
def test_wait_ends_when_nobody_rings(seconds, soon):
    began = time.monotonic()
    assert not Bell().wait(seconds, soon)
    assert time.monotonic() - began >= seconds - 1e-5  # it counts in whole microseconds


@pytest.mark.parametrize("wait", [Bell().wait, Mailbox().wait])
def test_wait_ends_when_its_time_is_over_before_it_begins(wait):
    """Less than no time is for ever, as locks see it."""
    for microseconds in range(20_000):
        assert not wait(1e-6 * (microseconds % 5))


@pytest.mark.parametrize("soon", [False, True])
def test_signal_is_heeded_when_it_comes_while_somebody_waits(soon):
    """What its handler raises comes out of the wait, or of the next: one just before the sleep is not heard."""

    class Interruption(Exception):
        pass

    def handle(number, frame):
        raise Interruption

    def wait(microseconds):
        signal.setitimer(signal.ITIMER_REAL, 1e-6 * microseconds)
        while not Bell().wait(SHORT, soon):
            pass

    before = signal.signal(signal.SIGALRM, handle)
    try:
        for microseconds in (20, 100, 1000):
            with pytest.raises(Interruption):
                wait(microseconds)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("pause", [0.0, 1e-3])
def test_calls_come_in_order_when_the_thread_is_awake_or_asleep(pause):
    """However the two meet, nothing is lost, and nothing comes twice."""
    box, heard, got = Mailbox(), [], threading.Semaphore(0)

    def serve():
        while box.wait(DEADLINE) and (call := box.take()) is not None:
            heard.append(call)
            got.release()

    thread = threading.Thread(target=serve)
    thread.start()
    for number in range(1, 301):
        box.put(number)
        if number % 3:
            box.put(-number)
            assert got.acquire(timeout=DEADLINE)
        assert got.acquire(timeout=DEADLINE)
        time.sleep(pause)
    box.put(None)
    thread.join(DEADLINE)
    assert heard == [call for number in range(1, 301) for call in ([number, -number] if number % 3 else [number])]
    assert box.is_empty()


def test_calls_of_many_threads_all_come():
    box, heard = Mailbox(), []

    def give(start):
        for number in range(start, start + 500):
            box.put(number)

    givers = [threading.Thread(target=give, args=(1000 * number,)) for number in range(4)]
    for giver in givers:
        giver.start()
    while len(heard) < 2000:
        assert box.wait(DEADLINE)
        heard.append(box.take())
    assert sorted(heard) == sorted(1000 * number + step for number in range(4) for step in range(500))
    assert not box.wait(SHORT)


def test_nobody_takes_what_is_not_there():
    box = Mailbox()
    assert box.is_empty()
    assert not box.wait(0.0)
    with pytest.raises(IndexError):
        box.take()


@pytest.mark.skipif(sys.platform == "win32", reason="nobody stays awake there")
def test_thread_stays_awake_only_when_its_last_wait_was_short():
    """And that is counted, for it is CPU time of the process and of no function."""
    box = Mailbox()
    time.sleep(SHORT)  # nobody else stays awake for so long
    before = stayed_awake()
    box.wait(SHORT)
    box.wait(SHORT)
    assert stayed_awake() == before
    for _ in range(1000):  # not while others want the CPUs
        box.put(1)
        assert box.wait(0.0)
        box.take()
        box.wait(1e-3)
        if stayed_awake() > before:
            break
    assert stayed_awake() > before


def test_bell_is_heard_when_it_is_to_ring_soon_and_there_is_one_after_the_other():
    """Two threads that play ball, each awake for the other: nothing is lost, whoever has the GIL."""
    there, back = [Bell() for _ in range(2000)], [Bell() for _ in range(2000)]

    def answer():
        for bell, other in zip(there, back, strict=True):
            assert bell.wait(DEADLINE, soon=True)
            other.ring()

    other = threading.Thread(target=answer)
    other.start()
    for bell, answered in zip(there, back, strict=True):
        bell.ring()
        assert answered.wait(DEADLINE, soon=True)
    other.join(DEADLINE)
