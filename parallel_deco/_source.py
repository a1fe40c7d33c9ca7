"""The user's input: an item is pulled once, by whichever thread needs one, under one lock."""

import threading
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

__all__ = ["Piece", "Source"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some consecutive items of the input.

    Parameters
    ----------
    order : int
        0 for the first piece pulled, then 1, …
    first : int
        The index of its first item in the input.
    items : sequence
    """

    order: int
    first: int
    items: Sequence[Any]


class Source:
    """An iterator that many threads pull pieces from.

    Guarantees
    ----------
    `_lock` is held while the user's iterator runs, so it is never entered twice; no other lock of the library is
    held then. An exception of the iterator ends the input: the items before it are delivered, then `error`.
    """

    def __init__(self, iterable: Iterable[Any], length: int | None) -> None:
        # Slices of a sequence cost nothing per item; type() and not isinstance(), a subclass may iterate otherwise.
        self._sequence: Sequence[Any] | None = None
        if type(iterable) in (list, tuple, range):
            self._sequence = iterable  # type: ignore[assignment]  # mypy does not narrow by type()
        self._iterator: Iterator[Any] = iter(iterable)
        self._lock = threading.Lock()
        self._length = length
        self._pieces = 0
        self.pulled = 0  #: items that were pulled
        self.exhausted = False
        self.error: BaseException | None = None

    @classmethod
    def of_rows(cls, iterable: Iterable[Iterable[Any]]) -> "Source":
        """Make a source of what `starmap` was given: each row becomes a tuple once, for looking into an iterator empties it."""
        return cls(map(tuple, iterable), _length(iterable))

    @classmethod
    def of(cls, iterables: tuple[Iterable[Any], ...]) -> "Source":
        """Make a source of what `map` was given: items, or tuples of items where there are several iterables."""
        lengths = [_length(iterable) for iterable in iterables]
        length = None if None in lengths else min(lengths)  # type: ignore[type-var]
        return cls(iterables[0] if len(iterables) == 1 else zip(*iterables, strict=False), length)

    @property
    def left(self) -> int | None:
        """How many items are left to pull; None when the input does not tell."""
        if self.exhausted:
            return 0
        return None if self._length is None else max(0, self._length - self.pulled)

    def pull(self, most: int) -> Piece | None:
        """Take up to so many items; None when there are no more."""
        with self._lock:
            if self.exhausted:
                return None
            items = self._next(most)
            if len(items) < most:
                self.exhausted = True
            if not items:
                return None
            piece = Piece(self._pieces, self.pulled, items)
            self._pieces += 1
            self.pulled += len(items)
            return piece

    def peek(self) -> tuple[Any, ...]:
        """Return the next item in a tuple, without taking it; an empty tuple when there is none."""
        with self._lock:
            if self.exhausted or self._sequence is not None:
                return tuple(self._sequence[self.pulled : self.pulled + 1]) if self._sequence is not None else ()
            head = self._next(1)
            if head:
                self._iterator = chain(head, self._iterator)
            else:
                self.exhausted = True
            return tuple(head)

    def lend(self) -> Iterator[Any] | None:
        """Give the input itself away until `take_back`; nobody may pull meanwhile. None when it has ended."""
        with self._lock:
            if self.exhausted:
                return None
            if self._sequence is not None:
                self._iterator = iter(self._sequence)
                self._iterator.__setstate__(self.pulled)  # type: ignore[attr-defined]  # all three have it
            return self._iterator

    def take_back(self, drawn: int, exhausted: bool) -> None:
        """Go on behind what was drawn."""
        with self._lock:
            self.pulled += drawn
            self.exhausted = self.exhausted or exhausted

    def _next(self, most: int) -> Sequence[Any]:
        if self._sequence is not None:
            return self._sequence[self.pulled : self.pulled + most]
        items: list[Any] = []
        try:
            items.extend(islice(self._iterator, most))
        except BaseException as error:
            self.error = error
            self.exhausted = True
        return items

    def end(self) -> None:
        """Pull nothing more."""
        self.exhausted = True


def _length(iterable: Iterable[Any]) -> int | None:
    return len(iterable) if isinstance(iterable, Sized) else None
