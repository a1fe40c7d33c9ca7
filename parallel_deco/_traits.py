"""What the wings may know of each other: routes, and what a way of running offers."""

from __future__ import annotations

from parallel_deco._records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Route = Literal["serial", "threads", "processes"]
else:
    Route = str

__all__ = ["PROCESSES", "SERIAL", "THREADS", "Route", "Traits"]

SERIAL: Route = "serial"
THREADS: Route = "threads"
PROCESSES: Route = "processes"


class Traits(NamedTuple):
    """What a backend offers; the router reasons on these, never on names.

    Parameters
    ----------
    shares_memory : bool
        Arguments, results and globals are the caller's own objects.
    own_gil : bool
        A worker computes Python code without waiting for the caller's GIL.
    can_kill : bool
        A running task can be ended from outside.
    remote : bool
        Work leaves this machine.
    """

    shares_memory: bool
    own_gil: bool
    can_kill: bool
    remote: bool = False
