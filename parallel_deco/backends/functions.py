"""How functions travel to workers: once each, under a key, by reference or by value, and again when they changed."""

import threading
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

from parallel_deco._errors import NotPicklableError
from parallel_deco.backends.payload import dump
from parallel_deco.backends.references import reference

__all__ = ["Functions", "Travelling"]

#: What cannot change, or is the same object in spirit for as long as it is the same in fact.
_ATOMS = (
    *(type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented)),
    *(BuiltinFunctionType, ModuleType, CodeType),
)
_keys = count(1)


class Travelling:
    """A function as it was when it was made ready to travel; workers know it by its key.

    Parameters
    ----------
    body : bytes
        The pickle of (key, function or reference).
    buffers : list of memoryview
        Large buffers that the function holds.

    Notes
    -----
    Keys are counted and never used again, unlike `id()`: a function that was redefined is another function.
    """

    __slots__ = ("__weakref__", "body", "buffers", "key")

    def __init__(self, key: int, body: bytes, buffers: list[memoryview]) -> None:
        self.key = key
        self.body = body
        self.buffers = buffers

    @property
    def size(self) -> int:
        """Bytes that travel."""
        return len(self.body) + sum(len(buffer) for buffer in self.buffers)


class _Known:
    """What was last sent of a function, and the state of everything it refers to at that time."""

    __slots__ = ("fingerprint", "travelling")

    def __init__(self, travelling: Travelling, fingerprint: tuple[Any, ...] | None) -> None:
        self.travelling = travelling
        self.fingerprint = fingerprint


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

    def prepare(self, function: Callable[..., Any]) -> Travelling:
        """Return the function ready to travel; the same object as long as nothing that it refers to changed.

        Raises
        ------
        NotPicklableError
            It cannot travel; says what in it, and where.

        Notes
        -----
        About 1 µs for an importable function, 5 to 10 for one by value. When it refers to something mutable (a list
        among its globals, say) it is pickled anew and compared.
        """
        known = self._find(function)
        if known is not None:
            if known.fingerprint == ():  # by reference: it is what it is
                return known.travelling
            fingerprint = _fingerprint(function)
            if fingerprint is not None and _same(fingerprint, known.fingerprint):
                return known.travelling
        else:
            fingerprint = _fingerprint(function)
        travelling = self._pickled(function, known)
        with self._lock:
            self._alive[travelling.key] = travelling
            if _can_be_kept(function):
                self._known[function] = _Known(travelling, fingerprint)
        return travelling

    def dead(self, keys: set[int]) -> set[int]:
        """Return which of the keys will never be used again."""
        with self._lock:
            return keys.difference(self._alive.keys())

    def _find(self, function: Any) -> _Known | None:
        if not _can_be_kept(function):
            return None
        with self._lock:
            return self._known.get(function)

    def _pickled(self, function: Any, known: _Known | None) -> Travelling:
        where = reference(function)
        buffers: list[memoryview] = []
        try:
            body = dump(function if where is None else where, buffers)
        except Exception as error:  # whatever a __reduce__ raises
            raise _not_picklable(function, error) from error
        if known is not None and known.travelling.body == body and not buffers:
            return known.travelling
        return Travelling(next(_keys), body, buffers)


def _not_picklable(function: Any, error: Exception) -> NotPicklableError:
    from parallel_deco.backends.culprit import explain_function

    return explain_function(function, error)


def _can_be_kept(function: Any) -> bool:
    """Whether a function is found again by identity: a bound method is a new object each time, and equal to others."""
    return isinstance(function, (FunctionType, BuiltinFunctionType, type))


def _fingerprint(function: Any) -> tuple[Any, ...] | None:
    """Return everything immutable that decides what a function does; None when mutable things are among it.

    The values themselves are kept, not their ids: an id can be used again when its object is gone.
    """
    if not isinstance(function, FunctionType):
        return None if reference(function) is None else ()
    if reference(function) is not None:
        return ()
    seen: dict[int, Any] = {}
    return tuple(seen.values()) if _collect(function, seen) else None


def _same(one: tuple[Any, ...], other: tuple[Any, ...] | None) -> bool:
    return other is not None and len(one) == len(other) and all(map(_is, one, other))


def _is(one: object, other: object) -> bool:
    return one is other


def _collect(value: Any, seen: dict[int, Any]) -> bool:
    """Add a value and what it refers to; False as soon as something mutable is met."""
    if id(value) in seen:
        return True
    # Functions weakly, or this would keep alive what it is filed under. One object has one plain weak reference.
    seen[id(value)] = weakref.ref(value) if isinstance(value, FunctionType) else value
    if isinstance(value, _ATOMS):
        return True
    if isinstance(value, (FunctionType, type)) and reference(value) is not None:
        return True
    if type(value) in (tuple, frozenset):
        return all(_collect(part, seen) for part in value)
    if isinstance(value, FunctionType):
        return all(_collect(part, seen) for part in _parts(value))
    return False


def _parts(function: FunctionType) -> Iterator[Any]:
    """Yield what a function by value takes with it."""
    yield function.__code__
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from vars(function).values()
    for cell in function.__closure__ or ():
        yield _contents(cell)
    names = function.__globals__
    yield from (names[name] for name in sorted(_global_names(function.__code__)) if name in names)


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty: the name is not yet bound
        return None


def _global_names(code: CodeType) -> set[str]:
    """The names that code, and code nested in it, may look up among the globals; attribute names do no harm."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names
