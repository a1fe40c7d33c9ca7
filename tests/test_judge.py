"""The judge: looks at a call while it runs, and is gone when nobody needs it."""

import sys
import threading
import time
from types import SimpleNamespace

import pytest

from parallel_deco import _cpus, _judge, _machine, parallel
from parallel_deco._cpus import available_cpus, cpus_contended, gil_enabled
from parallel_deco._judge import EARLY, FIRST_LOOK, LATE, Judge
from parallel_deco._options import Options
from parallel_deco._profile import Profile
from parallel_deco._readings import UNREAD
from parallel_deco._source import Source
from parallel_deco._steering import Steering
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, Shape, run_batch
from parallel_deco.routing.cost import Machine


@pytest.fixture
def heard():
    """What a judge heard."""
    return []


def watched(function, item):
    """Return a batch of one call that is watched."""
    return Batch(function, [item], Shape.ONE, watch=True)


def test_verdict_comes_while_the_call_runs_when_it_is_long(heard):
    """It hears the readings so far, and is asked again until it is settled."""
    settled = threading.Event()

    def verdict(seen):
        heard.append(seen)
        if len(heard) == 3:
            settled.set()
        return settled.is_set()

    judge = Judge(verdict, lambda: None)
    batch = watched(settled.wait, 60)
    judge.watch(batch)
    judge.sit(pools.threads())
    assert run_batch(batch).values == [True]  # the call ended after the verdict
    judge.dismiss()
    assert len(heard) == 3
    walls = [seen.wall for seen in heard]
    assert walls == sorted(walls)
    assert walls[-1] - walls[0] >= 2 * FIRST_LOOK  # the first look is that long after `sit`, the call may begin later
    assert all(seen.cpu < 0.05 for seen in heard)


def test_nobody_is_heard_when_the_call_is_short(heard):
    """It was over before the first look."""
    judge = Judge(heard.append, lambda: None)
    batch = watched(abs, -1)
    judge.watch(batch)
    run_batch(batch)
    judge.sit(pools.threads())
    time.sleep(5 * FIRST_LOOK)
    judge.dismiss()
    assert heard == []


def test_it_says_so_when_nothing_runs(heard, until):
    """Nobody has asked for a result: then the map begins by itself."""
    nothing = threading.Event()
    judge = Judge(heard.append, nothing.set)
    judge.sit(pools.threads())
    until(nothing.is_set)
    judge.dismiss()
    assert heard == []


def test_its_thread_is_free_again_when_dismissed(until):
    """A pool thread is only lent to it."""
    pool = pools.threads()
    judge = Judge(lambda seen: False, lambda: None)
    judge.sit(pool)
    judge.dismiss()
    until(lambda: pool.resting == pool.threads)


def test_nothing_is_lost_when_no_thread_can_be_had():
    """At the interpreter's exit there are no new threads; the end of the call will tell."""

    class NoThreads:
        def call(self, function):
            raise RuntimeError("can't start new thread")

    Judge(lambda seen: True, lambda: None).sit(NoThreads())


def test_call_that_sleeps_is_judged_at_the_first_look_when_nothing_else_runs(heard, until):
    """What the judge does for itself is not taken for a disturbance of the call, whose first look then says nothing."""

    def is_undisturbed():
        heard.clear()
        looked = threading.Event()
        judge = Judge(lambda seen: (heard.append(seen), looked.set()), lambda: None)
        batch = watched(looked.wait, 60)
        judge.watch(batch)
        judge.sit(pools.threads())
        run_batch(batch)
        judge.dismiss()
        return not heard[0].disturbed

    until(is_undisturbed)


def test_nobody_is_said_to_have_asked_when_the_judge_is_late_itself():
    """It may be so late that the call would have been looked at: that is no reason to begin without who asks."""
    nothing = []
    judge = Judge(lambda seen: True, lambda: nothing.append(time.perf_counter()))
    began = time.perf_counter()
    thread = threading.Thread(target=judge._look, args=(began - 1.0,))
    thread.start()
    while not nothing:
        time.sleep(0)
    judge.dismiss()
    thread.join()
    assert nothing[0] - began >= FIRST_LOOK


def test_switch_interval_is_the_users_again_when_the_judge_has_gone(heard, until):
    """It is short between the early looks of a call that goes on, and as before when that has ended."""
    before, looked = 0.004, threading.Event()
    users = sys.getswitchinterval()
    sys.setswitchinterval(before)

    def verdict(seen):
        heard.append(seen)
        return False

    judge = Judge(verdict, lambda: None)
    batch = watched(looked.wait, 60)
    judge.watch(batch)
    thread = threading.Thread(target=run_batch, args=(batch,))
    try:
        thread.start()
        judge.sit(pools.threads())
        until(lambda: len(heard) == 1 and sys.getswitchinterval() < 1e-3)  # it sleeps until its next look
        until(lambda: len(heard) > EARLY + 1)
        until(lambda: abs(sys.getswitchinterval() - before) < 2e-6)  # though it looks on
    finally:
        looked.set()
        thread.join()
        judge.dismiss()
        sys.setswitchinterval(users + 0.5e-6)


@pytest.mark.skipif(not gil_enabled(), reason="nobody waits for a GIL")
def test_switch_interval_is_no_longer_than_the_first_look_while_a_call_may_hold_the_gil():
    """Beside one that does, the judge would begin only after the user's interval; afterwards it is the user's again."""
    users, before = sys.getswitchinterval(), 0.05
    sys.setswitchinterval(before)
    try:
        function = parallel(lambda _: sys.getswitchinterval(), shared=True)
        first, *_ = function.map(range(3))
        assert first <= FIRST_LOOK
        assert abs(sys.getswitchinterval() - before) < 2e-6
    finally:
        sys.setswitchinterval(users + 0.5e-6)


def test_switch_interval_is_the_users_when_the_judge_gets_no_thread(monkeypatch):
    """Nobody would put it back."""

    def none_left(*_):
        raise RuntimeError("can't start new thread")

    users, before = sys.getswitchinterval(), 0.05
    sys.setswitchinterval(before)
    try:
        monkeypatch.setattr(pools.threads(), "call", none_left)
        Judge(lambda seen: True, lambda: None).sit(pools.threads())
        assert abs(sys.getswitchinterval() - before) < 2e-6
    finally:
        sys.setswitchinterval(users + 0.5e-6)


#: Of a call that computes with the GIL held, for 40 ms so far.
COMPUTES = UNREAD._replace(
    items=1,
    wall=40e-3,
    cpu=40e-3,
    process_cpu=40e-3,
    samples=40,
    looked=40e-3,
    held=40e-3,
    looked_cpu=40e-3,
    held_cpu=40e-3,
)


@pytest.fixture
def steering(monkeypatch):
    """What steers a map over 60 items of an unknown function, on a machine of two CPUs that was not measured."""
    if available_cpus() == 1:
        pytest.skip("no process is worth it on one CPU")
    monkeypatch.setattr(_machine, "constants", Machine)
    return Steering(Profile(abs), Options(shared=False), Source.of(([1] * 60,)))


@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, threads do as well")
def test_processes_are_chosen_when_a_running_call_holds_the_gil(steering):
    """Its arguments are small."""
    steering.follow(Shape.ONE, 1)
    assert steering.hear(COMPUTES, 60) is True
    assert steering.route == "processes"


@pytest.mark.parametrize(
    "example",
    [bytes(60_000_000), [[number, number + 1] for number in range(300_000)]],
    ids=["many bytes", "many objects"],
)
@pytest.mark.skipif(not gil_enabled(), reason="without a GIL, threads do as well")
def test_loop_stays_when_a_running_call_has_arguments_that_take_long_to_move(steering, example):
    """What is known of them counts before the first was moved: their bytes, and what pickling some of them takes."""
    steering.follow(Shape.ONE, example)
    assert steering.hear(COMPUTES, 60) is False
    assert steering.route == "serial"


def test_verdict_is_dropped_when_the_call_ended_while_it_was_found(steering, monkeypatch):
    """What was measured since says more than what was seen while it ran."""
    decide = steering._profile.decide

    def slow(*args, **kwargs):
        steering._evidence.learn(COMPUTES._replace(wall=50e-3, cpu=50e-3))
        return decide(*args, **kwargs)

    monkeypatch.setattr(steering._profile, "decide", slow)
    assert steering.hear(COMPUTES, 60) is True
    assert steering.route == "serial"


#: Of a call that computes in one thread without the GIL, for 5 ms so far, and of the same call later.
RELEASES = COMPUTES._replace(wall=5e-3, cpu=5e-3, process_cpu=5e-3, held=0.0, held_cpu=0.0)
RELEASES_LATE = RELEASES._replace(wall=2 * LATE, cpu=2 * LATE, process_cpu=2 * LATE)


@pytest.mark.parametrize(
    ("seen", "contended", "clear"),
    [
        (RELEASES, False, True),
        (RELEASES, True, False),
        (RELEASES_LATE, True, True),
        (RELEASES._replace(process_cpu=6e-3), False, False),
        (RELEASES._replace(process_cpu=9e-3), True, True),
        (RELEASES._replace(cpu=1e-4, process_cpu=1e-4), True, True),
        pytest.param(
            COMPUTES, True, True, marks=pytest.mark.skipif(not gil_enabled(), reason="nobody holds what is not there")
        ),
    ],
    ids=["alone", "lacks CPUs", "long enough", "just at work", "parallel inside", "waits", "holds the GIL"],
)
def test_judge_looks_again_when_a_call_may_have_threads_of_its_own(heard, monkeypatch, seen, contended, clear):
    """BLAS beside busy programs: its other threads have no CPU yet, and it looks as if it computed in one."""
    monkeypatch.setattr(_judge, "cpus_contended", lambda: contended)
    batch, over = watched(abs, -1), threading.Event()
    looks = []
    batch.stopwatch = SimpleNamespace(peek=lambda: looks.append(seen) or (None if over.is_set() else seen))
    judge = Judge(lambda seen: heard.append(seen) or True, lambda: None)
    judge.watch(batch)
    judge.sit(pools.threads())
    deadline = time.monotonic() + 10
    while not heard and len(looks) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    over.set()
    judge.dismiss()
    assert looks
    assert bool(heard) is clear


@pytest.mark.parametrize(
    ("text", "contended"),
    [
        ("0.10 0.20 0.30 3/200 4711\n", False),
        ("0.10 0.20 0.30 4/200 4711\n", True),
        ("nothing of the kind\n", False),
        (None, False),
    ],
)
def test_cpus_are_contended_when_more_could_compute_than_there_are(monkeypatch, text, contended):
    """As Linux counts who is runnable, the one that asks among them; not where nobody says."""

    def read(path):
        assert path == "/proc/loadavg"
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(_cpus, "_text", read)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert cpus_contended() is contended
