"""Knows which methods of a user's class are called by its base, where that is one in Python of the standard library.

``ast.NodeVisitor.visit`` calls ``visit_Name``, ``threading.Thread.start`` calls ``run``.
"""

from __future__ import annotations

import sys
import types
from typing import Final

from parallel_deco.routing.known import is_library, own_function
from parallel_deco.routing.lookup import class_attribute, home, is_a, mro, namespace

__all__ = ["calls_hooks", "hooks_of", "specials_of"]

# What the names of methods begin with that a base finds by name.
_FOUND_BY_NAME: Final = ("visit_", "do_", "handle_", "__missing__")
# Methods of what is passed as a file, or as the target of a parser.
_OF_STREAMS: Final = (
    *("write", "writelines", "flush", "read", "readline", "readlines", "readinto", "close"),
    *("start", "end", "data", "comment", "pi"),
)
_MAKERS: Final = frozenset(("__init__", "__new__", "__init_subclass__", "__class_getitem__"))
# Special methods that whoever gets an object may call, if only to compare it or to print it.
_SPECIALS: Final = (
    *("__str__", "__repr__", "__format__", "__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__hash__"),
    *("__iter__", "__next__", "__getitem__", "__len__", "__contains__", "__index__", "__int__", "__float__"),
    *("__bool__", "__array__", "__copy__", "__deepcopy__", "__reduce__", "__getstate__"),
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


def specials_of(cls: type) -> list[types.FunctionType]:
    """Return the special methods of the user's that anybody may call."""
    if is_library(home(cls)):
        return []
    found = [class_attribute(cls, name) for name in _SPECIALS]
    return [method for method in found if is_a(method, types.FunctionType) and own_function(method)]


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
