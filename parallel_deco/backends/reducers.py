"""How to rebuild what pickle knows by its name only, or not at all, where a worker does not find it by that name."""

import functools
import sys
import typing
from collections.abc import Callable
from io import TextIOWrapper
from struct import Struct
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from parallel_deco._nesting import in_worker_process
from parallel_deco.backends.references import locate, reference

__all__ = ["reducer_of"]

Reduced = tuple[Any, ...]
_Cached = type(functools.lru_cache(len))


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """Return what says how to rebuild values of a type, or NotImplemented for those that their name leads to."""
    return _REDUCERS.get(kind)


def _reduce_cached(value: Any) -> Reduced:
    """Have a function with a cache begin with an empty one: what it returns is the same."""
    where = reference(value)
    if where is not None:
        return locate, (where,)
    state = {name: given for name, given in vars(value).items() if name not in ("__wrapped__", "cache_parameters")}
    parameters = value.cache_parameters()
    return cached, (value.__wrapped__, parameters["maxsize"], parameters["typed"]), state


def cached(function: Callable[..., Any], size: int | None, typed: bool) -> Any:
    """Return a function with a cache; its name and the like come as its state, as it may refer to itself."""
    return functools.lru_cache(size, typed)(function)


def _reduce_cached_property(value: Any) -> Reduced:
    """Leave the lock behind, which it has up to Python 3.11."""
    return functools.cached_property, (value.func,), {"attrname": value.attrname, "__doc__": value.__doc__}


def _reduce_struct(value: Struct) -> Reduced:
    return Struct, (value.format,)


def _reduce_weak(value: Any) -> Reduced:
    items = list(value.items())
    return type(value), (), _kept(items), None, iter(items)


def _reduce_weak_set(value: Any) -> Reduced:
    items = list(value)
    return type(value), (items,), _kept(items)


def _kept(items: list[Any]) -> dict[str, Any] | None:
    """Have what is in a weak container live as long as that, in a worker, where nobody else may hold it."""
    return None if in_worker_process() else {"_parallel_deco_kept": items}


def _reduce_file(value: TextIOWrapper) -> Reduced:
    """Refuse it, which cloudpickle copies: what is written to the copy is lost, and each reads the same lines."""
    for name in ("stdout", "stderr"):
        if value is getattr(sys, name):
            return getattr, (sys, name)
    if value.closed or value is sys.stdin:
        raise TypeError(f"cannot pickle {'a closed file' if value.closed else 'the standard input'}")
    raise TypeError("cannot pickle an open text file: give its name, and open it in the function")


def _reduce_new_type(value: Any) -> Any:
    if _has_name(value):
        return NotImplemented
    names = {name: getattr(value, name) for name in ("__module__", "__name__", "__qualname__")}
    return typing.NewType, (value.__name__, value.__supertype__), names


def _reduce_parameters(value: Any) -> Any:
    if _has_name(value):
        return NotImplemented
    named = {name: getattr(value, f"__{name}__") for name in _VARIANCE if hasattr(value, f"__{name}__")}
    if getattr(value, "has_default", bool)():
        named["default"] = value.__default__
    make: Callable[..., Any] = type(value)
    return functools.partial(make, value.__name__, **named), ()


_VARIANCE = "bound", "covariant", "contravariant"


def _reduce_alias(value: Any) -> Any:
    if _has_name(value):
        return NotImplemented
    make: Callable[..., Any] = type(value)
    return functools.partial(make, type_params=value.__type_params__), (value.__name__, value.__value__)


def _has_name(value: Any) -> bool:
    """Whether a worker finds it under its name."""
    module = value.__module__
    return module != "__main__" and getattr(sys.modules.get(module), value.__name__, None) is value


_REDUCERS: dict[type, Callable[[Any], Any]] = {
    _Cached: _reduce_cached,
    functools.cached_property: _reduce_cached_property,
    Struct: _reduce_struct,
    WeakKeyDictionary: _reduce_weak,
    WeakValueDictionary: _reduce_weak,
    WeakSet: _reduce_weak_set,
    TextIOWrapper: _reduce_file,
    typing.NewType: _reduce_new_type,
    typing.ParamSpec: _reduce_parameters,
    typing.TypeVarTuple: _reduce_parameters,
}
if sys.version_info >= (3, 12):
    _REDUCERS[typing.TypeAliasType] = _reduce_alias
