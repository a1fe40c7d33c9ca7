"""What is known of one function: its reading, its evidence, what was decided, and what keeps it in this process."""

from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

from parallel_deco._cpus import available_cpus
from parallel_deco._nesting import depth, in_worker_process
from parallel_deco._options import Options
from parallel_deco._sizes import rough_bytes
from parallel_deco._traits import PROCESSES, SERIAL, THREADS, Route
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, Shape
from parallel_deco.routing import static
from parallel_deco.routing.evidence import Evidence, Facts
from parallel_deco.routing.explanation import Explanation, PerItem
from parallel_deco.routing.router import Decision, Situation, decide, guess

__all__ = ["Profile"]

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
        self._reading: static.Reading | None = None

    @property
    def reading(self) -> static.Reading:
        """What reading the code says; read once."""
        reading = self._reading
        if reading is None:
            reading = self._reading = static.read(self.function)
        return reading

    def look_at(self, batch: Batch) -> None:
        """Look at a batch's first call: what it would write outside itself, and how much would move."""
        args, kwargs = call_arguments(batch)
        bound = getattr(batch.function, "__self__", None)
        if bound is not None and type(batch.function) is MethodType:
            args = (bound, *args)
        self.effect = self.reading.pin(args, kwargs)
        if self.evidence.facts().moved is None:
            self.evidence.learn_size(sent=rough_bytes((args, kwargs)))

    def explain(self, options: Options) -> Explanation:
        """Return why the last work went where it went, or where the next would go."""
        facts = self.evidence.facts()
        decision = self.decision or guess(self.reading.prior, self.situation(options, None))
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
            if not self.effect.atomic:
                yield "calls that write so are not safe at the same time, so they run one after the other"
        if self.stuck is not None:
            yield f"it cannot be sent to another process: {self.stuck}"

    @staticmethod
    def cpus() -> int:
        """Return how many CPUs work that starts here may use: inside parallel work, one."""
        return 1 if depth() or in_worker_process() else available_cpus()

    def decide(self, options: Options, items: int | None, facts: Facts | None = None) -> Decision:
        """Decide from the evidence, or from facts about a call that is still running; remember the decision."""
        decision = decide(facts or self.evidence.facts(), self.situation(options, items))
        self.decision = decision
        return decision

    def situation(self, options: Options, items: int | None) -> Situation:
        """Return where a decision about so many more items would be made."""
        cpus = self.cpus()
        pool = pools.process_pool()
        return Situation(
            items=UNKNOWN_LENGTH if items is None else items,
            cpus=cpus,
            open=self._open(options, cpus),
            most=options.max_workers,
            cold=pool is None or not pool.workers,
        )

    def _open(self, options: Options, cpus: int) -> frozenset[Route]:
        if options.backend != "auto":
            route: Route = options.backend  # type: ignore[assignment]  # Options has checked it
            return frozenset((SERIAL if route == PROCESSES and in_worker_process() else route,))
        routes: set[Route] = {SERIAL}
        if self.effect is None or self.effect.atomic:
            routes.add(THREADS)
        if cpus > 1 and self.effect is None and self.stuck is None:
            routes.add(PROCESSES)
        return frozenset(routes)


def call_arguments(batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a batch's first call."""
    item = batch.items[0]
    if batch.shape is Shape.CALL:
        args, kwargs = item
        return args, kwargs
    return ((item,) if batch.shape is Shape.ONE else tuple(item)), {}
