"""The stopwatch: what it says of a call is the call's own."""

import gc
import hashlib
import os
import threading
import time

import pytest

from parallel_deco import _readings, _sampler, measure, parallel
from parallel_deco._cpus import available_cpus, gil_enabled
from parallel_deco._readings import Idleness, Readings, Stopwatch, overhead
from parallel_deco.backends.batch import Batch, run_batch
from tests.workloads import burn

BLOCK = bytes(4_000_000)
DEADLINE = 30.0


def test_cpu_time_of_the_process_is_read_when_alone():
    """A batch that runs alone says how much the whole process computed: more than itself if it is parallel inside."""
    watch = Stopwatch(watch=True, careful=False)
    burn(0.005)
    seen = watch.stop(1)
    assert 0.005 <= seen.cpu <= 1.02 * seen.process_cpu


def test_cpu_time_of_the_process_is_not_read_when_others_run():
    """Before, during, or from before to after: the time of other batches says nothing about this one."""
    outer = Stopwatch(watch=True, careful=False)
    inner = Stopwatch(watch=True, careful=False)
    assert inner.stop(1).process_cpu == 0
    assert outer.stop(1).process_cpu == 0
    time.sleep(2 * _readings.BEHIND)
    alone = Stopwatch(watch=True, careful=False)
    burn(0.001)
    assert alone.stop(1).process_cpu > 0


def test_cpu_time_of_the_process_is_not_read_when_others_have_just_ended():
    """What a thread that runs has taken is added with the next tick of the system's clock: it would count now."""

    def other():
        Stopwatch(watch=False, careful=False).stop(1)

    def seen(pause):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        _readings._ended = _readings._ended[0], time.perf_counter()  # the thread's end takes some time as well
        time.sleep(pause)
        watch = Stopwatch(watch=True, careful=False)
        burn(0.001)
        return watch.stop(1).process_cpu

    assert seen(2 * _readings.BEHIND) > 0
    assert min(seen(0.0) for _ in range(5)) == 0
    Stopwatch(watch=False, careful=False).stop(1)  # its own
    watch = Stopwatch(watch=True, careful=False)
    burn(0.001)
    assert watch.stop(1).process_cpu > 0


def test_cpu_time_of_the_process_is_not_the_librarys_when_it_computes_too():
    """Deciding takes CPU time of a thread of ours, which is not the function's."""

    def decide():
        with overhead():
            burn(0.02)

    def seen():
        watch = Stopwatch(watch=True, careful=False)
        thread = threading.Thread(target=decide)
        thread.start()
        thread.join()
        return watch.stop(1).process_cpu

    assert min(seen() for _ in range(8)) < 0.01  # what else the process does may cost something too


def test_cpu_time_of_the_process_is_not_the_librarys_when_it_has_not_ended_computing():
    """Begun before, and still deciding when the call ends."""
    begun, go_on, spun, end = (threading.Event() for _ in range(4))

    def decide():
        with overhead():
            burn(0.01)
            begun.set()
            assert go_on.wait(30)
            burn(0.02)
            spun.set()
            assert end.wait(30)

    thread = threading.Thread(target=decide)
    thread.start()
    assert begun.wait(30)
    watch = Stopwatch(watch=True, careful=False)
    go_on.set()
    assert spun.wait(30)
    seen = watch.stop(1)
    end.set()
    thread.join()
    assert (seen.crowd, seen.process_cpu < 0.01) == (1, True)


def test_cpu_time_of_the_process_is_not_that_of_who_looks(monkeypatch):
    """To peek at a call takes time of another thread, which made a call of 2 ms look parallel inside."""
    real = _readings._run_delay_of

    def slow(thread):
        burn(0.02)
        return real(thread)

    monkeypatch.setattr(_readings, "_run_delay_of", slow)
    watch, peeked = Stopwatch(watch=True, careful=False), []
    thread = threading.Thread(target=lambda: peeked.append(watch.peek()))
    thread.start()
    thread.join()
    watch.stop(1)
    assert peeked[0].process_cpu - peeked[0].cpu < 0.01


def test_batch_is_disturbed_when_the_library_computes_beside():
    """For a tenth of its time at least, begun before or during, and ended or not."""

    def disturbed(before, during, share=1.0):
        begun, go_on, end = (threading.Event() for _ in range(3))

        def decide():
            with overhead():
                begun.set()
                assert go_on.wait(30)
            end.wait(30)

        thread = threading.Thread(target=decide)
        if before:
            thread.start()
            assert begun.wait(30)
        watch = Stopwatch(watch=False, careful=False)
        if during:
            thread.start()
            assert begun.wait(30)
        time.sleep(0.005)
        go_on.set()
        time.sleep(0.005 / share)
        end.set()
        seen = watch.stop(1)
        if before or during:
            thread.join()
        return seen.disturbed

    assert disturbed(True, False)
    assert disturbed(False, True)
    assert not disturbed(False, False)
    assert not disturbed(False, True, share=0.01)


def test_sampler_is_not_taken_for_parallel_inside_when_it_looks_often():
    """Its own CPU time is not the function's."""

    def ratio():
        watch = Stopwatch(watch=True, careful=False, looks=2000)
        burn(0.02)
        seen = watch.stop(1)
        return seen.process_cpu / seen.cpu

    assert sorted(ratio() for _ in range(7))[3] < 1.03


@pytest.mark.skipif(not gil_enabled(), reason="nobody holds a GIL here")
@pytest.mark.parametrize(
    ("delay", "held", "gil"),
    [(0.0, 0.0, 0.0), (0.0, 0.3, 0.3), (0.2, 0.1, 0.0), (0.2, 0.5, 0.3), (1.0, 1.3, 0.3), (1.0, 0.2, 0.05)],
    ids=["released", "held", "without a CPU", "with and without", "mostly without", "mostly released, without"],
)
def test_time_without_a_cpu_says_nothing_of_the_gil_when_it_was_held_then(delay, held, gil):
    """Who has just been given the GIL often has no CPU yet."""
    wall = 0.1 + 0.3 + delay
    seen = Readings(1, wall, 0.1, delay, samples=99, looked=wall, held=held, looked_cpu=0.1, held_idle=held)
    assert seen.gil == pytest.approx(gil, abs=0.01)


@pytest.mark.skipif(not gil_enabled(), reason="nobody holds a GIL here")
@pytest.mark.parametrize(("caught", "gil"), [(0, 0.0), (2, 0.0), (3, 0.1), (40, 0.1)])
def test_what_was_met_computing_tells_of_the_gil_when_it_was_met_often_enough(caught, gil):
    """Of what computes for a moment at a time, most is over when the sampler looks, and nothing of it is held then."""
    met = {"caught": caught, "busy": 0.04, "held_busy": 0.04}
    seen = Readings(1, 2.0, 0.1, samples=99, looked=2.0, held=0.04, looked_cpu=0.1, held_cpu=0.0, **met)
    assert seen.gil == pytest.approx(gil)


@pytest.mark.skipif(_sampler.rests() <= 0, reason="this system does not count")
def test_idleness_is_told_when_the_thread_has_waited():
    """Not where it only lacked a CPU, as far as it can tell; nor where another thread computes."""
    idleness = Idleness()
    time.sleep(0.02)
    assert idleness.ask() < 0.5
    burn(0.02)
    assert idleness.ask() > 0.5
    release = threading.Event()
    other = threading.Thread(target=lambda: release.wait(DEADLINE))
    other.start()
    idleness.ask()
    burn(0.02)
    release.set()
    other.join()
    assert idleness.ask() > 0.5


def test_crowd_counts_what_is_not_measured():
    """Of short waits that are known one in four is measured, and runs beside the others all the same."""
    gate, running = threading.Event(), [threading.Event() for _ in range(3)]

    def wait(place):
        running[place].set()
        assert gate.wait(20)

    threads = [threading.Thread(target=run_batch, args=(Batch(wait, [place], measured=False),)) for place in range(3)]
    for thread in threads:
        thread.start()
    assert all(event.wait(20) for event in running)
    seen = run_batch(Batch(abs, [1])).readings
    gate.set()
    for thread in threads:
        thread.join()
    assert seen.crowd == 4
    run_batch(Batch(abs, [1]))
    assert run_batch(Batch(abs, [1])).readings.crowd == 1


def test_crowd_is_counted_when_batches_overlap():
    """At the beginning, at the end, or in between."""
    first = Stopwatch(watch=False, careful=False)
    second = Stopwatch(watch=False, careful=False)
    third = Stopwatch(watch=False, careful=False)
    assert [watch.stop(1).crowd for watch in (third, second, first)] == [3, 2, 2]
    assert Stopwatch(watch=False, careful=False).stop(1).crowd == 1


def test_function_is_not_taken_for_parallel_inside_when_its_own_items_run_beside(until):
    """Items that compute without the GIL go to all CPUs, on first use and later, and never to more threads.

    Not at once where other programs have the CPUs: what lacks one may be taken for what waits.
    """

    def is_told_right():
        running, most = 0, 0
        lock = threading.Lock()

        def digest(number):
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            value = hashlib.sha256(BLOCK).digest()
            with lock:
                running -= 1
            return value

        function = parallel(digest, shared=False)
        for _ in range(3):
            assert len(list(function.map(range(30)))) == 30
            assert function.explain().rule != "parallel inside"
        return most <= available_cpus()

    until(is_told_right)


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="here it is not told who is runnable")
def test_call_that_computes_does_not_look_like_waiting_when_it_gets_no_cpu():
    """What a thread waits for a CPU now is in no statistics yet; a look says so, or that it sleeps."""
    begun, shown = threading.Event(), {}

    def run(name, function):
        shown[name] = Stopwatch(watch=True, careful=True)
        begun.set()
        function()
        shown[name].stop(1)

    for name, function in (("computes", lambda: burn(0.05)), ("sleeps", lambda: time.sleep(0.05))):
        begun.clear()
        thread = threading.Thread(target=run, args=(name, function))
        thread.start()
        assert begun.wait(30)
        time.sleep(0.01)
        seen = shown[name].peek()
        thread.join()
        if seen is not None:  # this thread may have slept too long
            waited = seen.wall - seen.delay - seen.cpu
            assert waited > 0.005 if name == "sleeps" else seen.disturbed or waited < 0.5 * seen.wall


@pytest.mark.skipif(_sampler.rests() <= 0, reason="this system does not count")
def test_call_that_waits_for_nothing_was_only_kept_from_computing(until):
    """By others, or by a hypervisor, whom no statistics name: whatever is missing is a delay, and no waiting."""

    def seen(function):
        watch = Stopwatch(watch=False, careful=False)
        function()
        return watch.stop(1)

    def computes():
        read = seen(lambda: burn(0.005))
        return 0 < read.delay == read.wall - read.cpu  # not where it had to wait for the GIL

    until(computes)
    asleep = seen(lambda: time.sleep(0.01))
    assert asleep.delay < 0.1 * asleep.wall


needs_sampler = pytest.mark.skipif(not (_sampler.works and gil_enabled()), reason="nobody holds a GIL here")


@needs_sampler
def test_sampler_looks_when_very_many_calls_block(until):
    """Calls that wait for ever, as listeners do, leave the others their looks."""
    enough = threading.Event()

    def listen(_):
        enough.wait(DEADLINE)

    listeners = [parallel(lambda x: listen(x), backend="threads") for _ in range(8)]
    futures = [function.submit(number) for function in listeners for number in range(12)]  # so many are watched
    try:
        while not all(future.running() for future in futures):
            time.sleep(0.001)
        until(lambda: measure(burn, 0.02).samples > 0)
    finally:
        enough.set()
    assert [future.result(DEADLINE) for future in futures] == [None] * len(futures)


@needs_sampler
def test_slots_are_given_back_when_nobody_stops_the_watch(until):
    """Ctrl-C may come between any two steps: what was begun by then ends with the object.

    On a busy machine the sampler may have no CPU for as long as one call takes.
    """
    for _ in range(3000):
        Stopwatch(watch=True, careful=False)
    until(lambda: measure(burn, 0.02).samples > 0)


@pytest.fixture
def no_slot():
    """Have the sampler watch nobody new."""
    taken = list(iter(_sampler.begin, -1))
    yield
    for slot in taken:
        _sampler.end(slot)


@needs_sampler
def test_times_are_told_when_the_sampler_has_no_slot(no_slot, until):
    """Who peeks is told how long a call has run and computed; once it has stopped, nothing."""
    watch = Stopwatch(watch=True, careful=True)
    burn(0.01)
    seen = watch.peek()
    assert (seen.samples, seen.gil) == (0, None)
    assert seen.wall >= seen.cpu - 1e-3 >= 0.009
    assert watch.stop(1).samples == 0
    assert watch.peek() is None


@pytest.mark.parametrize(("slow", "doubt"), [(1, False), (99, True)])
def test_delay_is_read_again_when_reading_it_took_long(monkeypatch, slow, doubt):
    """Who peeks may lose its CPU between two clocks; what the other was delayed meanwhile is not of its time so far."""
    reads = []

    def run_delay(thread):
        reads.append(thread)
        if len(reads) <= slow:
            time.sleep(2e-3)
            return 1e9
        return 0.0

    watch = Stopwatch(watch=True, careful=True)
    watch._delay = 0.0
    monkeypatch.setattr(_readings, "_run_delay_of", run_delay)
    monkeypatch.setattr(_readings, "_is_runnable", lambda thread: False)
    monkeypatch.setattr(_readings, "PEEKED_AT_ONCE", 1.5e-3)
    burn(0.01)
    seen = watch.peek()
    watch.stop(1)
    assert (seen.disturbed, seen.delay == 0.0) == (doubt, not doubt)


@needs_sampler
def test_calls_wait_side_by_side_when_the_sampler_has_no_slot(no_slot):
    """That the first call waits can be seen without it."""
    meeting = threading.Barrier(4)
    function = parallel(lambda _: meeting.wait(DEADLINE / 2))
    assert {future.result(DEADLINE) for future in [function.submit(n) for n in range(4)]} == {0, 1, 2, 3}


@needs_sampler
@pytest.mark.skipif(available_cpus() == 1, reason="no process is worth it on one CPU")
def test_computing_leaves_when_the_sampler_has_no_slot(no_slot):
    """Where nothing is ever seen of the GIL, it is taken for held; that is no reason to stay for good."""
    assert set(parallel(burn).map([0.01] * 60)) - {os.getpid()}


def test_stopwatches_are_swept_when_the_collector_runs_meanwhile():
    """In Python 3.11 it runs where objects are made, lets others go on, and what is swept changes under its hands."""
    kept = [Stopwatch(watch=False, careful=False) for _ in range(50)]
    held = [(number, number) for number in range(5000)]  # so that none is left to be used again without the collector
    threshold = gc.get_threshold()

    def begin_another(phase, _):
        if phase == "stop":
            kept.append(Stopwatch(watch=False, careful=False))

    gc.callbacks.append(begin_another)
    gc.set_threshold(1)
    try:
        for _ in range(20):
            _readings._sweep()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(begin_another)
    assert len(held) == 5000
    assert {watch.stop(1).items for watch in kept} == {1}


@pytest.mark.parametrize("contended", [False, True])
def test_batch_beside_others_is_idle_only_where_nobody_lacks_a_cpu(monkeypatch, contended):
    """It may wait for a lock of one that has none, and nothing computes meanwhile."""
    monkeypatch.setattr(_readings, "cpus_contended", lambda: contended)
    for _ in range(10):  # another program may have its CPU when it is to go on
        other, watch = Stopwatch(watch=True, careful=True), Stopwatch(watch=True, careful=True)
        try:
            time.sleep(0.05)
        finally:
            seen = watch.stop(1)
            other.stop(1)
        assert seen.crowd == 2
        if seen.idle:
            break
    assert seen.idle is not contended
