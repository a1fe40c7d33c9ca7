"""What is known of one function: its reading, its evidence, what was decided, and what keeps it in this process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from importlib import import_module
from time import perf_counter
from types import MethodType, ModuleType

from parallel_deco import _machine
from parallel_deco._brief import ALIKE, Brief
from parallel_deco._cpus import available_cpus
from parallel_deco._errors import name_of, note
from parallel_deco._interrupts import interrupts
from parallel_deco._nesting import depth, in_worker_process
from parallel_deco._options import Options, check_answer
from parallel_deco._readings import overhead
from parallel_deco._sizes import rough_bytes, size_class
from parallel_deco._switching import soon
from parallel_deco._traits import PROCESSES, SERIAL, THREADS, Route
from parallel_deco._turns import Turn
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, Shape
from parallel_deco.routing.advice import advice
from parallel_deco.routing.evidence import Evidence, Facts
from parallel_deco.routing.router import NOTHING, Decision, Kept, Situation, decide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from parallel_deco.routing import static
    from parallel_deco.routing.explanation import Explanation

__all__ = ["Arguments", "Profile", "call_arguments", "chosen"]

_SCALARS = frozenset((int, float, complex, str, bytes, bool, type(None)))
#: Positional and keyword arguments of a call.
if TYPE_CHECKING:
    Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
else:
    Arguments = tuple

#: Calls of one order of size whose arguments are weighed.
WEIGHED = 64
#: Seconds for which a function that could not travel stays, the first time and at most; twice as many each time.
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 64.0
#: Items that are assumed to be left at least when the input does not tell its length.
UNKNOWN_LENGTH = 64

#: Seconds for which the batches of a map take a reading for what the code is.
READ_FOR = 1e-3

#: The rule of a decision that had to be made before the code was read.
_READING = "reading the code"


class Profile:
    """The memory of a parallel function, shared by its options, maps and submits.

    Guarantees
    ----------
    Attributes are replaced, never changed in place, so readers need no lock; `evidence` has a lock of its own.
    """

    def __init__(self, function: Callable[..., Any], evidence: dict[int, Evidence] | None = None) -> None:
        self.function = function
        self.decision: Decision | None = None
        self._stuck = ""  # why no call of it can be sent to another process
        self._stays_until = 0.0
        self._pause = 0.0
        self._evidence: dict[int, Evidence] = {} if evidence is None else evidence
        self._latest = Evidence()
        self._leaving: frozenset[type] = frozenset()  # the scalars of which it was seen that they lose nothing
        self._reading: static.Reading | None = None
        self._turns: dict[int, Turn] = {}
        self.sets_context = False  #: a call changed a context variable
        self.brief: Brief | None = None  #: the last short map in the loop, for the next ones
        self.places: dict[Options, Any] = {}  #: what keeps `max_workers` for submitted calls of all sizes
        _profiles.add(self)

    def sibling(self) -> Profile:
        """Return a profile of the same function, for other options, that shares what was measured."""
        profile = Profile(self.function, self._evidence)
        profile._latest, profile._turns = self._latest, self._turns
        return profile

    def evidence(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Evidence:
        """Return what was measured of calls of this size: f(10) does not decide for f(10**7)."""
        size = size_class(args, kwargs)
        evidence = self._evidence.get(size)
        if evidence is None:
            evidence = self._evidence.setdefault(size, Evidence())
        self._latest = evidence
        if evidence.items < WEIGHED and not evidence.moved:
            evidence.learn_size(sent=rough_bytes(args) + rough_bytes(kwargs))
        return evidence

    def has(self, evidence: Evidence) -> bool:
        """Whether it is of this process: what was measured before a fork is the parent's, and so is what runs."""
        return any(evidence is known for known in list(self._evidence.values()))

    @property
    def latest(self) -> Evidence:
        """The evidence of the calls that came last: the best guess at those whose size is not known yet."""
        return self._latest

    @property
    def stuck(self) -> str | None:
        """Why no call of it can be sent to another process; after a while that is tried again, ever more rarely."""
        return self._stuck if perf_counter() < self._stays_until else None

    def stay(self, reason: str) -> None:
        """Note that the function itself could not be sent: what it refers to may be another next time."""
        self._pause = min(2 * self._pause, LONGEST_PAUSE) or FIRST_PAUSE
        self._stuck, self._stays_until = reason, perf_counter() + self._pause

    def may_leave(self, batch: Batch, options: Options) -> bool:
        """Whether the calls of a batch lose nothing in another process; `explain` tells what they would lose."""
        effect = self.lost(batch, options)
        self.show(effect)
        return effect is None

    def lost(self, batch: Batch, options: Options) -> static.Effect | None:
        """Return what the calls of a batch would write outside, which another process would lose."""
        if options.shared is False or options.backend == PROCESSES:
            return None
        return next(self._effects(batch, self.read()), None)

    def turns(
        self, options: Options, heard: Callable[[static.Effect], object] | None = None
    ) -> Callable[[Batch], Turn | None] | None:
        """Return what gives a batch its turn among threads; None where the user answers for what they do at once.

        `heard`, by default `explain`, is told of the effect because of which a batch needs one.
        """
        if not options.chooses or options.shared is not None:
            return None
        return _Turns(self, heard or self.show)

    def turn(self, batch: Batch, reading: static.Reading) -> tuple[Turn, static.Effect] | None:
        """Return the turn of a batch, if it has an effect that would be lost when two make it at once, and the effect.

        One for each depth: calls only wait for deeper ones, so they cannot wait for a turn that they hold.
        """
        effect = next((effect for effect in self._effects(batch, reading) if not effect.atomic), None)
        return None if effect is None else (self._turns.setdefault(batch.depth, Turn()), effect)

    def may_take_turns(self, options: Options, example: Arguments | None) -> bool:
        """Whether calls like the example run one after the other, or may do so, as their code was not read yet.

        Two that have places then, of which the first waits for the second, would wait for ever.
        """
        if self.turns(options) is None:
            return False
        if self._reading is None or (example is None and self.depends_on_arguments()):
            return True
        batch = Batch(self.function, [] if example is None else [example], Shape.CALL)
        return any(not effect.atomic for effect in self._effects(batch, self.read()))

    def show(self, effect: static.Effect | None = None, stuck: str | None = None) -> None:
        """Have `explain` tell what was found to keep some of the last work here, after it was decided where it goes."""
        decision = self.decision
        if decision is None:
            return
        kept = decision.here.kept.and_by(effect)
        kept = kept if stuck is None else kept._replace(stuck=stuck)
        if kept is not decision.here.kept:
            self.decision = decision._replace(here=decision.here._replace(kept=kept))

    def is_read(self) -> bool:
        """Whether its code was read for effects before."""
        return self._reading is not None

    def is_pure(self) -> bool:
        """Whether no call changes anything outside, whatever its arguments."""
        reading = self.read()
        return not reading.depends and not reading.effects

    def depends_on_arguments(self) -> bool:
        """Whether what a call changes outside depends on what it is called with."""
        return self.read().depends

    def _effects(self, batch: Batch, reading: static.Reading) -> Iterator[static.Effect]:
        """Yield what the calls of a batch would change outside, the gravest effect of each."""
        if not reading.depends and (reading.effects or not reading.hands_over):
            yield from reading.effects[:1]
            return
        for item in batch.items:
            # Where it depends, another of the type may be another inside, unless there is no inside.
            scalar = batch.shape is Shape.ONE and (type(item) in _SCALARS or not reading.depends)
            if scalar and type(item) in self._leaving:
                continue
            effect = reading.pin(*self.read_with(batch.function, *call_arguments(batch.shape, item)))
            if effect is not None:
                yield effect
            elif scalar:
                self._leaving |= {type(item)}

    def read_with(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """Return the arguments of what was read: of a decorated method, that is without its object; a bound one has it.

        The reading of a bound method knows its object, and what its operators do.
        """
        if type(function) is MethodType and type(self.function) is not MethodType:
            args = (function.__self__, *args)
        return args, kwargs

    def read(self) -> static.Reading:
        """Read the code; again only when the function or what it refers to has changed."""
        reading: static.Reading = _reader.load().read(self.function)
        if reading is not self._reading:
            self._reading, self._leaving = reading, frozenset()
        return reading

    def decide(
        self,
        options: Options,
        items: int | None,
        facts: Facts,
        current: Route = SERIAL,
        example: Arguments | None = None,
        patient: bool = True,
        kept: Kept = NOTHING,
        abreast: bool = False,
    ) -> Decision:
        """Decide from facts, for calls like the example (as `read_with` has it), and from what keeps them here.

        The code is only read when the loop is to be left: work that stays cannot lose anything. Who is not patient
        stays there while the reader is being loaded.
        """
        decision = decide(facts, self.situation(options, items, current, kept, abreast))
        if options.chooses and decision.route != SERIAL and options.shared is None and example is not None:
            if decision.route == PROCESSES and self._reading is None and (decision.here.cold or decision.here.workers):
                # They start while the code is read; not where their start counts for nothing: much of that work stays.
                pools.processes().warm(min(decision.width, decision.here.cpus, decision.here.items))
            if not (patient or options.timeout is not None or _reader.ready()):
                stays = decide(facts, decision.here._replace(open=frozenset((SERIAL,))))
                return stays._replace(
                    given=(_READING, "its code was being read, which comes before it leaves the loop")
                )
            effect = self.read().pin(*example)
            if effect is not None:
                decision = decide(facts, self.situation(options, items, current, kept.and_by(effect), abreast))
        return decision if isinstance(options.backend, str) else self._ask(options.backend, decision)

    def _ask(self, policy: Callable[[Explanation], str], proposal: Decision) -> Decision:
        """Have the user's policy choose; it hears what `auto` proposes."""
        route = _answer(policy, self._explanation(proposal, ()))
        check_answer(route, name_of(policy))
        if route in ("auto", proposal.route):
            return proposal
        if route not in proposal.here.open:
            return proposal._replace(given=("your policy", f"your policy chose {route!r}, which is not open here"))
        forecast = decide(proposal.facts, proposal.here._replace(open=frozenset((route,))))
        return forecast._replace(predicted=proposal.predicted, given=("your policy", f"your policy chose {route!r}"))

    def explain(self, options: Options) -> Explanation:
        """Return why the last work went where it went, or where the next would go."""
        decision, brief = self.decision or self._next(options), self.brief
        if brief is not None and decision is brief.decision and brief.last != decision.here.items:
            decision = decide(decision.facts, decision.here._replace(items=brief.last))
        if decision.rule == _READING:  # it was over before; who asks why can wait
            kept = decision.here.kept.and_by(self.read().pin(()))
            decision = decision._replace(here=decision.here._replace(kept=kept))
        elif isinstance(options.backend, str):
            decision = self._in_hindsight(decision, options.chooses)
        return self._explanation(decision, tuple(self._notes(options, decision)))

    def _in_hindsight(self, decision: Decision, chosen_here: bool) -> Decision:
        """Return a decision made on the first calls, or moments of one, with what is known by now, if that agrees.

        The route is the one that was taken, so the words for it may as well be those of all the calls.
        """
        facts, before = self._latest.facts(), decision.facts
        if not (facts.items or before.items):
            return decision._replace(predicted={})
        alike = before.wall / ALIKE <= facts.wall <= before.wall * ALIKE
        if facts.so_far or (alike and not before.so_far):
            return decision
        now = decide(facts, decision.here)
        if now.route != decision.route or not chosen_here:
            return decision if before.items else decision._replace(predicted=now.predicted)  # then, nobody knew
        return now._replace(width=decision.width, abreast=decision.abreast)

    def _next(self, options: Options) -> Decision:
        """Return where the next work goes, as nothing ran yet with these options."""
        facts, here = self._latest.facts(), self.situation(options, None)
        if facts.items:
            decision = decide(facts, here)
        else:
            from parallel_deco.routing.guess import guess

            decision = guess(self.read().prior, here)
        return decision if options.chooses else decision._replace(given=chosen(options.backend))

    def _explanation(self, decision: Decision, notes: tuple[str, ...]) -> Explanation:
        from parallel_deco.routing.explanation import Explanation, PerItem

        facts = self._latest.facts()
        payload = round(facts.sent + facts.received)
        return Explanation(
            function=name_of(self.function),
            route=decision.route,
            width=decision.width,
            abreast=decision.abreast,
            rule=decision.rule,
            reason=decision.reason,
            readings=PerItem(facts.wall, facts.cpu, facts.gil, payload, facts.items, facts.samples),
            predicted=decision.predicted,
            notes=notes,
        )

    def _notes(self, options: Options, decision: Decision) -> Iterator[str]:
        """Say what keeps the work from other routes, and what the user could do about it."""
        effect, stuck = decision.here.kept
        if options.shared is not None:
            yield (
                "you declared shared=True: it stays in this process"
                if options.shared
                else "you declared shared=False: its code was not read for effects"
            )
        elif effect is not None and options.chooses:
            where = f" ({effect.file}:{effect.line})" if effect.file else ""
            yield from _words(effect, where)
        if stuck is not None:
            yield f"it cannot be sent to another process: {stuck}"
        if decision.facts.so_far:
            yield "this was decided while its first call was still running, on what that had shown until then"
        yield from advice(decision)

    @staticmethod
    def cpus() -> int:
        """Return how many CPUs work that starts here may use: inside parallel work, one."""
        return 1 if depth() or in_worker_process() else available_cpus()

    def situation(
        self,
        options: Options,
        items: int | None,
        current: Route = SERIAL,
        kept: Kept = NOTHING,
        abreast: bool = False,
    ) -> Situation:
        """Return where a decision about so many more items would be made, with what keeps them here."""
        cpus = self.cpus()
        stuck = self.stuck
        if stuck is not None:
            kept = kept._replace(stuck=stuck)
        workers = pools.workers()
        return Situation(
            items=UNKNOWN_LENGTH if items is None else items,
            cpus=cpus,
            open=self._open(options, cpus, kept),
            most=1 if options.timeout is not None and self._takes_turns(options, kept) else options.max_workers,
            cold=not (workers or pools.paid()),
            workers=workers,
            abreast=abreast,
            machine=_machine.constants(),
            current=current,
            timeout=options.timeout,
            kept=kept,
        )

    @staticmethod
    def _must_end(options: Options) -> bool:
        """Whether a process is wanted for its end, on one CPU too; not inside parallel work."""
        return options.timeout is not None and not (depth() or in_worker_process())

    @staticmethod
    def _takes_turns(options: Options, kept: Kept) -> bool:
        return options.chooses and options.shared is None and kept.effect is not None and not kept.effect.atomic

    def _open(self, options: Options, cpus: int, kept: Kept) -> frozenset[Route]:
        if not options.chooses:
            route: Route = options.backend  # type: ignore[assignment]  # Options has checked it
            return frozenset((SERIAL if route == PROCESSES and in_worker_process() else route,))
        routes: set[Route] = {SERIAL} if options.timeout is None else {THREADS}  # nothing interrupts the caller
        effect = kept.effect if options.shared is None else None
        if effect is None or effect.atomic:
            routes.add(THREADS)
        if (cpus > 1 or self._must_end(options)) and effect is None and kept.stuck is None and not options.shared:
            routes.add(PROCESSES)
        return frozenset(routes)


class _Turns:
    """Gives batches their turns.

    Parameters
    ----------
    profile : Profile
    heard : callable
        Is told of the effect because of which a batch has one.

    Notes
    -----
    Whether the code still is what it was is looked after at times only: what ran a moment ago was not told either.
    """

    __slots__ = ("_heard", "_profile", "_reading", "_until")

    def __init__(self, profile: Profile, heard: Callable[[static.Effect], object]) -> None:
        self._profile = profile
        self._heard = heard
        self._reading: static.Reading | None = None
        self._until = 0.0

    def __call__(self, batch: Batch) -> Turn | None:
        """Return the turn of a batch; None where it may run beside others."""
        reading = self._reading
        if reading is None or perf_counter() > self._until:
            reading = self._reading = self._profile.read()
            self._until = perf_counter() + READ_FOR
        given = self._profile.turn(batch, reading)
        if given is None:
            return None
        turn, effect = given
        self._heard(effect)
        return turn


def _words(effect: static.Effect, where: str) -> Iterator[str]:
    if effect.kind.name == "DIFFERS":
        yield f"it {effect.what}{where}, so it stays in this process"
        yield "set PYTHONHASHSEED before Python starts, or declare shared=False (any number will do) or shared=True"
        return
    yield f"it {effect.what}{where}, which only shared memory keeps, so it stays in this process"
    if not effect.atomic:
        yield "calls that write so are not safe at the same time, so they run one after the other"
    instead = _INSTEAD.get(effect.kind.name, "return the result instead of writing it")
    yield f"{instead}, or declare shared=False (nothing is lost) or shared=True"


#: What could be done about an effect, by its kind.
_INSTEAD = {
    "RANDOM_STATE": "draw from a generator of each call's own, made from a seed that is an argument",
    "CAPTURES_RESOURCE": "make what it needs in the call, or pass it as an argument",
    "CALLS_UNKNOWN": "call something whose code can be read",
    "UNKNOWN": "split it into smaller functions",
}


class _Reader:
    """The reader of code, which takes 30 ms to load and which most functions never need."""

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self._static: ModuleType | None = None

    def ready(self) -> bool:
        """Return whether it is loaded; if not, have a pool thread do it."""
        if self._static is None and self._loading.acquire(blocking=False):
            try:
                pools.threads().call(self._load)
            except RuntimeError:  # no more threads
                self._load()
        return self._static is not None

    def _load(self) -> None:
        try:
            with soon():
                self.load()
        finally:
            self._loading.release()

    def load(self) -> Any:
        """Return it, loaded now if nobody has done so."""
        if self._static is None:
            with overhead():  # a fork waits for that: the child would wait for the lock of a half imported module
                self._static = import_module("parallel_deco.routing.static")
        return self._static


_reader = _Reader()
_profiles: weakref.WeakSet[Profile] = weakref.WeakSet()


def _forget_after_fork() -> None:
    """Have the child measure anew: locks may be held, and calls be waited for, by threads that it has not."""
    global _reader
    _reader = _Reader()
    for profile in list(_profiles):
        profile._evidence.clear()
        profile._latest = Evidence()
        profile._turns.clear()
        profile.places.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def chosen(backend: object) -> tuple[str, str]:
    """Return rule and reason of a route that the user named."""
    return "your choice", f"you chose backend={backend!r}"


def _answer(policy: Callable[[Explanation], str], explanation: Explanation) -> Any:
    """Ask the user's policy; an error of its own says so."""
    try:
        return policy(explanation)
    except StopIteration as error:  # a map would take it for its end
        raise RuntimeError(f"the policy {name_of(policy)} raised StopIteration") from error
    except Exception as error:
        if not interrupts(error):
            note(error, f"raised by the policy {name_of(policy)}")
        raise


def call_arguments(shape: Shape, item: Any) -> Arguments:
    """Return the arguments of the call that an item makes."""
    if shape is Shape.CALL:
        args, kwargs = item
        return args, kwargs
    return ((item,) if shape is Shape.ONE else tuple(item)), {}
