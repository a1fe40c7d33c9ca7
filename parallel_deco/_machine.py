"""What handing work out costs where the program runs: measured once, when it first could change a decision.

Until then, and for what was not measured, the defaults of `cost.Machine` hold.
"""

import os
import threading
from collections.abc import Callable
from math import inf
from time import perf_counter
from typing import Any, TypeAlias

from parallel_deco._traits import SERIAL
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, BatchResult, Done, Shape
from parallel_deco.routing.cost import Machine
from parallel_deco.routing.router import Decision, decide

__all__ = ["constants", "may_matter", "measure", "measure_all"]

#: Work of the loop, in seconds, outside of which no constant can change a decision: too small, or too large.
SMALL, LARGE = 0.3e-3, 0.1
#: A constant matters when a decision would be another with it so many times smaller or larger.
DOUBT = 4.0
#: How many times as long as the guess the start of workers takes, at most, for all that one alone says: it may have
#: come at a bad moment, and where it is believed to take long, none may follow.
BELIEVED = 4.0
#: Round trips that are timed, at least and at most; the lower quartile counts, for what other programs add is not the
#: machine's. (With the median of what the budget allowed, a busy moment made threads cost milliseconds for good.)
FEW, TRIPS = 4, 15
#: Threads that are started to time that.
STARTS = 5
#: How many times as long as guessed anything takes at most: what is more is no lasting trait of the machine, but other
#: programs have the CPUs, or a thread of the user's has the GIL.
SLOWEST = 10
#: Seconds after which no more than the fewest round trips of a kind are made; after which none is begun, and the guess
#: stands if it is less; after which one is given up, for somebody else has got the worker (in `measure_all`, which
#: somebody waits for, later); and for which nothing is tried then.
BUDGET = 2e-3
WHOLE = 18e-3
PATIENCE, LONG_PATIENCE = 30e-3, 1.0
AGAIN = 1.0
#: Bytes that are sent to a worker to time the way.
LOAD = 256 << 10

_Start: TypeAlias = Callable[[Batch, Done], Any]

_lock = threading.Lock()
_threads: tuple[float, float] | None = None  # dispatch and wake-up
_processes: tuple[float, float] | None = None  # dispatch and bandwidth
_not_before = 0.0  # the time at which that may be tried, after a try in vain


def constants() -> Machine:
    """Return what is known of this machine now: measurements, and defaults for the rest."""
    machine = Machine()
    if _threads is not None:
        machine = machine._replace(dispatch_thread=_threads[0], wake=_threads[1])
    if _processes is not None:
        machine = machine._replace(dispatch_process=_processes[0], bandwidth=_processes[1])
    pool = pools.process_pool()
    if pool is not None and pool.started_in is not None:
        most = inf if pool.starts > 1 else BELIEVED * machine.start
        again = inf if pool.forked_in is None else pool.forked_in
        machine = machine._replace(start=min(pool.started_in, most, again))
    return machine


def may_matter(decision: Decision) -> bool:
    """Whether a decision hangs on a constant that could be measured now but was not."""
    if _threads is not None and (_processes is not None or not _at_rest() or perf_counter() < _not_before):
        return False
    facts, here = decision.facts, decision.here
    if not SMALL < here.items * facts.wall < LARGE or len(here.open) == 1:
        return False
    factors = (1 / DOUBT,) if decision.route == SERIAL else (DOUBT, 1 / DOUBT)  # the loop hands nothing out
    return any(
        decide(facts, here._replace(machine=_scaled(here.machine, factor))).route != decision.route
        for factor in factors
    )


def measure(seconds: float = WHOLE, patience: float = PATIENCE) -> None:
    """Measure what can be measured now, in 2 ms to so many; not in a thread of the pools, and with nothing running."""
    global _threads, _processes, _not_before
    with _lock:
        end = perf_counter() + seconds
        if _threads is None:
            _threads = _time_threads(end, patience)
        if _processes is None and _at_rest():
            _processes = _time_processes(end, patience)
            _not_before = perf_counter() + AGAIN


def measure_all() -> tuple[Machine, frozenset[str]]:
    """Start workers if need be, and measure everything; return it, and the names of what is measured."""
    pool = pools.processes()
    if pool.unavailable is None:
        done = threading.Event()
        pool.start(Batch(id, [0], Shape.ONE), lambda _: done.set(), width=1)
        done.wait(10 * LONG_PATIENCE)
    measure(10 * LONG_PATIENCE, LONG_PATIENCE)
    measured = {"dispatch_thread", "wake"} if _threads else set()
    if _processes is not None:
        measured |= {"dispatch_process", "bandwidth"}
    if pool.started_in is not None:
        measured.add("start")
    return constants(), frozenset(measured)


def _at_rest() -> bool:
    """Whether there are worker processes, and all are idle: what others run there would be timed too."""
    pool = pools.process_pool()
    return pool is not None and 0 < pool.workers <= pool.idle


def _time_threads(end: float, patience: float) -> tuple[float, float]:
    """Return what a batch costs when a thread waits for it, and what starting a thread adds at most."""
    start = pools.threads().start
    _trip(start, 0, patience)  # there is a thread now
    dispatch = _typical(start, 0, end, Machine().dispatch_thread, patience) or Machine().dispatch_thread
    begun: list[float] = []
    for _ in range(STARTS):
        if begun and perf_counter() > end:  # a thread of the user's computes, with the GIL
            break
        up = threading.Event()
        before = perf_counter()
        threading.Thread(target=up.set, daemon=True).start()
        up.wait(patience)
        begun.append(perf_counter() - before)
    return dispatch, max(dispatch, min(_quartile(begun), SLOWEST * Machine().wake))


def _time_processes(end: float, patience: float) -> tuple[float, float] | None:
    start = pools.processes().start
    if _trip(start, 0, patience) is None:  # the worker learns the function
        return None
    guess = Machine()
    dispatch = _typical(start, 0, end, guess.dispatch_process, patience)
    if dispatch is None:
        return None
    loaded = _typical(start, bytes(LOAD), end, guess.dispatch_process + LOAD / guess.bandwidth, patience)
    return None if loaded is None else (dispatch, LOAD / max(loaded - dispatch, 1e-6))


def _typical(start: _Start, item: object, last: float, guess: float, patience: float) -> float | None:
    """Return what most round trips take at least; None when one did not come back."""
    end = perf_counter() + BUDGET
    times = []
    for _ in range(TRIPS):
        seconds = _trip(start, item, patience)
        if seconds is None:
            return None
        times.append(seconds)
        now = perf_counter()
        if now > end and len(times) >= FEW:
            break
        if now > last:
            return min(guess, *times)
    return min(_quartile(times), SLOWEST * guess)


def _quartile(times: list[float]) -> float:
    return sorted(times)[(len(times) - 1) // 4]


def _trip(start: _Start, item: object, patience: float) -> float | None:
    """Return how long one batch takes there and back; None where it does not come back in time."""
    back = threading.Event()

    def done(_: BatchResult) -> None:
        back.set()

    batch = Batch(id, [item], Shape.ONE)
    before = perf_counter()
    start(batch, done)
    return perf_counter() - before if back.wait(patience) else None


def _scaled(machine: Machine, factor: float) -> Machine:
    return Machine(
        machine.dispatch_thread * factor,
        machine.dispatch_process * factor,
        machine.wake * factor,
        machine.start,  # known by starting only
        machine.bandwidth / factor,
    )


def _forget_after_fork() -> None:
    """The lock may be held by a thread that the child has not."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
