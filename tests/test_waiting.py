"""Bells: who waits is woken, asleep or awake, and heeds signals."""

import os
import signal
import threading
import time

import pytest

from parallel_deco._waiting import Bell

DEADLINE = 30.0
SHORT = 0.05


def wait_short():
    """Have this thread stay awake the next time: its last wait was short."""
    bell = Bell()
    bell.ring()
    assert bell.wait(DEADLINE, True)


@pytest.fixture(params=[False, True], ids=["asleep", "awake"])
def alert(request):
    if request.param:
        wait_short()
    return request.param


def test_bell_is_heard_when_it_rang_before(alert):
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.wait(0.0, alert)


@pytest.mark.parametrize("after", [0.0, 20e-6, 200e-6, 5e-3])
def test_bell_is_heard_when_it_rings_while_somebody_waits(alert, after):
    for _ in range(50):
        bell = Bell()

        def ring(bell=bell):
            time.sleep(after)
            bell.ring()

        ringer = threading.Thread(target=ring)
        ringer.start()
        assert bell.wait(DEADLINE, alert)
        ringer.join(DEADLINE)


@pytest.mark.parametrize("seconds", [0.0, 1e-4, SHORT])
def test_wait_ends_when_nobody_rings(alert, seconds):
    began = time.monotonic()
    assert not Bell().wait(seconds, alert)
    assert time.monotonic() - began >= seconds


def test_all_are_woken_when_several_wait():
    """One of them stays awake; each hears its own bell only."""
    bells = [Bell() for _ in range(8)]
    heard = []

    def wait(number):
        wait_short()
        while not bells[number].wait(1e-3, True):
            wait_short()
        heard.append(number)

    waiters = [threading.Thread(target=wait, args=(number,)) for number in range(len(bells))]
    for waiter in waiters:
        waiter.start()
    for number in (3, 0, 7, 1, 2, 6, 5, 4):
        bells[number].ring()
        waiters[number].join(DEADLINE)
    assert heard == [3, 0, 7, 1, 2, 6, 5, 4]


def test_signal_is_heeded_when_it_comes_while_somebody_is_awake(alert):
    """What its handler raises comes out of the wait; or of the next: one that comes just before the sleep is not heard."""

    class Interruption(Exception):
        pass

    def handle(number, frame):
        raise Interruption

    def wait(microseconds):
        if alert:
            wait_short()
        signal.setitimer(signal.ITIMER_REAL, 1e-6 * microseconds)
        while not Bell().wait(SHORT, alert):
            pass

    before = signal.signal(signal.SIGALRM, handle)
    try:
        for microseconds in (20, 100, 1000):
            with pytest.raises(Interruption):
                wait(microseconds)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_bell_is_heard_in_a_child_when_the_parent_forked_while_a_thread_was_awake():
    bell = Bell()

    def stay_awake():
        while not bell.wait(1e-3, True):
            wait_short()

    waiter = threading.Thread(target=stay_awake)
    waiter.start()
    for _ in range(5):
        child = os.fork()
        if not child:
            wait_short()
            own = Bell()
            threading.Timer(1e-3, own.ring).start()
            os._exit(0 if own.wait(DEADLINE, True) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    bell.ring()
    waiter.join(DEADLINE)
