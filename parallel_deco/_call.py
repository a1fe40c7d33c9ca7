"""One submitted call: what it is, and how its future ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import InvalidStateError
from contextvars import Context
from functools import partial
from types import MethodType

from parallel_deco._future import Future
from parallel_deco._nesting import same_context
from parallel_deco._records import NamedTuple
from parallel_deco.backends import pools
from parallel_deco.backends.batch import BatchResult, Ticket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Call", "call_back", "call_back_aside", "killer", "settle"]

#: Ends a future, and says whether it was in time.
Ending = Callable[[], bool]


class Call(NamedTuple):
    """One submitted call."""

    future: Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: Context
    number: int = 0  # in the order of submission, where that matters
    alone: bool = False  # it goes with no other

    def goes_with(self, function: Callable[..., Any], context: Context) -> bool:
        """Whether it may be in one batch with a call of this function in this context."""
        return not self.alone and _same_function(self.function, function) and same_context(self.context, context)


def _same_function(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether both are the same, bound methods to the same object; an `==` of the user's is not asked."""
    return one is other or (type(one) is MethodType and type(other) is MethodType and one == other)


def settle(calls: Sequence[Call], result: BatchResult) -> list[Future[Any]]:
    """Give each future its value or error; return those whose callbacks are to be called, which may wait for any."""
    heard = []
    for position, call in enumerate(calls):
        try:
            if call.future.end(result.values[position], result.errors.get(position)):
                heard.append(call.future)
        except InvalidStateError:  # cancelled while it ran, and its worker was slower to die
            continue
    return heard


def call_back_aside(heard: Sequence[Future[Any]]) -> None:
    """Have a thread of the pool call the callbacks of futures that have ended: others wait for what this one does."""
    if not heard:
        return
    try:
        pools.threads().call(partial(call_back, heard))
    except RuntimeError:  # at the interpreter's exit there are no new threads
        call_back(heard)


def call_back_here_or_aside(heard: Sequence[Future[Any]]) -> None:
    """Call the callbacks of futures that have ended: in this thread, unless another call waits for it by now."""
    if heard and pools.threads().has_next():
        call_back_aside(heard)
    else:
        call_back(heard)


def call_back(heard: Iterable[Future[Any]]) -> None:
    """Call the callbacks of futures that have ended, whatever they raise."""
    raised = None
    for future in heard:
        try:
            future.call_back()
        except BaseException as problem:  # SystemExit, for one; `concurrent.futures` reports the others
            raised = problem
    if raised is None:
        return
    thread = threading.current_thread()
    if thread is threading.main_thread():  # Ctrl-C, perhaps
        raise raised
    threading.excepthook(threading.ExceptHookArgs((type(raised), raised, raised.__traceback__, thread)))


def killer(ticket: Ticket, freed: Callable[[], None]) -> Callable[[Ending], bool]:
    """Return what a future's `cancel` calls: it ends the worker, and then the future if that was in time."""

    def kill(end: Ending) -> bool:
        if not ticket.cancel(kill=True):
            return False
        try:
            freed()  # first: a callback of the future may wait for a call that needs the place
        finally:  # Ctrl-C, while another call was started there: nobody else ends this one any more
            ended = end()
        return ended

    return kill
