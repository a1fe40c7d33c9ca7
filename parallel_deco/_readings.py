"""What was read of a call or a batch, and the clocks that read it.

Worker processes load this first of all: it imports neither `typing` nor `dataclasses`, which would take as long as the
rest of a worker's start.
"""

from __future__ import annotations

import os
import sys
import time
from _thread import get_ident, get_native_id
from _weakref import ref
from collections import namedtuple
from time import perf_counter, process_time, thread_time

from parallel_deco import _sampler
from parallel_deco._cpus import cpus_contended, gil_enabled
from parallel_deco._waiting import stayed_awake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import local
    from typing import NamedTuple

    class _Fields(NamedTuple):
        items: int
        wall: float
        cpu: float
        delay: float = 0.0
        samples: int = 0
        looked: float = 0.0
        held: float = 0.0
        looked_cpu: float = 0.0
        held_cpu: float = 0.0
        caught: int = 0
        busy: float = 0.0
        held_busy: float = 0.0
        held_idle: float = 0.0
        moved: float = 0.0
        sent: int = 0
        received: int = 0
        process_cpu: float = 0.0
        crowd: int = 1
        disturbed: bool = False
        first: bool = False
        idle: bool = False
        rests: int = 0

else:
    from _thread import _local as local

    _NAMES = (
        "items wall cpu delay samples looked held looked_cpu held_cpu caught busy held_busy held_idle"
        " moved sent received process_cpu crowd disturbed first idle rests"
    )
    _Fields = namedtuple(
        "_Fields",
        _NAMES,
        defaults=(0.0, 0, 0.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0, 1, False, False, False, 0),
    )

__all__ = [
    "FRACTION",
    "IDLE",
    "LOOK",
    "PURE",
    "UNREAD",
    "Idleness",
    "Readings",
    "Stopwatch",
    "begin_unmeasured",
    "end_unmeasured",
    "others_decide",
    "overhead",
    "run_delay",
]

#: Looks of the sampler from which a pure answer (all or nothing held) is believed, and a fraction.
PURE, FRACTION = 3, 20
#: Shares of its time from which a batch is starved, for it had no CPU, and disturbed, for the library was at work.
STARVED = 0.2
DISTURBED = 0.1
#: In the place of a sampler's slot where there was none to be had.
NO_SLOT = -2
#: Share of its time that the process computes up to which a batch found it idle; and seconds from one look to the next.
IDLE, LOOK = 0.5, 2e-3
#: Seconds up to which clocks were read at the same time, and how often that is tried.
AT_ONCE, TRIES = 50e-6, 4
#: The same of another thread's clocks, of which one is a file.
PEEKED_AT_ONCE = 0.2e-3
#: Seconds after another thread's batch in which the CPU time of the process is not read: what a thread that runs just
#: now has taken since the last tick of the system's clock (4 ms, mostly) is added at the next, or when it waits.
BEHIND = 0.2e-3
#: Batches after which stopwatches that are gone are looked for.
SWEEP = 64


class Readings(_Fields):
    """What was read while some items ran in one thread; seconds, sums over the items.

    Parameters
    ----------
    items : int
        How many items ran.
    wall : float
        Elapsed time.
    cpu : float
        CPU time of the thread.
    delay : float
        Time in which the thread could have run but got no CPU, or its CPU stood; 0 where the system does not tell.
    samples : int
        Looks of the sampler; 0 when nothing was watched.
    looked, held : float
        Wall time that the sampler looked at, and how much of it with the GIL held.
    looked_cpu, held_cpu : float
        The same in CPU time, as if it had had the GIL since one look when it has it at the next.
    caught : int
        Looks that found the thread computing.
    busy, held_busy : float
        Wall time that ended with such a look, and how much of it with the GIL held.
    held_idle : float
        Wall time that ended with a look that found it off its CPU with the GIL held.
    moved : float
        CPU time spent on moving arguments and results to and from another process.
    sent, received : int
        Bytes of arguments and of results that were moved.
    process_cpu : float
        CPU time of the whole process meanwhile, but for the library's and the main thread's own, where it was read and
        no other batch ran; more than `wall` shows parallel work inside.
    crowd : int
        How many batches ran at the same time in this process, this one included, at its beginning or its end.
    disturbed : bool
        What looks like waiting may have been for the GIL, for the library computed beside it a good part of the time;
        or, of a call that still runs, for a CPU, for it waits for one or has just got it.
    first : bool
        Its worker process had not run the function before; it may have had to import, or to fill a cache.
    idle : bool
        Most of the time nothing in this process computed: what it waited for was neither the GIL nor a CPU.
    rests : int
        How often the thread gave its CPU up to wait for something, the GIL too; 0 where the system does not count.
    """

    __slots__ = ()

    @property
    def gil(self) -> float | None:
        """Seconds with the GIL held, scaled from what the sampler saw; None when it saw nothing."""
        shares = self.shares
        if shares is None:
            return None
        waited = max(0.0, self.wall - self.delay - self.cpu)
        return min(self.wall, self.cpu * shares[0] + waited * shares[1])

    @property
    def shares(self) -> tuple[float, float] | None:
        """How much of its CPU time, and of the time in which it waits, the GIL is held; None when nothing was seen.

        A thread that is waiting for a CPU often holds the GIL too, which it has just been given: that says nothing of
        the call.
        """
        if not gil_enabled():
            return 0.0, 0.0
        if not self.samples or self.looked <= 0:
            return None
        # Too seldom met computing, what it computed from one look to the next is as it was at the next.
        met = self.caught >= PURE
        busy, busy_held = (self.busy, self.held_busy) if met else (self.looked_cpu, self.held_cpu)
        delay = self.delay * min(1.0, self.looked / self.wall) if self.wall else 0.0
        idle, idle_held = max(1e-12, self.looked - busy), self.held_idle
        if delay < 0.5 * idle:  # else too little is left of both to tell
            idle, idle_held = idle - delay, max(0.0, idle_held - delay)
        return min(1.0, busy_held / busy) if busy > 0 else 0.0, min(1.0, idle_held / idle)

    def plus(self, other: Readings) -> Readings:
        """Return both together, of other items."""
        crowd, idle = max(self.crowd, other.crowd), self.idle or other.idle
        disturbed, first = self.disturbed or other.disturbed, self.first or other.first
        return Readings._make(map(sum, zip(self, other, strict=True)))._replace(
            crowd=crowd, disturbed=disturbed, first=first, idle=idle
        )

    @property
    def starved(self) -> bool:
        """Whether other programs had the CPU for much of the time: what it waited for then says little of its own."""
        return self.delay > STARVED * self.wall

    @property
    def confident(self) -> bool:
        """Whether the sampler looked often enough for `gil` to be believed."""
        if self.samples < PURE:
            return not gil_enabled()
        return self.samples >= FRACTION or self.held in (0.0, self.looked)


#: Of nothing that was measured.
UNREAD = Readings(0, 0.0, 0.0)


class Idleness:
    """Tells how much the process has computed since it was last asked, in the thread that asks.

    Notes
    -----
    2 µs.
    """

    __slots__ = ("_delayed", "_rests", "_spent", "since")

    def __init__(self) -> None:
        self.since = 0.0  #: when it was last asked, by `perf_counter`
        self._spent = self._delayed = 0.0
        self._rests = 0
        self.ask()

    def ask(self) -> float:
        """Return the share of that time; 1 where the thread has waited for nothing but a CPU."""
        since, spent, delayed, rests = self.since, self._spent, self._delayed, self._rests
        self.since, self._spent, self._delayed, self._rests = (
            perf_counter(),
            process_time(),
            run_delay(),
            _sampler.rests(),
        )
        elapsed = self.since - since - (self._delayed - delayed)
        return 1.0 if self._rests <= rests or elapsed <= 0 else (self._spent - spent) / elapsed


class _Statistics:
    """The open scheduler statistics of the thread that made it; closed with the last reference."""

    __slots__ = ("descriptor",)

    def __init__(self) -> None:
        try:
            self.descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.descriptor = -1

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class _Schedstat(local):
    """A kept descriptor of this thread's scheduler statistics, opened when first read, closed when the thread ends."""

    descriptor: int

    def open(self) -> int:
        # A thread's end drops its attributes, one by one; a __del__ of the local itself would not run then.
        self._statistics = _Statistics()
        self.descriptor = self._statistics.descriptor
        return self.descriptor


_schedstat = _Schedstat()


def others_decide() -> bool:
    """Whether other threads are about to import what they need: the child of a fork would wait for their locks."""
    own = get_ident()
    return any(thread != own for thread in list(_deciding))


def _forget_after_fork() -> None:
    """Open anew in the child: the descriptor shows the parent's thread. Of its batches none runs here."""
    global _schedstat
    _schedstat = _Schedstat()
    _ticking.clear()
    _unread.clear()
    _abandoned.clear()
    _deciding.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def run_delay() -> float:
    """Return the seconds that the calling thread could have run but got no CPU, since it began.

    Returns
    -------
    float
        0.0 where the system does not tell.

    Notes
    -----
    1 µs, on a descriptor that is kept for each thread. Source: ``/proc/thread-self/schedstat``, second field.
    """
    try:
        descriptor = _schedstat.descriptor
    except AttributeError:
        descriptor = _schedstat.open()
    return _sampler.run_delay(descriptor) if descriptor >= 0 else 0.0


def _delay_between() -> tuple[float, float, float]:
    """Return the run delay, and the times right before and after it was read.

    A delay in between would count with no time to it, or time with no delay; so it is read again.
    """
    for _ in range(TRIES):
        before, delay, after = perf_counter(), run_delay(), perf_counter()
        if after - before < AT_ONCE:
            break
    return before, delay, after


def _run_delay_of(thread: int) -> float:
    """Return the same of another thread, by its native id; 20 µs."""
    descriptor = _open_of(thread, "schedstat")
    try:
        return _sampler.run_delay(descriptor)
    finally:
        _close(descriptor)


def _is_runnable(thread: int) -> bool:
    """Whether a thread computes now, or could if it got a CPU: what it waits for so far is in no statistics yet."""
    descriptor = _open_of(thread, "stat")
    try:
        return os.pread(descriptor, 512, 0).rpartition(b") ")[2][:1] == b"R"
    except OSError:
        return False
    finally:
        _close(descriptor)


def _open_of(thread: int, name: str) -> int:
    try:
        return os.open(f"/proc/self/task/{thread}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)


#: What the sampler would say of a thread that it has not watched.
_UNSEEN = 0, 0.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0, 0.0, 0.0

# The stopwatches that were not stopped yet, of all threads. Those that Ctrl-C has come into are gone all the same: no
# `__del__` says so, for Ctrl-C may come into that too, and be lost.
_ticking: dict[int, ref[Stopwatch]] = {}
_unread: set[int] = set()  # the threads that run something that nobody measures
_abandoned: set[int] = set()  # those whose calls nobody waits for any more
_begun = 0
_ended = 0, 0.0  # the thread whose batch ended last, where none ran beside it, and when
# Threads of ours that compute for themselves: the clock of their CPU time, and that and the time when they began.
_deciding: dict[int, tuple[int, float, float]] = {}
_overhead = 0.0, 0.0  # what they took before: CPU seconds, and the time in which they did


# Not by `contextlib`, which takes as long to import as this module.
class overhead:
    """Says that what the calling thread computes meanwhile is the library's own, and no function's.

    Parameters
    ----------
    since : float, optional
        When the thread was to begin, by `perf_counter`; since then it may have had the GIL, but no CPU.
    """

    __slots__ = ("_before", "_since")

    def __init__(self, since: float | None = None) -> None:
        self._since = since or perf_counter()

    def __enter__(self) -> None:
        thread = get_ident()
        self._before = thread_time()
        _deciding[thread] = _thread_clock(thread), self._before, self._since

    def __exit__(self, *_: object) -> None:
        global _overhead
        elapsed = perf_counter() - self._since
        _overhead = _overhead[0] + thread_time() - self._before, _overhead[1] + elapsed
        _deciding.pop(get_ident(), None)  # it may be within another


def _thread_clock(thread: int) -> int:
    """Return the clock of the calling thread's CPU time, which others can read too; -1 where there is none."""
    find = getattr(time, "pthread_getcpuclockid", None)
    return -1 if find is None else find(thread)


def begin_unmeasured() -> None:
    """Note that this thread runs something that nobody measures: what is measured meanwhile is not alone."""
    global _begun
    _begun += 1
    _unread.add(get_ident())


def end_unmeasured() -> None:
    """Note that it has come to its end."""
    _unread.discard(get_ident())


def _main_clock(thread: int) -> int:
    """Return the clock of the main thread's CPU time, for a thread by its native id; -1 for the main thread itself.

    By its number, as Linux makes clocks of these: of a thread that has ended, as in a program that Python is embedded
    in, the number leads to an error, and the handle to a crash.
    """
    threading = sys.modules.get("threading")  # not loaded in a worker process that runs nothing beside
    number = None if threading is None or sys.platform != "linux" else threading.main_thread().native_id
    return -1 if number in (None, thread) else ~number << 3 | 6


def _spent_so_far(main: int) -> float:
    """Return the CPU seconds that no function took: the library, with its sampler, and the main thread; 3 µs.

    That one computes as it likes while others run what it submitted; `main` is its clock.
    """
    spent: float = _overhead[0] + _sampler.spent() + stayed_awake()
    clocks = [(clock, before) for clock, before, _ in list(_deciding.values())]
    if main != -1:
        clocks.append((main, 0.0))
    for clock, before in clocks:
        try:
            spent += time.clock_gettime(clock) - before
        except (AttributeError, OSError):  # no such clock here, or the thread has ended just now
            continue
    return spent


def _crowd() -> int:
    """How many batches run now, measured or not."""
    return len(_ticking) + len(_unread)


def _is_behind() -> bool:
    """Whether the CPU time of the process lacks some of what others took, who may not be at rest yet."""
    thread, ended = _ended
    return thread != get_ident() and perf_counter() - ended < BEHIND


def _elapsed_so_far() -> float:
    """Return the time in which the library did so, without the sampler."""
    elapsed = _overhead[1]
    if _deciding:
        elapsed += sum(perf_counter() - since for _, _, since in list(_deciding.values()))
    return elapsed


def _sweep() -> None:
    """Forget the stopwatches that are gone and were never stopped."""
    # Not the list of its items: each makes a tuple, with which the collector may run in Python 3.11, and others go on.
    for number in list(_ticking):
        watch = _ticking.get(number)
        if watch is not None and watch() is None:
            _ticking.pop(number, None)


class Stopwatch(_sampler.Watched):
    """Reads the clocks of the calling thread from its making until `stop`.

    Parameters
    ----------
    watch : bool
        Have the sampler look at the thread, and read the CPU time of the whole process.
    careful : bool
        Read the run delay too, as a watched batch does anyway; 3 µs more. What never waits tells it without.
    looks : int
        How often the sampler looks before it takes longer pauses. The error of a share is one over twice the root of
        that.
    """

    __slots__ = (
        "__weakref__",
        "_behind",
        "_clock",
        "_cpu",
        "_crowd",
        "_delay",
        "_elapsed",
        "_main",
        "_number",
        "_process",
        "_rests",
        "_spent",
        "_thread",
        "_wall",
    )

    def __init__(self, watch: bool, careful: bool, looks: int = 40) -> None:
        global _begun
        self._thread = 0
        self._number = _begun = _begun + 1  # without a lock: an increment that is lost beside another is lost to both
        _ticking[self._number] = ref(self)
        if not self._number % SWEEP:
            _sweep()
        self._crowd = _crowd()
        self._elapsed = _elapsed_so_far()
        self._spent = 0.0
        if watch:
            self._thread = get_native_id()
            self._main = _main_clock(self._thread)
            self._spent = _spent_so_far(self._main)
            self.begin(looks)
            if self.slot < 0:
                self.slot, self._clock = NO_SLOT, _thread_clock(get_ident())
        self._behind = watch and _is_behind()
        self._process = process_time() if watch else -1.0
        self._rests = _sampler.rests()
        if careful or watch:
            _, self._delay, self._wall = _delay_between()
        else:
            self._delay, self._wall = -1.0, perf_counter()
        self._cpu = thread_time()

    def stop(self, items: int) -> Readings:
        """End the watch and return what was read over so many items; in the thread that made it."""
        global _ended
        # The sampler first: where CPUs are scarce, it gets one when the watched thread enters the system, as reading
        # these clocks does; and it would find the GIL held.
        slot, self.slot = self.slot, -1  # a signal is not heeded between this and the next call
        looks = _sampler.end(slot) if slot >= 0 else None
        cpu = thread_time() - self._cpu
        now, delayed, _ = _delay_between() if self._delay >= 0 else (perf_counter(), -1.0, 0.0)
        wall = now - self._wall
        delay = max(0.0, min(wall, delayed - self._delay))
        rests = _sampler.rests() - self._rests
        if not rests and self._rests > 0:  # 0: perhaps this system does not count
            # It waited for nothing. What it did not compute others had, a hypervisor too, whom no statistics name.
            delay = max(0.0, wall - cpu)
        crowd = max(self._crowd, _crowd(), 2 if _begun != self._number else 1)
        _ticking.pop(self._number, None)
        _abandoned.discard(self._number)
        _ended = get_ident() if crowd == 1 else 0, now
        process, disturbed, idle = self._beside(wall, delay, crowd)
        seen = (_UNSEEN if looks is None else looks)[:-2]
        return Readings(items, wall, cpu, delay, *seen, 0.0, 0, 0, process, crowd, disturbed, idle=idle, rests=rests)

    def abandon(self) -> None:
        """Count no more among what runs: the call may never end, and nobody waits for it; from any thread.

        It may still compute: until it ends, the CPU time of the process is nobody's own.
        """
        _abandoned.add(self._number)
        _ticking.pop(self._number, None)

    def peek(self) -> Readings | None:
        """Return what was read so far, from any thread; None when not watched or already stopped.

        Without a slot of the sampler's, it has the times and no looks.
        """
        tries, at_once, before = 0, False, thread_time()
        while not at_once and tries < TRIES:
            tries, began, slot = tries + 1, perf_counter(), self.slot
            seen = _sampler.peek(slot) if slot >= 0 else self._times() if slot == NO_SLOT else None
            if seen is None:
                return None
            looks, (age, spent) = seen[:-2], seen[-2:]
            delayed = _run_delay_of(self._thread) - self._delay if self._delay >= 0 else 0.0
            # Else this thread had no CPU in between, and all that the other was delayed meanwhile would count.
            at_once = perf_counter() - began < PEEKED_AT_ONCE
        delay = max(0.0, min(age - spent, delayed))
        crowd = max(_crowd(), 2 if _begun != self._number else 1)
        process, disturbed, idle = self._beside(age, delay, crowd, thread_time() - before)
        disturbed = disturbed or not at_once or _is_runnable(self._thread)
        return Readings(1, age, spent, delay, *looks, 0.0, 0, 0, process, crowd, disturbed, idle=idle)

    def _times(self) -> tuple[int, float, float, float, float, int, float, float, float, float, float] | None:
        """Return what the sampler would, as far as others can read it off the thread's clock; None when it stopped."""
        age = perf_counter() - self._wall
        try:
            spent = time.clock_gettime(self._clock) - self._cpu
        except (AttributeError, OSError):  # no such clock here
            return None
        return (*_UNSEEN[:-2], age, spent) if self.slot == NO_SLOT else None

    def _beside(self, wall: float, delay: float, crowd: int, own: float = 0.0) -> tuple[float, bool, bool]:
        """Return the CPU time of the process, where it is told, without the library's; whether that disturbed; idle.

        `own` is what the calling thread has taken to look at another.
        """
        process, idle = 0.0, False
        if self._process >= 0:
            computed = process_time() - self._process
            idle = computed < IDLE * wall and self._delay >= 0 and delay <= STARVED * wall
            # It may have waited for a lock of one that has no CPU, and neither computes.
            idle = idle and not (crowd > 1 and cpus_contended())
            if crowd == 1 and not (self._behind or _abandoned):
                process = max(0.0, computed - own - (_spent_so_far(self._main) - self._spent))
        disturbed = _elapsed_so_far() - self._elapsed > DISTURBED * wall
        return process, disturbed, idle
