"""Threads of ours that others rely on wait for nobody: what is the user's, and may take for ever, they do not run."""

import io
import logging
import os
import sys
import threading
import time

import pytest

from parallel_deco import _profile, parallel, shutdown
from parallel_deco._cpus import available_cpus, gil_enabled
from parallel_deco.backends.processes import ProcessBackend
from tests.workloads import burn, double

#: Seconds that anything here may take; far more than it does.
LONG = 20
ELSEWHERE = pytest.mark.skipif(available_cpus() == 1 or not gil_enabled(), reason="no process is worth it here")


def in_time(what):
    """Return what a function returns, in a thread of its own."""
    found = []
    thread = threading.Thread(target=lambda: found.append(what()), daemon=True)
    thread.start()
    thread.join(LONG)
    assert found, "it hangs"
    return found[0]


def test_shutdown_does_not_wait_when_the_first_item_of_a_map_is_long_in_coming():
    """An input that waits for a queue, say: nothing runs yet that a shutdown could wait for."""
    gate = threading.Event()

    def items():
        gate.wait(2 * LONG)
        yield 1

    results = parallel(double).map(items())
    time.sleep(0.1)  # it begins by itself when nobody asks for a result
    try:
        assert in_time(lambda: (shutdown(), True)[1])
    finally:
        gate.set()
    assert list(results) == [2]


def test_calls_that_wait_for_each_other_get_places_when_a_shutdown_was_in_between():
    """What was to look after those that wait is dropped by it, and set anew by the next call."""
    gate = threading.Event()

    @parallel(shared=True)
    def meets(kind):
        if kind == "wait":
            return gate.wait(LONG)
        if kind == "set":
            return gate.set()
        return burn(2e-3)

    for task in [meets.submit("burn") for _ in range(100)]:
        task.result()
    shutdown()
    waiting = [meets.submit("wait") for _ in range(len(os.sched_getaffinity(0)))]
    meets.submit("set")
    assert [task.result(LONG) for task in waiting] == [True] * len(waiting)


class Row:
    """Two numbers, which a map of its own computes when they are asked for."""

    def __init__(self, function):
        self.function = function

    def __len__(self):
        return 2

    def __iter__(self):
        return iter(list(self.function.map([1, 2])))


def test_rows_may_be_computed_by_a_map_of_their_own(backend):
    """They are code of the user's, and may wait for a worker whose reader must not wait for them."""
    inner = parallel(abs, backend="processes")
    outer = parallel(adds_slowly, backend=backend, chunksize=1)
    assert in_time(lambda: sum(outer.starmap([Row(inner) for _ in range(60)]))) == 180


def adds_slowly(a, b):
    """Add, in 5 ms."""
    time.sleep(5e-3)
    return a + b


def logs(x):
    """Log a number, and return it."""
    logging.getLogger("test_waits").warning("%s", x)
    return x


def test_results_come_when_a_log_handler_waits_for_who_takes_them(monkeypatch):
    """As a handler does that shows records in a window of the main thread's."""
    lock, seen = threading.RLock(), []

    class Shows(logging.Handler):
        def emit(self, record):
            with lock:
                seen.append(record.getMessage())

    monkeypatch.setattr(logging.getLogger("test_waits"), "handlers", [Shows()])
    monkeypatch.setattr(logging.getLogger("test_waits"), "propagate", False)

    def work():
        with lock:
            return list(parallel(logs, backend="processes").map(range(4)))

    assert in_time(work) == [0, 1, 2, 3]
    until = time.monotonic() + LONG
    while len(seen) < 4 and time.monotonic() < until:
        time.sleep(1e-3)
    assert sorted(seen) == ["0", "1", "2", "3"]
    assert list(parallel(logs, backend="processes").map(range(4, 6))) == [4, 5]
    assert sorted(seen) == ["0", "1", "2", "3", "4", "5"]  # where nobody is in the way, before the results


def test_maps_come_to_their_end_when_the_next_batch_cannot_be_sent(monkeypatch):
    """The result that has just come is not lost with the worker; here there is no memory, once."""
    send, failed = ProcessBackend._send_on, []

    def fails_once(backend, link, piece):
        if piece is not None and sys._getframe(1).f_code.co_name == "_on_done" and not failed:
            failed.append(link)
            raise MemoryError
        return send(backend, link, piece)

    monkeypatch.setattr(ProcessBackend, "_send_on", fails_once)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    function = parallel(adds_slowly, backend="processes", chunksize=1)
    others = threading.Thread(target=lambda: list(function.map(range(200), range(200))), daemon=True)
    others.start()  # so that there is more to do than workers are sent ahead
    results = in_time(lambda: list(function.map(range(200), range(200), return_exceptions=True)))
    others.join(LONG)
    assert failed
    assert not others.is_alive()
    assert all(result == 2 * number for number, result in enumerate(results) if isinstance(result, int))
    assert len(results) == 200


def toils(seconds):
    """Compute for so long, and say where."""
    return burn(seconds)


@ELSEWHERE
def test_another_map_gets_workers_when_one_sends_them_batches_ahead():
    """They load its function when they have nothing to do, so nothing is sent ahead to who is to load one."""
    over = threading.Event()

    def long():
        for _ in parallel(burn, backend="processes").map([5e-3] * 4000):
            if over.is_set():
                return

    thread = threading.Thread(target=long)
    thread.start()
    time.sleep(0.3)
    try:
        where = set(parallel(toils, shared=False).map([5e-3] * 400))
    finally:
        over.set()
        thread.join()
    assert where - {os.getpid()}


@ELSEWHERE
def test_a_function_that_could_not_travel_is_tried_again(monkeypatch):
    """What it refers to may be another by then."""
    monkeypatch.setattr(_profile, "FIRST_PAUSE", 0.05)
    lock = threading.Lock()

    def tells(seconds):
        return burn(seconds if lock is None else 1.0 * seconds)

    function = parallel(tells, shared=False)
    assert set(function.map([2e-3] * 60)) == {os.getpid()}
    lock = None
    until = time.monotonic() + LONG
    while set(function.map([2e-3] * 60)) == {os.getpid()} and time.monotonic() < until:
        time.sleep(0.05)
    assert set(function.map([2e-3] * 60)) != {os.getpid()}


class Slow(io.StringIO):
    """A stream that takes a while for each line, and whose first is refused."""

    refused = False

    def write(self, text):
        time.sleep(5e-3)
        if not self.refused:
            self.refused = True
            raise KeyboardInterrupt
        return super().write(text)


def prints(x):
    """Print a number."""
    print(f"item {x}")
    return x


def test_what_workers_print_comes_before_their_results_when_the_stream_is_slow(monkeypatch, capsys):
    """Each line in turn, into the stream that was there; and after one that has failed, whatever it raised."""
    stream, late = Slow(), []
    with monkeypatch.context() as replaced:
        replaced.setattr(sys, "stdout", stream)
        for x in parallel(prints, backend="processes").map(range(60)):
            if f"item {x}\n" not in stream.getvalue():
                late.append(x)
    assert stream.getvalue().count("item") == 60 - len(late)
    assert late  # what was refused, with the lines that came in one piece with it
    assert len(late) < 60
    assert "KeyboardInterrupt" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["", "shutdown()", "1 / 0"])
def test_everything_is_logged_when_a_program_ends_and_its_handler_is_slow(how, run_program):
    """The end waits for what workers have said, as long as it is getting less."""
    code, out, _ = run_program(f"""
        import logging, os, time
        from parallel_deco import parallel, shutdown

        class Handler(logging.Handler):
            def emit(self, record):
                time.sleep(0.02)
                os.write(1, (record.getMessage() + "\\n").encode())

        logging.getLogger("slow").addHandler(Handler())
        logging.getLogger("slow").propagate = False

        @parallel(backend="processes")
        def says(x):
            for number in range(4):
                logging.getLogger("slow").warning("item %d", x)

        list(says.map(range(10)))
        {how}
        """)
    assert code == (1 if "/" in how else 0)
    assert out.count("item") == 40


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_items_of_an_unknown_function_wait_together_in_its_first_map(backend):
    """All eight, as soon as it is seen that the first one waits: else none would ever go on."""
    barrier = threading.Barrier(8)
    results = parallel(lambda _: barrier.wait(30) >= 0, backend=backend, chunksize=1).map(range(8))
    assert in_time(lambda: list(results)) == [True] * 8
