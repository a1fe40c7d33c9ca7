"""Tells what a handler of a signal has raised from what went wrong: it concerns whoever it has come to, and no item."""

from __future__ import annotations

import threading
from types import FrameType

__all__ = ["interrupts"]

#: Flags of code that takes any positional arguments.
_VARARGS = 4


def interrupts(error: BaseException) -> bool:
    """Whether an exception came from outside: Ctrl-C, or what a handler of a signal, a time limit say, has raised.

    Handlers run in the main thread, wherever that is. Whoever catches an `Exception` there, to have an item fail by it
    or to do without something, would have the program run on past its limit.

    Notes
    -----
    A handler is given the frame that it has interrupted, which stands before its own in the traceback.
    """
    if not isinstance(error, Exception):
        return True
    if threading.current_thread() is not threading.main_thread():
        return False
    step = error.__traceback__
    before = None
    while step is not None:
        if before is not None and _is_given(step.tb_frame, before):
            return True
        before, step = step.tb_frame, step.tb_next
    return False


def _is_given(frame: FrameType, thing: FrameType) -> bool:
    """Whether the function of a frame was called with a thing."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & _VARARGS)
    for name in code.co_varnames[:count]:
        value = frame.f_locals.get(name)
        if value is thing or (type(value) is tuple and any(each is thing for each in value)):
            return True
    return False
