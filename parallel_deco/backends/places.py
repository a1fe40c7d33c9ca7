"""Where a module has a class that its own name does not lead to: made by a function, or by `namedtuple` or `Enum`.

``Point = namedtuple("P", "x y")`` is in its module as `Point`, and a worker that imports the module has a `Point` too.
A class that is made from the pickle would be another one: not caught, not equal, and no type of what is there.

What is there under that name may be another class, which the same code has made of something else: so it is taken only
if it has the same look, which is what it is made of as far as that is the same in all processes.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from types import CellType, CodeType, FunctionType, ModuleType

from parallel_deco._nesting import in_worker_process
from parallel_deco.backends.references import imported, is_handmade
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
_BESIDE = frozenset(["__dict__", "__weakref__", "__doc__", "__slotnames__"])  # the last is made by `copyreg`


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
            return name, spec.origin if spec.has_location else None, names, _look(value)
    return None


def find_at(place: Place) -> type | None:
    """Return the class that is there, importing its module in a worker; None where there is none of that look."""
    module, file, names, look = place
    found: Any
    try:
        found = imported(module, file) if in_worker_process() else sys.modules.get(module)
    except BaseException:  # it may do anything, and exit; the class is made from what came
        return None
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


def _look(value: type) -> str:
    """Return a text of what a class is made of, the same in each process; it does not say all."""
    bases = [f"{base.__module__}.{base.__qualname__}" for base in value.__mro__]
    parts = sorted((name, _text(part)) for name, part in vars(value).items() if name not in _BESIDE)
    return f"{bases} {parts}"


def _text(part: "Any", deep: int = 4) -> str:
    """Return a text of a value; of what is not plain, its type."""
    kind = type(part)
    make = _TEXTS.get(kind)
    if kind in _PLAIN:
        return repr(part)
    return kind.__qualname__ if make is None or not deep else f"{kind.__qualname__} {make(part, deep - 1)}"


def _sequence(part: "Any", deep: int) -> list[str]:
    return [_text(each, deep) for each in part]


def _function(part: FunctionType, deep: int) -> str:
    cells = _sequence(part.__closure__ or (), deep)
    return f"{_text(part.__code__, deep)} {_text(part.__defaults__, deep)} {_text(part.__kwdefaults__, deep)} {cells}"


def _code(part: CodeType, deep: int) -> str:
    return f"{part.co_code!r} {part.co_names} {_text(part.co_consts, deep)}"


def _cell(part: CellType, deep: int) -> str:
    try:
        return _text(part.cell_contents, deep)
    except ValueError:  # it is empty
        return ""


#: How to tell what a value of a type consists of.
_TEXTS: dict[type, Callable[["Any", int], object]] = {
    tuple: _sequence,
    list: _sequence,
    frozenset: lambda part, deep: sorted(_sequence(part, deep)),
    set: lambda part, deep: sorted(_sequence(part, deep)),
    dict: lambda part, deep: sorted((_text(key, deep), _text(each, deep)) for key, each in part.items()),
    staticmethod: lambda part, deep: _text(part.__func__, deep),
    classmethod: lambda part, deep: _text(part.__func__, deep),
    property: lambda part, deep: [_text(each, deep) for each in (part.fget, part.fset, part.fdel)],
    FunctionType: _function,
    CodeType: _code,
    CellType: _cell,
}
