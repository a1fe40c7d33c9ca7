"""What was read of a call or a batch, and the clocks that read it.

Worker processes load this first of all: it imports neither `typing` nor `dataclasses`, which would take as long as the
rest of a worker's start.
"""

from __future__ import annotations

import os
import threading
from collections import namedtuple
from time import perf_counter, process_time, thread_time

from parallel_deco import _sampler
from parallel_deco._cpus import gil_enabled

TYPE_CHECKING = False
if TYPE_CHECKING:
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
        moved: float = 0.0
        sent: int = 0
        received: int = 0
        process_cpu: float = 0.0

else:
    _NAMES = "items wall cpu delay samples looked held looked_cpu held_cpu moved sent received process_cpu"
    _Fields = namedtuple("_Fields", _NAMES, defaults=(0.0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0))

__all__ = ["FRACTION", "PURE", "Readings", "Stopwatch", "disturb", "run_delay"]

#: Looks of the sampler from which a pure answer (all or nothing held) is believed, and a fraction.
PURE, FRACTION = 3, 20


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
        Time in which the thread could have run but got no CPU; 0 where the system does not tell.
    samples : int
        Looks of the sampler; 0 when nothing was watched.
    looked, held : float
        Wall time that the sampler looked at, and how much of it with the GIL held.
    looked_cpu, held_cpu : float
        The same in CPU time.
    moved : float
        Time spent on moving arguments and results to and from another process.
    sent, received : int
        Bytes of arguments and of results that were moved.
    process_cpu : float
        CPU time of the whole process meanwhile, where it was read and no other batch ran; more than `wall` shows
        parallel work inside.
    """

    __slots__ = ()

    @property
    def gil(self) -> float | None:
        """Seconds with the GIL held, scaled from what the sampler saw; None when it saw nothing.

        CPU time is scaled by the CPU-weighted share; a wait in which the GIL is held counts by its wall time.
        """
        if not gil_enabled():
            return 0.0
        if not self.samples or self.looked <= 0:
            return None
        busy = self.cpu * self.held_cpu / self.looked_cpu if self.looked_cpu > 0 else 0.0
        idle_held = max(0.0, self.held - self.held_cpu)
        idle = max(1e-12, self.looked - self.looked_cpu)
        waited = max(0.0, self.wall - self.delay - self.cpu)
        return min(self.wall, busy + waited * min(1.0, idle_held / idle))

    @property
    def confident(self) -> bool:
        """Whether the sampler looked often enough for `gil` to be believed."""
        if self.samples < PURE:
            return not gil_enabled()
        return self.samples >= FRACTION or self.held in (0.0, self.looked)


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


class _Schedstat(threading.local):
    """A kept descriptor of this thread's scheduler statistics, opened when first read, closed when the thread ends."""

    descriptor: int

    def open(self) -> int:
        # A thread's end drops its attributes, one by one; a __del__ of the local itself would not run then.
        self._statistics = _Statistics()
        self.descriptor = self._statistics.descriptor
        return self.descriptor


_schedstat = _Schedstat()


def _forget_after_fork() -> None:
    """Open anew in the child: the descriptor shows the parent's thread. Of its batches none runs here."""
    global _schedstat
    _schedstat = _Schedstat()
    _ticking.clear()


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
    1.5 µs, on a descriptor that is kept for each thread. Source: ``/proc/thread-self/schedstat``, second field.
    """
    try:
        descriptor = _schedstat.descriptor
    except AttributeError:
        descriptor = _schedstat.open()
    if descriptor < 0:
        return 0.0
    try:
        return int(os.pread(descriptor, 64, 0).split()[1]) * 1e-9
    except (OSError, IndexError, ValueError):
        return 0.0


def disturb() -> None:
    """Say that a thread of ours is about to compute: what runs now is not alone in the process."""
    global _begun
    _begun += 1


_ticking: set[int] = set()  # the stopwatches that were not stopped yet, of all threads
_begun = 0


class Stopwatch:
    """Reads the clocks of the calling thread from its making until `stop`.

    Parameters
    ----------
    watch : bool
        Have the sampler look at the thread, and read the CPU time of the whole process.
    careful : bool
        Read the run delay too; 3 µs more.
    """

    __slots__ = ("_alone", "_cpu", "_delay", "_number", "_process", "_wall", "slot")

    def __init__(self, watch: bool, careful: bool) -> None:
        global _begun
        self._alone = not _ticking
        self._number = _begun = _begun + 1  # without a lock: an increment that is lost beside another is lost to both
        _ticking.add(self._number)
        self.slot = _sampler.begin() if watch else -1
        self._delay = run_delay() if careful else -1.0
        self._process = process_time() if watch else -1.0
        self._cpu = thread_time()
        self._wall = perf_counter()

    def stop(self, items: int) -> Readings:
        """End the watch and return what was read over so many items; in the thread that made it."""
        wall = perf_counter() - self._wall
        cpu = thread_time() - self._cpu
        delay = process = 0.0
        _ticking.discard(self._number)
        if self._process >= 0 and self._alone and _begun == self._number:
            process = process_time() - self._process
        if self._delay >= 0:
            delay = max(0.0, min(wall, run_delay() - self._delay))
        if self.slot < 0:
            return Readings(items, wall, cpu, delay, process_cpu=process)
        samples, looked, held, looked_cpu, held_cpu, _, _ = _sampler.end(self.slot)
        self.slot = -1
        return Readings(items, wall, cpu, delay, samples, looked, held, looked_cpu, held_cpu, process_cpu=process)

    def peek(self) -> Readings | None:
        """Return what was read so far, from any thread; None when not watched or already stopped."""
        slot = self.slot
        seen = _sampler.peek(slot) if slot >= 0 else None
        if seen is None:
            return None
        samples, looked, held, looked_cpu, held_cpu, age, spent = seen
        return Readings(1, age, spent, 0.0, samples, looked, held, looked_cpu, held_cpu)
