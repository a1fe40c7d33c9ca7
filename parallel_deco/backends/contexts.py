"""Context variables on their way to a worker: those whose values can travel; the others are left out."""

from __future__ import annotations

from contextvars import Context, ContextVar

from parallel_deco.backends import variables
from parallel_deco.backends.payload import dump, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["pack", "unpack"]

#: Where each variable is found, and the pickle of its value.
Packed = list[tuple[variables.Place, bytes]]


def pack(context: Context | None) -> Packed | None:
    """Return a context in a form that can be pickled; None stands for None."""
    if context is None:
        return None
    packed: Packed = []
    for variable, value in context.items():
        try:
            pickled = dump(value)
        except Exception:  # a value that cannot travel stays at home; it may be of no interest to the function
            continue
        packed.append((variables.place(variable), pickled))
    return packed


def unpack(packed: Packed | None) -> Context | None:
    """Return a context with the variables that could be rebuilt."""
    if packed is None:
        return None
    context = Context()
    context.run(_set_all, packed)
    return context


def _set_all(packed: Packed) -> None:
    for place, pickled in packed:
        try:
            variable: ContextVar[Any] = variables.find(*place)
            variable.set(load(pickled))
        except Exception:  # its module or class is not there: then nothing here can look at it either
            continue
