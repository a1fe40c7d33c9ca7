"""Knows which methods of a user's class are called by its base, where that is one in Python of the standard library.

``ast.NodeVisitor.visit`` calls ``visit_Name``, ``threading.Thread.start`` calls ``run``.
"""

from __future__ import annotations

import sys
import types
from typing import Final

from parallel_deco.routing.known import is_library, own_function
from parallel_deco.routing.lookup import MISSING, attribute, class_attribute, home, is_a, mro, namespace

__all__ = [
    "IDENTITY",
    "ORDER",
    "TEXT",
    "TRUTH_OF",
    "anybody_may_call",
    "calls_hooks",
    "hooks_of",
    "special_of",
    "specials_of",
]

# What is called of objects that are told apart, sorted, printed, and asked whether they are true.
IDENTITY: Final = ("__hash__", "__eq__")
ORDER: Final = ("__lt__", "__le__", "__gt__", "__ge__", "__eq__")  # each may be made of others: `total_ordering`
TEXT: Final = ("__format__", "__str__", "__repr__")
TRUTH_OF: Final = ("__bool__", "__len__")

# What the names of methods begin with that a base finds by name.
_FOUND_BY_NAME: Final = ("visit_", "do_", "handle_", "__missing__")
# Methods of what is passed as a file, or as the target of a parser.
_OF_STREAMS: Final = (
    *("write", "writelines", "flush", "read", "readline", "readlines", "readinto", "close"),
    *("start", "end", "data", "comment", "pi"),
)
_MAKERS: Final = frozenset(("__init__", "__new__", "__init_subclass__", "__class_getitem__"))
# Special methods that are called on purpose only; the others may be called by whoever gets an object, if only to
# compare it or to print it.
_ON_PURPOSE: Final = frozenset(
    (
        *("__init__", "__new__", "__del__", "__post_init__", "__init_subclass__", "__set_name__", "__prepare__"),
        *("__class_getitem__", "__mro_entries__", "__instancecheck__", "__subclasscheck__", "__subclasshook__"),
        *("__call__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__await__", "__aiter__", "__anext__"),
        *("__getattr__", "__getattribute__", "__setattr__", "__delattr__", "__get__", "__set__", "__delete__"),
        *("__setitem__", "__delitem__", "__setstate__", "__iadd__", "__isub__", "__imul__", "__imatmul__"),
        *("__itruediv__", "__ifloordiv__", "__imod__", "__ipow__", "__ilshift__", "__irshift__", "__iand__"),
        *("__ixor__", "__ior__"),
    )
)
# Modules in C that call what a subclass defines.
_CALLING: Final = frozenset(("_pickle", "_io"))


def calls_hooks(method: object) -> bool:
    """Say whether `method` is one of the standard library that may call others of its object."""
    if is_a(method, types.FunctionType):
        return not own_function(method) and _is_standard(home(method))
    return home(method) in _CALLING


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def anybody_may_call(name: str) -> bool:
    """Say whether a method is a special one that whoever gets an object may call."""
    return name[:2] == "__" == name[-2:] and name not in _ON_PURPOSE


def specials_of(cls: type) -> list[types.FunctionType]:
    """Return the special methods of the user's that anybody may call."""
    if is_library(home(cls)):
        return []
    names = [
        name for base in mro(cls) if not is_library(home(base)) for name in namespace(base) if anybody_may_call(name)
    ]
    found = [special_of(cls, name) for name in dict.fromkeys(names)]
    return [method for method in found if method is not None]


def special_of(cls: type, name: str) -> types.FunctionType | None:
    """Return the special method called `name` if it is one of the user's, also inside wrappers of a library."""
    found = class_attribute(cls, name)
    for _ in range(4):
        if found is MISSING or (is_a(found, types.FunctionType) and own_function(found)):
            break
        found = attribute(found, "__wrapped__")  # dataclasses guard ``__repr__`` against recursion
    return found if is_a(found, types.FunctionType) and own_function(found) else None


def hooks_of(cls: type, stream: bool = False) -> list[types.FunctionType]:
    """Return the methods of the user's that stand in the place of one of a library base, or are found by name.

    And those that a library calls of an object which it takes as a `stream` or a target, whatever its bases.
    """
    if is_library(home(cls)):
        return []
    names: set[str] = set(_OF_STREAMS) if stream else set()
    found: dict[str, types.FunctionType] = {}
    for base in reversed(mro(cls)):
        members = list(namespace(base).items())
        if is_library(home(base)):
            if _is_standard(home(base)):
                names.update([name for name, member in members if is_a(member, types.FunctionType)])
                names.update([name for name, _ in members] if home(base) in _CALLING else [])
        else:
            for name, member in members:
                named = name in names or (name.startswith(_FOUND_BY_NAME) and (bool(names) or name == "__missing__"))
                if named and name not in _MAKERS and is_a(member, types.FunctionType) and own_function(member):
                    found[name] = member
    return list(found.values())
