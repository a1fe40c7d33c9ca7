"""The end of all workers: when asked for, and at the interpreter's exit."""

import atexit
import concurrent.futures
import functools
import sys
import threading

from parallel_deco._submission import outstanding
from parallel_deco.backends import pools

__all__ = ["shutdown", "shutdown_at_exit"]


def shutdown(wait: bool = True, *, cancel_futures: bool = False) -> None:
    """End all workers, threads and processes; they come back when they are used again.

    Parameters
    ----------
    wait : bool
        Let submitted calls end first. Without it, worker processes are ended as they are, and threads are left
        behind.
    cancel_futures : bool
        Call off the submitted calls that have not started.

    Notes
    -----
    It happens by itself at the interpreter's exit: submitted calls are completed first, as by
    `concurrent.futures`; after an uncaught exception or Ctrl-C they are not.
    """
    if cancel_futures:
        for future in list(outstanding):
            future.cancel()
    if wait:
        concurrent.futures.wait(list(outstanding))
    pools.shutdown(wait=wait, kill=not wait)


def _at_exit() -> None:
    try:
        if not _failed():
            # What threads run now was submitted by nobody: the rest of maps that were closed. No exit waits for that.
            concurrent.futures.wait(list(outstanding))
            pools.shutdown(leave_threads=True)
            return
    except KeyboardInterrupt:
        pass  # the second one: the user does not want to wait
    pools.shutdown(wait=True, kill=True)  # what was killed is not waited for long, and no thread can be made any more


def _failed() -> bool:
    """Whether the program ends by an uncaught exception; at a prompt, that was some command's long ago."""
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return False
    return getattr(sys, "last_exc", None) is not None or getattr(sys, "last_value", None) is not None


@functools.cache
def shutdown_at_exit() -> None:
    """Have the workers ended at the interpreter's exit; only the first call does anything."""
    # Before the interpreter refuses new threads, which calls that are still queued may need; concurrent.futures does
    # the same. The name is private: without it, the ordinary hook runs a little later.
    getattr(threading, "_register_atexit", atexit.register)(_at_exit)


shutdown.__module__ = "parallel_deco"
