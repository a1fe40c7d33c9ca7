"""What each route would take: arithmetic only, numbers in and numbers out."""

from __future__ import annotations

from collections.abc import Collection
from math import log2, sqrt

from parallel_deco._records import NamedTuple
from parallel_deco._traits import PROCESSES, SERIAL, THREADS, Route
from parallel_deco.routing.evidence import INNER, Facts

__all__ = [
    "BUSY",
    "GIL_HANDOVER",
    "LEAST",
    "NO_GAIN",
    "PROCESSES_PER_CPU",
    "TARGET",
    "WAIT_FOR_GIL",
    "Machine",
    "Prediction",
    "grain",
    "predict",
    "process_width",
    "threads_each",
    "waiting_width",
]

#: A thread that takes the GIL back has waited for it too: seen as 1.4 times the time it holds it.
GIL_HANDOVER = 1.4
#: The same where it computes, and what it waits for the others' GIL comes on top. Measured with two threads, items of
#: 0.2 to 20 ms, the GIL held for 10 to 100 % of them: 0.55 of the loop's time at a quarter, 0.7 at half, 1.05 at all.
GIL_BESIDE = 1.2
#: Seconds of a CPU that are lost with each wait for the GIL where CPUs are what threads want: it is woken for that, and
#: stands, for the other threads wait too. Measured with two and four threads that write small files, beside as many
#: processes: 20 to 60 µs.
WAIT_FOR_GIL = 35e-6
#: For how many times as long as they wait, as many as may, the CPUs must have work, for that to tell of what waits most
#: of its time: 8 for small files, 0.6 for sleeps of 0.2 ms.
WANTING = 3.0
#: It is seen what threads gain; less than this is nothing.
NO_GAIN = 1.1
#: Seconds to pickle a small argument and its result, both ways, until it was measured.
PICKLING = 0.5e-6
#: Items that are seen here before work that is parallel inside is tried in a worker process.
TRIED = 3
#: How much longer such work takes beside its like than alone in a worker: they share caches and memory bandwidth.
SHARED_MEMORY = 1.2
#: How many times the CPU time that it takes in one thread it must take here, to be parallel in vain, where others had
#: the CPUs: its threads wait for each other awake then. Four other busy processes: 1.9 for a matrix product that is
#: faster for its two threads, 40 for a singular value decomposition that is slower for them.
WASTED = 3.0
#: A gain of so much of the threads' number is taken for all of it: other programs have had the rest.
FULL_GAIN = 0.7
#: Work that computes a smaller share of its time than this leaves a CPU for another worker process; and so many for
#: each CPU there are at most. Guessed: each takes memory, and the more there are, the less another adds.
BUSY, PROCESSES_PER_CPU = 0.65, 4
#: Items, and their seconds, that are seen before that is believed: a first call computes more than those after it, and
#: beside the judge one waits for the GIL.
PROVED, PROVED_SECONDS = 8, 24e-3
#: How many times as many items as would fill a worker's GIL, did they take turns, wait in it: they do not, and at the
#: end of a batch there are fewer (40 items of 10 ms, of which 2.6 held: 88 ms with 1.3 times as many, 72 with twice).
FILLS = 2.0
#: Seconds of a CPU that another worker takes beyond those that there are: its start, and the imports of what it is to
#: run. Guessed: between 5 ms and many times as much.
ANOTHER = 40e-3
#: Seconds from a map's begin until ready workers compute, and those of a CPU that a batch takes beyond its trip, which
#: is timed with nothing else at work: workers that want all CPUs then wait for one, and all find cold caches. Measured
#: on 2 CPUs: 1.3 to 2.2 ms; 0.5 to 0.85 ms in the caller's process with batches of 10 to 30 ms, and some in the worker.
LEAD, DISPLACED = 1e-3, 0.5e-3
#: What a batch is cut to, in seconds; and what handing one out is worth: none is smaller.
TARGET, LEAST = 8e-3, 0.5e-3
#: The same for computing; the second in worker processes, where each batch takes `DISPLACED` too; ten times less where
#: one comes right after another.
LONG_TARGET, FAR_LEAST = 32e-3, 1.5e-3


class Machine(NamedTuple):
    """What handing work out costs on this machine; seconds.

    Parameters
    ----------
    dispatch_thread : float
        A batch to a thread and its result back.
    dispatch_process : float
        A batch to a warm worker process and its result back, without arguments to speak of.
    wake : float
        A thread's waking up or, the first time, starting.
    start : float
        Worker processes from nothing to the first result.
    bandwidth : float
        Bytes a second through the way between processes.

    Notes
    -----
    The defaults were measured on one 2-core machine (docs/architecture.md) and are only guesses elsewhere.
    """

    dispatch_thread: float = 20e-6
    dispatch_process: float = 80e-6
    wake: float = 100e-6
    start: float = 40e-3
    bandwidth: float = 1e9


class Prediction(NamedTuple):
    """What a route would take for the work that is left: seconds, and how many workers.

    `least` is what it would take if chance made the few looks at the GIL seem as bad as it can; None: no less. Each
    worker runs `abreast` items at the same time.
    """

    seconds: float
    width: int
    least: float | None = None
    abreast: int = 1


def grain(route: Route, facts: Facts) -> tuple[float, float]:
    """Return the seconds that a batch is cut to, and how many it has at least."""
    if not facts.computes:
        return TARGET, LEAST
    return LONG_TARGET, FAR_LEAST if route == PROCESSES else LEAST


def waiting_width(facts: Facts, cpus: int, most: int | None) -> int:
    """Return how many threads wait at the same time before the GIL or the CPUs are the bottleneck."""
    if facts.computes:
        return min(cpus, most or cpus)
    bound = most or max(facts.reach, cpus)
    bottleneck = max(GIL_HANDOVER * facts.held, facts.cpu / cpus, facts.wall / bound, 1e-12)
    return max(1, min(bound, max(cpus, round(1.3 * facts.wall / bottleneck))))


def process_width(facts: Facts, cpus: int, most: int | None) -> int:
    """Return how many worker processes keep the CPUs busy: more than there are, if it waits as well."""
    if most is not None:
        return most
    if not _leaves_cpus(facts):
        return cpus
    # What waits is no better off in more processes than it would be in threads, which cost next to nothing.
    return min(round(cpus * facts.wall / max(facts.cpu, 1e-12)), PROCESSES_PER_CPU * cpus, max(cpus, facts.reach))


def threads_each(facts: Facts, items: int, cpus: int) -> int:
    """Return how many items wait at the same time in a worker process for each CPU before its GIL is the bottleneck.

    One, where the GIL of this process is enough for all that have use of each other's waiting.
    """
    if not _leaves_cpus(facts) or GIL_HANDOVER * facts.held * max(cpus, facts.reach) < facts.wall:
        return 1
    most = min(max(cpus, facts.reach), items) // cpus
    return max(1, min(most, round(FILLS * facts.wall / max(facts.held, facts.cpu, 1e-12))))


def _leaves_cpus(facts: Facts) -> bool:
    """Return whether it is known to wait so much that a CPU has time for another item."""
    return facts.cpu < BUSY * facts.wall and facts.items >= PROVED and facts.seconds >= PROVED_SECONDS


def predict(
    facts: Facts,
    items: int,
    cpus: int,
    machine: Machine,
    *,
    most: int | None = None,
    cold: bool = False,
    workers: int = 0,
    abreast: bool = False,
    routes: Collection[Route] = (SERIAL, THREADS, PROCESSES),
) -> dict[Route, Prediction]:
    """Return what each route would take for so many more items.

    Parameters
    ----------
    facts : Facts
        What an item costs.
    items : int
        How many are left.
    cpus : int
        CPUs that may be used.
    machine : Machine
        What handing out costs here.
    most : int, optional
        The user's `max_workers`.
    cold : bool
        Worker processes would have to be started first.
    workers : int
        How many there are.
    abreast : bool
        A worker process may run several items at the same time.
    routes : collection of str
        The routes that are open.

    Notes
    -----
    The formulas and where they come from are in docs/architecture.md, "The cost model".
    """
    beside = apart = facts
    if facts.inner > INNER:  # side by side, it has a CPU to itself, and takes that much longer
        # Threads that were seen to want for CPUs may keep all of them busy.
        inner = max(facts.inner, cpus) if facts.doubtful else facts.inner
        beside = facts._replace(wall=facts.wall * inner, cpu=facts.cpu * inner)
        # They may be of no use: a worker process, where it has one, tells, and does its share of work meanwhile.
        compared = facts.items >= TRIED and not facts.so_far
        single = (facts.single or facts.wall) if compared else beside.wall
        if facts.doubtful and facts.single is not None and beside.wall < WASTED * facts.single:
            single = beside.wall
        apart = facts._replace(wall=SHARED_MEMORY * single, cpu=SHARED_MEMORY * single)
    forecast: dict[Route, Prediction] = {}
    if SERIAL in routes:
        forecast[SERIAL] = Prediction(items * facts.wall, 1)
    if THREADS in routes:
        forecast[THREADS] = _threads(beside, items, cpus, machine, most)
    if PROCESSES in routes:
        widest = min(process_width(apart, cpus, most), max(1, items))
        there = widest if most is not None else min(widest, max(cpus, workers))
        begun = machine.start if cold else machine.wake + LEAD
        forecast[PROCESSES] = _processes(apart, items, cpus, machine, there, begun)
        if there < widest:
            wider = _processes(apart, items, cpus, machine, widest, begun + (widest - there) * ANOTHER / cpus)
            forecast[PROCESSES] = min(forecast[PROCESSES], wider)
        each = threads_each(apart, items, cpus) if abreast and most is None else 1
        if each > 1:
            forecast[PROCESSES] = min(forecast[PROCESSES], _abreast(apart, items, cpus, machine, each, begun))
    return forecast


def _threads(facts: Facts, items: int, cpus: int, machine: Machine, most: int | None) -> Prediction:
    width = min(waiting_width(facts, cpus, most), max(1, items))
    computes, held, at_least = facts.computes, facts.held, _held_at_least(facts)
    if facts.gain is not None and facts.gain < NO_GAIN:
        return Prediction(items * facts.wall / min(1.0, facts.gain) * 1.05, width)
    if facts.gain is not None and computes:  # it was tried, though perhaps beside something else that waits
        work = least = items * facts.wall / (width if facts.gain > FULL_GAIN * width else facts.gain)
        if facts.gil is not None:
            work, least = max(work, items * held), max(least, items * at_least)
    else:
        # Who computed without the GIL wants it back after each item, and is woken for it: half of a way there and back.
        each = facts.wall + (machine.dispatch_thread / 2 if computes and width > 1 else 0.0)
        # What others' waiting hides costs nothing.
        wants_cpus = not facts.waits or facts.cpu * (most or facts.reach) > WANTING * facts.wall * cpus
        if facts.kept and not computes and wants_cpus:
            facts = facts._replace(cpu=facts.cpu + facts.kept * WAIT_FOR_GIL)
            computes, held, at_least = facts.computes, facts.held, _held_at_least(facts)
        work = _crowded(facts, computes, each, held, items, cpus, width)
        least = work if at_least == held else _crowded(facts, computes, each, at_least, items, cpus, width)
    batches, idle = _handed_out(facts, items, width, THREADS)
    handing = batches * machine.dispatch_thread + machine.wake + idle
    return Prediction(work + handing, width, least + handing)


def _crowded(facts: Facts, computes: bool, each: float, held: float, items: int, cpus: int, width: int) -> float:
    """Return what items of so long each take in threads that share the GIL, held for so long an item, and the CPUs."""
    if computes and width > 1:
        rounds, rest = divmod(items, width)
        work = rounds * _round(each, held, width) + (_round(each, held, rest) if rest else 0.0)
        return max(work, items * facts.cpu / min(cpus, width))
    free = max(0.0, facts.cpu - held)
    shared = items * ((GIL_HANDOVER if width > 1 else 1.0) * held + free / min(cpus, width))
    return max(-(-items // width) * each, shared)


def _round(each: float, held: float, width: int) -> float:
    """Return what an item of so long takes beside as many others as there are threads.

    A closed network of one queue, the GIL, and the time away from it; by Schweitzer's approximation (1979), who comes
    meets the others as often as they are there on average.
    """
    taken, away = (GIL_BESIDE if width > 1 else 1.0) * held, max(0.0, each - held)
    excess = width * taken - away
    return away + (excess + sqrt(excess * excess + 4 * taken * away)) / 2


def _held_at_least(facts: Facts) -> float:
    """Return seconds per item with the GIL held, less what may be chance: a few looks are easily wrong.

    Threads that were thought too well of are found out by what they gain; processes that need not have been are not.
    But of a call that still runs, what others had the GIL for looks as if it had released it: there all counts.
    """
    if not facts.gil or not facts.samples or facts.so_far:
        return facts.held
    return max(0.0, facts.gil - facts.cpu / sqrt(facts.samples))  # twice the error of a share


def _processes(facts: Facts, items: int, cpus: int, machine: Machine, width: int, begun: float) -> Prediction:
    """Return what so many workers take, when the first of them begins after so many seconds."""
    moving = _moving(facts, machine)
    # Half of the moving is done here, by one thread at a time, while the workers work.
    at_once = min(cpus, width)
    work = max(-(-items // width) * (facts.wall + moving), items * facts.cpu / at_once, items * moving / 2)
    each = machine.dispatch_process + (DISPLACED if width >= cpus and facts.computes else 0.0)
    batches, idle = _handed_out(facts, items, width, PROCESSES)
    return Prediction(work + batches * each / at_once + idle + begun, width)


def _abreast(facts: Facts, items: int, cpus: int, machine: Machine, each: int, begun: float) -> Prediction:
    """Return what a worker for each CPU takes that runs so many items at the same time."""
    held, moving = GIL_HANDOVER * facts.held, _moving(facts, machine)
    rounds = -(-items // (cpus * each))
    work = max(rounds * (facts.wall + moving), items * max(held / cpus, facts.cpu / cpus, moving / 2))
    # Each batch is half of what is left for a worker; at its end one after the other has nothing to do.
    batches = 1 + log2(max(1.0, items / (2 * cpus * each)))
    return Prediction(work + batches * (facts.wall / 2 + machine.dispatch_process) + begun, cpus, None, each)


def _moving(facts: Facts, machine: Machine) -> float:
    """Return seconds per item for moving, measured or from what pickling takes and what its size says."""
    if facts.moved is not None:
        return facts.moved
    pickling = PICKLING if facts.pickling is None else facts.pickling
    return pickling + (facts.sent + facts.received) / machine.bandwidth


def _handed_out(facts: Facts, items: int, width: int, route: Route) -> tuple[float, float]:
    """Return in how many batches so many items are handed out, and seconds without work beside the last of another.

    Batches are of the target size, and halved towards the end. Of items longer than the least of them whole ones count,
    and are counted.
    """
    target, least = grain(route, facts)
    whole = -(-items // max(1, int(target / max(facts.wall, 1e-9))))
    if not facts.computes:
        return (max(whole, min(items, width)) if route == PROCESSES else whole), 0.0
    share = items * facts.wall / width
    batches = min(items, max(whole, width) + width * log2(max(1.0, min(share, target) / max(least, facts.wall))))
    return batches, (0.0 if width < 2 or facts.wall > least else min(least, share) / 2)
