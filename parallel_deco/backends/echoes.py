"""Log records, warnings and printed text of a worker, on their way to the caller's loggers, filters and streams."""

from __future__ import annotations

import codecs
import sys
import warnings
from collections.abc import Callable, Iterator

from parallel_deco.backends.imports import once
from parallel_deco.backends.outcomes import pickle_error
from parallel_deco.backends.payload import dump, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["LOG", "TEXT", "WARNING", "Echoes", "flush_streams", "open_streams"]

Ship = Callable[[bytes], None]

LOG, WARNING, TEXT = "log", "warning", "text"


class Echoes:
    """The worker's side: ships each record, warning and line at once, so that a crash cannot lose it.

    Parameters
    ----------
    ship : callable
        Sends bytes that `Replayer` understands.

    Notes
    -----
    A record is handled once. Handlers that modules add while they are imported are the caller's too, who has imported
    them as well: a record for one of those goes there, also where a logger does not propagate, and none of them is
    called here. Handlers that a task adds while it runs are its own, and are called here.
    """

    def __init__(self, ship: Ship) -> None:
        self.at_work = False  #: whether an item runs: what is added to loggers then is the task's own
        self._ship = ship
        self._theirs: set[Any] = set()
        self._level: int | None = None
        self._handler: Any = None
        self._own = sys.stdout, sys.stderr
        self._lines = _Lines("stdout", ship), _Lines("stderr", ship)  # once: they may keep part of a line
        warnings.showwarning = self._show_warning

    def follow(self, level: int | None, streams: tuple[Any, Any]) -> None:
        """Take on the caller's lowest log level, and which of its streams are those that were inherited, and how."""
        self._level = level
        if "logging" in sys.modules:
            self._follow_level()
        elif level is not None:
            once("logging", self._follow_level)
        sys.stdout, sys.stderr = (
            lines if inherited is None else _writing(own, *inherited)
            for own, lines, inherited in zip(self._own, self._lines, streams, strict=True)
        )

    def _follow_level(self) -> None:
        import logging

        if self._handler is None:
            self._handler = _handler(self._ship)
            self._theirs.add(self._handler)
            self._take_over(logging.Logger)
        if self._handler not in logging.root.handlers:  # a module that was imported has made it anew
            logging.root.addHandler(self._handler)
        if self._level is not None:
            logging.root.setLevel(self._level)

    def flush(self) -> None:
        """Send what was printed without the end of a line; the batch has ended, and in a loop it would be there."""
        for lines in self._lines:
            lines.flush()
        flush_streams()

    def reclaim(self, imported: bool) -> None:
        """Be the root logger's handler again, and show warnings, if a module has set another while it was imported."""
        if self._handler is not None and self._handler not in sys.modules["logging"].root.handlers:
            self._follow_level()
        if imported and warnings.showwarning != self._show_warning:
            warnings.showwarning = self._show_warning

    def _take_over(self, kind: Any) -> None:
        """Have loggers tell this of their handlers, and ask it which to call."""
        add = kind.addHandler

        def addHandler(logger: Any, handler: Any) -> None:
            if not self.at_work:
                self._theirs.add(handler)
            add(logger, handler)

        def callHandlers(logger: Any, record: Any) -> None:
            handlers = [*_handlers(logger)]
            own = [handler for handler in handlers if handler not in self._theirs]
            if len(own) < len(handlers) or not handlers:
                self._handler.handle(record)
            for handler in own:
                if record.levelno >= handler.level:
                    handler.handle(record)

        kind.addHandler, kind.callHandlers = addHandler, callHandlers

    def _show_warning(
        self, message: Any, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any
    ) -> None:
        try:
            echo = dump((WARNING, pickle_error(message) or str(message), category, filename, lineno))
        except Exception:  # the warning holds something that cannot travel: its text can
            echo = dump((WARNING, str(message), UserWarning, filename, lineno))
        self._ship(echo)


def _writing(stream: Any, encoding: str | None, errors: str | None) -> Any:
    """Return a stream of the worker's that writes as the caller's does, who may have reconfigured that."""
    known = encoding is not None and hasattr(stream, "reconfigure")
    if known and (stream.encoding, stream.errors) != (encoding, errors):
        try:
            codecs.lookup_error(errors or "strict")
            stream.reconfigure(encoding=encoding, errors=errors)
        except (LookupError, ValueError, OSError):  # a codec of the program's own; or a task has closed it
            return stream
    return stream


def _handler(ship: Ship) -> Any:
    import logging

    class Shipping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                ship(dump((LOG, _portable(record))))
            except RecursionError:
                raise
            except Exception:  # what is wrong with a record is never the task's error
                self.handleError(record)

    return Shipping()


def _handlers(logger: Any) -> Iterator[Any]:
    """Yield the handlers that a logger's records meet."""
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def _portable(record: Any) -> dict[str, Any]:
    """Return a record's attributes, formatted where they might not travel (as logging's QueueHandler does)."""
    import logging

    state = dict(record.__dict__)
    try:
        state["msg"], state["args"] = record.getMessage(), None
    except Exception:  # the arguments do not fit: the caller's handlers say so, each in its way
        load(dump((record.msg, record.args)))
    if record.exc_info:
        state["exc_text"] = record.exc_text or logging.Formatter().formatException(record.exc_info)
        state["exc_info"] = None
    for name, value in state.items():
        if not isinstance(value, (str, int, float, type(None))) and name != "args":
            try:
                load(dump(value))
            except Exception:  # an `extra=` of the user's
                state[name] = repr(value)
    return state


class _Lines:
    """A text stream that ships whole lines."""

    encoding = "utf-8"
    errors = "strict"

    def __init__(self, name: str, ship: Ship) -> None:
        self.name = f"<{name}>"
        self._stream = name
        self._ship = ship
        self._kept = ""

    def write(self, text: str) -> int:
        """Ship what ends with a newline, and keep the rest."""
        end = text.rfind("\n") + 1
        if end:
            kept, self._kept = self._kept, text[end:]  # first: other threads may print while this is shipped
            self._ship(dump((TEXT, self._stream, kept + text[:end])))
        else:
            self._kept += text
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Ship what is there."""
        kept, self._kept = self._kept, ""
        if kept:
            self._ship(dump((TEXT, self._stream, kept)))

    def isatty(self) -> bool:
        """Return False."""
        return False

    def writable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return False."""
        return False

    def seekable(self) -> bool:
        """Return False."""
        return False

    def fileno(self) -> int:
        """Return the descriptor that the worker inherited."""
        return 1 if self._stream == "stdout" else 2

    @property
    def closed(self) -> bool:
        """Return False."""
        return False


def open_streams() -> None:
    """Have a worker write each line of its standard streams at once, whole."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, write_through=False)


def flush_streams() -> None:
    """Write what is left; a batch has ended, or the worker is about to."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # it is closed, or None, or something that a task has put there
            continue
