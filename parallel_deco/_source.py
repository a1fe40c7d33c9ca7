"""The user's input: an item is pulled once, by whichever thread needs one, under one lock."""

import sys
import threading
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import suppress
from contextvars import Context, copy_context
from operator import attrgetter
from time import perf_counter
from types import WrapperDescriptorType
from typing import Any, NamedTuple

from parallel_deco._errors import note
from parallel_deco._thread_bound import is_thread_bound

__all__ = ["Piece", "Source"]

#: Seconds from which on an item counts as waited for. More than the interpreter's switch interval of 5 ms: a thread
#: that waits for the GIL does not wait for its input.
SLOW = 8e-3
#: Seconds after which a pull ends with fewer items than it was to have, where these are work enough: who is to run them
#: has nothing to do meanwhile.
LONG = 1e-3
#: So many items in a row must come without a wait before they are pulled together again. Guessed.
TRUST = 16
#: Rows of these very types are there, whole.
_ROWS = {tuple, list}


class Piece(NamedTuple):
    """Some consecutive items of the input.

    Parameters
    ----------
    first : int
        The index of its first item in the input.
    items : sequence
    """

    first: int
    items: Sequence[Any]

    def cut(self, size: int, most: int) -> "tuple[list[Piece], Piece | None]":
        """Return pieces of this size, the last one perhaps of less, but no more than so many; and what is left then."""
        first, items = self
        if len(items) <= size and most:
            return [self], None
        whole = min(len(items), size * most)
        pieces = [Piece(first + at, items[at : min(at + size, whole)]) for at in range(0, whole, size)]
        return pieces, Piece(first + whole, items[whole:]) if whole < len(items) else None


class Source:
    """An iterator that many threads pull pieces from.

    Guarantees
    ----------
    `_lock` is held while the user's iterator runs, so it is never entered twice; no other lock of the library is
    held then. `_book` guards the numbering of pieces and is never held while anything of the user's runs. An
    exception of the iterator ends the input: the items before it are delivered, then `error`.

    A pull that has to wait for an item keeps those it has in `_partial`, in the open: `rescue` takes them from there,
    so that an item never waits for one that comes later. The puller only appends to the list, and the rescuer copies
    what there is and then deletes as many from the front, so an item is in exactly one of the two pieces.

    An iterator may be code of the user's, that keeps a context variable set from one item to the next: it always runs
    in the same `context`, a copy of the map's, whichever thread pulls. `_lock` sees to it that only one is in there.

    Items that were pulled and did not run are put back, and are the next to be pulled, whatever else happens: others
    may have come to their end behind them, and the consumer waits for these.
    """

    def __init__(self, iterable: Iterable[Any], length: int | None, prompt: bool = False) -> None:
        # Slices of a sequence cost nothing per item; type() and not isinstance(), a subclass may iterate otherwise.
        self._sequence: Sequence[Any] | None = None
        if _is_plain(iterable):
            self._sequence = iterable  # type: ignore[assignment]  # mypy does not narrow by type()
        self._iterator: Iterator[Any] = iter(iterable)
        self._head: tuple[Any, ...] = ()  # the first item, where no sequence has it
        self.context: Context | None = None if prompt or self._sequence is not None else copy_context()
        self._lock = threading.Lock()
        self._book = threading.Lock()
        self._length = length
        self._partial: list[Any] = []
        self._returned: list[Piece] = []  # in the order of the input
        self._ended = False
        self.prompt = prompt or self._sequence is not None  #: no item has to be waited for
        self.instant = self.prompt  #: nor has any part of one
        self.slow = False  #: an item had to be waited for: they are pulled one by one for a while
        self._prompt_items = 0  # since then
        self._since = 0.0  # when the pull under way began to wait for the next item
        self._drawer = 0  # the thread of that pull
        self.thread_bound = not self.prompt and is_thread_bound(self._iterator)  #: only the consumer may pull
        self._made_in = threading.get_ident()
        self.pulled = 0  #: items that were pulled, for the first time
        self.error: BaseException | None = None

    @classmethod
    def of_rows(cls, rows: Iterable[Iterable[Any]]) -> "Source":
        """Make a source of what `starmap` was given.

        Each row becomes a tuple once, for looking into an iterator empties it.
        """
        kinds: set[type] = set(map(type, rows)) if type(rows) in (list, tuple) else {object}  # 20 ns for each
        prompt = all(map(_holds_its_items, kinds))
        source = cls(map(tuple if kinds <= _ROWS else _row, rows), _length(rows), prompt=prompt)
        source.instant = prompt and kinds <= _ROWS
        if prompt and not source.instant:  # they may be somebody's compiled code
            source.context = copy_context()
        if source.instant and rows:
            source._head = (tuple(rows[0]),)  # type: ignore[index]
        return source

    @classmethod
    def of(cls, iterables: tuple[Iterable[Any], ...]) -> "Source":
        """Make a source of what `map` was given: items, or tuples of items where there are several iterables."""
        if len(iterables) == 1:
            return cls(iterables[0], _length(iterables[0]))
        lengths = [_length(iterable) for iterable in iterables]
        length = None if None in lengths else min(lengths)  # type: ignore[type-var]
        source = cls(zip(*iterables, strict=False), length, prompt=all(map(_is_plain, iterables)))
        if source.prompt and length:
            source._head = (tuple(iterable[0] for iterable in iterables),)  # type: ignore[index]
        return source

    @property
    def left(self) -> int | None:
        """How many items are left to pull; None when the input does not tell."""
        returned = sum(len(piece.items) for piece in self._returned.copy())
        if self._ended:
            return returned
        return None if self._length is None else max(0, self._length - self.pulled) + returned

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to pull; only then, for an input that does not tell its length."""
        if self._returned:
            return False
        sequence = self._sequence  # it may yet grow, as under a plain loop; a range may be too long for `len`
        spent = sequence is not None and self._length is not None and self.pulled >= len(sequence)
        return self._ended or spent

    @property
    def returned(self) -> bool:
        """Whether items were put back that were not pulled again."""
        return bool(self._returned)

    def first(self, most: int = 1) -> tuple[Any, ...]:
        """Return the first item in a tuple, or some more, where looking at it takes nothing away; else an empty one."""
        sequence = self._sequence
        return self._head if sequence is None else tuple(sequence[:most])

    def pull(self, most: int, enough: int | None = None) -> Piece | None:
        """Take up to so many items; None when there are no more, or when they were rescued.

        Where they are long in coming, so many are enough.
        """
        if self._returned and (piece := self._pull_returned(most)) is not None:
            return piece
        if self.is_drawn_by(threading.get_ident(), alone=False):
            raise RuntimeError(
                "the input of a map takes from that map a result that comes after it; take from another map"
            )
        with self._lock:
            if self._ended:
                return None
            if self._sequence is not None:
                items = self._sequence[self.pulled : self.pulled + most]
                self._ended = len(items) < most
                return self._enter(items)
            enough = most if enough is None else enough
            if self.context is None:
                self._draw(most, enough)
            else:
                self.context.run(self._draw, most, enough)
            with self._book:
                items, self._partial = self._partial, []
                return self._number(items)

    def put_back(self, first: int, items: Sequence[Any]) -> None:
        """Take items back that were pulled and did not run."""
        with self._book:
            insort(self._returned, Piece(first, items), key=attrgetter("first"))

    def _pull_returned(self, most: int) -> Piece | None:
        with self._book:
            returned = self._returned  # `end` puts another in its place
            if not returned:  # another thread was faster
                return None
            first, items = returned[0]
            if len(items) > most:
                returned[0] = Piece(first + most, items[most:])
            else:
                del returned[0]
            return Piece(first, items[:most])

    def rescue(self) -> Piece | None:
        """Take items that were put back, or else those that a pull has drawn so far while it waits for the next."""
        if self._returned and (piece := self._pull_returned(sys.maxsize)) is not None:
            return piece
        if perf_counter() - self._since < SLOW:
            return None
        with self._book:
            items = self._partial[:]
            del self._partial[: len(items)]
            if items:
                self._doubt()
            return self._number(items)

    def is_drawn_by(self, thread: int, alone: bool = True) -> bool:
        """Whether this thread is drawing the next item; `alone`: and there is none before it that could be rescued."""
        return self._drawer == thread and not (alone and (self._partial or self._returned))

    def _doubt(self) -> None:
        self.slow = True
        self._prompt_items = 0

    def _draw(self, most: int, enough: int) -> None:
        partial = self._partial
        self._since = before = began = perf_counter()
        self._drawer = threading.get_ident()
        try:
            for _ in range(1 if self.slow else most):
                if self._ended:  # the map was closed
                    return
                partial.append(next(self._iterator))
                self._since = now = perf_counter()
                if now - before > SLOW:
                    self._doubt()
                    return
                if now - began > LONG and len(partial) >= enough:
                    break
                before = now
            if self.slow:
                self._prompt_items += 1
                self.slow = self._prompt_items < TRUST
        except StopIteration:
            self._ended = True
        except BaseException as error:
            self._ended = True
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise  # the user's, and not the input's
            if threading.get_ident() != self._made_in:
                _note_thread(error)
            self.error = error
        finally:
            self._drawer = 0

    def _enter(self, items: Sequence[Any]) -> Piece | None:
        with self._book:
            return self._number(items)

    def _number(self, items: Sequence[Any]) -> Piece | None:
        if not items:
            return None
        piece = Piece(self.pulled, items)
        self.pulled += len(items)
        return piece

    def lend(self) -> Iterator[Any] | None:
        """Give the input itself away until `take_back`, to be drawn from in `context`; None when it has ended.

        Nobody may pull meanwhile.
        """
        with self._lock:
            if self._ended:
                return None
            if self._sequence is not None:
                self._iterator = iter(self._sequence)
                self._iterator.__setstate__(self.pulled)  # type: ignore[attr-defined]  # all three have it
            return self._iterator

    def take_back(self, drawn: int, exhausted: bool) -> None:
        """Go on behind what was drawn."""
        with self._book:
            self.pulled += drawn
            self._ended = self._ended or exhausted

    def end(self) -> None:
        """Pull nothing more, and let go of the input, unless somebody is in it now."""
        self._ended = True
        self._returned = []
        if self._lock.acquire(blocking=False):
            self._iterator = iter(())
            self._sequence = None
            self._head = ()
            self._lock.release()


def _note_thread(error: BaseException) -> None:
    """Say that an input was drawn from in another thread than that of the map, if that may be what it does not bear."""
    with suppress(Exception):  # a __str__ of the user's
        if "thread" in str(error):
            note(error, "the input of a map is drawn from in any thread: pass a list of its items, or take 'serial'")


def _holds_its_items(kind: type) -> bool:
    """Whether what an object of this type consists of is there, and no code in Python is asked for it."""
    return hasattr(kind, "__len__") and type(getattr(kind, "__iter__", None)) is WrapperDescriptorType


def _row(given: Iterable[Any]) -> tuple[Any, ...]:
    """Return the arguments of a call."""
    try:
        items = iter(given)
    except TypeError as error:
        error.add_note("each item of starmap's input is a tuple of arguments; for one argument there is map")
        raise
    return tuple(items)


def _is_plain(iterable: object) -> bool:
    return type(iterable) in (list, tuple, range)


def _length(iterable: Iterable[Any]) -> int | None:
    try:
        return len(iterable) if isinstance(iterable, Sized) else None
    except Exception:  # it wraps something that has none, as a tqdm over a generator does
        return None
