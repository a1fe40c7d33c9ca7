"""The end of all workers: when asked for, and at the interpreter's exit."""

import atexit
import contextlib
import functools
import sys
import threading
import time
from concurrent.futures import wait as wait_for

from parallel_deco._call import call_back_aside
from parallel_deco._errors import ParallelError
from parallel_deco._left_open import begin_exit, close_left_open, end_called_off
from parallel_deco._nesting import depth
from parallel_deco._submission import outstanding
from parallel_deco.backends import pools

__all__ = ["shutdown", "shutdown_at_exit"]

#: Seconds for which no thread gets the GIL when the interpreter is about to stop; also how long one may keep it then.
LAST_TURN = 0.1
#: Seconds between two looks whether callbacks have returned.
CALLBACKS = 1e-3


def shutdown(wait: bool = True, *, cancel_futures: bool = False) -> None:
    """End all workers, threads and processes; they come back when they are used again.

    Parameters
    ----------
    wait : bool
        Let submitted calls end first. Without it, worker processes are ended as they are, and threads are left
        behind.
    cancel_futures : bool
        Call off the submitted calls that have not started.

    Raises
    ------
    ParallelError
        It is to wait, inside a parallel call, which it would wait for.

    Notes
    -----
    It happens by itself at the interpreter's exit: submitted calls are completed first, as by
    `concurrent.futures`; after an uncaught exception or Ctrl-C they are not.
    """
    if wait and depth():
        raise ParallelError(
            "shutdown() inside a parallel call would wait for that very call, or for one that waits for it;"
            " call it outside, in a callback of the future for example, or with wait=False"
        )
    if cancel_futures:
        for future in list(outstanding):
            future.cancel()
    if wait:
        _finish_submitted()
    pools.shutdown(wait=wait, kill=not wait, call_off=end_called_off)


def _finish_submitted(callbacks: bool = False) -> None:
    """Wait for the calls that were submitted, and those that these submit; or for `callbacks` too, and for theirs."""
    while futures := [future for future in list(outstanding) if callbacks or not future.done()]:
        wait_for(futures)
        if callbacks:  # with the last of which a future goes from there
            time.sleep(CALLBACKS)


def _at_exit() -> None:
    begin_exit()
    try:
        if not _failed():
            _finish_submitted(callbacks=True)
            # What runs now was submitted by nobody: the rest of maps. No exit waits for those of the main program, nor
            # for those of daemon threads.
            close_left_open()
            pools.shutdown(leave_threads=True, call_off=end_called_off)
            return
    except KeyboardInterrupt:
        pass  # the second one: the user does not want to wait
    # First what would take the place of what is killed, and so go on to its end.
    close_left_open()
    call_back_aside([future for future in list(outstanding) if future.call_off()])
    pools.shutdown(wait=True, kill=True)  # what was killed is not waited for long


def _failed() -> bool:
    """Whether the program ends by an uncaught exception; at a prompt, that was some command's long ago."""
    if hasattr(sys, "ps1") or sys.flags.interactive:
        return False
    return _uncaught() is not None


def _uncaught() -> BaseException | None:
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)


def _remember_interrupt() -> None:
    """Have a program that Ctrl-C ends die of SIGINT, as its shell expects, and not end with status 1.

    CPython forgets how the main program ended when any thread runs code from a string after that, and defining a
    named tuple does so: a module that is still being imported in a thread of ours is enough. On free-threaded builds
    no switch interval holds such a thread back, and it may come last all the same.
    """
    error = _uncaught()
    if type(error) is KeyboardInterrupt and _failed() and _of_main_program(error):
        if threading.active_count() > 1:  # they have a turn now, and no other before the interpreter stops them
            sys.setswitchinterval(LAST_TURN)
            with contextlib.suppress(KeyboardInterrupt):
                time.sleep(0.01)
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")


def _of_main_program(error: BaseException) -> bool:
    """Whether it came out of the script, and not out of something that a prompt or a test runner ran and reported."""
    if error.__traceback__ is None:
        return False
    outermost = error.__traceback__.tb_frame
    if outermost.f_globals is getattr(sys.modules.get("__main__"), "__dict__", None):
        return outermost.f_code.co_filename != "<console>"
    return outermost.f_code.co_filename == "<frozen runpy>"  # python -m


@functools.cache
def shutdown_at_exit() -> None:
    """Have the workers ended at the interpreter's exit; only the first call does anything."""
    atexit.register(_remember_interrupt)
    # Before the interpreter refuses new threads, which calls that are still queued may need; concurrent.futures does
    # the same. The name is private: without it, the ordinary hook runs a little later.
    try:
        getattr(threading, "_register_atexit", atexit.register)(_at_exit)
    except RuntimeError:  # a thread of the user's outlives the main one, and begins with us only now
        atexit.register(_at_exit)


shutdown.__module__ = "parallel_deco"
