"""Context variables have no names of their own: how one process tells another which of them it means."""

from __future__ import annotations

import sys
from contextvars import Context, ContextVar

try:  # as in payload: without what `pickle` imports
    from _pickle import dumps, loads
except ImportError:
    from pickle import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Place", "find", "place"]

#: The module and the attribute that holds the variable; or its name, the number under which it travels, and the
#: pickle of its default when it has one.
Place = tuple[str, str] | tuple[str, int, bytes | None]

# Variables that no module attribute leads to are kept for good: a number must never come to mean another variable.
_places: dict[ContextVar[Any], Place] = {}
_numbered: dict[int, ContextVar[Any]] = {}


def place(variable: ContextVar[Any]) -> Place:
    """Return how another process finds a context variable.

    Notes
    -----
    The first time that a variable is seen, all imported modules are searched for it: 5 ms in a large program.
    """
    found = _places.get(variable)
    if found is None:
        found = _places[variable] = _search(variable)
    return found


def _search(variable: ContextVar[Any]) -> Place:
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
    return variable.name, number, _default(variable)


def _default(variable: ContextVar[Any]) -> bytes | None:
    try:
        return dumps(Context().run(variable.get), 5)
    except Exception:  # it has none, or one that cannot travel
        return None


def find(name: str, where: str | int, default: bytes | None = None) -> ContextVar[Any]:
    """Return the variable that `place` described, making it when it belongs to no module."""
    if isinstance(where, str):
        __import__(name)
        found: ContextVar[Any] = getattr(sys.modules[name], where)
        return found
    if where not in _numbered:
        options = {} if default is None else {"default": loads(default)}
        made: ContextVar[Any] = ContextVar(name, **options)
        _numbered[where] = made
        _places[made] = name, where, default  # a result that holds it finds its way back
    return _numbered[where]
