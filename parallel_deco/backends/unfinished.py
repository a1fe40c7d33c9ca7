"""Refuses values of modules that are still being imported; loaded when there are such modules.

A worker would run all of the module too. What comes back is unpickled in another thread than the one that imports the
module, and waits there for the end of an import that may wait for just that; so does pickling, in another thread.
"""

from collections.abc import Collection
from contextlib import suppress
from io import BytesIO
from typing import Any

from parallel_deco.backends.by_value import ByValuePickler

__all__ = ["BeingImported", "refuse"]


class BeingImported(ImportError):
    """A value is of a module that the program has yet to import to its end."""


def refuse(value: Any, unfinished: Collection[str]) -> None:
    """Raise an error where the pickle of a value would refer to something in one of these modules.

    Raises
    ------
    BeingImported
    """
    pickler = _Looking(BytesIO(), unfinished)
    with suppress(Exception):  # whatever the user's __reduce__ raises; the pickling itself tells of it
        pickler.dump(value)
    name = pickler.found
    if name is not None:
        raise BeingImported(f"module {name!r} is still being imported: call it later, from a function", name=name)


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
