"""The adaptive map: pulls items, cuts batches, has them run, keeps order, and decides again as it learns.

One thread, the consumer, takes results; any thread may deliver them and start further batches.

Guarantees
    - An item is pulled once and its batch is started once, so nothing runs twice; a change of route only changes
      where the next batches go.
    - `_lock` guards the fields below "state". Nothing of the user's and no backend is entered under it, and no other
      lock but that of the evidence, under which nothing is entered at all. Both can be taken again by the thread that
      has them: the garbage collector may run within, and let go of another map's iterator, or of this one's.
    - A piece that was pulled flies until its result has come (`Pending`); the consumer waits only while something is
      flying or about to be pulled, so it cannot wait for nothing.
    - The pools hold the mapping, the mapping does not hold its iterator: when the user lets go of the iterator,
      `Guard` closes the mapping.
    - In the child of a fork a mapping of the parent does nothing: its batches are under way there.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from contextvars import Context, copy_context
from math import inf
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

from parallel_deco._elsewhere import all_failed, start_each_in_processes, start_in_processes
from parallel_deco._errors import NotPicklableError, name_of, note
from parallel_deco._flow import TINY, Aim, patience, spreads
from parallel_deco._importing import note_call
from parallel_deco._interrupts import interrupts
from parallel_deco._iterator import Guard, Stretch
from parallel_deco._judge import Judge
from parallel_deco._left_open import MOMENT, call_off, note_closed, note_open
from parallel_deco._measure import UNREAD, Readings
from parallel_deco._nesting import depth, same_context, set_depth
from parallel_deco._options import Options
from parallel_deco._pending import Pending
from parallel_deco._placing import SHORT, Placing
from parallel_deco._profile import Profile
from parallel_deco._readiness import Readiness
from parallel_deco._seats import Seat
from parallel_deco._source import Piece, Source
from parallel_deco._starting import NoThread
from parallel_deco._steering import Sample, Steering
from parallel_deco._stretches import Stretches
from parallel_deco._traits import PROCESSES, SERIAL, THREADS
from parallel_deco._waiting import Bell
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Batch, BatchResult, Shape, Ticket, run_batch
from parallel_deco.routing.cost import LEAST

if TYPE_CHECKING:
    from parallel_deco._progress import Progress
    from parallel_deco.backends.functions import Travelling
    from parallel_deco.backends.threads import Ready

__all__ = ["Mapping"]

#: Seconds for which items of inputs that may have to be waited for are run one by one at most, all that goes with it
#: included, until the sampler saw enough; of one function, not of each map; and this share of all that ran unseen.
MOST_LOOKS, MORE_LOOKS = 10e-3, 0.01
#: Seconds of one item that count as that: what takes longer is seen, or another program had the CPU.
MOST_OF_ONE = 1e-3
#: Seconds after which the consumer looks after a pull that may be waiting for an item.
STALLED = 10e-3
#: Seconds for which the consumer, who has just taken a result, is not woken for the next one: where they come more
#: often, each time would cost two more switches of threads, and whoever computes the GIL.
LULL = 1e-3
#: Seconds that the consumer sleeps at a time. A signal that comes while it is about to sleep does not wake it: between
#: giving the GIL up and waiting, CPython does not look (seen once in 14 tries on a loaded machine).
HEED = 0.1


class Mapping:
    """One `map` or `starmap` under way."""

    def __init__(
        self,
        function: Callable[..., Any],
        profile: Profile,
        options: Options,
        source: Source,
        shape: Shape,
        *,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: "Progress | None" = None,
    ) -> None:
        self._function = function
        self._options = options
        self._source = source
        self._shape = shape
        self._return_exceptions = return_exceptions
        self._progress = progress
        self._context = copy_context()
        self._depth = depth()
        self._steering = Steering(profile, options, source, function)
        for item in source.first():
            self._steering.follow(shape, item)
        self._turn = self._steering.turns()
        self._stretches = Stretches(function, shape, source)
        self._may_run_here = (options.chooses or options.backend == SERIAL) and options.timeout is None
        self._caller_runs = self._may_run_here  # not while nobody asks for results
        self._judge: Judge | None = None
        self._process = os.getpid()
        self.consumer = threading.get_ident()  #: who took a result last; at first, who made this
        self.waiting: set[int] = set()  #: threads that wait for a result, or until others that do have theirs
        self._lock = threading.RLock()
        # state
        self._bell: Bell | None = None  # what the consumer waits for
        self._pending = Pending(ordered)
        self._placing = Placing(options, self._steering, source, self._pending)
        self._waiting = False
        self._feeding = False  # a thread of the pool pulls from an input that may take its time
        self._rests = False  # who waits will look by itself in a moment, and is not to be woken before
        self._arrived = 0.0  # when it took a result last
        self._lent = False  # the input, to the consumer's own loop
        self._failed = False
        self.closed = False  #: nothing more comes, and nothing more is to be done about it
        self._broken: BaseException | None = None
        self._travelling: Travelling | None = None  # the function, as it goes to worker processes

    # What the iterator asks

    def begin(self) -> None:
        """Start at once where the route is known; else get ready to learn."""
        note_open(self)
        note_call()
        steering = self._steering
        judge = None
        if steering.known and steering.facts.wall < TINY and self._source.left is not None:
            self._stretches.allow_longest()
        unknown = not steering.known and not self._source.exhausted
        if unknown and (self._options.chooses or self._options.backend == THREADS):
            judge = self._judge = Judge(self._hear, self._start_without_consumer)  # before there is anything to see
        steering.begin(self._source.left)
        if (steering.route != SERIAL or not self._caller_runs) and not self._source.thread_bound:
            self._feed_aside()
        if judge is not None:
            judge.sit(pools.threads())

    def expected(self) -> int:
        """Return how many results are still to come, where that is known; else 0."""
        left = self._source.left
        return 0 if left is None or self.closed else max(0, left + self._pending.untaken)

    def pieces(self, guard: Guard) -> Iterator[list[Any] | Stretch]:
        """Yield lists of results, and stretches for the consumer to run.

        Raises where an item raised, and at the end what the input raised.
        """
        try:
            while True:
                if self._lends():
                    yield from self._stretch()
                arrived = self._take()
                if arrived is None:
                    break
                batch, result = arrived
                if result.errors:
                    several = self._with_errors(batch, result)
                    del arrived, batch, result  # the traceback would keep them
                    yield from several
                else:
                    yield result.values
                    del arrived, batch, result  # while the next is waited for
        except GeneratorExit:  # whoever lets go of it lets go of the guard; that may be when modules are empty already
            raise
        except BaseException:  # Ctrl-C, above all: what is under way must not go on
            self.close()
            raise
        if self._progress is not None:
            self._progress.close()
        self._steering.conclude(self._source.pulled)
        readiness = self._placing.readiness
        if readiness is not None and not readiness.used:
            self._steering.outrun()
        error, self._source.error = self._source.error, None
        if error is None or self.closed:
            return
        self.close()
        try:
            raise error
        finally:
            del error  # its traceback leads here

    def _with_errors(self, batch: Batch, result: BatchResult) -> Iterator[list[Any]]:
        """Yield what came before the first error and raise it, or yield all with the errors in their places.

        A KeyboardInterrupt is nobody's result: in the loop nobody could tell it from the user's.
        """
        values, errors = result.values, result.errors
        for position, error in errors.items():
            self._note(error, batch.first + position)
            values[position] = error
        returned = self._return_exceptions
        raised = [at for at, error in errors.items() if not returned or isinstance(error, KeyboardInterrupt)]
        if not raised:
            yield values
            return
        position = min(raised)
        yield values[:position]
        failure = errors[position]
        self.close()
        del batch, result, values, errors, error  # the traceback would keep them all
        try:
            raise failure
        finally:
            del failure

    def would_wait_for_itself(self) -> bool:
        """Whether the calling thread runs the item whose result is the next, or draws it from the input.

        Or whether each that runs one waits for another's.
        """
        self._check_process()
        thread = threading.get_ident()
        with self._lock:
            runs = self._pending.is_run_by(thread, self.waiting)
        return self._source.is_drawn_by(thread) if runs is None else runs

    def _check_process(self) -> None:
        """Refuse in the child of a fork, where a lock may be held by a thread that it has not."""
        if self._process != os.getpid():
            raise RuntimeError("this map was begun before a fork; its results come in the parent process only")

    def taken_over(self) -> None:
        """Hear that a thread ended another's stretch; where several take by turns, stretches would all be short."""
        self._stretches.taken_over()

    def stretch_failed(self, stretch: Stretch, error: BaseException) -> BaseException:
        """Say what to raise when a stretch ended with an exception, of the function or of the input."""
        if stretch.calling:
            self._note_stretch(stretch, error)
        if self._progress is not None:
            self._progress.add(stretch.drawn)
        self.close()
        if not isinstance(error, StopIteration):
            return error
        # As from a generator: it would end the user's loop in silence.
        changed = RuntimeError(f"{name_of(self._function)} raised StopIteration")
        changed.__cause__ = error
        return changed

    def close(self, kill: bool = False) -> None:
        """Cancel what has not run, and end what runs long in worker processes, or (`kill`) whatever runs there."""
        if self._process != os.getpid():  # a lock may have been taken when it forked
            return
        with self._lock:
            left = self._end()
        if left is not None:
            self._clear_up(*left, kill)

    def let_go(self) -> None:
        """Close it, for nobody can take from it any more; where that might wait, in another thread.

        The collector may have found that while a lock is held that another thread waits for, with the map's own.
        """
        if self._process != os.getpid():
            return
        if not self._lock.acquire(blocking=False):
            pools.threads().later(monotonic(), self.close)
            return
        try:
            left = self._end()
        finally:
            self._lock.release()
        if left is not None:
            self._clear_up(*left, kill=False)

    def _end(self) -> tuple[list[Ticket], object] | None:
        """Have nothing more come; return what flies, and what has come; None if it was closed; under the lock."""
        if self.closed:
            return None
        self.closed = True
        note_closed(self)
        self._ring()
        return self._pending.clear()

    def _clear_up(self, flying: list[Ticket], results: object, kill: bool) -> None:
        del results  # the user's, who may do something when they go
        self._source.end()
        if self._progress is not None:
            self._progress.close()
        self._steering.forget()
        self._dismiss_judge()
        if flying:
            kill = kill or isinstance(sys.exception(), KeyboardInterrupt) or self._steering.facts.wall > MOMENT
            call_off(flying, kill)

    def give_up(self) -> None:
        """Close it at the interpreter's exit; a thread that takes from it yet ends, as the interpreter would end it."""
        if self._process != os.getpid():
            return
        self._break(SystemExit())
        self.close(kill=True)

    # The consumer

    def _take(self) -> tuple[Batch, BatchResult] | None:
        """Return the next batch and its result: run batches here, or wait, until it is there; None at the end.

        Where there are no errors, others may be in it that have come behind it.
        """
        self.consumer = threading.get_ident()
        try:
            while True:
                with self._lock:
                    self._pending.count_handed()
                    if self._broken is not None:
                        raise self._broken
                    arrived = self._pending.pop()
                    if arrived is not None:
                        self._arrived = perf_counter()
                        # Not with a window of the user's: what is in hand has its places there until all is taken.
                        if not arrived[1].errors and self._options.buffersize is None:
                            self._pending.pop_along(arrived[1].values)
                    if arrived is not None or self._at_end():
                        break
                    self._caller_runs = self._may_run_here
                    size, bell, lull = 0, None, 0.0
                    aim = self._placing.aim()
                    if self._runs_here(aim):
                        self._pending.here = self._waiting = True
                        size = self._size(aim, self._room(aim))
                        self._pending.reserve(size)  # at once: what runs here counts among the busy workers
                    elif self._waiting:
                        bell = self._bell = Bell()
                        lull = self._arrived + LULL - perf_counter()
                        # Not with a window of the user's: it may be full, and the workers wait for what is taken.
                        self._rests = lull > 0 and self._options.buffersize is None
                    else:
                        self._waiting = True
                if size:
                    self._run_here(size)
                elif bell is None:
                    self._feed_aside()  # who waits is owed a wider window
                elif self._source.thread_bound and self._may_draw() and self._feed_one():
                    continue  # a result may have come meanwhile
                elif self._rests:
                    self._await(bell, lull)
                elif not self._await(bell, self._patience()):
                    self._rescue()
        finally:
            self._waiting = False
        self._feed_aside()
        return arrived

    def _await(self, bell: Bell, seconds: float) -> bool:
        thread = threading.get_ident()
        self.waiting.add(thread)
        try:
            return bell.wait(seconds)
        finally:
            self.waiting.discard(thread)

    def _ring(self) -> None:
        """Wake the consumer if it waits; under the lock."""
        if self._bell is not None:
            self._bell.ring()
            self._bell = None

    def _patience(self) -> float:
        """Return how long to wait before looking after a pull that may be waiting for an item, or after Ctrl-C."""
        source = self._source
        patience = HEED if source.prompt or source.slow else STALLED
        readiness = self._placing.readiness
        until_due = inf if readiness is None else readiness.due - perf_counter()
        return min(patience, until_due) if until_due > 0 else patience

    def _rescue(self) -> None:
        """Start the items that a pull has drawn but keeps while it waits for the next, if there is a place for them."""
        with self._lock:
            aim = self._placing.aim()
            if aim.busy >= aim.places:
                return
        piece = self._source.rescue()
        if piece is not None:
            with self._lock:
                self._pending.rescued(len(piece.items))
                pieces, aim = self._take_off(piece, len(piece.items))
            for batch in self._batches(pieces, aim):
                self._launch(batch, aim)

    def _feed_aside(self, own: bool = False) -> "Ready | None":
        """Start batches; where an item may be long in coming, a pool thread waits for it, and not this one."""
        if not self._wants_more():
            return None
        if self._steering.route == PROCESSES and self._placing.goes_on:
            self._make_ready()
        if self._source.prompt:
            return self._feed(own and self._source.instant)
        if self._source.thread_bound:
            self._feed_bound()
            return None
        with self._lock:
            alone = not self._feeding or self._source.returned
            if not alone or not self._place(self._placing.aim()):
                return None
            self._feeding = True
        pools.threads().call(self._feed_alone, spread=True)  # not behind one that computes
        return None

    def _feed_bound(self) -> None:
        """Start a batch from an input that only the consumer may pull from; another thread wakes it to do so."""
        if threading.get_ident() == self.consumer:
            if not self._source.slow:  # there is a result to be taken
                self._feed_one()
            return
        with self._lock:
            self._ring()

    def _may_draw(self) -> bool:
        """Whether the consumer may wait for an item, and for no result meanwhile."""
        return not (self._source.slow and self._pending.flying)

    def _feed_one(self) -> bool:
        """Start one batch, if there is a place for it and anything to pull; return whether that was so."""
        pulled = self._pull_next()
        if pulled is not None:
            (batch,), aim = pulled
            self._launch(batch, aim)
        return pulled is not None

    def _make_ready(self) -> None:
        """Have the workers load the function, if they were not asked yet; and more of them, once it is sure to pay."""
        width = self._steering.sure(self._steering.width)
        with self._lock:
            if self.closed:
                return
            readiness = self._placing.readiness
            if readiness is None:
                self._placing.readiness = Readiness(width, self._steering.cold)
            elif not readiness.wants(width):
                return
        self._ask_workers()

    def _ask_workers(self) -> None:
        readiness = self._placing.readiness
        assert readiness is not None
        try:
            readiness.ask(self._function, self._prepare(), self._loaded)
        except Exception as error:  # it cannot travel, for one: the first batch meets that, and says so
            if interrupts(error):
                raise
            with self._lock:
                readiness.give_up()

    def _loaded(self) -> None:
        """Hear that a worker has loaded the function."""
        try:
            with self._lock:
                readiness = self._placing.readiness
                assert readiness is not None
                first = readiness.answer() and not self.closed
            if first:  # before there are items: another that rests would get one
                self._ask_workers()
            self._feed_aside()
        except BaseException as error:
            self._break(error)

    def _feed_alone(self) -> None:
        """Start batches, in a thread that has nothing else to do and nobody to tell what goes wrong."""
        try:
            more = True
            while more:
                self._feed()
                with self._lock:  # who saw that there is one already may have seen it at its end
                    more = self._feeding = self._place(self._placing.aim()) > 0
        except BaseException as error:
            self._break(error)

    def _at_end(self) -> bool:
        if self.closed:
            return True
        return self._source.exhausted and self._pending.nothing

    def _runs_here(self, aim: Aim) -> bool:
        """Whether the consumer's own thread runs a batch now instead of waiting."""
        steering = self._steering
        if not self._wants_more():
            return False
        if aim.route == PROCESSES and self._placing.late:
            beside = self._options.max_workers is None or not aim.busy
            return beside and self._source.prompt and self._room(aim) > 0
        if not self._caller_runs:
            return False
        if steering.route == SERIAL:
            return not self._pending.running
        if steering.route == PROCESSES and pools.processes().workers:
            return False  # its GIL is for delivering now; each batch here would delay that by the switch interval
        if self._pending.running >= steering.width:
            return False  # the CPUs have what they need
        return self._source.prompt and aim.facts.computes and aim.facts.wall < SHORT and self._room(aim) > 0

    def _run_here(self, size: int) -> None:
        """Run one batch in the consumer's thread."""
        seat = Seat()
        try:
            pulled = self._pull(size, here=True)
            if pulled is None:
                return
            (batch,), _ = pulled
            began = perf_counter()
            seat.take()
            result = run_batch(batch)
        finally:
            seat.leave()
            self._pending.here = False
        for error in result.errors.values():
            if isinstance(error, KeyboardInterrupt):
                raise error
        self._see_context(batch.context)
        self._deliver(batch, result, None if result.errors else (batch.items, result.values))
        self._feed_aside()
        if not self._source.prompt:
            self._steering.looked += min(perf_counter() - began, MOST_OF_ONE)

    def _lends(self) -> bool:
        """Whether the input is the consumer's own for a while; then nobody else pulls from it."""
        with self._lock:
            self._lent = self._is_loop()
            return self._lent

    def _is_loop(self) -> bool:
        """Whether the next items are run one by one, as by a plain loop; under the lock.

        Tiny ones, for nothing else is as fast; those that may have to be waited for, perhaps until the user has done
        something with the results before them; and all, where a map like this one has just been in the loop.
        """
        steering = self._steering
        return (
            self._caller_runs
            and steering.route == SERIAL
            and steering.facts.wall > 0
            and (steering.brief or self._are_short())
            and self._pending.nothing
            and not (self._source.returned or self._source.exhausted)
            and not self._stretches.many_takers
        )

    def _are_short(self) -> bool:
        """Whether items are known to be tiny, or may have to be waited for."""
        if self._wants_looks():
            return False
        return self._steering.facts.wall < TINY or not self._source.prompt

    def _wants_looks(self) -> bool:
        """Whether it must yet be seen how such items hold the GIL, which nobody sees in a stretch."""
        steering = self._steering
        return steering.unseen and (
            self._source.prompt or (steering.facts.wall >= TINY and steering.looked < MOST_LOOKS)
        )

    def _stretch(self) -> Iterator[Stretch]:
        """Lend the input to the consumer's loop for a while; a measured batch comes after."""
        plain = not self._steering.needs_context and same_context(copy_context(), self._context)
        own = None if plain else self._context.copy()
        keep = self._note_stretch if self._return_exceptions else None
        wall = self._steering.facts.wall
        stretch = self._stretches.begin(wall, own, keep)
        try:
            yield stretch
        finally:
            drawn = self._stretches.end(stretch)
            self._see_context(own)
            self._steering.end_brief(self._source.exhausted)
            self._steering.count(drawn)
            unseen = MORE_LOOKS * drawn * wall
            self._steering.looked = max(-MOST_LOOKS, self._steering.looked - unseen)
            if self._progress is not None and not self.closed:
                self._progress.add(drawn)
            with self._lock:
                self._pending.skip(drawn)
                self._lent = False

    def _see_context(self, own: Context | None) -> None:
        """See whether items changed a context variable in a context of their own."""
        if own is not None and not same_context(own, self._context):
            self._steering.sees_context_set()

    def _note_stretch(self, stretch: Stretch, error: BaseException) -> None:
        self._note(error, self._stretches.last(stretch))

    def _note(self, error: BaseException, index: int) -> None:
        """Name the item in the error's traceback."""
        note(error, f"raised by item {index} of a map of {name_of(self._function)}")

    # Starting

    def _start_without_consumer(self) -> None:
        """Begin in the background when nobody has asked for a result yet."""
        with self._lock:
            if self._pending.outstanding or self._pending.here or self._lent or self.closed:
                return
            self._caller_runs = False
        try:
            self._feed_aside()
        except BaseException as error:
            self._break(error)

    def _hear(self, seen: Readings) -> bool:
        if not self._wants_more():  # then it is as good to hear when the call has ended
            return True
        try:
            settled = self._steering.hear(seen, self._remaining())
            if settled:
                self._feed_aside()  # the judge's thread must not wait for the input: the others make way for it
        except BaseException as error:  # a policy of the user's, above all
            self._break(error)
            return True
        return settled

    def _break(self, error: BaseException) -> None:
        """Have the consumer raise what went wrong in a thread of ours: it must not wait for ever."""
        with self._lock:
            self._broken = self._broken or error
            self._ring()

    def _dismiss_judge(self) -> None:
        judge, self._judge = self._judge, None  # it leads here
        if judge is not None:
            judge.dismiss()

    def _feed(self, own: bool = False) -> "Ready | None":
        """Start batches until the workers are busy, the window is full, or the input ends.

        With `own`, one of them is returned, if it is for a thread: for the caller's, which has just become free.
        """
        kept = None
        try:
            while (pulled := self._pull_next()) is not None:
                row, aim = pulled
                for batch in row:
                    kept = self._launch(batch, aim, own=own and kept is None) or kept
        except BaseException:
            if kept is not None:
                pools.threads().call(kept)
            raise
        return kept

    def _pull_next(self) -> tuple[list[Batch], Aim] | None:
        """Pull the next batch, or a row of them, if there is a place for it."""
        while True:
            with self._lock:
                aim = self._placing.aim()
                room = self._place(aim)
                if not room:
                    return None
                size = self._size(aim, room)
                count = self._placing.row(aim, size, room)
                self._pending.reserve(size, count)
            pulled = self._pull_aside(size, count)
            # Who ended meanwhile, and would have started what was put back, may have found this one in its place.
            if pulled is not None or not self._source.returned:
                return pulled

    def _pull_aside(self, size: int, count: int) -> tuple[list[Batch], Aim] | None:
        if self._source.prompt:
            return self._pull(size, count)
        before = set_depth(self._depth)  # an input that is code of the user's is as deep in work as in the loop
        try:
            return self._pull(size, count)
        finally:
            set_depth(before)

    def _size(self, aim: Aim, room: int) -> int:
        """Return how many items the next batch gets."""
        return self._placing.size(aim, room, aim.route == SERIAL and self._wants_looks())

    def _place(self, aim: Aim) -> int:
        """Return how many items have a place elsewhere; 0 if none are to be pulled."""
        if self.closed or self._lent or not self._wants_more():
            return 0
        if aim.route == SERIAL and self._caller_runs:
            return 0
        if self._placing.is_full(aim):
            return 0
        # A window of ours may shrink; with the user's, what was put back has made room for itself.
        least = 1 if self._source.returned and self._options.buffersize is None else 0
        return max(least, self._room(aim))

    def _room(self, aim: Aim) -> int:
        return self._placing.room(aim, self._waiting)

    def _take_off(self, piece: Piece, size: int, here: bool = False) -> tuple[list[Piece], Aim]:
        """Have a piece count as flying, in pieces of this size, and return these and where to; or back it goes.

        Its place may have been given meanwhile to what was rescued before it.
        """
        aim = self._placing.aim()
        pieces, rest = piece.cut(size, 1 if here else max(0, aim.places - aim.busy))
        if rest is not None:
            self._pending.put_back(len(rest.items))
            self._source.put_back(*rest)
        for one in pieces:
            self._pending.take_off(one.first, len(one.items))
        return pieces, aim

    def _wants_more(self) -> bool:
        """Whether anything is to be pulled; where an item failed, only what was put back, for it may come before."""
        return self._source.returned if self._failed else not self._source.exhausted

    def _pull(self, size: int, count: int = 1, here: bool = False) -> tuple[list[Batch], Aim] | None:
        """Pull what room was made for, have it count as flying, and make batches of it.

        With `here`, it is to run in the consumer's thread.
        """
        piece, aim = None, None
        pieces: list[Piece] = []
        slow = self._source.slow
        try:
            with nullcontext() if self._source.prompt else pools.threads().away():
                piece = self._source.pull(size * count, self._enough(size))
        finally:
            with self._lock:
                self._pending.pulled(size, count, 0 if piece is None else len(piece.items))
                if piece is not None:
                    pieces, aim = self._take_off(piece, size, here)
                if piece is None or (slow and not self._source.slow):
                    self._ring()  # there may be no more to wait for, or less patience to wait with
        if piece is None and not self._source.pulled:
            self._dismiss_judge()  # an input without items: there is nothing to look at
        return (self._batches(pieces, aim, here), aim) if pieces and aim is not None else None

    def _enough(self, size: int) -> int:
        """Return how many items of so many are work enough for a worker, while the others are long in coming."""
        steering = self._steering
        wall = steering.facts.wall
        if steering.route == SERIAL or self._options.chunksize is not None or not wall:
            return size
        return min(size, int(LEAST / wall) + 1)

    def _batches(self, pieces: list[Piece], aim: Aim, here: bool = False) -> list[Batch]:
        batches = [self._batch(piece, aim, here) for piece in pieces]
        with self._lock:
            for batch in batches:
                self._pending.fly(batch)
        if batches and batches[0].first == 0:
            self._meet(batches[0])
        return batches

    def _batch(self, piece: Piece, aim: Aim, here: bool) -> Batch:
        # By where it runs, whatever became of the route while an item was waited for.
        nested = not here or self._steering.route != SERIAL or not self._caller_runs
        abreast = 1 if here else min(aim.abreast, len(piece.items))
        measured = self._steering.measures(aim.route, aim.facts, self._pending.flying)
        batch = Batch(
            self._function,
            piece.items,
            self._shape,
            piece.first,
            self._context,
            depth=self._depth + nested,
            keep_going=self._return_exceptions,
            watch=measured and self._steering.watches(),
            timeout=self._options.timeout,
            turn=self._turn if nested else None,
            patience=patience(aim.facts, self._options, len(piece.items), abreast),
            measured=measured,
            heeds_signals=here,
        )
        batch.abreast, batch.widens = abreast, aim.widens and not here
        return batch

    def _meet(self, batch: Batch) -> None:
        """Look at the first call: how large it is, and, by the judge, how it goes."""
        if not self._source.first():
            self._steering.follow(self._shape, batch.items[0])
        judge = self._judge
        if judge is not None:
            judge.watch(batch)

    def _launch(self, batch: Batch, aim: Aim, own: bool = False) -> "Ready | None":
        """Hand a batch to the backend of the route; what goes wrong there is what its first item raised.

        Where no thread can be had, for a limit of the system, a map that chooses its route runs it at once.

        With `own`, it is returned if it is for a thread that it need not be handed to.
        """
        ready = None
        if self.closed:
            return None
        try:
            ticket: Ticket | None
            if aim.route == PROCESSES and self._steering.may_leave(batch):
                ticket = self._launch_process(batch, aim)
            elif batch.timeout is not None:
                ticket = pools.threads().start(batch, self._done(batch))
            else:
                ticket = ready = pools.threads().ready(batch, self._done(batch, own=True))
                if not own:
                    pools.threads().call(ready, spread=spreads(aim.facts, len(batch.items)))
        except Exception as error:
            if interrupts(error):
                raise
            # Where the route is ours, it runs as in the loop, which needs no thread.
            alone = isinstance(error, NoThread) and self._may_run_here
            self._deliver(batch, run_batch(batch) if alone else all_failed(batch, error))
            return None
        with self._lock:
            self._pending.hold(batch.first, ticket)
            closed = self.closed
        if closed and ticket is not None:
            call_off([ticket])
        return ready if own else None

    def _done(self, batch: Batch, own: bool = False) -> "Callable[[BatchResult], Ready | None]":
        """Return what takes a batch's result in, and starts further ones; the thread's own next one, if `own`."""

        def done(result: BatchResult) -> "Ready | None":
            try:
                self._deliver(batch, result)
                return self._feed_aside(own)
            except BaseException as error:
                self._break(error)
                return None

        return done

    def _launch_process(self, batch: Batch, aim: Aim) -> Ticket | None:
        done, steering = self._done(batch), self._steering
        readiness = self._placing.readiness
        if readiness is not None:
            with self._lock:
                readiness.send(len(batch.items) * aim.facts.wall / batch.abreast)
        try:
            return start_in_processes(
                batch,
                done,
                chooses=steering.auto,
                stuck=steering.stay,
                prepare=self._prepare,
                width=aim.workers,
                loaded=self._placing.goes_on,
                ahead=aim.ahead,
                spread=spreads(aim.facts, len(batch.items)),
            )
        except NotPicklableError as error:
            return start_each_in_processes(batch, done, width=aim.workers, error=error)

    def _prepare(self) -> "Travelling":
        """Return the function as it travels: as it was when the first batch left."""
        if self._travelling is None:
            self._travelling = pools.processes().prepare(self._function)
        return self._travelling

    def _remaining(self) -> int | None:
        """Return how many items are in flight or still to pull, where that is known."""
        left = self._source.left
        return None if left is None else left + self._pending.aloft

    def _deliver(self, batch: Batch, result: BatchResult, sample: Sample | None = None) -> None:
        """Take a result in, put back what did not run, learn, and decide again, for which there may be a sample."""
        if batch.first == 0:
            self._dismiss_judge()
        if self._progress is not None:
            self._progress.add(len(result.values))
        self._steering.see(result)
        decides = result.readings is not UNREAD  # else there is nothing new to decide by
        decides = decides and not (self.closed or self._failed or self._source.exhausted or self._source.left == 0)
        if not decides:  # before the consumer has the last result, and may ask what is known
            self._steering.note(result, batch.beside)
        pending = self._pending
        with self._lock:
            running = pending.flying
            pending.land(batch.first)
            readiness = self._placing.readiness
            if result.readings.moved and readiness is not None:
                readiness.come()
            if not self.closed:
                self._put_back(batch, result)
                batch.items = range(len(batch.items))  # how many is all that is asked for now; the user's may go
                pending.keep(batch.first, batch, result)
                self._failed = self._failed or (bool(result.errors) and not self._return_exceptions)
            if self._waiting and pending.due and not (self._rests and pending.flying):
                self._waiting = False  # from now on, not when it has woken up: there is something to take
                self._ring()
        if decides:
            self._steering.learn(result, self._remaining(), running, batch.beside, sample)

    def _put_back(self, batch: Batch, result: BatchResult) -> None:
        """Have the items of a batch that lost its patience be pulled again; under the lock."""
        begun = len(result.values)
        if begun < len(batch.items) and (self._return_exceptions or not result.errors):
            self._source.put_back(batch.first + begun, batch.items[begun:])
            # The evidence may be long in changing: so many items were short.
            self._pending.cut_short(begun, len(batch.items) - begun)
            self._steering.hurry()
            batch.items = batch.items[:begun]
