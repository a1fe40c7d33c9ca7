"""Where a module has a class that its own name does not lead to: made by a function, or by `namedtuple` or `Enum`.

``Point = namedtuple("P", "x y")`` is in its module as `Point`, and a worker that imports the module has a `Point` too.
A class that is made from the pickle would be another one: not caught, not equal, and no type of what is there.

What is there under that name may be another class, which the same code has made of something else: so it is taken only
if it has the same look, a digest of all that it is made of. Where something in it cannot be told so that it is the
same in all processes, it has none; it is made then, as any other that goes by value.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)

from parallel_deco.backends.references import file_of, imported_if_possible, is_handmade
from parallel_deco.backends.reloads import spec_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Place", "find_at", "place_of"]

#: The module, its file, the names that lead from there to the class, and its look.
Place = tuple[str, "str | None", tuple[str, ...], str]

#: Classes that are said to be of these may be anywhere: `make_dataclass` says so, and pytest of its exceptions.
_NOWHERE = frozenset(["builtins", "types"])
_PLAIN = frozenset([str, bytes, int, float, complex, bool, type(None), type(...)])
#: Made in passing, as `__slotnames__` by `copyreg` and `__annotations__` by whoever asks for it, or from what is there.
_BESIDE = frozenset(
    (
        *("__dict__", "__weakref__", "__doc__", "__slotnames__", "__annotations__", "__orig_bases__", "__parameters__"),
        *("__dataclass_params__", "__static_attributes__", "__firstlineno__", "__annotate_func__", "__annotate__"),
        *("__annotations_cache__", "_abc_impl"),
    )
)
#: Its keys are all that is told of it: what is in the fields is in the class too.
_FIELDS = "__dataclass_fields__"
#: Parts that a look has at most, and bytes of a plain one.
_MOST, _LONGEST = 500, 4096


def place_of(value: type) -> Place | None:
    """Return where a worker that imports the module finds a class; None where none has it, or it is the script's.

    Notes
    -----
    30 µs for a module of some hundred names; 2 ms where it may be in any of a thousand modules.
    """
    home = vars(value).get("__module__")
    if type(home) is not str or home == "__main__" or is_handmade(home):
        return None
    modules = sys.modules.copy()
    if home in modules and home not in _NOWHERE:
        modules = {home: modules[home]}
    modules.pop("__main__", None)
    for name, module in modules.items():
        spec = spec_of(module)
        names = None if spec is None else next(_ways(module, value, within=name == home), None)
        if spec is not None and names is not None:
            look = _look(value)
            return None if look is None else (name, file_of(spec), names, look)
    return None


def find_at(place: Place) -> type | None:
    """Return the class that is there, importing its module in a worker; None where there is none of that look."""
    module, file, names, look = place
    found: Any = imported_if_possible(module, file)
    for name in names:
        found = vars(found).get(name) if isinstance(found, (ModuleType, type)) else None
    return found if isinstance(found, type) and _look(found) == look else None


def _ways(module: ModuleType, value: type, within: bool) -> Iterator[tuple[str, ...]]:
    """Yield the names that lead to a class: in the module, and if it may be `within`, in the classes that are there."""
    names = vars(module).copy()
    yield from ((name,) for name in _names(names, value))
    for outer, inside in names.items() if within else ():
        if type(inside) is type and vars(inside).get("__module__") == module.__name__:
            yield from ((outer, name) for name in _names(vars(inside).copy(), value))


def _names(names: Mapping[str, "Any"], value: type) -> Iterator[str]:
    return (name for name, there in names.items() if there is value)


class _Untold(Exception):
    """A value has nothing by which another process could know it."""


def _look(value: type) -> str | None:
    """Return a digest of all that a class is made of, the same in each process; None where it cannot be told."""
    from hashlib import sha256  # it loads OpenSSL, and few classes need it

    try:
        return sha256(repr(_Looker().of_class(value)).encode(errors="surrogatepass")).hexdigest()
    except Exception:  # besides, other threads change it, or it is far too large
        return None


class _Looker:
    """Tells what values consist of, up to so many parts."""

    def __init__(self) -> None:
        self._left = _MOST

    def of_class(self, value: type) -> "tuple[Any, ...]":
        bases = [_name(base) for base in value.__mro__]
        own = sorted(item for item in vars(value).items() if item[0] not in _BESIDE)
        return bases, [(name, self.all(part) if name == _FIELDS else self.of(part)) for name, part in own]

    def of(self, part: "Any") -> "Any":
        """Return what says what a value is, made of plain values; raise _Untold where nothing does."""
        self._left -= 1
        kind = type(part)
        if self._left < 0:
            raise _Untold
        if kind in _PLAIN:
            return _plain(part)
        if isinstance(part, type):
            return _name(part)
        tell = _TELL.get(kind)
        if tell is not None:
            return kind.__qualname__, tell(self, part)
        if hasattr(kind, "_member_map_") and kind.__module__ != "enum":  # a member of an enumeration
            return _name(kind), part._name_, self.of(part._value_)
        if kind.__qualname__ == "_tuplegetter":  # an attribute of a named tuple: its place, and a text
            return self.of(part.__reduce__()[1])
        if kind.__module__ == "enum":  # a property of its own
            return _name(kind)
        raise _Untold

    def all(self, parts: "Any") -> "list[Any]":
        return [self.of(part) for part in parts]

    def sorted(self, parts: "Any") -> "list[Any]":
        return sorted(map(repr, self.all(parts)))


def _plain(part: "Any") -> "Any":
    """Return a plain value itself, if it is not too long to be told."""
    if isinstance(part, int) and part.bit_length() > 8 * _LONGEST:
        raise _Untold
    if isinstance(part, (str, bytes)) and len(part) > _LONGEST:
        raise _Untold
    return hex(part) if isinstance(part, int) else repr(part)


def _name(thing: "Any") -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _descriptor(looker: _Looker, part: "Any") -> "Any":
    return _name(part.__objclass__), part.__name__


def _function(looker: _Looker, part: FunctionType) -> "Any":
    return looker.all((part.__code__, part.__defaults__, part.__kwdefaults__, *(part.__closure__ or ())))


def _cell(looker: _Looker, part: CellType) -> "Any":
    try:
        found = part.cell_contents
    except ValueError:  # it is empty
        return None
    return looker.of(found)


#: How to tell what a value of a type consists of.
_TELL: dict[type, "Callable[[_Looker, Any], Any]"] = {
    **dict.fromkeys((tuple, list), lambda looker, part: looker.all(part)),
    **dict.fromkeys((set, frozenset), lambda looker, part: looker.sorted(part)),
    **dict.fromkeys((staticmethod, classmethod), lambda looker, part: looker.of(part.__func__)),
    **dict.fromkeys((MemberDescriptorType, GetSetDescriptorType, MethodDescriptorType), _descriptor),
    WrapperDescriptorType: _descriptor,
    dict: lambda looker, part: looker.sorted(part.items()),
    property: lambda looker, part: looker.all((part.fget, part.fset, part.fdel)),
    BuiltinFunctionType: lambda looker, part: (looker.of(part.__self__) if part.__self__ else "", part.__qualname__),
    ModuleType: lambda looker, part: part.__name__,
    FunctionType: _function,
    CodeType: lambda looker, part: (part.co_code, part.co_names, looker.of(part.co_consts)),
    CellType: _cell,
}
