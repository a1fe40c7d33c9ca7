"""The errors of the library.

    ParallelError(Exception)
    ├── InvalidOptionError(ValueError)     an option or an environment variable has an impossible value
    ├── InvalidTypeError(TypeError)        the decorated object or an option is of the wrong type
    ├── NotPicklableError(TypeError)       work for another process that cannot travel, and where it sits
    ├── WorkerDied(BrokenExecutor)         the process that ran an item died under it
    ├── ItemTimeoutError(TimeoutError)     an item took longer than its `timeout`
    └── RemoteError(RuntimeError)          an exception of a worker that could not travel; has its text

`WorkerDied` has a module of its own, `_died`. Each is also its standard-library parent in brackets. An exception of the
user's function comes back as itself, and with what was behind it; when it was raised in another process, its traceback
there, a `RemoteTraceback`, is the cause of the last of these.
"""

from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "InvalidOptionError",
    "InvalidTypeError",
    "ItemTimeoutError",
    "NotPicklableError",
    "ParallelError",
    "RemoteError",
    "RemoteTraceback",
]

#: Notes that an error has at most when another is added.
MOST_NOTES = 16


class ParallelError(Exception):
    """The root of the library's own errors."""


class InvalidOptionError(ParallelError, ValueError):
    """An option, or an environment variable, has a value that it cannot have."""


class InvalidTypeError(ParallelError, TypeError):
    """The decorated object, or an option, is of a type that cannot work."""


class NotPicklableError(ParallelError, TypeError):
    """Work for another process holds something that cannot be pickled."""

    of_function = False  #: it is the function, and so no call of it can be sent


class ItemTimeoutError(ParallelError, TimeoutError):
    """An item took longer than its `timeout`."""


class RemoteError(ParallelError, RuntimeError):
    """A worker's exception that could not travel, or not be rebuilt here; the message holds its text."""


class RemoteTraceback(Exception):
    """The traceback of a worker, as text; the last cause behind an exception that came from another process."""

    def __str__(self) -> str:
        """Show the text below an empty line, as multiprocessing does."""
        return f'\n"""\n{self.args[0]}"""'


def note(error: BaseException, text: str) -> None:
    """Add a note to an error, once; not where one error is that of many items, or takes no notes."""
    try:
        notes = getattr(error, "__notes__", ())
        if text not in notes and len(notes) < MOST_NOTES:
            error.add_note(text)
    except Exception:  # a frozen dataclass, for one
        return


def name_of(function: "Callable[..., Any]") -> str:
    """Return what messages call a function; no `__repr__` of the user's runs for it."""
    try:
        name = getattr(function, "__qualname__", None)
    except Exception:  # a `__getattr__` of the user's
        name = None
    return name if isinstance(name, str) else type(function).__qualname__


for _error in __all__:
    globals()[_error].__module__ = "parallel_deco"
