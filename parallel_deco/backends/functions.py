"""How functions travel to workers: once each, under a key, by reference or by value, and again when they changed."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from enum import EnumType
from itertools import count
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType

from parallel_deco._errors import NotPicklableError, name_of
from parallel_deco._importing import settle
from parallel_deco._interrupts import interrupts
from parallel_deco.backends.originals import stand_in
from parallel_deco.backends.payload import dump, look_for_handmade
from parallel_deco.backends.references import reference, replaces
from parallel_deco.backends.reloads import After, Change, Modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Functions", "Travelling"]

#: What is of these very types cannot change.
_ATOMS = type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), CodeType
_keys = count(1)


class Travelling:
    """A function as it was when it was made ready to travel; workers know it by its key.

    Parameters
    ----------
    body : bytes
        The pickle of (key, function or reference).
    buffers : list of memoryview
        Large buffers that the function holds; they are copied, as each worker gets them when it needs the function.

    Notes
    -----
    Keys are counted and never used again, unlike `id()`: a function that was redefined is another function.
    """

    __slots__ = ("__weakref__", "_copies", "body", "buffers", "key")

    def __init__(self, key: int, body: bytes, buffers: list[memoryview]) -> None:
        self.key = key
        self.body = body
        self._copies = [*map(bytes, buffers)]
        self.buffers = [memoryview(copy) for copy in self._copies]

    def is_made_of(self, body: bytes, buffers: list[memoryview]) -> bool:
        """Return whether this is the pickle, and these are the contents of the buffers."""
        if body != self.body or [*map(len, buffers)] != [*map(len, self._copies)]:
            return False
        return all(map(bytes.startswith, self._copies, buffers))  # a comparison of views takes seven times as long

    @property
    def size(self) -> int:
        """Bytes that travel."""
        return len(self.body) + sum(len(buffer) for buffer in self.buffers)


class _Known:
    """What was last sent of a function, and what to look at to know that it is still that.

    With copies of large buffers that is kept only as long as somebody is to run it.
    """

    __slots__ = ("_kept", "_last", "changes", "code", "references")

    def __init__(
        self, travelling: Travelling, references: list[_References] | None, changes: int, code: CodeType | None
    ) -> None:
        self._last = weakref.ref(travelling)
        self._kept = None if travelling.buffers else travelling
        self.references = references
        self.changes = changes
        self.code = code

    @property
    def travelling(self) -> Travelling | None:
        """What was sent; None when it is gone."""
        return self._last()

    def holds(self, function: Callable[..., Any], changes: int) -> bool:
        """Whether nothing has changed; False where that cannot be seen."""
        if self.changes != changes or self.code is not getattr(function, "__code__", None):
            return False
        return self.references is not None and all(map(_References.hold, self.references))


class Functions:
    """The functions that were made ready, by identity; forgets them when the program does.

    Notes
    -----
    Safe to use from many threads: the dictionaries are changed under a lock, and pickling, which runs user code,
    happens outside of it. Two threads that make the same function ready at once may send it twice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: weakref.WeakKeyDictionary[Any, _Known] = weakref.WeakKeyDictionary()
        self._alive: weakref.WeakValueDictionary[int, Travelling] = weakref.WeakValueDictionary()
        self._modules = Modules()
        self._codes: weakref.WeakKeyDictionary[FunctionType, CodeType] = weakref.WeakKeyDictionary()

    def prepare(self, function: Callable[..., Any]) -> Travelling:
        """Return the function ready to travel; the same object as long as nothing that it refers to changed.

        Raises
        ------
        NotPicklableError
            It cannot travel; says what in it, and where.

        Notes
        -----
        About 1 µs for an importable function, 2 for a small one by value, and 100 ns for each module of the program's
        own, which may have been reloaded. When it refers to something mutable (a list among its globals, say) it is
        pickled anew and compared.
        """
        known, changes = self._find(function)
        last = None if known is None else known.travelling
        if known is not None and last is not None and known.holds(function, len(changes)):
            return last
        code = getattr(function, "__code__", None)
        travelled = self._unpatched(function)
        references = _references(travelled)
        travelling = self._pickled(travelled, last, changes)
        with self._lock:
            self._alive[travelling.key] = travelling
            if _can_be_kept(function):
                self._known[function] = _Known(travelling, references, len(changes), code)
        return travelling

    def dead(self, keys: set[int]) -> set[int]:
        """Return which of the keys will never be used again."""
        with self._lock:
            return keys.difference(self._alive.keys())

    def _find(self, function: Any) -> tuple[_Known | None, tuple[Change, ...]]:
        module = getattr(function, "__module__", None)
        with self._lock:
            replaced = self._modules.replaced
            self._modules.look(module if isinstance(module, str) else None)
            if self._modules.replaced != replaced:
                look_for_handmade()
            return self._known.get(function) if _can_be_kept(function) else None, self._modules.changes

    def _unpatched(self, function: Any) -> Any:
        """Return the function; a copy, which goes by value, of one that its name leads to here and not in a worker.

        So it is where its code was replaced, and with what the script has put in the place of a module's function.
        """
        if not isinstance(function, FunctionType):
            return function
        with self._lock:
            patched = self._codes.setdefault(function, function.__code__) is not function.__code__
        moved = replaces(function)
        if not (patched or moved):
            return function
        copy = FunctionType(function.__code__, function.__globals__, function.__name__, None, function.__closure__)
        copy.__defaults__, copy.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
        copy.__qualname__, copy.__module__ = function.__qualname__, "__main__" if moved else function.__module__
        copy.__dict__.update(function.__dict__)
        stand_in(copy, function)
        return copy

    def _pickled(self, function: Any, last: Travelling | None, changes: tuple[Change, ...]) -> Travelling:
        module = getattr(function, "__module__", None)
        if isinstance(module, str) and not settle(module):
            # A worker would run all of the module too; and results of its classes cannot be unpickled here, in another
            # thread than the one that imports it, and waits for them.
            raise NotPicklableError(
                f"{name_of(function)} cannot be sent to another process while its module {module!r} is being imported: "
                "call it later, from a function"
            )
        where = reference(function)
        travelled = function if where is None else where
        buffers: list[memoryview] = []
        try:
            body = dump(After(changes, travelled) if changes else travelled, buffers)
            if last is not None and last.is_made_of(body, buffers):
                return last
            return Travelling(next(_keys), body, buffers)
        except Exception as error:  # whatever a __reduce__ raises; or there is no memory
            if interrupts(error):
                raise
            raise _not_picklable(function, error) from error


def _not_picklable(function: Any, error: Exception) -> NotPicklableError:
    from parallel_deco.backends.culprit import explain_function

    return explain_function(function, error)


def _can_be_kept(function: Any) -> bool:
    """Whether a function is found again by identity: a bound method is a new object each time, and equal to others."""
    return isinstance(function, (FunctionType, BuiltinFunctionType, type))


class _Absent:
    """In the place of a global or of a cell's contents that is not there."""


class _References:
    """What a function by value refers to, as it was.

    The values themselves are kept, not their ids: an id can be used again when its object is gone. Functions are kept
    weakly, those in tuples too, or this would keep alive what it is filed under; one object has one plain weak
    reference.
    """

    __slots__ = ("_function", "_kept", "_names")

    def __init__(self, function: FunctionType) -> None:
        self._function = weakref.ref(function)
        self._names = sorted(_global_names(function.__code__))
        self._kept = [*map(_kept, self.of(function))]

    def of(self, function: FunctionType) -> list[Any]:
        """Return what the function refers to now."""
        found = [function.__code__, function.__defaults__]
        if function.__kwdefaults__:
            found += function.__kwdefaults__.values()
        if function.__dict__:
            found += function.__dict__.values()
        if function.__closure__:
            found += map(_contents, function.__closure__)
        names = function.__globals__
        found += [names.get(name, _Absent) for name in self._names]
        return found

    def hold(self) -> bool:
        """Whether all of it is the same."""
        function = self._function()
        if function is None:
            return False
        now = self.of(function)
        return len(now) == len(self._kept) and all(map(_is_still, self._kept, now))


class _Parts:
    """A tuple or a frozenset with functions in it, by what it is made of."""

    __slots__ = ("_kept", "_kind")

    def __init__(self, parts: tuple[Any, ...] | frozenset[Any]) -> None:
        self._kind = type(parts)
        self._kept = [*map(_kept, parts)]

    def make(self, value: Any) -> bool:
        """Whether a value is made of these very parts."""
        same = type(value) is self._kind and len(value) == len(self._kept)
        return same and all(map(_is_still, self._kept, value))


def _kept(value: Any) -> Any:
    if type(value) is FunctionType:
        return weakref.ref(value)
    return _Parts(value) if _has_functions(value) else value


def _has_functions(value: Any) -> bool:
    if type(value) not in (tuple, frozenset):
        return False
    return any(type(part) is FunctionType or _has_functions(part) for part in value)


def _is_still(kept: Any, value: Any) -> bool:
    if type(kept) is _Parts:
        return kept.make(value)
    return kept is (weakref.ref(value) if type(value) is FunctionType else value)


def _references(function: Any) -> list[_References] | None:
    """Return what decides what a function does, for it and those that it calls; None when that may change unseen."""
    found: list[_References] = []
    if reference(function) is not None:
        return found
    return found if isinstance(function, FunctionType) and _collect(function, {}, found) else None


def _collect(value: Any, seen: dict[int, Any], found: list[_References]) -> bool:
    """Add the functions that a value refers to; False as soon as something mutable is met."""
    if id(value) in seen:
        return True
    if isinstance(value, _ATOMS):
        return type(value) in _ATOMS or _is_constant(type(value))
    if isinstance(value, ModuleType):  # one that was made by hand goes by value
        return getattr(value, "__spec__", None) is not None
    if isinstance(value, BuiltinFunctionType):  # a method of something goes with that
        owner = value.__self__
        if owner is None or isinstance(owner, ModuleType):
            return True
        return isinstance(owner, type) and reference(owner) is not None
    seen[id(value)] = value  # kept, or another could come to have its id
    if isinstance(value, (FunctionType, type)) and reference(value) is not None:
        return True
    if type(value) in (tuple, frozenset):
        return all(_collect(part, seen, found) for part in value)
    if isinstance(value, FunctionType):
        references = _References(value)
        found.append(references)
        return all(_collect(part, seen, found) for part in references.of(value))
    return False


def _is_constant(kind: type) -> bool:
    """Whether values of a class that derives from such a type can change no more than those of the type.

    So it is with the numbers of NumPy; members of importable enumerations travel by their values alone.
    """
    if reference(kind) is None:
        return False
    return isinstance(kind, EnumType) or not (kind.__dictoffset__ or hasattr(kind, "__slots__"))


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty: the name is not yet bound
        return _Absent


def _global_names(code: CodeType) -> set[str]:
    """The names that code, and code nested in it, may look up among the globals; attribute names do no harm."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names
