"""What was measured of a function: decayed sums, safe under threads, and the facts per item that follow."""

import threading
from typing import NamedTuple

from parallel_deco._measure import FRACTION, PURE, Readings

__all__ = ["Evidence", "Facts"]

#: What is left of the older sums when a batch is added: about the last four batches count.
KEEP = 0.75
#: One batch in so many is watched by the sampler once the function is known.
WATCH_EVERY = 16
#: A wall time is believed beside others when the GIL was in use less than this, by all threads together.
UNCROWDED = 0.5


class Facts(NamedTuple):
    """What an item costs; seconds and bytes per item.

    Parameters
    ----------
    items : int
        How many items the facts rest on, over the life of the function.
    seconds : float
        How long these ran, all together.
    wall : float
        Elapsed time when it runs alone, without the time in which other programs had its CPU.
    cpu : float
        CPU time of its thread.
    gil : float or None
        Time in which it held the GIL; None when too little was seen.
    samples : int
        Looks of the sampler behind `gil`.
    moved : float or None
        Time to move the argument and the result to and from another process; None when never measured.
    sent, received : float
        Bytes of arguments and results that are moved.
    inner : float
        CPUs that it keeps busy by itself (BLAS, OpenMP); 1 when it computes in one thread.
    gain : float or None
        How many times faster threads were than one, when that was tried on computing work.
    """

    items: int = 0
    seconds: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0
    gil: float | None = None
    samples: int = 0
    moved: float | None = None
    sent: float = 0.0
    received: float = 0.0
    inner: float = 1.0
    gain: float | None = None

    @property
    def computes(self) -> bool:
        """Whether CPU time is most of its time."""
        return 0 < 0.7 * self.wall <= self.cpu

    @property
    def waits(self) -> bool:
        """Whether most of its time passes without computing."""
        return self.cpu < 0.5 * self.wall

    @property
    def held(self) -> float:
        """Seconds per item with the GIL held, on the safe side: all computing counts until it was seen."""
        return self.cpu if self.gil is None else self.gil


class Evidence:
    """Learns from readings; all sums decay, so that what a function did lately counts.

    Guarantees
    ----------
    `_lock` is held for every change and for every look at more than one sum; nothing is called under it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items = 0
        self._seconds = 0.0
        self._alone = _Mean()
        self._cpu = _Mean()
        self._seen = Readings(0, 0.0, 0.0)
        self._moved = _Mean()
        self._sent = _Mean()
        self._received = _Mean()
        self._inner: float = 1.0
        self._gain: float | None = None
        self._facts: Facts | None = Facts()  # None when the sums have changed since
        self._asked = 0

    def learn(self, seen: Readings, crowd: int = 1) -> None:
        """Add what a batch cost, while so many threads of this process ran the same function."""
        if not seen.items:
            return
        wall = max(seen.wall - seen.delay, seen.cpu)
        with self._lock:
            self._facts = None
            self._items += seen.items
            self._seconds += wall
            self._cpu.add(seen.cpu, seen.items)
            if seen.samples:
                self._look(seen)
            if self._believable(wall, seen, crowd):
                self._alone.add(wall, seen.items)
            if seen.moved:
                self._moved.add(seen.moved, seen.items)
                self._sent.add(seen.sent, seen.items)
                self._received.add(seen.received, seen.items)
            if crowd == 1 and seen.process_cpu and seen.wall > 1e-3:
                self._inner = max(1.0, seen.process_cpu / seen.wall) if seen.cpu > 0.5 * wall else 1.0

    def watches(self) -> bool:
        """Whether the next batch is to be watched by the sampler: all until the GIL time is known, then a few."""
        self._asked += 1  # a lost count does no harm
        return self.facts().gil is None or self._asked % WATCH_EVERY == 0

    def learn_count(self, items: int) -> None:
        """Note that so many more items ran without being measured."""
        with self._lock:
            self._facts = None
            self._items += items

    def learn_size(self, *, sent: int | None = None, received: int | None = None) -> None:
        """Note how large the argument or the result of an item is that has not been moved yet."""
        with self._lock:
            self._facts = None
            if sent is not None:
                self._sent.add(sent, 1)
            if received is not None:
                self._received.add(received, 1)

    def learn_gain(self, gain: float) -> None:
        """Note how many times faster threads were than one on this computing function."""
        with self._lock:
            self._facts = None
            self._gain = gain

    def facts(self) -> Facts:
        """Return what is known now; computed once for each change."""
        facts = self._facts
        if facts is None:
            with self._lock:
                facts = self._facts = self._sum_up()
        return facts

    def _sum_up(self) -> Facts:
        cpu = self._cpu.value
        return Facts(
            items=self._items,
            seconds=self._seconds,
            wall=max(self._alone.value, cpu),
            cpu=cpu,
            gil=self._gil(),
            samples=self._seen.samples,
            moved=self._moved.value if self._moved.weight else None,
            sent=self._sent.value,
            received=self._received.value,
            inner=self._inner,
            gain=self._gain,
        )

    def _believable(self, wall: float, seen: Readings, crowd: int) -> bool:
        """Whether the wall time is the function's own, and not a wait for the GIL among a crowd."""
        if crowd <= 1 or not self._alone.weight or wall <= 1.25 * seen.cpu:
            return True
        gil = self._gil()
        held = self._cpu.value if gil is None else gil
        return crowd * held * seen.items < UNCROWDED * wall

    def _look(self, seen: Readings) -> None:
        old = self._seen
        keep = KEEP if old.samples > 2 * FRACTION else 1.0
        self._seen = Readings(
            items=seen.items,
            wall=keep * old.wall + seen.wall,
            cpu=keep * old.cpu + seen.cpu,
            delay=keep * old.delay + seen.delay,
            samples=old.samples + seen.samples,
            looked=keep * old.looked + seen.looked,
            held=keep * old.held + seen.held,
            looked_cpu=keep * old.looked_cpu + seen.looked_cpu,
            held_cpu=keep * old.held_cpu + seen.held_cpu,
        )

    def _gil(self) -> float | None:
        """Seconds per item with the GIL held: the share that was seen, of what an item takes now."""
        seen = self._seen
        total = seen.gil
        if total is None or seen.samples < PURE:
            return 0.0 if total == 0.0 and not seen.samples else None
        wall = seen.wall - seen.delay
        if wall <= 0:
            return None
        if seen.cpu >= 0.5 * wall:
            return self._cpu.value * min(1.0, total / max(seen.cpu, 1e-12))
        return max(self._alone.value, self._cpu.value) * min(1.0, total / wall)


class _Mean:
    """A mean by items over decayed sums."""

    __slots__ = ("_sum", "weight")

    def __init__(self) -> None:
        self._sum = 0.0
        self.weight = 0.0

    def add(self, total: float, items: int) -> None:
        self._sum = KEEP * self._sum + total
        self.weight = KEEP * self.weight + items

    @property
    def value(self) -> float:
        return self._sum / self.weight if self.weight else 0.0
