"""What can be run as a call: not what only makes something that runs later."""

import functools
from types import FunctionType, MethodType

from parallel_deco._errors import InvalidTypeError, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["RUNS_LATER", "check_callable"]

#: By the bits of `co_flags`, which the documentation of `inspect` names; that takes as long to import as we do.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200
#: Those of which a call runs nothing yet.
RUNS_LATER = _GENERATOR | _COROUTINE | _ASYNC_GENERATOR
_UNSUPPORTED = (
    (_COROUTINE, "a coroutine function", "asyncio runs it; take the blocking part"),
    (_ASYNC_GENERATOR, "an asynchronous generator function", "asyncio runs it"),
    (_GENERATOR, "a generator function", "return a list, or map over what it yields"),
)


def check_callable(function: "Any", doer: str, does: str) -> None:
    """Raise for what cannot be called, or whose call runs nothing yet.

    Parameters
    ----------
    function : object
    doer, does : str
        Who calls it, and what that does with functions, for the message.

    Raises
    ------
    InvalidTypeError
    """
    if not callable(function):
        hint = ""
        if isinstance(function, str | int) and doer == "parallel":
            hint = "; options go by name: @parallel(backend='threads')"
        raise InvalidTypeError(f"{doer} {does} functions; got {type(function).__name__} {function!r}{hint}")
    flags = _code_flags(function)
    for flag, kind, instead in _UNSUPPORTED:
        if flags & flag:
            raise InvalidTypeError(f"{name_of(function)} is {kind}, which {doer} cannot run; {instead}")


def _code_flags(function: "Any") -> int:
    """Return the flags of a function's code, below partials and methods; 0 for what is no function of Python's."""
    while isinstance(function, functools.partial | MethodType):
        function = function.func if isinstance(function, functools.partial) else function.__func__
    if not isinstance(function, FunctionType):  # an object that can be called, perhaps
        function = getattr(type(function), "__call__", None)  # noqa: B004  # its own, and not the class's
    if not isinstance(function, FunctionType):
        return 0
    marked = _COROUTINE if "_is_coroutine_mark" in vars(function) else 0  # by inspect.markcoroutinefunction
    return int(function.__code__.co_flags | marked)
