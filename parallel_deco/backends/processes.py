"""Batches in worker processes: who gets what, and what happens when a worker dies.

How it hangs together
    `start` pickles the batch in the caller's thread and sends it to an idle worker from there. Each worker has a
    reader thread here, blocked in one read; it takes the reply, sends the next batch from the queue, and then
    delivers the result. There is no other thread in between, no queue that processes share, and no lock that they
    share, so a dying worker can take nothing with it.

Locks
    `_lock` guards all bookkeeping: the docket, the crew, each worker's `work`, and tasks. It is never held
    while something is pickled, sent, read or delivered. Who may send to a worker is decided under it, by an entry in
    the link's `outgoing`; see `Link`. The thread that has it can take it again, and so with that of the nursery: the
    garbage collector may run within, and let go of a map, which calls its batches off.

Exactly once
    A piece is in the queue, or in one link's `work`, or was settled. It moves under `_lock`, and its task counts
    the pieces that are open: `done` is called by whoever brings that to zero. A task that was cancelled keeps being
    moved but is never delivered.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from parallel_deco._cpus import available_cpus
from parallel_deco._died import WorkerDied
from parallel_deco._errors import ParallelError
from parallel_deco._interrupts import interrupts
from parallel_deco._seats import here
from parallel_deco._traits import Traits
from parallel_deco._waiting import gather, scatter
from parallel_deco.backends.batch import Batch, Done, nowhere
from parallel_deco.backends.connection import Frame
from parallel_deco.backends.crew import Crew
from parallel_deco.backends.deaths import did_not_start, verdict
from parallel_deco.backends.docket import Docket, tasks_of
from parallel_deco.backends.frames import DONE, ECHO, FAILED, HELLO, PART
from parallel_deco.backends.functions import Functions, Travelling
from parallel_deco.backends.launch import unavailable
from parallel_deco.backends.link import Link
from parallel_deco.backends.outcomes import Outcomes, unpack_error, unpack_outcomes
from parallel_deco.backends.payload import load
from parallel_deco.backends.replay import Replayer
from parallel_deco.backends.surroundings import Surroundings
from parallel_deco.backends.task import Piece, Task, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ProcessBackend", "ProcessTicket"]

#: Seconds to wait for the exit status of a worker whose socket has ended.
STATUS_WAIT = 5.0

_backends: weakref.WeakSet[ProcessBackend] = weakref.WeakSet()


class ProcessTicket:
    """A batch in the hands of workers, to be called off."""

    __slots__ = ("_backend", "_task")
    kills = True

    def __init__(self, backend: ProcessBackend, task: Task) -> None:
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
        self._crew = Crew(self._lock, self._read)
        self._docket = Docket(self._lock)
        self._endings: list[threading.Thread] = []
        self._functions = Functions()
        self._surroundings = Surroundings()
        self._replayer = Replayer()

    # What a router may ask.

    @property
    def unavailable(self) -> str | None:
        """Why there can be no worker processes here; None where there can."""
        return unavailable()

    @property
    def workers(self) -> int:
        """How many workers are ready; 0 means that a first batch waits for a start."""
        return self._crew.ready

    @property
    def idle(self) -> int:
        """How many workers wait for work."""
        return self._crew.resting

    @property
    def width(self) -> int:
        """How many workers there are, those that are being started included."""
        return len(self._crew)

    @property
    def started_in(self) -> float | None:
        """Seconds from nothing to a worker that was ready, at least; None when that was not timed yet."""
        return self._crew.started_in

    @property
    def forked_in(self) -> float | None:
        """Seconds to one more worker as things are now, after all have rested for long; None if that is not known."""
        return self._crew.forked_in

    @property
    def starts(self) -> int:
        """How often it was."""
        return self._crew.starts

    def ready(self, function: Travelling) -> int:
        """Return how many workers have loaded a function, with all that is imported for it."""
        return sum(1 for link in self._crew if function.key in link.loaded)

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
            self._crew.grow(width or available_cpus())

    def start(
        self,
        batch: Batch,
        done: Done,
        *,
        width: int | None = None,
        ahead: bool = False,
        spread: bool = False,
        loaded: bool = False,
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
        spread : bool
            It computes: the worker is to wake on a CPU on which no other does.
        loaded : bool
            Of the workers that rest, only one that has loaded the function is to have it.
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
                self._docket.open(task)
                self._surroundings.look()
                link = self._place(piece, spread, loaded)
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
                able = [link for link in self._crew if link.can_load(function.key)]
                able.sort(key=lambda link: not self._crew.rests(link))
                for link, piece in zip(able, pieces, strict=False):
                    self._docket.open(piece.task)
                    if self._crew.rests(link):
                        self._crew.wake(link)
                        self._crew.hand(link, piece)
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
            tasks = {task for task in self._docket if not task.batch.items}
            for link in self._crew:
                link.errands.clear()  # now: a worker that arrives before these tasks are over would begin with one
                if link.work and link.work[0].task in tasks:
                    self._crew.kill(link, blameless=True)
        for task in tasks:
            self._deliver(task, True)

    def _take_back(self, task: Task) -> None:
        """Forget a task whose start did not come to its end, and the worker that has part of it or of its message."""
        with self._lock:
            self._docket.close(task)
            for link in self._crew:
                for piece in list(link.outgoing):
                    if piece.task is task:
                        link.outgoing.discard(piece)
                lost = link.pid and not link.work and not self._crew.rests(link)
                if lost or any(piece.task is task for piece in link.work):
                    self._crew.kill(link, blameless=True)

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
            if interrupts(error):
                raise
            from parallel_deco.backends.culprit import explain_batch

            raise explain_batch(piece.task.batch, error) from error

    def _enqueue(self, piece: Piece) -> None:
        self._docket.append(piece)
        try:
            self._grow()
        except (OSError, ParallelError):
            if not self._crew:  # nobody would ever take it
                self._docket.drop_last()
                raise

    def _place(self, piece: Piece, spread: bool, loaded: bool) -> Link | None:
        """Give a piece to a worker that can take it now, to be sent by the caller; under the lock."""
        function = piece.task.function.key
        # If none of those that have loaded it rests, one that is at such work takes it when it is free; or anybody may.
        loaded = loaded and any(link.work and link.work[0].task.function.key == function for link in self._crew)
        link = self._crew.wake_any(function, loaded)
        if link is None:
            link = self._takes_ahead(piece)
        else:
            seat, link.caller = link.slot.seat, here()
            beside = seat.cpu == link.caller >= 0  # they would take turns
            if (spread or beside) and not link.exited.is_set():  # then the number may be another process's
                seat.usher(link.pid)
        if link is not None:
            self._crew.hand(link, piece)
        return link

    def _takes_ahead(self, piece: Piece) -> Link | None:
        """Return a worker with one piece that can have a second one sent ahead; under the lock."""
        if not piece.task.ahead or self._docket.waiting():
            return None
        for link in self._crew:
            if len(link.work) == 1 and not link.killed and link.work[0].task.ahead and self._fits_ahead(link, piece):
                return link
        return None

    def _fits_ahead(self, link: Link, piece: Piece) -> bool:
        """Return whether a piece can be sent to a busy worker at once."""
        ahead = piece.task.ahead and not link.outgoing and not link.errands  # which wait until it has nothing to do
        return ahead and link.fits_ahead(piece, self._surroundings.version)

    def _send(self, link: Link, piece: Piece) -> None:
        try:
            link.send(piece, self._functions, self._surroundings)
        finally:
            link.outgoing.discard(piece)

    def _next(self, link: Link) -> Piece | None:
        """Return what a worker that just finished is to be sent, or let it rest; under the lock."""
        if not self._crew.serves(link):
            return None
        while link.errands and not link.work:
            piece = link.errands.popleft()
            if not piece.task.over:
                self._crew.hand(link, piece)
                return piece
        following = self._docket.next(lambda piece: not link.work or self._fits_ahead(link, piece))
        if following is not None:
            self._crew.hand(link, following)
        elif not link.work:
            self._crew.rest(link)
        return following

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
            pieces = piece.task.failed(piece, error, whole=True)
            self._docket.put_back(pieces)
        self._deliver(piece.task, not pieces)

    # Workers come.

    def _grow(self) -> None:
        """Start workers for what is in the queue; under the lock."""
        waiting = self._docket.waiting()
        if waiting:
            self._crew.grow(self._docket.width, waiting)

    def _read(self, link: Link) -> None:
        """The reader thread of a worker."""
        kinds = {
            HELLO: self._on_hello,
            PART: self._on_part,
            DONE: self._on_done,
            FAILED: self._on_failed,
        }
        said = 0  # the last echo of this worker
        bells = gather()
        try:
            # Where more than one runs, the CPUs have better to do than to wait awake.
            while (frame := link.receive(alert=len(self._docket) <= 1)) is not None:
                if frame.kind == ECHO:
                    said = self._replayer.say(frame.body)
                    continue
                if said:
                    self._replayer.wait(said)
                    said = 0
                kinds[frame.kind](link, frame)
        except BaseException:  # a mistake of ours (or no memory) must not leave callers waiting for ever
            with self._lock:
                self._crew.kill(link)
            raise
        finally:
            try:
                scatter()
            finally:
                del bells
                self._replayer.wait(said)
                self._on_end(link)

    def _on_hello(self, link: Link, frame: Frame) -> None:
        with self._lock:
            self._crew.arrive(link, load(frame.body))
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
        try:
            if following is not None:
                self._send_on(link, following)
        finally:  # whatever was raised there, this one has ended
            self._take_in(piece, frame)

    def _take_in(self, piece: Piece, frame: Frame) -> None:
        """Take in what came of a piece that a worker has run."""
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
            pieces = piece.task.ended(piece, outcomes, received)
            if pieces:
                self._docket.put_back(pieces)
            complete = not pieces and self._docket.close(piece.task)
        if complete:
            self._call_done(piece.task)
        elif pieces:
            self._feed_idle()

    def _on_failed(self, link: Link, frame: Frame) -> None:
        whole, packed = load(frame.body)
        error = unpack_error(packed)
        if whole:
            link.define_again(link.work[0].task.function.key)  # before its work seems done, and more is sent ahead
        elif not isinstance(error, MemoryError):
            from parallel_deco.backends.culprit import explain_arrival

            error = explain_arrival(link.work[0].task.batch, error)
        with self._lock:
            piece = link.work.popleft()
            link.batches += 1
            pieces = piece.task.failed(piece, error, whole)
            self._docket.put_back(pieces)
        self._feed(link)
        self._deliver(piece.task, not pieces)
        self._feed_idle()

    def _deliver(self, task: Task, complete: bool) -> None:
        if not complete:
            return
        with self._lock:
            complete = self._docket.close(task)
        if complete:
            self._call_done(task)

    def _call_done(self, task: Task) -> None:
        try:
            done, result = task.hand_over()
            done(result)
        except Exception:  # a callback of the user's; the reader must go on
            sys.excepthook(*sys.exc_info())

    # Workers go.

    def _cancel(self, task: Task, kill: bool) -> bool:
        with self._lock:
            if task not in self._docket:  # it is over; or, in the child of a fork, the parent's
                return False
            links = [link for link in self._crew if any(piece.task is task for piece in link.work)]
            if links and not kill:
                return False
            self._docket.close(task)
            task.done = nowhere  # it leads to whoever holds the ticket, and the ticket to the task: a circle
            for link in links:
                if link.work[0].task is task:  # a piece that was only sent ahead runs, and is not delivered
                    self._crew.kill(link, blameless=True)  # it may have gone on to the one behind by the time it dies
            return True

    def _on_end(self, link: Link) -> None:
        """Clear up behind a worker that is gone; in its reader thread."""
        exited = link.exited.wait(STATUS_WAIT)
        with self._lock:
            deliver = self._bury(link)
            if not exited:  # its stream was cut while it was at an item, which nobody waits for any more
                self._crew.kill(link)
        link.close()
        for task in deliver:
            self._deliver(task, True)
        self._feed_idle()

    def _bury(self, link: Link) -> list[Task]:
        """Settle what a dead worker had; return the tasks that are complete with it; under the lock."""
        self._crew.remove(link)
        complete = []
        if link.work:
            piece = link.work.popleft()
            found = verdict(link)
            if found.stuck:
                piece.isolate()
            elif link.blameless:
                piece.forgive()
            again: list[Piece] = []
            if not piece.task.over:
                again = piece.task.lost(piece, found.position, partial(found.error, link, piece.task))
                complete += [] if again else [piece.task]
            again += [ahead.again() for ahead in link.work if not ahead.task.over]
            self._docket.put_back(again)
            link.work.clear()
        complete += [errand.task for errand in link.errands if not errand.task.over]
        link.errands.clear()
        if link.failed:
            if self._crew.ready:
                return complete  # they go on; to try again at once would be fork after fork that fails
            if self._crew.note_failed_start():
                complete += self._give_up(partial(did_not_start, link))
        return complete + self._grow_again()

    def _grow_again(self) -> list[Task]:
        """Start workers in place of dead ones; return the tasks that nobody will run any more; under the lock."""
        try:
            self._grow()
        except (OSError, ParallelError) as error:  # no more processes, descriptors, threads
            reason = str(error)
            if not self._crew:  # else the workers that are left go on
                return self._give_up(lambda *_: ParallelError(f"no worker process is left to run this item: {reason}"))
        return []

    def _give_up(self, error: Callable[[Task, int], BaseException]) -> list[Task]:
        """Empty the queue; return its tasks, each of their open items with an error; under the lock."""
        tasks = tasks_of(self._docket.clear())
        for task in tasks:
            task.abandon(partial(error, task), unbegun=True)
        return tasks

    def _feed_idle(self) -> None:
        """Wake workers that rest although there is work again."""
        while True:
            with self._lock:
                link = self._crew.wake_any() if self._docket.waiting() else None
            if link is None:
                return
            self._feed(link)

    # The end.

    def _wind_down(self) -> None:
        """End all workers; once more, for those that the last results of the first round led to."""
        self._end_workers()
        self._end_workers()
        self._replayer.end()

    def _end_workers(self) -> None:
        self._stop_loading()
        with self._lock:
            self._docket.wait_until_empty()
            see_them_off = self._crew.dismiss()
        see_them_off()

    def _kill_all(self) -> None:
        with self._lock:
            at_work = [piece for link in self._crew for piece in (*link.work, *link.errands)]
            tasks = tasks_of([*self._docket.clear(), *at_work])
            for task in tasks:
                task.abandon(
                    lambda _: WorkerDied(
                        "shutdown() ended the workers while this item waited or ran; the next call starts new ones"
                    )
                )
                self._docket.close(task)
            self._crew.kill_all()
        for task in tasks:
            self._call_done(task)

    def _forget(self) -> None:
        """Let go of everything in the child of a fork: it belongs to the parent, whose threads are not here."""
        self._crew.forget()
        self._reset()


def _before_fork() -> None:
    for backend in list(_backends):
        backend._crew.keep_received()


def _after_fork_in_child() -> None:
    for backend in list(_backends):
        backend._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
