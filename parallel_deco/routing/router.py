"""Evidence in, decision out: which route, how wide, by which rule, and what the others would have cost."""

from __future__ import annotations

from parallel_deco import _sampler
from parallel_deco._records import NamedTuple
from parallel_deco._texts import seconds_text
from parallel_deco._traits import PROCESSES, SERIAL, THREADS, Route
from parallel_deco.routing.cost import BUSY, NO_GAIN, WAIT_FOR_GIL, Machine, Prediction, predict
from parallel_deco.routing.evidence import INNER, Facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parallel_deco.routing.static import Effect

__all__ = ["ENOUGH", "NOTHING", "SECONDS", "SHARE", "Decision", "Kept", "Situation", "decide"]

#: How much better than the loop a route must be: a share of the loop's time, and seconds, or the time of so many trips
#: there and back, where the machine is slow at these. Processes need a little more.
SHARE = 0.09
SECONDS = {THREADS: 0.7e-3, PROCESSES: 1e-3}
WORTH_TRIPS = 12
#: Seconds of execution before the loop is left: a first call is slow for reasons of its own.
ENOUGH = 1e-3
#: How much better than threads processes must be.
OVER_THREADS = 0.88
#: Share of its time that an item must lose by waiting for the GIL for that to be the reason.
TELLING = 0.1
#: How many times as long as threads processes may take where items have a timeout: only they can be ended.
WORTH_ENDING = 2.0


class Kept(NamedTuple):
    """What keeps some work in this process.

    Parameters
    ----------
    effect : Effect or None
        What it would write outside itself.
    stuck : str or None
        Why it cannot be sent to another process.
    """

    effect: Effect | None = None
    stuck: str | None = None

    def and_by(self, effect: Effect | None) -> Kept:
        """Return the same with one more effect, of which the gravest counts."""
        known = self.effect
        graver = effect is not None and (known is None or (known.atomic and not effect.atomic))
        return self._replace(effect=effect) if graver else self


#: Nothing keeps it here.
NOTHING = Kept()


class Situation(NamedTuple):
    """Where a decision is made.

    Parameters
    ----------
    items : int
        How many items are left, as far as is known.
    cpus : int
        CPUs that may be used here.
    open : frozenset of str
        The routes that are open: what the user asked for, what effects and unpicklable work leave.
    most : int or None
        The user's `max_workers`.
    cold : bool
        Worker processes would have to be started, which counts.
    workers : int
        Worker processes that there are.
    abreast : bool
        A worker process may run several items at the same time.
    machine : Machine
        What handing out costs here.
    current : str
        The route that the work is on: staying there needs no margin.
    timeout : float or None
        Seconds that an item may take; only a process can be ended then.
    kept : Kept
        What closed the others.
    """

    items: int
    cpus: int
    open: frozenset[Route] = frozenset((SERIAL, THREADS, PROCESSES))
    most: int | None = None
    cold: bool = False
    workers: int = 0
    abreast: bool = False
    machine: Machine = Machine()
    current: Route = SERIAL
    timeout: float | None = None
    kept: Kept = NOTHING


class Decision(NamedTuple):
    """A route, and what it was decided from; the words for it are made when somebody asks.

    Parameters
    ----------
    route : {"serial", "threads", "processes"}
    width : int
        Workers.
    predicted : dict of str to float
        Seconds that each open route was predicted to take.
    facts : Facts
    here : Situation
    given : tuple of str or None
        Rule and reason, where they are not the cost model's.
    abreast : int
        Items that each worker runs at the same time.
    """

    route: Route
    width: int
    predicted: dict[Route, float]
    facts: Facts
    here: Situation
    given: tuple[str, str] | None = None
    abreast: int = 1

    @property
    def rule(self) -> str:
        """The rule that fired, in a word or two."""
        return self.words()[0]

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return self.words()[1]

    @property
    def margin(self) -> float:
        """Seconds by which the route was predicted to be faster than the next best; negative where it is not."""
        others = [seconds for name, seconds in self.predicted.items() if name != self.route]
        return min(others) - self.predicted[self.route] if others and self.route in self.predicted else 0.0

    def words(self) -> tuple[str, str]:
        """Return rule and reason."""
        return self.given or _why(self.route, self.width, self.facts, self.here, self.abreast)


def decide(facts: Facts, here: Situation) -> Decision:
    """Choose the route of least predicted time, with a margin for leaving the loop.

    Notes
    -----
    Pure arithmetic, 10 to 20 µs.
    """
    cold = here.cold and here.timeout is None  # for the end that only they have, workers are started
    forecast = predict(
        facts,
        here.items,
        here.cpus,
        here.machine,
        most=here.most,
        cold=cold,
        workers=here.workers,
        abreast=here.abreast,
        routes=here.open,
    )
    if facts.gil is None and _sampler.works and not facts.blind and SERIAL in forecast:
        # It is about to be seen whether the GIL is held; a pool is not started on a guess.
        forecast.pop(PROCESSES, None)
    early = facts.seconds < ENOUGH and SERIAL in forecast
    unknown = here.timeout is not None and not facts.items and PROCESSES in forecast
    route = SERIAL if early else PROCESSES if unknown else _best(forecast, here)
    seconds = {name: prediction.seconds for name, prediction in forecast.items()}
    best = forecast[route]
    return Decision(route, best.width, seconds, facts, here, abreast=best.abreast)


def _best(forecast: dict[Route, Prediction], here: Situation) -> Route:
    if SERIAL not in forecast:
        ends = 1.0 if here.timeout is None else WORTH_ENDING
        return min(forecast, key=lambda route: forecast[route].seconds / (ends if route == PROCESSES else 1.0))
    loop = forecast[SERIAL].seconds
    best, least = SERIAL, loop
    for route in (THREADS, PROCESSES):
        if route not in forecast:
            continue
        seconds = forecast[route].seconds
        margin = 0.0 if route == here.current else max(loop * SHARE, _least_gain(route, here.machine))
        worth = seconds < loop - margin
        if worth and seconds < (least if best == SERIAL else least * OVER_THREADS):
            best, least = route, forecast[route].least or seconds
    return best


def _least_gain(route: Route, machine: Machine) -> float:
    """Return the seconds that a route must save; not too many, for the trip is timed once, perhaps at a bad moment."""
    trip = machine.dispatch_thread if route == THREADS else machine.dispatch_process
    return max(SECONDS[route], min(WORTH_TRIPS * trip, 2 * SECONDS[route]))


def _why(route: Route, width: int, facts: Facts, here: Situation, abreast: int) -> tuple[str, str]:
    # So little work would stay in the loop, if nothing of it had to be ended.
    little = not facts.computes_with_gil or here.items * facts.wall < 3 * SECONDS[PROCESSES]
    if here.timeout is not None and route == PROCESSES and little:
        return "a timeout", (
            f"an item may take {seconds_text(here.timeout)}, and only a worker process can be ended; "
            f"{_count(width, 'process runs', 'processes run')} it"
        )
    if here.timeout is not None and route == THREADS and (not facts.items or facts.computes_with_gil):
        return "a timeout", (
            f"an item may take {seconds_text(here.timeout)} and may not leave this process, so it runs in "
            f"{_count(width, 'thread', 'threads')} beside the caller, whom nothing interrupts"
        )
    if route == THREADS:
        return _why_threads(width, facts)
    if route == PROCESSES and facts.inner > INNER:
        tried = "no faster" if facts.single is not None else "perhaps no faster, which a worker shows"
        return "parallel inside, in vain", (
            f"it keeps {facts.inner:.1f} CPUs busy by itself, but is {tried}; {width} processes have one thread each"
        )
    if route == PROCESSES and facts.gain is not None and facts.computes and not facts.computes_with_gil:
        return "threads do not scale", (
            f"it computes with the GIL released {_released(facts)} of that time, but threads were tried and gained "
            f"{facts.gain:.2f} times; {width} processes are not in each other's way"
        )
    kept = facts.kept * WAIT_FOR_GIL > TELLING * facts.wall
    if route == PROCESSES and kept and not facts.computes and not facts.computes_with_gil:
        return "waits for the GIL", (
            f"an item holds the GIL for {seconds_text(facts.held)} only, but waits for it {facts.kept:.1f} times in "
            f"threads; {width} processes have a GIL each"
        )
    if route == PROCESSES:
        share = facts.held / facts.cpu if facts.cpu else 1.0
        seen = "" if facts.gil is not None else ", as far as is known"
        turns = f"it computes and holds the GIL {_percent(share)} of that time{seen}, so threads would take turns; "
        if abreast > 1:
            waits = f"it waits {_percent(1 - facts.cpu / facts.wall)} of its time, and one GIL is too little for it"
            return "waits, holds the GIL", f"{waits}; {width} processes have {abreast} threads each"
        if width > here.cpus and facts.cpu < BUSY * facts.wall:
            return "computes and waits", (
                f"{turns}as it waits {_percent(1 - facts.cpu / facts.wall)} of its time, {width} processes with a GIL "
                f"each share {_count(here.cpus, 'CPU', 'CPUs')}"
            )
        return "computes, holds the GIL", f"{turns}{width} processes have a GIL each"
    if here.cpus == 1 and not facts.waits:
        return "one CPU", "it computes and there is one CPU to compute on, so the loop is as fast as anything"
    if facts.inner > INNER:
        least = "at least " if facts.doubtful else ""
        busy = f"{least}{facts.inner:.1f} CPUs busy"
        return "parallel inside", f"it keeps {busy} by itself, so more workers would be in its way"
    if here.open == frozenset((SERIAL,)):
        return "only the loop", "no other route is open"
    if facts.computes_with_gil and PROCESSES not in here.open and facts.wall * here.items > 2e-3:
        return "must share memory", "it computes and holds the GIL, and may not leave this process"
    if facts.gain is not None and facts.gain < NO_GAIN:
        return "threads do not scale", f"threads were tried and gained {facts.gain:.2f} times, and processes cost more"
    return "too small", (
        f"the {here.items:,} items that were left take {seconds_text(facts.wall)} each, "
        "and handing them out would cost more than it gains"
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _why_threads(width: int, facts: Facts) -> tuple[str, str]:
    if facts.computes:
        return "computes, GIL released", (
            f"it computes with the GIL released {_released(facts)} of that time, "
            f"so {width} threads compute at the same time"
        )
    share = 1 - facts.cpu / facts.wall if facts.wall else 1.0
    return "waits", f"it waits {_percent(share)} of its time, so {width} threads wait at the same time"


def _released(facts: Facts) -> str:
    return _percent(1 - facts.held / max(facts.cpu, 1e-12))


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.0f} %"
