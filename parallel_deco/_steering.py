"""Which route the batches of one map take now: decides, obeys an explicit choice, tries threads, hears the judge."""

import threading
from collections.abc import Callable, Sequence
from math import inf
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from parallel_deco import _machine, _sampler
from parallel_deco._brief import BRIEF, Brief
from parallel_deco._cpus import available_cpus
from parallel_deco._flow import is_rest
from parallel_deco._measure import UNREAD, Readings
from parallel_deco._nesting import depth
from parallel_deco._options import Options
from parallel_deco._profile import UNKNOWN_LENGTH, Arguments, Profile, call_arguments, chosen
from parallel_deco._sizes import FEW, MANY, pickling_seconds, rough_bytes
from parallel_deco._source import Source
from parallel_deco._traits import PROCESSES, SERIAL, THREADS, Route
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, BatchResult, Shape
from parallel_deco.routing.cost import waiting_width
from parallel_deco.routing.evidence import KNOWN, Facts, facts_so_far
from parallel_deco.routing.router import ENOUGH, NOTHING, SECONDS, Decision, decide

if TYPE_CHECKING:
    from parallel_deco._turns import Turn
    from parallel_deco.routing.static import Effect

__all__ = ["Sample", "Steering"]

#: Items and their results.
Sample: TypeAlias = tuple[Sequence[Any], Sequence[Any]]

#: Less work than this, in seconds, is not worth a decision: no route would be left for so little.
WORTH = SECONDS[THREADS]
#: Seconds between two decisions: after one that changed something, and at most, when none has for long.
PAUSE, LONGEST_PAUSE = 1e-3, 16e-3
#: The pause after two decisions that changed nothing.
SETTLED = 4 * PAUSE
#: Seconds of a function's items in the loop after which the next map asks no more at each step; or `KNOWN` items.
LONG_KNOWN = 8e-3
#: Seconds an item up to which the loop is always faster, so that what pickling takes does not matter, and from which on
#: some items say enough of that.
LIGHT, HEAVY = 0.4e-6, 20e-6
#: Seconds for which what is known is not summed up anew: that takes 10 µs.
MOMENT = 0.5e-3
#: How many times what it takes to start worker processes maps must have lost for want of them before that is no reason
#: any more to have none. Guessed: beside their start, each has to import what the function needs.
STARTS = 4
#: One in so many batches that were not moved has the size of a result estimated, some 2 µs.
SIZED_EVERY = 16


class Steering:
    """The route and width of a map.

    Guarantees
    ----------
    `route`, `width` and `abreast` are replaced together under `_lock`; a reader that sees one of them old starts at
    most one batch the old way, which is right on every route.
    """

    def __init__(
        self, profile: Profile, options: Options, source: Source, function: Callable[..., Any] | None = None
    ) -> None:
        self._profile = profile
        self._function = profile.function if function is None else function  # a decorated method has its object
        self._source = source
        self._evidence = profile.latest
        self._options = options
        self._lock = threading.Lock()
        self._decided = 0.0
        self.pause = PAUSE  #: seconds between two decisions
        self._most = 0
        self._example: Arguments | None = None
        self._kept = NOTHING  # what was found to keep it here, in one of its batches; other maps have other arguments
        self._asked = False  # whether it was lately seen that such work cannot travel
        self._weighed = False  # whether it was tried what pickling items takes
        self._stays = False  # whether it stays here if that takes nothing, as far as was last decided
        self._unmeasured = 0  # items in batches that were not
        self._unmoved = 0  # batches whose results came from no other process
        self._facts = Facts()  # as they were then
        self._summed = 0.0
        self.auto = options.chooses
        # Items may run at the same time in one process wherever they may in threads; not where the user counts workers
        # or items, nor where one is to be ended alone.
        own = options.chunksize, options.max_workers, options.timeout
        self.side_by_side = options.backend == "auto" and own == (None, None, None)  #: in a worker process
        self.route: Route = SERIAL
        self.width = 1
        self.abreast = 1  #: items that each worker process runs at the same time
        self.cold = False  #: the start of worker processes counted in the decision
        self.brief = False  #: all of it is to run in the loop, and need not be measured
        self.threads = 0  #: threads in which work that waits may go on here until worker processes can take it

    def follow(self, shape: Shape, item: Any) -> None:
        """Decide from the evidence of calls of this size from now on."""
        self._example = call_arguments(shape, item)
        self._evidence = self._profile.evidence(*self._example)
        self._facts = Facts()

    @property
    def _read_example(self) -> Arguments | None:
        return None if self._example is None else self._profile.read_with(self._function, *self._example)

    def forget(self) -> None:
        """Let go of the user's arguments."""
        self._example = None

    @property
    def facts(self) -> Facts:
        """What is known of an item; beside others, once that is much, what was known a moment ago."""
        if self.route == SERIAL:
            return self._evidence.facts()
        if self._facts.items <= KNOWN or perf_counter() - self._summed > MOMENT:
            self._facts, self._summed = self._evidence.facts(), perf_counter()
        return self._facts

    @property
    def known(self) -> bool:
        """Whether anything was measured."""
        return self.facts.items > 0

    @property
    def unseen(self) -> bool:
        """Whether it must yet be seen how such items hold the GIL, or how long they take: that decides."""
        facts = self.facts
        little = facts.gil is None or facts.seconds < ENOUGH
        return little and facts.wall >= LIGHT and self.auto and _sampler.works

    @property
    def looked(self) -> float:
        """Seconds for which items were run one by one, in all maps of such items, for the sampler to look at."""
        return self._evidence.looked

    @looked.setter
    def looked(self, seconds: float) -> None:
        self._evidence.looked = seconds

    def sure(self, width: int) -> int:
        """Return how many workers of so many it pays to make ready, as far as is sure.

        Those beyond the CPUs take these from who is at work. They come when the last decisions were the same; where the
        user has asked for them, at once.
        """
        options = self._options
        if self.pause >= SETTLED or options.max_workers is not None or options.backend != "auto":
            return width
        return min(width, available_cpus())

    def hurry(self) -> None:
        """Decide soon: items are not what they were."""
        self.pause = PAUSE

    def watches(self) -> bool:
        """Whether the next batch is to be watched by the sampler."""
        return self._evidence.watches()

    def begin(self, left: int | None) -> None:
        """Take the route that is known, or that the user chose; an unknown function starts serial."""
        if not self.auto:
            self._obey(left)
        elif self.known:
            if left is not None and self._is_brief(left):
                self.brief, self._most = True, left
                return
            decision = self._choose_knowing(left, self._weighed_facts(left, (self._source.first(MANY), ())), SERIAL)
            self._go(decision)
            facts = decision.facts
            if self.route == SERIAL and (facts.items > KNOWN or facts.seconds > LONG_KNOWN):
                self.pause = LONGEST_PAUSE  # other maps have settled it
                self._note_brief(left, decision)
        elif self._options.timeout is not None:  # not with the caller, whom nothing interrupts
            # A user's policy is asked when there is something to tell it.
            auto = self._options.changed(backend="auto")
            self._go(self._profile.decide(auto, left, self.facts, example=self._read_example))

    def _note_brief(self, left: int | None, decision: Decision) -> None:
        """Have the next maps that are no longer run in the loop at once, if this one is short."""
        options = self._options
        if left is None or self._example is None:
            return
        work = left * decision.facts.wall
        if work > BRIEF or (work > WORTH and self.unseen):
            return
        if options.backend == "auto" and options.timeout is None and decision.given is None:
            self._profile.brief = Brief(decision, left, self._evidence, options)

    def _is_brief(self, left: int) -> bool:
        """Whether a map that was no shorter was to run in the loop a moment ago, as it would be said of this one."""
        brief = self._profile.brief
        if brief is None or self._example is None or not brief.covers(left, self._evidence, self._options):
            return False
        self._profile.decision = brief.decision
        return True

    def end_brief(self, whole: bool) -> None:
        """Note that a stretch has ended: were there more items, they would be measured, and so would the next map's."""
        if self.brief and not whole:
            self._profile.brief = None
        self.brief = False

    @property
    def needs_context(self) -> bool:
        """Whether items run in a copy of the context: they set a variable once, or nobody has looked this time."""
        return self.brief or self._profile.sets_context

    def sees_context_set(self) -> None:
        """Note that an item set a context variable."""
        self._profile.sets_context = True

    def turns(self) -> "Callable[[Batch], Turn | None] | None":
        """Return what gives a batch its turn among threads; None where the user answers for what they do at once."""
        return self._profile.turns(self._options, self._keep)

    def _keep(self, effect: "Effect") -> None:
        self._kept = self._kept.and_by(effect)
        self._profile.show(effect)

    def may_leave(self, batch: Batch) -> bool:
        """Whether a batch can go to another process; if it would lose something, none goes from here on."""
        effect = self._profile.lost(batch, self._options)
        if effect is None:
            return True
        self._keep(effect)
        self._go(self._choose(self._source.left, self.facts))
        return False

    def measures(self, route: Route, facts: Facts, beside: int) -> bool:
        """Whether the next batch, on this route and beside so many, itself included, is to be measured."""
        if route != THREADS:
            return True
        left = self._source.left
        asks = self._options.max_workers is None
        return self._evidence.measures(facts, beside if asks else 0, inf if left is None else left)

    def note(self, result: BatchResult, beside: int) -> None:
        """Add what a batch cost that began beside so many, itself included, when nothing is left to decide about."""
        seen = result.readings
        if seen is UNREAD:
            if not result.errors:  # else it may not have run at all
                self._unmeasured += len(result.values)  # a lost count does no harm
            return
        self._count_unmeasured()
        self._evidence.learn(seen)
        if self.route == THREADS and beside > 1 and self._options.max_workers is None and self.facts.waits:
            self._evidence.learn_reach(seen, beside)

    def _count_unmeasured(self) -> None:
        if self._unmeasured:
            items, self._unmeasured = self._unmeasured, 0
            self._evidence.learn_count(items)

    def count(self, items: int) -> None:
        """Note that so many more items ran, and were not measured."""
        self._evidence.learn_count(items)

    def see(self, result: BatchResult) -> None:
        """See now and then how large a result is that was not moved."""
        if not result.values or result.readings.received:
            return
        if self._unmoved % SIZED_EVERY == 0:
            self._evidence.learn_size(received=rough_bytes(result.values[-1]))
        self._unmoved += 1

    def _weighed_facts(self, left: int | None, sample: Sample) -> Facts:
        """Return what is known of an item; first, if it may go to other processes, see what pickling some takes.

        That is 0.1 to 2 ms, as much as many a map in the loop: not where it would not go if that took nothing.
        """
        facts, (items, values) = self.facts, sample
        if self._weighed or self._stays or facts.weighed or facts.wall < LIGHT:
            return facts
        if not items or (len(items) < FEW and facts.wall < HEAVY):
            return facts
        here = self._profile.situation(self._options, left, self.route, self._kept, self.side_by_side)
        self._stays = decide(facts._replace(pickling=0.0), here).route != PROCESSES
        if self._stays:
            return facts
        self._weighed = True
        self._learn_pickling(items, values)
        return self.facts

    def _learn_pickling(self, items: Sequence[Any], values: Sequence[Any]) -> None:
        seconds = pickling_seconds(items, values)
        if seconds is not None:
            self._evidence.learn_pickling(seconds)

    def learn(
        self, result: BatchResult, left: int | None, running: int, beside: int, sample: Sample | None = None
    ) -> None:
        """Add what a batch cost that began beside so many, and decide again if it is worth it; so many run now.

        With a sample, it ran in the consumer's thread: there, what pickling takes is seen before the work goes to other
        processes, and the machine is measured if nothing else runs.
        """
        self.note(result, beside)
        facts = self.facts
        now = perf_counter()
        if now - self._decided < self.pause or (left is not None and left * facts.wall < WORTH):
            return
        stays = facts.seconds < ENOUGH or (left is not None and is_rest(facts, left))
        if stays and self.route == SERIAL and self._options.backend == "auto":
            return
        self._decided = now
        before = self.route, self.width
        if not self.auto:
            self._obey(left)
        else:
            facts = facts if sample is None else self._weighed_facts(left, sample)
            choose = self._choose if sample is None or running > 1 else self._choose_knowing
            self._go(choose(left, facts, self.route))
        settled = (self.route, self.width) == before and facts.seconds >= ENOUGH  # before that, nothing else can be
        self.pause = min(2 * self.pause, LONGEST_PAUSE) if settled else PAUSE
        self._stays = self._stays and self.pause == LONGEST_PAUSE

    def stay(self, reason: str, of_function: bool) -> None:
        """Note that something cannot be sent to another process; if not the function, another map may try."""
        if of_function:
            self._profile.stay(reason)
        if self._kept.stuck is None:
            self._evidence.refusals.refused(reason)
            self._kept = self._kept._replace(stuck=reason)
        self._profile.show(stuck=reason)
        self._go(self._choose(self._source.left, self.facts))

    def hear(self, seen: Readings, left: int | None) -> bool:
        """Decide from a call that is still running; return whether that settled it."""
        self._evidence.learn_inside(seen)
        so_far = facts_so_far(seen)
        if so_far is None:
            return False
        facts = self._moving(so_far)
        if not self.auto:
            self._obey(left, facts)
            return True
        decision = self._choose(left, facts, patient=True)
        if self.known:  # the call has ended meanwhile, for it may take long to read the code: that says more
            return True
        if decision.route == SERIAL:
            return False
        self._go(decision)
        return True

    def _moving(self, so_far: Facts) -> Facts:
        """Return what a call has shown so far, with what else is known: what its arguments take to another process."""
        known = self.facts
        if not known.weighed and self._example is not None:
            self._learn_pickling([self._example], [])
            known = self.facts
        return so_far._replace(
            inner=known.inner, sent=known.sent, received=known.received, pickling=known.pickling, moved=known.moved
        )

    def conclude(self, items: int) -> None:
        """Note the end of so many items, which were all: say why they ran in the loop if nothing was decided yet."""
        self._count_unmeasured()
        if not self.auto or not items:
            return
        if not self._most:
            facts = self.facts
            if not facts.items:
                return
            here = self._profile.situation(self._options, items, SERIAL, self._kept)
            self._profile.decision = Decision(SERIAL, 1, {SERIAL: items * facts.wall}, facts, here)
        decision = self._profile.decision
        if decision is None or self.route == PROCESSES or self._options.backend != "auto":
            return
        if decision.here.cold and items * decision.facts.wall > SECONDS[PROCESSES]:  # without summing up anew
            self._miss_workers(items)

    def _miss_workers(self, items: int) -> None:
        """Note what so many items would have gained in worker processes, if none ran there only for their start."""
        here = self._profile.situation(self._options, items, SERIAL, self._kept)
        warm = decide(self.facts, here._replace(cold=False, workers=here.cpus))
        if here.cold and warm.route == PROCESSES and self.route in warm.predicted:
            pools.miss(warm.predicted[self.route] - warm.predicted[PROCESSES], STARTS * here.machine.start)

    def outrun(self) -> None:
        """Say that all ran here, for it was over before any worker process had loaded what it needs."""
        decision = self._profile.decision
        if decision is not None and decision.route == PROCESSES and self.auto:
            why = "it was over before a worker process had loaded what it needs, modules above all; it may go next time"
            route: Route = THREADS if self.threads else SERIAL
            self._profile.decision = decision._replace(
                route=route, width=max(1, self.threads), given=("workers were not ready", why), abreast=1
            )

    def _choose(self, left: int | None, facts: Facts, current: Route = SERIAL, patient: bool = False) -> Decision:
        if left is None:  # as many as there were: what is not done in time then costs as much again, and no more
            left = max(UNKNOWN_LENGTH, self._source.pulled)
        decide = self._profile.decide
        kept, abreast = self._kept, self.side_by_side
        decision = decide(self._options, left, facts, current, self._read_example, patient, kept, abreast)
        if decision.route != PROCESSES or not self.auto or self._asked:
            return decision
        self._asked = True
        reason = self._evidence.refusals.ask()
        if reason is None:
            return decision
        self._kept = self._kept._replace(stuck=reason)
        return decide(self._options, left, facts, current, self._read_example, patient, self._kept, self.side_by_side)

    def _choose_knowing(self, left: int | None, facts: Facts, current: Route) -> Decision:
        """Choose, and measure the machine first if that could change the choice; only while nothing runs elsewhere.

        Nor before it is seen how the GIL is held, which may decide by itself; nor inside of parallel work.
        """
        decision = self._choose(left, facts, current)
        if current != SERIAL or depth() or (self.unseen and not facts.blind) or not _machine.may_matter(decision):
            return decision
        _machine.measure()
        return self._choose(left, facts, current)

    def _obey(self, left: int | None, facts: Facts | None = None) -> None:
        """Take the user's route, as wide as asked for, or else as measured."""
        options = self._options
        decision = self._choose(left, facts or self.facts)
        width = decision.width
        if decision.route != SERIAL:
            width = options.max_workers or (width if facts or self.known else self._profile.cpus())
        self._go(decision._replace(width=width, given=chosen(options.backend)))

    def _go(self, decision: Decision) -> None:
        if 4 * decision.here.items >= self._most:  # not one about the last few items: `explain` shows it
            self._most = max(self._most, decision.here.items)
            self._profile.decision = decision
        else:
            self._profile.show(*self._kept)
        here, facts = decision.here, decision.facts
        with self._lock:
            self.threads = waiting_width(facts, here.cpus, here.most) if facts.waits and THREADS in here.open else 0
            self.route, self.width, self.abreast = decision.route, decision.width, decision.abreast
            self.cold = here.cold
        if decision.route == PROCESSES:
            pools.processes().warm(min(self.sure(decision.width), max(1, here.items)))
