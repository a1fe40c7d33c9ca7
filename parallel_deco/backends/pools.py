"""The backends of this process: made when first used, ended together, forgotten after a fork."""

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from parallel_deco._readings import overhead
from parallel_deco.backends.threads import ThreadBackend

if TYPE_CHECKING:
    from parallel_deco.backends.processes import ProcessBackend

__all__ = ["miss", "process_pool", "processes", "shutdown", "threads", "workers"]

_lock = threading.Lock()
_threads: ThreadBackend | None = None
_processes: "ProcessBackend | None" = None
_missed = 0.0  # seconds


def threads() -> ThreadBackend:
    """Return this process's threads."""
    global _threads
    pool = _threads
    if pool is None:
        with _lock:
            pool = _threads = _threads or ThreadBackend()
    return pool


def processes() -> "ProcessBackend":
    """Return this process's worker processes."""
    global _processes
    pool = _processes
    if pool is None:
        with _lock:
            pool = _processes = _processes or _first_processes()
    return pool


def _first_processes() -> "ProcessBackend":
    """Make them; one thread at a time, for each would start a template."""
    from parallel_deco.backends import launch

    launch.early()  # the template boots while this process imports the rest
    with overhead():  # a fork waits for that: the child would wait for the lock of a half imported module
        from parallel_deco.backends.processes import ProcessBackend
    return ProcessBackend()


def process_pool() -> "ProcessBackend | None":
    """Return the worker processes if there ever were any."""
    return _processes


def workers() -> int:
    """Return how many worker processes are ready."""
    return 0 if _processes is None else _processes.workers


def miss(seconds: float, price: float) -> bool:
    """Note that work took so much longer because there were no worker processes; return whether it pays to start some.

    That is when all that was missed comes to their price: who rents until he has paid what it costs to buy, and then
    buys, pays at most twice what he had to.
    """
    global _missed
    _missed += seconds  # one that is lost beside another comes again
    if _missed < price:
        return False
    _missed = 0.0
    return True


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
    global _threads, _lock, _missed
    _threads, _missed = None, 0.0
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
