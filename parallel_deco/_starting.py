"""Starts a thread so that Ctrl-C, when it comes just then, is not taken for a lack of threads."""

import threading

__all__ = ["NoThread", "start_thread"]


class NoThread(RuntimeError):
    """There can be no more threads: what asked for one may do without."""


def start_thread(thread: threading.Thread) -> None:
    """Start a thread.

    Raises
    ------
    NoThread
        There can be no more threads; it does not run.
    BaseException
        Whatever a signal's handler raised meanwhile, KeyboardInterrupt above all; the thread may run nevertheless.

    Notes
    -----
    `start` waits for the thread's first sign of life, with a `threading.Condition` that an exception of a handler can
    leave in the wrong state; see `Bell`. What comes out then is "RuntimeError: release unlocked lock", which whoever
    asked for a thread, and can do without, takes for "can't start new thread".
    """
    try:
        thread.start()
    except RuntimeError as error:
        if "lock" not in str(error) or error.__context__ is None:
            raise NoThread(*error.args) from error
        raise error.__context__ from None
