"""One submitted call: what it is, how it is run when nobody measures it, and how its future ends."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import InvalidStateError
from contextvars import Context
from types import MethodType
from typing import Any, NamedTuple

from parallel_deco._future import Future
from parallel_deco._nesting import same_context, set_depth
from parallel_deco._readings import count_unmeasured
from parallel_deco.backends.batch import BatchResult, Ticket

__all__ = ["Call", "QuickCall", "call_back", "killer", "settle"]


class Call(NamedTuple):
    """One submitted call."""

    future: Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: Context
    number: int = 0  # in the order of submission, where that matters

    def goes_with(self, function: Callable[..., Any], context: Context) -> bool:
        """Whether it may be in one batch with a call of this function in this context."""
        return _same_function(self.function, function) and same_context(self.context, context)


class QuickCall:
    """A call in a thread that is run and nothing else; whoever takes `_claim` first ends it."""

    __slots__ = ("_call", "_claim", "_freed", "_level")

    def __init__(self, call: Call, level: int, freed: Callable[[int], None]) -> None:
        self._call = call
        self._level = level
        self._freed = freed
        self._claim = threading.Lock()

    def claim(self) -> bool:
        """Return whether the caller is the one to end it."""
        return self._claim.acquire(blocking=False)

    def __call__(self) -> None:
        """Run it and deliver what became of it."""
        if not self.claim():
            return
        call = self._call
        if not call.future.set_running_or_notify_cancel():
            self._freed(self._level)
            return
        count_unmeasured()
        before = set_depth(self._level + 1)
        value = failure = None
        try:
            value = call.context.run(call.function, *call.args, **call.kwargs)
        except BaseException as error:
            failure = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
        finally:
            set_depth(before)
        self._freed(self._level)  # before: a callback of the future may wait for other calls
        if failure is None:
            call.future.set_result(value)
        else:
            call.future.set_exception(failure)


def _same_function(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether both are the same, bound methods to the same object; an `==` of the user's is not asked."""
    return one is other or (type(one) is MethodType and type(other) is MethodType and one == other)


def settle(calls: Sequence[Call], result: BatchResult) -> None:
    """Give each future its value or error; then have the callbacks called, which may wait for any of them."""
    heard = []
    for position, call in enumerate(calls):
        try:
            if call.future.end(result.values[position], result.errors.get(position)):
                heard.append(call.future)
        except InvalidStateError:  # cancelled while it ran, and its worker was slower to die
            continue
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


def killer(ticket: Ticket, freed: Callable[[], None]) -> Callable[[], bool]:
    """Return what a future's `cancel` calls: it ends the worker, and says whether that was in time."""

    def kill() -> bool:
        ended = ticket.cancel(kill=True)
        if ended:
            freed()
        return ended

    return kill
