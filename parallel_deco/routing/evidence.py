"""What was measured of a function: decayed sums, safe under threads, and the facts per item that follow."""

from __future__ import annotations

import sys
import threading
from math import inf

from parallel_deco._cpus import available_cpus, gil_enabled
from parallel_deco._measure import FRACTION, PURE, UNREAD, Readings
from parallel_deco._records import NamedTuple
from parallel_deco.routing.reach import FIRST, Reach
from parallel_deco.routing.refusals import Refusals

__all__ = ["INNER", "KNOWN", "Evidence", "Facts", "facts_so_far"]

#: Work that keeps more CPUs busy than this is parallel inside.
INNER = 1.3
#: Items from which on a function is known: another does not change that at once.
KNOWN = 64

#: What is left of the older sums when a batch is added: about the last four batches count.
KEEP = 0.75
#: So many batches are watched by the sampler, as the first are often unlike the others; then one in so many.
WATCH_FIRST = 12
WATCH_EVERY = 16
#: Of waits shorter than this, in seconds, the first batches are measured, and one in so many of the others.
LONG_WAIT, WAITS, MEASURE_EVERY = 20e-3, 8, 4
#: Items for each thread from which on it is found out how many threads get the most of them done.
WORTH_ASKING = 4
#: How many times as long as was known of its items a batch may take, or so many times less, beyond so many seconds, and
#: how many of them in a row say that things are no more what they were: so much is left of the older sums then.
UNLIKE, BY, TURNED = 2.0, 3e-3, 2
FADED = 0.1
#: Share of its time that a function computes up to which it waits, even where its times are doubtful.
SLEEPY = 0.1
#: CPU seconds of its own from which a batch says whether others of its process compute for it.
LEAST_CPU = 0.3e-3
#: Elapsed over CPU time up to which nothing kept a batch waiting.
UNHINDERED = 1.25
#: CPU seconds of moving a batch that do not grow with its items; they are part of what handing it out costs.
HANDING = 40e-6
#: Seconds in batches of at least so many in which the sampler did not look once: it will not look at the next either.
BLIND, LONG_ENOUGH = 20e-3, 1e-3
#: Batches beside others, for each of them, and their seconds, after which it is known what threads gain.
TRIAL = 2
TRIAL_SECONDS = 16e-3
#: How many batches beside others may have lacked a CPU, for each that did not, for that to be believed; of about the
#: last twenty.
MOST_STARVED, OF_LATE = 0.25, 0.95
#: Share of the time of threads in which the GIL is held, by what each of them needs alone, from which on it is what
#: they wait for.
CROWDING = 0.35
#: Seconds after which who waits for the GIL asks for it, at least, where Python says that it is 0.
SHORTEST = 1e-6
#: Calls alone after which a first one counts no more.
SETTLED = 4
#: Seconds of work alone after which that is forgotten, to be tried again: the first time, and at most; twice as many
#: each time. It may have been a busy moment of the machine.
SOON, LATE = 0.25, 64.0
#: The same for what moving takes, after so many in which nothing was moved: to find out again may cost a map.
STALE, LONG_STALE = 4.0, 256.0


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
        Time to move the argument and the result to and from another process; None when they never were.
    pickling : float or None
        Time to pickle and unpickle them, where that was tried.
    sent, received : float
        Bytes of arguments and results that are moved.
    inner : float
        CPUs that it keeps busy by itself (BLAS, OpenMP); 1 when it computes in one thread.
    single : float or None
        Elapsed time in a worker process, where libraries are held to one thread; None when it is not parallel inside,
        or was never tried there.
    gain : float or None
        How many times faster threads were than one, when that was tried; other work that waited beside them counts too.
    pace : float
        Elapsed time as it was lately, beside whatever else ran.
    so_far : bool
        Whether all this is of the first call, which is still running: it takes longer than that.
    doubtful : bool
        The times were only ever read while others had the CPUs: it may take less, and keep more CPUs busy by itself.
    reach : int
        Threads that have use of each other's waiting, as far as was tried.
    blind : bool
        The sampler should have looked and did not, so that `gil` will not be known: it has no slot left, or no CPU.
    kept : float
        How often, beyond its own waits, it waited for others of this process that ran beside it: for the GIL, mostly.
    """

    items: int = 0
    seconds: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0
    gil: float | None = None
    samples: int = 0
    moved: float | None = None
    pickling: float | None = None
    sent: float = 0.0
    received: float = 0.0
    inner: float = 1.0
    single: float | None = None
    gain: float | None = None
    pace: float = 0.0
    so_far: bool = False
    doubtful: bool = False
    reach: int = FIRST
    blind: bool = False
    kept: float = 0.0

    @property
    def computes(self) -> bool:
        """Whether CPU time is most of its time."""
        return 0 < 0.7 * self.wall <= self.cpu

    @property
    def waits(self) -> bool:
        """Whether most of its time passes without computing."""
        return self.cpu < 0.5 * self.wall

    @property
    def waits_briefly(self) -> bool:
        """Whether it waits for so short that to measure each would take a good part of what it takes."""
        return self.waits and self.wall < LONG_WAIT

    @property
    def computes_with_gil(self) -> bool:
        """Whether it computes, and holds the GIL for most of that, as far as was seen."""
        return self.computes and self.held > 0.5 * self.cpu

    @property
    def weighed(self) -> bool:
        """Whether it is known what moving it to another process takes."""
        return self.moved is not None or self.pickling is not None

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
        self._lock = threading.RLock()  # the collector may run under it, and a map that it lets go of ask for facts
        self._items = 0
        self._seconds = 0.0
        self._alone = _Mean()
        self._cpu = _Mean()
        self._seen = UNREAD
        self._seen_first = UNREAD  # of first calls, which may import or fill a cache, with the GIL held
        self._unseen = 0.0  # seconds in which it should have looked and did not
        self._moved = _Mean()
        self._pickling: float | None = None
        self._still = 0.0  # seconds since something was moved
        self._patience = STALE  # after how many what moving takes is to be found out again
        self._sent = _Mean()
        self._received = _Mean()
        self._inside = _Mean()  # CPU seconds of the process, for each of the batch's own
        self._provisional = False  # all times are of a call that has not ended
        self._doubtful = False  # what is known of its own times
        self._single = _Mean()  # elapsed time in other processes, of what is parallel inside here
        self._unlike = 0  # batches in a row that took much longer than was known, or (negative) much less
        self._most = _Most()
        self._beside = _Beside()
        self._rests = inf  # how often it waits, alone, at least: the library may have had the GIL
        self._pace = _Mean()
        self._reach = Reach(max(FIRST, available_cpus()))
        self._facts: Facts | None = Facts()  # None when the sums have changed since
        self._asked = 0
        self._strange = False  # the last batch computed: what waits does not
        self._passed = 0  # batches in threads, of short waits
        self.refusals = Refusals()  #: of maps
        self.looked = 0.0  #: seconds, as a map counts them; what two threads lose does no harm

    def learn(self, seen: Readings, *, so_far: bool = False) -> None:
        """Add what a batch cost.

        With `so_far`, it is the first call of all, which is still running: a later look, or the first end, takes the
        place of that, and until then its times are taken as they are.
        """
        if not seen.items:
            return
        if so_far:  # as `facts_so_far` has it: what was found out from the same reading must not change by learning it
            seen = seen._replace(disturbed=False)
        wall = max(seen.wall - seen.delay, seen.cpu)
        with self._lock:
            if so_far and self._items and not self._provisional:
                return
            self._facts = None
            if self._provisional:
                self._forget_provisional()
            self._provisional = so_far
            first = seen.first or not self._items
            self._items += seen.items
            self._seconds += wall
            self._pace.add(wall, seen.items)
            if seen.samples and first:
                self._seen_first = _added(self._seen_first, seen)
            elif seen.samples:
                self._seen = _added(self._seen, seen)
            elif wall > LONG_ENOUGH:
                self._unseen += wall
            self._look_inside(seen)
            self._count_rests(seen)
            self._strange = seen.cpu > 0.5 * wall
            self._time(wall, seen, first)
            if seen.crowd == 1 and self._beside.rest(wall):
                self._beside = _Beside(min(2 * self._beside.patience, LATE))
            self._rest(0.0 if seen.moved else wall)
            if seen.moved:
                if not seen.first:  # in that, a worker may import what the arguments are made of
                    self._moved.add(max(0.0, seen.moved - HANDING), seen.items)
                self._sent.add(seen.sent, seen.items)
                self._received.add(seen.received, seen.items)

    def _count_rests(self, seen: Readings) -> None:
        if seen.crowd == 1:
            self._rests = min(self._rests, _rests(seen) / seen.items)
        elif not seen.moved:
            self._beside.rests.add(_rests(seen), seen.items)

    def _rest(self, wall: float) -> None:
        """Note so many seconds in which nothing was moved, or (0) that something was.

        What is known of moving keeps work here, where nothing contradicts it: it may be that of other arguments.
        """
        self._still = self._still + wall if wall else 0.0
        if self._still > self._patience and (self._moved.weight or self._pickling is not None):
            self._facts, self._moved, self._pickling = None, _Mean(), None
            self._still, self._patience = 0.0, min(2 * self._patience, LONG_STALE)

    def _forget_provisional(self) -> None:
        self._items = 0
        self._seconds = self._unseen = 0.0
        self._most = _Most()
        self._seen = self._seen_first = UNREAD
        self._alone, self._cpu, self._pace, self._beside = _Mean(), _Mean(), _Mean(), _Beside()
        self._rests = inf
        self._doubtful = False

    def learn_reach(self, seen: Readings, beside: int) -> None:
        """Note what a batch of work that waits took, if it began in one of so many threads."""
        if not seen.items:  # its first item was late, and nothing came of the others there
            return
        with self._lock:
            width = self._reach.width
            wall = max(seen.wall - seen.delay, seen.cpu)
            alone, cpu = self._alone.value, self._cpu.value
            held = max(cpu, self._gil(self._looks, alone, cpu) or 0.0)
            # Items that take longer beside each other are in each other's way only if the GIL is: else they vary.
            crowding = beside * held > CROWDING * wall / seen.items
            self._reach.learn(seen.items, wall, beside, alone if crowding and alone else inf)
            if self._reach.width != width:
                self._facts = None

    def learn_inside(self, seen: Readings) -> None:
        """Note how many CPUs a call that is still running keeps busy."""
        with self._lock:
            self._facts = None
            self._look_inside(seen)

    def _look_inside(self, seen: Readings) -> None:
        if seen.process_cpu and seen.wall > 1e-3:
            # Not over its wall time: other programs may have had the CPUs for the rest of that.
            if seen.cpu > 0.5 * (seen.wall - seen.delay):
                if seen.cpu > LEAST_CPU:
                    self._inside.add(seen.process_cpu, seen.cpu)
            elif not seen.starved:  # else its own threads wait for each other to get a CPU
                self._inside = _Mean()

    def _time(self, wall: float, seen: Readings, fresh: bool) -> None:
        """Take in times: an item's own, what it took beside others, or in one thread of another process."""
        items = seen.items
        inside = self._inside.value > INNER
        if inside and seen.moved:
            if not seen.first:
                self._single.add(wall, items)
            return
        # Beside others it may have waited for the GIL of one that had no CPU; its own threads may have lacked CPUs, and
        # no delay shows that; or the library had the GIL. Such times are better than nothing, until there are others.
        kept = seen.crowd > 1 and UNHINDERED * seen.cpu < wall < seen.cpu / SLEEPY
        hindered = kept and seen.starved and wall - seen.cpu < seen.delay
        doubtful = hindered or (inside and seen.starved) or seen.disturbed
        waits = self._cpu.value < 0.5 * self._alone.value
        # Threads that share a CPU with others rarely meet, or wait for a GIL whose holder has no CPU.
        apart = seen.crowd > 1 and seen.starved and not waits
        if apart:
            self._beside.starve()
        if doubtful and self._alone.weight:
            return
        # One that was preempted on its way into a wait has lost all of that to others, and looks as if it computed.
        plain = wall <= UNHINDERED * seen.cpu
        if self._doubtful and (not seen.starved if plain else seen.crowd == 1):
            self._alone, self._cpu = _Mean(), _Mean()
            self._doubtful = False
        self._doubtful = self._doubtful or doubtful
        if inside and seen.starved:
            wall = seen.cpu
        first = not self._alone.weight
        # Where nobody computes it waits for no other: it was thought to compute, and that is new; or it varies.
        own = seen.crowd == 1 or first or seen.idle
        if own:
            self._most.add(wall / items, seen.cpu / items, fresh, alone=seen.crowd == 1)
        elif not apart:
            # However much they are in each other's way, alone it takes its share of that: more is a larger item.
            self._most.add(wall / items / seen.crowd, seen.cpu / items / seen.crowd, fresh)
        if not (apart or own) or (seen.crowd > 1 and seen.idle and waits):
            self._beside.add(seen.crowd, wall, seen.cpu, items)
        # Beside others, what it takes is at most too long; and unless it is kept waiting, it is its own CPU time. Waits
        # that vary may be longer than the mean and yet their own; to take the short ones only would make all look so.
        usual = self._most.wall if waits else self._alone.value
        unhindered = plain or (wall < items * usual and not self._kept(seen))
        if own or unhindered:
            self._turn(wall, items)
            self._alone.add(wall, items)
            self._cpu.add(seen.cpu, items)
        elif waits:  # a thread's CPU time is its own: it may compute now, and be kept waiting by its like
            self._cpu.add(seen.cpu, items)

    def _kept(self, seen: Readings) -> bool:
        """Whether a batch beside others waited so much more often than alone that it was for these."""
        return seen.crowd > 1 and _rests(seen) > (self._rests + 1) * seen.items

    def _turn(self, wall: float, items: int) -> None:
        """Let the older sums fade where batches in a row were unlike them: that other items come may not be chance."""
        known = items * self._alone.value
        if wall > UNLIKE * known + BY:
            self._unlike = max(1, self._unlike + 1)
        elif known > UNLIKE * wall + BY:
            self._unlike = min(-1, self._unlike - 1)
        else:
            self._unlike = 0
        if abs(self._unlike) >= TURNED:
            self._alone.fade()
            self._cpu.fade()
            self._rests = inf

    def watches(self, keenly: bool = True) -> bool:
        """Whether the sampler is to watch the next batch: the first, (keenly) until the GIL time is known, then a few.

        It costs 6 µs.
        """
        self._asked += 1  # a lost count does no harm
        if self._asked <= WATCH_FIRST or self._asked % WATCH_EVERY == 0:
            return True
        return keenly and not (self._items and _tells(self._looks))

    def measures(self, facts: Facts, beside: int, left: float) -> bool:
        """Whether the next batch in a thread is to be measured: of short waits, when some were, few are.

        To measure one and to learn from it takes 60 µs of the GIL, which all the others want as well.

        Parameters
        ----------
        facts : Facts
        beside : int
            How many threads have work then, itself included; 0 where how many there may be is not to be found out.
        left : float
            Items that are to come; inf where that is not known.
        """
        if self._strange or (facts.items and not facts.waits_briefly):
            return True
        self._passed += 1  # a lost count does no harm
        if self._passed <= WAITS or self._passed % MEASURE_EVERY == 0:
            return True
        # How many get the most done is a question where it was not answered lately, and an answer would be of use.
        return left > WORTH_ASKING * self._reach.width and self._reach.asks(beside)

    @property
    def items(self) -> int:
        """How many items it rests on; `facts`, after a change, costs 8 µs."""
        return self._items

    @property
    def moved(self) -> bool:
        """Whether an item was moved to another process and back."""
        return self._moved.weight > 0

    def learn_count(self, items: int) -> None:
        """Note that so many more items ran without being measured, each as long as those that were."""
        with self._lock:
            self._items += items
            self._seconds += items * self._alone.value
            self._rest(items * self._alone.value)
            self._reach.rest(items)
            if self._facts is not None:
                self._facts = self._facts._replace(items=self._items, seconds=self._seconds)

    def learn_size(self, *, sent: int | None = None, received: int | None = None) -> None:
        """Note how large the argument or the result of an item is that has not been moved yet."""
        with self._lock:
            self._facts = None
            if sent is not None:
                self._sent.add(sent, 1)
            if received is not None:
                self._received.add(received, 1)

    def learn_pickling(self, seconds: float) -> None:
        """Note what an item took to pickle and unpickle."""
        with self._lock:
            self._facts = None
            self._pickling = seconds

    def facts(self) -> Facts:
        """Return what is known now; computed once for each change."""
        facts = self._facts
        if facts is None:
            with self._lock:
                facts = self._facts = self._sum_up()
        return facts

    def _sum_up(self) -> Facts:
        cpu, looks = self._cpu.value, self._looks
        wall = max(self._alone.value, cpu)
        if self._doubtful and cpu > SLEEPY * wall:
            wall = cpu
        return Facts(
            items=self._items,
            seconds=self._seconds,
            wall=wall,
            cpu=cpu,
            gil=self._gil(looks, wall, cpu),
            samples=looks.samples,
            moved=self._moved.value if self._moved.weight else None,
            pickling=self._pickling,
            sent=self._sent.value,
            received=self._received.value,
            inner=max(1.0, self._inside.value),
            single=self._single.value if self._single.weight else None,
            gain=self._beside.gain(wall, cpu, self._most.wall, self._most.cpu),
            pace=self._pace.value,
            so_far=self._provisional,
            doubtful=self._doubtful,
            reach=self._reach.width,
            blind=self._unseen > BLIND and not looks.samples,
            kept=max(0.0, self._beside.rests.value - self._rests),
        )

    @property
    def _looks(self) -> Readings:
        """What the sampler saw: of first calls too, until enough was seen of others."""
        if self._seen.samples >= FRACTION or not self._seen_first.samples:
            return self._seen
        return _added(self._seen_first, self._seen)

    @staticmethod
    def _gil(looks: Readings, wall: float, cpu: float) -> float | None:
        """Seconds per item with the GIL held: the shares that were seen, of what an item takes now."""
        shares = looks.shares if _tells(looks) else None
        if shares is None:
            return None
        busy, idle = shares
        return cpu * busy + (wall - cpu) * idle


def _tells(looks: Readings) -> bool:
    """Whether what the sampler saw tells how long the GIL is held."""
    return (looks.samples >= PURE and looks.looked > 0) or not gil_enabled()


def _rests(seen: Readings) -> float:
    """Return how often it waited; but who waits for the GIL wakes all the while to ask that it be let go of."""
    waited = max(0.0, seen.wall - seen.delay - seen.cpu)
    return max(0.0, seen.rests - waited / max(sys.getswitchinterval(), SHORTEST))


def facts_so_far(seen: Readings) -> Facts | None:
    """Return the facts of a call that is still running; None while too little was seen to tell what it does."""
    evidence = Evidence()
    evidence.learn(seen, so_far=True)
    facts = evidence.facts()
    if seen.disturbed and not facts.computes:
        return None
    return None if facts.gil is None and not (facts.waits or facts.blind) else facts


def _added(old: Readings, seen: Readings) -> Readings:
    """Add what the sampler saw; once that is enough, what it saw before counts less."""
    keep = KEEP if old.samples > 2 * FRACTION else 1.0
    return Readings(
        items=seen.items,
        wall=keep * old.wall + seen.wall,
        cpu=keep * old.cpu + seen.cpu,
        delay=keep * old.delay + seen.delay,
        samples=old.samples + seen.samples,
        looked=keep * old.looked + seen.looked,
        held=keep * old.held + seen.held,
        looked_cpu=keep * old.looked_cpu + seen.looked_cpu,
        held_cpu=keep * old.held_cpu + seen.held_cpu,
        caught=old.caught + seen.caught,
        busy=keep * old.busy + seen.busy,
        held_busy=keep * old.held_busy + seen.held_busy,
        held_idle=keep * old.held_idle + seen.held_idle,
    )


class _Most:
    """The most that an item took alone: more than that, beside others, is not a larger item.

    Of a first call only until there are others: it may import, or fill a cache.
    """

    __slots__ = ("_cpu", "_first_cpu", "_first_wall", "_others", "_wall")

    def __init__(self) -> None:
        self._wall = self._cpu = self._first_wall = self._first_cpu = 0.0
        self._others = 0

    def add(self, wall: float, cpu: float, first: bool, alone: bool = False) -> None:
        if first:
            self._first_wall, self._first_cpu = max(self._first_wall, wall), max(self._first_cpu, cpu)
            return
        self._wall, self._cpu = max(self._wall, wall), max(self._cpu, cpu)
        self._others += alone

    @property
    def wall(self) -> float:
        return self._wall if self._others >= SETTLED else max(self._wall, self._first_wall)

    @property
    def cpu(self) -> float:
        return self._cpu if self._others >= SETTLED else max(self._cpu, self._first_cpu)


class _Beside:
    """What items took while others of this process ran, and so what running them side by side gains.

    Parameters
    ----------
    patience : float
        Seconds of work alone after which it is to be forgotten.
    """

    def __init__(self, patience: float = SOON) -> None:
        self.patience = patience
        self._rested = 0.0  # seconds of work alone since the last beside others
        self._crowd = _Mean()
        self._wall = _Mean()
        self._cpu = _Mean()
        self._batches = 0
        self._recent = self._starved = 0.0  # batches, and those that lacked a CPU, of late
        self._seconds = 0.0
        self.rests = _Mean()  #: how often they waited

    def starve(self) -> None:
        """Note that one of them lacked a CPU: those beside it may have waited for what it holds, and it for them."""
        self._recent *= OF_LATE
        self._starved = OF_LATE * self._starved + 1.0

    def add(self, crowd: int, wall: float, cpu: float, items: int) -> None:
        self._crowd.add(crowd * items, items)
        self._wall.add(wall, items)
        self._cpu.add(cpu, items)
        self._batches += 1
        self._recent = OF_LATE * self._recent + 1.0
        self._starved *= OF_LATE
        self._seconds += wall
        self._rested = 0.0

    def rest(self, wall: float) -> bool:
        """Note work alone; return whether there was so much that what was seen before is too old."""
        self._rested += wall
        return self._batches > 0 and self._rested > self.patience

    def gain(self, wall: float, cpu: float, most_wall: float, most_cpu: float) -> float | None:
        """Return how many times as fast as one alone; None when that was not tried for long enough.

        Parameters
        ----------
        wall, cpu : float
            What an item takes alone.
        most_wall, most_cpu : float
            The most that an item took alone: beyond it, it was not a larger item but was in the way of others.
        """
        crowd = self._crowd.value
        if self._batches < TRIAL * crowd or self._seconds < TRIAL_SECONDS or not wall:
            return None
        if self._starved > MOST_STARVED * self._recent:
            return None
        if cpu < 0.5 * wall:
            return crowd / max(1.0, self._wall.value / most_wall)
        kept = max(1.0, self._wall.value / max(self._cpu.value, 1e-12) * cpu / wall)
        return crowd / kept / max(1.0, self._cpu.value / max(most_cpu, 1e-12))


class _Mean:
    """A mean over decayed sums, by items or by what else they are divided by."""

    __slots__ = ("_sum", "weight")

    def __init__(self) -> None:
        self._sum = 0.0
        self.weight = 0.0

    def add(self, total: float, weight: float) -> None:
        self._sum = KEEP * self._sum + total
        self.weight = KEEP * self.weight + weight

    def fade(self) -> None:
        self._sum *= FADED
        self.weight *= FADED

    @property
    def value(self) -> float:
        return self._sum / self.weight if self.weight else 0.0
