"""Threads are started so that Ctrl-C is never taken for a lack of threads."""

import threading
import time

import pytest

from parallel_deco._starting import start_thread
from parallel_deco.backends.threads import ThreadBackend

#: Seconds that anything here may take; far more than it does.
DEADLINE = 30.0

REAL = threading.Thread


class InterruptedThread(REAL):
    """One that runs, while whoever started it is told what `threading` makes of Ctrl-C in a bad moment."""

    def start(self):
        super().start()
        try:
            raise KeyboardInterrupt
        finally:
            threading.Lock().release()


def test_interrupt_comes_through_when_a_thread_starts():
    """What `threading` raises instead is told apart from a lack of threads."""
    thread = InterruptedThread(target=int)
    with pytest.raises(KeyboardInterrupt):
        start_thread(thread)
    thread.join()


def test_lack_of_threads_comes_through_when_there_is_one():
    """Also while another exception is being handled."""

    class Missing(REAL):
        def start(self):
            raise RuntimeError("can't start new thread")

    try:
        raise ValueError
    except ValueError:
        with pytest.raises(RuntimeError, match="can't start"):
            start_thread(Missing())


def test_pool_stays_whole_when_a_start_is_interrupted(monkeypatch):
    """The thread runs, so it has the call, serves later ones, and the shutdown knows it."""
    pool, calls = ThreadBackend(), threading.Semaphore(0)
    monkeypatch.setattr(threading, "Thread", InterruptedThread)
    with pytest.raises(KeyboardInterrupt):
        pool.call(calls.release)
    assert calls.acquire(timeout=10)
    monkeypatch.undo()
    for _ in range(3):
        pool.call(calls.release)
        assert calls.acquire(timeout=10)
    pool.shutdown()
    assert not [thread for thread in threading.enumerate() if isinstance(thread, InterruptedThread)]


@pytest.mark.parametrize("kill", [False, True])
def test_shutdown_ends_when_a_thread_cannot_be_started_meanwhile(monkeypatch, kill):
    """At its exit Python 3.12 starts no threads any more: there is no end of it to wait for."""
    pool, starting, caught = ThreadBackend(), threading.Event(), []

    class Late(REAL):
        def start(self):
            starting.set()
            while pool.threads:  # until the shutdown has taken note of it
                time.sleep(1e-3)
            raise RuntimeError("can't create new thread at interpreter shutdown")

    def call():
        with pytest.raises(RuntimeError, match="interpreter shutdown") as raised:
            pool.call(int)
        caught.append(raised.value)

    monkeypatch.setattr(threading, "Thread", Late)
    caller = REAL(target=call)
    caller.start()
    assert starting.wait(10)
    pool.shutdown(kill=kill)
    caller.join(10)
    assert len(caught) == 1


def test_thread_calls_next_what_it_was_given_when_it_counts():
    """One call, of a thread of the pool that was not sent home; whoever asks in vain has another thread woken."""
    pool, called, asked = ThreadBackend(), threading.Semaphore(0), []

    def ask():
        asked.append((pool.call_next(called.release), pool.call_next(called.release), pool.has_next()))

    assert not pool.call_next(called.release)
    assert not pool.has_next()
    pool.call(ask)
    assert called.acquire(timeout=DEADLINE)
    assert asked == [(True, False, True)]
    go_on, done = threading.Event(), threading.Event()

    def ask_late():
        assert go_on.wait(DEADLINE)
        asked.append(pool.call_next(called.release))
        done.set()

    pool.call(ask_late)
    pool.shutdown(wait=False)
    go_on.set()
    assert done.wait(DEADLINE)
    assert asked[-1] is False
    assert not called.acquire(timeout=0.05)
    pool.shutdown()


def test_thread_that_has_a_call_of_its_own_makes_it_before_it_goes_home():
    """A shutdown may come right after it was given that."""
    pool, called, given = ThreadBackend(), threading.Event(), threading.Event()
    go_on = threading.Event()

    def ask():
        assert pool.call_next(called.set)
        given.set()
        assert go_on.wait(DEADLINE)

    pool.call(ask)
    assert given.wait(DEADLINE)
    ending = threading.Thread(target=pool.shutdown)
    ending.start()
    go_on.set()
    ending.join(DEADLINE)
    assert called.is_set()
