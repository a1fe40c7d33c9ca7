"""Where submitted calls wait, and the places that they wait for: bookkeeping."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from itertools import count

from parallel_deco._call import Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

__all__ = ["Lane", "Places"]


class Lane:
    """The calls of one depth: those that wait, and how many batches are running.

    Attributes
    ----------
    waiting : deque of Call
    running : int
    probing : bool
        The first call of an unknown function runs, and the others wait for what is seen of it.
    sending : bool
        Several calls are being sent together, and may yet be given back: none of those behind them begins until then.
    progress : int
        Changes whenever a call has ended.
    extra : int
        Places beyond the width, for those that run wait and do not end.
    watched : float
        Somebody looks whether that is so, before that time of `monotonic`, unless what was set for later was dropped.
    era : int
        How often that had happened by then.
    """

    __slots__ = ("era", "extra", "probing", "progress", "running", "sending", "waiting", "watched")

    def __init__(self) -> None:
        self.waiting: deque[Call] = deque()
        self.running = 0
        self.probing = False
        self.sending = False
        self.progress = 0
        self.extra = 0
        self.watched = 0.0
        self.era = 0


class _Member(Protocol):
    """Calls of one size, which have lanes of their own."""

    def first_waiting(self, level: int) -> int | None:
        """Return the number of the first call that waits for a place; None where none does."""
        ...

    def has_room(self, level: int) -> bool:
        """Whether its own lane lets another call begin."""
        ...

    def start_next(self, level: int, number: int = 0, own: bool = False) -> bool:
        """Start a batch of waiting calls, if there is a place; return whether that was so."""
        ...


class Places:
    """The places of one set of options: its `max_workers` holds for calls of all sizes together, at each depth.

    Parameters
    ----------
    most : int or None

    Attributes
    ----------
    lock : threading.Lock
        That of all members too.
    numbers : iterator of int
        Gives the calls that are submitted their numbers.
    running : dict of int to int
        Batches that run, by depth.

    Notes
    -----
    Who gives a place back gives it to the call that was submitted first, of those whose own lane has room: so a call
    may wait for any that was submitted before it.
    """

    __slots__ = ("_members", "lock", "most", "numbers", "running")

    def __init__(self, most: int | None) -> None:
        self.lock = threading.Lock()
        self.most = most
        self.numbers = count(1)
        self.running: defaultdict[int, int] = defaultdict(int)
        self._members: list[_Member] = []

    def add(self, member: _Member) -> None:
        """Have it share these."""
        self._members.append(member)

    def are_full(self, level: int) -> bool:
        """Whether as many run as may."""
        return self.most is not None and self.running[level] >= self.most

    def waiting(self, level: int) -> list[tuple[int, _Member]]:
        """Return whose calls wait, with the number of their first one, the lowest first."""
        found = []
        for member in self._members.copy():
            number = member.first_waiting(level)
            if number is not None:
                found.append((number, member))
        return sorted(found, key=lambda pair: pair[0])

    def is_turn(self, level: int, number: int) -> bool:
        """Whether no call that was submitted before this one could begin; under the lock."""
        for member in self._members.copy():
            head = member.first_waiting(level)
            if head is not None and head < number and member.has_room(level):
                return False
        return True

    def is_next(self, level: int, number: int) -> bool:
        """Whether no call that was submitted before this one waits."""
        if len(self._members) < 2:
            return True
        heads = (member.first_waiting(level) for member in self._members.copy())
        return all(head is None or head >= number for head in heads)
