"""What a comparison is made of: a group asks one question of several entries, each of which can be run many times."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from parallel_deco._cpus import available_cpus

from .peers import PEERS, Ours, Peer, missing

__all__ = ["LOOP", "Entry", "Group", "Limit", "Tuning", "maps", "measure", "shared_by_cpus", "submits"]

Run = Callable[[], Any]
LOOP = "the loop"
#: Items of a map with which a pool is started and looked at.
WARMING = 64


@dataclass(frozen=True)
class Entry:
    """A contender in a group, or a limit that is measured.

    Parameters
    ----------
    name : str
    open : callable
        Makes a context in which what it gives can be run, warm.
    missing : str, optional
        Why it cannot take part.
    """

    name: str
    open: Callable[[], AbstractContextManager[Run]]
    missing: str | None = None


@dataclass(frozen=True)
class Limit:
    """What nobody can beat.

    Parameters
    ----------
    words : str
        What it is made of.
    seconds : callable
        Gets the median of every entry by its name; returns seconds for what one run does, or None if unknown.
    """

    words: str
    seconds: Callable[[Mapping[str, float]], float | None]


@dataclass(frozen=True)
class Group:
    """One question.

    Parameters
    ----------
    name : str
    question : str
    entries : sequence of Entry
    unit : tuple of (str, float)
        What times are shown in, and how many of it are a second.
    per : int
        How many tasks one run does; times are shown for one of them.
    limit : Limit, optional
    notes : str
        What a reader should know of how it is measured.
    measured : sequence of Entry
        What only serves the limit.
    """

    name: str
    question: str
    entries: Sequence[Entry]
    unit: tuple[str, float] = ("ms", 1e3)
    per: int = 1
    limit: Limit | None = None
    notes: str = ""
    measured: Sequence[Entry] = ()


@dataclass(frozen=True)
class Tuning:
    """What somebody who knows the work would set.

    Parameters
    ----------
    threads, processes : int, optional
        Width of pools of threads, and of processes.
    chunksize : int, optional
        Items that are sent to a process together.
    """

    threads: int | None = None
    processes: int | None = None
    chunksize: int | None = None

    def of(self, peer: type[Peer]) -> dict[str, int]:
        """Return what it sets for one contender."""
        if issubclass(peer, Ours):
            return {}
        width = self.threads if peer.in_threads else self.processes
        chunksize = None if peer.in_threads else self.chunksize
        wanted = {"width": width, "chunksize": chunksize}
        return {name: value for name, value in wanted.items() if value is not None and name in peer.tunes}


def measure(entry: Entry, least: float, most: int = 1000) -> list[float]:
    """Return the seconds of its runs, for at least so many seconds in all or `most` runs."""
    with entry.open() as run:
        times: list[float] = []
        while sum(times) < least and len(times) < most:
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
    return times


def maps(function: Callable[[Any], Any], items: Callable[[], list[Any]], tuning: Tuning) -> list[Entry]:
    """Return the entries of a map over these items: every contender as it is, and tuned where that can be."""
    given = functools.cache(items)
    expected = functools.cache(lambda: [function(item) for item in given()])

    @contextmanager
    def opened(peer: type[Peer], settings: dict[str, int]) -> Iterator[Run]:
        pool = peer(**settings)
        try:
            some = slice(None if issubclass(peer, Ours) else WARMING)  # ours learns from the whole
            found = pool.map(function, given()[some])
            if list(found) != expected()[some]:
                raise AssertionError(f"{peer.name} returns something else than the loop")
            yield lambda: pool.map(function, given())
        finally:
            pool.close()

    entries = []
    for peer in PEERS:
        tuned = tuning.of(peer)
        for settings in ({}, tuned) if tuned else ({},):
            entries.append(
                Entry(_title(peer, settings), functools.partial(opened, peer, settings), missing(peer.package))
            )
    return entries


def submits(use: Callable[[Peer], Run]) -> list[Entry]:
    """Return the entries of what every pool with a call for a single task can do; `use` makes a run of a pool."""

    @contextmanager
    def opened(peer: type[Peer]) -> Iterator[Run]:
        pool = peer()
        try:
            run = use(pool)
            run()
            yield run
        finally:
            pool.close()

    return [Entry(peer.name, functools.partial(opened, peer), missing(peer.package)) for peer in PEERS if peer.submits]


def shared_by_cpus(longest: float = 0.0) -> Limit:
    """Return the limit of work that computes: the loop's time over the CPUs, or the longest item."""

    def seconds(medians: Mapping[str, float]) -> float | None:
        return max(medians[LOOP] / available_cpus(), longest) if LOOP in medians else None

    return Limit(
        f"the loop's time over {available_cpus()} CPUs" + (", or the longest item" if longest else ""), seconds
    )


def _title(peer: type[Peer], settings: dict[str, int]) -> str:
    words = ", ".join(f"{name} {value}" for name, value in settings.items())
    return f"{peer.name}, {words}" if words else peer.name
