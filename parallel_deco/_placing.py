"""Where the next batch of a map goes, how many items it has, and whether there is a place for it.

Arithmetic on what a map knows: no lock, no clock but that of what is awaited, and nothing is started here.
"""

from parallel_deco._flow import Aim, Demand, batch_size, window
from parallel_deco._options import Options
from parallel_deco._pending import Pending
from parallel_deco._readiness import Readiness
from parallel_deco._source import Source
from parallel_deco._steering import Steering
from parallel_deco._traits import PROCESSES, SERIAL, THREADS
from parallel_deco.backends import pools
from parallel_deco.routing.evidence import Facts

__all__ = ["SHORT", "Placing"]

#: Items shorter than this, in seconds, are computed by the consumer too, and sent to a worker before it is free; with
#: longer ones the consumer stays free to deliver and to be interrupted.
SHORT = 50e-3
#: Seconds of tiny items in a batch in which the sampler is to look at them a few times.
LOOKS = 1.5e-3


class Placing:
    """Decides where the next batch of a map goes, by where its work goes at all and by who is ready for it.

    Notes
    -----
    The map's lock guards it, with what is pending.
    """

    def __init__(self, options: Options, steering: Steering, source: Source, pending: Pending) -> None:
        self._options = options
        self._steering = steering
        self._source = source
        self._pending = pending
        #: Whether work goes on in this process while workers load its function.
        self.goes_on = options.backend == "auto" and options.timeout is None
        self.readiness: Readiness | None = None  #: of the workers, once they were asked

    @property
    def late(self) -> bool:
        """Whether the workers take long to be ready."""
        return self.readiness is not None and self.readiness.late

    def aim(self) -> Aim:
        """Return where the next batch goes."""
        steering, pending = self._steering, self._pending
        route, width, facts = steering.route, steering.width, steering.facts
        busy = pending.flying - pending.here
        if route != PROCESSES:
            return Aim(route, facts, width, width - pending.here, busy)
        loaded = 0 if self.readiness is None else self.readiness.workers(width)
        if self.goes_on and not loaded and steering.threads:  # it waits most of the time
            return Aim(THREADS, facts, steering.threads, steering.threads - pending.here, busy)
        if self._options.max_workers is None:
            busy -= pending.in_threads
        places = width - pending.here
        if self.goes_on:
            places = min(places, loaded)
        abreast = steering.abreast if loaded and not self.late else 1
        ahead = abreast == 1 and self._runs_ahead(facts, width)  # several items are worth a longer batch
        widens = steering.side_by_side and loaded > 0
        workers = max(1, loaded) if self.goes_on else width
        if ahead:  # while an input is waited for, who becomes free finds one more in the queue
            places *= 2 if self._source.prompt else 3
        return Aim(route, facts, width, places, busy, abreast, widens, workers, ahead)

    @staticmethod
    def _runs_ahead(facts: Facts, width: int) -> bool:
        if not 0 < facts.wall < SHORT:
            return False
        pool = pools.process_pool()  # if it is wider than this map may be, an idle worker would run it at once
        return pool is None or pool.width <= width

    def is_full(self, aim: Aim) -> bool:
        """Whether as many batches as may are elsewhere, or about to be."""
        return aim.busy + self._pending.reserved >= aim.places

    def room(self, aim: Aim, awaited: bool) -> int:
        """Return how many items may be pulled, if any; more, while somebody waits for a result."""
        pending = self._pending
        demand = Demand(pending.taken, awaited or pending.here)
        rounds = -(-pending.size // aim.abreast)
        return window(aim.facts, self._options, aim.width * aim.abreast, rounds, demand) - pending.outstanding

    def row(self, aim: Aim, size: int, room: int) -> int:
        """Return how many batches of this size are pulled together: for all free places, where they may wait.

        Each pull has the GIL, which those want that could begin.
        """
        if aim.route != THREADS or aim.facts.computes or not self._source.instant:
            return 1
        free = aim.places - aim.busy - self._pending.reserved
        return max(1, min(free, room // size))

    def size(self, aim: Aim, room: int, looks: bool) -> int:
        """Return how many items the next batch gets, if there is room; with `looks`, enough for the sampler."""
        options = self._options
        if aim.route == SERIAL and not self._source.prompt:
            size = 1
        else:
            free = max(1, aim.places - aim.busy - self._pending.reserved)
            size = batch_size(aim, options, self._source.left, self._pending.size, self._steering.pause, free)
            if looks and options.chunksize is None:
                size = max(size, int(LOOKS / aim.facts.wall))
        if options.chunksize is None or options.buffersize is not None:
            size = max(1, min(size, room))
        return size
