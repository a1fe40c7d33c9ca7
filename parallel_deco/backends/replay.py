"""Log records, warnings and printed text of workers, as they are given to the caller's loggers, filters and streams.

These are code of the user's: a handler may wait for a lock that the thread has which waits for the worker's results. So
no thread that reads from a worker calls it.

Guarantees
    - Echoes are replayed one after the other, in the order in which they came, and before the results that came behind
      them; unless one of them takes long, for then results no longer wait for it.
    - Text goes to the stream that was there when it came.
    - `_lock` is held for the bookkeeping only.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections import deque
from contextlib import suppress

from parallel_deco._starting import start_thread
from parallel_deco._waiting import Bell
from parallel_deco.backends.echoes import LOG, TEXT, WARNING
from parallel_deco.backends.payload import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Replayer", "replay"]

#: Seconds that one echo may keep the results behind it waiting, and a shutdown.
PATIENCE, LONG_PATIENCE = 1.0, 5.0
#: Seconds that the thread waits for further echoes before it ends.
LINGER = 1.0


class Replayer:
    """Replays echoes in a thread of its own, which is there while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Any] = deque()
        self._bell = Bell()  # the thread waits for it
        self._awaited: list[tuple[int, Bell]] = []
        self._thread: threading.Thread | None = None
        self._running = False
        self._ends = False  # as soon as nothing is left
        self._late = False  # the one under way has kept results waiting for long
        self.said = 0  #: echoes so far
        self._told = 0  # those that were replayed

    def say(self, echo: Any) -> int:
        """Have an echo, as bytes, replayed; return its number."""
        with self._lock:
            self._waiting.append((echo, (sys.stdout, sys.stderr)))
            self.said += 1
            number = self.said
            starts, self._running = not self._running, True
            self._bell.ring()
        if starts:
            thread = threading.Thread(target=self._serve, name="parallel_deco-echoes", daemon=True)
            try:
                start_thread(thread)
                self._thread = thread
            except RuntimeError:  # there can be no more threads; at its exit, Python 3.12 starts none
                self._ends = True
                self._serve()
        return number

    def wait(self, number: int) -> None:
        """Wait until that echo was replayed, unless one takes long."""
        if not self._late and not self._wait(number, PATIENCE):
            self._late = True

    def _wait(self, number: int, patience: float) -> bool:
        """Wait until that echo was replayed; False as soon as nothing was for so many seconds."""
        told = -1
        while True:
            with self._lock:
                if self._told >= number:
                    return True
                if self._told == told:
                    return False
                told = self._told
                bell = Bell()
                self._awaited.append((number, bell))
            if bell.wait(patience):
                return True

    def end(self) -> None:
        """Let the thread end, once all was replayed; unless one is stuck."""
        self._wait(self.said, LONG_PATIENCE)
        with self._lock:
            self._ends = True
            self._bell.ring()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(PATIENCE / 10)

    def _serve(self) -> None:
        while True:
            with self._lock:
                bell = self._bell = Bell()  # first: what is said from here on rings it
                echo = self._waiting.popleft() if self._waiting else None
                if echo is None and self._ends:
                    self._running = self._ends = False
                    return
            if echo is not None:
                self._replay(echo)
            elif not bell.wait(LINGER):
                with self._lock:
                    if not self._waiting:
                        self._running = self._ends = False
                        return

    def _replay(self, echo: Any) -> None:
        packed, streams = echo
        try:
            replay(load(packed), streams)
        except BaseException:  # it cannot be rebuilt here, though it could there; or what it was given to failed
            with suppress(BaseException):
                sys.excepthook(*sys.exc_info())
        with self._lock:
            self._told += 1
            self._late = False
            ready = [bell for number, bell in self._awaited if number <= self._told]
            self._awaited = [(number, bell) for number, bell in self._awaited if number > self._told]
        for bell in ready:
            bell.ring()


def replay(echo: tuple[Any, ...], streams: tuple[Any, Any]) -> None:
    """Give a worker's echo to the caller's loggers, filters or streams: those for output and for errors."""
    kind, *what = echo
    if kind == LOG:
        _replay_log(*what)
    elif kind == WARNING:
        _replay_warning(*what)
    elif kind == TEXT:
        stream, text = what
        _replay_text(streams[stream == "stderr"], text)


def _replay_log(state: dict[str, Any]) -> None:
    import logging

    record = logging.makeLogRecord(state)
    if record.levelname == f"Level {record.levelno}":  # in a worker; the program may have named it
        record.levelname = logging.getLevelName(record.levelno)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _replay_warning(pickled: bytes | str, category: type[Warning], filename: str, lineno: int) -> None:
    message: Any = load(pickled) if isinstance(pickled, bytes) else pickled
    module = _module_of(filename)
    if module is None:  # with None for a name, it would be dropped
        warnings.warn_explicit(message, category, filename, lineno)
        return
    registry = vars(module).setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, category, filename, lineno, module=module.__name__, registry=registry)


def _module_of(filename: str) -> Any:
    """Return the caller's module with this file: its registry decides what was shown already."""
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == filename:
            return module
    return None


def _replay_text(target: Any, text: str) -> None:
    if target is not None:
        target.write(text)
        target.flush()
