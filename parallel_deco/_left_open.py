"""What nobody waits for: maps left open, what runs yet of those that were closed, daemon threads at the exit."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from functools import partial
from time import monotonic
from weakref import WeakValueDictionary

from parallel_deco._nesting import depth
from parallel_deco.backends import pools
from parallel_deco.backends.batch import Ticket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

__all__ = [
    "MOMENT",
    "begin_exit",
    "call_off",
    "close_left_open",
    "end_called_off",
    "note_closed",
    "note_open",
    "turn_away",
]

#: Seconds that what runs of a closed map has to end by itself: it may be short.
MOMENT = 50e-3


class _Map(Protocol):
    @property
    def consumer(self) -> int:
        """The thread that took from it last."""
        ...

    def give_up(self) -> None:
        """End it and what runs of it, and the thread that takes from it yet."""
        ...


#: Maps that were begun and not closed, as all are when their iterators go; the exit closes those that are left. Held
#: weakly: what the user has may lead from a map to its iterator.
_open: WeakValueDictionary[int, _Map] = WeakValueDictionary()
#: What is running yet of maps that were closed; ended soon, at a shutdown at once.
_called_off: set[Ticket] = set()
_exiting = False


def begin_exit() -> None:
    """Hear that the interpreter's exit has begun, which waits for work that is under way."""
    global _exiting
    _exiting = True


def turn_away() -> None:
    """End a daemon thread of the user's that begins something at the exit, which would wait for one after the other.

    And refuse what begins after it, in a `__del__` say.

    Raises
    ------
    SystemExit
        That ends a thread in silence, as the interpreter itself does a moment later.
    RuntimeError
        The interpreter is past its exit, and clears up: there are no threads any more, and nobody waits for any.
    """
    if not _exiting or depth():
        return
    if sys.is_finalizing():
        raise RuntimeError("the interpreter is ending: nothing can be started any more")
    thread = threading.current_thread()
    if thread.daemon and not thread.name.startswith("parallel_deco"):  # where callbacks are called
        raise SystemExit


def note_open(mapping: _Map) -> None:
    """Note that a map was begun."""
    turn_away()
    _open[id(mapping)] = mapping


def note_closed(mapping: _Map) -> None:
    """Note that it was closed."""
    _open.pop(id(mapping), None)


def close_left_open() -> None:
    """End the maps that were last taken from, or made, in threads that the exit does not wait for."""
    main = threading.main_thread()
    staying = {thread.ident for thread in threading.enumerate() if not thread.daemon and thread is not main}
    for reference in _open.valuerefs():
        mapping = reference()
        if mapping is not None and mapping.consumer not in staying:
            mapping.give_up()


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
