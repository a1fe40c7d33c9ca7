"""Batches in worker processes: who gets what, and what happens when a worker dies.

How it hangs together
    `start` pickles the batch in the caller's thread and sends it to an idle worker from there. Each worker has a
    reader thread here, blocked in one read; it takes the reply, sends the next batch from the queue, and then
    delivers the result. There is no other thread in between, no queue that processes share, and no lock that they
    share, so a dying worker can take nothing with it.

Locks
    `_lock` guards all bookkeeping: the queue, the idle workers, each worker's `work`, and tasks. It is never held
    while something is pickled, sent, read or delivered. Who may send to a worker is decided under it, by an entry in
    the link's `outgoing`; see `Link`. The thread that has it can take it again, and so with that of the nursery: the
    garbage collector may run within, and let go of a map, which calls its batches off.

Exactly once
    A piece is in the queue, or in one link's `work`, or was settled. It moves under `_lock`, and its task counts
    the pieces that are open: `done` is called by whoever brings that to zero. A task that was cancelled keeps being
    moved but is never delivered.
"""

import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from math import inf
from time import monotonic, perf_counter
from typing import Any

from parallel_deco._cpus import available_cpus
from parallel_deco._died import WorkerDied
from parallel_deco._errors import ParallelError
from parallel_deco._traits import Traits
from parallel_deco._waiting import gather, scatter
from parallel_deco.backends.alarms import Alarms
from parallel_deco.backends.batch import Batch, Done, nowhere
from parallel_deco.backends.connection import Frame
from parallel_deco.backends.deaths import (
    OUTSIDE,
    at_work,
    did_not_start,
    died,
    pickling_limit,
    took_too_long,
    was_stuck,
)
from parallel_deco.backends.echoes import replay
from parallel_deco.backends.frames import DONE, ECHO, FAILED, HELLO, PART
from parallel_deco.backends.functions import Functions, Travelling
from parallel_deco.backends.launch import unavailable
from parallel_deco.backends.link import Link
from parallel_deco.backends.nursery import Nursery
from parallel_deco.backends.outcomes import Outcomes, unpack_error, unpack_outcomes
from parallel_deco.backends.payload import load
from parallel_deco.backends.surroundings import Surroundings
from parallel_deco.backends.task import Piece, Task, report

__all__ = ["ProcessBackend", "ProcessTicket"]

#: Workers that may fail to start one after the other before the pool gives up.
_FAILED_STARTS = 3
#: Seconds to wait for the exit status of a worker whose socket has ended.
_STATUS_WAIT = 5.0
#: Seconds that idle workers get to end by themselves before the template kills them.
_PATIENCE = 2.0
#: Seconds after which a worker without work ends.
IDLE = 60.0

_backends: "weakref.WeakSet[ProcessBackend]" = weakref.WeakSet()


class ProcessTicket:
    """A batch in the hands of workers, to be called off."""

    __slots__ = ("_backend", "_task")
    kills = True

    def __init__(self, backend: "ProcessBackend", task: Task) -> None:
        self._backend = backend
        self._task = task

    def cancel(self, kill: bool = False) -> bool:
        """Call the batch off; return whether `done` will never be called.

        A batch that waits is dropped. One that runs is only ended with `kill`: its worker is killed and replaced.
        """
        return self._backend._cancel(self._task, kill)


class ProcessBackend:
    """Worker processes, started when first needed.

    Notes
    -----
    Safe to use from many threads at once, and after a fork in parent and child. Nothing starts before the first
    `warm` or `start`. `shutdown` ends all workers; a later `start` makes new ones.
    """

    traits = Traits(shares_memory=False, own_gil=True, can_kill=True)

    def __init__(self) -> None:
        self._reset()
        _backends.add(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._links: dict[int, Link] = {}
        self._readers: list[Link] = []  # links whose reader thread may be alive
        self._idle: list[Link] = []
        self._queue: deque[Piece] = deque()
        self._open: set[Task] = set()  # started, and neither delivered nor called off
        self._failed_starts = 0
        self._cold_since: float | None = None  # when a template was asked for, until its first worker is ready
        self.started_in: float | None = None  #: seconds from no template to a worker that is ready, at least
        self.starts = 0  #: how often that was timed
        self._reaping = False
        self._nursery: Nursery | None = None
        self._endings: list[threading.Thread] = []
        self._numbers = count(1)
        self._functions = Functions()
        self._surroundings = Surroundings()
        self._alarms = Alarms()

    # What a router may ask.

    @property
    def unavailable(self) -> str | None:
        """Why there can be no worker processes here; None where there can."""
        return unavailable()

    @property
    def workers(self) -> int:
        """How many workers are ready; 0 means that a first batch waits for a start."""
        return sum(1 for link in list(self._links.values()) if link.pid)

    @property
    def idle(self) -> int:
        """How many workers wait for work."""
        return len(self._idle)

    @property
    def width(self) -> int:
        """How many workers there are, those that are being started included."""
        return len(self._links)

    def ready(self, function: Travelling) -> int:
        """Return how many workers have loaded a function, with all that is imported for it."""
        return sum(1 for link in list(self._links.values()) if function.key in link.loaded)

    def prepare(self, function: Callable[..., Any]) -> Travelling:
        """Return a function made ready to travel, for `start`.

        Raises
        ------
        NotPicklableError
            Something in it cannot be pickled; says what, and where it sits.
        """
        return self._functions.prepare(function)

    def warm(self, width: int | None = None) -> None:
        """Start workers up to a width, in the background; returns at once. What goes wrong is for `start` to raise."""
        with self._lock, suppress(OSError, ParallelError):
            while len(self._links) < (width or available_cpus()):
                self._add_worker()

    def start(
        self,
        batch: Batch,
        done: Done,
        *,
        width: int | None = None,
        ahead: bool = False,
        prepared: Travelling | None = None,
    ) -> ProcessTicket:
        """Have a worker run the batch; then `done` is called, once, in a thread of the pool.

        Parameters
        ----------
        batch : Batch
        done : callable
        width : int, optional
            The most workers that may exist for this batch; the number of usable CPUs by default.
        ahead : bool
            The batch is short: it may be sent to a worker that is still busy, so that it finds it when it is ready.
        prepared : Travelling, optional
            What `prepare` returned for the same function; then it is sent as it was, whatever became of its globals and
            closure.

        Raises
        ------
        NotPicklableError
            Something in it cannot be pickled; says what, and where it sits.
        ParallelError
            There can be no worker processes here.
        """
        function = prepared or self._functions.prepare(batch.function)
        task = Task(batch, done, function, ahead, width or available_cpus())
        piece = task.whole()
        self._pack(piece)
        try:
            with self._lock:
                self._open.add(task)
                self._surroundings.look()
                link = self._place(piece)
                if link is None:
                    self._enqueue(piece)
            if link is not None:
                self._send(link, piece)
        except BaseException:  # no process, or Ctrl-C, which may come anywhere
            self._take_back(task)
            raise
        return ProcessTicket(self, task)

    def load(self, batch: Batch, done: Done, function: Travelling, width: int, most: int) -> int:
        """Have workers that have yet to load a function do so, before there is anything to run; return how many.

        Parameters
        ----------
        batch : Batch
            Of that function, and without items.
        done : callable
            Called for each that has loaded it, or cannot, in a thread of the pool.
        function : Travelling
            What `prepare` returned for it.
        width : int
            How many workers there are to be.
        most : int
            How many are to load it at most; who rests comes first, the others do so when they have the time.

        Notes
        -----
        A shutdown does not wait for it.
        """
        pieces = [Task(batch, done, function, False, width).whole() for _ in range(most)]
        for piece in pieces:
            piece.pack()
        self.warm(width)
        at_once: list[tuple[Link, Piece]] = []
        try:
            with self._lock:
                self._surroundings.look()
                able = [link for link in self._links.values() if link.can_load(function.key)]
                able.sort(key=lambda link: link not in self._idle)
                for link, piece in zip(able, pieces, strict=False):
                    self._open.add(piece.task)
                    if link in self._idle:
                        self._idle.remove(link)
                        self._hand(link, piece)
                        at_once.append((link, piece))
                    else:
                        link.errands.append(piece)
            for link, piece in at_once:
                self._send(link, piece)
        except BaseException:  # Ctrl-C, which may come anywhere
            for piece in pieces:
                self._take_back(piece.task)
            raise
        return min(len(able), most)

    def _stop_loading(self) -> None:
        """Have nobody load a function before there is something to run: they are to end."""
        with self._lock:
            tasks = {task for task in self._open if not task.batch.items}
            for link in self._links.values():
                if link.work and link.work[0].task in tasks:
                    link.blameless = True
                    self._kill(link)
        for task in tasks:
            self._deliver(task, True)

    def _take_back(self, task: Task) -> None:
        """Forget a task whose start did not come to its end, and the worker that has part of it or of its message."""
        with self._lock:
            self._close(task)
            for link in list(self._links.values()):
                for piece in list(link.outgoing):
                    if piece.task is task:
                        link.outgoing.discard(piece)
                lost = link.pid and not link.work and link not in self._idle
                if lost or any(piece.task is task for piece in link.work):
                    link.blameless = True
                    self._kill(link)

    def shutdown(self, wait: bool = True, kill: bool = False) -> None:
        """End the workers: after the batches that were started, or (`kill`) as they are.

        Parameters
        ----------
        wait : bool
            Return when all has ended.
        kill : bool
            Batches that run or wait end with WorkerDied.
        """
        if kill:
            self._kill_all()
        if not wait:
            ending = threading.Thread(target=self._wind_down, name="parallel_deco-shutdown", daemon=True)
            ending.start()
            self._endings = [*filter(threading.Thread.is_alive, self._endings), ending]
            return
        self._wind_down()
        for ending in self._endings.copy():  # of shutdowns that did not wait
            ending.join()
            with suppress(ValueError):  # another thread has waited for it too
                self._endings.remove(ending)

    # Placing work.

    def _pack(self, piece: Piece) -> None:
        try:
            piece.pack()
        except Exception as error:  # whatever a __reduce__ of the user's raises
            from parallel_deco.backends.culprit import explain_batch

            raise explain_batch(piece.task.batch, error) from error

    def _enqueue(self, piece: Piece) -> None:
        self._queue.append(piece)
        try:
            self._grow()
        except (OSError, ParallelError):
            if not self._links:  # nobody would ever take it
                self._queue.pop()
                raise

    def _place(self, piece: Piece) -> Link | None:
        """Give a piece to a worker that can take it now, to be sent by the caller; under the lock."""
        link = self._rested(piece.task.function.key) if self._idle else self._takes_ahead(piece)
        if link is not None:
            self._hand(link, piece)
        return link

    def _rested(self, function: int) -> Link:
        """Take one of the workers that wait, if it can be one that has loaded the function; under the lock."""
        for place in range(len(self._idle) - 1, -1, -1):
            if function in self._idle[place].loaded:
                return self._idle.pop(place)
        return self._idle.pop()

    def _hand(self, link: Link, piece: Piece) -> None:
        """Note that a link has a piece, and when to look whether it takes too long; under the lock."""
        link.outgoing.add(piece)
        link.work.append(piece)
        timeout = piece.task.batch.timeout
        if timeout is not None:
            self._look_at(link, monotonic() + timeout)

    def _takes_ahead(self, piece: Piece) -> Link | None:
        """Return a worker with one piece that can have a second one sent ahead; under the lock."""
        if not piece.task.ahead or self._queue:
            return None
        for link in self._links.values():
            free = len(link.work) == 1 and not link.killed and not link.outgoing
            if free and link.work[0].task.ahead and link.fits_ahead(piece, self._surroundings.version):
                return link
        return None

    def _send(self, link: Link, piece: Piece) -> None:
        try:
            link.send(piece, self._functions, self._surroundings)
        finally:
            link.outgoing.discard(piece)

    def _next(self, link: Link) -> Piece | None:
        """Return what a worker that just finished is to be sent, or let it rest; under the lock."""
        if link.killed or link.number not in self._links:
            return None
        while link.errands and not link.work:
            piece = link.errands.popleft()
            if not piece.task.over:
                self._hand(link, piece)
                return piece
        while self._queue:
            piece = self._queue[0]
            if piece.task.over:
                self._queue.popleft()
                continue
            ahead = piece.task.ahead and not link.outgoing and link.fits_ahead(piece, self._surroundings.version)
            if link.work and not ahead:
                return None
            self._hand(link, self._queue.popleft())
            return piece
        if not link.work:
            link.idle_since = monotonic()
            self._idle.append(link)
            self._reap_later()
            self._changed.notify_all()
        return None

    def _feed(self, link: Link) -> None:
        """Send a worker its next piece, if there is one."""
        with self._lock:
            piece = self._next(link)
        self._send_on(link, piece)

    def _send_on(self, link: Link, piece: Piece | None) -> None:
        """Send what `_next` returned; a piece that must run again is pickled here."""
        while piece is not None:
            try:
                piece.pack()
            except Exception as error:  # it was pickled once; the user's objects have changed since
                link.outgoing.discard(piece)
                self._unpackable(link, piece, error)
                with self._lock:
                    piece = self._next(link)
            else:
                self._send(link, piece)
                return

    def _unpackable(self, link: Link, piece: Piece, error: Exception) -> None:
        with self._lock:
            if piece not in link.work:  # the worker died meanwhile: it is tried again with another
                return
            link.work.remove(piece)
            complete, _ = piece.task.failed(piece, error, whole=True)
        self._deliver(piece.task, complete)

    # Workers come.

    def _grow(self) -> None:
        """Start workers for what is in the queue; under the lock."""
        while self._queue and self._queue[0].task.over:
            self._queue.popleft()
        if not self._queue:
            return
        width = max(self._queue[0].task.width, self._queue[-1].task.width)
        starting = sum(1 for link in self._links.values() if not link.pid)
        while len(self._links) < width and starting < len(self._queue):
            self._add_worker()
            starting += 1

    def _add_worker(self) -> None:
        if self._nursery is None or self._nursery.closed:
            self._cold_since = perf_counter()
            self._nursery = Nursery()
        link = Link(next(self._numbers))
        try:
            try:
                self._nursery.fork(link.number, *link.descriptors(), link.exit)
            except OSError:  # the template died just now: the stream of this link ends, and its reader clears up
                link.exit(-1)
            link.handed_over()
            link.start(self._read)
        except RuntimeError as error:
            link.close()  # its worker meets the end of its input, and ends
            raise ParallelError(f"no thread can be started to serve a worker process: {error}") from error
        except BaseException:  # Ctrl-C: the reader may run, and clears up when its worker has ended
            link.hang_up()
            raise
        self._links[link.number] = link
        self._readers = [*filter(Link.is_alive, self._readers), link]

    def _read(self, link: Link) -> None:
        """The reader thread of a worker."""
        kinds = {
            HELLO: self._on_hello,
            PART: self._on_part,
            DONE: self._on_done,
            FAILED: self._on_failed,
            ECHO: _on_echo,
        }
        bells = gather()
        try:
            # Where more than one runs, the CPUs have better to do than to wait awake.
            while (frame := link.receive(alert=len(self._open) <= 1)) is not None:
                kinds[frame.kind](link, frame)
        except BaseException:  # a mistake of ours (or no memory) must not leave callers waiting for ever
            with self._lock:
                self._kill(link)
            raise
        finally:
            try:
                scatter()
            finally:
                del bells
                self._on_end(link)

    def _on_hello(self, link: Link, frame: Frame) -> None:
        with self._lock:
            link.pid = load(frame.body)
            self._failed_starts = 0
            if self._cold_since is not None:
                took, self._cold_since = perf_counter() - self._cold_since, None
                self.started_in = took if self.started_in is None else min(took, self.started_in)
                self.starts += 1
        self._feed(link)

    # Outcomes come.

    def _on_part(self, link: Link, frame: Frame) -> None:
        outcomes = unpack_outcomes(frame.body, frame.buffers)
        frame.buffers = ()
        with self._lock:
            report(link.work[0], outcomes)

    def _on_done(self, link: Link, frame: Frame) -> None:
        with self._lock:
            piece = link.work.popleft()
            link.batches += 1
            link.loaded.add(piece.task.function.key)
            following = self._next(link)
        self._send_on(link, following)
        clock = piece.task.batch.clock
        began = clock()
        try:
            outcomes = unpack_outcomes(frame.body, frame.buffers)
        except BaseException as error:  # there is no memory; no signal of the user's is handled in this thread
            left = len(piece) - len(piece.values)
            outcomes = Outcomes([None] * left, dict.fromkeys(range(left), error), None)
        received = frame.size
        frame.buffers = ()  # the reader keeps the frame until the next comes, but the values may go before
        piece.moved += frame.seconds + clock() - began
        with self._lock:
            complete = piece.task.ended(piece, outcomes, received) and self._close(piece.task)
        if complete:
            self._call_done(piece.task)

    def _on_failed(self, link: Link, frame: Frame) -> None:
        whole, packed = load(frame.body)
        error = unpack_error(packed)
        with self._lock:
            piece = link.work.popleft()
            link.batches += 1
            complete, pieces = piece.task.failed(piece, error, whole)
            self._queue.extendleft(reversed(pieces))
        self._feed(link)
        self._deliver(piece.task, complete)
        self._feed_idle()

    def _deliver(self, task: Task, complete: bool) -> None:
        if not complete:
            return
        with self._lock:
            complete = self._close(task)
        if complete:
            self._call_done(task)

    def _call_done(self, task: Task) -> None:
        try:
            done, result = task.hand_over()
            done(result)
        except Exception:  # a callback of the user's; the reader must go on
            sys.excepthook(*sys.exc_info())

    def _close(self, task: Task) -> bool:
        """Mark a task as over: delivered, or never to be; return whether it was not; under the lock."""
        if task.over:
            return False
        task.over = True
        self._open.discard(task)  # it is not there when Ctrl-C came before it was
        if not self._open:
            self._changed.notify_all()
        return True

    # Time passes.

    def _look_at(self, link: Link, when: float) -> None:
        """Set an alarm for a link, unless one is set that comes first; under the lock."""
        if when < link.alarm and self._alarms.at(when, partial(self._look, link, when)):
            link.alarm = when

    def _look(self, link: Link, when: float) -> None:
        """Kill a worker whose item has had its time; in the thread of the alarms."""
        with self._lock:
            if link.alarm != when:  # a sooner one was set after this, and has looked
                return
            link.alarm = inf
            if not link.work or link.killed or link.number not in self._links:
                return
            timeout = link.work[0].task.batch.timeout
            soonest = min(piece.task.batch.timeout or inf for piece in link.work)  # the one behind it may begin next
            if timeout is None:
                if soonest < inf:
                    self._look_at(link, monotonic() + soonest)
                return
            position, started = at_work(link), link.slot.times[0]
            limit = pickling_limit(timeout) if position == OUTSIDE else timeout
            left = limit if position is None else started + limit - monotonic()
            if left > 0:
                self._look_at(link, monotonic() + min(left, soonest))  # an item may begin at any moment
                return
            link.overdue = link.batches, OUTSIDE if position is None else position
            self._kill(link)

    def _reap_later(self) -> None:
        """See to it that workers without work do not stay for ever; under the lock."""
        if not self._reaping:
            self._reaping = self._alarms.at(monotonic() + IDLE, self._reap)

    def _reap(self) -> None:
        with self._lock:
            self._reaping = False
            now = monotonic()
            idle = [link for link in self._idle if now - link.idle_since >= IDLE]
            for link in idle:
                self._idle.remove(link)
                del self._links[link.number]
                link.leaving = True
            if self._idle:
                self._reaping = self._alarms.at(self._idle[0].idle_since + IDLE, self._reap)
            if idle:  # one may wait for a thread of its own, which a task has left
                self._alarms.at(now + _PATIENCE, partial(self._kill_late, idle))
        for link in idle:
            link.hang_up()

    def _kill_late(self, leaving: list[Link]) -> None:
        """End workers that were told to end and have not."""
        with self._lock:
            for link in leaving:
                if not link.exited.is_set():
                    self._kill(link)

    # Workers go.

    def _cancel(self, task: Task, kill: bool) -> bool:
        with self._lock:
            if task not in self._open:  # it is over; or, in the child of a fork, the parent's
                return False
            links = [link for link in self._links.values() if any(piece.task is task for piece in link.work)]
            if links and not kill:
                return False
            self._close(task)
            task.done = nowhere  # it leads to whoever holds the ticket, and the ticket to the task: a circle
            for link in links:
                if link.work[0].task is task:  # a piece that was only sent ahead runs, and is not delivered
                    link.blameless = True  # it may have gone on to the one behind by the time it dies
                    self._kill(link)
            return True

    def _kill(self, link: Link) -> None:
        link.killed = True
        if self._nursery is not None:
            self._nursery.kill(link.number)

    def _on_end(self, link: Link) -> None:
        """Clear up behind a worker that is gone; in its reader thread."""
        exited = link.exited.wait(_STATUS_WAIT)
        with self._lock:
            deliver = self._bury(link)
            if not exited:  # its stream was cut while it was at an item, which nobody waits for any more
                self._kill(link)
        link.close()
        for task in deliver:
            self._deliver(task, True)
        self._feed_idle()

    def _bury(self, link: Link) -> list[Task]:
        """Settle what a dead worker had; return the tasks that are complete with it; under the lock."""
        self._links.pop(link.number, None)
        if link in self._idle:
            self._idle.remove(link)
        at, stuck = at_work(link), False
        position = None if at == OUTSIDE else at
        blame: Callable[[Link, Task, int], BaseException] = died
        if link.overdue is not None and link.overdue == (link.batches, at):
            stuck = position is None
            blame = was_stuck if stuck else took_too_long
        elif link.overdue is not None:
            position = None  # it was killed for an item that ended just then, and the next one is not to blame
        elif link.blameless:
            position = None
        complete = []
        if link.work:
            piece = link.work.popleft()
            if stuck:
                piece.isolate()
            elif link.blameless:
                piece.forgive()
            again: list[Piece] = []
            if not piece.task.over:
                done, again = piece.task.lost(piece, position, partial(blame, link, piece.task))
                complete += [piece.task] if done else []
            again += [ahead.again() for ahead in link.work if not ahead.task.over]
            self._queue.extendleft(reversed(again))
            link.work.clear()
        complete += [errand.task for errand in link.errands if not errand.task.over]
        link.errands.clear()
        if not link.pid and not link.leaving and not link.killed:
            if any(other.pid for other in self._links.values()):
                return complete  # they go on; to try again at once would be fork after fork that fails
            complete += self._failed_start(link)
        return complete + self._grow_again()

    def _failed_start(self, link: Link) -> list[Task]:
        """Give up on what waits when worker after worker ends before it is ready; under the lock."""
        self._failed_starts += 1
        if self._failed_starts < _FAILED_STARTS:
            return []
        self._failed_starts = 0
        return self._give_up(lambda task, position: did_not_start(link, task, position))

    def _grow_again(self) -> list[Task]:
        """Start workers in place of dead ones; return the tasks that nobody will run any more; under the lock."""
        try:
            self._grow()
        except (OSError, ParallelError) as error:  # no more processes, descriptors, threads
            reason = str(error)
            if not self._links:  # else the workers that are left go on
                return self._give_up(lambda *_: ParallelError(f"no worker process is left to run this item: {reason}"))
        return []

    def _give_up(self, error: Callable[[Task, int], BaseException]) -> list[Task]:
        """Empty the queue; return its tasks, each of their open items with an error; under the lock."""
        tasks = {id(piece.task): piece.task for piece in self._queue if not piece.task.over}
        self._queue.clear()
        for task in tasks.values():
            task.abandon(partial(error, task), unbegun=True)
        return list(tasks.values())

    def _feed_idle(self) -> None:
        """Wake workers that rest although there is work again."""
        while True:
            with self._lock:
                if not (self._idle and self._queue):
                    return
                link = self._idle.pop()
            self._feed(link)

    # The end.

    def _wind_down(self) -> None:
        """End all workers; once more, for those that the last results of the first round led to."""
        self._end_workers()
        self._end_workers()

    def _end_workers(self) -> None:
        self._stop_loading()
        with self._lock:
            self._changed.wait_for(lambda: not self._open)
            for link in self._links.values():
                link.leaving = True
            leaving, self._readers = self._readers, []
            self._links.clear()
            self._idle.clear()
            nursery, self._nursery = self._nursery, None
            self._reaping = False
            keeper = self._alarms.forget()  # not later: somebody may set one again
        self._alarms.leave(keeper)
        for link in leaving:
            link.hang_up()
        patience = monotonic() + _PATIENCE
        for link in leaving:
            link.join(patience - monotonic())
        if nursery is not None:
            nursery.close()
        for link in leaving:
            link.join(_PATIENCE)

    def _kill_all(self) -> None:
        with self._lock:
            pieces = [*self._queue, *(piece for link in self._links.values() for piece in (*link.work, *link.errands))]
            self._queue.clear()
            tasks = {id(piece.task): piece.task for piece in pieces if not piece.task.over}
            for task in tasks.values():
                task.abandon(lambda _: WorkerDied("the workers were shut down while this item waited or ran"))
                self._close(task)
            for link in self._links.values():
                self._kill(link)
            self._idle.clear()
        for task in tasks.values():
            self._call_done(task)

    def _forget(self) -> None:
        """Let go of everything in the child of a fork: it belongs to the parent, whose threads are not here."""
        for link in self._readers:
            link.forget()
        if self._nursery is not None:
            self._nursery.forget()
        self._reset()


def _on_echo(link: Link, frame: Frame) -> None:
    try:
        echo = load(frame.body)
    except Exception:  # something in it cannot be rebuilt here, though it could there; the reader must go on
        sys.excepthook(*sys.exc_info())
    else:
        replay(echo)


def _before_fork() -> None:
    for backend in list(_backends):
        for link in backend._readers:
            link.keep_received()


def _after_fork_in_child() -> None:
    for backend in list(_backends):
        backend._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
