"""The pieces of a map on their way from the input to the user's hand: arithmetic, no clock and no lock."""

from collections.abc import Collection
from typing import Any

from parallel_deco.backends.batch import Batch, BatchResult, Ticket

__all__ = ["Pending"]

#: Results that are handed out together if they have come, about; and of how many that are under way they are one, at
#: most: until they are taken they have their places in the window, and workers would have nothing to do meanwhile.
HANDFUL, PART = 64, 4


class Pending:
    """What was pulled, or is about to be, and was not taken.

    Parameters
    ----------
    ordered : bool
        Whether results are taken in the order of the input.

    Attributes
    ----------
    aloft : int
        Items in flight.
    in_threads : int
        Batches in flight in threads of this process.
    here : bool
        Whether the consumer runs one of those in flight, or is about to.
    reserved : int
        Batches about to be pulled.
    outstanding : int
        Items about to be pulled, in flight, or not taken.
    taken : int
        Items that were.
    size : int
        Of the last batch for which room was made; less, where one ended early.

    Notes
    -----
    The map's lock guards it. A piece that was pulled flies until its result has come, and that is kept until the user
    takes it.
    """

    __slots__ = (
        *("_batches", "_come", "_flying", "_handed", "_lengths", "_next", "_ordered"),
        *("aloft", "here", "in_threads", "outstanding", "reserved", "size", "taken"),
    )

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._flying: dict[int, Ticket | None] = {}  # by the index of their first item
        self._lengths: dict[int, int] = {}  # in items
        self._batches: dict[int, Batch] = {}  # of those that fly, as soon as they are made
        self._come: dict[int, tuple[Batch, BatchResult]] = {}
        self._handed = 0  # items in the list that the user is taking from
        self._next = 0  # the item whose result the user takes next
        self.aloft = 0
        self.in_threads = 0
        self.here = False
        self.reserved = 0
        self.outstanding = 0
        self.taken = 0
        self.size = 0

    @property
    def flying(self) -> int:
        """How many batches are."""
        return len(self._flying)

    @property
    def running(self) -> int:
        """How many batches are flying or about to be."""
        return len(self._flying) + self.reserved

    @property
    def nothing(self) -> bool:
        """Whether no result is to come, nor to be taken."""
        return not (self._flying or self.reserved or self._come)

    @property
    def untaken(self) -> int:
        """How many results the user has not in hand, as far as their items were pulled, or are about to be."""
        return self.outstanding - self._handed

    @property
    def due(self) -> bool:
        """Whether there is something to take, or nothing to wait for."""
        return self._next in self._come or not self._ordered or not self._flying

    def is_run_by(self, thread: int, waiting: Collection[int] = ()) -> bool | None:
        """Whether what is to be taken next is run by this thread; None where nothing that was pulled will be it.

        Where any result may be the next, it is one of this thread's also if all others are run by those `waiting`.
        """
        if self._ordered:
            if self._next not in self._flying:
                return False if self._next in self._come else None
            batch = self._batches.get(self._next)
            return batch is not None and batch.runner == thread
        if self._come or not self._flying:
            return False if self._come else None
        known = len(self._batches) == self.running
        runners = {batch.runner for batch in self._batches.values()}
        return known and thread in runners and runners <= {thread, *waiting}

    # From the input

    def reserve(self, size: int, batches: int = 1) -> None:
        """Make room for so many batches of one size that are about to be pulled."""
        self.size = size
        self.reserved += batches
        self.outstanding += size * batches

    def pulled(self, size: int, batches: int, items: int) -> None:
        """Note that so many items came, of those that room was made for."""
        self.reserved -= batches
        self.outstanding -= size * batches - items

    def rescued(self, items: int) -> None:
        """Note that so many items came for which no room was made."""
        self.outstanding += items

    def put_back(self, items: int) -> None:
        """Note that so many went back to the input."""
        self.outstanding -= items

    def cut_short(self, begun: int, left: int) -> None:
        """Note that a batch ended after so many items, and the others went back: the next one is to be no longer."""
        self.put_back(left)
        self.size = min(self.size, begun)

    # In flight

    def take_off(self, first: int, items: int = 1) -> None:
        """Have a piece of so many items fly."""
        self._flying[first] = None
        self._lengths[first] = items
        self.aloft += items

    def fly(self, batch: Batch) -> None:
        """Know the batch that was made of a piece, and have it know beside how many it runs."""
        batch.beside = len(self._flying)
        if batch.first in self._flying:
            self._batches[batch.first] = batch

    def hold(self, first: int, ticket: Ticket | None) -> None:
        """Keep the ticket of a piece, unless its result has come meanwhile."""
        if first in self._flying:
            self._flying[first] = ticket
            self.in_threads += _in_thread(ticket)

    def land(self, first: int) -> None:
        """Note that a piece does not fly any more."""
        self.in_threads -= _in_thread(self._flying.pop(first, None))
        self._batches.pop(first, None)
        self.aloft -= self._lengths.pop(first, 0)

    def keep(self, first: int, batch: Batch, result: BatchResult) -> None:
        """Keep a result until it is taken."""
        self._come[first] = batch, result

    # To the user

    def pop(self) -> tuple[Batch, BatchResult] | None:
        """Hand out the next result, if it has come."""
        if not self._come:
            return None
        arrived = self._come.pop(self._next if self._ordered else next(iter(self._come)), None)
        if arrived is not None:
            self._handed = len(arrived[0].items)
            self._next += self._handed
            self._count_taken(1)  # the first is as good as taken, the others count as not taken until the next list
        return arrived

    def pop_along(self, values: list[Any]) -> None:
        """Hand out some results more that have come, by adding them to those that are handed out; none with errors."""
        come = self._come
        most = min(HANDFUL, self.outstanding // PART)
        while come and len(values) < most:
            first = self._next if self._ordered else next(iter(come))
            arrived = come.get(first)
            if arrived is None or arrived[1].errors:
                return
            del come[first]
            values += arrived[1].values
            items = len(arrived[0].items)
            self._handed += items
            self._next += items

    def count_handed(self) -> None:
        """Note that the user has taken all of what was handed out."""
        self._count_taken(self._handed)

    def _count_taken(self, count: int) -> None:
        self._handed -= count
        self.outstanding -= count
        self.taken += count

    def skip(self, items: int) -> None:
        """Note that so many went past all this, from the input to the user."""
        self._next += items

    def clear(self) -> tuple[list[Ticket], object]:
        """Forget all; return the tickets of what flies, and what has come: users' code may run when that goes.

        What runs in this process begins no further item.
        """
        for batch in self._batches.values():
            batch.stop()
        tickets = [ticket for ticket in self._flying.values() if ticket is not None]
        come, self._come = self._come, {}
        self._flying.clear()  # what is called off leads to the map
        self._lengths.clear()
        self.aloft = self.in_threads = 0
        self._batches.clear()
        return tickets, come


def _in_thread(ticket: Ticket | None) -> bool:
    return ticket is not None and not ticket.kills
