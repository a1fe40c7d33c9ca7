"""Context variables on their way to a worker: those whose values can travel; the others are left out."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextvars import Context, ContextVar
from functools import partial

from parallel_deco.backends import variables
from parallel_deco.backends.imports import once
from parallel_deco.backends.payload import dump, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["pack", "settle", "unpack"]

#: Where each variable is found, and the pickle of its value. What a library keeps in compiled code goes under the name
#: of its module, and is set there by the library's own means.
Packed = list[tuple[variables.Place | str, bytes]]


def pack(context: Context | None) -> Packed | None:
    """Return a context in a form that can be pickled; None stands for None."""
    if context is None:
        return None
    packed: Packed = []
    for variable, value in context.items():
        try:
            if variable.name in _LIBRARIES:
                library, read = _LIBRARIES[variable.name]
                settings = read(context, value)
                if settings is not None:
                    packed.append((library, dump(settings)))
                    continue
            pickled = dump(value)
        except Exception:  # a value that cannot travel stays at home; it may be of no interest to the function
            continue
        packed.append((variables.place(variable, dump), pickled))
    return packed


def unpack(packed: Packed | None) -> Context | None:
    """Return a context with the variables that could be rebuilt."""
    _awaiting.clear()
    if packed is None and not variables.circular:
        return None
    context = Context()
    if packed or variables.circular:
        context.run(_set_all, packed or [])
    return context


def settle(context: Context | None) -> None:
    """Import the libraries whose settings wait for that, in their context: it is about to be copied for each thread."""
    if context is not None and _awaiting:
        context.run(_import_awaited)


def _import_awaited() -> None:
    for name in list(_awaiting):
        try:
            importlib.import_module(name)
        except Exception:  # then nothing here can look at its settings either
            continue


def _set_all(packed: Packed) -> None:
    for place, pickled in packed:
        try:
            if isinstance(place, str):
                _set_library(place, load(pickled))
                continue
            variable: ContextVar[Any] = variables.find(*place)
            variable.set(load(pickled))
        except Exception:  # its module or class is not there: then nothing here can look at it either
            continue
    for variable, default in variables.circular.items():
        if variable.get(variables) is variables:  # it has no value
            variable.set(default)


def _decimal_settings(context: Context, value: Any) -> Any:
    """Return what makes a context of `decimal`, without its flags: they are what happened here."""
    if type(value) is not getattr(sys.modules.get("decimal"), "Context", None):
        return None
    traps = [signal.__name__ for signal, trapped in value.traps.items() if trapped]
    return value.prec, value.rounding, value.Emin, value.Emax, value.capitals, value.clamp, traps


def _set_decimal(decimal: Any, settings: Any) -> None:
    *numbers, traps = settings
    decimal.setcontext(decimal.Context(*numbers, [], [getattr(decimal, name) for name in traps]))


def _numpy_settings(context: Context, value: Any) -> Any:
    """Return what numpy does about floating-point errors."""
    numpy = sys.modules.get("numpy")
    return None if numpy is None else (context.copy().run(numpy.geterr), context.copy().run(numpy.geterrcall))


def _set_numpy(numpy: Any, settings: Any) -> None:
    errors, call = settings
    numpy.seterr(**errors)
    numpy.seterrcall(call)


#: Variables by name: the module that has them in compiled code, and what to send of them.
_LIBRARIES: dict[str, tuple[str, Callable[[Context, Any], Any]]] = {
    "decimal_context": ("decimal", _decimal_settings),
    "numpy.ufunc.extobj": ("numpy", _numpy_settings),
}
_SETTERS: dict[str, Callable[[Any, Any], None]] = {"decimal": _set_decimal, "numpy": _set_numpy}


def _set_library(name: str, settings: Any) -> None:
    """Set what a library looks at in this context, now or as soon as it is imported; it is not imported for that."""
    _awaiting[name] = settings
    if name in sys.modules:
        _set_awaited(name)
    else:
        once(name, partial(_set_awaited, name))


#: Settings by library for the batch that is about to run, or runs; another batch has its own.
_awaiting: dict[str, Any] = {}


def _set_awaited(name: str) -> None:
    settings = _awaiting.pop(name, None)
    if settings is not None:
        _SETTERS[name](sys.modules[name], settings)
