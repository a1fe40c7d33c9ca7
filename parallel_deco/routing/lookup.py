"""Attribute lookup that runs nobody's code: namespaces and method resolution orders are read as data.

Every function here takes any object at all, answers from dictionaries and C slots, and never raises. No
``__getattr__``, no property, no metaclass hook and no ``__eq__`` of the user's is ever called.
"""

from __future__ import annotations

import functools
import sys
import types
from _collections import _tuplegetter  # type: ignore[import-not-found]
from collections.abc import Callable, Mapping
from enum import Enum
from types import DynamicClassAttribute
from typing import Any, Final, TypeGuard, TypeVar

__all__ = [
    "MISSING",
    "attribute",
    "builtins_of",
    "class_attribute",
    "dotted_name",
    "home",
    "instance_namespace",
    "is_a",
    "is_any",
    "is_fixed_class",
    "is_iterator_type",
    "is_made_up",
    "is_ours",
    "loaded",
    "mro",
    "namespace",
    "type_name",
    "unwrap_partial",
]


T = TypeVar("T")


class Missing:
    """Says that a lookup found nothing; `None` is a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()

# The C getters of `type` itself: a metaclass that overrides `__mro__`, `__dict__` or `__module__` is not asked.
_MRO: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
namespace: Final[Callable[[type], Mapping[str, object]]] = type.__dict__["__dict__"].__get__
_MODULE: Final[Callable[[type], object]] = type.__dict__["__module__"].__get__
_QUALNAME: Final[Callable[[type], str]] = type.__dict__["__qualname__"].__get__
_MODULE_NAMESPACE: Final[Callable[[types.ModuleType, str], dict[str, object]]] = types.ModuleType.__getattribute__

_FLAGS: Final[Callable[[type], int]] = type.__dict__["__flags__"].__get__
_HEAP_TYPE: Final = 1 << 9

# Slots, and the fields of named tuples: getters in C that run nothing else.
_FIELDS: Final = (types.MemberDescriptorType, _tuplegetter)

_NAMED_TYPES: Final = (types.FunctionType, types.BuiltinFunctionType)
_DESCRIPTOR_TYPES: Final = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)


def is_a(thing: object, kind: type[T]) -> TypeGuard[T]:
    """Say whether `thing` is an instance of `kind`; `isinstance` would ask the ``__class__`` of the user's."""
    return issubclass(type(thing), kind)


def builtins_of(function: types.FunctionType) -> dict[str, object]:
    """Return the namespace in which a function looks for built-in names."""
    found: dict[str, object] = getattr(function, "__builtins__")  # noqa: B009  # typeshed did not always know it
    return found


def is_any(thing: object, kinds: tuple[type, ...]) -> bool:
    """Say whether `thing` is an instance of one of `kinds`."""
    return issubclass(type(thing), kinds)


def mro(cls: type) -> tuple[type, ...]:
    """Return the method resolution order of `cls`, also where its metaclass hides it."""
    return _MRO(cls) or (cls,)


def class_attribute(cls: type, name: str) -> object:
    """Return what stands under `name` in the namespaces of `cls` and its bases, unbound, or `MISSING`."""
    for base in mro(cls):
        found = namespace(base).get(name, MISSING)
        if found is not MISSING:
            return found
    return MISSING


def instance_namespace(instance: object) -> dict[str, object] | None:
    """Return the ``__dict__`` of `instance` if it is the ordinary one, read through its C getter."""
    getter = class_attribute(type(instance), "__dict__")
    if type(getter) not in (types.GetSetDescriptorType, types.MemberDescriptorType):
        return None
    try:
        own = getter.__get__(instance)  # type: ignore[attr-defined]
    except Exception:  # a C getter of an extension type may fail in its own way
        return None
    return own if is_a(own, dict) else None


def is_fixed_class(thing: object) -> bool:
    """Say whether `thing` is a class that nobody can change: one made in C, not by a class statement."""
    return is_a(thing, type) and not _FLAGS(thing) & _HEAP_TYPE


def has_own(instance: object, name: str) -> bool:
    """Say whether an instance has, itself, what its class has not or has otherwise."""
    found = attribute(instance, name)
    return found is not MISSING and found is not class_attribute(type(instance), name)


def attribute(owner: object, name: str) -> object:
    """Return the attribute `name` of a module, class or instance without running code, or `MISSING`.

    Functions found on a class come back unbound, as they stand in the class. Properties and other
    descriptors written in Python come back as the descriptor.
    """
    if is_a(owner, types.ModuleType):
        return dict.get(_MODULE_NAMESPACE(owner, "__dict__"), name, MISSING)
    if is_a(owner, type):
        found = class_attribute(owner, name)
        return found if found is not MISSING else class_attribute(type(owner), name)
    own = instance_namespace(owner)
    if own is not None:
        found = dict.get(own, name, MISSING)
        if found is not MISSING:
            return found
    found = class_attribute(type(owner), name)
    if type(found) in _FIELDS:
        try:
            return found.__get__(owner)  # type: ignore[attr-defined]
        except Exception:  # an unset slot, or a getter in C that failed
            return MISSING
    if own is not None and is_a(found, DynamicClassAttribute) and found is class_attribute(Enum, name):
        return dict.get(own, f"_{name}_", MISSING)  # the name or the value of a member
    return found


def type_name(cls: type) -> str:
    """Return ``module.qualname`` of a class."""
    module = _MODULE(cls)
    return f"{module}.{_QUALNAME(cls)}" if is_a(module, str) else _QUALNAME(cls)


def home(thing: object) -> str:
    """Return the name of the module in which a function, class or instance's class was defined, or ``""``."""
    if is_a(thing, types.ModuleType):
        found = attribute(thing, "__name__")
    elif is_a(thing, type):
        found = _MODULE(thing)
    elif is_any(thing, _NAMED_TYPES):
        found = thing.__module__
        owner = thing.__self__ if is_a(thing, types.BuiltinFunctionType) else None
        if found is None and owner is not None and not is_a(owner, types.ModuleType):
            found = _MODULE(owner if is_a(owner, type) else type(owner))
    elif is_any(thing, _DESCRIPTOR_TYPES):
        found = _MODULE(thing.__objclass__)  # type: ignore[attr-defined]
    else:
        found = attribute(thing, "__module__")
        if not is_a(found, str):
            found = _MODULE(type(thing))
    return found if is_a(found, str) else ""


def dotted_name(thing: object) -> str:
    """Return ``module.name`` of a module, function or class, as far as it can be told."""
    if is_a(thing, types.ModuleType):
        return home(thing)
    if is_a(thing, type):
        return type_name(thing)
    name: Any = MISSING
    if is_any(thing, _NAMED_TYPES):
        name = thing.__qualname__  # type: ignore[attr-defined]
    elif is_any(thing, _DESCRIPTOR_TYPES):
        name = f"{_QUALNAME(thing.__objclass__)}.{thing.__name__}"  # type: ignore[attr-defined]
    elif home(type(thing)).partition(".")[0] in ("numpy", "scipy"):  # ufuncs and dispatchers: C getters
        name = getattr(thing, "__name__", MISSING)
    else:
        name = attribute(thing, "__qualname__")
        name = name if is_a(name, str) else attribute(thing, "__name__")
    return f"{home(thing)}.{name}" if is_a(name, str) else type_name(type(thing))


def is_ours(thing: object) -> bool:
    """Say whether `thing` is an object of this package: a decorated function."""
    return home(type(thing)).partition(".")[0] == "parallel_deco"


def loaded(name: str) -> object:
    """Return the module called `name` if it was imported by somebody before, or `MISSING`."""
    return dict.get(sys.modules, name, MISSING)


def is_made_up(name: str) -> bool:
    """Say whether the program has made the module of this name itself, and nothing says how to import it.

    One below a package is made when that is imported, in a worker too.
    """
    return name != "__main__" and _lacks_spec(loaded(name)) and not _has_spec(loaded(name.rpartition(".")[0]))


def _lacks_spec(module: object) -> bool:
    return is_a(module, types.ModuleType) and not _has_spec(module)


def _has_spec(module: object) -> bool:
    spec = attribute(module, "__spec__")
    return spec is not None and spec is not MISSING


def is_iterator_type(cls: type) -> bool:
    """Say whether instances of `cls` are iterators: reading one uses it up."""
    return class_attribute(cls, "__next__") is not MISSING and class_attribute(cls, "__iter__") is not MISSING


def unwrap_partial(
    thing: object,
) -> tuple[object, tuple[object, ...], dict[str, object]]:
    """Return the callable inside nested `functools.partial` objects with the arguments bound on the way."""
    arguments: tuple[object, ...] = ()
    keywords: dict[str, object] = {}
    for _ in range(16):  # a partial of a partial is flattened by Python; a subclass may nest, or loop
        if not is_a(thing, functools.partial):
            break
        inner = functools.partial
        arguments = (*inner.args.__get__(thing), *arguments)
        keywords = {**inner.keywords.__get__(thing), **keywords}
        thing = inner.func.__get__(thing)
    return thing, arguments, keywords
