"""What the wings may know of each other: routes, and what a way of running offers."""

from typing import Literal, NamedTuple

__all__ = ["PROCESSES", "SERIAL", "THREADS", "Route", "Traits"]

Route = Literal["serial", "threads", "processes"]
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
