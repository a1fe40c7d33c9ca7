"""The backends of this process: made when first used, ended together, forgotten after a fork."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from time import perf_counter

from parallel_deco._readings import overhead
from parallel_deco.backends.threads import ThreadBackend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parallel_deco.backends.processes import ProcessBackend

__all__ = ["miss", "paid", "process_pool", "processes", "shutdown", "threads", "workers"]

#: Seconds for which what has paid for them holds.
PAID = 10.0

_lock = threading.Lock()
_threads: ThreadBackend | None = None
_processes: ProcessBackend | None = None
_missed = _paid_until = 0.0  # seconds, and a time


def threads() -> ThreadBackend:
    """Return this process's threads."""
    global _threads
    pool = _threads
    if pool is None:
        with _lock:
            pool = _threads = _threads or ThreadBackend()
    return pool


def processes() -> ProcessBackend:
    """Return this process's worker processes."""
    global _processes
    pool = _processes
    if pool is None:
        with _lock:
            pool = _processes = _processes or _first_processes()
    return pool


def _first_processes() -> ProcessBackend:
    """Make them; one thread at a time, for each would start a template."""
    from parallel_deco.backends import launch

    launch.early()  # the template boots while this process imports the rest
    with overhead():  # a fork waits for that: the child would wait for the lock of a half imported module
        from parallel_deco.backends.processes import ProcessBackend
    return ProcessBackend()


def process_pool() -> ProcessBackend | None:
    """Return the worker processes if there ever were any."""
    return _processes


def workers() -> int:
    """Return how many worker processes are ready."""
    return 0 if _processes is None else _processes.workers


def miss(seconds: float, price: float) -> None:
    """Note that work took so much longer because there were no worker processes.

    When all that was missed comes to their price, that is paid for: who rents until he has paid what it costs to buy,
    and then buys, pays at most twice what he had to.
    """
    global _missed, _paid_until
    _missed += seconds  # one that is lost beside another comes again
    if _missed >= price:
        _missed, _paid_until = 0.0, perf_counter() + PAID


def paid() -> bool:
    """Return whether the start of worker processes is paid for, so that it is no reason any more to have none."""
    return perf_counter() < _paid_until


def shutdown(
    wait: bool = True,
    kill: bool = False,
    leave_threads: bool = False,
    call_off: Callable[[], None] = lambda: None,
) -> None:
    """End all backends; they come back when they are used again. With `leave_threads`, threads are not waited for.

    Threads go first, for what they run may still use the processes; and all once more, for what the last results led
    to. `call_off` is called before each goes, and ends what nobody waits for.
    """
    if "parallel_deco.backends.launch" in sys.modules:
        from parallel_deco.backends import launch  # waits, where another thread is still importing it

        launch.end_early()
    for pool in (_threads, _processes, _threads, _processes):
        call_off()
        if pool is not None:
            pool.shutdown(wait=wait, kill=kill or (leave_threads and pool is _threads))


def _forget_after_fork() -> None:
    """The child has none of the threads; its own pools are made when it uses them."""
    global _threads, _lock, _missed, _paid_until
    _threads = None
    _missed = _paid_until = 0.0
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
