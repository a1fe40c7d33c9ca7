"""Bells: who waits is woken, and heeds signals."""

import signal
import threading
import time

import pytest

from parallel_deco._waiting import Bell

DEADLINE = 30.0
SHORT = 0.05


def test_bell_is_heard_when_it_rang_before():
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.wait(0.0)


@pytest.mark.parametrize("after", [0.0, 20e-6, 200e-6, 5e-3])
def test_bell_is_heard_when_it_rings_while_somebody_waits(after):
    for _ in range(50):
        bell = Bell()

        def ring(bell=bell):
            time.sleep(after)
            bell.ring()

        ringer = threading.Thread(target=ring)
        ringer.start()
        assert bell.wait(DEADLINE)
        ringer.join(DEADLINE)


@pytest.mark.parametrize("seconds", [0.0, 1e-4, SHORT])
def test_wait_ends_when_nobody_rings(seconds):
    began = time.monotonic()
    assert not Bell().wait(seconds)
    assert time.monotonic() - began >= seconds - 1e-5  # it counts in whole microseconds


def test_signal_is_heeded_when_it_comes_while_somebody_waits():
    """What its handler raises comes out of the wait, or of the next: one just before the sleep is not heard."""

    class Interruption(Exception):
        pass

    def handle(number, frame):
        raise Interruption

    def wait(microseconds):
        signal.setitimer(signal.ITIMER_REAL, 1e-6 * microseconds)
        while not Bell().wait(SHORT):
            pass

    before = signal.signal(signal.SIGALRM, handle)
    try:
        for microseconds in (20, 100, 1000):
            with pytest.raises(Interruption):
                wait(microseconds)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
