"""Bells: who waits is woken, and heeds signals."""

import signal
import sys
import threading
import time

import pytest

from parallel_deco._waiting import Bell, Vigil, stayed_awake

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


def test_vigil_ends_when_it_is_called_or_nothing_comes():
    """However the two meet, it ends, and what was said is not lost: a call before it counts too."""
    vigil, heard = Vigil(), []

    def keep():
        while len(heard) < 200:
            vigil.end(0.0)  # the last wait was short
            vigil.keep()
            if box:
                heard.append(box.pop())
                vigil.begin()
                called.set()

    box, called = [], threading.Event()
    keeper = threading.Thread(target=keep)
    keeper.start()
    for number in range(200):
        called.clear()
        box.append(number)
        vigil.call()
        assert called.wait(DEADLINE)
    keeper.join(DEADLINE)
    assert heard == list(range(200))


@pytest.mark.skipif(sys.platform == "win32", reason="nobody stays awake there")
def test_vigil_is_kept_only_when_the_last_wait_was_short():
    """And that is counted, for it is CPU time of the process and of no function."""
    vigil = Vigil()
    time.sleep(SHORT)  # nobody else stays awake for so long
    before = stayed_awake()
    vigil.keep()
    vigil.end(DEADLINE)
    vigil.keep()
    assert stayed_awake() == before
    for _ in range(1000):  # not while others want the CPUs
        vigil.end(0.0)
        vigil.keep()
        if stayed_awake() > before:
            break
        time.sleep(1e-3)
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
