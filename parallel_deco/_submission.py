"""Submits: calls that are queued for one function, and what takes them from there while its workers are busy.

Guarantees
    - A call that is submitted runs once, or its future was cancelled first.
    - `_lock` guards the queue and the count of running batches of each depth; where `max_workers` is given, the queues
      of all sizes share one. Nothing of the user's, no backend and no future is entered under it.
    - Threads take calls from the queue one by one (`_shift`), so that a call may wait for any that was submitted
      before. Worker processes get batches: no future travels, so their calls can hardly wait for each other.
    - Calls of depth d only wait for calls of depth d + 1, and each depth has a width of its own; the deepest calls
      therefore always run, and nested submits cannot deadlock.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from time import monotonic, perf_counter, process_time

from parallel_deco._call import Call, call_back, call_back_aside, killer, settle
from parallel_deco._elsewhere import all_failed, start_in_processes
from parallel_deco._errors import NotPicklableError
from parallel_deco._flow import spreads
from parallel_deco._future import Future
from parallel_deco._importing import note_call
from parallel_deco._interrupts import interrupts
from parallel_deco._judge import FIRST_LOOK, LONGEST_PAUSE, Judge
from parallel_deco._lanes import Lane, Places
from parallel_deco._left_open import turn_away
from parallel_deco._measure import UNREAD, Readings
from parallel_deco._nesting import depth
from parallel_deco._options import Options
from parallel_deco._profile import Arguments, Profile, chosen
from parallel_deco._quick import QuickCall, SentCall
from parallel_deco._shift import Shift
from parallel_deco._traits import PROCESSES, SERIAL, THREADS, Route
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, BatchResult, Done, Shape
from parallel_deco.routing.cost import TARGET
from parallel_deco.routing.evidence import KNOWN, MEASURE_EVERY, Evidence, Facts, facts_so_far
from parallel_deco.routing.refusals import Refusals
from parallel_deco.routing.router import NOTHING, Decision

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Submissions", "outstanding"]

#: Threads for calls on an explicit "threads" of which nothing is known yet, as in concurrent.futures.
UNKNOWN_WIDTH = 32
#: Seconds beyond the start of worker processes after which a first call that computes holds the others up no longer.
LONG = 0.1
#: Once the function is known, every so many batches are a reason to decide again.
REDECIDE = 16
#: Seconds between two decisions before that, unless there were too few calls for more places.
PAUSE = 1e-3
#: Seconds: calls that are known to be shorter are not measured but for one in `REDECIDE`, which would take longer.
QUICK = 50e-6

#: How many times as long as a call takes none has ended when those that run may be waiting for those that wait, and
#: the share of that time that this process computes at most. Guessed.
STALLED = 10
SLEEPY = 0.1
#: Seconds that a look may come too late before another is set: a shutdown drops those that are set.
LATE = 1.0

#: Futures that were submitted and are not done, of the whole process; the exit waits for them.
outstanding: set[Future[Any]] = set()


def _orphan_after_fork() -> None:
    while outstanding:
        outstanding.pop().orphan()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_orphan_after_fork)


class _Hand:
    """What is being started: whoever does so may be interrupted anywhere, and has to know how far it came."""

    __slots__ = ("calls", "judge", "launched", "level", "own", "placed", "probe", "sends")

    def __init__(self, level: int, own: bool) -> None:
        self.level = level
        self.own = own  # the calling thread is about to be free for it
        self.calls: list[Call] = []
        self.placed = False  # it has a place
        self.probe = False  # it is the first call of an unknown function
        self.judge: Judge | None = None  # who looks at that
        self.sends = False  # several together, which nobody overtakes meanwhile
        self.launched = False  # it ends by itself


class Submissions:
    """The submitted calls of one function, of one order of size, with one set of options."""

    def __init__(self, profile: Profile, options: Options, evidence: Evidence) -> None:
        self._profile = profile
        self._options = options
        self._evidence = evidence
        self._auto = options.chooses
        if options.max_workers is None:
            self._places = Places(None)
        else:
            self._places = profile.places.setdefault(options, Places(options.max_workers))
        self._lock = self._places.lock
        self._lanes: defaultdict[int, Lane] = defaultdict(Lane)
        self._started = 0
        self._unmeasured = 0
        self._decision: Decision | None = None
        self._decided = 0.0  # when that was
        self._refusals = Refusals(4 * profile.cpus())  # more than are under way when the first refusal comes
        if options.max_workers is not None:
            self._places.add(self)  # last: the others ask it what waits, and Ctrl-C may come before all is there

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Queue a call; it runs elsewhere as soon as there is a place for it."""
        turn_away()
        note_call()
        future: Future[Any] = Future()
        future.tell(outstanding.discard)
        number = 0 if self._places.most is None else next(self._places.numbers)
        call = Call(future, function, args, kwargs, copy_context(), number)
        try:
            outstanding.add(future)
            level = depth()
            if not self._run_quickly(level, call):
                self._queue(level, call)
        except BaseException:  # Ctrl-C: nobody has the future, so the exit must not wait for it
            outstanding.discard(future)
            raise
        return future

    def _queue(self, level: int, call: Call) -> None:
        """Have a call wait for a place, and take one if there is one."""
        known = self._decision if self._evidence.items > KNOWN else None
        with self._lock:
            lane = self._lanes[level]
            lane.waiting.append(call)
            # Whoever gives a place back takes it from there; and a new decision can wait for that.
            full = known is not None and (lane.running >= known.width + lane.extra or self._places.are_full(level))
        if not full:
            self._drain(level)
        if lane.waiting and (lane.watched < monotonic() or lane.era != pools.threads().era):
            now = perf_counter()
            self._watch(level, FIRST_LOOK, now, now, process_time())

    def _run_quickly(self, level: int, call: Call) -> bool:
        """Start a call of a short function that is known, if there is a place, without looking at it."""
        decision = self._decision
        if decision is None or self._options.timeout is not None:
            return False
        waits = decision.route == THREADS and decision.facts.waits_briefly
        if self._evidence.items <= KNOWN or not (waits or _is_quick(decision.facts)):
            return False
        lane, bounded = self._lanes.get(level), self._places.most is not None
        if lane is None or lane.waiting or lane.running >= decision.width + lane.extra:
            return False  # this is asked again below; what comes in between is longer
        quick = self._quick(level, call, decision)
        if quick is None:
            return False
        taken = False
        try:
            with self._lock:
                self._unmeasured = (self._unmeasured + 1) % (REDECIDE if _is_quick(decision.facts) else MEASURE_EVERY)
                if not self._unmeasured or lane.waiting or lane.probing or lane.sending:
                    return False
                if lane.running >= decision.width + lane.extra:
                    return False
                if bounded and (self._places.are_full(level) or not self._places.is_next(level, call.number)):
                    return False
                running = self._places.running
                lane.running += 1
                running[level] += 1
                taken = True
            quick.start()
        except BaseException as error:  # it cannot be sent, say; or Ctrl-C, and somebody may have it nevertheless
            if taken:
                quick.give_up(error)
            if interrupts(error):
                raise
        return True

    def _quick(self, level: int, call: Call, decision: Decision) -> QuickCall | SentCall | None:
        """Return a call as it is run quickly on the route; None where that cannot be."""
        if decision.route == PROCESSES:  # under auto, none so short goes there
            return None if self._auto else SentCall(call, level, self._freed, decision.width)
        turn = self._profile.turns(self._options)
        if turn is not None and not self._profile.is_pure():
            if not self._profile.depends_on_arguments():
                return None
            if turn(Batch(call.function, [(call.args, call.kwargs)], Shape.CALL, depth=level + 1)) is not None:
                return None
        return QuickCall(call, level, self._freed)

    def _freed(self, level: int, own: bool = False) -> None:
        """Give a place back, to a call that waits if there is one; with `own`, this thread is about to be free."""
        self._vacate(level, probe=False)
        self._drain(level, own)

    def _drain(self, level: int, own: bool = False) -> None:
        """Start batches of waiting calls while there are places; one of them in the calling thread, if `own`."""
        if self._places.most is None:
            while self.start_next(level, own=own):
                pass
            return
        heads = None
        while (waiting := self._places.waiting(level)) != heads:  # else another thread took one, and its place is free
            heads = waiting
            if any(member.start_next(level, number, own) for number, member in waiting):
                heads = None

    def _watch(self, level: int, pause: float, since: float, looked: float, computed: float) -> None:
        """Look at a lane in which calls wait after a while, and after twice as long again, until none does.

        None has ended since the time `since`; when it was looked at last, this process had computed so much.
        """
        lane = self._lanes[level]
        look = partial(self._look, level, pause, since, looked, computed, lane.progress)
        when, threads = monotonic() + pause, pools.threads()
        lane.watched, lane.era = when + LATE, threads.era  # first: it may look at once, and find that none waits
        if not threads.later(when, look):
            lane.watched = 0.0

    def _look(self, level: int, pause: float, since: float, looked: float, computed: float, progress: int) -> None:
        """Give a lane more places if those that run may be waiting for those that have none; in the alarms' thread.

        No call has ended for many times what one takes, and nothing in this process computes.
        """
        now, used = perf_counter(), process_time()
        decision = self._decision
        with self._lock:
            lane = self._lanes[level]
            if not lane.waiting:
                lane.watched = 0.0
                return
            if lane.progress != progress or lane.probing or decision is None:
                since, stalled = now, False
            else:
                long = now - since > STALLED * max(decision.facts.wall, decision.facts.pace)
                stalled = long and used - computed < SLEEPY * (now - looked)
            stalled = stalled and decision is not None and self._may_widen(decision)
            stalled = stalled and lane.running < UNKNOWN_WIDTH and not self._places.are_full(level)
            if stalled:
                lane.extra += min(lane.running, UNKNOWN_WIDTH - lane.running)
        if stalled:
            with suppress(RuntimeError):  # no thread is left
                pools.threads().call(partial(self._drain, level))
        self._watch(level, min(2 * pause, LONGEST_PAUSE), since, now, used)

    def _may_widen(self, decision: Decision) -> bool:
        """Whether calls may run at the same time in threads, as far as we choose how many."""
        if decision.route != THREADS or THREADS not in decision.here.open:
            return False
        return not self._profile.may_take_turns(self._options, self._example())

    def has_room(self, level: int) -> bool:
        """Whether its own lane lets another call begin."""
        lane, decision = self._lanes[level], self._decision
        return not (lane.probing or lane.sending) and (decision is None or lane.running < decision.width + lane.extra)

    def first_waiting(self, level: int) -> int | None:
        """Return the number of the first call that waits for a place; None where none does."""
        lane = self._lanes.get(level)
        try:
            return None if lane is None else lane.waiting[0].number
        except IndexError:
            return None

    def start_next(self, level: int, number: int = 0, own: bool = False) -> bool:
        """Start a batch of waiting calls, if there are any, and a place; return whether that was so.

        With `own`, the calling thread runs it when it is free, if it is for a thread.

        With the number of the first one, only if it still is the first: another thread may have been faster, and then
        it is another lane's turn.
        """
        lane = self._lanes[level]
        if not lane.waiting or lane.probing or lane.sending:  # asked again below; to decide takes long
            return False
        try:
            decision = self._decide(level)
        except Exception as error:  # of the user's policy
            if interrupts(error):
                raise
            self._give_up(level, error)
            return False
        hand = _Hand(level, own)
        try:
            if not self._take(hand, decision, number):
                return False
            self._start(hand, decision)
        except BaseException as error:  # Ctrl-C, which may come anywhere, or there is no memory
            self._have_sent(hand)
            if not hand.launched:
                self._put_back(hand, error)
            raise
        finally:
            self._have_sent(hand)
        return True

    def _take(self, hand: _Hand, decision: Decision, number: int) -> bool:
        """Take calls and a place for one batch, if there are any."""
        with self._lock:
            lane = self._lanes[hand.level]
            running = self._places.running
            if not lane.waiting or lane.probing or lane.sending or number not in (0, lane.waiting[0].number):
                return False
            if lane.running >= decision.width + lane.extra or self._places.are_full(hand.level):
                return False
            if number and not self._places.is_turn(hand.level, number):  # a place was given back just now
                return False
            probe = self._is_probe(hand.level, decision)
            self._gather(lane, decision, hand.calls)
            several = len(hand.calls) > 1
            self._started += 1
            # No call from here on: a signal would be heeded after it.
            lane.running += 1
            running[hand.level] += 1
            hand.placed = True
            lane.probing = hand.probe = probe
            lane.sending = hand.sends = several
        return True

    def _have_sent(self, hand: _Hand) -> None:
        """Let those behind begin; whoever has sent these, or given them back, goes on with them."""
        if hand.sends:
            self._lanes[hand.level].sending = hand.sends = False

    def _put_back(self, hand: _Hand, error: BaseException) -> None:
        """Undo what `_take` has done, as far as it came; calls that were marked as running end with the error."""
        with self._lock:
            waiting = self._lanes[hand.level].waiting
            for call in reversed(hand.calls):
                if not call.future.running() and not (waiting and waiting[0] is call):
                    waiting.appendleft(call)
        if hand.judge is not None:
            hand.judge.dismiss()
        if hand.placed:
            self._vacate(hand.level, hand.probe)
        _fail([call for call in hand.calls if call.future.running()], error)
        with suppress(RuntimeError):  # those that wait are others' too, and there may be nobody to take them
            pools.threads().call(partial(self._drain, hand.level))

    def _give_up(self, level: int, error: Exception) -> None:
        """Fail what waits."""
        with self._lock:
            waiting = self._lanes[level].waiting
            calls = [*waiting]
            waiting.clear()
        _fail([call for call in calls if call.future.set_running_or_notify_cancel()], error)

    def _is_probe(self, level: int, decision: Decision) -> bool:
        """Whether this is the first call of an unknown function here, which the next ones wait 2 ms for."""
        return self._auto and not level and decision.route != PROCESSES and not self._evidence.items

    def _gather(self, lane: Lane, decision: Decision, calls: list[Call]) -> None:
        """Take calls for one batch: as many as fill the target, of one context, leaving each worker its share.

        One alone for a thread, which takes the next ones itself. At each moment a call is in the lane or in the list,
        or in both.
        """
        most = 1
        facts = self._evidence.facts() if len(lane.waiting) > 1 and decision.route == PROCESSES else Facts()
        if _is_gathered(facts):
            share = -(-len(lane.waiting) // max(1, decision.width))
            most = max(1, min(share, int(TARGET / max(facts.wall, facts.pace))))
        waiting = lane.waiting
        function, context = waiting[0].function, waiting[0].context
        if waiting[0].alone:
            most = 1
        while waiting and len(calls) < most and (not calls or waiting[0].goes_with(function, context)):
            calls.append(waiting[0])
            del waiting[0]

    def _decide(self, level: int) -> Decision:
        """Choose where the next call goes: never the plain loop, for a submit does not run on the caller."""
        known = self._decision  # once: another thread may find that it must be made anew
        if known is not None and known.facts.items:
            if self._evidence.items > KNOWN and self._started % REDECIDE:
                return known
            grows = known.width >= known.here.items and self._lanes[level].running >= known.width
            if not grows and perf_counter() < self._decided + PAUSE:
                return known
        decision = self._choose(self._evidence.facts())
        self._decided = perf_counter()
        self._decision = self._profile.decision = decision
        return decision

    def _choose(self, facts: Facts) -> Decision:
        options = self._options
        if not self._auto:
            return self._obey(facts)
        # Those that run count too: a width for the others alone would be taken up by them.
        under_way = sum(len(lane.waiting) + lane.running for lane in list(self._lanes.values()))
        items = max(under_way, 2 * self._profile.cpus())
        example = self._example()
        decision = self._profile.decide(options, items, facts, example=example)
        if decision.route == PROCESSES and (reason := self._refusals.ask()) is not None:
            decision = self._profile.decide(options, items, facts, example=example, kept=NOTHING._replace(stuck=reason))
        if decision.route == SERIAL:
            wide = THREADS in decision.here.open and not self._profile.may_take_turns(options, example)
            width = options.max_workers or decision.here.cpus if wide else 1
            return decision._replace(route=THREADS, width=width, given=("a submitted call", _SUBMITTED))
        return decision

    def _example(self) -> Arguments | None:
        """Return the arguments of a call that waits."""
        for lane in list(self._lanes.values()):
            try:
                call = lane.waiting[0]
            except IndexError:
                continue
            return self._profile.read_with(call.function, call.args, call.kwargs)
        return None

    def _obey(self, facts: Facts) -> Decision:
        options = self._options
        decision = self._profile.decide(options, 64, facts)
        route: Route = THREADS if decision.route == SERIAL else decision.route
        if decision.route == SERIAL:
            width = 1
        elif options.max_workers is not None:
            width = options.max_workers
        else:
            width = decision.width if facts.items or route == PROCESSES else UNKNOWN_WIDTH
        return decision._replace(width=width, given=chosen(options.backend))

    def _start(self, hand: _Hand, decision: Decision) -> None:
        there = decision.route == PROCESSES
        if there and not self._profile.may_leave(self._batch(hand.level, hand.calls, decision.facts), self._options):
            there = False
            self._give_back(hand.level, hand.calls)
        calls = [call for call in hand.calls if call.future.set_running_or_notify_cancel()]
        if not calls:
            hand.launched = True
            self._vacate(hand.level, hand.probe)
            return
        lane = self._lanes[hand.level]
        batch = self._batch(hand.level, calls, decision.facts)
        batch.beside = lane.running
        if not (there or hand.probe or batch.timeout is not None):
            asks = self._options.max_workers is None
            batch.measured = self._evidence.measures(decision.facts, lane.running if asks else 0, len(lane.waiting))
        if hand.probe:
            self._judge(hand, batch)
        self._launch(hand, calls, batch, decision, there)

    def _give_back(self, level: int, calls: list[Call]) -> None:
        """Give calls back to the lane, all but the first, when threads are to run them: these take them one by one."""
        for call in calls[1:]:
            call.future.step_back()
        with self._lock:
            waiting = self._lanes[level].waiting
            while len(calls) > 1:
                waiting.appendleft(calls[-1])
                del calls[-1]

    def _batch(self, level: int, calls: list[Call], facts: Facts) -> Batch:
        return Batch(
            calls[0].function,
            [(call.args, call.kwargs) for call in calls],
            Shape.CALL,
            context=calls[0].context,
            depth=level + 1,
            keep_going=True,
            watch=self._evidence.watches(self._auto),
            timeout=self._options.timeout,
            careful=not 0 < facts.wall < 0.5e-3,
            turn=self._profile.turns(self._options),
        )

    def _judge(self, hand: _Hand, batch: Batch) -> None:
        """Have the first call of an unknown function looked at while it runs, so that the next go the right way."""

        def hear(seen: Readings) -> bool:
            facts = facts_so_far(seen)
            try:
                if facts is None or self._may_yet_leave(facts, seen.wall - seen.delay):
                    return False  # while it may yet leave: beside it, threads would only take turns
            except Exception as error:  # of the user's policy
                self._give_up(hand.level, error)
                return True
            self._evidence.learn(seen, so_far=True)
            self._vacate(hand.level, probe=True, place=False)
            self._drain(hand.level)
            # It may do something else later: wait for calls that have no place yet, for example.
            return not self._evidence.facts().so_far

        hand.judge = Judge(hear, lambda: None)
        hand.judge.watch(batch)
        hand.judge.sit(pools.threads())

    def _may_yet_leave(self, facts: Facts, age: float) -> bool:
        """Whether calls are too short for other processes so far, but would go there if they took longer."""
        decision = self._profile.decide(self._options, 2 * self._profile.cpus(), facts, example=self._example())
        if decision.route != SERIAL or PROCESSES not in decision.predicted or age > LONG + decision.here.machine.start:
            return False
        return facts.computes and facts.held > 0.5 * facts.cpu

    def _launch(self, hand: _Hand, calls: list[Call], batch: Batch, decision: Decision, there: bool) -> None:
        level, judge = hand.level, hand.judge
        claim = threading.Lock()  # taken by whoever ends it

        def free(readings: Readings) -> None:
            if judge is not None:
                judge.dismiss()
            self._evidence.learn(readings)
            if decision.route == THREADS and decision.facts.waits and self._options.max_workers is None:
                self._evidence.learn_reach(readings, batch.beside)
            self._vacate(level, probe=judge is not None)

        def done(result: BatchResult) -> None:
            if claim.acquire(blocking=False):
                free(result.readings)
                try:
                    self._drain(level)  # before: a callback of a future may wait for other calls
                finally:  # whatever a policy of the user's raised there
                    heard = settle(calls, result)
                    call_back_aside(heard) if there else call_back(heard)  # a worker's reader must go on reading

        def ended(readings: Readings) -> None:
            if readings is UNREAD:  # it ran, and nobody looked
                self._evidence.learn_count(1)
            free(readings)
            self._drain(level, own=True)

        try:
            hand.launched = True
            if not there:
                self._launch_thread(level, calls[0], batch, decision, claim, done, ended, own=hand.own)
                return

            def here(_: Batch, __: Done) -> None:
                self._give_back(level, calls)
                alone = self._batch(level, calls, decision.facts)
                self._launch_thread(level, calls[0], alone, decision, claim, done, ended)

            ticket = start_in_processes(
                batch,
                done,
                chooses=self._auto,
                stuck=self._note_stuck,
                here=here,
                width=decision.width,
                spread=spreads(decision.facts, len(calls)),
            )
        except BaseException as error:  # it cannot travel, or there are no more threads or processes; or Ctrl-C
            if isinstance(error, NotPicklableError) and len(calls) > 1:
                self._launch_apart(hand, calls, decision)
                return
            if claim.acquire(blocking=False):
                result = all_failed(batch, error)
                free(result.readings)
                call_back_aside(settle(calls, result))  # who called this goes on with those behind
            if interrupts(error):
                raise
            return
        if len(calls) == 1 and ticket is not None and ticket.kills:
            calls[0].future.killed_by(killer(ticket, partial(self._freed, level)))

    def _launch_thread(
        self,
        level: int,
        call: Call,
        batch: Batch,
        decision: Decision,
        claim: threading.Lock,
        done: Done,
        ended: Callable[[Readings], None],
        own: bool = False,
    ) -> None:
        """Have a thread run a call, and those behind it for a while; one that may be left behind, this one alone."""
        if batch.timeout is not None:
            pools.threads().start(batch, done)
            return
        seconds = TARGET if _is_gathered(decision.facts) else 0.0
        following = partial(self._follow, level, self._likeness(call, batch)) if seconds else _no_call
        shift = Shift(call, batch, following, seconds, claim, ended)
        if not (own and pools.threads().call_next(shift)):
            pools.threads().call(shift, spread=spreads(decision.facts, 1))

    def _likeness(self, first: Call, batch: Batch) -> Callable[[Call], bool]:
        """Return what says whether a call may run in a batch with the first one, which it does not keep."""
        function, context, turn, depth = first.function, first.context, batch.turn, batch.depth
        if turn is None or not self._profile.depends_on_arguments():
            return lambda call: call.goes_with(function, context)
        own = turn(batch)

        def goes(call: Call) -> bool:
            if not call.goes_with(function, context):
                return False
            return turn(Batch(function, [(call.args, call.kwargs)], Shape.CALL, depth=depth)) is own

        return goes

    def _follow(self, level: int, goes: Callable[[Call], bool]) -> Call | None:
        """Take the next call from the lane, if it goes with those before, and mark it as running."""
        lane = self._lanes[level]
        waiting = lane.waiting
        bounded = self._places.most is not None
        while True:
            try:
                call = waiting[0]
            except IndexError:
                return None
            if not goes(call) or (bounded and not self._places.is_next(level, call.number)):
                return None
            with self._lock:
                if lane.sending:
                    return None
                if not waiting or waiting[0] is not call:  # another thread was faster
                    continue
                waiting.popleft()
                lane.progress += 1
            if call.future.set_running_or_notify_cancel():
                return call

    def _launch_apart(self, hand: _Hand, calls: list[Call], decision: Decision) -> None:
        """Launch the first call of a batch alone, and have the others wait to go alone, so that none spoils another."""
        calls[:] = [call._replace(alone=True) for call in calls]
        self._give_back(hand.level, calls)
        self._launch(hand, calls, self._batch(hand.level, calls, decision.facts), decision, there=True)

    def _note_stuck(self, reason: str, of_function: bool) -> None:
        if of_function:
            self._profile.stay(reason)
        self._refusals.refused(reason)
        self._profile.show(stuck=reason)
        self._decision = None

    def _vacate(self, level: int, probe: bool, place: bool = True) -> None:
        """Give a place back; those that wait for it get it by `_drain`."""
        with self._lock:
            lane = self._lanes[level]
            lane.running -= place
            lane.progress += place
            if not lane.running:
                lane.extra = 0
            self._places.running[level] -= place
            if probe:
                lane.probing = False


#: Why a call is in a thread that the cost model would have left in the loop.
_SUBMITTED = "a submitted call runs beside its caller, in a thread where nothing else was known to be faster"


def _is_gathered(facts: Facts) -> bool:
    """Whether calls are short enough for several to share the cost of a batch, as far as is known; none that waits."""
    return facts.wall > 0 and not facts.so_far and not facts.waits


def _is_quick(facts: Facts) -> bool:
    """Whether to measure a call would take longer than it takes."""
    return 0 < facts.wall < QUICK


def _fail(calls: list[Call], error: BaseException) -> None:
    """End the futures of calls that are marked as running; all of them before a callback is called, and that elsewhere.

    Whoever finds that they fail may be a worker's reader, or be about to start others that a callback waits for.
    """
    call_back_aside([call.future for call in calls if call.future.end(None, error)])


def _no_call() -> Call | None:
    """Take none: the calls are not gathered."""
    return None
