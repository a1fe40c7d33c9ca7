"""Tells what a handler of a signal has raised from what went wrong: it concerns whoever it has come to, and no item."""

from __future__ import annotations

import threading
from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["interrupts"]


def interrupts(error: BaseException) -> bool:
    """Whether an exception came from outside: Ctrl-C, or what a handler of a signal, a time limit say, has raised.

    Handlers run in the main thread, wherever that is. Whoever catches an `Exception` there, to have an item fail by it
    or to do without something, would have the program run on past its limit.
    """
    if not isinstance(error, Exception):
        return True
    if threading.current_thread() is not threading.main_thread():
        return False
    handlers = _handlers()
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code in handlers:
            return True
        step = step.tb_next
    return False


def _handlers() -> set[CodeType]:
    """Return the code of the handlers that are set."""
    import signal  # with its enumerations, which only who is interrupted needs

    codes = set()
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        function = getattr(handler, "func", handler)  # a partial
        function = getattr(function, "__func__", function)
        if not hasattr(function, "__code__"):
            function = getattr(type(function), "__call__", None)  # noqa: B004  # its code, not whether there is one
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            codes.add(code)
    return codes
