"""What is known of one function: its reading, its evidence, what was decided, and what keeps it in this process."""

from collections.abc import Callable, Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any

from parallel_deco._cpus import available_cpus
from parallel_deco._nesting import depth, in_worker_process
from parallel_deco._options import Options
from parallel_deco._sizes import rough_bytes
from parallel_deco._traits import PROCESSES, SERIAL, THREADS, Route
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, Shape
from parallel_deco.routing.evidence import Evidence, Facts
from parallel_deco.routing.explanation import Explanation, PerItem
from parallel_deco.routing.router import Decision, Situation, decide, guess

if TYPE_CHECKING:
    from parallel_deco.routing import static

__all__ = ["Profile"]

_SCALARS = frozenset((int, float, complex, str, bytes, bool, type(None)))
_READ_AND_WRITE = frozenset(
    ("rebinds", "changes in place", "changes in place a part of", "stores into", "writes into", "sorts")
)
#: One batch in so many is watched by the sampler once the function is known.
WATCH_EVERY = 16
#: Items that are assumed to be left when the input does not tell its length.
UNKNOWN_LENGTH = 64


class Profile:
    """The memory of a parallel function, shared by its options, maps and submits.

    Guarantees
    ----------
    Attributes are replaced, never changed in place, so readers need no lock; `evidence` has a lock of its own.
    """

    def __init__(self, function: Callable[..., Any], evidence: Evidence | None = None) -> None:
        self.function = function
        self.evidence = evidence or Evidence()
        self.decision: Decision | None = None
        self.effect: static.Effect | None = None  #: what its last work would write outside itself
        self.stuck: str | None = None  #: why it cannot be sent to another process
        self._example: Batch | None = None
        self._batches = 0
        self._scalars_leave = False

    def watches(self) -> bool:
        """Whether the next batch is to be watched by the sampler: all until the GIL time is known, then a few."""
        self._batches += 1
        return self.evidence.facts().gil is None or self._batches % WATCH_EVERY == 0

    def look_at(self, batch: Batch) -> None:
        """Keep a call of the last work as the example that decisions look at, and note how much would move."""
        self._example = batch
        if self.evidence.facts().moved is None:
            self.evidence.learn_size(sent=rough_bytes(batch.items[0]))

    def may_leave(self, batch: Batch) -> bool:
        """Whether the calls of a batch lose nothing in another process; note the effect if they would."""
        reading = self._read()
        if not reading.depends:
            return not reading.effects
        for item in batch.items:
            if type(item) in _SCALARS and batch.shape is Shape.ONE and self._scalars_leave:
                continue
            effect = reading.pin(*_arguments(batch, item))
            if effect is not None:
                self.effect = effect
                return False
            if type(item) in _SCALARS:
                self._scalars_leave = True
        return True

    def _read(self) -> "static.Reading":
        """Read the code; again only when the function or what it refers to has changed."""
        from parallel_deco.routing import static  # 30 ms, and most functions never need it

        return static.read(self.function)

    def _look_for_effects(self) -> None:
        """Find what the example would write outside itself, before anything runs elsewhere."""
        batch = self._example
        if batch is not None:
            self._example = None
            self.effect = self._read().pin(*_arguments(batch, batch.items[0]))

    def decide(
        self, options: Options, items: int | None, facts: Facts | None = None, current: Route = SERIAL
    ) -> Decision:
        """Decide from the evidence, or from facts about a call that is still running.

        The code is only read when the loop is to be left: work that stays cannot lose anything.
        """
        known = facts or self.evidence.facts()
        decision = decide(known, self.situation(options, items, current))
        if options.backend == "auto" and decision.route != SERIAL and self._example is not None:
            self._look_for_effects()
            decision = decide(known, self.situation(options, items, current))
        return decision

    def explain(self, options: Options) -> Explanation:
        """Return why the last work went where it went, or where the next would go."""
        facts = self.evidence.facts()
        decision = self.decision or guess(self._read().prior, self.situation(options, None))
        return Explanation(
            function=getattr(self.function, "__qualname__", repr(self.function)),
            route=decision.route,
            width=decision.width,
            rule=decision.rule,
            reason=decision.reason,
            readings=PerItem(
                facts.wall, facts.cpu, facts.gil, round(facts.sent + facts.received), facts.items, facts.samples
            ),
            predicted=decision.predicted,
            notes=tuple(self._notes(options)),
        )

    def _notes(self, options: Options) -> Iterator[str]:
        if self.effect is not None and options.backend == "auto":
            where = f"{self.effect.file}:{self.effect.line}"
            yield f"it {self.effect.what} ({where}), which only shared memory keeps, so it stays in this process"
            if not safe_together(self.effect):
                yield "calls that write so are not safe at the same time, so they run one after the other"
        if self.stuck is not None:
            yield f"it cannot be sent to another process: {self.stuck}"

    @staticmethod
    def cpus() -> int:
        """Return how many CPUs work that starts here may use: inside parallel work, one."""
        return 1 if depth() or in_worker_process() else available_cpus()

    def situation(self, options: Options, items: int | None, current: Route = SERIAL) -> Situation:
        """Return where a decision about so many more items would be made."""
        cpus = self.cpus()
        pool = pools.process_pool()
        return Situation(
            items=UNKNOWN_LENGTH if items is None else items,
            cpus=cpus,
            open=self._open(options, cpus),
            most=options.max_workers,
            cold=pool is None or not pool.workers,
            current=current,
        )

    def _open(self, options: Options, cpus: int) -> frozenset[Route]:
        if options.backend != "auto":
            route: Route = options.backend  # type: ignore[assignment]  # Options has checked it
            return frozenset((SERIAL if route == PROCESSES and in_worker_process() else route,))
        routes: set[Route] = {SERIAL}
        if self.effect is None or safe_together(self.effect):
            routes.add(THREADS)
        if cpus > 1 and self.effect is None and self.stuck is None:
            routes.add(PROCESSES)
        return frozenset(routes)


def _arguments(batch: Batch, item: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of the call that an item makes, `self` of a bound method first."""
    function = batch.function
    kwargs: dict[str, Any] = {}
    if batch.shape is Shape.CALL:
        args, kwargs = item
    else:
        args = (item,) if batch.shape is Shape.ONE else tuple(item)
    if type(function) is MethodType:
        args = (function.__self__, *args)
    return args, kwargs


def safe_together(effect: "static.Effect") -> bool:
    """Whether calls with this effect lose nothing when threads make them at the same time.

    What reads, changes and writes back (a counter, a rebound global, an array changed in place) does.
    """
    verb = effect.what.partition(" the ")[0]
    return effect.kind.name not in ("WRITES_NONLOCAL", "WRITES_ATTRIBUTE") and verb not in _READ_AND_WRITE
