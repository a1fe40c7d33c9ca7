"""How many items a batch has and how many may be under way: arithmetic, no clock and no lock."""

from __future__ import annotations

from parallel_deco._options import Options
from parallel_deco._records import NamedTuple
from parallel_deco._traits import SERIAL, Route
from parallel_deco.backends.batch import Patience
from parallel_deco.routing.cost import GIL_HANDOVER, TARGET, grain
from parallel_deco.routing.evidence import Facts

__all__ = ["TINY", "Aim", "Demand", "batch_size", "is_rest", "patience", "spreads", "window"]

#: A batch may be so many times larger than the one before it; a wrong first reading then costs little.
GROWTH = 4
#: Rounds that a batch is worth of which several items run at the same time, at least, and its seconds at most.
ROUNDS, LONGEST = 2, 4 * TARGET
#: So many rounds, or fewer, are handed out at once if they are the last ones.
LAST_ROUNDS = 4
#: What a batch of the loop is cut to at least, in seconds: a decision may come after each.
SERIAL_TARGET = 1e-3
#: So much that is left is run in one, for no other route is worth it any more; the second where only a worker process
#: would be, which would have to load the function first: on a warm one that takes 1 to 2 ms, and often longer.
REST, FIRST_REST = 2e-3, 5e-3
#: Unless its items are tiny: then most run outside of batches, and a batch is only there to measure.
TINY = 2e-6
TINY_TARGET = 0.15e-3
#: Seconds for which a batch of waits has the GIL to be handed out and taken in, with cold caches (measured: 261, of 3
#: sleeps each in 64 threads, took 50 ms). All that run at the same time together are to take no longer for that.
HANDING = 0.2e-3
#: Waits are short up to that, and up to so many seconds, and their batches so many times larger: each wants the GIL,
#: and takes no CPU meanwhile. 2,000 sleeps of 5 ms in 128 threads took 450 ms one by one, and take 220.
SHORT_WAIT, LONGER = 2e-3, 2
#: An item that waits is taken for at least its pace beside others over this. Guessed.
CROWDED = 4
#: Seconds, and how many times what its items so far were to take, that a batch may take before it ends early. The items
#: may not be what they were: the others of the batch, which run one after the other, then have the choice of all
#: workers again. It may also have been without a CPU for a while; or, after short waits, without the GIL each time.
GRACE, WAITING_GRACE = 3e-3, 10e-3
PATIENCE = 2
#: Seconds of computing from which on a batch is worth a CPU of its own: to see to that costs a tenth of it.
SPREAD = 0.1e-3
#: Items under way for each place of a batch while nobody waits for a result.
IDLE_BATCHES = 4
#: Seconds of work for each worker that may be under way while somebody waits.
BUSY_SECONDS = 2.0
#: Never more items under way than this, nor more bytes of results. Guessed.
MOST_ITEMS = 200_000
MOST_BYTES = 256 << 20


class Aim(NamedTuple):
    """Where batches go now.

    Parameters
    ----------
    route : str
        Threads, where work for worker processes goes on here until these are ready.
    facts : Facts
        What is known of an item.
    width : int
        How many batches are to run at the same time, elsewhere or by the consumer.
    places : int
        How many may be elsewhere.
    busy : int
        How many are; of those in threads none, where they were left there by work that goes on in processes.
    abreast : int
        How many items of a batch run at the same time.
    widens : bool
        Whether there may be more of them, should they wait.
    workers : int
        How many worker processes there may be for it.
    ahead : bool
        Whether a worker is sent a second batch while it runs the first, so that it never waits for one.
    """

    route: Route
    facts: Facts
    width: int
    places: int
    busy: int
    abreast: int = 1
    widens: bool = False
    workers: int = 0
    ahead: bool = False


class Demand(NamedTuple):
    """What the consumer did so far and does now."""

    taken: int = 0
    waiting: bool = False


def batch_size(aim: Aim, options: Options, left: int | None, before: int, pause: float = 0.0, free: int = 1) -> int:
    """Return how many items the next batch gets: the target's worth, growing gently, smaller towards the end.

    Parameters
    ----------
    aim : Aim
        Where it goes.
    options : Options
    left : int or None
        Items that are still to pull, where that is known. Towards the end each worker gets half of its share, as in
        guided self-scheduling, so that all end at the same time.
    before : int
        The size of the batch before; 0 for the first.
    pause : float
        Seconds for which nothing is decided anew: shorter batches of the loop would gain nothing.
    free : int
        How many batches can begin now.
    """
    route, facts, width, abreast = aim.route, aim.facts, aim.width, aim.abreast
    if options.chunksize is not None:
        return options.chunksize
    if not facts.items:
        return 1
    pace = _pace(facts)
    target, least = grain(route, facts)
    if route == SERIAL:
        target = TINY_TARGET if facts.wall < TINY else max(SERIAL_TARGET, pause)
    elif _waits_briefly(facts, width):
        # One item more, for shares are rounded up.
        target, least = max(LONGER * target, 2 * width * HANDING) + pace, max(least, width * HANDING)
    if facts.computes and not before:  # the first results are to come soon
        target = min(target, TARGET)
    size = min(int(target / pace), MOST_ITEMS // 8)
    if route == SERIAL and left is not None and is_rest(facts, left):
        size = min(left, MOST_ITEMS // 8)
    last = abreast > 1 and left is not None and left <= LAST_ROUNDS * abreast * free
    if abreast > 1:  # in a batch, a thread that is done takes the next item; between two, all wait for the last of one
        size = abreast * (LAST_ROUNDS if last else max(ROUNDS, int(LONGEST / max(facts.wall, 1e-9))))
    if before:
        size = min(size, max(GROWTH * before, abreast))
    if abreast > 1 and left is not None:
        size = min(size, -(-left // (free if last else 2 * width)))
    elif left is not None and route != SERIAL:
        size = min(size, _share(facts, width, left, least / pace, free, before or left))
    if options.buffersize is not None:
        size = min(size, options.buffersize // (4 * width))
    return max(1, size)


def is_rest(facts: Facts, left: int) -> bool:
    """Return whether so little is left that the loop takes all of it."""
    alone = facts.moved is None and facts.gil is not None and facts.computes_with_gil
    return left * _pace(facts) < (FIRST_REST if alone else REST)


def _share(facts: Facts, width: int, left: int, least: float, free: int, before: int) -> int:
    """Return how many of the items that are left a batch has at most."""
    if facts.waits and GIL_HANDOVER * width * facts.held > _pace(facts):
        # They wait for the GIL too, so many times as long beside others as alone, and each batch wants it for long:
        # with as many items in each, it is free half of the time.
        least = max(least, facts.pace / max(facts.wall, 1e-9))
    if (
        _waits_briefly(facts, width) and left <= 2 * least * free
    ):  # all can begin at once, in batches no smaller than is good
        share = -(-left // free)
        if 2 * free <= width:  # not the rest in one, while others come to their end
            share = min(share, max(before, int(least)))
        return share
    return max(-(-left // (2 * width)), int(least))


def _pace(facts: Facts) -> float:
    """Return the seconds an item that batches are cut by: a wait's own, unless it is far longer beside others."""
    return max(facts.wall, facts.pace / CROWDED, 1e-9) if facts.waits else max(facts.pace, 1e-9)


def _waits_briefly(facts: Facts, width: int) -> bool:
    """Return whether items wait for less than it takes to hand so many threads theirs, one after the other."""
    return facts.waits and _pace(facts) < max(SHORT_WAIT, width * HANDING)


def patience(facts: Facts, options: Options, size: int, abreast: int = 1) -> Patience | None:
    """Return the seconds that a batch of this size may take, and those for each item; None: it must run to its end."""
    if size == 1 or options.chunksize is not None or not facts.items:
        return None
    grace = WAITING_GRACE if facts.waits else GRACE
    if abreast == 1:
        return grace, PATIENCE * max(facts.wall, facts.pace)
    together = PATIENCE * max(facts.wall, facts.pace, GIL_HANDOVER * abreast * facts.held)  # as long as all that begin
    return grace + together, together / abreast


def spreads(facts: Facts, size: int) -> bool:
    """Return whether a batch of this size is to wake its worker on a CPU on which no other computes."""
    return facts.computes and size * facts.cpu >= SPREAD


def window(facts: Facts, options: Options, width: int, size: int, demand: Demand) -> int:
    """Return how many items may be in flight or waiting to be taken.

    Few while nobody waits for a result, more the more were taken; many while somebody does, so that a slow item at
    the head does not stop the workers.
    """
    if options.buffersize is not None:
        return options.buffersize
    least = width * max(2, options.chunksize or 0)  # a batch for each worker
    size = options.chunksize or size
    most = max(IDLE_BATCHES * width * max(1, size), 2 * demand.taken)
    if demand.waiting:
        most = max(most, int(BUSY_SECONDS * width / facts.wall) if facts.wall else 0)
    bound = min(MOST_ITEMS, int(MOST_BYTES / facts.received)) if facts.received > 1 else MOST_ITEMS
    return max(least, min(most, bound))
