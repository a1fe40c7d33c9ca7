"""Refuses values of modules whose import waits for them, and waits for that of others; loaded when there are such.

A worker would run all of the module too. What comes back is unpickled in another thread than the one that imports the
module, and waits there for the end of an import that may wait for just that; so does pickling, in another thread.
"""

from collections.abc import Collection
from io import BytesIO
from typing import Any

from parallel_deco._importing import settle, unfinished
from parallel_deco._interrupts import interrupts
from parallel_deco.backends.by_value import ByValuePickler

__all__ = ["BeingImported", "refuse"]


class BeingImported(ImportError):
    """A value is of a module that the program has yet to import to its end."""


def refuse(value: Any) -> None:
    """Raise an error where the pickle of a value would refer to a module whose import waits for this very work.

    What another thread imports, which has not called the library, is waited for, as the pickler would.

    Raises
    ------
    BeingImported
    """
    while (name := _named(value, unfinished())) is not None:
        if not settle(name):
            raise BeingImported(f"module {name!r} is still being imported: call it later, from a function", name=name)


def _named(value: Any, modules: Collection[str]) -> str | None:
    """Return one of the modules that the pickle of a value would refer to."""
    pickler = _Looking(BytesIO(), modules)
    try:
        pickler.dump(value)
    except Exception as error:  # whatever the user's __reduce__ raises; the pickling itself tells of it
        if interrupts(error):
            raise
    return pickler.found


class _Looking(ByValuePickler):
    """Looks at what a pickle would name, before the pickler imports its module, and waits."""

    def __init__(self, file: BytesIO, unfinished: Collection[str]) -> None:
        super().__init__(file, buffer_callback=lambda buffer: False)
        self._unfinished = unfinished
        self.found: str | None = None

    def reducer_override(self, value: Any) -> Any:
        """Return how to rebuild a value.

        Raises
        ------
        ImportError
            There is no need to go on.
        """
        module = getattr(value, "__module__", None) if callable(value) else None
        if module in self._unfinished:
            self.found = module
            raise ImportError
        return super().reducer_override(value)
