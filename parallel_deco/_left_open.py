"""Maps that nobody takes from any more: those left open, and what runs yet of those that were closed."""

from collections.abc import Iterable
from functools import partial
from time import monotonic
from typing import Protocol

from parallel_deco.backends import pools
from parallel_deco.backends.batch import Ticket

__all__ = ["MOMENT", "call_off", "close_left_open", "end_called_off", "note_closed", "note_open"]

#: Seconds that what runs of a closed map has to end by itself: it may be short.
MOMENT = 50e-3


class _Map(Protocol):
    @property
    def consumer(self) -> int:
        """The thread that took from it last."""
        ...

    def close(self, kill: bool = False) -> None:
        """End it, with `kill` also what runs."""
        ...


#: Maps that were begun and not closed, as all are when their iterators go; the exit closes those that are left.
_open: set[_Map] = set()
#: What is running yet of maps that were closed; ended soon, at a shutdown at once.
_called_off: set[Ticket] = set()


def note_open(mapping: _Map) -> None:
    """Note that a map was begun."""
    _open.add(mapping)


def note_closed(mapping: _Map) -> None:
    """Note that it was closed."""
    _open.discard(mapping)


def close_left_open(consumer: int | None) -> None:
    """End the maps that were last taken from, or made, in a thread that will not do so any more."""
    for mapping in list(_open):
        if mapping.consumer == consumer:
            mapping.close(kill=True)


def call_off(tickets: Iterable[Ticket], kill: bool = False) -> None:
    """Have nothing of a closed map begin; what runs is ended, or after a moment, for it may be short."""
    left = [ticket for ticket in tickets if not ticket.cancel(kill=kill) and ticket.kills and not kill]
    if left:
        _called_off.update(left)
        pools.threads().later(monotonic() + MOMENT, partial(end_called_off, left))


def end_called_off(tickets: Iterable[Ticket] | None = None) -> None:
    """End what is running yet of these, or of all maps that were closed a moment ago."""
    for ticket in list(_called_off) if tickets is None else tickets:
        _called_off.discard(ticket)
        ticket.cancel(kill=True)
