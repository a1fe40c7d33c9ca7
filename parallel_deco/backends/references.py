"""Functions that a worker can import: where each is found, and the way back from there to the very function."""

import sys
from types import MethodType, ModuleType

from parallel_deco._nesting import in_worker_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any

__all__ = [
    *("Reference", "bind", "imported", "is_handmade", "locate", "rebuild_view", "reduce_method", "reference"),
    *("Imports", "file_of", "imported_if_possible", "replaces"),
]

#: How many layers a function and its wrappers have at most.
_MOST_LAYERS = 20


class Imports:
    """Tells whether other modules have been imported since it was last asked.

    Notes
    -----
    0.2 µs: how many there are, and which is the last one, which a new one is. It does not see a module that is put in
    the place of another.
    """

    __slots__ = ("_count", "_last", "_module")

    def __init__(self) -> None:
        self._count = -1
        self._last: str | None = None
        self._module: object = None

    def changed(self) -> bool:
        """Return whether there are."""
        now = sys.modules
        count = len(now)
        try:
            last = next(reversed(now), None)
        except RuntimeError:  # another thread imports
            return True
        module = None if last is None else now.get(last)
        if count == self._count and last == self._last and module is self._module:
            return False
        self._count, self._last, self._module = count, last, module
        return True


class Reference:
    """Where an importable function is found: what to import, the way down, and which of the layers there it is.

    Parameters
    ----------
    module, qualname : str
    below : int
        How often ``__func__`` or ``__wrapped__`` leads on from the function. Those around it are not counted: the
        program may have put some there that a module which is imported afresh has not.
    caches : int
        How many layers, from the function on, only remember results: where they are not, the next does as well.
    file : str or None
        Where the module was loaded from, for a worker that cannot find it by name.
    """

    __slots__ = ("below", "caches", "file", "module", "qualname")

    def __init__(self, module: str, qualname: str, below: int, caches: int, file: str | None) -> None:
        self.module = module
        self.qualname = qualname
        self.below = below
        self.caches = caches
        self.file = file

    def __reduce__(self) -> "tuple[Any, ...]":
        """Travel as five plain values."""
        return Reference, (self.module, self.qualname, self.below, self.caches, self.file)


def reference(function: "Any") -> Reference | None:
    """Return where a worker finds this very function, or None when it must travel by value.

    Notes
    -----
    The name is followed here first and must lead back to the function, or to wrappers around it: two modules or
    classes with functions of the same name, a name that was rebound, and a decorator that hides the function
    would otherwise run something else. What the script has put there itself is not there in a worker.
    """
    module_name = getattr(function, "__module__", None)
    qualname = getattr(function, "__qualname__", None)
    if not isinstance(module_name, str) or not isinstance(qualname, str):
        return None
    module = sys.modules.get(module_name)
    if module is None or module_name == "__main__" or "<" in qualname or _is_scripts(function):
        return None
    spec = getattr(module, "__spec__", None)
    if spec is None:  # made by hand: a worker could not make it again
        return None
    layers = _layers(_walk(module, qualname))
    for place, layer in enumerate(layers):
        if layer is function:
            inside = layers[place:]
            caches = next((at for at, each in enumerate(inside) if not hasattr(type(each), "cache_info")), 0)
            return Reference(module_name, qualname, len(inside) - 1, caches, file_of(spec))
    return None


def replaces(function: "Any") -> bool:
    """Return whether the script has put a function of its own where a module's name leads."""
    name = getattr(function, "__module__", None)
    if name == "__main__" or not _is_scripts(function):
        return False
    module = sys.modules.get(name) if isinstance(name, str) else None
    return module is not None and _walk(module, function.__qualname__) is function


def is_handmade(name: "Any") -> bool:
    """Return whether the program has made a module of this name by running code in it: there is nothing to import.

    One below a package is made when that is imported, in a worker too.
    """
    module = sys.modules.get(name) if isinstance(name, str) and name != "__main__" else None
    if type(module) is not ModuleType:
        return False
    names = vars(module)
    if names.get("__spec__") is not None or "__builtins__" not in names or names.get("__name__") != name:
        return False
    package = sys.modules.get(name.rpartition(".")[0])
    return getattr(package, "__spec__", None) is None


def locate(where: Reference) -> "Any":
    """Return the function that a reference leads to, importing its module when needed.

    Raises
    ------
    ImportError, AttributeError
        It is not there.
    """
    layers = _layers(_walk(imported(where.module, where.file), where.qualname))
    place = len(layers) - 1 - where.below
    if place + where.caches < 0:
        wrapped = " that is wrapped as the program's is" if layers else ""
        raise AttributeError(f"no function {where.qualname!r} in module {where.module!r}{wrapped}")
    return layers[max(place, 0)]


def reduce_method(method: MethodType) -> "tuple[Any, ...]":
    """Return how to rebuild a bound method from its own function, whatever its object has under that name.

    Raises
    ------
    TypeError
        The function has no reference.
    """
    where = reference(method.__func__)
    if where is None:
        raise TypeError(f"no name leads to the function of {method!r}")
    return bind, (where, method.__self__)


def bind(function: "Any", instance: "Any") -> MethodType:
    """Return the method of an object that a function, or the one that a reference leads to, makes."""
    return MethodType(locate(function) if isinstance(function, Reference) else function, instance)


def rebuild_view(buffer: "Any", form: str, shape: tuple[int, ...], readonly: bool) -> memoryview:
    """Return a view of memory as another process had it."""
    empty = shape == (0,)  # `cast` makes none
    flat: Any = memoryview(bytearray(8) if empty else buffer).cast("B")
    view: memoryview = flat.cast(form)[:0] if empty else flat.cast(form, shape)
    return view.toreadonly() if readonly else view


def imported(name: str, file: str | None) -> ModuleType:
    """Return the module of that name, and from that file: where a path leads to another, it is loaded from the file.

    Raises
    ------
    ImportError
    """
    module = sys.modules.get(name)
    if module is None:
        try:
            __import__(name)
        except ModuleNotFoundError as error:
            if file is None or error.name is None or not (name + ".").startswith(error.name + "."):
                raise
            return _imported_from_file(name, file)
        module = sys.modules[name]
    spec = getattr(module, "__spec__", None)
    if file is not None and spec is not None and spec.has_location and spec.origin != file:
        return _imported_from_file(name, file)
    return module


def imported_if_possible(name: str, file: str | None) -> ModuleType | None:
    """Return the module as it is in the program, or imported in a worker; None where it is not, or cannot be."""
    if not in_worker_process():
        return sys.modules.get(name)
    try:
        return imported(name, file)
    except BaseException:  # it may do anything, and exit
        return None


def file_of(spec: "ModuleSpec | None") -> str | None:
    """Return the file that a module was loaded from, for those who cannot find it by name."""
    return spec.origin if spec is not None and spec.has_location else None


def _imported_from_file(name: str, file: str) -> ModuleType:
    """Load a module that the caller's process has under a name which no path leads to (as pytest's are)."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _walk(module: ModuleType, qualname: str) -> "Any":
    """Follow a qualified name without running descriptors: a function in a class must stay what was defined."""
    found: Any = module
    for name in qualname.split("."):
        if isinstance(found, type):
            if name.startswith("__") and not name.endswith("__"):  # private: the class has it under another name
                name = f"_{found.__name__.lstrip('_')}{name}"
            found = next((vars(base)[name] for base in found.__mro__ if name in vars(base)), None)
        else:
            found = getattr(found, name, None)
    return found


def _is_scripts(function: "Any") -> bool:
    """Return whether a function was defined in the script, whatever module `functools.wraps` has made it name."""
    names = getattr(function, "__globals__", None)
    return names is not None and names is getattr(sys.modules.get("__main__"), "__dict__", None)


def _layers(found: "Any") -> "list[Any]":
    """Return what was found and all that it wraps, the innermost last; nothing where that has no end."""
    layers: list[Any] = []
    while found is not None:
        if len(layers) == _MOST_LAYERS:
            return []
        layers.append(found)
        found = _unwrapped(found)
    return layers


def _unwrapped(wrapper: "Any") -> "Any":
    if isinstance(wrapper, (staticmethod, classmethod, MethodType)):
        return wrapper.__func__
    if isinstance(wrapper, property):
        return wrapper.fget
    return getattr(wrapper, "__wrapped__", None)
