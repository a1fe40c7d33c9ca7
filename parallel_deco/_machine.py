"""What handing work out costs where the program runs: measured when it could change a decision, a few times at most.

Until then, and for what was not measured, the defaults of `cost.Machine` hold.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from math import inf
from time import perf_counter

from parallel_deco._traits import SERIAL
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, BatchResult, Done, Shape
from parallel_deco.routing.cost import Machine
from parallel_deco.routing.router import Decision, decide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

__all__ = ["constants", "may_matter", "measure", "measure_all"]

#: Work of the loop, in seconds, for which the constants are measured: less takes no longer than that does, and of more
#: none could change the decision.
SMALL, LARGE = 10e-3, 0.1
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
#: stands if it is less; and after which one is given up, for somebody else has got the worker (in `measure_all`, which
#: somebody waits for, later).
BUDGET = 2e-3
WHOLE = 18e-3
PATIENCE, LONG_PATIENCE = 30e-3, 1.0
#: How often a kind is measured, and seconds in between: of each constant the least counts, for one busy moment of the
#: machine must not decide for as long as the program runs.
TIMES, APART = 3, 1.0
#: Bytes that are sent to a worker to time the way.
LOAD = 256 << 10

if TYPE_CHECKING:
    _Start: TypeAlias = Callable[[Batch, Done], Any]


class _Costs:
    """Seconds that were measured of one kind of worker, the least of each; None before the first time.

    Attributes
    ----------
    seconds : tuple of float or None
    times : int
        How often they were measured.
    not_before : float
        The time from which on that may be tried again.
    """

    __slots__ = ("not_before", "seconds", "times")

    def __init__(self) -> None:
        self.seconds: tuple[float, float] | None = None
        self.times = 0
        self.not_before = 0.0

    @property
    def due(self) -> bool:
        """Whether they may be measured now, as far as the time goes."""
        return self.times < TIMES and perf_counter() >= self.not_before

    def keep(self, seconds: tuple[float, float] | None) -> None:
        """Take in what was measured now; None for what did not come to its end."""
        if seconds is not None:
            self.times += 1
            known = self.seconds or seconds
            self.seconds = min(known[0], seconds[0]), min(known[1], seconds[1])
        self.not_before = perf_counter() + APART


_lock = threading.Lock()
_threads = _Costs()  # dispatch and wake-up
_processes = _Costs()  # dispatch, and so many bytes more


def constants() -> Machine:
    """Return what is known of this machine now: measurements, and defaults for the rest."""
    machine = Machine()
    if _threads.seconds is not None:
        machine = machine._replace(dispatch_thread=_threads.seconds[0], wake=_threads.seconds[1])
    if _processes.seconds is not None:
        machine = machine._replace(dispatch_process=_processes.seconds[0], bandwidth=LOAD / _processes.seconds[1])
    pool = pools.process_pool()
    if pool is not None and pool.started_in is not None:
        most = inf if pool.starts > 1 else BELIEVED * machine.start
        again = inf if pool.forked_in is None else pool.forked_in
        machine = machine._replace(start=min(pool.started_in, most, again))
    return machine


def may_matter(decision: Decision) -> bool:
    """Whether a decision hangs on a constant that could be measured now, for the first time or better."""
    now = [costs for costs, there in ((_threads, True), (_processes, _at_rest())) if there and costs.due]
    if not now:
        return False
    facts, here = decision.facts, decision.here
    if not SMALL < here.items * facts.wall < LARGE or len(here.open) == 1:
        return False
    factors = [1 / DOUBT]
    if decision.route != SERIAL and any(costs.seconds is None for costs in now):
        factors.append(DOUBT)  # the loop hands nothing out; and what is known only ever becomes less
    return any(
        decide(facts, here._replace(machine=_scaled(here.machine, factor))).route != decision.route
        for factor in factors
    )


def measure(seconds: float = WHOLE, patience: float = PATIENCE) -> None:
    """Measure what can be measured now, in 2 ms to so many; not in a thread of the pools, and with nothing running."""
    with _lock:
        end = perf_counter() + seconds
        if _threads.due:
            _threads.keep(_time_threads(end, patience))
        if _processes.due and _at_rest():
            _processes.keep(_time_processes(end, patience))


def measure_all() -> tuple[Machine, frozenset[str]]:
    """Start workers if need be, and measure everything; return it, and the names of what is measured."""
    pool = pools.processes()
    if pool.unavailable is None:
        done = threading.Event()
        pool.start(Batch(id, [0], Shape.ONE), lambda _: done.set(), width=1)
        done.wait(10 * LONG_PATIENCE)
    measure(10 * LONG_PATIENCE, LONG_PATIENCE)
    measured = {"dispatch_thread", "wake"} if _threads.seconds else set()
    if _processes.seconds is not None:
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
    """Return what a batch costs, and what it adds that it is so large; None where one did not come back."""
    start = pools.processes().start
    if _trip(start, 0, patience) is None:  # the worker learns the function
        return None
    guess = Machine()
    dispatch = _typical(start, 0, end, guess.dispatch_process, patience)
    if dispatch is None:
        return None
    loaded = _typical(start, bytes(LOAD), end, guess.dispatch_process + LOAD / guess.bandwidth, patience)
    return None if loaded is None else (dispatch, max(loaded - dispatch, 1e-6))


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
