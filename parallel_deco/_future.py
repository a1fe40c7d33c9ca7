"""The future of a submitted call: a `concurrent.futures.Future` that can also be awaited."""

from __future__ import annotations

import math
import sys
from _thread import RLock, get_ident
from collections.abc import Callable, Generator
from concurrent import futures  # so; after Ctrl-C in its import, Python has no `concurrent.futures` by that name
from threading import Condition
from time import monotonic

from parallel_deco._waiting import Bell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    R = TypeVar("R")
else:
    Any = R = object  # for those who ask for type hints

__all__ = ["Future"]

#: Seconds that a waiting thread sleeps at a time.
HEED = 0.1
_OVER = ("CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED")


class _Condition:
    """The condition of a future, made when somebody asks for it: that takes longer than all else of a future.

    It is kept as an attribute, by name, and nothing asks for the `__dict__` of a future, which several threads have:
    where the collector runs while CPython 3.11 makes one, and lets another thread ask too, both get the same values,
    which are freed twice.
    """

    def __get__(self, future: Future[Any] | None, _: type) -> Any:
        if future is None:
            return self
        with future._lock:
            if future._made is None:
                future._made = Condition(future._lock)
            return future._made


class Future(futures.Future[R]):
    """The result of a submitted call, now or later.

    Works with `concurrent.futures.wait`, `as_completed` and `add_done_callback`, and in a coroutine with ``await``.

    Notes
    -----
    `cancel` calls off a call that has not started. One that is running in a worker process is ended, and its worker
    replaced; one that is running in a thread cannot be ended. Nor can short calls that were gathered, while the workers
    were busy, into a batch of up to 8 ms, when that was sent.
    """

    _condition: Any = _Condition()
    _made: Condition | None = None
    _kill: Callable[[Callable[[], bool]], bool] | None = None
    _ended: Callable[[Any], object] | None = None
    _soon = False
    _hushed = 0  # the thread that calls it off, and calls nothing yet

    def __init__(self) -> None:
        """Have all that the class above has; it is private, and there for ever."""
        self._lock = RLock()  # that of the condition too
        self._state = "PENDING"
        self._result: Any = None
        self._exception: BaseException | None = None
        self._waiters: list[Any] = []
        self._done_callbacks: list[Callable[[Any], object]] = []

    def cancel(self) -> bool:
        """Call the call off; return whether it will never deliver a result."""
        if super().cancel():
            self.set_running_or_notify_cancel()  # at once, not when its turn comes: `wait` waits for that
            return True
        kill = self._kill
        return kill is not None and not self.done() and kill(self._end_cancelled)

    def tell(self, ended: Callable[[Any], object]) -> None:
        """Have this called at the end, after all callbacks; for whoever made the future."""
        self._ended = ended

    def expect_soon(self) -> None:
        """Have who waits for it not sleep at first: the call is short, and a thread of this process runs it."""
        self._soon = True

    def orphan(self) -> None:
        """End it in the child of a fork: what runs the call is the parent's."""
        if self._state in _OVER:
            return
        self._lock, self._waiters, self._done_callbacks, self._made, self._kill = RLock(), [], [], None, None
        self._exception = RuntimeError(
            "this call was submitted before a fork, and its result comes to the parent: submit it in the child anew"
        )
        self._state = "FINISHED"

    def killed_by(self, kill: Callable[[Callable[[], bool]], bool]) -> None:
        """Have `cancel` call this while the call runs: it ends that, and then the future by what it is given.

        It says whether that was in time. For whoever runs it.
        """
        self._kill = kill
        if self._state in _OVER:  # no lock is taken, which Ctrl-C could leave taken
            self._kill = None

    def end(self, value: R | None, error: BaseException | None) -> bool:
        """Give it its outcome, and call nothing yet; return whether callbacks are to be called by `call_back`.

        Raises
        ------
        concurrent.futures.InvalidStateError
            It was cancelled while it ran.
        """
        with self._lock:  # as in `set_result`, which takes three times as long
            if self._state in _OVER:
                raise futures.InvalidStateError(f"{self._state}: {self!r}")
            self._result, self._exception, self._state = value, error, "FINISHED"
            for waiter in self._waiters:
                waiter.add_result(self) if error is None else waiter.add_exception(self)
            if self._made is not None:  # else nobody can wait for it
                self._made.notify_all()
        self._kill = None  # it may lead to the call, and the call to this: a circle
        return self._is_heard()

    def call_off(self) -> bool:
        """Cancel it if it has not started, and call nothing yet; return as `end` does."""
        self._hushed = get_ident()
        try:
            if self.running() or not super().cancel():
                return False
            self.set_running_or_notify_cancel()
        finally:
            self._hushed = 0
        return self._is_heard()

    def _is_heard(self) -> bool:
        """Return whether callbacks are to be called; where there are none, tell whoever made it that it is over."""
        if self._done_callbacks:
            return True
        if self._ended is not None:
            self._ended(self)
        return False

    def call_back(self) -> None:
        """Call the callbacks, after `end` or `call_off`: they may be long, wait for others, or raise SystemExit."""
        self._invoke_callbacks()

    def _invoke_callbacks(self) -> None:
        self._kill = None  # it may lead to the call, and the call to this: a circle
        if self._hushed and self._hushed == get_ident():
            return
        try:
            super()._invoke_callbacks()  # type: ignore[misc]  # private, and there for ever
        finally:
            if self._ended is not None:
                self._ended(self)

    def set_running_or_notify_cancel(self) -> bool:
        """Mark it as running, and return True; False if it was cancelled. For whoever runs the call."""
        with self._lock:  # not with the condition, which Ctrl-C can leave locked
            if self._state == "PENDING":
                self._state = "RUNNING"
                return True
            return self._state not in ("CANCELLED_AND_NOTIFIED", "FINISHED") and super().set_running_or_notify_cancel()

    def step_back(self) -> None:
        """Wait again, although marked as running: it did not begin. For whoever would have run the call."""
        with self._lock:
            if self._state == "RUNNING":
                self._state = "PENDING"

    def _end_cancelled(self) -> bool:
        """Become cancelled although running: whoever ran this has ended it and will deliver nothing."""
        with self._condition:
            if self._state != "RUNNING":
                return self._state in ("CANCELLED", "CANCELLED_AND_NOTIFIED")
            self._state = "PENDING"
        super().cancel()
        self.set_running_or_notify_cancel()
        return True

    def result(self, timeout: float | None = None) -> R:
        """Return what the call returned, waiting for it; raise what it raised.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        TimeoutError
            It is not there in time.
        concurrent.futures.CancelledError
            It was cancelled.
        """
        error = self._outcome(timeout)
        if error is None:
            return self._result  # type: ignore[no-any-return]  # it is there when it has ended
        try:
            raise error
        finally:
            del self, error  # the traceback would keep them

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the call raised, or None, waiting for its end; otherwise like `result`."""
        return self._outcome(timeout)

    def _outcome(self, timeout: float | None) -> BaseException | None:
        """Wait for the end and return the error, if any; raise when there is none in time, or when it was cancelled.

        No lock is taken: Ctrl-C could leave it taken, and whoever delivers the result would wait for ever.
        """
        if self._state not in _OVER:
            self._wait(timeout)
        if self._state != "FINISHED":
            raise futures.CancelledError
        return self._exception

    def _wait(self, timeout: float | None) -> None:
        """Wait in short sleeps: a signal that comes when CPython is about to sleep does not wake it."""
        end = math.inf if timeout is None else monotonic() + timeout
        waiter = _Waiter()
        # Whoever ends it does so before going through the list.
        self._waiters.append(waiter)  # it has what is asked of a waiter
        while self._state not in _OVER and not waiter.wait(max(0.0, min(HEED, end - monotonic())), self._soon):
            if not monotonic() < end and self._state not in _OVER:  # nan is no time at all
                with self._lock:
                    self._waiters.remove(waiter)  # or a poll would leave one each time
                raise TimeoutError

    def __await__(self) -> Generator[Any, None, R]:
        """Wait in the running event loop without blocking it."""
        import asyncio

        future: futures.Future[R] = self if sys.version_info >= (3, 13) else _Awaited(self)
        return asyncio.wrap_future(future).__await__()


def _name_attributes() -> None:
    """Have one of the first futures with every attribute: one that was none of theirs gives a later one a `__dict__`.

    So it is from CPython 3.11 on, when some thirty have been made.
    """
    future: Future[Any] = Future()
    for name in ("_made", "_kill", "_ended", "_soon", "_hushed"):
        setattr(future, name, getattr(Future, name))


class _Awaited(futures.Future[Any]):
    """A future as `asyncio` looks at it, of whose own none ever ends with StopIteration before Python 3.13."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future
        for name in ("cancel", "cancelled", "done", "result"):
            setattr(self, name, getattr(future, name))

    def add_done_callback(self, call: Callable[[Any], object]) -> None:
        self._future.add_done_callback(lambda _: call(self))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        error = self._future.exception(timeout)
        if not isinstance(error, StopIteration):
            return error
        raised = RuntimeError("the call raised StopIteration, which no coroutine may raise")
        raised.__cause__ = error
        return raised


class _Waiter(Bell):
    """A thread that waits for one future, as `concurrent.futures` knows waiters."""

    __slots__ = ()

    def add_result(self, future: Future[Any]) -> None:
        """Wake it."""
        self.ring_soon()

    add_exception = add_cancelled = add_result


Future.__module__ = "parallel_deco"
_name_attributes()
