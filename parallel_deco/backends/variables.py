"""Context variables have no names of their own: how one process tells another which of them it means."""

from __future__ import annotations

import sys
from _thread import _local as local
from collections.abc import Callable
from contextvars import Context, ContextVar

try:  # as in payload: without what `pickle` imports
    from _pickle import loads
except ImportError:
    from pickle import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Place", "circular", "find", "place"]

#: The module and the attribute that holds the variable; or its name, the number under which it travels, and the
#: pickle of its default when it has one.
Place = tuple[str, str] | tuple[str, int, bytes | None]

# Variables that no module attribute leads to are kept for good: a number must never come to mean another variable.
_places: dict[ContextVar[Any], tuple[str, str] | tuple[str, int]] = {}
_numbered: dict[int, ContextVar[Any]] = {}
#: Variables that their own defaults lead to, which can only be made without these: the defaults.
circular: dict[ContextVar[Any], Any] = {}


class _Told(local):
    def __init__(self) -> None:
        self.variables: set[ContextVar[Any]] = set()


#: In each thread the variables whose defaults are part of the one that is being pickled.
_told = _Told()


def place(variable: ContextVar[Any], dump: Callable[[Any], bytes] | None = None) -> Place:
    """Return how another process finds a context variable.

    Parameters
    ----------
    variable : ContextVar
    dump : callable, optional
        Pickles its default; left out, that is not told.

    Notes
    -----
    The first time that a variable is seen, all imported modules are searched for it: 5 ms in a large program.
    """
    found = _places.get(variable)
    if found is None:
        found = _places[variable] = _search(variable)
    name, where = found
    return (name, where) if isinstance(where, str) else (name, where, _default(variable, dump))


def _search(variable: ContextVar[Any]) -> tuple[str, str] | tuple[str, int]:
    for name in list(sys.modules):  # not of the items: the collector may run with each tuple, and others import
        module = sys.modules.get(name)
        if name == "__main__" or getattr(module, "__spec__", None) is None:
            continue
        names = vars(module)
        for attribute in list(names):
            if names.get(attribute) is variable:
                return name, attribute
    number = len(_places)
    _numbered[number] = variable
    return variable.name, number


def _default(variable: ContextVar[Any], dump: Callable[[Any], bytes] | None) -> bytes | None:
    """Return the pickle of a default as it is now; each is told once where defaults lead to other variables."""
    told = _told.variables
    if dump is None or variable in told:
        return None
    outermost = not told
    told.add(variable)
    try:
        return dump(Context().run(variable.get))
    except Exception:  # it has none, or one that cannot travel
        return None
    finally:
        if outermost:
            told.clear()


def find(name: str, where: str | int, default: bytes | None = None) -> ContextVar[Any]:
    """Return the variable that `place` described, making it when it belongs to no module."""
    if isinstance(where, str):
        __import__(name)
        found: ContextVar[Any] = getattr(sys.modules[name], where)
        return found
    new = where not in _numbered
    # A default that was sent again is loaded again: its class may have changed.
    options = {} if default is None else {"default": loads(default)}
    if where not in _numbered:
        made: ContextVar[Any] = ContextVar(name, **options)
        _numbered[where] = made
        _places[made] = name, where  # a result that holds it finds its way back
    elif new and options:  # made by its own default
        circular[_numbered[where]] = options["default"]
    return _numbered[where]
