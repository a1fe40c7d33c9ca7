"""Where a module has a class that its own name does not lead to: made by a function, or by `namedtuple` or `Enum`.

``Point = namedtuple("P", "x y")`` is in its module as `Point`, and a worker that imports the module has a `Point` too.
A class that is made from the pickle would be another one: not caught, not equal, and no type of what is there.
"""

import sys
from collections.abc import Iterator, Mapping
from types import ModuleType

from parallel_deco.backends.references import imported, is_handmade
from parallel_deco.backends.reloads import spec_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Place", "find_at", "place_of"]

#: The module, its file, the names that lead from there to the class, and what the class says of itself.
Place = tuple[str, str | None, tuple[str, ...], tuple[str, str]]


def place_of(value: type) -> Place | None:
    """Return where a worker that imports the module finds a class; None where none has it, or it is the script's.

    Notes
    -----
    2 ms in a program of a thousand modules: one that `make_dataclass` has made says that it is of `types`.
    """
    home = value.__module__
    if home == "__main__" or is_handmade(home):
        return None
    modules = sys.modules.copy()
    modules.pop("__main__", None)
    for name in sorted(modules, key=home.__ne__):  # its home first
        module = modules[name]
        spec = spec_of(module)
        names = None if spec is None else next(_ways(module, value, within=name == home), None)
        if spec is not None and names is not None:
            return name, spec.origin if spec.has_location else None, names, _said(value)
    return None


def find_at(place: Place) -> type | None:
    """Return the class that is there, importing its module when needed; None where there is none like it."""
    module, file, names, said = place
    found: Any
    try:
        found = imported(module, file)
    except Exception:  # it may do anything; the class is made from what came
        return None
    for name in names:
        found = vars(found).get(name) if isinstance(found, (ModuleType, type)) else None
    return found if isinstance(found, type) and _said(found) == said else None


def _ways(module: ModuleType, value: type, within: bool) -> Iterator[tuple[str, ...]]:
    """Yield the names that lead to a class: in the module, and if it may be `within`, in the classes that are there."""
    names = vars(module).copy()
    yield from ((name,) for name in _names(names, value))
    for outer, inside in names.items() if within else ():
        if type(inside) is type and inside.__module__ == module.__name__:
            yield from ((outer, name) for name in _names(vars(inside).copy(), value))


def _names(names: Mapping[str, "Any"], value: type) -> Iterator[str]:
    return (name for name, there in names.items() if there is value)


def _said(value: type) -> tuple[str, str]:
    return value.__module__, value.__qualname__
