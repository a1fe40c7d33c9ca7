"""A batch on its way through workers: what was reported of it, and what must run again when a worker died."""

from __future__ import annotations

from collections.abc import Callable

from parallel_deco._errors import NotPicklableError, RemoteError
from parallel_deco._readings import UNREAD, Readings
from parallel_deco.backends.batch import Batch, BatchResult, Done, nowhere
from parallel_deco.backends.contexts import pack
from parallel_deco.backends.functions import Travelling
from parallel_deco.backends.outcomes import Outcomes
from parallel_deco.backends.payload import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Piece", "Task", "report"]

#: How often work may be lost in a worker that died before it began with an item; then items go alone, and are blamed.
_STRAYS = 2


class Piece:
    """Consecutive items of a task that go to one worker together; the whole batch, unless a worker died.

    Parameters
    ----------
    task : Task
    start, stop : int
        Positions in the batch.
    strays : int
        How often it was lost in a worker that had not begun with it.
    """

    __slots__ = ("body", "buffers", "errors", "moved", "sent", "start", "stop", "strays", "task", "values")

    def __init__(self, task: Task, start: int, stop: int, strays: int = 0) -> None:
        self.task = task
        self.start = start
        self.stop = stop
        self.strays = strays
        self.body: bytes | None = None
        self.buffers: list[memoryview] = []
        self.values: list[Any] = []
        self.errors: dict[int, BaseException] = {}
        self.moved = 0.0
        self.sent = 0

    def __len__(self) -> int:
        return self.stop - self.start

    def pack(self) -> None:
        """Pickle it, unless it is.

        Raises
        ------
        Exception
            Whatever the picklers raise.
        """
        if self.body is not None:
            return
        batch = self.task.batch
        clock = batch.clock
        began = clock()
        items = batch.items
        patience, abreast, widens = batch.patience, batch.abreast, batch.widens
        if self.stop - self.start != len(items):
            patience, abreast, widens = None, 1, False
            items = items[self.start : self.stop]
        elif type(items) not in (list, tuple):
            items = list(items)
        message = (
            self.task.function.key,
            int(batch.shape),
            batch.first + self.start,
            batch.depth,
            batch.keep_going,
            batch.watch,
            batch.careful,
            patience,
            abreast,
            widens,
            pack(batch.context),
            items,
        )
        self.body = dump(message, self.buffers)
        self.sent = len(self.body) + (sum(map(len, self.buffers)) if self.buffers else 0)
        self.moved = clock() - began

    def again(self) -> Piece:
        """Return the same to be sent once more: whoever is sending this one may still be about to drop its pickle."""
        return Piece(self.task, self.start, self.stop, self.strays)

    def isolate(self) -> None:
        """Have its items go alone from here on, and be blamed: some item's argument or result is at fault."""
        self.strays = _STRAYS

    def forgive(self) -> None:
        """Have its next loss count for nothing: it has no part in it."""
        self.strays -= 1

    def drop_payload(self) -> None:
        """Forget the pickle: it was sent, or will not be."""
        self.body = None
        self.buffers = []


#: In the place of a value: the item has no outcome yet.
_OPEN = object()
#: In the place of a batch whose result was handed over.
_GONE = Batch(nowhere, ())


class Task:
    """A started batch.

    Parameters
    ----------
    batch : Batch
    done : callable
        Gets the result, once.
    function : Travelling
    ahead : bool
        It may be sent to a worker that is still busy with another.
    width : int
        The most workers that may exist for it.

    Notes
    -----
    The pool's lock guards everything in here. Each item gets exactly one outcome: a position is written by the one
    piece that holds it, and pieces of a task never overlap. One of them is with a worker, or waits for one; the others
    come after it: the batch has one place, whatever became of it.
    """

    __slots__ = (
        *("_later", "ahead", "batch", "done", "errors", "function", "over", "readings", "unbegun", "values", "width"),
    )

    def __init__(self, batch: Batch, done: Done, function: Travelling, ahead: bool, width: int) -> None:
        self.batch = batch
        self.done = done
        self.function = function
        self.ahead = ahead
        self.width = width
        self.over = False  # delivered or called off
        self.values: list[Any] | None = None
        self.errors: dict[int, BaseException] = {}
        self.readings: Readings | None = None
        self.unbegun: set[int] = set()
        self._later: list[Piece] = []  # the next one last

    def whole(self) -> Piece:
        """Return the piece that is the whole batch."""
        return Piece(self, 0, len(self.batch.items))

    def ended(self, piece: Piece, last: Outcomes, received: int) -> list[Piece]:
        """Take in what a worker reported at a piece's end, in so many bytes; return what is next, if anything."""
        self._note(piece, last.readings, received)
        report(piece, last)
        missing, whole = len(piece) - len(piece.values), len(piece) == len(self.batch.items)
        stopped = not self.batch.keep_going and piece.errors
        if whole and not (missing and (stopped or self.batch.patience is None)):
            self.values, self.errors = piece.values, piece.errors
            return self._following()
        if missing > 0 and not stopped:  # a signal handler of the user's that raised between two items
            for position in range(len(piece.values), len(piece)):
                piece.errors[position] = RemoteError("the worker stopped in the middle of a batch")
            piece.values += [None] * missing
        self._keep(piece)
        return self._following()

    def failed(self, piece: Piece, error: BaseException, whole: bool) -> list[Piece]:
        """Take in that a worker could not begin with a piece; return what to try next, nothing at the end.

        Parameters
        ----------
        piece : Piece
        error : BaseException
        whole : bool
            It is the function's fault; otherwise some argument's, and the items are tried one by one.
        """
        if len(piece) > 1 and not whole:
            return self._split(piece, [(at, at + 1) for at in range(piece.start, piece.stop)], 0)
        for position in range(len(piece)):
            piece.errors[position] = error
        self.unbegun.update(range(piece.start, piece.stop))
        piece.values = [None] * len(piece)
        self._keep(piece)
        return self._following()

    def lost(self, piece: Piece, position: int | None, error: Callable[[int], BaseException]) -> list[Piece]:
        """Take in that a worker died with a piece; return what must run next, nothing at the end.

        Parameters
        ----------
        piece : Piece
        position : int or None
            The item that the worker was at, counted in the piece; None when it was at none.
        error : callable
            Makes the error for an item's position in the batch.
        """
        reported = len(piece.values)
        if position is not None and not reported <= position < len(piece):  # it had just reported this, or had none
            position = None
        self._keep(piece)
        rest = piece.start + reported, piece.stop
        if position is None:
            return self._astray(piece, rest, error)
        culprit = piece.start + position
        self._fail(culprit, error(culprit))
        parts = [(rest[0], culprit)]
        if self.batch.keep_going:
            parts.append((culprit + 1, rest[1]))
        return self._split(piece, parts, piece.strays)

    def abandon(self, error: Callable[[int], BaseException], unbegun: bool = False) -> None:
        """Give every item that has no outcome yet this error: nobody will run it; or no worker, if `unbegun`."""
        for position in range(len(self.batch.items)):
            if self.values is None or self.values[position] is _OPEN:
                self._fail(position, error(position))
                if unbegun:
                    self.unbegun.add(position)

    def _fail(self, position: int, error: BaseException) -> None:
        if self.values is None:
            self.values = [_OPEN] * len(self.batch.items)
        self.values[position] = None
        self.errors[position] = error

    def _astray(self, piece: Piece, rest: tuple[int, int], error: Callable[[int], BaseException]) -> list[Piece]:
        start, stop = rest
        if piece.strays < _STRAYS:
            parts = [rest]
        elif stop - start > 1:
            parts = [(at, at + 1) for at in range(start, stop)]
        else:
            parts = []
            if stop > start:
                self._fail(start, error(start))
        return self._split(piece, parts, piece.strays + 1)

    def _split(self, piece: Piece, parts: list[tuple[int, int]], strays: int) -> list[Piece]:
        pieces = [Piece(self, start, stop, strays) for start, stop in parts if stop > start]
        self._later += reversed(pieces)
        return self._following()

    def _following(self) -> list[Piece]:
        """Return the piece that comes after the one that is over, if there is one."""
        return [self._later.pop()] if self._later else []

    def _keep(self, piece: Piece) -> None:
        """Put a piece's outcomes where they belong."""
        if self.values is None and len(piece) == len(self.batch.items) and len(piece.values) == len(piece):
            self.values, self.errors = piece.values, piece.errors
            return
        if self.values is None:
            self.values = [_OPEN] * len(self.batch.items)
        self.values[piece.start : piece.start + len(piece.values)] = piece.values
        self.errors.update((piece.start + position, error) for position, error in piece.errors.items())

    def _note(self, piece: Piece, readings: Readings | None, received: int) -> None:
        if readings is None:
            return
        # Libraries that are parallel inside are held to one thread in a worker: its process CPU time says nothing.
        seen = readings._replace(moved=piece.moved, sent=piece.sent, received=received, process_cpu=0.0)
        self.readings = seen if self.readings is None else self.readings.plus(seen)

    def hand_over(self) -> tuple[Done, BatchResult]:
        """Return what to call with what, and keep nothing of either.

        A ticket refers to its task, and what is called usually to the ticket: without this, arguments and results
        would stay until the garbage collector finds the circle.
        """
        result, done = self.result(), self.done
        self.values, self.errors = None, {}
        self.batch, self.done = _GONE, nowhere
        return done, result

    def result(self) -> BatchResult:
        """Return what became of the batch; when it is complete.

        One that does not keep going ends at the first item that failed; not at those that no worker could begin with,
        or whose results could not come back: behind these others have run.
        """
        values, errors = self.values or [], self.errors
        if errors and not self.batch.keep_going:
            failed = {position for position, error in errors.items() if not isinstance(error, NotPicklableError)}
            end = min(failed - self.unbegun, default=len(values)) + 1
            end = next((position for position, value in enumerate(values[:end]) if value is _OPEN), end)
            values = values[:end]
            errors = {position: error for position, error in errors.items() if position < end}
        unbegun = self.unbegun & errors.keys()
        return BatchResult(values, errors, self.readings or UNREAD, unbegun)


def report(piece: Piece, outcomes: Outcomes) -> None:
    """Take in outcomes that a worker reported."""
    before = len(piece.values)
    if before:
        piece.values += outcomes.values
        piece.errors.update((before + position, error) for position, error in outcomes.errors.items())
    else:
        piece.values, piece.errors = outcomes.values, outcomes.errors
