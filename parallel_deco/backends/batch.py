"""The unit that every backend runs, the one function that runs it, and what comes back."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from math import inf
from time import thread_time

from parallel_deco._nesting import place
from parallel_deco._readings import UNREAD, Readings, Stopwatch, begin_unmeasured, end_unmeasured

# Worker processes load this: `typing` and `dataclasses` would double the time of their start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Context
    from types import TracebackType
    from typing import Any, ClassVar, Protocol

    from parallel_deco._iterator import Patient
    from parallel_deco._turns import Turn
else:
    Protocol = object

__all__ = ["SHAPES", "Batch", "BatchResult", "Done", "Patience", "Shape", "Ticket", "nowhere", "run_batch"]

#: Seconds that a batch may take, and for each item that has ended.
Patience = tuple[float, float]


class Shape(int):
    """How an item becomes a call; no `enum`, which takes 5 ms to import."""

    ONE: ClassVar[Shape]  #: function(item)
    STAR: ClassVar[Shape]  #: function(*item)
    CALL: ClassVar[Shape]  #: function(*item[0], **item[1])


SHAPES = Shape.ONE, Shape.STAR, Shape.CALL = Shape(0), Shape(1), Shape(2)


class Batch:
    """Some items for one function, to be run in one place: one after the other, or so many `abreast`.

    Parameters
    ----------
    function : callable
        The bare function.
    items : sequence
        What to call it with, as `shape` says.
    shape : Shape
    first : int
        The index of the first item in the user's input.
    context : contextvars.Context or None
        The items run in a copy of it.
    depth : int
        How deep in parallel work the items run.
    keep_going : bool
        Run the items after one that raised.
    watch : bool
        Have the sampler look.
    timeout : float or None
        Seconds that each item may take.
    careful : bool
        Tell time without a CPU from waiting; 3 µs more, for all but the shortest calls.
    turn : callable or None
        Gives the turn of this batch, if its calls must not run at the same time as others.
    patience : tuple of float or None
        Seconds, and seconds for each item that has ended, after which no further one begins: the others have no outcome
        then, and may run elsewhere.
    measured : bool
        Read the clocks. Without, the readings are of no items.
    heeds_signals : bool
        It runs in the user's own thread: Ctrl-C ends it, also where it is to keep going.

    Attributes
    ----------
    abreast : int
        How many of its items a worker process runs at the same time, which wait most of the time.
    widens : bool
        Whether that may be more of them, should they wait and not compute.
    beside : int
        How many batches of the same work ran when it began, itself included.
    """

    __slots__ = (
        "abreast",
        "beside",
        "careful",
        "context",
        "depth",
        "first",
        "function",
        "heeds_signals",
        "items",
        "keep_going",
        "measured",
        "patience",
        "patient",
        "runner",
        "shape",
        "stopped",
        "stopwatch",
        "timeout",
        "turn",
        "watch",
        "widens",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        items: Sequence[Any],
        shape: Shape = Shape.ONE,
        first: int = 0,
        context: Context | None = None,
        depth: int = 0,
        keep_going: bool = False,
        watch: bool = False,
        timeout: float | None = None,
        careful: bool = True,
        turn: Callable[[Batch], Turn | None] | None = None,
        patience: Patience | None = None,
        measured: bool = True,
        heeds_signals: bool = False,
    ) -> None:
        self.function = function
        self.items = items
        self.shape = shape
        self.first = first
        self.context = context
        self.depth = depth
        self.keep_going = keep_going
        self.watch = watch
        self.timeout = timeout
        self.careful = careful
        self.turn = turn
        self.patience = patience
        self.measured = measured
        self.heeds_signals = heeds_signals
        self.abreast = 1
        self.widens = False
        self.beside = 1
        self.patient: Patient | None = None  # its items, while they run in this process
        self.stopped = False
        self.stopwatch: Stopwatch | None = None
        self.runner = 0  # the thread that has begun to run it, if that is one of this process

    def stop(self) -> None:
        """Have no further item begin: nobody wants to know; of one that runs in this process."""
        self.stopped = True
        patient = self.patient
        if patient is not None:
            patient.stop()

    def rest(self, start: int) -> Batch:
        """Return a batch of the items from a position on, without the timeout and the turns of this one."""
        return Batch(
            self.function,
            self.items[start:],
            self.shape,
            self.first + start,
            self.context,
            self.depth,
            self.keep_going,
            self.watch,
            careful=self.careful,
            patience=self.patience,
            measured=self.measured,
        )

    @property
    def clock(self) -> Callable[[], float]:
        """What tells how long moving it takes: the thread's CPU time, which is a call of the system's, or nothing."""
        return thread_time if self.measured else float


class BatchResult:
    """What became of a batch.

    Parameters
    ----------
    values : list
        The results in the order of the items; None where `errors` has the position. Shorter than the items when
        an item raised and the batch was not to keep going: then the last position is that item's; or when the batch's
        patience was at its end.
    errors : dict of int to BaseException
        By position in the batch.
    readings : Readings
    unbegun : collection of int
        The positions with an error that no worker could begin with: nothing of the user's function ran for them.
    """

    __slots__ = ("errors", "readings", "unbegun", "values")

    def __init__(
        self,
        values: list[Any],
        errors: dict[int, BaseException],
        readings: Readings,
        unbegun: Collection[int] = (),
    ) -> None:
        self.values = values
        self.errors = errors
        self.readings = readings
        self.unbegun = unbegun

    def __repr__(self) -> str:
        """Show all three."""
        return f"BatchResult(values={self.values!r}, errors={self.errors!r}, readings={self.readings!r})"


Done = Callable[[BatchResult], object]


def nowhere(result: BatchResult) -> None:
    """Deliver nothing: in the place of a `done` that was called."""


class Ticket(Protocol):
    """A started batch, to be called off.

    `kills`: whether `cancel(kill=True)` ends one that runs.
    """

    kills: bool

    def cancel(self, kill: bool = False) -> bool:
        """Call the batch off; return whether it will not run to its end, and then `done` is never called.

        A batch that is already running is only ended with `kill`, on a backend that can.
        """
        ...


def run_batch(
    batch: Batch,
    values: list[Any] | None = None,
    errors: dict[int, BaseException] | None = None,
    items: Iterable[Any] | None = None,
) -> BatchResult:
    """Run a batch here, whatever "here" is: the one place in which user code is called by a route.

    Parameters
    ----------
    batch : Batch
    values, errors : list and dict, optional
        Empty; filled as the items run, for who wants to look at them meanwhile.
    items : iterable, optional
        The batch's items, for who wants to hear of each that is about to run, or to end the batch early.

    Returns
    -------
    BatchResult
        Exceptions of items, KeyboardInterrupt and SystemExit included, are in its `errors`.

    Notes
    -----
    About 3 µs a batch, 6 more when watched, and nothing per item over the loop itself.
    """
    values = [] if values is None else values
    errors = {} if errors is None else errors
    if batch.patience is not None or (items is None and len(batch.items) > 1):
        items = _patient(batch, batch.items if items is None else items)
    elif items is None:
        items = batch.items
    turn = batch.turn(batch) if batch.turn is not None else None
    if turn is None:
        return _run_batch(batch, iter(items), values, errors)
    with turn:
        return _run_batch(batch, iter(items), values, errors)


def _patient(batch: Batch, items: Iterable[Any]) -> Iterator[Any]:
    """Return the items of a batch, to be ended early."""
    from parallel_deco._iterator import Patient  # not in a worker, who has `items` that see to it

    patient = Patient(iter(items), *(batch.patience or (inf, 0.0)))
    batch.patient = patient
    if batch.stopped:  # before there was one
        patient.stop()
    return patient


def _run_batch(batch: Batch, items: Iterator[Any], values: list[Any], errors: dict[int, BaseException]) -> BatchResult:
    before, watch = place.depth, None
    try:
        place.depth = batch.depth
        batch.runner = get_ident()
        if batch.measured:
            batch.stopwatch = watch = Stopwatch(batch.watch, batch.careful)
        else:
            begin_unmeasured()
        run = _LOOPS[batch.shape]
        context = batch.context
        if context is None:
            _run_items(run, batch, items, values, errors)
        else:
            batch.context = copied = context.copy()  # it shows afterwards whether an item changed anything in it
            copied.run(_run_items, run, batch, items, values, errors)
    finally:
        place.depth = before  # first, and with no call, before which Ctrl-C might be heeded
        batch.patient = None
        if watch is None:
            end_unmeasured()
            readings = UNREAD
        else:
            readings = watch.stop(len(values))
    return BatchResult(values, errors, readings)


def _run_items(
    run: Callable[..., None], batch: Batch, items: Iterator[Any], values: list[Any], errors: dict[int, BaseException]
) -> None:
    """Run all items into `values`; a loop that raised goes on behind the item that did."""
    while True:
        try:
            run(batch.function, items, values)
            return
        except BaseException as error:
            errors[len(values)] = error.with_traceback(_below(error.__traceback__))
            values.append(None)
            if not batch.keep_going or (batch.heeds_signals and isinstance(error, KeyboardInterrupt)):
                return


def _below(traceback: TracebackType | None) -> TracebackType | None:
    """Drop the two frames of this module: they tell the user nothing, and would tie the error to itself."""
    for _ in range(2):
        traceback = traceback.tb_next if traceback is not None else None
    return traceback


# A loop with a plain append is as fast as the list comprehension, and keeps what it has when an item raises.
def _loop_one(function: Callable[..., Any], items: Iterator[Any], values: list[Any]) -> None:
    for item in items:
        values.append(function(item))


def _loop_star(function: Callable[..., Any], items: Iterator[Any], values: list[Any]) -> None:
    for item in items:
        values.append(function(*item))


def _loop_call(function: Callable[..., Any], items: Iterator[Any], values: list[Any]) -> None:
    for args, kwargs in items:
        values.append(function(*args, **kwargs))


_LOOPS = {Shape.ONE: _loop_one, Shape.STAR: _loop_star, Shape.CALL: _loop_call}
