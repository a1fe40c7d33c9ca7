"""Context variables have no names of their own: how one process tells another which of them it means."""

from __future__ import annotations

import os
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
# Threads and forks that come in between do no harm: what is entered first holds, and by whomever it is read.
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
        found = _places.setdefault(variable, _search(variable))
    name, where = found
    if isinstance(where, str):
        return name, where
    _numbered.setdefault(where, variable)
    return name, where, _default(variable, dump)


def _search(variable: ContextVar[Any]) -> tuple[str, str] | tuple[str, int]:
    for name in list(sys.modules):  # not of the items: the collector may run with each tuple, and others import
        module = sys.modules.get(name)
        if name == "__main__" or getattr(module, "__spec__", None) is None:
            continue
        names = vars(module)
        for attribute in list(names):
            if names.get(attribute) is variable:
                return name, attribute
    # By chance: a process that gets it back must not have it for another of its own, nor have it from another worker.
    return variable.name, int.from_bytes(os.urandom(16), "big")


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
    if new and options and where in _numbered:  # made on the way to its own default
        circular[_numbered[where]] = options["default"]
    known = _numbered.get(where) or _numbered.setdefault(where, ContextVar(name, **options))
    _places.setdefault(known, (name, where))  # a result that holds it finds its way back
    return known
