"""Outcomes on their way back: values, and errors with their tracebacks, each so that one bad item spoils no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from parallel_deco._readings import Readings
from parallel_deco.backends.payload import dump, dump_plain, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Outcomes", "PackedError", "pack_error", "pack_outcomes", "pickle_error", "unpack_error", "unpack_outcomes"]

#: A pickled exception, empty where it comes with the group that it is part of; whether the next one is its cause, or
#: was being handled when it was raised; and what is behind its parts, if it is a group.
Link = tuple[bytes, bool, "list[PackedError]"]
#: An exception with those behind it, as far as they can travel, and its traceback as text.
PackedError = tuple[list[Link], str]

#: Exceptions behind, or in, each other that travel at most; all are in the text.
MOST_LINKS = 8

#: In a value of so many parts at most exceptions are looked for: in a pair of a result and an error, say.
_FEW = 16

_WHOLE, _EACH = 0, 1
#: Values of these types always arrive. Others are pickled one by one: a value that cannot be pickled, or cannot be
#: unpickled, is then the problem of its own item only.
_SAFE = frozenset([type(None), bool, int, float, complex, str, bytes, bytearray])


class Outcomes:
    """What the worker reported of a batch.

    Parameters
    ----------
    values : list
        None where `errors` has the position.
    errors : dict of int to BaseException
    readings : Readings or None
        None in a report before the end, and where nothing was measured.
    """

    __slots__ = ("errors", "readings", "values")

    def __init__(self, values: list[Any], errors: dict[int, BaseException], readings: Readings | None) -> None:
        self.values = values
        self.errors = errors
        self.readings = readings


def pack_outcomes(
    outcomes: Outcomes, buffers: list[Any], unsendable: Callable[[int, Any, BaseException], BaseException]
) -> bytes:
    """Pickle outcomes in a worker.

    Parameters
    ----------
    outcomes : Outcomes
    buffers : list
        Receives the large buffers in the values.
    unsendable : callable
        Makes an error of (position, value, exception) for a value that cannot be pickled.
    """
    values = outcomes.values
    errors = {position: pack_error(error) for position, error in outcomes.errors.items()} if outcomes.errors else None
    readings = None if outcomes.readings is None else tuple(outcomes.readings)
    if _SAFE.issuperset(map(type, values)):
        return dump_plain((_WHOLE, values, errors, readings))
    errors = errors or {}
    pickled = []
    classes: dict[str, type] = {}
    for position, value in enumerate(values):
        apart: list[Any] = []
        try:
            pickled.append((dump(_rebuildable(value), apart, classes), len(apart)))
            buffers.extend(apart)
        except BaseException as error:  # whatever its __reduce__ raises
            pickled.append((dump(None), 0))
            errors[position] = pack_error(unsendable(position, value, error))
    return dump((_EACH, (pickled, _spares(classes)), errors, readings))


def _spares(classes: dict[str, type]) -> dict[str, bytes]:
    """Return what makes the classes anew that are only named, should the caller have let go of them."""
    if not classes:
        return {}
    from parallel_deco.backends.classes import spare

    return {number: spare(value, dump) for number, value in classes.items()}


def unpack_outcomes(body: Any, buffers: Sequence[Any]) -> Outcomes:
    """Rebuild outcomes in the caller; a value that cannot be rebuilt becomes an error of its item.

    Raises
    ------
    MemoryError
    """
    form, values, packed_errors, readings = load(body, buffers)
    errors = {position: unpack_error(packed) for position, packed in packed_errors.items()} if packed_errors else {}
    if form == _EACH:
        pickled, spares = values
        kept = _classes(spares)  # until the values are there, which keep theirs
        values = _unpack_each(pickled, buffers, errors)
        del kept
    return Outcomes(values, errors, None if readings is None else Readings._make(readings))


def _classes(spares: dict[str, bytes]) -> list[type]:
    """Return the classes of these numbers, made anew where they are gone."""
    if not spares:
        return []
    from parallel_deco.backends.classes import find

    found = []
    for number, spare in spares.items():
        try:
            found.append(find(number))
        except LookupError:
            try:
                found.append(load(spare))
            except Exception:  # there is none: then its values say what is missing
                continue
    return found


def _unpack_each(
    pickled: list[tuple[bytes, int]], buffers: Sequence[Any], errors: dict[int, BaseException]
) -> list[Any]:
    from parallel_deco._errors import NotPicklableError

    values: list[Any] = []
    used = 0
    for position, (body, count) in enumerate(pickled):
        value = None
        try:
            value = load(body, buffers[used : used + count])
        except MemoryError as error:
            errors.setdefault(position, error)
        except BaseException as error:  # whatever its __setstate__ or __init__ raises
            what = f"{type(error).__qualname__}: {_said(error)}"
            refused = NotPicklableError(f"a result could not be rebuilt here: {what}")
            refused.__cause__ = error
            errors.setdefault(position, refused)
        values.append(value)
        used += count
    return values


def pack_error(error: BaseException) -> PackedError:
    """Make a worker's exception ready to travel; proves that what will be rebuilt is the same.

    Notes
    -----
    What an exception gives to pickle is its class and `args`; to rebuild it calls `__init__` with them, which most
    exceptions of users' were not written for: it formats the message a second time, or wants other arguments. One that
    would come out differently goes as its `_Likeness`.
    """
    return _Packer().pack(error, set())


class _Packer:
    """Makes exceptions ready to travel, each once: one may be behind many parts of a group."""

    def __init__(self) -> None:
        self._pickles: dict[int, bytes | None] = {}
        self._texts: dict[int, str] = {}

    def pack(self, error: BaseException, within: set[int]) -> PackedError:
        """Pack an exception with those behind it; it goes with the group if it is part of one, within others by id."""
        links: list[Link] = []
        seen = within.copy()
        for link, caused in _chain(error, seen):
            pickled = b"" if within and not links else self._pickled(link)
            if pickled is None:
                break
            links.append((pickled, caused, [self.pack(part, seen) for part in _parts(link)]))
        raised = not within or _TRACEBACK.__get__(error) is not None
        return links, self._text(error) if raised else ""

    def _pickled(self, error: BaseException) -> bytes | None:
        if id(error) not in self._pickles:
            self._pickles[id(error)] = pickle_error(error)
        return self._pickles[id(error)]

    def _text(self, error: BaseException) -> str:
        if id(error) not in self._texts:
            self._texts[id(error)] = _text(error)
        return self._texts[id(error)]


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[tuple[BaseException, bool]]:
    """Yield an exception and those behind it, as a traceback shows them; and whether the next is its cause."""
    while error is not None and id(error) not in seen and len(seen) < MOST_LINKS:
        seen.add(id(error))
        cause = _CAUSE.__get__(error)
        yield error, cause is not None
        error = _CONTEXT.__get__(error) if cause is None and not _HIDES.__get__(error) else cause


#: Not by name: a class may have attributes of these names of its own, and refuse to have any set.
_CAUSE, _CONTEXT = BaseException.__dict__["__cause__"], BaseException.__dict__["__context__"]
_HIDES, _TRACEBACK = BaseException.__dict__["__suppress_context__"], BaseException.__dict__["__traceback__"]


def _parts(error: BaseException) -> tuple[BaseException, ...]:
    """Return the exceptions in a group; none of another."""
    parts: tuple[BaseException, ...] = _PARTS.__get__(error) if isinstance(error, BaseExceptionGroup) else ()
    return parts


_PARTS = BaseExceptionGroup.__dict__["exceptions"]


def pickle_error(error: BaseException) -> bytes | None:
    """Pickle an exception in the form that is rebuilt most like it; None when none is."""
    return _best_form(error)[1]


def _best_form(error: BaseException) -> tuple[Any, bytes | None]:
    """Return in which form an exception is rebuilt most like it, and the pickle of that; itself and None for none."""
    best = 0
    found: tuple[Any, bytes | None] = error, None
    for form in (error, _Likeness(error)):
        try:
            pickled = dump(form)
            likeness = _likeness(load(pickled), error)
        except BaseException:  # an exception's __reduce__ and __init__ are the user's code, and may exit
            continue
        if likeness > best:
            best, found = likeness, (form, pickled)
        if best == _SAME:
            break
    return found


def _rebuildable(value: Any) -> Any:
    """Return a value with the exceptions in it, or that it is, in the form that is rebuilt.

    One of which something cannot travel stays as it is, and is refused: unlike what is raised, it is a result.
    """
    if isinstance(value, BaseException):
        form = _best_form(value)[0]
        return value if type(form) is _Likeness and not form.is_whole() else form
    if type(value) in (list, tuple) and len(value) <= _FEW and any(map(_is_error, value)):
        return type(value)(_rebuildable(part) if _is_error(part) else part for part in value)
    return value


class _Likeness:
    """In the place of an exception, what makes it again without its `__init__`; it pickles as that.

    Parameters
    ----------
    error : BaseException
        What in its `args` cannot travel goes as its `repr`; an attribute that cannot stays behind.
    """

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def is_whole(self) -> bool:
        """Whether all of the exception can travel."""
        error = self._error
        return all(map(_travels, (*error.args, *vars(error).values(), *_slots(error).values())))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as class, arguments, attributes."""
        error = self._error
        attributes = {name: value for name, value in vars(error).items() if _travels(value)}
        slots = {name: value for name, value in _slots(error).items() if _travels(value)}
        return _again, (type(error), tuple(map(_portable, error.args)), slots, attributes)


def _again(
    kind: type[BaseException], args: tuple[Any, ...], slots: dict[str, Any], attributes: dict[str, Any]
) -> BaseException:
    """Make an exception from its parts; nothing of the user's is called but a `__new__`."""
    try:
        error = kind.__new__(kind, *args)
    except Exception:  # it wants something else: the built-in class below makes it, as far as memory is concerned
        builtin = next(base for base in kind.__mro__ if base.__module__ == "builtins")
        error = builtin.__new__(kind, *args)
    error.__dict__.update(attributes)
    for name, value in {**slots, "args": args}.items():
        try:  # not by assignment: the class may refuse it, as a frozen dataclass does
            BaseException.__setattr__(error, name, value)
        except (AttributeError, TypeError):  # it is read-only, and was made with the rest
            continue
    return error


def _portable(argument: Any) -> Any:
    """Return an argument of an exception as it can travel; exceptions in it go as their likenesses."""
    if isinstance(argument, BaseException):
        return _Likeness(argument)
    if type(argument) in (list, tuple) and any(map(_is_error, argument)):  # a group's
        return type(argument)(map(_portable, argument))
    return argument if _travels(argument) else repr(argument)


def _is_error(value: Any) -> bool:
    return isinstance(value, BaseException)


def _slots(error: BaseException) -> dict[str, Any]:
    """Return what an exception has beside `args` and `__dict__`: the `name` of a NameError, the user's `__slots__`."""
    found: dict[str, Any] = {}
    for base in type(error).__mro__:
        for name, member in vars(base).items():
            if type(member) is not _MEMBER or name.startswith("__") or (base, name) in _STAY:
                continue
            value = getattr(error, name, _MEMBER)
            if value is not (None if base.__module__ == "builtins" else _MEMBER):  # what says that it has none
                found.setdefault(name, value)
    return found


_MEMBER = type(StopIteration.value)
#: These stay: what an attribute was looked for on may be anything, of any size, and Python does not pickle it either;
#: a group's are in its `args`.
_STAY = frozenset([(AttributeError, "obj"), (BaseExceptionGroup, "message"), (BaseExceptionGroup, "exceptions")])

_SAME, _SAME_ARGS, _SAME_TYPE, _OTHER = 3, 2, 1, 0


def _likeness(copy: Any, error: BaseException) -> int:
    """Return how much a rebuilt exception is the one that was raised, to whoever catches it."""
    if type(copy) is not type(error):
        return _OTHER
    if not _same(copy.args, error.args):
        return _SAME_TYPE
    said = _said(copy) == _said(error) and _same(_slots(copy), _slots(error))
    noted = _same(getattr(copy, "__notes__", None), getattr(error, "__notes__", None))
    return _SAME if said and noted else _SAME_ARGS


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, BaseException):
        return _likeness(one, other) == _SAME
    try:
        if bool(one == other):
            return True
    except BaseException:  # arrays, or an __eq__ of the user's
        pass
    try:
        if dump(one) == dump(other):
            return True
    except BaseException:  # one was not rebuilt, or cannot travel
        return False
    # Exceptions of a group: their pickle also says which of them are one and the same.
    return type(one) is type(other) in (list, tuple) and len(one) == len(other) and all(map(_same, one, other))


def _travels(value: Any) -> bool:
    try:
        load(dump(value))
    except BaseException:  # whatever the user's own __reduce__ raises
        return False
    return True


def unpack_error(packed: PackedError) -> BaseException:
    """Return the exception itself, with the same behind it, and behind all of them the remote traceback.

    A RemoteError when it could not travel.
    """
    from parallel_deco._errors import RemoteError

    error = _unpacked(packed)
    if error is not None:
        return error
    text = packed[1]
    last = text.rstrip().rpartition("\n")[2]
    return RemoteError(f"{last}\nThis exception of a worker could not be sent; its traceback there was:\n{text}")


def _unpacked(packed: PackedError, part: BaseException | None = None) -> BaseException | None:
    """Return the exception, or the part of a group that is here already, with what is behind it; None if it is not."""
    from parallel_deco._errors import RemoteTraceback

    links, text = packed
    chain: list[tuple[BaseException, bool]] = []
    for pickled, caused, inner in links:
        try:
            error: Any = load(pickled) if pickled else part
        except BaseException:  # its class is not the same here
            break
        for one, behind in zip(_parts(error), inner, strict=False):  # a class of the user's may keep fewer
            _unpacked(behind, one)
        chain.append((error, caused))
    if not chain:
        return None
    for (link, caused), (following, _) in pairwise(chain):
        (_CAUSE if caused else _CONTEXT).__set__(link, following)
    if text:
        _CAUSE.__set__(chain[-1][0], RemoteTraceback(text))
    return chain[0][0]


def _text(error: BaseException) -> str:
    import traceback

    try:
        return "".join(traceback.format_exception(error))
    except BaseException:  # a __str__ or __repr__ of the user's
        return f"{type(error).__qualname__} (its text could not be made)\n"


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # a __str__ of the user's
        return "(its text could not be made)"
